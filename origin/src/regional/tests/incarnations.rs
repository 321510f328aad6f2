//! A bucket that is made anew under its name is another one.

use std::convert::Infallible;

use s3s::S3;
use s3s::dto::{
    CompleteMultipartUploadInput, CompletedMultipartUpload, CompletedPart, CreateBucketInput,
    CreateMultipartUploadInput, DeleteBucketInput, DeleteObjectInput, StreamingBlob, UploadPartInput,
};

use super::*;

#[tokio::test]
async fn a_completion_of_a_bucket_that_was_made_anew_is_none_of_it() {
    let region = Region::start().await;
    let store = &region.store;
    let (bucket, key) = (BUCKET.to_owned(), "k".to_owned());
    let create = CreateMultipartUploadInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
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
    store.delete_object(asked(DeleteObjectInput { bucket: bucket.clone(), key, ..Default::default() })).await.unwrap();
    let again = store.complete_multipart_upload(asked(complete.clone())).await.unwrap().output.e_tag;
    assert_eq!(first, again, "whatever has become of the object");
    let delete = DeleteBucketInput { bucket: bucket.clone(), ..Default::default() };
    store.delete_bucket(asked(delete)).await.unwrap();
    store.create_bucket(asked(CreateBucketInput { bucket, ..Default::default() })).await.unwrap();
    let refused = store.complete_multipart_upload(asked(complete)).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::NoSuchUpload);
}
