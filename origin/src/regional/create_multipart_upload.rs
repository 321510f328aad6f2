//! CreateMultipartUpload.

use s3s::dto::{ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answers::{by_store, checksum_algorithm, checksum_type};
use super::asked::{AskedBucket, AskedObject};
use super::attributes::Attributes;
use super::multipart::abortion;
use super::rows::UploadRow;
use super::seams::Change;
use super::unsupported::{MAKES_OBJECT, refuse_unsupported};
use super::wanted_acl::{WantedAcl, ownership};
use super::{RegionalStore, tagging};
use crate::checksums::Algorithm;
use crate::customer_key::CustomerKey;
use crate::head::ChecksumKind;
use crate::wanted_encryption::WantedEncryption;

/// Starts an upload: everything about the object but its bytes.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`, those of [`Attributes::parse`], of [`WantedAcl`], of [`tagging::of_headers`] and of
/// [`WantedEncryption::of_headers`], and `InvalidRequest` for a checksum that S3 does not make.
pub(super) async fn create_multipart_upload(
    store: &RegionalStore,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = request.input;
    let bucket = AskedBucket::of(&request.extensions, input.bucket.clone(), input.expected_bucket_owner)?;
    refuse_unsupported(&request.headers, MAKES_OBJECT)?;
    let attributes = Attributes::parse(&request.headers, input.metadata, store.region())?;
    let tags = tagging::of_headers(&request.headers)?;
    let wanted_acl = WantedAcl::of_headers(store, &bucket.caller, &request.headers).await?;
    let algorithm = input.checksum_algorithm.map(|name| Algorithm::parse(name.as_str())).transpose()?;
    let wanted = WantedEncryption::of_headers(&request.headers)?;
    let key = wanted.as_ref().and_then(WantedEncryption::customer_key).cloned();
    let kind = kind(algorithm, input.checksum_type.as_ref())?;
    let object = AskedObject::new(bucket, input.key.clone(), None)?;
    let day = store.shared.settings.lifecycle_day;
    let encrypting = store.clone();
    let (upload_id, (abort_date, abort_rule_id), encryption) = store
        .commit_for(object.bucket.permit(), Change::Nothing, move |txn| {
            let (facts, _) = object.find_place(txn)?;
            let caller = object.bucket.caller;
            let (owner, acl) = ownership(&facts, &caller, wanted_acl.as_ref())?;
            WantedEncryption::verify_not_blocked(wanted.as_ref(), &facts)?;
            let wanted = WantedEncryption::or_default(wanted, &facts);
            let encrypted = wanted.map(|wanted| encrypting.encrypt(&wanted)).transpose()?;
            let upload = UploadRow {
                initiated_millis: txn.now_millis(),
                initiator: caller.canonical_id,
                initiator_display: caller.display_name,
                owner,
                acl,
                tags,
                headers: attributes.headers,
                metadata: attributes.metadata,
                checksum_algorithm: algorithm.map(|algorithm| algorithm.as_str().to_owned()),
                checksum_kind: kind,
                encryption: encrypted.map(|(encryption, _)| encryption),
            };
            // Uploads of a key are listed by their ids, and in S3 by when they were started.
            let upload_id = format!("{:012x}{}", upload.initiated_millis, txn.random_id());
            txn.put_upload(&object.bucket.name, &object.key, &upload_id, &upload)?;
            let abortion = abortion(&facts, &object.key, &upload, day);
            Ok((upload_id, abortion, upload.encryption))
        })
        .await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload_id),
        abort_date,
        abort_rule_id,
        checksum_algorithm: algorithm.map(checksum_algorithm),
        checksum_type: checksum_type(kind),
        server_side_encryption: by_store(encryption.as_ref()),
        sse_customer_algorithm: key.as_ref().map(CustomerKey::algorithm),
        sse_customer_key_md5: key.as_ref().map(CustomerKey::md5),
        ..CreateMultipartUploadOutput::default()
    }))
}

/// The kind of the object's checksum; `None` when no algorithm was chosen.
fn kind(algorithm: Option<Algorithm>, asked: Option<&ChecksumType>) -> S3Result<Option<ChecksumKind>> {
    let asked = match asked.map(ChecksumType::as_str) {
        None => None,
        Some(ChecksumType::FULL_OBJECT) => Some(ChecksumKind::FullObject),
        Some(ChecksumType::COMPOSITE) => Some(ChecksumKind::Composite),
        Some(_) => return Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    };
    match (algorithm, asked) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )),
        (Some(algorithm), None) => Ok(Some(algorithm.default_kind())),
        (Some(algorithm), Some(kind)) if algorithm.supports(kind) => Ok(Some(kind)),
        (Some(algorithm), Some(kind)) => Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.as_str(),
            algorithm.as_str()
        )),
    }
}
