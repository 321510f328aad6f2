//! Disks that fill up and fail: clean errors, nothing left behind, and the store goes on.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::head::Versioning;

/// Fails every step of one kind while armed.
#[derive(Default)]
pub(super) struct Breaker {
    armed: Mutex<Option<(DiskStep, std::io::ErrorKind)>>,
}

impl Breaker {
    pub(super) fn arm(&self, step: DiskStep, kind: std::io::ErrorKind) {
        *self.armed.lock().unwrap() = Some((step, kind));
    }

    pub(super) fn disarm(&self) {
        *self.armed.lock().unwrap() = None;
    }
}

impl Faults for Breaker {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        match *self.armed.lock().unwrap() {
            Some((armed, kind)) if armed == step => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

/// Panics in redb's own steps while armed, as it does over pages that it never wrote.
#[derive(Default)]
struct Panicking(AtomicBool);

impl Panicking {
    fn arm(&self, is_armed: bool) {
        self.0.store(is_armed, Ordering::SeqCst);
    }
}

impl Faults for Panicking {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        let is_armed = self.0.load(Ordering::SeqCst);
        assert!(!is_armed || step != DiskStep::WriteMetadata, "as redb does");
        Ok(())
    }
}

pub(super) async fn region() -> (Region, Arc<Breaker>) {
    let breaker = Arc::new(Breaker::default());
    let faults: Arc<dyn Faults> = Arc::<Breaker>::clone(&breaker);
    (Region::start_with(Seams { faults, ..Seams::default() }).await, breaker)
}

#[tokio::test]
async fn a_full_disk_is_a_clean_error_at_every_step_and_leaves_nothing() {
    use DiskStep::{CreateFile, SyncDirectory, SyncFile, SyncMetadata, WriteFile, WriteMetadata};
    let (region, breaker) = region().await;
    region.store.test_put("kept", &bytes(1, MIB)).await.unwrap();
    for step in [CreateFile, WriteFile, SyncFile, SyncDirectory, WriteMetadata, SyncMetadata] {
        for (kind, code) in [
            (std::io::ErrorKind::StorageFull, S3ErrorCode::ServiceUnavailable),
            (std::io::ErrorKind::Other, S3ErrorCode::InternalError),
        ] {
            breaker.arm(step, kind);
            let refused = region.store.test_put("k", &bytes(2, 3 * MIB)).await.unwrap_err();
            assert_eq!(*refused.code(), code, "{step:?} {kind:?}");
            breaker.disarm();
            // The next one succeeds, and the store has neither the refused object nor its file.
            region.store.test_put("other", b"v").await.unwrap();
            assert_eq!(region.store.test_object("k").await.unwrap(), None, "{step:?} {kind:?}");
            until("the removal of the refused file", async || region.data_files().len() == 1).await;
        }
    }
    assert!(region.store.test_object("kept").await.unwrap().unwrap() == bytes(1, MIB));
    let region = region.restart().await;
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_read_of_the_metadata_fails_that_read_alone() {
    let (region, breaker) = region().await;
    region.store.test_put("k", b"v").await.unwrap();
    breaker.arm(DiskStep::ReadMetadata, std::io::ErrorKind::Other);
    // Read from the cache or refused, but never an absence.
    if let Ok(read) = region.store.test_object("k").await {
        assert_eq!(read.unwrap(), b"v");
    }
    breaker.disarm();
    region.store.test_put("other", b"v").await.unwrap();
    assert_eq!(region.store.test_object("k").await.unwrap().unwrap(), b"v");
}

/// Many at once, so that snapshots of the failed file are still at work when it has been opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_under_load_comes_back_after_every_failure_of_its_metadata() {
    let (region, breaker) = region().await;
    for round in 0..5 {
        breaker.arm(DiskStep::WriteMetadata, std::io::ErrorKind::Other);
        let keys: Vec<_> = (0..50).map(|n| format!("{round}/{n}")).collect();
        let puts = futures::future::join_all(keys.iter().map(|key| region.store.test_put(key, b"v")));
        let reads = futures::future::join_all(keys.iter().map(|key| region.store.test_object(key)));
        let (puts, _) = tokio::join!(puts, reads);
        assert!(puts.iter().all(Result::is_err));
        breaker.disarm();
        futures::future::try_join_all(keys.iter().map(|key| region.store.test_put(key, b"v"))).await.unwrap();
        for key in &keys {
            assert_eq!(region.store.test_object(key).await.unwrap().unwrap(), b"v");
        }
    }
}

/// While it makes its file longer redb holds a lock that every read needs: a panic leaves it shut for good.
#[tokio::test]
async fn reads_go_on_after_a_write_that_panicked() {
    let panicking = Arc::new(Panicking::default());
    let faults: Arc<dyn Faults> = Arc::<Panicking>::clone(&panicking);
    let region = Region::start_with(Seams { faults, ..Seams::default() }).await;
    region.store.test_put("kept", b"v").await.unwrap();
    panicking.arm(true);
    let long = |n: usize| bytes(1, n * MIB);
    let grow = move |txn: &mut Txn<'_>| {
        (1..8_u8).try_for_each(|n| txn.rows.put_row(table::Table::Completed, &[n], &long(n.into())))?;
        Ok(())
    };
    let refused = region.store.commit(Change::Nothing, grow).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::InternalError);
    panicking.arm(false);
    assert_eq!(region.store.test_object("kept").await.unwrap().as_deref(), Some(b"v".as_slice()));
    region.store.test_put("k", b"w").await.unwrap();
    let region = region.restart().await;
    assert_eq!(region.store.test_object("k").await.unwrap().as_deref(), Some(b"w".as_slice()));
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_read_of_a_file_is_an_error_of_the_stream_and_not_its_end() {
    let (region, breaker) = region().await;
    let instance = region.store.test_put("k", &bytes(1, 4 * MIB)).await.unwrap();
    let mut pages = region.store.read_pages(instance, 0..64).await.unwrap();
    pages.try_next().await.unwrap().unwrap();
    breaker.arm(DiskStep::ReadFile, std::io::ErrorKind::Other);
    let rest: Result<Vec<_>, _> = pages.try_collect().await;
    assert!(matches!(rest, Err(ReadError::Io(_))));
    breaker.disarm();
    assert!(region.store.test_read(instance).await.unwrap() == bytes(1, 4 * MIB));
}

/// A store that is closed under its readers is not damaged: they are told that it is closed, wherever they are.
#[tokio::test]
async fn a_reader_of_a_store_that_is_closed_is_told_so() {
    let region = Region::start().await;
    let instance = region.store.test_put("k", &bytes(1, 8 * MIB)).await.unwrap();
    let mut pages = region.store.read_pages(instance, 0..128).await.unwrap();
    pages.try_next().await.unwrap().unwrap();
    region.store.close().await;
    let rest: Result<Vec<_>, _> = pages.try_collect().await;
    assert!(matches!(rest, Err(ReadError::Closed)), "{:?}", rest.map(|pages| pages.len()));
    assert!(matches!(region.store.test_read(instance).await, Err(ReadError::Closed)));
    let refused = region.store.test_put("k", b"v").await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::ServiceUnavailable);
    assert!(matches!(Failure::behind(&refused), Failure::Closed));
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_is_removed_later() {
    let (region, breaker) = region().await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    region.store.test_delete("k").await.unwrap();
    breaker.arm(DiskStep::RemoveFile, std::io::ErrorKind::Other);
    region.clock.advance(Duration::from_secs(60));
    assert!(region.try_reap().await.is_err());
    assert_eq!(region.data_files().len(), 1);
    breaker.disarm();
    region.reap().await;
    assert_eq!(region.data_files().len(), 0);
}

/// Ends the disk after a number of steps that change it, as the end of the process would.
struct EndsAfter(AtomicUsize);

impl Faults for EndsAfter {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        let goes_on = |left: usize| left.checked_sub(1);
        match step {
            DiskStep::ReadMetadata | DiskStep::ReadFile | DiskStep::AskRoom => Ok(()),
            _ => match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, goes_on) {
                Ok(_) => Ok(()),
                Err(_) => Err(std::io::ErrorKind::Other.into()),
            },
        }
    }
}

#[tokio::test]
async fn a_first_start_may_end_at_any_step_and_the_next_one_opens_the_store() {
    let mut steps_count = 0;
    loop {
        let dir = TempDir::new().unwrap();
        let faults: Arc<dyn Faults> = Arc::new(EndsAfter(AtomicUsize::new(steps_count)));
        let seams = Seams { faults, ..Seams::default() };
        let first = RegionalStore::open(settings(dir.path()), seams, &Registry::new()).await;
        let has_opened = first.is_ok();
        if let Ok(first) = first {
            first.close().await;
        }
        let region = Region::open(dir, Seams::default()).await;
        region.store.test_put("k", b"v").await.unwrap();
        assert!(!disk::metadata_path(region.dir.path()).with_extension("new").exists());
        assert_eq!(region.check().await.faults, Vec::<String>::new(), "after {steps_count} steps");
        if has_opened {
            break;
        }
        steps_count += 1;
    }
    assert!(steps_count > 5, "the first start took {steps_count} steps");
}

#[tokio::test]
async fn what_a_killed_first_start_left_aside_is_no_part_of_the_store() {
    let other = Region::start().await;
    other.store.test_put("k", b"v").await.unwrap();
    other.store.close().await;
    let whole = std::fs::read(disk::metadata_path(other.dir.path())).unwrap();
    // Killed before the header was written, and before the file had its name.
    for left in [vec![0; MIB], whole] {
        let dir = TempDir::new().unwrap();
        let aside = disk::metadata_path(dir.path()).with_extension("new");
        std::fs::write(&aside, left).unwrap();
        let region = Region::open(dir, Seams::default()).await;
        assert!(!aside.exists());
        assert_eq!(region.store.test_object("k").await.unwrap(), None);
        assert_eq!(region.check().await.faults, Vec::<String>::new());
    }
}

/// The disk can say how full it is before a batch alone: what the batch's own changes put into rows counts too, to the byte.
#[tokio::test]
async fn a_batch_puts_no_more_into_rows_than_the_disk_has_room_for() {
    let region = Region::start().await;
    let small = region.store.test_put("small", &bytes(1, 10_000)).await.unwrap();
    let large = region.store.test_put("large", &bytes(2, MIB)).await.unwrap();
    let mut staged = Vec::new();
    for seed in 0..8 {
        staged.push(region.store.test_staged(&bytes(seed, 10_000)).await.unwrap());
    }
    let disk = Arc::clone(&region.store.shared.disk);
    let (published, copied_small, copied_large) = disk
        .db
        .write(|batch| {
            // A row may take twice its bytes, and has some beside those of its object.
            let mut room = files::Room::test_of(101_001);
            let known = known_buckets::KnownBuckets::default();
            let mut in_turn = |decide: &mut (dyn FnMut(&mut Txn<'_>) -> Result<(), S3Error> + Send)| {
                let mut txn = Txn::new(batch, disk.moment(), &mut room, &known);
                let decided = commit::test_decide(&mut txn, Growth::Bounded, decide);
                batch.keep();
                decided.map_err(|error| error.code().clone())
            };
            let published: Vec<_> = staged
                .drain(..)
                .map(|staged| {
                    let mut staged = Some(staged);
                    in_turn(&mut |txn| Ok(txn.publish(staged.take().unwrap()).map(drop)?))
                })
                .collect();
            let copied_small = in_turn(&mut |txn| txn.share(&small).map(drop));
            let copied_large = in_turn(&mut |txn| txn.share(&large).map(drop));
            Ok((published, copied_small, copied_large))
        })
        .unwrap();
    assert_eq!(published[..5], [const { Ok(()) }; 5]);
    assert_eq!(published[5..], [const { Err(S3ErrorCode::ServiceUnavailable) }; 3]);
    assert_eq!(copied_small, Err(S3ErrorCode::ServiceUnavailable));
    // Shared in its file: a small row is all of it.
    assert_eq!(copied_large, Ok(()));
    // A new batch asks the disk again.
    region.store.test_copy("small", "copy").await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_rows_may_shrink_and_not_grow() {
    let region = Region::start().await;
    region.store.test_put("small", b"0123456789").await.unwrap();
    region.store.test_put("large", &bytes(1, 20_000)).await.unwrap();
    region.store.test_put_part("u", 1, b"part").await.unwrap();
    let large = region.store.resolve(BUCKET, "large", None).await.unwrap().head.unwrap();
    let disk = Arc::clone(&region.store.shared.disk);
    let written = disk.db.write(|batch| {
        let mut room = files::Room::test_of(0);
        let known = known_buckets::KnownBuckets::default();
        type Decide<'a> = &'a (dyn Fn(&mut Txn<'_>) -> Result<(), S3Error> + Sync);
        let mut decide = |growth, decide: Decide<'_>| {
            let mut txn = Txn::new(batch, disk.moment(), &mut room, &known);
            let decided = commit::test_decide(&mut txn, growth, decide);
            if decided.is_ok() {
                batch.keep();
            } else {
                batch.take_back();
            }
            decided.map_err(|error| error.code().clone())
        };
        let growing: [Decide<'_>; 5] = [
            &|txn| Ok(txn.put_upload(BUCKET, "k", "v", &upload_row())?),
            &|txn| Ok(txn.put_marker(BUCKET, "none", Versioning::Enabled, None).map(drop)?),
            &|txn| txn.share(&large.instance).map(drop),
            &|txn| Ok(txn.put_bucket("other", &Bucket::new(facts(txn), 0))?),
            &|txn| {
                let tags = [("k".to_owned(), "v".to_owned())].into();
                Ok(txn.amend_version(BUCKET, "large", &Head { tags, ..large.clone() })?)
            },
        ];
        for (n, growing) in growing.into_iter().enumerate() {
            assert_eq!(decide(Growth::Bounded, growing), Err(S3ErrorCode::ServiceUnavailable), "{n}");
        }
        let shrinking: [Decide<'_>; 3] = [
            &|txn| Ok(txn.delete_object(BUCKET, "small").map(drop)?),
            &|txn| Ok(txn.delete_object(BUCKET, "large").map(drop)?),
            &|txn| Ok(txn.delete_upload(BUCKET, "k", "u")?),
        ];
        for (n, shrinking) in shrinking.into_iter().enumerate() {
            assert_eq!(decide(Growth::Bounded, shrinking), Ok(()), "{n}");
        }
        assert_eq!(decide(Growth::Free, growing[0]), Ok(()));
        Ok(())
    });
    written.unwrap();
}
