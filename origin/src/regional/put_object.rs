//! PutObject.

use std::collections::BTreeMap;

use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::answers::{ChecksumFields, checksum_type, etag};
use super::asked::{AskedBucket, AskedObject};
use super::attributes::Attributes;
use super::receive::Incoming;
use super::unsupported::refuse_unsupported;
use super::write_condition::WriteCondition;
use crate::checksums::Algorithm;
use crate::head::Head;

/// Stores an object whole. `If-Match` and `If-None-Match` are decided inside the commit.
///
/// # Errors
/// What the body turns out to lack ([`Incoming::receive`]), what the attributes have too much of
/// ([`Attributes::parse`]), `NoSuchBucket`, `AccessDenied`, and those of the conditions.
pub(super) async fn put_object(
    store: &RegionalStore,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let PutObjectInput { bucket, key, body, content_length, metadata, expected_bucket_owner, .. } =
        request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, None)?;
    refuse_unsupported(&request.headers)?;
    let condition = WriteCondition::parse(&request.headers)?;
    let attributes = Attributes::parse(&request.headers, metadata)?;
    let incoming = Incoming::new(&request.headers, body, content_length, request.trailing_headers)?;

    // Asked before the body is taken, so that nobody uploads gigabytes to be told that there is no such bucket.
    let (asked, early_condition) = (object.clone(), condition.clone());
    store.read(move |rows| early_condition.decide(asked.find_place(rows)?.1.as_ref())).await?;
    let algorithm = incoming.algorithm().unwrap_or(Algorithm::DEFAULT);
    let upload = store.stage(Some(incoming.bytes()));
    let received = incoming.receive(upload, algorithm).await?;

    let head = store
        .commit(object.change(), move |txn| {
            let (_, replaced) = object.find_place(txn)?;
            condition.decide(replaced.as_ref())?;
            let head = Head {
                bytes: received.staged.bytes(),
                instance: txn.publish(received.staged)?,
                revision: txn.random_id(),
                etag: hex::encode(received.digested.md5),
                modified_millis: txn.now_millis(),
                version_id: None,
                headers: attributes.headers,
                metadata: attributes.metadata,
                checksums: received.digested.checksums.of_full_object(),
                parts: Vec::new(),
                owner: Some(object.bucket.caller.as_owner()),
                acl: None,
                tags: BTreeMap::new(),
            };
            txn.put_object(&object.bucket.name, &object.key, &head)?;
            Ok(head)
        })
        .await?;
    let answer = PutObjectOutput {
        e_tag: etag(head.etag),
        checksum_type: checksum_type(head.checksums.kind),
        ..PutObjectOutput::default()
    };
    Ok(S3Response::new(answer.with_checksums(head.checksums)))
}
