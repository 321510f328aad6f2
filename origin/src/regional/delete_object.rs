//! DeleteObject.

use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use super::rows::Reads;
use super::seams::Change;
use super::unsupported::refuse_unsupported;
use super::write_condition::WriteCondition;
use crate::read_request::verify_null_version;

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
    refuse_unsupported(&request.headers)?;
    let condition = WriteCondition::parse(&request.headers)?;
    verify_null_version(version_id.as_deref())?;
    if if_match_size.is_some() || if_match_last_modified_time.is_some() {
        return Err(s3_error!(NotImplemented, "Conditions on size and time are for directory buckets only."));
    }
    let change = Change::Keys { bucket: bucket.name.clone(), keys: vec![key.clone()] };
    store
        .commit(change, move |txn| {
            bucket.find(txn)?;
            condition.decide(txn.head(&bucket.name, &key)?.as_ref())?;
            txn.delete_object(&bucket.name, &key)?;
            Ok(())
        })
        .await?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}
