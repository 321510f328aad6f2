//! PutBucketEncryption.

use s3s::dto::{
    PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use crate::head::{BlockedEncryption, DefaultEncryption};

/// Says how a bucket's objects are encrypted whose requests do not say so, and what encryption none of them may have, in
/// place of what was said before. Objects that are there stay as they are.
///
/// s3s has no field for what is blocked: a [`BlockedEncryption`] in the request's extensions says it.
///
/// # Errors
/// `NotImplemented` for keys of AWS KMS, and where the store has no key; `MalformedXML`; `InvalidArgument` for a key of KMS
/// beside another algorithm; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_encryption(
    store: &RegionalStore,
    request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let PutBucketEncryptionInput {
        bucket, expected_bucket_owner, server_side_encryption_configuration, ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let blocked = request.extensions.get::<BlockedEncryption>().copied();
    let by_default = read(server_side_encryption_configuration, blocked)?;
    if by_default.is_some() {
        store.key().expose()?;
    }
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.default_encryption = by_default;
        bucket.facts.blocked_encryption = blocked;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketEncryptionOutput {}))
}

/// The default; a rule may say of encryption nothing but what is blocked.
fn read(
    configuration: ServerSideEncryptionConfiguration,
    blocked: Option<BlockedEncryption>,
) -> S3Result<Option<DefaultEncryption>> {
    let [rule] = <[_; 1]>::try_from(configuration.rules).map_err(|_| malformed())?;
    let Some(by_default) = rule.apply_server_side_encryption_by_default else {
        // It is kept with the default: without one, a wish for it would be lost.
        let is_kept = blocked.is_some() && rule.bucket_key_enabled != Some(true);
        return if is_kept { Ok(None) } else { Err(malformed()) };
    };
    let ServerSideEncryptionByDefault { kms_master_key_id, sse_algorithm } = by_default;
    match sse_algorithm.as_str() {
        ServerSideEncryption::AES256 if kms_master_key_id.is_some() => Err(s3_error!(
            InvalidArgument,
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        )),
        ServerSideEncryption::AES256 => {
            Ok(Some(DefaultEncryption { bucket_key_enabled: rule.bucket_key_enabled.unwrap_or(false) }))
        }
        ServerSideEncryption::AWS_KMS | ServerSideEncryption::AWS_KMS_DSSE => {
            Err(s3_error!(NotImplemented, "Keys of AWS KMS are not supported here."))
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}

#[cfg(test)]
mod tests {
    use s3s::dto::ServerSideEncryptionRule;

    use super::*;

    /// What is beside it is kept, or there is nothing to keep.
    #[test]
    fn what_is_blocked_may_stand_alone() {
        let blocked = Some(BlockedEncryption::CustomerKeys);
        for (bucket_key_enabled, blocked, is_taken) in [
            (None, blocked, true),
            (Some(false), blocked, true),
            (Some(true), blocked, false),
            (None, None, false),
            (Some(false), None, false),
        ] {
            let rules = vec![ServerSideEncryptionRule { bucket_key_enabled, ..Default::default() }];
            let found = read(ServerSideEncryptionConfiguration { rules }, blocked);
            let found = found.map_err(|error| error.code().as_str().to_owned());
            let expected = if is_taken { Ok(None) } else { Err("MalformedXML".to_owned()) };
            assert_eq!(found, expected, "{bucket_key_enabled:?} {blocked:?}");
        }
    }
}
