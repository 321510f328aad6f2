//! DeleteBucketOwnershipControls.

use s3s::dto::{DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;

/// Leaves objects to their writers again.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_bucket_ownership_controls(
    store: &RegionalStore,
    request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    let DeleteBucketOwnershipControlsInput { bucket, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    amend_bucket(store, bucket, |bucket| {
        bucket.facts.ownership = None;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(DeleteBucketOwnershipControlsOutput {}))
}
