//! ListParts.

use s3s::dto::{ListPartsInput, ListPartsOutput, Part};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, checksum_algorithm, checksum_type, etag, timestamp};
use super::asked::{AskedBucket, AskedUpload};
use super::listing::{entries_max, shown_max};
use super::multipart::{abortion, initiator, standard, upload_owner, verify_key};
use super::rows::{PartRow, Reads};
use crate::customer_key::CustomerKey;
use crate::encryption::Encryption;
use crate::head::Checksums;

/// Lists the parts of an unfinished upload by their numbers; those of parts under a client's key without their checksums,
/// unless the request brings the key.
///
/// # Errors
/// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`, `InvalidArgument`; `InvalidRequest` for another key; those of
/// [`CustomerKey::of_target`].
pub(super) async fn list_parts(
    store: &RegionalStore,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let ListPartsInput {
        bucket, key, upload_id, max_parts, part_number_marker, expected_bucket_owner, ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let asked = AskedUpload { bucket, key, upload_id };
    let parts_max = entries_max(max_parts, "max-parts")?;
    let marker = u32::try_from(part_number_marker.unwrap_or(0)).map_err(|e| {
        s3_error!(
            e,
            InvalidArgument,
            "Argument part-number-marker must be an integer between 0 and 2147483647"
        )
    })?;
    let key = CustomerKey::of_target(&request.headers)?;
    let finding = asked.clone();
    let (facts, upload, mut parts) = store
        .read_for(asked.bucket.permit(), move |rows| {
            let (facts, upload) = finding.find_with_facts(rows)?;
            let parts =
                rows.parts(&finding.upload_id, marker)?.take(parts_max + 1).collect::<Result<Vec<_>, _>>()?;
            Ok((facts, upload, parts))
        })
        .await?;
    if let Some(key) = &key {
        verify_key(upload.encryption.as_ref(), key)?;
    } else if upload.encryption.as_ref().is_some_and(Encryption::is_by_client) {
        // They tell of the bytes.
        parts.iter_mut().for_each(|(_, part)| part.checksums = Checksums::default());
    }
    let is_truncated = parts.len() > parts_max && parts_max > 0;
    parts.truncate(parts_max);
    let last_number = parts.last().map(|(number, _)| *number);
    let day = store.shared.settings.lifecycle_day;
    let (abort_date, abort_rule_id) = abortion(&facts, &asked.key, &upload, day);
    Ok(S3Response::new(ListPartsOutput {
        abort_date,
        abort_rule_id,
        initiator: Some(initiator(&upload, &facts)),
        owner: Some(upload_owner(&upload, &facts)),
        bucket: Some(asked.bucket.name),
        key: Some(asked.key),
        upload_id: Some(asked.upload_id),
        part_number_marker,
        next_part_number_marker: last_number.and_then(|number| i32::try_from(number).ok()),
        max_parts: Some(shown_max(parts_max)),
        is_truncated: Some(is_truncated),
        checksum_algorithm: upload.algorithm()?.map(checksum_algorithm),
        checksum_type: checksum_type(upload.checksum_kind),
        parts: Some(parts.into_iter().map(|(number, part)| shown(number, part)).collect()),
        storage_class: standard(),
        ..ListPartsOutput::default()
    }))
}

fn shown(number: u32, part: PartRow) -> Part {
    let shown = Part {
        part_number: i32::try_from(number).ok(),
        size: i64::try_from(part.bytes).ok(),
        e_tag: etag(part.etag),
        last_modified: Some(timestamp(part.modified_millis)),
        ..Part::default()
    };
    shown.with_checksums(part.checksums)
}
