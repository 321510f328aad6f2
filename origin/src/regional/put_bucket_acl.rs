//! PutBucketAcl.

use s3s::dto::{PutBucketAclInput, PutBucketAclOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use super::unsupported::{SETS_ACL, refuse_unsupported};
use super::wanted_acl::WantedAcl;

/// Gives a bucket another access control list.
///
/// # Errors
/// Those of [`WantedAcl`]; `AccessDenied` also for a list with another owner; `NoSuchBucket`.
pub(super) async fn put_bucket_acl(
    store: &RegionalStore,
    request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let PutBucketAclInput { bucket, access_control_policy, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    refuse_unsupported(&request.headers, SETS_ACL)?;
    let wanted =
        WantedAcl::of_request(store, &bucket.caller, &request.headers, access_control_policy).await?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.acl = Some(wanted.acl(bucket.facts.owner(), &bucket.facts)?);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketAclOutput {}))
}
