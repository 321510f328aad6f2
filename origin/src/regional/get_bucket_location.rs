//! GetBucketLocation.

use s3s::dto::{BucketLocationConstraint, GetBucketLocationInput, GetBucketLocationOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;

/// Names the bucket's region: this one.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_location(
    store: &RegionalStore,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let GetBucketLocationInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let location = BucketLocationConstraint::from(store.region().to_owned());
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint: Some(location) }))
}
