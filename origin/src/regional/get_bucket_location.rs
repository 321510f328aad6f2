//! GetBucketLocation.

use s3s::dto::{BucketLocationConstraint, GetBucketLocationInput, GetBucketLocationOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::bucket_access::own_bucket;
use crate::caller::Caller;

/// Names the bucket's region: this one.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_location(
    store: &RegionalStore,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let caller = Caller::of(&request.extensions)?.clone();
    let GetBucketLocationInput { bucket, expected_bucket_owner } = request.input;
    store.read(move |rows| own_bucket(rows, &bucket, &caller, expected_bucket_owner.as_deref())).await?;
    let location = BucketLocationConstraint::from(store.region().to_owned());
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint: Some(location) }))
}
