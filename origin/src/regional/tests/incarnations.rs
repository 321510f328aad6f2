//! A bucket that is made anew under its name is another one.

use std::convert::Infallible;

use http::{HeaderName, HeaderValue};
use s3s::S3;
use s3s::dto::{
    CompleteMultipartUploadInput, CompletedMultipartUpload, CompletedPart, CopyObjectInput, CopySource,
    CreateBucketInput, CreateMultipartUploadInput, Delete, DeleteBucketInput, DeleteBucketTaggingInput,
    DeleteObjectInput, DeleteObjectTaggingInput, DeleteObjectsInput, ObjectIdentifier, PutObjectInput,
    StreamingBlob, UploadPartInput,
};

use super::*;

#[tokio::test]
async fn a_completion_of_a_bucket_that_was_made_anew_is_none_of_it() {
    let region = Region::start().await;
    let store = &region.store;
    let (bucket, key) = (BUCKET.to_owned(), "k".to_owned());
    let create =
        CreateMultipartUploadInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    let upload_id = store.create_multipart_upload(asked(create)).await.unwrap().output.upload_id.unwrap();
    let body = futures::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"part")) });
    let part = UploadPartInput {
        bucket: bucket.clone(),
        key: key.clone(),
        upload_id: upload_id.clone(),
        part_number: 1,
        content_length: Some(4),
        body: Some(StreamingBlob::wrap(body)),
        ..Default::default()
    };
    let e_tag = store.upload_part(asked(part)).await.unwrap().output.e_tag;
    let part = CompletedPart { part_number: Some(1), e_tag, ..Default::default() };
    let complete = CompleteMultipartUploadInput {
        bucket: bucket.clone(),
        key: key.clone(),
        upload_id,
        multipart_upload: Some(CompletedMultipartUpload { parts: Some(vec![part]) }),
        ..Default::default()
    };
    let first = store.complete_multipart_upload(asked(complete.clone())).await.unwrap().output.e_tag;
    let again = store.complete_multipart_upload(asked(complete.clone())).await.unwrap().output.e_tag;
    assert_eq!(first, again);
    store
        .delete_object(asked(DeleteObjectInput { bucket: bucket.clone(), key, ..Default::default() }))
        .await
        .unwrap();
    let again = store.complete_multipart_upload(asked(complete.clone())).await.unwrap().output.e_tag;
    assert_eq!(first, again, "whatever has become of the object");
    let delete = DeleteBucketInput { bucket: bucket.clone(), ..Default::default() };
    store.delete_bucket(asked(delete)).await.unwrap();
    store.create_bucket(asked(CreateBucketInput { bucket, ..Default::default() })).await.unwrap();
    let refused = store.complete_multipart_upload(asked(complete)).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::NoSuchUpload);
}

/// Whoever may write to a bucket may not write to the next one of its name.
#[tokio::test]
async fn what_began_in_a_bucket_does_not_end_in_another_of_its_name() {
    let (region, between) = between().await;
    let store = &region.store;
    for key in ["k", "from"] {
        store.test_put(key, b"old").await.unwrap();
    }
    let (bucket, key) = (BUCKET.to_owned(), "k".to_owned());
    let made_anew = || {
        let make_anew = |store: RegionalStore| async move { store.test_rules(None).await }.boxed();
        *between.meanwhile.lock().unwrap() = Some(Box::new(make_anew));
    };
    let refused = |what, outcome: Result<(), S3Error>| {
        assert_eq!(*outcome.expect_err(what).code(), S3ErrorCode::NoSuchBucket, "{what}");
    };

    made_anew();
    let put = PutObjectInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    refused("PutObject", store.put_object(asked(put)).await.map(drop));

    made_anew();
    let from = CopySource::Bucket { bucket: BUCKET.into(), key: "from".into(), version_id: None };
    let mut copy = CopyObjectInput::builder();
    copy.set_bucket(bucket.clone()).set_key(key.clone()).set_copy_source(from);
    refused("CopyObject", store.copy_object(asked(copy.build().unwrap())).await.map(drop));

    made_anew();
    let headers = [(HeaderName::from_static("x-amz-rename-source"), HeaderValue::from_static("photos/from"))];
    let rename = RenameObjectInput::parse(BUCKET, "k", &headers.into_iter().collect()).unwrap();
    refused("RenameObject", store.rename_object(asked(rename)).await.map(drop));

    made_anew();
    let untag = DeleteObjectTaggingInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    refused("DeleteObjectTagging", store.delete_object_tagging(asked(untag)).await.map(drop));

    made_anew();
    let objects = vec![ObjectIdentifier { key, ..Default::default() }];
    let mut delete = DeleteObjectsInput::builder();
    delete.set_bucket(bucket.clone()).set_delete(Delete { objects, quiet: None });
    refused("DeleteObjects", store.delete_objects(asked(delete.build().unwrap())).await.map(drop));

    made_anew();
    let untag = DeleteBucketTaggingInput { bucket, ..Default::default() };
    refused("DeleteBucketTagging", store.delete_bucket_tagging(asked(untag)).await.map(drop));

    for key in ["k", "from"] {
        assert_eq!(store.test_object(key).await.unwrap().unwrap(), b"old", "{key}");
    }
}
