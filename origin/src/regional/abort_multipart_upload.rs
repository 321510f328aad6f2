//! AbortMultipartUpload.

use s3s::dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedUpload};
use super::seams::Change;

/// Removes an unfinished upload and its parts.
///
/// # Errors
/// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn abort_multipart_upload(
    store: &RegionalStore,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let AbortMultipartUploadInput {
        bucket,
        key,
        upload_id,
        expected_bucket_owner,
        if_match_initiated_time,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let upload = AskedUpload { bucket, key, upload_id };
    if if_match_initiated_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditions on the time of initiation are for directory buckets only."
        ));
    }
    store
        .commit_for(upload.bucket.permit(), Change::Nothing, move |txn| {
            upload.find(txn)?;
            Ok(txn.delete_upload(&upload.bucket.name, &upload.key, &upload.upload_id)?)
        })
        .await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
