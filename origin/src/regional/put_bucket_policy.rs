//! PutBucketPolicy.

use s3s::dto::{PutBucketPolicyInput, PutBucketPolicyOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use crate::policy::StoredPolicy;

/// Gives a bucket this policy in place of the one it had.
///
/// # Errors
/// `MalformedPolicy` for one that is not understood in full; `AccessDenied` also for one that gives to strangers where
/// that is blocked; `NoSuchBucket`.
pub(super) async fn put_bucket_policy(
    store: &RegionalStore,
    request: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let PutBucketPolicyInput { bucket, policy, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let policy = StoredPolicy::new(&policy, &bucket.name)?;
    amend_bucket(store, bucket, move |bucket| {
        if bucket.facts.blocks().block_public_policy && policy.is_public() {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        bucket.facts.policy = Some(policy);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketPolicyOutput {}))
}
