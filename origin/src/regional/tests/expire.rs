//! Lifecycle rules while others work, and passes that are cut short.

use std::ops::Bound;

use s3s::dto::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, NoncurrentVersionExpiration,
};

use super::super::expire::Passed;
use super::super::rows::{MarkerRow, ObjectRow, VersionRow, decode, encode};
use super::super::table::Table;
use super::faults::Breaker;
use super::*;
use crate::NamedVersion;
use crate::head::Versioning;
use crate::lifecycle::Lifecycle;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn a_day() -> Lifecycle {
    rule(Some(LifecycleExpiration { days: Some(1), ..LifecycleExpiration::default() }), None)
}

fn rule(
    expiration: Option<LifecycleExpiration>,
    noncurrent_version_expiration: Option<NoncurrentVersionExpiration>,
) -> Lifecycle {
    read(LifecycleRule { expiration, noncurrent_version_expiration, ..empty_rule() })
}

fn read(rule: LifecycleRule) -> Lifecycle {
    Lifecycle::read(BucketLifecycleConfiguration { rules: vec![rule] }, || "one".to_owned()).unwrap()
}

fn empty_rule() -> LifecycleRule {
    LifecycleRule {
        abort_incomplete_multipart_upload: None,
        expiration: None,
        filter: None,
        id: None,
        noncurrent_version_expiration: None,
        noncurrent_version_transitions: None,
        prefix: Some(String::new()),
        status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
        transitions: None,
    }
}

/// A region whose store has made the pass that it begins with: whatever goes from now on goes by a pass of the test's.
async fn start_with(seams: Seams) -> Region {
    let region = Region::start_with(seams).await;
    until_first_pass(&region).await;
    region
}

async fn until_first_pass(region: &Region) {
    let passes = &region.store.shared.disk.metrics.lifecycle_pass_seconds;
    until("the first pass", async || passes.get_sample_count() > 0).await;
}

async fn region() -> (Region, Arc<Between>) {
    let (region, between) = between().await;
    until_first_pass(&region).await;
    region.store.test_rules(Some(a_day())).await.unwrap();
    (region, between)
}

impl RegionalStore {
    async fn test_keys(&self) -> Vec<String> {
        let keys = self.read(|rows| {
            let objects = rows.objects(BUCKET, Bound::Unbounded)?;
            Ok(objects.map(|row| row.map(|(key, _)| key)).collect::<Result<Vec<_>, _>>()?)
        });
        keys.await.unwrap()
    }

    /// Makes a bucket anew, with these rules and whatever is in it.
    async fn test_bucket_of(&self, name: &'static str, versioning: Versioning, lifecycle: Lifecycle) {
        let made = self.commit(Change::Bucket(name.into()), move |txn| {
            let owner = Owner { id: "id".into(), display_name: "anne".into() };
            let facts = Facts::new(txn.random_id(), txn.random_id(), "anne", owner);
            let facts = Facts { versioning, lifecycle: Some(lifecycle), ..facts };
            Ok(txn.put_bucket(name, &Bucket::new(facts, 1))?)
        });
        made.await.unwrap();
    }

    /// Puts one more version of `k`.
    async fn test_put_version(&self) -> NamedVersion {
        let staged = self.test_staged(b"v").await.unwrap();
        let put = self.commit(change("k"), move |txn| {
            let bytes = staged.bytes();
            let instance = txn.publish(staged)?;
            let head = head(txn, instance, bytes);
            Ok(txn.put_version(BUCKET, "k", Versioning::Enabled, head)?)
        });
        NamedVersion::parse(&put.await.unwrap().version_id.unwrap()).unwrap()
    }

    async fn test_put_marker(&self) {
        let put = self.commit(change("k"), |txn| {
            txn.put_marker(BUCKET, "k", Versioning::Enabled, None)?;
            Ok(())
        });
        put.await.unwrap();
    }

    async fn test_remove_version(&self, named: NamedVersion) {
        let removed = self.commit(change("k"), move |txn| Ok(txn.remove_version(BUCKET, "k", &named)?));
        assert!(removed.await.unwrap().is_some());
    }

    /// Leaves the rows of `k`'s versions as an earlier release wrote them: without when they were replaced.
    async fn test_age_rows(&self) {
        let aged = self.commit(change("k"), |txn| {
            let of_key = keys::versions(BUCKET, "k");
            let of_key = (Bound::Included(&of_key.start()[..]), Bound::Included(&of_key.end()[..]));
            let rows = txn.rows.rows(Table::Versions, of_key)?.collect::<Result<Vec<_>, _>>()?;
            for (row_key, value) in rows {
                let superseded_millis = None;
                let row = match decode(&value)? {
                    VersionRow::Object(row) => {
                        VersionRow::Object(Box::new(ObjectRow { superseded_millis, ..*row }))
                    }
                    VersionRow::Marker(row) => VersionRow::Marker(MarkerRow { superseded_millis, ..row }),
                };
                txn.rows.put_row(Table::Versions, &row_key, &encode(&row))?;
            }
            Ok(())
        });
        aged.await.unwrap();
    }
}

#[tokio::test]
async fn what_happens_between_the_look_and_the_change_counts() {
    let again: Meanwhile =
        Box::new(|store| Box::pin(async move { store.test_put("k", b"again").await.map(drop) }));
    let gone: Meanwhile = Box::new(|store| Box::pin(async move { store.test_delete("k").await.map(drop) }));
    let no_rules: Meanwhile = Box::new(|store| Box::pin(async move { store.test_rules(None).await }));
    let other_bucket: Meanwhile =
        Box::new(|store| Box::pin(async move { store.test_rules(Some(a_day())).await }));
    let nothing: Meanwhile = Box::new(|_| Box::pin(async { Ok(()) }));
    for (meanwhile, expired_count, left) in [
        (again, 1, vec!["k"]),
        (gone, 1, vec![]),
        (no_rules, 0, vec!["k", "other"]),
        (other_bucket, 0, vec!["k", "other"]),
        (nothing, 2, vec![]),
    ] {
        let (region, between) = region().await;
        region.store.test_put("k", b"v").await.unwrap();
        region.store.test_put("other", b"v").await.unwrap();
        region.clock.advance(2 * DAY);
        *between.meanwhile.lock().unwrap() = Some(meanwhile);
        let applied = region.store.apply_lifecycle().await.unwrap();
        assert_eq!(applied, Applied { expired_count, ..Applied::default() });
        assert_eq!(region.store.test_keys().await, left);
        between.store.lock().unwrap().take();
        assert_eq!(region.check().await.faults, Vec::<String>::new());
    }
}

/// A version that an earlier release replaced has not been current since the next newer one was made; where that is gone by
/// now, since the one after it was.
#[tokio::test]
async fn versions_that_an_earlier_release_replaced_go_by_what_is_newer() {
    let noncurrent =
        NoncurrentVersionExpiration { noncurrent_days: Some(2), ..NoncurrentVersionExpiration::default() };
    let region = start_with(Seams::default()).await;
    let store = &region.store;
    store.test_rules(Some(rule(None, Some(noncurrent)))).await.unwrap();
    let after = async |days: u32| {
        store.test_age_rows().await;
        region.clock.advance(days * DAY);
        store.apply_lifecycle().await.unwrap().noncurrent_count
    };
    store.test_put_version().await;
    assert_eq!(after(10).await, 0);
    // Two days end at the midnight after.
    store.test_put_version().await;
    assert_eq!([after(2).await, after(1).await], [0, 1]);

    // A delete marker replaces as an object does, and is replaced.
    store.test_put_marker().await;
    assert_eq!(after(1).await, 0);
    store.test_put_version().await;
    assert_eq!([after(1).await, after(1).await, after(1).await], [0, 1, 1]);

    let next_newer = store.test_put_version().await;
    assert_eq!(after(1).await, 0);
    store.test_put_version().await;
    store.test_remove_version(next_newer).await;
    assert_eq!([after(2).await, after(1).await], [0, 1]);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// One may have ten thousand parts: others write between two of them. One that fails holds up itself and those behind it,
/// until the pass goes on.
#[tokio::test]
async fn uploads_are_aborted_one_after_the_other() {
    let (region, between) = region().await;
    let days = AbortIncompleteMultipartUpload { days_after_initiation: Some(1) };
    let rules = read(LifecycleRule { abort_incomplete_multipart_upload: Some(days), ..empty_rule() });
    region.store.test_rules(Some(rules)).await.unwrap();
    let uploads: Vec<_> = (0..10).map(|n| format!("u{n}")).collect();
    let parts = uploads.iter().map(|upload_id| region.store.test_put_part(upload_id, 1, b"part"));
    futures::future::try_join_all(parts).await.unwrap();
    between.fails_in.store(4, Ordering::SeqCst);
    let before = region.store.test_commits_count();
    let refused = region.store.apply_lifecycle().await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::ServiceUnavailable);
    assert_eq!(region.store.apply_lifecycle().await.unwrap().uploads_count, 7);
    assert!(region.store.test_commits_count() - before >= 10);
}

#[tokio::test]
async fn a_pass_that_was_cut_short_goes_on_where_it_was_after_a_restart_too() {
    let (region, between) = region().await;
    for number in 100..700 {
        region.store.test_put(&format!("k{number}"), b"v").await.unwrap();
    }
    region.clock.advance(2 * DAY);
    // After the first page.
    between.fails_in.store(2, Ordering::SeqCst);
    let refused = region.store.apply_lifecycle().await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::ServiceUnavailable);
    let left = region.store.test_keys().await;
    assert_eq!((left.len(), left[0].as_str()), (344, "k356"));

    // Behind the place: its turn comes with the next pass.
    region.store.test_put("a", b"v").await.unwrap();
    region.clock.advance(2 * DAY);
    between.store.lock().unwrap().take();
    region.store.close().await;
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&region.clock);
    let seams = Seams { clock, ..Seams::default() };
    let store = RegionalStore::open(settings(region.dir.path()), seams, &Registry::new()).await.unwrap();
    // A store goes on with its pass as it opens.
    until("the pass goes on", async || store.test_keys().await.len() == 1).await;
    assert_eq!(store.test_keys().await, ["a"]);
    assert_eq!(store.apply_lifecycle().await.unwrap().expired_count, 1);
}

/// Delete markers would eat what is left of a full disk. What makes room is removed all the same, behind them and in the next
/// bucket.
#[tokio::test]
async fn on_a_full_disk_delete_markers_wait_and_removals_go_on() {
    let breaker = Arc::new(Breaker::default());
    let faults: Arc<dyn Faults> = Arc::<Breaker>::clone(&breaker);
    let region = start_with(Seams { faults, ..Seams::default() }).await;
    let store = &region.store;
    let expiration = LifecycleExpiration { days: Some(1), ..LifecycleExpiration::default() };
    let noncurrent =
        NoncurrentVersionExpiration { noncurrent_days: Some(1), ..NoncurrentVersionExpiration::default() };
    let rules = rule(Some(expiration), Some(noncurrent));
    store.test_bucket_of(BUCKET, Versioning::Enabled, rules).await;
    store.test_put_version().await;
    store.test_put_version().await;
    store.test_bucket_of("videos", Versioning::Never, a_day()).await;
    let staged = store.test_staged(b"v").await.unwrap();
    let put = store.commit(Change::Bucket("videos".into()), |txn| {
        let bytes = staged.bytes();
        let instance = txn.publish(staged)?;
        Ok(txn.put_object("videos", "k", &head(txn, instance, bytes))?)
    });
    put.await.unwrap();
    region.clock.advance(3 * DAY);

    let passes_count = || store.shared.disk.metrics.lifecycle_pass_seconds.get_sample_count();
    let done_before = passes_count();
    breaker.arm(DiskStep::AskRoom, std::io::ErrorKind::StorageFull);
    let passed = store.shared.expirer.pass(&store.writer().unwrap()).await.unwrap();
    let applied = Applied { expired_count: 1, noncurrent_count: 1, ..Applied::default() };
    assert_eq!(passed, Passed { applied, is_done: false });
    assert_eq!(store.test_keys().await, ["k"], "its delete marker waits");
    assert_eq!(passes_count(), done_before, "something waits: it counts as no pass, and is made anew soon");
    breaker.disarm();
    let passed = store.shared.expirer.pass(&store.writer().unwrap()).await.unwrap();
    let applied = Applied { expired_count: 1, ..Applied::default() };
    assert_eq!(passed, Passed { applied, is_done: true });
    assert_eq!(passes_count(), done_before + 1);
    assert!(store.test_keys().await.is_empty());
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}
