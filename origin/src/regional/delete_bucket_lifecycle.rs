//! DeleteBucketLifecycle.

use s3s::dto::{DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;

/// Lets a bucket's objects stay, as far as time is concerned.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_bucket_lifecycle(
    store: &RegionalStore,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let DeleteBucketLifecycleInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.lifecycle = None;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput {}))
}
