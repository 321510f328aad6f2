//! HeadBucket.

use s3s::dto::{HeadBucketInput, HeadBucketOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;

/// Says that the bucket is there, and in which region.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`; clients see their status alone.
pub(super) async fn head_bucket(
    store: &RegionalStore,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let HeadBucketInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    store.read_few_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region: Some(store.region().to_owned()),
        ..HeadBucketOutput::default()
    }))
}
