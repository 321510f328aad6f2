//! Bytes that never became part of the store leave nothing.

use super::*;

#[tokio::test]
async fn an_upload_given_up_leaves_no_file() {
    let region = Region::start().await;
    let mut upload = region.store.stage(None, None);
    for _ in 0..5 {
        upload.write(Bytes::from(bytes(1, MIB))).await.unwrap();
    }
    until("the first write", async || !region.data_files().is_empty()).await;
    drop(upload);
    until("the removal of the file", async || region.data_files().is_empty()).await;
    drop(region.store.test_staged(&bytes(1, MIB)).await.unwrap());
    until("the removal of the staged file", async || region.data_files().is_empty()).await;
}

#[tokio::test]
async fn an_upload_past_the_limit_is_refused() {
    let region = Region::start().await;
    let mut upload = region.store.stage(None, None);
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    let huge = upload.test_skip(upload::UPLOAD_BYTES_MAX);
    let error = huge.write(Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(*error.code(), S3ErrorCode::EntityTooLarge);
}

#[tokio::test]
async fn files_that_no_commit_published_are_removed_at_the_next_start() {
    let region = Region::start().await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    let staged = region.store.test_staged(&bytes(2, MIB)).await.unwrap();
    assert_eq!(region.data_files().len(), 2);
    // As a kill would: nobody removes it.
    let upload::StagedContent::File { aside, .. } = staged.content else { panic!("in a row") };
    aside.keep();
    let region = region.restart().await;
    assert_eq!(region.data_files().len(), 1);
    assert!(region.store.test_object("k").await.unwrap().unwrap() == bytes(1, MIB));
}
