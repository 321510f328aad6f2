//! What the store has on its disk: the directory with its lock, the metadata file, the data files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use super::at_hand::AtHand;
use super::db::{Db, Opening, ReadRows, WriteRows};
use super::expire::PLACE_KEY;
use super::failure::Failure;
use super::files::{Files, sync_dir};
use super::metrics::Metrics;
use super::private;
use super::scrub::SCRUBBED_KEY;
use super::seams::Seams;
use super::settings::Settings;
use super::store_key;
use super::table::Table;
use super::txn::Moment;
use super::usage::{self, Quota};
use crate::encryption::StoreKey;

/// The layout of directories and rows that this release writes.
pub(super) const FORMAT: u64 = 3;
/// The earliest that this release reads, and makes one of its own: accounts were not counted.
const UNCOUNTED_FORMAT: u64 = 1;
/// Of accounts bytes were counted, and no buckets.
const UNCOUNTED_BUCKETS_FORMAT: u64 = 2;

/// The open directory of a store.
pub(super) struct Disk {
    pub(super) db: Db,
    /// Whether the metadata file's rows are in memory.
    rows_at_hand: AtHand,
    pub(super) files: Files,
    pub(super) epoch: u64,
    pub(super) seams: Seams,
    pub(super) metrics: Metrics,
    /// For objects that no client brings a key for.
    pub(super) key: StoreKey,
    /// Most bytes that an account may keep; `None` is no limit.
    pub(super) account_quota: Quota,
    /// Woken when a change left something that need not wait for its grace.
    pub(super) reap_now: Arc<Notify>,
    opened: Duration,
    lock: Mutex<Option<DirLock>>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The directory was written by a release with another layout.
    #[error("{} has format {found}, this release reads format {FORMAT}", .dir.display())]
    OtherFormat {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The directory belongs to another region.
    #[error("{} belongs to region {found}", .dir.display())]
    OtherRegion {
        /// The directory.
        dir: PathBuf,
        /// The region it belongs to.
        found: String,
    },
    /// The store's own key does not open.
    #[error("{}: the store's key: {cause}", .dir.display())]
    Key {
        /// The directory.
        dir: PathBuf,
        /// The reason.
        cause: String,
    },
    /// What is written there is damaged.
    #[error("{}: {what}", .dir.display())]
    Corrupt {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// The disk refused.
    #[error("{}: {cause}", .dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// The reason.
        cause: io::Error,
    },
    /// The series are registered already: two stores cannot share a registry.
    #[error("register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl OpenError {
    pub(super) fn of(dir: &Path) -> impl Fn(Failure) -> Self + use<> {
        let dir = dir.to_path_buf();
        move |failure| match failure {
            Failure::Io(cause) => Self::Io { dir: dir.clone(), cause },
            other => Self::Corrupt { dir: dir.clone(), what: other.to_string() },
        }
    }
}

impl Disk {
    /// Takes the directory, makes it if need be, and begins a new epoch in it.
    pub(super) fn open(
        settings: &Settings,
        seams: Seams,
        metrics: Metrics,
        runtime: Handle,
    ) -> Result<Self, OpenError> {
        let (dir, region) = (settings.dir.as_path(), settings.region.as_str());
        let failed = OpenError::of(dir);
        let lock = DirLock::take(dir)?;
        private::close_folder(dir).map_err(|cause| failed(cause.into()))?;
        let opening = Opening {
            path: metadata_path(dir),
            cache_bytes: settings.metadata_cache_bytes,
            faults: Arc::clone(&seams.faults),
            check_integrity: false,
        };
        if !metadata_is_there(dir).map_err(|cause| failed(cause.into()))? {
            create(&opening, dir, region).map_err(&failed)?;
        }
        let db = Db::open(opening).map_err(&failed)?;
        sync_dir(dir).map_err(|cause| failed(cause.into()))?;
        let format = verify_store(&db, dir, Some(region))?;
        if format != FORMAT {
            count_accounts(&db, format).map_err(&failed)?;
        }
        forget_damaged(&db).map_err(&failed)?;
        let key = store_key::open(&db, &seams, dir, region)?;
        let epoch = begin_epoch(&db).map_err(&failed)?;
        let files = Files::open(data_dir(dir), epoch, Arc::clone(&seams.faults), runtime)
            .map_err(|cause| failed(cause.into()))?;
        let opened = seams.clock.elapsed();
        Ok(Self {
            db,
            rows_at_hand: AtHand::default(),
            files,
            epoch,
            seams,
            metrics,
            key,
            account_quota: Quota {
                bytes: settings.account_quota_bytes,
                buckets: settings.account_buckets_max,
            },
            reap_now: Arc::new(Notify::new()),
            opened,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Runs `read`, which reads a few rows: here where memory has them, else on a blocking thread.
    pub(super) async fn read_few<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if self.rows_at_hand.is_likely() {
            // Who reads one thing after the other waits for nothing: others have their turn in between.
            consume_budget().await;
            return self.rows_at_hand.run(|| read(self));
        }
        let disk = Arc::clone(self);
        self.files.run(move || read(&disk)).await
    }

    /// Closes the metadata file and gives up the directory.
    pub(super) fn close(&self) {
        self.db.close();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Time since the store was opened.
    pub(super) fn running(&self) -> Duration {
        self.seams.clock.elapsed().saturating_sub(self.opened)
    }

    /// Now, for a transaction.
    pub(super) fn moment(&self) -> Moment<'_> {
        Moment {
            epoch: self.epoch,
            running: self.running(),
            clock: &*self.seams.clock,
            random: &*self.seams.random,
        }
    }
}

/// Where the metadata is.
pub(super) fn metadata_path(dir: &Path) -> PathBuf {
    dir.join("metadata.redb")
}

/// Where the data files are.
pub(super) fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// A second altogether: a process that is just ending, or a child between its fork and its exec, has the lock for
/// a moment more.
const LOCK_ATTEMPTS_MAX: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// An exclusive lock on a store's directory. The kernel gives it up with the process.
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock; makes the directory if it is not there.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Io { dir: dir.to_path_buf(), cause };
        make_dir(&data_dir(dir), sync_dir).map_err(failed)?;
        let lock = private::options().write(true).create(true).truncate(true).open(dir.join("lock"));
        let file = lock.map_err(failed)?;
        for _ in 0..LOCK_ATTEMPTS_MAX {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(fs::TryLockError::Error(cause)) => return Err(failed(cause)),
            }
        }
        Err(OpenError::InUse(dir.to_path_buf()))
    }
}

fn metadata_is_there(dir: &Path) -> io::Result<bool> {
    match fs::metadata(metadata_path(dir)) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(found?.len() > 0),
    }
}

/// Whether some epoch has begun to keep files.
fn has_data(dir: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(data_dir(dir))?.next().is_some())
}

/// Makes the metadata file of a new store. A folder of data without metadata is a loss, not a new store.
fn create(opening: &Opening, dir: &Path, region: &str) -> Result<(), Failure> {
    if has_data(dir)? {
        return Err(Failure::Corrupt("there is data, but the metadata file is missing".into()));
    }
    Db::create(opening, &[(FORMAT_KEY, &FORMAT.to_be_bytes()), (REGION_KEY, region.as_bytes())])
}

/// Makes a folder and those above it, each durable in the one that it is in. One that is there may be what a start
/// made that was killed before it could sync.
fn make_dir(dir: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    private::make_folders(dir).map_err(|cause| in_the_way(dir).unwrap_or(cause))?;
    let dir = dir.canonicalize()?;
    let device = |dir: &Path| fs::metadata(dir).map(|found| found.dev());
    for (inner, outer) in dir.ancestors().zip(dir.ancestors().skip(1)) {
        if device(inner)? != device(outer)? {
            // Mounted here, so it was there before any start.
            break;
        }
        match sync(outer) {
            // Nor did a start make anything in a folder that it may not read.
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// What to say of a file that is where `dir`, or a folder above it, should be.
fn in_the_way(dir: &Path) -> Option<io::Error> {
    let file = dir.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir())?;
    let name = file.file_name()?.to_string_lossy();
    Some(io::Error::new(io::ErrorKind::NotADirectory, format!("{name} is not a directory")))
}

const FORMAT_KEY: &[u8] = b"format";
const REGION_KEY: &[u8] = b"region";
const EPOCH_KEY: &[u8] = b"epoch";
const SWEPT_KEY: &[u8] = b"swept";

/// Refuses a directory of another format or region, and a metadata file that has lost what each has from its first
/// moment: it is no new store's. Returns the format.
pub(super) fn verify_store(db: &Db, dir: &Path, region: Option<&str>) -> Result<u64, OpenError> {
    let failed = OpenError::of(dir);
    let lost = |what: &str| failed(Failure::Corrupt(format!("the metadata file does not say its {what}")));
    let rows = db.snapshot().map_err(&failed)?;
    let format = match rows.store_number(FORMAT_KEY).map_err(&failed)? {
        0 => return Err(lost("format")),
        format @ UNCOUNTED_FORMAT..=FORMAT => format,
        found => return Err(OpenError::OtherFormat { dir: dir.to_path_buf(), found }),
    };
    let epoch = rows.store_number(EPOCH_KEY).map_err(&failed)?;
    // Data comes with the first epoch.
    if epoch == 0 && has_data(dir).map_err(|cause| failed(cause.into()))? {
        return Err(lost("epoch"));
    }
    let found = rows.row(Table::Store, REGION_KEY).map_err(&failed)?.ok_or_else(|| lost("region"))?;
    match region {
        Some(region) if found != region.as_bytes() => Err(OpenError::OtherRegion {
            dir: dir.to_path_buf(),
            found: String::from_utf8_lossy(&found).into_owned(),
        }),
        _ => Ok(format),
    }
}

/// Brings a store of an earlier format to this one.
fn count_accounts(db: &Db, format: u64) -> Result<(), Failure> {
    tracing::info!("counting what each account keeps");
    db.write(|batch| {
        match format {
            UNCOUNTED_BUCKETS_FORMAT => usage::count_buckets(batch)?,
            _ => usage::count_all(batch)?,
        }
        batch.put_row(Table::Store, FORMAT_KEY, &FORMAT.to_be_bytes())?;
        batch.keep();
        Ok(())
    })
}

/// Removes the rows that nothing depends on, where they are damaged: when everything was scrubbed, and where a pass of the
/// lifecycle rules is. Whoever looks beside them for a row that is not there would take it for lost.
fn forget_damaged(db: &Db) -> Result<(), Failure> {
    for key in [SCRUBBED_KEY, PLACE_KEY] {
        match db.snapshot()?.row(Table::Store, key) {
            // What is damaged may be a row beside this one, which stays: there is nothing to remove then.
            Err(failure @ Failure::Corrupt(_)) => {
                tracing::error!(%failure, row = %String::from_utf8_lossy(key), "forgotten");
                db.write(|batch| {
                    batch.delete_row(Table::Store, key)?;
                    batch.keep();
                    Ok(())
                })?;
            }
            read => drop(read?),
        }
    }
    Ok(())
}

fn begin_epoch(db: &Db) -> Result<u64, Failure> {
    db.write(|batch| {
        let epoch = batch.store_number(EPOCH_KEY)? + 1;
        batch.put_row(Table::Store, EPOCH_KEY, &epoch.to_be_bytes())?;
        batch.keep();
        Ok(epoch)
    })
}

/// The last epoch whose folder holds no file without a row.
pub(super) fn swept_epoch(db: &Db) -> Result<u64, Failure> {
    db.snapshot()?.store_number(SWEPT_KEY)
}

/// Notes that the folders of `epoch` and all before hold no file without a row.
pub(super) fn put_swept_epoch(db: &Db, epoch: u64) -> Result<(), Failure> {
    db.write(|batch| {
        batch.put_row(Table::Store, SWEPT_KEY, &epoch.to_be_bytes())?;
        batch.keep();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_durable_whether_it_was_there_or_not() {
        let above = tempfile::tempdir().expect("a folder");
        let above = above.path().canonicalize().expect("its path");
        for _ in ["made", "there already"] {
            let mut synced = Vec::new();
            make_dir(&above.join("ord1/store/data"), |dir| {
                synced.push(dir.to_owned());
                Ok(())
            })
            .expect("make folders");
            for outer in ["ord1/store", "ord1", ""] {
                assert!(synced.contains(&above.join(outer)), "{outer} is not among {synced:?}");
            }
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let above = tempfile::tempdir().expect("a folder");
        fs::write(above.path().join("store"), "").expect("write a file");
        for dir in ["store", "store/data"] {
            let error = make_dir(&above.path().join(dir), |_| Ok(())).expect_err("a file is in the way");
            assert_eq!(error.to_string(), "store is not a directory");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_durable_is_an_error() {
        let above = tempfile::tempdir().expect("a folder");
        let made = make_dir(&above.path().join("store"), |_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(made.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
