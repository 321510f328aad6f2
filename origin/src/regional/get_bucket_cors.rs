//! GetBucketCors.

use s3s::dto::{CORSRule, GetBucketCorsInput, GetBucketCorsOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use crate::cors::CorsRule;

/// Shows a bucket's rules for pages of other sites.
///
/// # Errors
/// `NoSuchCORSConfiguration`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_cors(
    store: &RegionalStore,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let GetBucketCorsInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let Some(cors) = found.facts.cors else {
        return Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"));
    };
    let rules = cors.rules().iter().cloned().map(shown).collect();
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(rules) }))
}

fn shown(rule: CorsRule) -> CORSRule {
    let some = |texts: Vec<String>| Some(texts).filter(|texts| !texts.is_empty());
    CORSRule {
        allowed_headers: some(rule.headers),
        allowed_methods: rule.methods,
        allowed_origins: rule.origins,
        expose_headers: some(rule.exposed_headers),
        id: rule.id,
        max_age_seconds: rule.max_age_seconds.and_then(|seconds| i32::try_from(seconds).ok()),
    }
}
