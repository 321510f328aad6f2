//! UploadPart.

use s3s::dto::{UploadPartInput, UploadPartOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::etag;
use super::bucket_access::own_bucket;
use super::multipart::{part_number, unfinished};
use super::receive::Incoming;
use super::rows::{PartRow, UploadRow};
use super::seams::Change;
use super::unsupported::refuse_unsupported;
use crate::caller::Caller;
use crate::checksums::Algorithm;
use crate::head::Checksums;

/// Stores a part of an upload, over the one of the same number.
///
/// # Errors
/// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`; `InvalidRequest` for a checksum of another algorithm than the
/// upload's; those of [`Incoming`].
pub(super) async fn upload_part(
    store: &RegionalStore,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let caller = Caller::of(&request.extensions)?.clone();
    refuse_unsupported(&request.headers)?;
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
    let number = part_number(number)?;
    let incoming = Incoming::new(&request.headers, body, content_length, request.trailing_headers)?;

    let asked =
        (bucket.clone(), key.clone(), upload_id.clone(), caller.clone(), expected_bucket_owner.clone());
    let upload = store
        .read(move |rows| {
            let (bucket, key, upload_id, caller, expected_owner) = asked;
            own_bucket(rows, &bucket, &caller, expected_owner.as_deref())?;
            unfinished(rows, &bucket, &key, &upload_id)
        })
        .await?;
    let algorithm = part_algorithm(&upload, incoming.algorithm())?;
    let staging = store.stage_part(Some(incoming.bytes()));
    let received = incoming.receive(staging, algorithm).await?;

    let part = store
        .commit(Change::Nothing, move |txn| {
            own_bucket(txn, &bucket, &caller, expected_bucket_owner.as_deref())?;
            unfinished(txn, &bucket, &key, &upload_id)?;
            let part = PartRow {
                bytes: received.staged.bytes(),
                instance: txn.publish(received.staged)?,
                etag: hex::encode(received.digested.md5),
                modified_millis: txn.now_millis(),
                checksums: received.digested.checksums,
            };
            txn.put_part(&upload_id, number, &part)?;
            Ok(part)
        })
        .await?;
    let Checksums { crc32, crc32c, crc64nvme, sha1, sha256, kind: _ } = part.checksums;
    Ok(S3Response::new(UploadPartOutput {
        e_tag: etag(part.etag),
        checksum_crc32: crc32,
        checksum_crc32c: crc32c,
        checksum_crc64nvme: crc64nvme,
        checksum_sha1: sha1,
        checksum_sha256: sha256,
        ..UploadPartOutput::default()
    }))
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
