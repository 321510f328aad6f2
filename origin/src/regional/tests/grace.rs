//! How long bytes stay that nothing names any more.

use super::*;

#[tokio::test]
async fn superseded_bytes_stay_for_their_grace_and_then_go() {
    let region = Region::start().await;
    let old = region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    let new = region.store.test_put("k", &bytes(2, MIB)).await.unwrap();
    region.clock.advance(Duration::from_secs(59));
    region.reap().await;
    assert!(region.store.test_read(old).await.unwrap() == bytes(1, MIB));
    // That read renewed the grace.
    region.clock.advance(Duration::from_secs(59));
    region.reap().await;
    assert_eq!(region.data_files().len(), 2);
    region.clock.advance(Duration::from_secs(60));
    region.reap().await;
    assert!(matches!(region.store.test_read(old).await, Err(ReadError::Gone)));
    assert!(region.store.test_read(new).await.unwrap() == bytes(2, MIB));
    assert_eq!(region.data_files().len(), 1);
    region.store.test_delete("k").await.unwrap();
    region.let_grace_pass().await;
    assert_eq!(region.data_files().len(), 0);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_running_reader_keeps_superseded_bytes_for_as_long_as_it_takes() {
    let region = Region::start().await;
    let old = region.store.test_put("k", &bytes(1, 4 * MIB)).await.unwrap();
    let mut pages = region.store.read_pages(old, 0..64).await.unwrap();
    let first = pages.try_next().await.unwrap().unwrap();
    region.store.test_delete("k").await.unwrap();
    for _ in 0..5 {
        region.let_grace_pass().await;
    }
    let mut read = first.bytes.to_vec();
    while let Some(page) = pages.try_next().await.unwrap() {
        read.extend_from_slice(&page.bytes);
    }
    assert!(read == bytes(1, 4 * MIB));
    drop(pages);
    region.let_grace_pass().await;
    region.let_grace_pass().await;
    assert_eq!(region.data_files().len(), 0);
}

#[tokio::test]
async fn what_was_superseded_before_a_restart_gets_one_grace() {
    let region = Region::start().await;
    let old = region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    region.store.test_delete("k").await.unwrap();
    let region = region.restart().await;
    region.clock.advance(Duration::from_secs(59));
    region.reap().await;
    assert_eq!(region.data_files().len(), 1);
    region.clock.advance(Duration::from_secs(1));
    region.reap().await;
    assert!(matches!(region.store.test_read(old).await, Err(ReadError::Gone)));
    assert_eq!(files_under(region.dir.path()).len(), 3, "the lock, the metadata file and its note");
}
