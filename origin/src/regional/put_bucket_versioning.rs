//! PutBucketVersioning.

use s3s::dto::{
    BucketVersioningStatus, MFADelete, PutBucketVersioningInput, PutBucketVersioningOutput,
    VersioningConfiguration,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use super::unsupported::{READS_NONE, refuse_unsupported};
use crate::head::Versioning;

/// Says whether a bucket keeps versions from now on. One that did so once has versions until they are removed.
///
/// # Errors
/// `IllegalVersioningConfigurationException` without a state, `MalformedXML` for an unknown one, `NotImplemented` for
/// deletion by multi-factor authentication; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_versioning(
    store: &RegionalStore,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let PutBucketVersioningInput { bucket, versioning_configuration, expected_bucket_owner, .. } =
        request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    refuse_unsupported(&request.headers, READS_NONE)?;
    let versioning = parse(&versioning_configuration)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.versioning = versioning;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketVersioningOutput {}))
}

fn parse(configuration: &VersioningConfiguration) -> S3Result<Versioning> {
    match configuration.mfa_delete.as_ref().map(MFADelete::as_str) {
        None | Some(MFADelete::DISABLED) => {}
        Some(MFADelete::ENABLED) => {
            return Err(s3_error!(
                NotImplemented,
                "Deletion by multi-factor authentication is not supported here: MfaDelete."
            ));
        }
        Some(_) => return Err(malformed()),
    }
    match configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Ok(Versioning::Enabled),
        Some(BucketVersioningStatus::SUSPENDED) => Ok(Versioning::Suspended),
        Some(_) => Err(malformed()),
        None => Err(s3_error!(
            IllegalVersioningConfigurationException,
            "The Versioning element must be specified"
        )),
    }
}

fn malformed() -> s3s::S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(status: Option<&'static str>, mfa_delete: Option<&'static str>) -> Result<Versioning, String> {
        let configuration = VersioningConfiguration {
            mfa_delete: mfa_delete.map(MFADelete::from_static),
            status: status.map(BucketVersioningStatus::from_static),
        };
        parse(&configuration).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn two_states_can_be_put() {
        assert_eq!(parsed(Some("Enabled"), None), Ok(Versioning::Enabled));
        assert_eq!(parsed(Some("Suspended"), Some("Disabled")), Ok(Versioning::Suspended));
        for (status, mfa_delete, refused) in [
            (None, None, "IllegalVersioningConfigurationException"),
            (Some("enabled"), None, "MalformedXML"),
            (Some("Never"), None, "MalformedXML"),
            (Some("Enabled"), Some("Enabled"), "NotImplemented"),
            (Some("Enabled"), Some("enabled"), "MalformedXML"),
        ] {
            assert_eq!(parsed(status, mfa_delete), Err(refused.to_owned()), "{status:?} {mfa_delete:?}");
        }
    }
}
