//! Removing what is left over: superseded instances after their grace, their files, and old memories of uploads.
//!
//! In three steps, each safe to lose: one commit removes the rows of what is due and puts files without references
//! into the trash; the files are removed; a second commit empties the trash of them.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use s3s::S3Error;

use super::commit::{WeakWriter, Writer};
use super::db::ReadRows;
use super::disk::Disk;
use super::due::{self, Kind, Since};
use super::failure::Failure;
use super::readers::Readers;
use super::rows::{FileRow, decode};
use super::table::Table;
use crate::instance::Instance;

/// Leftovers in one commit: others wait for the writer meanwhile.
const LEFTOVERS_MAX: usize = 128;
/// How long a finished upload can be finished again with the same answer.
const COMPLETED_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

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
            if let Err(error) = self.reap(&writer).await {
                tracing::warn!(%error, "leftovers are not removed for now");
                drop(writer);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Removes everything that is due now.
    ///
    /// # Errors
    /// Those of the first that cannot be removed; the others are.
    pub(super) async fn reap(&self, writer: &Writer) -> Result<(), S3Error> {
        let ended = self.end_all_due(writer).await;
        while self.empty_trash(writer).await? == LEFTOVERS_MAX {}
        self.readers.forget_before(self.disk.running().saturating_sub(self.grace));
        ended
    }

    async fn end_all_due(&self, writer: &Writer) -> Result<(), S3Error> {
        while self.end_due(writer).await? == LEFTOVERS_MAX {}
        Ok(())
    }

    /// Ends some of what is due, each in a change of its own, so that a damaged one holds up no other; how many.
    async fn end_due(&self, writer: &Writer) -> Result<usize, S3Error> {
        let (disk, grace) = (Arc::clone(&self.disk), self.grace);
        let due = self.disk.files.run(move || due_rows(&disk, grace)).await?;
        let count = due.len();
        let ended = due.into_iter().map(|due| {
            let (disk, readers, grace) = (Arc::clone(&self.disk), self.readers.clone(), self.grace);
            writer.submit(move |txn| {
                let last_read = |instance: &Instance| readers.last_read(instance, disk.running());
                Ok(txn.end_leftover(&due, grace, last_read)?)
            })
        });
        join_all(ended).await.into_iter().collect::<Result<(), _>>()?;
        Ok(count)
    }

    /// Removes some files of the trash; how many.
    async fn empty_trash(&self, writer: &Writer) -> Result<usize, S3Error> {
        let disk = Arc::clone(&self.disk);
        let (removed, failed) = self.disk.files.run(move || remove_trash(&disk)).await?;
        let count = removed.len();
        if count > 0 {
            writer.submit(move |txn| Ok(txn.forget_trash(&removed)?)).await?;
        }
        failed.map_or(Ok(count), |failure| Err(failure.into()))
    }
}

fn due_rows(disk: &Disk, grace: Duration) -> Result<Vec<Vec<u8>>, Failure> {
    let now = Since { epoch: disk.epoch, running: disk.running() };
    let rows = disk.db.snapshot()?;
    let mut due = Vec::new();
    for (kind, period) in [(Kind::Instance, grace), (Kind::Completed, COMPLETED_REMEMBERED)] {
        for (from, to) in due::ranges(kind, now, period) {
            let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
            for row in rows.rows(Table::Due, range)?.take(LEFTOVERS_MAX - due.len()) {
                due.push(row?.0);
            }
        }
    }
    Ok(due)
}

/// Removes files of the trash; which, and what kept others from it.
fn remove_trash(disk: &Disk) -> Result<(Vec<Instance>, Option<Failure>), Failure> {
    let trash = disk
        .db
        .snapshot()?
        .rows(Table::Trash, (Bound::Unbounded, Bound::Unbounded))?
        .take(LEFTOVERS_MAX)
        .collect::<Result<Vec<_>, _>>()?;
    let mut removed = Vec::with_capacity(trash.len());
    let mut failed = None;
    let mut folders = BTreeSet::new();
    for (key, value) in trash {
        let file = Instance::from_bytes(
            key.as_slice().try_into().map_err(|_| Failure::Corrupt("row key of table trash".into()))?,
        );
        let row: FileRow = decode(&value)?;
        match disk.files.remove(row.epoch, &file) {
            Ok(()) => {
                disk.metrics.removed_file();
                folders.insert((row.epoch, disk.files.folder(row.epoch, &file)));
                removed.push(file);
            }
            Err(cause) => failed = Some(cause.into()),
        }
    }
    for (epoch, folder) in folders {
        disk.files.settle_folder(epoch, &folder)?;
    }
    Ok((removed, failed))
}
