//! UploadPart.

use s3s::dto::{UploadPartInput, UploadPartOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, by_store, etag};
use super::asked::{AskedBucket, AskedUpload};
use super::multipart::part_number;
use super::receive::Incoming;
use super::rows::{PartRow, Reads, UploadRow};
use super::seams::Change;
use super::unsupported::{READS_KEY, refuse_unsupported};
use super::usage::ReadUsage;
use crate::checksums::Algorithm;
use crate::customer_key::CustomerKey;

/// Stores a part of an upload, over the one of the same number.
///
/// # Errors
/// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`; `InvalidRequest` for a checksum of another algorithm than the
/// upload's, or another key; those of [`Incoming`] and of [`CustomerKey::of_target`].
pub(super) async fn upload_part(
    store: &RegionalStore,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let UploadPartInput {
        bucket,
        key,
        upload_id,
        part_number: number,
        body,
        content_length,
        expected_bucket_owner,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let asked = AskedUpload { bucket, key, upload_id };
    refuse_unsupported(&request.headers, READS_KEY)?;
    let number = part_number(number)?;
    let key = CustomerKey::of_target(&request.headers)?;
    let (headers, extensions) = (&request.headers, &request.extensions);
    let incoming = Incoming::new(headers, extensions, body, content_length, request.trailing_headers)?;

    // Asked before the body is taken, as of an object put whole.
    let finding = asked.clone();
    let (quota, bytes) = (store.shared.settings.account_quota_bytes, incoming.bytes().unwrap_or(1));
    let upload = store
        .read_few(move |rows| {
            let (facts, upload) = finding.find_with_facts(rows)?;
            facts.verify_takes(upload.encryption.as_ref())?;
            let replaced = rows.part(&finding.upload_id, number)?;
            rows.verify_room(&facts.owner, quota, bytes, replaced.map_or(0, |replaced| replaced.bytes))?;
            Ok(upload)
        })
        .await?;
    let algorithm = part_algorithm(&upload, incoming.algorithm())?;
    let keys = upload.unlock(key.as_ref(), store.key())?;
    let staging = store.stage_part(number, incoming.bytes(), keys.as_ref());
    let received = incoming.receive(staging, algorithm).await?;

    let part = store
        .commit_for(asked.bucket.permit(), Change::Nothing, move |txn| {
            let (facts, upload) = asked.find_with_facts(txn)?;
            facts.verify_takes(upload.encryption.as_ref())?;
            let part = PartRow {
                bytes: received.staged.bytes(),
                etag: received.etag(number, keys.as_ref()),
                is_sealed: keys.is_some(),
                instance: txn.publish(received.staged)?,
                modified_millis: txn.now_millis(),
                checksums: received.digested.checksums,
            };
            txn.put_part(&asked.bucket.name, &asked.upload_id, number, &part)?;
            Ok(part)
        })
        .await?;
    let answer = UploadPartOutput {
        e_tag: etag(part.etag),
        server_side_encryption: by_store(upload.encryption.as_ref()),
        sse_customer_algorithm: key.as_ref().map(CustomerKey::algorithm),
        sse_customer_key_md5: key.as_ref().map(CustomerKey::md5),
        ..UploadPartOutput::default()
    };
    Ok(S3Response::new(answer.with_checksums(part.checksums)))
}

/// What a part's checksum is computed by: the upload's algorithm, which a client that sends one has to have used.
fn part_algorithm(upload: &UploadRow, sent: Option<Algorithm>) -> S3Result<Algorithm> {
    match (upload.algorithm()?, sent) {
        (Some(expected), Some(sent)) if expected != sent => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            expected.as_str(),
            sent.as_str()
        )),
        (expected, _) => Ok(expected.unwrap_or(Algorithm::DEFAULT)),
    }
}
