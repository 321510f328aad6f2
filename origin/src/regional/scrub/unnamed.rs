//! Data files that no row names, and that no start will find.
//!
//! A start removes the files that the epochs before it left without a row, each epoch once; those of the running one are
//! uploads on their way. What lies in other folders without a row is none of either: it comes from outside, or its row was
//! lost. It takes room, and it may be all that is left of an object, so it is told and left alone.

use std::fs;
use std::io;
use std::path::Path;

use super::place::Place;
use super::walk::Run;
use crate::instance::Instance;
use crate::regional::db::ReadRows;
use crate::regional::disk::Disk;
use crate::regional::failure::Failure;
use crate::regional::table::Table;

/// Names in one look.
const NAMES_MAX: usize = 512;

/// Names of an epoch's folder, of one of its folders, and of a file in that.
type Name = [String; 3];

/// Looks at some names behind `place`.
pub(super) fn look(disk: &Disk, place: &Place) -> Result<Option<Run>, Failure> {
    let behind = String::from_utf8_lossy(place.key.as_deref().unwrap_or_default()).into_owned();
    let mut names = behind.splitn(3, '/').map(str::to_owned);
    let behind: Name = std::array::from_fn(|_| names.next().unwrap_or_default());
    let names = next_names(disk, &behind)?;
    let Some(last) = names.last() else { return Ok(None) };
    let place = place.behind(last.join("/").into_bytes());
    let names_count = names.len();
    let unnamed = without_rows(disk, names)?;
    Ok(Some(Run::of_files(place, names_count, unnamed)))
}

/// The next names of one folder.
fn next_names(disk: &Disk, behind: &Name) -> Result<Vec<Name>, Failure> {
    let own = disk.files.epoch_dir(disk.epoch);
    let [behind_epoch, behind_shard, behind_file] = behind;
    for epoch in entries(disk.files.dir(), |name| name >= behind_epoch)? {
        let epoch_dir = disk.files.dir().join(&epoch);
        if epoch_dir == own {
            continue;
        }
        let is_same_epoch = epoch == *behind_epoch;
        for shard in entries(&epoch_dir, |name| !is_same_epoch || name >= behind_shard)? {
            let is_same = is_same_epoch && shard == *behind_shard;
            let mut files = entries(&epoch_dir.join(&shard), |name| !is_same || name > behind_file)?;
            files.truncate(NAMES_MAX);
            if !files.is_empty() {
                return Ok(files.into_iter().map(|file| [epoch.clone(), shard.clone(), file]).collect());
            }
        }
    }
    Ok(Vec::new())
}

/// The names in a folder, in order. One that is gone has none; nor has what is no folder.
fn entries(dir: &Path, mut is_wanted: impl FnMut(&String) -> bool) -> Result<Vec<String>, Failure> {
    let found = match fs::read_dir(dir) {
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        found => found?,
    };
    let names = found.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>, Failure>>()?;
    names.retain(|name| is_wanted(name));
    names.sort();
    Ok(names)
}

/// Those of `names` that no row names, and that are still there once that is known: a file is removed before its last row.
fn without_rows(disk: &Disk, names: Vec<Name>) -> Result<Vec<String>, Failure> {
    let rows = disk.db.snapshot()?;
    let mut unnamed = Vec::new();
    for name in names {
        let has_row = |id: Instance| {
            let mut tables = [Table::Files, Table::Trash].into_iter();
            // A row that cannot be read is one.
            tables.any(|table| !matches!(rows.row(table, id.as_bytes()), Ok(None)))
        };
        let name = match name[2].parse() {
            Ok(id) if has_row(id) => continue,
            Ok(_) | Err(_) => name.join("/"),
        };
        if fs::symlink_metadata(disk.files.dir().join(&name)).is_ok() {
            unnamed.push(name);
        }
    }
    Ok(unnamed)
}
