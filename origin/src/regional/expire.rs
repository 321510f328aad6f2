//! Doing what the lifecycle rules of buckets say, when its time has come.
//!
//! A pass goes through the rows that the rules of each bucket are about, a page at a time: a page is looked at in a
//! snapshot, and what is due on it is done in one change, announced as any other, in which every row is decided about
//! once more. So whatever happened in between counts, and a bucket whose rules were taken back meanwhile keeps all.
//! Where the pass is goes along with its changes, so that a restart does not begin it anew.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use s3s::{S3Error, S3ErrorCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::commit::{Growth, WeakWriter, Writer, announced};
use super::db::{ReadRows, RowSnapshot};
use super::disk::Disk;
use super::due::Span;
use super::failure::Failure;
use super::keys;
use super::rows::{ObjectRow, Reads, UploadRow, VersionRow, decode, encode};
use super::seams::Change;
use super::table::Table;
use super::txn::Txn;
use super::versions::{ReadVersions, named};
use crate::head::{Facts, Head, Versioning};
use crate::instance::Instance;
use crate::lifecycle::{Day, Due, Lifecycle, Noncurrent};

/// Rows on a page.
const ROWS_MAX: usize = 1000;
/// Objects and versions that one change removes: others wait for the writer meanwhile.
const REMOVED_MAX: usize = 256;
/// Unfinished uploads in one look, to be aborted one after the other; each may have ten thousand parts.
pub(super) const ABORTED_MAX: usize = 16;
/// Buckets in one look for the next one with rules.
const BUCKETS_MAX: usize = 1000;
/// Pages without a change after which it is noted where the pass is.
const PAGES_UNNOTED_MAX: usize = 100;

/// Passes in a day of the rules.
const PASSES_A_DAY: u32 = 24;
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Before a pass that could not go on, or not do all, is tried again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Current objects that expired: removed, or put under a delete marker.
    pub expired_count: u64,
    /// Versions that were not current, and delete markers among them, removed for good.
    pub noncurrent_count: u64,
    /// Delete markers that were all that was left of their keys, removed for good.
    pub markers_count: u64,
    /// Unfinished uploads that were aborted.
    pub uploads_count: u64,
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) applied: Applied,
    /// Nothing that is due had to wait for room on the disk.
    pub(super) is_done: bool,
}

/// Does what lifecycle rules say.
pub(super) struct Expirer {
    disk: Arc<Disk>,
    day: Day,
    /// One pass at a time.
    passing: Mutex<()>,
}

/// The rows of a bucket that a pass goes through, one kind after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Objects,
    Versions,
    Uploads,
}

/// Where a pass is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    bucket: String,
    stage: Stage,
    /// The last row that was looked at.
    #[serde(with = "serde_bytes")]
    behind: Vec<u8>,
}

/// Something whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Object { key: String },
    Version { key: String, order: u64 },
    Upload { key: String, upload_id: String },
}

/// A page of rows, looked at.
struct Page {
    incarnation: Instance,
    items: Vec<Item>,
    /// Where the pass is now; `None` at the end of the bucket.
    place: Option<Place>,
}

/// The row that says where a pass is.
pub(super) const PLACE_KEY: &[u8] = b"lifecycle";

impl Expirer {
    pub(super) fn new(disk: Arc<Disk>, day: Day) -> Self {
        Self { disk, day, passing: Mutex::new(()) }
    }

    /// Makes one pass after the other, until the writer is closed.
    pub(super) async fn run(self: Arc<Self>, writer: WeakWriter) {
        let pause = (self.day.length() / PASSES_A_DAY).max(PAUSE_MIN);
        loop {
            let Some(writer) = writer.upgrade() else { return };
            let started = Instant::now();
            let passed = self.pass(&writer).await;
            drop(writer);
            if let Err(error) = &passed {
                tracing::warn!(%error, "lifecycle rules are not applied for now");
            }
            let pause = match passed {
                Ok(passed) => pause_after(passed.is_done, started.elapsed(), pause),
                // It goes on where it was.
                Err(_) => pause.min(RETRY_MAX),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Goes through what is left of the pass that was begun, or through everything.
    ///
    /// # Errors
    /// Those of the metadata file and of the announcement. A bucket that is damaged holds up no other, nor does one whose
    /// rows would grow on a full disk.
    pub(super) async fn pass(&self, writer: &Writer) -> Result<Passed, S3Error> {
        let _one_at_a_time = self.passing.lock().await;
        let started = Instant::now();
        let mut passed = Passed { applied: Applied::default(), is_done: true };
        let mut place = self.noted_place().await?;
        let mut after = None;
        loop {
            let bucket = match &place {
                Some(place) => place.bucket.clone(),
                None => match self.next_bucket(after).await? {
                    Some(bucket) => bucket,
                    None => break,
                },
            };
            let in_bucket = self.pass_bucket(writer, &bucket, place.take()).await;
            match in_bucket {
                Ok(in_bucket) => {
                    passed.applied.add(&in_bucket.applied);
                    passed.is_done &= in_bucket.is_done;
                }
                Err(damaged) if is_damage(&damaged) => {
                    tracing::error!(bucket, error = %damaged, "lifecycle rules cannot be applied to a bucket");
                }
                Err(later) => return Err(later),
            }
            after = Some(bucket);
        }
        if self.noted_place().await?.is_some() {
            writer.submit(Growth::Free, |txn| Ok(txn.rows.delete_row(Table::Store, PLACE_KEY)?)).await?;
        }
        if passed.is_done {
            self.disk.metrics.lifecycle_passed(started.elapsed());
        }
        Ok(passed)
    }

    async fn pass_bucket(
        &self,
        writer: &Writer,
        bucket: &str,
        place: Option<Place>,
    ) -> Result<Passed, S3Error> {
        let begin = Place { bucket: bucket.to_owned(), stage: Stage::Objects, behind: Vec::new() };
        let mut place = Some(place.unwrap_or(begin));
        let (mut applied, mut is_done) = (Applied::default(), true);
        let mut unnoted_count = 0;
        while let Some(at) = place {
            let (day, stage) = (self.day, at.stage);
            let page = self.read(move |rows, now| look(rows, &at, now, day)).await?;
            let Some(page) = page else { break };
            place = page.place.clone();
            unnoted_count += 1;
            if !page.items.is_empty() {
                unnoted_count = 0;
                match self.act(writer, bucket, page).await {
                    Ok(in_page) => applied.add(&in_page),
                    // Delete markers, most likely. What is behind this stage may make room, as other buckets may.
                    Err(full) if Failure::behind(&full).is_full() => {
                        tracing::warn!(bucket, ?stage, error = %full, "lifecycle rules have to wait for room");
                        is_done = false;
                        place = stage.after(bucket);
                    }
                    Err(failed) => return Err(failed),
                }
            } else if let Some(place) = place.clone().filter(|_| unnoted_count >= PAGES_UNNOTED_MAX) {
                unnoted_count = 0;
                writer
                    .submit(Growth::Free, move |txn| txn.put_place(&place).map_err(Failure::into_answer))
                    .await?;
            }
        }
        if applied != Applied::default() {
            let Applied { expired_count, noncurrent_count, markers_count, uploads_count } = applied;
            tracing::info!(
                bucket,
                expired_count,
                noncurrent_count,
                markers_count,
                uploads_count,
                "lifecycle rules applied"
            );
        }
        Ok(Passed { applied, is_done })
    }

    /// Does what is due on a page. Uploads are ended one after the other, each in a change of its own: one may be large, and
    /// others wait for the writer.
    ///
    /// # Errors
    /// On a full disk those of what would let the rows grow. Where the pass is may be noted all the same.
    async fn act(&self, writer: &Writer, bucket: &str, page: Page) -> Result<Applied, S3Error> {
        let Page { incarnation, items, place } = page;
        let is_of_uploads = matches!(items.first(), Some(Item::Upload { .. }));
        let mut changes: VecDeque<_> =
            if is_of_uploads { items.into_iter().map(|item| vec![item]).collect() } else { [items].into() };
        let mut applied = Applied::default();
        while let Some(items) = changes.pop_front() {
            let change = if is_of_uploads { Change::Nothing } else { keys_of(bucket, &items) };
            // With the last of them the page is done.
            let place = place.clone().filter(|_| changes.is_empty());
            let (bucket, day) = (bucket.to_owned(), self.day);
            let (disk, writer) = (Arc::clone(&self.disk), writer.clone());
            let act = move |txn: &mut Txn<'_>| {
                txn.apply_lifecycle(&bucket, &incarnation, items, day, place.as_ref())
                    .map_err(Failure::into_answer)
            };
            // In a task of its own: who stops waiting changes nothing about the change.
            let acting =
                tokio::spawn(
                    async move { announced(&disk, &writer, &change, None, Growth::Free, act).await },
                );
            let outcome = acting.await.unwrap_or_else(|lost| Err(S3Error::internal_error(lost)))?;
            self.disk.metrics.lifecycle_applied(&outcome);
            applied.add(&outcome);
        }
        Ok(applied)
    }

    /// The next bucket with rules that are enabled.
    async fn next_bucket(&self, after: Option<String>) -> Result<Option<String>, S3Error> {
        let mut after = after;
        loop {
            let from = after.take();
            let (found, rest) = self
                .read(move |rows, _| {
                    let mut last = None;
                    for bucket in rows.buckets(from.as_deref())?.take(BUCKETS_MAX) {
                        let (name, bucket) = match bucket {
                            Ok(bucket) => bucket,
                            // Whoever asks for this bucket is told; the others go on.
                            Err(Failure::Corrupt(_)) => continue,
                            Err(failure) => return Err(failure),
                        };
                        if bucket.facts.lifecycle.is_some_and(|rules| rules.is_active()) {
                            return Ok((Some(name), None));
                        }
                        last = Some(name);
                    }
                    Ok((None, last))
                })
                .await?;
            match (found, rest) {
                (None, Some(last)) => after = Some(last),
                (found, _) => return Ok(found),
            }
        }
    }

    async fn noted_place(&self) -> Result<Option<Place>, S3Error> {
        self.read(|rows, _| rows.decoded(Table::Store, PLACE_KEY)).await
    }

    /// Reads one snapshot, on a blocking thread, told the time.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&RowSnapshot<'_>, u64) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, S3Error> {
        let disk = Arc::clone(&self.disk);
        let read = move || read(&disk.db.snapshot()?, disk.seams.clock.now_millis());
        self.disk.files.run(read).await.map_err(Failure::into_answer)
    }
}

impl Applied {
    fn add(&mut self, other: &Self) {
        self.expired_count += other.expired_count;
        self.noncurrent_count += other.noncurrent_count;
        self.markers_count += other.markers_count;
        self.uploads_count += other.uploads_count;
    }
}

impl Stage {
    const fn table(self) -> Table {
        match self {
            Self::Objects => Table::Objects,
            Self::Versions => Table::Versions,
            Self::Uploads => Table::Uploads,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Objects => Some(Self::Versions),
            Self::Versions => Some(Self::Uploads),
            Self::Uploads => None,
        }
    }

    /// The place behind all rows of this kind in `bucket`; `None` behind the last kind.
    fn after(self, bucket: &str) -> Option<Place> {
        self.next().map(|stage| Place { bucket: bucket.to_owned(), stage, behind: Vec::new() })
    }

    const fn items_max(self) -> usize {
        match self {
            Self::Objects | Self::Versions => REMOVED_MAX,
            Self::Uploads => ABORTED_MAX,
        }
    }

    /// The prefixes of the keys that `rules` are about, none within another, in their order.
    fn prefixes(self, rules: &Lifecycle) -> Vec<&str> {
        let mut prefixes: Vec<_> = match self {
            Self::Objects | Self::Versions => rules.prefixes_of_versions().collect(),
            Self::Uploads => rules.prefixes_of_uploads().collect(),
        };
        prefixes.sort_unstable();
        // What starts with the one before is behind it.
        prefixes.dedup_by(|prefix, before| prefix.starts_with(*before));
        prefixes
    }
}

/// Until the next pass, after one that took `elapsed`. One that could not do all is made anew soon: it reads everything once
/// more, and so has a tenth of the time at most.
fn pause_after(is_done: bool, elapsed: Duration, pause: Duration) -> Duration {
    if is_done { pause } else { pause.min(RETRY_MAX.max(9 * elapsed)) }
}

/// Whether something was not what was written, there alone.
fn is_damage(error: &S3Error) -> bool {
    error.code() == &S3ErrorCode::InternalError && matches!(Failure::behind(error), Failure::Corrupt(_))
}

fn keys_of(bucket: &str, items: &[Item]) -> Change {
    let mut keys: Vec<_> = items.iter().map(|item| item.key().to_owned()).collect();
    keys.dedup();
    Change::Keys { bucket: bucket.to_owned(), keys }
}

impl Item {
    fn key(&self) -> &str {
        match self {
            Self::Object { key } | Self::Version { key, .. } | Self::Upload { key, .. } => key,
        }
    }
}

/// Looks at the page behind `at`; `None` where the bucket is gone or has no rules.
fn look<R: ReadRows>(rows: &R, at: &Place, now: u64, day: Day) -> Result<Option<Page>, Failure> {
    let Place { bucket, stage, behind } = at;
    let Some(found) = rows.bucket(bucket)? else { return Ok(None) };
    let Facts { incarnation, lifecycle: Some(rules), .. } = &found.facts else { return Ok(None) };
    let judge = Judge { bucket, rules, now, day };
    let mut page = Page { incarnation: *incarnation, items: Vec::new(), place: None };
    let mut rows_count = 0;
    for prefix in stage.prefixes(rules) {
        let Some((from, to)) = rest(keys::prefixed(bucket, prefix), behind) else { continue };
        let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        for row in rows.rows(stage.table(), range)? {
            let (row_key, value) = row?;
            rows_count += 1;
            page.items.extend(judge.item(rows, *stage, &row_key, &value)?);
            if rows_count == ROWS_MAX || page.items.len() == stage.items_max() {
                page.place = Some(Place { behind: row_key, ..at.clone() });
                return Ok(Some(page));
            }
        }
    }
    page.place = stage.after(bucket);
    Ok(Some(page))
}

/// What of a range of row keys is behind `behind`.
fn rest((from, to): Span, behind: &[u8]) -> Option<Span> {
    let from = match from {
        Bound::Included(from) if from.as_slice() > behind => Bound::Included(from),
        _ => Bound::Excluded(behind.to_vec()),
    };
    let is_past = match (&from, &to) {
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        _ => false,
    };
    (!is_past).then_some((from, to))
}

/// Says what goes of a bucket, at one moment.
#[derive(Clone, Copy)]
struct Judge<'a> {
    bucket: &'a str,
    rules: &'a Lifecycle,
    /// Milliseconds since 1970.
    now: u64,
    day: Day,
}

/// Why a version that is not current, or a delete marker, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    Noncurrent,
    LoneMarker,
}

impl Judge<'_> {
    /// What is in a row, if it goes.
    fn item<R: ReadRows>(
        self,
        rows: &R,
        stage: Stage,
        row_key: &[u8],
        value: &[u8],
    ) -> Result<Option<Item>, Failure> {
        let (key, tail) = keys::split(self.bucket, row_key)?;
        Ok(match stage {
            Stage::Objects => {
                let ObjectRow { head, .. } = decode(value)?;
                self.is_expired(&key, &head).then_some(Item::Object { key })
            }
            Stage::Versions => {
                let order = keys::order(tail)?;
                let removal = self.removal(rows, &key, order, &decode(value)?)?;
                removal.map(|_| Item::Version { key, order })
            }
            Stage::Uploads => {
                let upload_id = String::from_utf8(tail.to_vec())
                    .map_err(|_| Failure::Corrupt("an upload's id is not UTF-8".into()))?;
                self.is_abandoned(&key, &decode(value)?).then_some(Item::Upload { key, upload_id })
            }
        })
    }

    fn is_expired(self, key: &str, current: &Head) -> bool {
        self.is_over(self.rules.expiration(key, current, self.day))
    }

    fn is_abandoned(self, key: &str, upload: &UploadRow) -> bool {
        self.is_over(self.rules.abortion(key, upload.initiated_millis, self.day))
    }

    /// Whether what is at `order` of a key, and is not current, goes.
    ///
    /// In a row of an earlier release it is not said since when it is not current: then it is since the next newer version
    /// was made. If that one is gone by now, its own successor's time counts: the version stays a while longer than it
    /// had to, and none goes too early.
    fn removal<R: ReadRows>(
        self,
        rows: &R,
        key: &str,
        order: u64,
        row: &VersionRow,
    ) -> Result<Option<Removal>, Failure> {
        let head = match row {
            VersionRow::Object(object) => Some(&object.head),
            VersionRow::Marker(_) => None,
        };
        let is_over = |since_millis, newer_count| {
            let version = Noncurrent { head, since_millis, newer_count };
            self.is_over(self.rules.noncurrent_expiration(key, version, self.day))
        };
        let lone = self.rules.lone_marker_expiration(key, row.modified_millis(), self.day);
        let may_be_lone = head.is_none() && self.is_over(lone);
        let superseded_millis = row.superseded_millis();
        // At the earliest: most rows need no look at their neighbours.
        if !is_over(superseded_millis.unwrap_or(row.modified_millis()), u32::MAX) && !may_be_lone {
            return Ok(None);
        }
        let of_key = keys::versions(self.bucket, key);
        let at = keys::version(self.bucket, key, order);
        let newer = (Bound::Included(of_key.start().as_slice()), Bound::Excluded(at.as_slice()));
        let mut newer = rows.rows(Table::Versions, newer)?.rev();
        let next_newer = newer.next().transpose()?;
        let current = rows.current(self.bucket, key)?;
        Ok(match (next_newer, current) {
            (None, None) => {
                let older = (Bound::Excluded(at.as_slice()), Bound::Included(of_key.end().as_slice()));
                let is_lone = rows.rows(Table::Versions, older)?.next().transpose()?.is_none();
                (is_lone && may_be_lone).then_some(Removal::LoneMarker)
            }
            (None, Some(current)) => {
                let since_millis = superseded_millis.unwrap_or(current.head.modified_millis);
                is_over(since_millis, 0).then_some(Removal::Noncurrent)
            }
            (Some((_, next_newer)), current) => {
                let since_millis = match superseded_millis {
                    Some(since_millis) => since_millis,
                    None => decode::<VersionRow>(&next_newer)?.modified_millis(),
                };
                let others = newer.take(self.rules.newer_kept_max());
                let others = others.collect::<Result<Vec<_>, _>>()?.len();
                // Where there is no current object the newest of these rows is a delete marker in its place.
                let newer_count = 1 + others - usize::from(current.is_none());
                let newer_count = u32::try_from(newer_count).unwrap_or(u32::MAX);
                is_over(since_millis, newer_count).then_some(Removal::Noncurrent)
            }
        })
    }

    fn is_over(self, due: Option<Due<'_>>) -> bool {
        due.is_some_and(|due| due.millis <= self.now)
    }
}

impl Txn<'_> {
    /// Removes what goes of `items` by the rules of the bucket as they are now, and notes the place behind them.
    ///
    /// # Errors
    /// A full disk, where the rows of all that would grow.
    fn apply_lifecycle(
        &mut self,
        bucket: &str,
        incarnation: &Instance,
        items: Vec<Item>,
        day: Day,
        place: Option<&Place>,
    ) -> Result<Applied, Failure> {
        let applied = self.apply_rules(bucket, incarnation, items, day)?;
        self.settle_room()?;
        place.map_or(Ok(()), |place| self.put_place(place))?;
        Ok(applied)
    }

    fn apply_rules(
        &mut self,
        bucket: &str,
        incarnation: &Instance,
        items: Vec<Item>,
        day: Day,
    ) -> Result<Applied, Failure> {
        let mut applied = Applied::default();
        let Some(found) = self.bucket(bucket)?.filter(|found| found.facts.incarnation == *incarnation) else {
            return Ok(applied);
        };
        let Facts { lifecycle: Some(rules), versioning, .. } = &found.facts else { return Ok(applied) };
        let judge = Judge { bucket, rules, now: self.now_millis(), day };
        // The oldest version first: of the newer ones, which may go as well, it counts how many there are.
        for item in items.into_iter().rev() {
            match item {
                Item::Object { key } => {
                    applied.expired_count += u64::from(self.expire(judge, &key, *versioning)?);
                }
                Item::Version { key, order } => match self.remove_due(judge, &key, order)? {
                    Some(Removal::Noncurrent) => applied.noncurrent_count += 1,
                    Some(Removal::LoneMarker) => applied.markers_count += 1,
                    None => {}
                },
                Item::Upload { key, upload_id } => {
                    applied.uploads_count += u64::from(self.abort_due(judge, &key, &upload_id)?);
                }
            }
        }
        Ok(applied)
    }

    fn expire(&mut self, judge: Judge<'_>, key: &str, versioning: Versioning) -> Result<bool, Failure> {
        let current = self.current(judge.bucket, key)?;
        if !current.is_some_and(|current| judge.is_expired(key, &current.head)) {
            return Ok(false);
        }
        match versioning {
            Versioning::Never => drop(self.delete_object(judge.bucket, key)?),
            Versioning::Enabled | Versioning::Suspended => {
                self.put_marker(judge.bucket, key, versioning, None)?;
            }
        }
        Ok(true)
    }

    fn remove_due(&mut self, judge: Judge<'_>, key: &str, order: u64) -> Result<Option<Removal>, Failure> {
        let Some(row) = self.older_at(judge.bucket, key, order)? else { return Ok(None) };
        let removal = judge.removal(self, key, order, &row)?;
        if removal.is_some() {
            let wrong = || Failure::Corrupt("a version's id is none".into());
            let named = named(row.version_id()).ok_or_else(wrong)?;
            self.remove_version(judge.bucket, key, &named)?;
        }
        Ok(removal)
    }

    fn abort_due(&mut self, judge: Judge<'_>, key: &str, upload_id: &str) -> Result<bool, Failure> {
        let upload = self.upload(judge.bucket, key, upload_id)?;
        if !upload.is_some_and(|upload| judge.is_abandoned(key, &upload)) {
            return Ok(false);
        }
        self.delete_upload(judge.bucket, key, upload_id)?;
        Ok(true)
    }

    fn put_place(&mut self, place: &Place) -> Result<(), Failure> {
        self.rows.put_row(Table::Store, PLACE_KEY, &encode(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_could_not_do_all_is_made_anew_soon_but_not_all_the_time() {
        let (hour, minute, second) =
            (Duration::from_secs(3600), Duration::from_secs(60), Duration::from_secs(1));
        for (is_done, elapsed, pause, expected) in [
            (true, second, hour, hour),
            (false, second, hour, minute),
            (false, minute, hour, 9 * minute),
            (false, hour, hour, hour),
            (false, second, second, second),
        ] {
            assert_eq!(pause_after(is_done, elapsed, pause), expected, "{is_done} {elapsed:?}");
        }
    }
}
