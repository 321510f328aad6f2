//! GetBucketOwnershipControls.

use s3s::dto::{
    self, GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, OwnershipControls,
    OwnershipControlsRule,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;

/// Says whose the objects of a bucket are, if that has been said.
///
/// # Errors
/// `OwnershipControlsNotFoundError`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_ownership_controls(
    store: &RegionalStore,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let GetBucketOwnershipControlsInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let Some(ownership) = found.facts.ownership else {
        return Err(s3_error!(
            OwnershipControlsNotFoundError,
            "The bucket ownership controls were not found"
        ));
    };
    let rule =
        OwnershipControlsRule { object_ownership: dto::ObjectOwnership::from_static(ownership.as_str()) };
    Ok(S3Response::new(GetBucketOwnershipControlsOutput {
        ownership_controls: Some(OwnershipControls { rules: vec![rule] }),
    }))
}
