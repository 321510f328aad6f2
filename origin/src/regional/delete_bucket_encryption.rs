//! DeleteBucketEncryption.

use s3s::dto::{DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;

/// Encrypts a bucket's objects no longer unless their requests say so, and blocks no encryption. Objects that are there stay
/// as they are.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_bucket_encryption(
    store: &RegionalStore,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    let DeleteBucketEncryptionInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.default_encryption = None;
        bucket.facts.blocked_encryption = None;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(DeleteBucketEncryptionOutput {}))
}
