//! PutPublicAccessBlock.

use s3s::dto::{PublicAccessBlockConfiguration, PutPublicAccessBlockInput, PutPublicAccessBlockOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use crate::head::PublicAccessBlock;

/// Blocks public access, in place of what was blocked before; what is not named is not blocked.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_public_access_block(
    store: &RegionalStore,
    request: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let PutPublicAccessBlockInput {
        bucket, public_access_block_configuration, expected_bucket_owner, ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let block = block(&public_access_block_configuration);
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.public_access_block = Some(block);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput {}))
}

fn block(asked: &PublicAccessBlockConfiguration) -> PublicAccessBlock {
    PublicAccessBlock {
        block_public_acls: asked.block_public_acls.unwrap_or(false),
        ignore_public_acls: asked.ignore_public_acls.unwrap_or(false),
        block_public_policy: asked.block_public_policy.unwrap_or(false),
        restrict_public_buckets: asked.restrict_public_buckets.unwrap_or(false),
    }
}
