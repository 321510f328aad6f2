//! GetBucketEncryption.

use http::StatusCode;
use s3s::dto::{
    GetBucketEncryptionInput, GetBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::AskedBucket;

/// Shows how a bucket's objects are encrypted whose requests do not say so.
///
/// # Errors
/// `ServerSideEncryptionConfigurationNotFoundError`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_encryption(
    store: &RegionalStore,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let GetBucketEncryptionInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read(move |rows| bucket.find(rows)).await?;
    let encryption = found.facts.default_encryption.ok_or_else(no_encryption)?;
    let by_default = ServerSideEncryptionByDefault {
        kms_master_key_id: None,
        sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
    };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(by_default),
        bucket_key_enabled: Some(encryption.bucket_key_enabled),
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(configuration),
    }))
}

/// S3's answer of the time when a bucket could be without.
fn no_encryption() -> S3Error {
    let code = S3ErrorCode::Custom("ServerSideEncryptionConfigurationNotFoundError".into());
    let mut error = S3Error::with_message(code, "The server side encryption configuration was not found");
    error.set_status_code(StatusCode::NOT_FOUND);
    error
}
