//! DeleteBucketCors.

use s3s::dto::{DeleteBucketCorsInput, DeleteBucketCorsOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;

/// Takes a bucket's rules for pages of other sites away.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_bucket_cors(
    store: &RegionalStore,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    let DeleteBucketCorsInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.cors = None;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(DeleteBucketCorsOutput {}))
}
