//! Removing what is left over: superseded instances after their grace, their files, and old memories of uploads.
//!
//! In three steps, each safe to lose: one commit, or several where there is much, removes the rows of what is due and puts
//! files without references into the trash; the files are removed; another commit empties the trash of them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use s3s::S3Error;

use super::commit::{Growth, WeakWriter, Writer};
use super::db::{ReadRows, Row};
use super::disk::Disk;
use super::due::{self, Kind, Since, Span};
use super::failure::Failure;
use super::instances::{ENDED_ROWS_MAX, rows_to_end};
use super::readers::Readers;
use super::rows::{FileRow, decode};
use super::table::Table;
use super::txn::Txn;
use crate::instance::Instance;

/// Leftovers in one look.
const LEFTOVERS_MAX: usize = 128;
/// Rows in one look, damaged ones among them: a damaged table may have no end.
const LOOKED_AT_MAX: usize = 10_000;
/// How long a finished upload can be finished again with the same answer.
const COMPLETED_REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How long a rename that is tried again is known to have been done. Clients try again within seconds, and with a token
/// each time: SDKs make one up where their user names none.
const RENAMED_REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// Between two looks at what is due.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Removes what is due.
pub(super) struct Reaper {
    pub(super) disk: Arc<Disk>,
    pub(super) readers: Readers,
    pub(super) grace: Duration,
}

impl Reaper {
    /// Removes what is due, over and over, until the writer is closed.
    pub(super) async fn run(self, writer: WeakWriter) {
        // Often enough that a leftover outstays its grace by a quarter, and once a minute at least.
        let pause = (self.grace / 4).clamp(PAUSE_MIN, PAUSE_MAX);
        loop {
            tokio::time::timeout(pause, self.disk.reap_now.notified()).await.ok();
            let Some(writer) = writer.upgrade() else { return };
            if let Err(failure) = self.reap(&writer).await {
                match &failure {
                    Failure::Corrupt(_) => tracing::error!(%failure, "a damaged leftover stays"),
                    Failure::Io(_) | Failure::NotOpen | Failure::Closed => {
                        tracing::warn!(%failure, "leftovers are not removed for now");
                    }
                }
                drop(writer);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Removes everything that is due now. What is damaged, and files that cannot be removed, hold up nothing else.
    ///
    /// # Errors
    /// What the first that stayed failed with; those of the metadata file, which fail all the others too.
    pub(super) async fn reap(&self, writer: &Writer) -> Result<(), Failure> {
        let mut stayed = Stayed::default();
        let ended = self.end_all_due(writer, &mut stayed).await;
        let emptied = self.empty_trash(writer, &mut stayed).await;
        self.readers.forget_before(self.disk.running().saturating_sub(self.grace));
        ended.and(emptied).and(stayed.0.map_or(Ok(()), Err))
    }

    async fn end_all_due(&self, writer: &Writer, stayed: &mut Stayed) -> Result<(), Failure> {
        let now = Since { epoch: self.disk.epoch, running: self.disk.running() };
        for (kind, period) in [
            (Kind::Instance, self.grace),
            (Kind::Completed, COMPLETED_REMEMBERED),
            (Kind::Renamed, RENAMED_REMEMBERED),
            // Long ago by now: those that an end of the process has left half done.
            (Kind::Segments, Duration::ZERO),
        ] {
            for range in due::ranges(kind, now, period) {
                let mut rest = Some(range);
                while let Some(range) = rest {
                    let mut look = self.look(Table::Due, range).await?;
                    for leftovers in self.shares(std::mem::take(&mut look.rows)).await? {
                        self.end(writer, leftovers, stayed).await?;
                    }
                    stayed.add(look.stayed.0);
                    rest = look.rest;
                }
            }
        }
        Ok(())
    }

    /// Leftovers in shares that are ended one after the other: no share writes much, for others wait for the writer.
    async fn shares(&self, leftovers: Vec<Row>) -> Result<Vec<Vec<Row>>, Failure> {
        let disk = Arc::clone(&self.disk);
        self.disk.files.run(move || Ok(shares(&disk.db.snapshot()?, leftovers))).await
    }

    /// Ends leftovers side by side, each in changes of its own, so that a damaged one holds up no other.
    async fn end(&self, writer: &Writer, leftovers: Vec<Row>, stayed: &mut Stayed) -> Result<(), Failure> {
        let ended = leftovers.into_iter().map(|(due, _)| self.end_one(writer, due));
        for error in join_all(ended).await.into_iter().filter_map(Result::err) {
            stayed.add_damage(Failure::behind(&error))?;
        }
        Ok(())
    }

    async fn end_one(&self, writer: &Writer, due: Vec<u8>) -> Result<(), S3Error> {
        let mut rest = Some(due);
        while let Some(due) = rest {
            let (disk, readers, grace) = (Arc::clone(&self.disk), self.readers.clone(), self.grace);
            let end = move |txn: &mut Txn<'_>| {
                let last_read = |instance: &Instance| readers.last_read(instance, disk.running());
                txn.end_leftover(&due, grace, last_read).map_err(Failure::into_answer)
            };
            rest = writer.submit(Growth::Free, end).await?;
        }
        Ok(())
    }

    async fn empty_trash(&self, writer: &Writer, stayed: &mut Stayed) -> Result<(), Failure> {
        let mut rest = Some((Bound::Unbounded, Bound::Unbounded));
        while let Some(range) = rest {
            let look = self.look(Table::Trash, range).await?;
            let disk = Arc::clone(&self.disk);
            let (removed, others) = self.disk.files.run(move || Ok(remove_files(&disk, look.rows))).await?;
            if !removed.is_empty() {
                let forgotten = writer.submit(Growth::Free, move |txn| Ok(txn.forget_trash(&removed)?)).await;
                forgotten.map_err(|error| Failure::behind(&error))?;
            }
            stayed.add(look.stayed.0);
            stayed.add(others.0);
            rest = look.rest;
        }
        Ok(())
    }

    async fn look(&self, table: Table, range: Span) -> Result<Look, Failure> {
        let disk = Arc::clone(&self.disk);
        self.disk.files.run(move || look(&disk, table, range)).await
    }
}

/// Why the first of what stays could not be removed.
#[derive(Default)]
struct Stayed(Option<Failure>);

impl Stayed {
    fn add(&mut self, failure: Option<Failure>) {
        self.0 = self.0.take().or(failure);
    }

    /// Notes a failure of one leftover.
    ///
    /// # Errors
    /// One that is not its own: the others would meet it too.
    fn add_damage(&mut self, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Corrupt(_) => self.add(Some(failure)),
            Failure::Io(_) | Failure::NotOpen | Failure::Closed => return Err(failure),
        }
        Ok(())
    }
}

/// Some rows of a range.
struct Look {
    rows: Vec<Row>,
    stayed: Stayed,
    /// The range behind them, if they were not all.
    rest: Option<Span>,
}

/// The first rows of a range; damaged ones among them are passed over.
fn look(disk: &Disk, table: Table, (from, to): Span) -> Result<Look, Failure> {
    let snapshot = disk.db.snapshot()?;
    let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
    let (mut rows, mut stayed) = (Vec::new(), Stayed::default());
    for row in snapshot.rows(table, range)?.take(LOOKED_AT_MAX) {
        match row {
            Ok(row) => rows.push(row),
            Err(failure) => stayed.add_damage(failure)?,
        }
        if rows.len() == LEFTOVERS_MAX {
            break;
        }
    }
    let is_full = rows.len() == LEFTOVERS_MAX;
    let rest = rows.last().filter(|_| is_full).map(|(last, _)| (Bound::Excluded(last.clone()), to));
    Ok(Look { rows, stayed, rest })
}

/// What is damaged counts as little: its change says so.
fn shares<R: ReadRows>(rows: &R, leftovers: Vec<Row>) -> Vec<Vec<Row>> {
    let mut shares: Vec<Vec<Row>> = Vec::new();
    let mut rows_left = 0;
    for leftover in leftovers {
        let rows_count = rows_to_end(rows, &leftover.0).unwrap_or(1);
        match shares.last_mut().filter(|_| rows_count <= rows_left) {
            Some(share) => {
                share.push(leftover);
                rows_left -= rows_count;
            }
            None => {
                shares.push(vec![leftover]);
                rows_left = ENDED_ROWS_MAX - rows_count;
            }
        }
    }
    shares
}

/// Removes files of the trash: those whose removal lasts.
fn remove_files(disk: &Disk, trash: Vec<Row>) -> (Vec<Instance>, Stayed) {
    let mut stayed = Stayed::default();
    let mut folders: BTreeMap<(u64, PathBuf), Vec<Instance>> = BTreeMap::new();
    for row in trash {
        match remove_file(disk, &row) {
            Ok((epoch, file)) => {
                folders.entry((epoch, disk.files.folder(epoch, &file))).or_default().push(file);
            }
            Err(failure) => stayed.add(Some(failure)),
        }
    }
    let mut removed = Vec::new();
    for ((epoch, folder), files) in folders {
        match disk.files.settle_folder(epoch, &folder) {
            Ok(()) => removed.extend(files),
            Err(cause) => stayed.add(Some(cause.into())),
        }
    }
    removed.iter().for_each(|_| disk.metrics.removed_file());
    (removed, stayed)
}

fn remove_file(disk: &Disk, (key, value): &Row) -> Result<(u64, Instance), Failure> {
    let id = key.as_slice().try_into().map_err(|_| Failure::Corrupt("row key of table trash".into()))?;
    let (file, row): (_, FileRow) = (Instance::from_bytes(id), decode(value)?);
    disk.files.remove(row.epoch, &file)?;
    Ok((row.epoch, file))
}
