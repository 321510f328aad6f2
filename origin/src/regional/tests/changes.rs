//! What a change does, announces and leaves, whether it is committed or refused.

use super::*;

#[tokio::test]
async fn a_refused_change_leaves_nothing_and_its_neighbours_stand() {
    let region = Region::start().await;
    region.store.test_put("k", b"old").await.unwrap();
    let staged = region.store.test_staged(&bytes(1, MIB)).await.unwrap();
    let refused = region.store.commit(change("k"), move |txn| -> Result<(), S3Error> {
        let instance = txn.publish(staged)?;
        txn.put_object(BUCKET, "k", &head(txn, instance, MIB as u64))?;
        txn.put_object(BUCKET, "other", &head(txn, instance, MIB as u64))?;
        txn.delete_object(BUCKET, "k")?;
        Err(s3_error!(PreconditionFailed))
    });
    let (refused, kept) = tokio::join!(refused, region.store.test_put("n", b"new"));
    assert_eq!(*refused.unwrap_err().code(), S3ErrorCode::PreconditionFailed);
    kept.unwrap();
    assert_eq!(region.store.test_object("k").await.unwrap().unwrap(), b"old");
    assert_eq!(region.store.test_object("n").await.unwrap().unwrap(), b"new");
    assert_eq!(region.store.test_object("other").await.unwrap(), None);
    until("the removal of the refused bytes", async || region.data_files().is_empty()).await;
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_change_that_panics_is_refused_and_the_store_goes_on() {
    let region = Region::start().await;
    let panicked = region.store.commit(change("k"), |txn| -> Result<(), S3Error> {
        txn.put_bucket("b", &Bucket::new(facts(txn), 0))?;
        panic!("on purpose");
    });
    assert_eq!(*panicked.await.unwrap_err().code(), S3ErrorCode::InternalError);
    assert_eq!(region.store.facts("b").await.unwrap(), None);
    region.store.test_put("k", b"v").await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_changes_nothing() {
    let region = Region::start().await;
    let staged = region.store.test_staged(b"v").await.unwrap();
    let mut put = Box::pin(region.store.commit(change("k"), move |txn| {
        let instance = txn.publish(staged)?;
        Ok(txn.put_object(BUCKET, "k", &head(txn, instance, 1))?)
    }));
    assert!(put.as_mut().now_or_never().is_none());
    drop(put);
    until("the change is made", async || region.store.test_object("k").await.unwrap().is_some()).await;
}

#[tokio::test]
async fn one_sync_serves_many_writers() {
    #[derive(Default)]
    struct Syncs(AtomicUsize);
    impl Faults for Syncs {
        fn before(&self, step: DiskStep) -> std::io::Result<()> {
            if step == DiskStep::SyncMetadata {
                self.0.fetch_add(1, Ordering::SeqCst);
                // A slow disk, so that the others queue up behind the first.
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
    }
    let syncs = Arc::new(Syncs::default());
    let faults: Arc<dyn Faults> = Arc::<Syncs>::clone(&syncs);
    let region = Region::start_with(Seams { faults, ..Seams::default() }).await;
    let before = syncs.0.load(Ordering::SeqCst);
    let keys: Vec<_> = (0..100).map(|n| format!("{n}")).collect();
    futures::future::try_join_all(keys.iter().map(|key| region.store.test_put(key, b"v"))).await.unwrap();
    let used = syncs.0.load(Ordering::SeqCst) - before;
    assert!(used <= 40, "{used} syncs for 100 puts");
}

#[tokio::test]
async fn a_change_is_announced_before_its_commit_and_over_after_it() {
    let (region, watching) = watched().await;
    region.store.test_put("k", b"v").await.unwrap();
    assert_eq!(*watching.seen.lock().unwrap(), [(change("k"), None)]);
    assert_eq!(watching.over.load(Ordering::SeqCst), 1);
    let interval = watching.over.load(Ordering::SeqCst);
    let refused = region.store.commit(change("k"), {
        let watching = watching.clone();
        move |_| -> Result<(), S3Error> {
            assert_eq!(watching.over.load(Ordering::SeqCst), interval, "over before it was decided");
            Err(s3s::s3_error!(PreconditionFailed))
        }
    });
    assert_eq!(*refused.await.unwrap_err().code(), S3ErrorCode::PreconditionFailed);
    assert_eq!(watching.over.load(Ordering::SeqCst), 2, "a refused change is over too");
}

#[tokio::test]
async fn a_change_that_cannot_be_announced_changes_nothing() {
    let (region, watching) = watched().await;
    watching.is_holding.store(true, Ordering::SeqCst);
    let refused = region.store.test_put("k", b"v").await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::SlowDown);
    assert!(region.store.test_object("k").await.unwrap().is_none());
    watching.is_holding.store(false, Ordering::SeqCst);
    region.store.test_put("k", b"v").await.unwrap();
}
