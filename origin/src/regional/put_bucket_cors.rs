//! PutBucketCors.

use s3s::dto::{CORSRule, PutBucketCorsInput, PutBucketCorsOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use crate::cors::{Cors, CorsRule};

/// Says which pages of other sites may use a bucket.
///
/// # Errors
/// Those of [`Cors::new`]; `MalformedXML` for a time below zero; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_cors(
    store: &RegionalStore,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let PutBucketCorsInput { bucket, cors_configuration, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let cors = Cors::new(cors_configuration.cors_rules.into_iter().map(rule).collect::<S3Result<_>>()?)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.cors = Some(cors);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketCorsOutput {}))
}

fn rule(rule: CORSRule) -> S3Result<CorsRule> {
    let max_age_seconds = rule.max_age_seconds.map(u32::try_from).transpose().map_err(|e| {
        s3_error!(
            e,
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        )
    })?;
    Ok(CorsRule {
        id: rule.id,
        methods: rule.allowed_methods,
        origins: rule.allowed_origins,
        headers: rule.allowed_headers.unwrap_or_default(),
        exposed_headers: rule.expose_headers.unwrap_or_default(),
        max_age_seconds,
    })
}
