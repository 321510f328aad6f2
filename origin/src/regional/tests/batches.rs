//! What one transaction carries: much is done in many of them, and each leaves the store whole.

use prometheus::core::Metric;
use s3s::S3;
use s3s::dto::DeleteBucketInput;

use super::db::ReadRows;
use super::table::Table;
use super::*;

/// Rows that no transaction writes more of, in these tests; a bound of a bucket of the series.
const ROWS_MAX: u64 = 1024;
const UPLOADS_COUNT: u64 = 10;

impl Region {
    /// Transactions that wrote more than [`ROWS_MAX`] rows, and rows that all have written.
    fn commit_rows(&self) -> (u64, f64) {
        let rows = self.store.shared.disk.metrics.commit_rows.metric();
        let rows = rows.get_histogram();
        let bucket = rows.get_bucket().iter().find(|bucket| bucket.upper_bound() == ROWS_MAX as f64);
        let within = bucket.expect("a bucket").cumulative_count();
        (rows.get_sample_count() - within, rows.get_sample_sum())
    }
}

/// Many of some slices, and few of many files, and large files with many sums.
#[tokio::test]
async fn no_commit_ends_more_than_some_of_what_is_left_over() {
    let region = Region::start().await;
    // Two of them would share a commit: a store has one.
    region.store.shared.reaper.abort();
    for _ in 0..20 {
        region.store.test_leave_over(20, PAGE_BYTES).await;
    }
    region.store.test_leave_over(300, PAGE_BYTES).await;
    region.store.test_leave_over(20, 5 * 1024 * MIB as u64).await;
    let (large_commits, rows) = region.commit_rows();
    region.let_grace_pass().await;
    let (large_commits_after, rows_after) = region.commit_rows();
    assert!(rows_after - rows > 3.0 * ROWS_MAX as f64, "{}", rows_after - rows);
    assert_eq!(large_commits_after, large_commits);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// Killed after any of the changes that end a large object: the store is whole, the object gone, and the next start ends
/// the rest.
#[tokio::test]
async fn a_large_leftover_that_is_ended_in_part_is_ended_by_the_next_start() {
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let mut region = Region::start().await;
    let object = bytes(1, 30_000);
    let instance = region.store.test_put_in_slices("k", &object).await.unwrap();
    // Of what it was made of.
    region.let_grace_pass().await;
    region.store.test_delete("k").await.unwrap();
    for changes_count in 1..=2 {
        // It would go on by itself.
        region.store.shared.reaper.abort();
        let writer = region.store.writer().unwrap();
        let ended = writer.submit(Growth::Free, move |txn| {
            let due = txn.rows(Table::Due, all)?.collect::<Result<Vec<_>, _>>()?;
            let [(due, _)] = &due[..] else { panic!("{due:?} are left over") };
            Ok(txn.end_leftover(due, Duration::ZERO, |_| None)?)
        });
        assert!(ended.await.unwrap().is_some(), "{changes_count} changes end it all");
        assert!(matches!(region.store.test_read(instance).await, Err(ReadError::Gone)));
        drop(writer);
        region.store.close().await;
        let report = RegionalStore::check_deep(region.dir.path()).await.unwrap();
        assert_eq!(report.faults, Vec::<String>::new(), "after {changes_count} changes");
        region = Region::open(region.dir, Seams::default()).await;
    }
    region.reap().await;
    until("the removal of the files", async || region.data_files().is_empty()).await;
    let report = region.check().await;
    assert_eq!(report.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_batch_ends_where_it_has_written_much() {
    let region = Region::start().await;
    let writer = region.store.writer().unwrap();
    let commits_count = || region.store.test_commits_count();
    let before = commits_count();
    let (began, has_begun) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let first = writer.submit(Growth::Free, move |_| {
        began.send(()).ok();
        goes_on.recv().ok();
        Ok(())
    });
    let much = |n: u8| {
        writer.submit(Growth::Free, move |txn| {
            let rows = (0..3000_u16).map(|row| [&[n], row.to_be_bytes().as_slice()].concat());
            Ok(rows.into_iter().try_for_each(|key| txn.rows.put_row(Table::Store, &key, b""))?)
        })
    };
    let others = async {
        has_begun.await.unwrap();
        let let_go = async { go_on.send(()).map_err(S3Error::internal_error) };
        // Each is queued before the next is looked at.
        tokio::try_join!(biased; much(1), much(2), much(3), much(4), let_go)
    };
    let (first, others) = tokio::join!(first, others);
    first.unwrap();
    others.unwrap();
    let batches_count = commits_count() - before;
    assert!(batches_count >= 3, "{batches_count}");
}

/// One may have ten thousand parts: others write between two of them.
#[tokio::test]
async fn the_uploads_of_a_bucket_that_goes_are_aborted_one_after_the_other() {
    let region = Region::start().await;
    let uploads: Vec<_> = (0..UPLOADS_COUNT).map(|n| format!("u{n}")).collect();
    let parts = uploads.iter().map(|upload_id| region.store.test_put_part(upload_id, 1, b"part"));
    futures::future::try_join_all(parts).await.unwrap();
    let commits_count = || region.store.test_commits_count();
    let before = commits_count();
    let input = DeleteBucketInput { bucket: BUCKET.into(), ..DeleteBucketInput::default() };
    region.store.delete_bucket(asked(input)).await.unwrap();
    let made_count = commits_count() - before;
    assert!(made_count > UPLOADS_COUNT, "{made_count} commits for {UPLOADS_COUNT} uploads");
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}
