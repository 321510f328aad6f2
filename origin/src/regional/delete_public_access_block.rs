//! DeletePublicAccessBlock.

use s3s::dto::{DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;

/// Blocks no public access any more.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_public_access_block(
    store: &RegionalStore,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    let DeletePublicAccessBlockInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    amend_bucket(store, bucket, |bucket| {
        bucket.facts.public_access_block = None;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(DeletePublicAccessBlockOutput {}))
}
