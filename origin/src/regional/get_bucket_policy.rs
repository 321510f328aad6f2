//! GetBucketPolicy.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use s3s::dto::{GetBucketPolicyInput, GetBucketPolicyOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;

/// Shows a bucket's policy, byte for byte as it was put.
///
/// # Errors
/// `NoSuchBucketPolicy`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_policy(
    store: &RegionalStore,
    request: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let GetBucketPolicyInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let Some(policy) = found.facts.policy else {
        return Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"));
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    Ok(S3Response::with_headers(GetBucketPolicyOutput { policy: Some(policy.text().to_owned()) }, headers))
}
