//! What is refused, or changes nothing, is announced to nobody: it empties no cache.

use s3s::S3;
use s3s::dto::{
    CompleteMultipartUploadInput, CompletedMultipartUpload, CompletedPart, DeleteObjectInput,
    PutBucketPolicyInput, PutObjectAclInput,
};

use super::*;
use crate::head::{ObjectOwnership, PublicAccessBlock};

const PUBLIC: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
    "Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}]}"#;

#[tokio::test]
async fn nobody_is_told_of_what_is_refused_or_not_there() {
    let (region, watching) = watched().await;
    let store = &region.store;
    store.test_put("k", b"v").await.unwrap();
    store.test_put_part("u", 1, b"part").await.unwrap();
    let closed = store.commit(Change::Bucket(BUCKET.into()), |txn| {
        let mut bucket = txn.bucket(BUCKET)?.unwrap();
        bucket.facts.ownership = Some(ObjectOwnership::BucketOwnerEnforced);
        let blocks = PublicAccessBlock { block_public_policy: true, ..PublicAccessBlock::default() };
        bucket.facts.public_access_block = Some(blocks);
        Ok(txn.put_bucket(BUCKET, &bucket)?)
    });
    closed.await.unwrap();
    watching.seen.lock().unwrap().clear();

    let (bucket, key) = (BUCKET.to_owned(), "k".to_owned());
    let policy = PutBucketPolicyInput { bucket: bucket.clone(), policy: PUBLIC.into(), ..Default::default() };
    let refused = store.put_bucket_policy(asked(policy)).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::AccessDenied);

    let acl = PutObjectAclInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    let mut acl = asked(acl);
    acl.headers.insert("x-amz-acl", "public-read".parse().unwrap());
    let refused = store.put_object_acl(acl).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::AccessControlListNotSupported);

    let part = CompletedPart { part_number: Some(2), e_tag: None, ..Default::default() };
    let complete = |part| CompleteMultipartUploadInput {
        bucket: bucket.clone(),
        key: key.clone(),
        upload_id: "u".into(),
        multipart_upload: Some(CompletedMultipartUpload { parts: Some(vec![part]) }),
        ..Default::default()
    };
    let e_tag = Some(s3s::dto::ETag::Strong("p".to_owned()));
    let refused = store.complete_multipart_upload(asked(complete(CompletedPart { e_tag, ..part }))).await;
    assert_eq!(*refused.unwrap_err().code(), S3ErrorCode::InvalidPart);

    let delete =
        |key: &str| DeleteObjectInput { bucket: bucket.clone(), key: key.into(), ..Default::default() };
    store.delete_object(asked(delete("none"))).await.unwrap();
    let mut conditional = asked(delete("k"));
    conditional.headers.insert(http::header::IF_MATCH, "\"other\"".parse().unwrap());
    let refused = store.delete_object(conditional).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::PreconditionFailed);
    assert_eq!(*watching.seen.lock().unwrap(), []);

    store.delete_object(asked(delete("k"))).await.unwrap();
    assert_eq!(watching.seen.lock().unwrap().len(), 1);
    assert_eq!(store.test_object("k").await.unwrap(), None);
}
