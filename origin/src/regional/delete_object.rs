//! DeleteObject.

use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::unsupported::{READS_NONE, refuse_unsupported};
use super::write_condition::WriteCondition;

/// Removes an object. One that is not there is removed already, unless `If-Match` says that it should be.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`, those of the condition, and `InvalidArgument` for a version that cannot be.
pub(super) async fn delete_object(
    store: &RegionalStore,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let DeleteObjectInput {
        bucket,
        key,
        version_id,
        expected_bucket_owner,
        if_match_size,
        if_match_last_modified_time,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    refuse_unsupported(&request.headers, READS_NONE)?;
    let condition = WriteCondition::parse(&request.headers)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    if if_match_size.is_some() || if_match_last_modified_time.is_some() {
        return Err(s3_error!(NotImplemented, "Conditions on size and time are for directory buckets only."));
    }
    store
        .commit(object.change(), move |txn| {
            let (_, head) = object.find_place(txn)?;
            condition.decide(head.as_ref())?;
            txn.delete_object(&object.bucket.name, &object.key)?;
            Ok(())
        })
        .await?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}
