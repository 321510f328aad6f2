//! The embedded regional store: one directory, one process, durable before it answers.
//!
//! Bytes are staged first, synced beside everything else; then whoever may hold old heads is cleared; then one commit
//! publishes the bytes, decides every condition and makes it all durable; then the request is answered. Commits
//! run in the store's own tasks and its one writer thread, so a caller that goes away changes nothing.

mod operations;

mod create_bucket;
mod delete_bucket;
mod get_bucket_location;
mod head_bucket;
mod list_buckets;

mod copy_object;
mod delete_object;
mod delete_objects;
mod get_object;
mod head_object;
mod list_objects;
mod list_objects_v2;
mod put_object;

mod abort_multipart_upload;
mod complete_multipart_upload;
mod create_multipart_upload;
mod list_multipart_uploads;
mod list_parts;
mod upload_part;
mod upload_part_copy;

mod answers;
mod attributes;
mod bucket_access;
mod copy_source;
mod listing;
mod multipart;
mod object_body;
mod object_read;
mod receive;
mod unsupported;
mod write_condition;

mod check;
mod commit;
mod db;
mod disk;
mod due;
mod failure;
mod files;
mod instances;
mod keys;
mod layout;
mod metrics;
mod pages;
mod readers;
mod reap;
mod recover;
mod rows;
mod seams;
mod txn;
mod upload;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use s3s::{S3Error, s3_error};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::head::{Facts, Head, PAGE_BYTES};
use crate::instance::Instance;

pub use check::Report;
use commit::Writer;
use disk::Disk;
pub use disk::OpenError;
use failure::Failure;
use metrics::Metrics;
pub use pages::{Page, PageStream, ReadError};
use readers::Readers;
use reap::Reaper;
pub use rows::UserRow;
use rows::{Reads, Snapshot};
pub use seams::{Announcer, Change, Clock, DiskStep, Faults, Random, Seams};
pub(crate) use txn::Txn;
use upload::Placement;
pub(crate) use upload::Upload;

/// How a store is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's directory; made if it is not there.
    pub dir: PathBuf,
    /// The region whose objects it holds. A directory belongs to one region for ever.
    pub region: String,
    /// Objects of up to this many bytes are kept in their row and travel with `resolve`; at most one page.
    pub inline_bytes_max: u64,
    /// How long the bytes of an overwritten or deleted object can still be read, from the last time they were.
    pub grace: Duration,
    /// Memory for pages of the metadata file, in bytes.
    pub metadata_cache_bytes: usize,
}

impl Settings {
    /// The defaults, for the store of `region` in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, region: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            region: region.into(),
            inline_bytes_max: 16 * 1024,
            grace: Duration::from_secs(300),
            metadata_cache_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A region's store. Clones are the same store.
#[derive(Clone)]
pub struct RegionalStore {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    disk: Arc<Disk>,
    readers: Readers,
    runtime: Handle,
    /// `None` once closed.
    writer: Mutex<Option<Writer>>,
    tasks: Mutex<Vec<Task>>,
}

enum Task {
    Writer(std::thread::JoinHandle<()>),
    Reaper(JoinHandle<()>),
}

/// What is known of an object and its bucket, from one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `None` if there is no such bucket.
    pub facts: Option<Facts>,
    /// `None` if there is no such object.
    pub head: Option<Head>,
    /// The object's bytes if they are few; verified.
    pub inline: Option<Page>,
}

impl RegionalStore {
    /// Opens the store in `settings.dir`, or makes it. Takes the directory's lock, begins a new epoch, and removes
    /// what unfinished work of earlier epochs left. The store's tasks run on the calling runtime.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has the directory, and the others as they say.
    pub async fn open(
        settings: Settings,
        seams: Seams,
        registry: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        let metrics = Metrics::new(registry)?;
        let runtime = Handle::current();
        let opening = {
            let (settings, runtime) = (settings.clone(), runtime.clone());
            move || {
                let failed = OpenError::of(&settings.dir);
                let (dir, cache_bytes) = (&settings.dir, settings.metadata_cache_bytes);
                let disk = Disk::open(dir, &settings.region, cache_bytes, seams, metrics, runtime)?;
                let removed = recover::sweep(&disk).map_err(&failed)?;
                tracing::info!(region = settings.region, epoch = disk.epoch, removed, "store opened");
                let disk = Arc::new(disk);
                let (writer, thread) =
                    Writer::start(Arc::clone(&disk)).map_err(|cause| failed(cause.into()))?;
                Ok((disk, writer, thread))
            }
        };
        let (disk, writer, thread) = runtime.spawn_blocking(opening).await.unwrap_or_else(|lost| {
            Err(OpenError::of(&settings.dir)(Failure::Corrupt(format!("the metadata file: {lost}"))))
        })?;
        let shared = Arc::new(Shared {
            settings,
            disk,
            readers: Readers::default(),
            runtime,
            writer: Mutex::new(Some(writer)),
            tasks: Mutex::new(vec![Task::Writer(thread)]),
        });
        let store = Self { shared };
        store.start_reaper();
        Ok(store)
    }

    /// Waits for the changes that have begun, then closes the files and gives up the directory.
    pub async fn close(&self) {
        drop(self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        let tasks = std::mem::take(&mut *self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            match task {
                Task::Reaper(task) => task.abort(),
                Task::Writer(thread) => drop(self.shared.runtime.spawn_blocking(|| thread.join()).await),
            }
        }
        let disk = Arc::clone(&self.shared.disk);
        self.shared.runtime.spawn_blocking(move || disk.close()).await.ok();
    }

    /// Checks everything in the store in `dir`, which no process may have open: every page of the metadata file, every
    /// row and reference, every page of every data file. Reads all of it.
    ///
    /// # Errors
    /// [`OpenError`] when the check cannot be made; what it finds is in the [`Report`].
    pub async fn check_deep(dir: impl Into<PathBuf>) -> Result<Report, OpenError> {
        let dir = dir.into();
        let failed = OpenError::of(&dir);
        let checked = Handle::current().spawn_blocking(move || check::check(&dir)).await;
        checked.unwrap_or_else(|lost| Err(failed(Failure::Corrupt(lost.to_string()))))
    }

    /// An object's head with its bucket's facts and, if they are few, its bytes, in one snapshot.
    ///
    /// # Errors
    /// `NotImplemented` for a version other than the null one; `InternalError` when the disk fails.
    pub async fn resolve(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Resolved, S3Error> {
        if version.is_some_and(|version| version != "null") {
            return Err(s3_error!(NotImplemented, "Versions are not kept."));
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |rows| {
            let facts = rows.bucket(&bucket)?.map(|bucket| bucket.facts);
            let head = rows.head(&bucket, &key)?;
            let inline = match &head {
                Some(head) => rows.inline(&head.instance)?.map(pages::inline_page),
                None => None,
            };
            Ok(Resolved { facts, head, inline })
        })
        .await
    }

    /// The facts of a bucket; `None` if there is no such bucket.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn facts(&self, bucket: &str) -> Result<Option<Facts>, S3Error> {
        let bucket = bucket.to_owned();
        self.read(move |rows| Ok(rows.bucket(&bucket)?.map(|bucket| bucket.facts))).await
    }

    /// The pages of `instance` in `pages` (cut to those it has), each verified. Renews the instance's grace until
    /// the stream has ended.
    ///
    /// # Errors
    /// [`ReadError`], here or as the stream's last item.
    pub async fn read_pages(&self, instance: Instance, pages: Range<u64>) -> Result<PageStream, ReadError> {
        let disk = Arc::clone(&self.shared.disk);
        // Noted before the rows are read: from here on the instance stays.
        let reading = self.shared.readers.start(instance, Arc::clone(&disk));
        pages::read(disk, reading, instance, pages).await
    }

    /// Puts a user, over the one of this access key.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn put_user(&self, user: UserRow) -> Result<(), S3Error> {
        self.commit(Change::Users, move |txn| Ok(txn.put_user(&user)?)).await
    }

    /// Removes a user; `false` if there was none.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn delete_user(&self, access_key: &str) -> Result<bool, S3Error> {
        let access_key = access_key.to_owned();
        self.commit(Change::Users, move |txn| {
            let found = txn.user(&access_key)?.is_some();
            txn.delete_user(&access_key)?;
            Ok(found)
        })
        .await
    }

    /// A user.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn user(&self, access_key: &str) -> Result<Option<UserRow>, S3Error> {
        let access_key = access_key.to_owned();
        self.read(move |rows| Ok(rows.user(&access_key)?)).await
    }

    /// All users, by access key.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn users(&self) -> Result<Vec<UserRow>, S3Error> {
        self.read(|rows| Ok(rows.users()?)).await
    }

    /// The region whose objects these are.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.shared.settings.region
    }

    /// Begins to stage bytes that become an object of their own.
    pub(crate) fn stage(&self, expected_bytes: Option<u64>) -> Upload {
        let inline_bytes_max = self.shared.settings.inline_bytes_max.min(PAGE_BYTES);
        self.upload(Placement::RowUpTo(inline_bytes_max), expected_bytes)
    }

    /// Begins to stage bytes that become a part, to be [joined](Txn::join) with others.
    pub(crate) fn stage_part(&self, expected_bytes: Option<u64>) -> Upload {
        self.upload(Placement::File, expected_bytes)
    }

    /// Clears whoever `change` makes old, then runs `decide` in the write transaction; returns what it decided once
    /// that is durable. `decide` reads what all earlier changes left, and everything that it wrote is taken back
    /// when it returns an error. Goes on when the caller goes away.
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: Change,
        decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let writer = self.writer()?;
        let shared = Arc::clone(&self.shared);
        let task = self.shared.runtime.spawn(async move {
            shared.disk.seams.announcer.clear(&change).await;
            writer.submit(decide).await
        });
        task.await.unwrap_or_else(|lost| Err(S3Error::internal_error(lost)))
    }

    /// Runs `read` on one snapshot, on a blocking thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let disk = Arc::clone(&self.shared.disk);
        self.shared.disk.files.run(move || Ok(read(&Snapshot(disk.db.snapshot()?)))).await?
    }

    /// A new random id: for a revision, an incarnation, an upload.
    pub(crate) fn random_id(&self) -> Instance {
        txn::random_id(&*self.shared.disk.seams.random)
    }

    fn upload(&self, placement: Placement, expected_bytes: Option<u64>) -> Upload {
        Upload::new(self.random_id(), placement, self.shared.disk.files.clone(), expected_bytes)
    }

    fn writer(&self) -> Result<Writer, Failure> {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.clone().ok_or(Failure::NotOpen)
    }

    fn start_reaper(&self) {
        let reaper = Reaper {
            disk: Arc::clone(&self.shared.disk),
            readers: self.shared.readers.clone(),
            grace: self.shared.settings.grace,
        };
        let (store, reap_now) = (Arc::downgrade(&self.shared), Arc::clone(&self.shared.disk.reap_now));
        // Often enough that a leftover outstays its grace by a quarter, and no more than once a minute.
        let pause =
            (self.shared.settings.grace / 4).clamp(Duration::from_millis(100), Duration::from_secs(60));
        let task = self.shared.runtime.spawn(async move {
            loop {
                tokio::time::timeout(pause, reap_now.notified()).await.ok();
                let Some(writer) = store.upgrade().and_then(|shared| RegionalStore { shared }.writer().ok())
                else {
                    return;
                };
                if let Err(error) = reaper.reap(&writer).await {
                    tracing::warn!(%error, "leftovers are not removed for now");
                    tokio::time::sleep(pause).await;
                }
            }
        });
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(Task::Reaper(task));
    }
}

impl Drop for Shared {
    /// A store that was not closed: its tasks end too, and with them the hold on the directory.
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            if let Task::Reaper(task) = task {
                task.abort();
            }
        }
    }
}
