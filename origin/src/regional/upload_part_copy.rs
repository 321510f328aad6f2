//! UploadPartCopy.

use std::ops::Range;

use bytes::Bytes;
use s3s::dto::{self, CopyPartResult, UploadPartCopyInput, UploadPartCopyOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, etag, timestamp};
use super::asked::{AskedBucket, AskedUpload};
use super::copy_source::{ATTEMPTS_MAX, Source, SourceConditions, digest, keeps_changing};
use super::multipart::part_number;
use super::rows::{PartRow, Reads};
use super::seams::Change;
use super::txn::Txn;
use super::unsupported::{READS_NONE, refuse_unsupported};
use super::upload::{Staged, UPLOAD_BYTES_MAX};
use crate::checksums::{Algorithm, Digested};
use crate::instance::Instance;

/// Makes a part of an object's bytes, or of a range of them. The bytes are read for the part's ETag and checksum
/// but not moved, unless they are few and lie in a row, where no part can.
///
/// # Errors
/// Those of [`AskedUpload::find`] and [`Source::find`]; `InvalidArgument` for a range that is none, `InvalidRange` for
/// one that is not in the source; `InvalidRequest` above 5 GiB; `OperationAborted`.
pub(super) async fn upload_part_copy(
    store: &RegionalStore,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let input = request.input;
    let bucket = AskedBucket::of(&request.extensions, input.bucket, input.expected_bucket_owner)?;
    refuse_unsupported(&request.headers, READS_NONE)?;
    let conditions = SourceConditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let copy = PartCopy {
        number: part_number(input.part_number)?,
        source: Source::new(&bucket, input.copy_source, input.expected_source_bucket_owner, conditions)?,
        range: input.copy_source_range.as_deref().map(parse_range).transpose()?,
        upload: AskedUpload { bucket, key: input.key, upload_id: input.upload_id },
    };
    for _ in 0..ATTEMPTS_MAX {
        let copied = copy.read(store).await?;
        copy.upload.bucket.confirm_caller().await?;
        let committing = copy.clone();
        let committed = store.commit(Change::Nothing, move |txn| committing.commit(txn, copied)).await?;
        if let Some((part, source_version_id)) = committed {
            return Ok(S3Response::new(answer(part, source_version_id)));
        }
    }
    Err(keeps_changing())
}

#[derive(Clone)]
struct PartCopy {
    upload: AskedUpload,
    number: u32,
    source: Source,
    /// Both ends given; the end exclusive.
    range: Option<Range<u64>>,
}

/// What the part will be made of.
struct Copied {
    source: Instance,
    range: Range<u64>,
    digested: Digested,
    /// The bytes themselves, when the source is kept in a row.
    staged: Option<Staged>,
}

/// Where the source's bytes are.
struct Found {
    instance: Instance,
    range: Range<u64>,
    inline: Option<Bytes>,
    algorithm: Algorithm,
}

impl PartCopy {
    async fn read(&self, store: &RegionalStore) -> S3Result<Copied> {
        let copy = self.clone();
        let Found { instance, range, inline, algorithm } = store.read(move |rows| copy.find(rows)).await?;
        let digested = digest(store, instance, range.clone(), algorithm).await?;
        let staged = match inline {
            None => None,
            Some(inline) => {
                let mut staging = store.stage_part(Some(range.end - range.start));
                staging.write(inline.slice(range.start as usize..range.end as usize)).await?;
                Some(staging.finish().await?)
            }
        };
        Ok(Copied { source: instance, range, digested, staged })
    }

    fn find(&self, rows: &impl Reads) -> S3Result<Found> {
        let upload = self.upload.find(rows)?;
        let head = self.source.find(rows)?.head;
        let range = self.range.clone().unwrap_or(0..head.bytes);
        if range.end > head.bytes {
            return Err(s3_error!(
                InvalidRange,
                "Range specified is not valid for source object of size: {}",
                head.bytes
            ));
        }
        if range.end - range.start > UPLOAD_BYTES_MAX {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: {UPLOAD_BYTES_MAX}"
            ));
        }
        let (algorithm, _) = upload.checksum()?;
        Ok(Found { instance: head.instance, range, inline: rows.inline(&head.instance)?, algorithm })
    }

    /// The part and what answers call its source's version; `None` when the source is not the one that was read.
    fn commit(self, txn: &mut Txn<'_>, copied: Copied) -> S3Result<Option<(PartRow, Option<String>)>> {
        self.upload.find(txn)?;
        let source = self.source.find(txn)?;
        if source.head.instance != copied.source {
            return Ok(None);
        }
        let part = PartRow {
            bytes: copied.range.end - copied.range.start,
            instance: match copied.staged {
                Some(staged) => txn.publish(staged)?,
                None => txn.slice(&copied.source, copied.range)?,
            },
            etag: hex::encode(copied.digested.md5),
            modified_millis: txn.now_millis(),
            checksums: copied.digested.checksums,
        };
        txn.put_part(&self.upload.upload_id, self.number, &part)?;
        Ok(Some((part, source.version_id)))
    }
}

/// `bytes=first-last`, and no other form.
fn parse_range(text: &str) -> S3Result<Range<u64>> {
    match dto::Range::parse(text) {
        Ok(dto::Range::Int { first, last: Some(last) }) => Ok(first..last + 1),
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based \
             offsets of the first and last bytes to copy"
        )),
    }
}

fn answer(part: PartRow, copy_source_version_id: Option<String>) -> UploadPartCopyOutput {
    let result = CopyPartResult {
        e_tag: etag(part.etag),
        last_modified: Some(timestamp(part.modified_millis)),
        ..CopyPartResult::default()
    };
    let result = result.with_checksums(part.checksums);
    UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id,
        ..UploadPartCopyOutput::default()
    }
}
