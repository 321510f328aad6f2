//! GetPublicAccessBlock.

use http::StatusCode;
use s3s::dto::{GetPublicAccessBlockInput, GetPublicAccessBlockOutput, PublicAccessBlockConfiguration};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;
use crate::head::PublicAccessBlock;

/// Says what public access is blocked.
///
/// # Errors
/// `NoSuchPublicAccessBlockConfiguration` where nothing has been said about it; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_public_access_block(
    store: &RegionalStore,
    request: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let GetPublicAccessBlockInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let block = found.facts.public_access_block.ok_or_else(none_set)?;
    Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(shown(block)) }))
}

fn shown(block: PublicAccessBlock) -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_public_acls),
        block_public_policy: Some(block.block_public_policy),
        ignore_public_acls: Some(block.ignore_public_acls),
        restrict_public_buckets: Some(block.restrict_public_buckets),
    }
}

fn none_set() -> S3Error {
    let code = S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into());
    let mut error = S3Error::with_message(code, "The public access block configuration was not found");
    error.set_status_code(StatusCode::NOT_FOUND);
    error
}
