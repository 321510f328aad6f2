//! GetBucketVersioning.

use s3s::dto::{BucketVersioningStatus, GetBucketVersioningInput, GetBucketVersioningOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;
use crate::head::Versioning;

/// Says whether a bucket keeps versions; nothing of one that never did.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_versioning(
    store: &RegionalStore,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let GetBucketVersioningInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let status = match found.facts.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(S3Response::new(GetBucketVersioningOutput {
        status: status.map(BucketVersioningStatus::from_static),
        ..GetBucketVersioningOutput::default()
    }))
}
