//! PutBucketOwnershipControls.

use s3s::dto::{PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use super::wanted_acl::verify_ownership;
use crate::head::ObjectOwnership;

/// Says whose the objects of a bucket are.
///
/// # Errors
/// `MalformedXML` for anything but one rule; `InvalidBucketAclWithObjectOwnership` when lists are to be given up while
/// the bucket's gives something to others; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_ownership_controls(
    store: &RegionalStore,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let PutBucketOwnershipControlsInput { bucket, ownership_controls, expected_bucket_owner, .. } =
        request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let ownership = match ownership_controls.rules.as_slice() {
        [rule] => ObjectOwnership::parse(rule.object_ownership.as_str()),
        _ => None,
    };
    let Some(ownership) = ownership else {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    };
    amend_bucket(store, bucket, move |bucket| {
        verify_ownership(ownership, bucket.facts.acl.as_ref(), &bucket.facts.owner())?;
        bucket.facts.ownership = Some(ownership);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput {}))
}
