//! Removing what is left over: superseded instances after their grace, their files, and old memories of uploads.
//!
//! In three steps, each safe to lose: one commit removes the rows of what is due and puts files without references
//! into the trash; the files are removed; a second commit empties the trash of them.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use s3s::S3Error;

use super::commit::Writer;
use super::db::{ReadRows, Table};
use super::disk::Disk;
use super::due::{self, Kind, Leftover, Since};
use super::failure::Failure;
use super::readers::Readers;
use super::rows::{FileRow, decode};
use super::txn::Txn;
use crate::instance::Instance;

/// Leftovers in one commit: others wait for the writer meanwhile.
const LEFTOVERS_MAX: usize = 128;
/// How long a finished upload can be finished again with the same answer.
const COMPLETED_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Removes what is due.
pub(super) struct Reaper {
    pub(super) disk: Arc<Disk>,
    pub(super) readers: Readers,
    pub(super) grace: Duration,
}

impl Reaper {
    /// Removes everything that is due now.
    pub(super) async fn reap(&self, writer: &Writer) -> Result<(), S3Error> {
        while self.remove_due(writer).await? == LEFTOVERS_MAX {}
        while self.empty_trash(writer).await? == LEFTOVERS_MAX {}
        self.readers.forget_before(self.disk.running().saturating_sub(self.grace));
        Ok(())
    }

    /// Removes some of what is due; how many rows it looked at.
    async fn remove_due(&self, writer: &Writer) -> Result<usize, S3Error> {
        let (disk, grace) = (Arc::clone(&self.disk), self.grace);
        let due = self.disk.files.run(move || due_rows(&disk, grace)).await?;
        let count = due.len();
        if count > 0 {
            let (disk, readers, grace) = (Arc::clone(&self.disk), self.readers.clone(), self.grace);
            writer.submit(move |txn| remove(txn, due, &disk, &readers, grace)).await?;
        }
        Ok(count)
    }

    /// Removes some files of the trash; how many.
    async fn empty_trash(&self, writer: &Writer) -> Result<usize, S3Error> {
        let disk = Arc::clone(&self.disk);
        let removed = self.disk.files.run(move || remove_trash(&disk)).await?;
        let count = removed.len();
        if count > 0 {
            writer.submit(move |txn| Ok(txn.forget_trash(&removed)?)).await?;
        }
        Ok(count)
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

fn remove(
    txn: &mut Txn<'_>,
    due: Vec<Vec<u8>>,
    disk: &Disk,
    readers: &Readers,
    grace: Duration,
) -> Result<(), S3Error> {
    let now = disk.running();
    for key in due {
        match due::leftover(&key)? {
            Leftover::Completed(upload_id) => txn.forget_completed(&upload_id, &key)?,
            Leftover::Instance(instance) => match readers.last_read(&instance, now) {
                Some(last) if last + grace > now => txn.renew(&instance, &key, last)?,
                _ => txn.remove_leftover(&instance, &key)?,
            },
        }
    }
    Ok(())
}

fn remove_trash(disk: &Disk) -> Result<Vec<Instance>, Failure> {
    let trash = disk
        .db
        .snapshot()?
        .rows(Table::Trash, (Bound::Unbounded, Bound::Unbounded))?
        .take(LEFTOVERS_MAX)
        .collect::<Result<Vec<_>, _>>()?;
    let mut removed = Vec::with_capacity(trash.len());
    for (key, value) in trash {
        let file = Instance::from_bytes(
            key.as_slice().try_into().map_err(|_| Failure::Corrupt("row key of table trash".into()))?,
        );
        let row: FileRow = decode(&value)?;
        disk.files.remove(row.epoch, &file)?;
        disk.metrics.removed_file();
        removed.push(file);
    }
    Ok(removed)
}
