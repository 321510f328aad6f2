//! What a start puts in order: data files that were never published are removed.

use std::fs;
use std::io;
use std::path::Path;

use super::db::ReadRows;
use super::disk::{Disk, put_swept_epoch, swept_epoch};
use super::failure::Failure;
use super::table::Table;
use crate::instance::Instance;

/// Removes the files without a row that the epochs before this one left; how many.
pub(super) fn sweep(disk: &Disk) -> Result<u64, Failure> {
    let mut removed = 0;
    let last = disk.epoch - 1;
    for epoch in swept_epoch(&disk.db)? + 1..=last {
        removed += sweep_epoch(disk, epoch)?;
    }
    put_swept_epoch(&disk.db, last)?;
    Ok(removed)
}

fn sweep_epoch(disk: &Disk, epoch: u64) -> Result<u64, Failure> {
    let mut removed = 0;
    for shard in entries(&disk.files.epoch_dir(epoch))? {
        removed += sweep_shard(disk, epoch, &shard)?;
        disk.files.settle_folder(epoch, &shard)?;
    }
    // An epoch without a file has no folder whose removal takes this one along.
    fs::remove_dir(disk.files.epoch_dir(epoch)).ok();
    Ok(removed)
}

fn sweep_shard(disk: &Disk, epoch: u64, shard: &Path) -> Result<u64, Failure> {
    let rows = disk.db.snapshot()?;
    let mut removed = 0;
    for path in entries(shard)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Ok(id) = name.parse::<Instance>() else {
            tracing::warn!(path = %path.display(), "not a data file; left alone");
            continue;
        };
        let known = |table| Ok::<_, Failure>(rows.row(table, id.as_bytes())?.is_some());
        if !known(Table::Files)? && !known(Table::Trash)? {
            disk.files.remove(epoch, &id)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    match fs::read_dir(dir) {
        Ok(found) => Ok(found.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(cause.into()),
    }
}
