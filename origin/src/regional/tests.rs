//! The durable heart by itself, without S3 in front: what it promises to those who stage, commit and read.

mod batches;
mod changes;
mod crash;
mod damage;
mod documents;
mod expire;
mod faults;
mod grace;
mod incarnations;
mod listings;
mod opening;
mod private;
mod reads;
mod refused;
mod scrub;
mod sharing;
mod staging;
mod throughput;
mod usage;
mod users;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use prometheus::Registry;
use s3s::{S3ErrorCode, S3Request, S3Result, s3_error};
use tempfile::TempDir;

use super::rows::{Bucket, FileRow, PartRow, RUN_PAGES, Reads, Segment, UploadRow, encode};
use super::upload::Staged;
use super::*;
use crate::acl::Owner;
use crate::caller::Caller;
use crate::head::{Facts, Head, Part, StoredHeaders};
use crate::lifecycle::Lifecycle;
use crate::permit::{On, Permit, Role};
use crate::tags::Tags;
use crate::test_until::until;

const BUCKET: &str = "photos";
const MIB: usize = 1024 * 1024;

/// A store in a folder of its own, with a clock that tests move.
struct Region {
    store: RegionalStore,
    clock: Arc<ManualClock>,
    dir: TempDir,
}

#[derive(Default)]
struct ManualClock {
    millis: AtomicU64,
}

impl ManualClock {
    fn advance(&self, by: Duration) {
        self.millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> u64 {
        1_700_000_000_000 + self.millis.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

impl Region {
    async fn start() -> Self {
        Self::start_with(Seams::default()).await
    }

    async fn start_with(seams: Seams) -> Self {
        Self::open(TempDir::new().unwrap(), seams).await
    }

    async fn open(dir: TempDir, seams: Seams) -> Self {
        let clock = Arc::new(ManualClock::default());
        let seams = Seams { clock: Arc::<ManualClock>::clone(&clock), ..seams };
        let store = RegionalStore::open(settings(dir.path()), seams, &Registry::new()).await.unwrap();
        store.test_bucket().await;
        Self { store, clock, dir }
    }

    async fn restart(self) -> Self {
        self.store.close().await;
        Self::open(self.dir, Seams::default()).await
    }

    /// Lets the grace of everything superseded run out and removes it.
    async fn let_grace_pass(&self) {
        self.clock.advance(self.store.shared.settings.grace);
        self.reap().await;
    }

    async fn reap(&self) {
        self.try_reap().await.unwrap();
    }

    async fn try_reap(&self) -> Result<(), Failure> {
        let reaper = Reaper {
            disk: Arc::clone(&self.store.shared.disk),
            readers: self.store.shared.readers.clone(),
            grace: self.store.shared.settings.grace,
        };
        reaper.reap(&self.store.writer().unwrap()).await
    }

    fn data_files(&self) -> Vec<PathBuf> {
        files_under(&self.dir.path().join("data"))
    }

    async fn check(self) -> Report {
        self.store.close().await;
        RegionalStore::check_deep(self.dir.path()).await.unwrap()
    }
}

fn settings(dir: &Path) -> Settings {
    Settings { grace: Duration::from_secs(60), ..Settings::new(dir, "ord1") }
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_under(&path)) } else { found.push(path) }
    }
    found
}

/// Bytes that differ from page to page and from seed to seed.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut made = Vec::with_capacity(count + 8);
    while made.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(&state.to_le_bytes());
    }
    made.truncate(count);
    made
}

fn head(txn: &Txn<'_>, instance: Instance, bytes: u64) -> Head {
    let modified_millis = txn.now_millis();
    Head { bytes, etag: "e".into(), modified_millis, ..Head::new(instance, txn.random_id()) }
}

fn upload_row() -> UploadRow {
    UploadRow {
        initiated_millis: 1,
        initiator: String::new(),
        initiator_display: String::new(),
        owner: None,
        acl: None,
        tags: Tags::new(),
        headers: StoredHeaders::default(),
        metadata: BTreeMap::new(),
        checksum_algorithm: None,
        checksum_kind: None,
        encryption: None,
    }
}

fn change(key: &str) -> Change {
    Change::Keys { bucket: BUCKET.into(), keys: vec![key.into()] }
}

/// A request of somebody of an account who may do anything.
fn asked_by<T>(account: &str, owner: Owner, input: T) -> S3Request<T> {
    let mut extensions = http::Extensions::new();
    extensions.insert(Caller {
        account: account.into(),
        canonical_id: owner.id,
        display_name: owner.display_name,
        email: String::new(),
        name: "tester".into(),
    });
    extensions.insert(Arc::new(Anybody) as Arc<dyn Permit>);
    S3Request {
        input,
        method: http::Method::GET,
        uri: http::Uri::from_static("/"),
        headers: http::HeaderMap::new(),
        extensions,
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

/// A request of the bucket's owner.
fn asked<T>(input: T) -> S3Request<T> {
    asked_by("anne", Owner { id: "id".into(), display_name: "anne".into() }, input)
}

/// Lets whoever asks do anything.
struct Anybody;

#[async_trait]
impl Permit for Anybody {
    fn decide(&self, _role: Role, _on: &On<'_>) -> S3Result<()> {
        Ok(())
    }

    fn missing(&self, _role: Role, _on: &On<'_>) -> S3Error {
        s3_error!(NoSuchKey)
    }

    fn shows_tags(&self, _on: &On<'_>) -> bool {
        true
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        Ok(true)
    }
}

type Meanwhile = Box<dyn FnOnce(RegionalStore) -> BoxFuture<'static, S3Result<()>> + Send>;

/// Does something once between a look and the change that follows it, or fails that change.
#[derive(Default)]
struct Between {
    store: Mutex<Option<RegionalStore>>,
    meanwhile: Mutex<Option<Meanwhile>>,
    /// Announcements until one fails; none does while it is 0.
    fails_in: AtomicUsize,
}

impl Announcer for Between {
    fn announce(&self, _change: &Change) -> BoxFuture<'_, S3Result<Announced>> {
        Box::pin(async {
            let meanwhile = self.meanwhile.lock().unwrap().take();
            let store = self.store.lock().unwrap().clone();
            if let Some((meanwhile, store)) = meanwhile.zip(store) {
                meanwhile(store).await?;
            }
            let left = self.fails_in.load(Ordering::SeqCst);
            self.fails_in.store(left.saturating_sub(1), Ordering::SeqCst);
            if left == 1 { Err(s3_error!(ServiceUnavailable)) } else { Ok(Announced::NOBODY) }
        })
    }
}

/// A region with something between what is announced and what is committed.
async fn between() -> (Region, Arc<Between>) {
    let between = Arc::new(Between::default());
    let announcer: Arc<dyn Announcer> = Arc::<Between>::clone(&between);
    let region = Region::start_with(Seams { announcer, ..Seams::default() }).await;
    *between.store.lock().unwrap() = Some(region.store.clone());
    (region, between)
}

/// Notes what happens around a commit: the object's size as a reader sees it, when a change is announced and when it is
/// over. Refuses everything while `is_holding`.
#[derive(Default)]
struct Watching {
    store: Mutex<Option<RegionalStore>>,
    seen: Mutex<Vec<(Change, Option<u64>)>>,
    over: AtomicUsize,
    is_holding: std::sync::atomic::AtomicBool,
}

struct Over(Arc<Watching>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over.fetch_add(1, Ordering::SeqCst);
    }
}

struct Watcher(Arc<Watching>);

impl Announcer for Watcher {
    fn announce(&self, change: &Change) -> BoxFuture<'_, S3Result<Announced>> {
        let change = change.clone();
        Box::pin(async move {
            if self.0.is_holding.load(Ordering::SeqCst) {
                return Err(s3s::s3_error!(SlowDown, "Please reduce your request rate."));
            }
            let store = self.0.store.lock().unwrap().clone().unwrap();
            let bytes = store.resolve(BUCKET, "k", None).await.unwrap().head.map(|head| head.bytes);
            self.0.seen.lock().unwrap().push((change, bytes));
            Ok(Announced::during(Over(self.0.clone())))
        })
    }
}

async fn watched() -> (Region, Arc<Watching>) {
    let watching = Arc::<Watching>::default();
    let announcer = Arc::new(Watcher(watching.clone()));
    let region = Region::start_with(Seams { announcer, ..Seams::default() }).await;
    *watching.store.lock().unwrap() = Some(region.store.clone());
    (region, watching)
}

impl RegionalStore {
    /// Makes the bucket anew, with these rules and whatever is in it.
    async fn test_rules(&self, lifecycle: Option<Lifecycle>) -> S3Result<()> {
        self.commit(Change::Bucket(BUCKET.into()), move |txn| {
            let owner = Owner { id: "id".into(), display_name: "anne".into() };
            let facts = Facts::new(txn.random_id(), txn.random_id(), "anne", owner);
            let facts = Facts { lifecycle, ..facts };
            Ok(txn.put_bucket(BUCKET, &Bucket::new(facts, 1))?)
        })
        .await
    }

    /// Makes the bucket, if it is not there, and tells nobody.
    async fn test_bucket(&self) {
        let writer = self.writer().unwrap();
        let made = writer.submit(Growth::Free, |txn| {
            if txn.bucket(BUCKET)?.is_none() {
                let owner = Owner { id: "id".into(), display_name: "anne".into() };
                let facts = Facts::new(txn.random_id(), txn.random_id(), "anne", owner);
                txn.put_bucket(BUCKET, &Bucket::new(facts, 1))?;
            }
            Ok(())
        });
        made.await.unwrap();
    }

    /// How many transactions have been committed.
    fn test_commits_count(&self) -> u64 {
        self.shared.disk.metrics.commit_changes.get_sample_count()
    }

    async fn test_staged(&self, bytes: &[u8]) -> Result<Staged, S3Error> {
        let mut upload = self.stage(Some(bytes.len() as u64), None);
        // Pieces of odd sizes, as a network brings them.
        for piece in bytes.chunks(50_001) {
            upload.write(Bytes::copy_from_slice(piece)).await?;
        }
        upload.finish().await
    }

    async fn test_put(&self, key: &str, bytes: &[u8]) -> Result<Instance, S3Error> {
        let staged = self.test_staged(bytes).await?;
        let key_owned = key.to_owned();
        self.commit(change(key), move |txn| {
            let bytes = staged.bytes();
            let instance = txn.publish(staged)?;
            txn.put_object(BUCKET, &key_owned, &head(txn, instance, bytes))?;
            Ok(instance)
        })
        .await
    }

    async fn test_delete(&self, key: &str) -> Result<bool, S3Error> {
        let key_owned = key.to_owned();
        self.commit(change(key), move |txn| Ok(txn.delete_object(BUCKET, &key_owned)?.is_some())).await
    }

    async fn test_copy(&self, from: &str, to: &str) -> Result<Instance, S3Error> {
        let (from, to_owned) = (from.to_owned(), to.to_owned());
        self.commit(change(to), move |txn| {
            let source = txn.head(BUCKET, &from)?.ok_or_else(|| s3_error!(NoSuchKey))?;
            let instance = txn.share(&source.instance)?;
            txn.put_object(BUCKET, &to_owned, &head(txn, instance, source.bytes))?;
            Ok(instance)
        })
        .await
    }

    /// Puts an object whose bytes lie in very many slices of two files, in the one and the other by turns: slices that
    /// follow each other in one file become one.
    async fn test_put_in_slices(&self, key: &str, bytes: &[u8]) -> Result<Instance, S3Error> {
        const SLICES_COUNT: usize = 300;
        let total = bytes.len();
        let slice = move |n: usize| total * n / SLICES_COUNT..total * (n + 1) / SLICES_COUNT;
        let mut staged = Vec::new();
        for first in 0..2 {
            let mut upload = self.stage_part(1, None, None);
            for n in (first..SLICES_COUNT).step_by(2) {
                upload.write(Bytes::copy_from_slice(&bytes[slice(n)])).await?;
            }
            staged.push(upload.finish().await?);
        }
        let key_owned = key.to_owned();
        self.commit(change(key), move |txn| {
            let files =
                staged.into_iter().map(|staged| txn.publish(staged)).collect::<Result<Vec<_>, _>>()?;
            let (mut ends, mut slices) = ([0; 2], Vec::new());
            for n in 0..SLICES_COUNT {
                let start = ends[n % 2];
                ends[n % 2] += slice(n).len() as u64;
                slices.push(txn.slice(&files[n % 2], start..ends[n % 2])?);
            }
            let instance = txn.join(&slices)?;
            files.iter().try_for_each(|file| txn.retire(file, txn.now()))?;
            txn.put_object(BUCKET, &key_owned, &head(txn, instance, total as u64))?;
            Ok(instance)
        })
        .await
    }

    /// Leaves over an object of many parts, each of a file of its own: their rows alone, for a file that is gone is as
    /// good as removed.
    async fn test_leave_over(&self, parts_count: usize, part_bytes: u64) {
        let left_over = self.commit(Change::Nothing, move |txn| {
            let mut segments = Vec::new();
            for _ in 0..parts_count {
                let file = txn.random_id();
                let row = FileRow { bytes: part_bytes, epoch: txn.moment.epoch, references: 1 };
                txn.rows.put_row(table::Table::Files, file.as_bytes(), &encode(&row))?;
                for run in (0..files::pages_in(part_bytes)).step_by(RUN_PAGES as usize) {
                    txn.rows.put_row(table::Table::Sums, &keys::run(&file, run), &[0; 4])?;
                }
                segments.push(Segment { file, offset: 0, bytes: part_bytes });
            }
            let instance = txn.random_id();
            layout::put(txn.rows, &instance, segments)?;
            Ok(txn.retire(&instance, txn.now())?)
        });
        left_over.await.unwrap();
    }

    async fn test_put_part(&self, upload_id: &str, number: u32, bytes: &[u8]) -> Result<(), S3Error> {
        let mut upload = self.stage_part(number, None, None);
        for piece in bytes.chunks(50_001) {
            upload.write(Bytes::copy_from_slice(piece)).await?;
        }
        let staged = upload.finish().await?;
        let upload_id = upload_id.to_owned();
        self.commit(Change::Nothing, move |txn| {
            let bytes = staged.bytes();
            let instance = txn.publish(staged)?;
            let part = PartRow {
                instance,
                bytes,
                etag: "p".into(),
                modified_millis: 1,
                checksums: crate::head::Checksums::default(),
                is_sealed: false,
            };
            // Of whatever key: parts are found by their upload.
            txn.put_upload(BUCKET, "k", &upload_id, &upload_row())?;
            Ok(txn.put_part(BUCKET, &upload_id, number, &part)?)
        })
        .await
    }

    async fn test_complete(&self, key: &str, upload_id: &str) -> Result<Instance, S3Error> {
        let (key_owned, upload_id) = (key.to_owned(), upload_id.to_owned());
        self.commit(change(key), move |txn| {
            let rows = txn.parts(&upload_id, 0)?.collect::<Result<Vec<_>, _>>()?;
            let instances: Vec<_> = rows.iter().map(|(_, part)| part.instance).collect();
            let instance = txn.join(&instances)?;
            let bytes = rows.iter().map(|(_, part)| part.bytes).sum();
            let parts = rows
                .into_iter()
                .map(|(number, part)| Part {
                    number,
                    bytes: part.bytes,
                    checksums: part.checksums,
                    sealed_as: None,
                })
                .collect();
            let head = Head { parts, ..head(txn, instance, bytes) };
            txn.put_object(BUCKET, &key_owned, &head)?;
            txn.delete_upload(BUCKET, &key_owned, &upload_id)?;
            Ok(instance)
        })
        .await
    }

    async fn test_read(&self, instance: Instance) -> Result<Vec<u8>, ReadError> {
        self.test_read_pages(instance, 0..u64::MAX).await
    }

    async fn test_read_pages(&self, instance: Instance, pages: Range<u64>) -> Result<Vec<u8>, ReadError> {
        let pages: Vec<Page> = self.read_pages(instance, pages).await?.try_collect().await?;
        let (last, full) = pages.split_last().map_or((None, &[][..]), |(last, full)| (Some(last), full));
        assert!(full.iter().all(|page| page.bytes.len() as u64 == PAGE_BYTES));
        assert!(last.is_none_or(|page| !page.bytes.is_empty()));
        for page in &pages {
            assert_eq!(crc_fast::crc32_iscsi(&page.bytes), page.crc32c);
        }
        Ok(pages.iter().flat_map(|page| page.bytes.iter().copied()).collect())
    }

    async fn test_object(&self, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let resolved = self.resolve(BUCKET, key, None).await.map_err(std::io::Error::other)?;
        match resolved.head {
            Some(head) => self.test_read(head.instance).await.map(Some),
            None => Ok(None),
        }
    }
}

fn facts(txn: &Txn<'_>) -> Facts {
    let (incarnation, revision) = (txn.random_id(), txn.random_id());
    Facts::new(incarnation, revision, "o", Owner { id: "o-id".into(), display_name: "O".into() })
}
