//! GetBucketPolicyStatus.

use s3s::dto::{GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;
use crate::head::Facts;
use crate::policy::StoredPolicy;

/// Says whether a bucket is public: whether its policy or its list gives anything to strangers.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_policy_status(
    store: &RegionalStore,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let GetBucketPolicyStatusInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let policy_status = Some(PolicyStatus { is_public: Some(is_public(&found.facts)) });
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
}

fn is_public(facts: &Facts) -> bool {
    let by_policy = facts.policy.as_ref().is_some_and(StoredPolicy::is_public);
    let by_list = facts.acl().is_public() && !facts.blocks().ignore_public_acls;
    by_policy && !facts.blocks().restrict_public_buckets || by_list
}
