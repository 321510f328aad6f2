//! The scrub of an open store: every row is read, and every stored byte from the disk, and held against its sum, at a bounded
//! rate, while clients go on. See ops/decisions on what a scrub reads.
//!
//! It goes by name: current objects, older versions, unfinished uploads with their parts; of a whole store then the rows that
//! are of no object, and data files that no row names. Nothing is repaired: of each byte there is one copy here.
//!
//! It runs in steps of about a second, each asked for by whoever wants it, with the place where the one before ended: so
//! nobody's scrub outlives the one who asked, and a place can be gone on from at any time.

mod damage;
mod file_pages;
mod place;
mod unnamed;
mod walk;

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use s3s::{S3Error, s3_error};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

pub use damage::{Damage, DamageKind, Damaged, add_damage};
pub use place::{NotAPlace, ScrubPlace, ScrubScope};

use super::RegionalStore;
use super::commit::Growth;
use super::db::ReadRows;
use super::disk::Disk;
use super::failure::Failure;
use super::rows::{Reads, decode};
use super::table::Table;
use super::usage::UsageRow;
use file_pages::FileReader;
use place::Place;
use walk::Run;

/// How long a step takes, but for the last thing that it reads.
const STEP: Duration = Duration::from_secs(1);
/// What a step finds at most, but for the last thing that it reads.
const FOUND_MAX: usize = 1000;

/// Rows of what accounts keep that are passed over because they are damaged.
const PASSED_ROWS_MAX: usize = 1000;

/// The row that says when everything was scrubbed last, in seconds since 1970.
pub(super) const SCRUBBED_KEY: &[u8] = b"scrubbed";

/// What to scrub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToScrub {
    /// From the beginning.
    Begin(ScrubScope),
    /// From where a step ended.
    GoOn(ScrubPlace),
}

/// What one step has read and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Versions of objects read to their ends.
    pub objects: u64,
    /// Parts of unfinished uploads read to their ends.
    pub parts: u64,
    /// Stored bytes that were read.
    pub bytes: u64,
    /// Bytes that all objects and parts have together, when everything is begun and the metadata says it.
    pub kept_bytes: Option<u64>,
    /// What is not as it was written.
    pub damage: Vec<Damage>,
    /// Data files, under the store's `data`, that no row names.
    pub unnamed_files: Vec<String>,
    /// Where the next step goes on; `None` when all is done.
    pub to: Option<ScrubPlace>,
}

impl Scrubbed {
    fn of(run: Run, kept_bytes: Option<u64>) -> Self {
        Self {
            objects: run.objects_count,
            parts: run.parts_count,
            bytes: run.read_bytes,
            kept_bytes,
            damage: run.damage,
            unnamed_files: run.unnamed_files,
            to: run.to.map(ScrubPlace),
        }
    }
}

impl RegionalStore {
    /// Reads on for about a second, at `bytes_per_second`, and says what it found; `None` where there is no such bucket. Steps take
    /// turns.
    ///
    /// # Errors
    /// `InvalidArgument` for a place in another region's store; `ServiceUnavailable` when the store is closed.
    pub async fn scrub(&self, wanted: ToScrub, bytes_per_second: u64) -> Result<Option<Scrubbed>, S3Error> {
        let _turn = self.shared.scrubbing.lock().await;
        let Some(Begun { run, kept_bytes }) = self.begin_step(wanted).await? else { return Ok(None) };
        let is_everything = run.to.as_ref().is_some_and(|place| place.scope == ScrubScope::Everything);
        let run = self.scrub_on(run, bytes_per_second).await?;
        if run.to.is_none() && is_everything {
            self.note_scrubbed().await;
        }
        Ok(Some(Scrubbed::of(run, kept_bytes)))
    }

    async fn begin_step(&self, wanted: ToScrub) -> Result<Option<Begun>, S3Error> {
        let region = self.region().to_owned();
        match wanted {
            ToScrub::GoOn(ScrubPlace(place)) if place.region == region => {
                Ok(Some(Begun { run: Run::new(place), kept_bytes: None }))
            }
            ToScrub::GoOn(_) => Err(s3_error!(InvalidArgument, "The place is in another store.")),
            ToScrub::Begin(scope) => {
                let disk = Arc::clone(&self.shared.disk);
                Ok(self.shared.disk.files.run(move || begin(&disk, region, scope)).await?)
            }
        }
    }

    /// Goes on from where `sum` ended until the step is over.
    async fn scrub_on(&self, mut sum: Run, bytes_per_second: u64) -> Result<Run, S3Error> {
        let begun = Instant::now();
        let mut reader = FileReader::new();
        while let Some(place) = sum.to.clone() {
            let disk = Arc::clone(&self.shared.disk);
            let reading = self.shared.disk.files.run(move || {
                let run = walk::run(&disk, &mut reader, place)?;
                Ok((reader, run))
            });
            let run;
            (reader, run) = reading.await?;
            sum.add(run);
            let due = sum.cost_bytes as f64 / bytes_per_second.max(1) as f64;
            sleep_until(begun + Duration::from_secs_f64(due)).await;
            if begun.elapsed() >= STEP || sum.damage.len() + sum.unnamed_files.len() >= FOUND_MAX {
                break;
            }
        }
        let metrics = &self.shared.disk.metrics;
        metrics.scrubbed(sum.read_bytes);
        for damage in &sum.damage {
            metrics.scrub_found(damage.kind);
            tracing::error!(region = self.region(), %damage, "a scrub found damage");
        }
        Ok(sum)
    }

    /// What is read between two looks at the clock, of everything.
    #[cfg(test)]
    pub(super) fn test_scrub_run(&self, place: Option<ScrubPlace>) -> Scrubbed {
        let beginning = || Place::begin(self.region().to_owned(), ScrubScope::Everything);
        let place = place.map_or_else(beginning, |place| place.0);
        let run = walk::run(&self.shared.disk, &mut FileReader::new(), place);
        Scrubbed::of(run.expect("the store is open"), None)
    }

    /// Notes that everything has been scrubbed now. What was found is to be told although that cannot be written down.
    async fn note_scrubbed(&self) {
        let seconds = self.shared.disk.seams.clock.now_millis() / 1000;
        self.shared.disk.metrics.scrub_completed(seconds);
        if let Err(error) = self.put_scrubbed(seconds).await {
            tracing::warn!(region = self.region(), %error, "the end of a scrub is not noted");
        }
    }

    async fn put_scrubbed(&self, seconds: u64) -> Result<(), S3Error> {
        let put = move |txn: &mut super::Txn<'_>| {
            Ok(txn.rows.put_row(Table::Store, SCRUBBED_KEY, &seconds.to_be_bytes())?)
        };
        self.writer()?.submit(Growth::Free, put).await
    }
}

/// When everything was scrubbed last, in seconds since 1970; 0 for never, and where the row is damaged.
pub(super) fn last_scrubbed(disk: &Disk) -> Result<u64, Failure> {
    match disk.db.snapshot()?.store_number(SCRUBBED_KEY) {
        Err(failure @ Failure::Corrupt(_)) => {
            tracing::error!(%failure, "it is not known when everything was scrubbed last");
            Ok(0)
        }
        told => told,
    }
}

/// Where a step begins.
struct Begun {
    run: Run,
    kept_bytes: Option<u64>,
}

/// In front of all that `scope` holds; `None` without such a bucket.
fn begin(disk: &Disk, region: String, scope: ScrubScope) -> Result<Option<Begun>, Failure> {
    let rows = disk.db.snapshot()?;
    let mut run = Run::new(Place::begin(region, scope.clone()));
    let kept_bytes = match scope {
        ScrubScope::Everything => walk::guarded(|| kept_bytes(&rows)).ok(),
        ScrubScope::Keys { bucket, .. } => match rows.bucket(&bucket) {
            Ok(None) => return Ok(None),
            Ok(Some(_)) => None,
            Err(failure @ (Failure::Io(_) | Failure::NotOpen | Failure::Closed)) => return Err(failure),
            Err(failure @ Failure::Corrupt(_)) => {
                let of = Damaged { bucket: Some(bucket), ..Damaged::default() };
                run.damage.push(walk::of_metadata(of, &failure));
                None
            }
        },
    };
    Ok(Some(Begun { run, kept_bytes }))
}

/// What all accounts keep; rows that are damaged are found later.
fn kept_bytes(rows: &impl ReadRows) -> Result<u64, Failure> {
    let (mut kept_bytes, mut passed_count) = (0, 0);
    for row in rows.rows(Table::Usage, (Bound::Unbounded, Bound::Unbounded))? {
        match row.and_then(|(_, value)| decode::<UsageRow>(&value)) {
            Ok(usage) => kept_bytes += usage.bytes,
            Err(Failure::Corrupt(_)) if passed_count < PASSED_ROWS_MAX => passed_count += 1,
            // redb gives an error of the file again for ever.
            Err(failure) => return Err(failure),
        }
    }
    Ok(kept_bytes)
}
