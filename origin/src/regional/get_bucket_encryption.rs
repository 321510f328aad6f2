//! GetBucketEncryption.

use http::StatusCode;
use s3s::dto::{
    GetBucketEncryptionInput, GetBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;

/// Shows how a bucket's objects are encrypted whose requests do not say so. What encryption none of them may have s3s has no
/// field for: it is in the answer's extensions.
///
/// # Errors
/// `ServerSideEncryptionConfigurationNotFoundError`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_encryption(
    store: &RegionalStore,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let GetBucketEncryptionInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let (by_default, blocked) = (found.facts.default_encryption, found.facts.blocked_encryption);
    if by_default.is_none() && blocked.is_none() {
        return Err(no_encryption());
    }
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: by_default.map(|_| ServerSideEncryptionByDefault {
            kms_master_key_id: None,
            sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
        }),
        bucket_key_enabled: by_default.map(|by_default| by_default.bucket_key_enabled),
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    let mut answer = S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(configuration),
    });
    if let Some(blocked) = blocked {
        answer.extensions.insert(blocked);
    }
    Ok(answer)
}

/// S3's answer of the time when a bucket could be without.
fn no_encryption() -> S3Error {
    let code = S3ErrorCode::Custom("ServerSideEncryptionConfigurationNotFoundError".into());
    let mut error = S3Error::with_message(code, "The server side encryption configuration was not found");
    error.set_status_code(StatusCode::NOT_FOUND);
    error
}
