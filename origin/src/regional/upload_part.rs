//! UploadPart.

use s3s::dto::{UploadPartInput, UploadPartOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, etag};
use super::asked::{AskedBucket, AskedUpload};
use super::multipart::part_number;
use super::receive::Incoming;
use super::rows::{PartRow, UploadRow};
use super::seams::Change;
use super::unsupported::{READS_NONE, refuse_unsupported};
use crate::checksums::Algorithm;

/// Stores a part of an upload, over the one of the same number.
///
/// # Errors
/// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`; `InvalidRequest` for a checksum of another algorithm than the
/// upload's; those of [`Incoming`].
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
    refuse_unsupported(&request.headers, READS_NONE)?;
    let number = part_number(number)?;
    let incoming = Incoming::new(&request.headers, body, content_length, request.trailing_headers)?;

    let finding = asked.clone();
    let upload = store.read(move |rows| finding.find(rows)).await?;
    let algorithm = part_algorithm(&upload, incoming.algorithm())?;
    let staging = store.stage_part(Some(incoming.bytes()));
    let received = incoming.receive(staging, algorithm).await?;
    asked.bucket.confirm_caller().await?;

    let part = store
        .commit(Change::Nothing, move |txn| {
            asked.find(txn)?;
            let part = PartRow {
                bytes: received.staged.bytes(),
                instance: txn.publish(received.staged)?,
                etag: hex::encode(received.digested.md5),
                modified_millis: txn.now_millis(),
                checksums: received.digested.checksums,
            };
            txn.put_part(&asked.upload_id, number, &part)?;
            Ok(part)
        })
        .await?;
    let answer = UploadPartOutput { e_tag: etag(part.etag), ..UploadPartOutput::default() };
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
