//! AbortMultipartUpload.

use s3s::dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::bucket_access::own_bucket;
use super::multipart::unfinished;
use super::seams::Change;
use crate::caller::Caller;

/// Removes an unfinished upload and its parts.
///
/// # Errors
/// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn abort_multipart_upload(
    store: &RegionalStore,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let caller = Caller::of(&request.extensions)?.clone();
    let AbortMultipartUploadInput {
        bucket,
        key,
        upload_id,
        expected_bucket_owner,
        if_match_initiated_time,
        ..
    } = request.input;
    if if_match_initiated_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditions on the time of initiation are for directory buckets only."
        ));
    }
    store
        .commit(Change::Nothing, move |txn| {
            own_bucket(txn, &bucket, &caller, expected_bucket_owner.as_deref())?;
            unfinished(txn, &bucket, &key, &upload_id)?;
            Ok(txn.delete_upload(&bucket, &key, &upload_id)?)
        })
        .await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
