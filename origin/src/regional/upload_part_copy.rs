//! UploadPartCopy.

use std::ops::Range;

use http::Extensions;
use s3s::dto::{self, CopyPartResult, UploadPartCopyInput, UploadPartCopyOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, by_store, etag, timestamp};
use super::asked::{AskedBucket, AskedUpload};
use super::copy_source::{
    ATTEMPTS_MAX, FoundSource, Source, SourceConditions, digest, keeps_changing, rewrite, verify_moves,
};
use super::multipart::part_number;
use super::object_body::ObjectBody;
use super::rows::{PartRow, Reads};
use super::seams::Change;
use super::txn::Txn;
use super::unsupported::{COPIES_PART, refuse_unsupported};
use super::upload::Staged;
use super::usage::ReadUsage;
use crate::checksums::Algorithm;
use crate::customer_key::CustomerKey;
use crate::encryption::{Encryption, ObjectKeys, StoreKey};
use crate::head::{Checksums, Head};
use crate::instance::Instance;
use crate::place::Place;

/// Makes a part of an object's bytes, or of a range of them. The bytes are read for the part's ETag and checksum
/// but not moved, unless they are few and lie in a row, where no part can, or unless the source or the part is encrypted.
///
/// # Errors
/// Those of [`AskedUpload::find`] and [`Source::find`]; `InvalidArgument` for a range that is none, `InvalidRange` for
/// one that is not in the source; `InvalidRequest` above 5 GiB and for another key than the upload's; `OperationAborted`.
pub(super) async fn upload_part_copy(
    store: &RegionalStore,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let input = request.input;
    let bucket = AskedBucket::of(&request.extensions, input.bucket, input.expected_bucket_owner)?;
    refuse_unsupported(&request.headers, COPIES_PART)?;
    let conditions = SourceConditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let expected_owner = input.expected_source_bucket_owner;
    let copy = PartCopy {
        number: part_number(input.part_number)?,
        source: Source::new(store, &bucket, &request.headers, input.copy_source, expected_owner, conditions)?,
        range: input.copy_source_range.as_deref().map(parse_range).transpose()?,
        upload: AskedUpload { bucket, key: input.key, upload_id: input.upload_id },
        key: CustomerKey::of_target(&request.headers)?,
        of_store: store.key().clone(),
    };
    for _ in 0..ATTEMPTS_MAX {
        let copied = copy.read(store, &request.extensions).await?;
        let (permit, committing) = (copy.upload.bucket.permit(), copy.clone());
        let commit = move |txn: &mut Txn<'_>| committing.commit(txn, copied);
        let committed = store.commit_for(permit, Change::Nothing, commit).await?;
        if let Some(made) = committed {
            return Ok(S3Response::new(answer(made, copy.key.as_ref())));
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
    /// The key of the upload.
    key: Option<CustomerKey>,
    /// The store's.
    of_store: StoreKey,
}

/// What the part will be made of.
struct Copied {
    source: Instance,
    range: Range<u64>,
    etag: String,
    checksums: Checksums,
    is_sealed: bool,
    /// The bytes themselves, where they are moved.
    staged: Option<Staged>,
}

/// A part that was made.
struct Made {
    part: PartRow,
    /// How its upload is encrypted.
    encryption: Option<Encryption>,
    /// What answers call the source's version.
    source_version_id: Option<String>,
}

/// Where the source's bytes are.
struct Found {
    source: Head,
    source_keys: Option<ObjectKeys>,
    range: Range<u64>,
    is_inline: bool,
    algorithm: Algorithm,
    /// The keys of the upload.
    keys: Option<ObjectKeys>,
}

impl PartCopy {
    async fn read(&self, store: &RegionalStore, extensions: &Extensions) -> S3Result<Copied> {
        let (copy, quota) = (self.clone(), store.shared.settings.account_quota_bytes);
        let Found { source, source_keys, range, is_inline, algorithm, keys } =
            store.read(move |rows| copy.find(rows, quota)).await?;
        Place::enter(extensions).await?;
        let moves = is_inline || source_keys.is_some() || keys.is_some();
        let body = ObjectBody::open(store, &source, None, range.clone(), source_keys).await?;
        let (etag, checksums, staged) = if moves {
            let staging = store.stage_part(self.number, Some(range.end - range.start), keys.as_ref());
            let received = rewrite(body, staging, algorithm).await?;
            let etag = received.etag(self.number, keys.as_ref());
            (etag, received.digested.checksums, Some(received.staged))
        } else {
            let digested = digest(body, algorithm).await?;
            (hex::encode(digested.md5), digested.checksums, None)
        };
        Ok(Copied { source: source.instance, range, etag, checksums, is_sealed: keys.is_some(), staged })
    }

    /// Where the bytes are, if there is room for as many more.
    fn find(&self, rows: &impl Reads, quota: Option<u64>) -> S3Result<Found> {
        let (facts, upload) = self.upload.find_with_facts(rows)?;
        facts.verify_takes(upload.encryption.as_ref())?;
        let FoundSource { head: source, keys: source_keys, .. } = self.source.find_to_open(rows)?;
        let keys = upload.unlock(self.key.as_ref(), &self.of_store)?;
        let range = self.range.clone().unwrap_or(0..source.bytes);
        if range.end > source.bytes {
            return Err(s3_error!(
                InvalidRange,
                "Range specified is not valid for source object of size: {}",
                source.bytes
            ));
        }
        verify_moves(range.end - range.start)?;
        let replaced = rows.part(&self.upload.upload_id, self.number)?.map_or(0, |replaced| replaced.bytes);
        rows.verify_room(&facts.owner, quota, range.end - range.start, replaced)?;
        let (algorithm, _) = upload.checksum()?;
        let is_inline = rows.inline(&source.instance)?.is_some();
        Ok(Found { source, source_keys, range, is_inline, algorithm, keys })
    }

    /// The part; `None` when the source is not the one that was read.
    fn commit(self, txn: &mut Txn<'_>, copied: Copied) -> S3Result<Option<Made>> {
        let (facts, upload) = self.upload.find_with_facts(txn)?;
        facts.verify_takes(upload.encryption.as_ref())?;
        let encryption = upload.encryption;
        let source = self.source.find_without_parts(txn)?;
        if source.head.instance != copied.source {
            return Ok(None);
        }
        let part = PartRow {
            bytes: copied.range.end - copied.range.start,
            instance: match copied.staged {
                Some(staged) => txn.publish(staged)?,
                None => txn.slice(&copied.source, copied.range)?,
            },
            etag: copied.etag,
            modified_millis: txn.now_millis(),
            checksums: copied.checksums,
            is_sealed: copied.is_sealed,
        };
        txn.put_part(&self.upload.bucket.name, &self.upload.upload_id, self.number, &part)?;
        Ok(Some(Made { part, encryption, source_version_id: source.version_id }))
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

fn answer(made: Made, key: Option<&CustomerKey>) -> UploadPartCopyOutput {
    let Made { part, encryption, source_version_id } = made;
    let result = CopyPartResult {
        e_tag: etag(part.etag),
        last_modified: Some(timestamp(part.modified_millis)),
        ..CopyPartResult::default()
    };
    let result = result.with_checksums(part.checksums);
    UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source_version_id,
        server_side_encryption: by_store(encryption.as_ref()),
        sse_customer_algorithm: key.map(CustomerKey::algorithm),
        sse_customer_key_md5: key.map(CustomerKey::md5),
        ..UploadPartCopyOutput::default()
    }
}
