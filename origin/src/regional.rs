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

mod delete_bucket_cors;
mod delete_bucket_encryption;
mod delete_bucket_lifecycle;
mod delete_bucket_ownership_controls;
mod delete_bucket_policy;
mod delete_bucket_tagging;
mod delete_bucket_website;
mod delete_public_access_block;
mod get_bucket_acl;
mod get_bucket_cors;
mod get_bucket_encryption;
mod get_bucket_lifecycle_configuration;
mod get_bucket_ownership_controls;
mod get_bucket_policy;
mod get_bucket_policy_status;
mod get_bucket_tagging;
mod get_bucket_versioning;
mod get_bucket_website;
mod get_public_access_block;
mod put_bucket_acl;
mod put_bucket_cors;
mod put_bucket_encryption;
mod put_bucket_lifecycle_configuration;
mod put_bucket_ownership_controls;
mod put_bucket_policy;
mod put_bucket_tagging;
mod put_bucket_versioning;
mod put_bucket_website;
mod put_public_access_block;
mod unset_configurations;

mod copy_object;
mod delete_object;
mod delete_objects;
mod get_object;
mod head_object;
mod list_object_versions;
mod list_objects;
mod list_objects_v2;
mod put_object;
mod rename_object;

mod delete_object_tagging;
mod get_object_acl;
mod get_object_attributes;
mod get_object_tagging;
mod put_object_acl;
mod put_object_tagging;

mod abort_multipart_upload;
mod complete_multipart_upload;
mod create_multipart_upload;
mod list_multipart_uploads;
mod list_parts;
mod upload_part;
mod upload_part_copy;

mod amend;
mod answers;
mod asked;
mod attributes;
mod bucket_name;
mod copy_source;
mod listing;
mod multipart;
mod object_body;
mod object_read;
mod receive;
mod tagging;
mod unsupported;
mod wanted_acl;
mod write_condition;

mod answered;
mod at_hand;
mod buffers;
mod check;
mod commit;
mod db;
mod direct;
mod disk;
mod due;
mod expire;
mod failure;
mod files;
mod instances;
mod keys;
mod known_buckets;
mod layout;
mod leases;
mod listed_instances;
mod metrics;
mod pages;
mod private;
mod readers;
mod reap;
mod recover;
mod resolve;
mod rows;
mod scrub;
mod seams;
mod settings;
mod store_key;
mod table;
mod txn;
mod upload;
mod usage;
mod users;
mod versions;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use s3s::S3Error;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::directory::Directory;
use crate::encryption::{Encryption, ObjectKeys, Piece, Sealer, StoreKey};
use crate::head::{Facts, Head, PAGE_BYTES};
use crate::instance::Instance;
use crate::lifecycle::expiration_header;
use crate::permit::Permit;
use crate::wanted_encryption::WantedEncryption;

pub use bucket_name::ReservedNames;
pub use buffers::{GATHERED_BYTES_MAX, READ_AHEAD_BYTES_MAX};
pub use check::Report;
use commit::{Growth, Writer};
use disk::Disk;
pub use disk::OpenError;
pub use expire::Applied;
use expire::Expirer;
use failure::Failure;
pub use leases::LeaseClass;
pub use listed_instances::{ListedInstances, ListedTo, SomeKeys};
use metrics::Metrics;
pub use pages::{Page, PageStream, ReadError};
use readers::Readers;
use reap::Reaper;
pub use rename_object::RenameObjectInput;
pub use resolve::Resolved;
use rows::Snapshot;
pub use rows::UserRow;
pub use scrub::{
    Damage, DamageKind, Damaged, NotAPlace, ScrubPlace, ScrubScope, Scrubbed, ToScrub, add_damage,
};
pub use seams::{Announced, Announcer, Change, Clock, DiskStep, Faults, Random, Sealing, Seams, Unsealed};
pub use settings::Settings;
pub(crate) use txn::Txn;
use upload::Placement;
pub(crate) use upload::Upload;
use usage::ReadUsage;

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
    writer_thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    reaper: AbortOnDropHandle<()>,
    expirer: Arc<Expirer>,
    expiring: AbortOnDropHandle<()>,
    /// Held by one step of a scrub.
    scrubbing: tokio::sync::Mutex<()>,
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
                let disk = Disk::open(&settings, seams, metrics, runtime)?;
                let removed = recover::sweep(&disk).map_err(&failed)?;
                disk.metrics.scrub_completed(scrub::last_scrubbed(&disk).map_err(&failed)?);
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
        let readers = Readers::default();
        let reaper = Reaper { disk: Arc::clone(&disk), readers: readers.clone(), grace: settings.grace };
        let reaper = AbortOnDropHandle::new(runtime.spawn(reaper.run(writer.downgrade())));
        let expirer = Arc::new(Expirer::new(Arc::clone(&disk), settings.lifecycle_day));
        let expiring = Arc::clone(&expirer).run(writer.downgrade());
        let expiring = AbortOnDropHandle::new(runtime.spawn(expiring));
        let (writer, writer_thread) = (Mutex::new(Some(writer)), Mutex::new(Some(thread)));
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                disk,
                readers,
                runtime,
                writer,
                writer_thread,
                reaper,
                expirer,
                expiring,
                scrubbing: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// How often the store was opened, this time among them.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.disk.epoch
    }

    /// Waits for the changes that have begun, then closes the files and gives up the directory.
    pub async fn close(&self) {
        self.shared.reaper.abort();
        self.shared.expiring.abort();
        drop(self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.shared.writer_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Ends when the last change that holds a place in its queue has been answered.
            self.shared.runtime.spawn_blocking(|| thread.join()).await.ok();
        }
        let disk = Arc::clone(&self.shared.disk);
        self.shared.runtime.spawn_blocking(move || disk.close()).await.ok();
    }

    /// Goes once through all buckets and does what their lifecycle rules say. The store does so by itself, an hour after
    /// the last time, and sooner where that one failed or waits for room on the disk.
    ///
    /// # Errors
    /// `ServiceUnavailable`, `InternalError`: what is left is done the next time.
    pub async fn apply_lifecycle(&self) -> Result<Applied, S3Error> {
        Ok(self.shared.expirer.pass(&self.writer()?).await?.applied)
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

    /// Bytes that an account keeps here, as its quota counts them.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn used_bytes(&self, account: &str) -> Result<u64, S3Error> {
        let account = account.to_owned();
        self.read_few(move |rows| Ok(rows.used_bytes(&account)?)).await
    }

    /// The region whose objects these are.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.shared.settings.region
    }

    /// Begins to stage bytes that become an object of their own, sealed if it has `keys`.
    pub(crate) fn stage(&self, expected_bytes: Option<u64>, keys: Option<&ObjectKeys>) -> Upload {
        let inline_bytes_max = self.shared.settings.inline_bytes_max.min(PAGE_BYTES);
        let sealer = keys.map(|keys| Sealer::new(keys, Piece::Whole));
        self.upload(self.random_id(), Placement::RowUpTo(inline_bytes_max), expected_bytes, sealer)
    }

    /// Begins to stage bytes that become the part `number`, to be [joined](Txn::join) with others; sealed if its object
    /// has `keys`.
    pub(crate) fn stage_part(
        &self,
        number: u32,
        expected_bytes: Option<u64>,
        keys: Option<&ObjectKeys>,
    ) -> Upload {
        let instance = self.random_id();
        let sealer = keys.map(|keys| Sealer::new(keys, Piece::Part { number, instance }));
        self.upload(instance, Placement::File, expected_bytes, sealer)
    }

    /// What an object is encrypted with that is made as `wanted`.
    ///
    /// # Errors
    /// As [`StoreKey::expose`].
    pub(crate) fn encrypt(&self, wanted: &WantedEncryption) -> Result<(Encryption, ObjectKeys), S3Error> {
        let mut salt = [0; 32];
        self.shared.disk.seams.random.fill(&mut salt);
        match wanted {
            WantedEncryption::Customer(key) => Ok(Encryption::by_client(key, salt)),
            WantedEncryption::Store => Encryption::by_store(self.key(), salt),
        }
    }

    /// The store's own key.
    pub(crate) fn key(&self) -> &StoreKey {
        &self.shared.disk.key
    }

    /// Announces `change`, then runs `decide` in the write transaction; returns what it decided once that is durable.
    /// `decide` reads what all earlier changes left, and everything that it wrote is taken back when it returns an
    /// error. Goes on when the caller goes away. A change that makes the rows grow where the disk is full is refused. For what
    /// the store does of itself: see [`Self::commit_for`].
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: Change,
        decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.commit_as(None, change, decide).await
    }

    /// As [`Self::commit`], for whoever asks with `permit`: they are looked at once more when the change is announced, and what
    /// is decided is decided about them as they are then.
    ///
    /// # Errors
    /// Those of [`Permit::confirm_caller`].
    async fn commit_for<T: Send + 'static>(
        &self,
        permit: Arc<dyn Permit>,
        change: Change,
        decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.commit_as(Some(permit), change, decide).await
    }

    async fn commit_as<T: Send + 'static>(
        &self,
        permit: Option<Arc<dyn Permit>>,
        change: Change,
        decide: impl FnOnce(&mut Txn<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let writer = self.writer()?;
        let disk = Arc::clone(&self.shared.disk);
        let task = self.shared.runtime.spawn(async move {
            commit::announced(&disk, &writer, &change, permit.as_deref(), Growth::of(&change), decide).await
        });
        task.await.unwrap_or_else(|lost| Err(S3Error::internal_error(lost)))
    }

    /// Runs `read`, which reads a few rows, on one snapshot: here where memory has them.
    pub(crate) async fn read_few<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.shared.disk.read_few(move |disk| Ok(read(&Snapshot(disk.db.snapshot()?)))).await?
    }

    /// Runs `read`, which may read many rows, on one snapshot, on a blocking thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let disk = Arc::clone(&self.shared.disk);
        self.shared.disk.files.run(move || Ok(read(&Snapshot(disk.db.snapshot()?)))).await?
    }

    /// As [`Self::read_few`], [at one instant](asked::at_one_instant) with who asks.
    async fn read_few_for<T: Send + 'static>(
        &self,
        permit: Arc<dyn Permit>,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, S3Error> + Clone + Send + 'static,
    ) -> Result<T, S3Error> {
        asked::at_one_instant(&*permit, || self.read_few(read.clone())).await
    }

    /// As [`Self::read`], [at one instant](asked::at_one_instant) with who asks.
    async fn read_for<T: Send + 'static>(
        &self,
        permit: Arc<dyn Permit>,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, S3Error> + Clone + Send + 'static,
    ) -> Result<T, S3Error> {
        asked::at_one_instant(&*permit, || self.read(read.clone())).await
    }

    /// `x-amz-expiration` of a current object.
    fn expiration_header(&self, facts: &Facts, key: &str, head: &Head) -> Option<String> {
        expiration_header(facts, key, head, self.shared.settings.lifecycle_day)
    }

    /// Knows the accounts that lists name.
    fn directory(&self) -> &dyn Directory {
        &*self.shared.disk.seams.directory
    }

    /// A new random id: for a revision, an incarnation, an upload.
    pub(crate) fn random_id(&self) -> Instance {
        txn::random_id(&*self.shared.disk.seams.random)
    }

    fn upload(
        &self,
        instance: Instance,
        placement: Placement,
        expected_bytes: Option<u64>,
        sealer: Option<Sealer>,
    ) -> Upload {
        Upload::new(instance, placement, self.shared.disk.files.clone(), expected_bytes, sealer)
    }

    fn writer(&self) -> Result<Writer, Failure> {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.clone().ok_or(Failure::Closed)
    }
}
