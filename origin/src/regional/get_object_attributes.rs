//! GetObjectAttributes.

use s3s::dto::{
    Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, checksum_type, etag, timestamp};
use super::asked::{AskedBucket, AskedObject};
use super::listing::{entries_max, shown_max};
use super::unsupported::{READS_KEY, refuse_unsupported};
use crate::customer_key::CustomerKey;
use crate::head::{Checksums, Head, Part};

/// Says of an object what the request names, and nothing else: its entity tag, checksum, parts, storage class and size.
/// s3s writes the entity tag in quotes, where S3 has none; whoever sends the response takes them away.
///
/// # Errors
/// `InvalidArgument` for an attribute that there is not, or a page of parts that cannot be; those of
/// [`CustomerKey::of_target`], of [`AskedObject::find`] and of [`Head::verify_key`].
pub(super) async fn get_object_attributes(
    store: &RegionalStore,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let GetObjectAttributesInput {
        bucket,
        key,
        version_id,
        expected_bucket_owner,
        max_parts,
        part_number_marker,
        object_attributes,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    refuse_unsupported(&request.headers, READS_KEY)?;
    let wanted = parse_attributes(&object_attributes)?;
    let parts = PartsPage {
        after: u32::try_from(part_number_marker.unwrap_or(0)).map_err(|e| {
            s3_error!(
                e,
                InvalidArgument,
                "Argument part-number-marker must be an integer between 0 and 2147483647"
            )
        })?,
        parts_max: entries_max(max_parts, "max-parts")?,
    };
    let object = AskedObject::new(bucket, key, version_id)?;
    let key = CustomerKey::of_target(&request.headers)?;
    let (facts, head) = store.read_for(object.bucket.permit(), move |rows| object.find(rows)).await?;
    head.verify_key(key.as_ref())?;
    let wants = |attribute: &Attribute| wanted.contains(attribute);
    Ok(S3Response::new(GetObjectAttributesOutput {
        last_modified: Some(timestamp(head.modified_millis)),
        version_id: facts.shown_version(head.version_id.as_deref()).map(str::to_owned),
        object_size: wants(&Attribute::ObjectSize).then(|| i64::try_from(head.bytes).ok()).flatten(),
        storage_class: wants(&Attribute::StorageClass)
            .then(|| StorageClass::from_static(StorageClass::STANDARD)),
        object_parts: wants(&Attribute::ObjectParts).then(|| parts.read(&head)).flatten(),
        checksum: wants(&Attribute::Checksum).then(|| checksum(&head)).flatten(),
        e_tag: wants(&Attribute::ETag).then(|| etag(head.etag)).flatten(),
        ..GetObjectAttributesOutput::default()
    }))
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    ETag,
    Checksum,
    ObjectParts,
    StorageClass,
    ObjectSize,
}

/// Names come in one header or in many, with commas between them.
fn parse_attributes(lists: &[ObjectAttributes]) -> S3Result<Vec<Attribute>> {
    let names = lists.iter().flat_map(|list| list.as_str().split(',')).map(str::trim);
    names
        .map(|name| match name {
            ObjectAttributes::ETAG => Ok(Attribute::ETag),
            ObjectAttributes::CHECKSUM => Ok(Attribute::Checksum),
            ObjectAttributes::OBJECT_PARTS => Ok(Attribute::ObjectParts),
            ObjectAttributes::STORAGE_CLASS => Ok(Attribute::StorageClass),
            ObjectAttributes::OBJECT_SIZE => Ok(Attribute::ObjectSize),
            _ => Err(s3_error!(InvalidArgument, "Invalid attribute name specified.")),
        })
        .collect()
}

fn checksum(head: &Head) -> Option<Checksum> {
    head.checksums.algorithms().next()?;
    let Checksums { crc32, crc32c, crc64nvme, sha1, sha256, kind } = head.checksums.clone();
    Some(Checksum {
        checksum_crc32: crc32,
        checksum_crc32c: crc32c,
        checksum_crc64nvme: crc64nvme,
        checksum_sha1: sha1,
        checksum_sha256: sha256,
        checksum_type: checksum_type(kind),
    })
}

/// Which of an object's parts an answer shows.
struct PartsPage {
    after: u32,
    parts_max: usize,
}

impl PartsPage {
    /// The parts of an object that was uploaded in parts.
    fn read(&self, head: &Head) -> Option<GetObjectAttributesParts> {
        if head.parts.is_empty() {
            return None;
        }
        let number = |number: u32| i32::try_from(number).ok();
        let behind = || head.parts.iter().filter(|part| part.number > self.after);
        let shown = || behind().take(self.parts_max);
        Some(GetObjectAttributesParts {
            is_truncated: Some(self.parts_max > 0 && behind().nth(self.parts_max).is_some()),
            max_parts: Some(shown_max(self.parts_max)),
            part_number_marker: number(self.after),
            next_part_number_marker: number(shown().last().map_or(0, |part| part.number)),
            parts: Some(shown().map(shown_part).collect()),
            total_parts_count: i32::try_from(head.parts.len()).ok(),
        })
    }
}

fn shown_part(part: &Part) -> ObjectPart {
    let shown = ObjectPart {
        part_number: i32::try_from(part.number).ok(),
        size: i64::try_from(part.bytes).ok(),
        ..ObjectPart::default()
    };
    shown.with_checksums(part.checksums.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;

    fn parsed(lists: &[&'static str]) -> Option<Vec<Attribute>> {
        let lists: Vec<_> = lists.iter().map(|list| ObjectAttributes::from_static(list)).collect();
        parse_attributes(&lists).ok()
    }

    #[test]
    fn attributes_are_named_in_one_header_or_in_many() {
        use Attribute::{Checksum, ETag, ObjectParts, ObjectSize, StorageClass};
        let all = vec![ETag, Checksum, ObjectParts, StorageClass, ObjectSize];
        assert_eq!(parsed(&["ETag,Checksum, ObjectParts", "StorageClass", "ObjectSize"]), Some(all));
        for wrong in ["", "etag", "ETag,", "ETag;Checksum", "Owner"] {
            assert_eq!(parsed(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn parts_are_shown_page_by_page() {
        let id = Instance::from_bytes([1; 16]);
        let part = |number| Part { number, bytes: 10, checksums: Checksums::default(), sealed_as: None };
        let head = Head { parts: [1, 3, 4, 9].map(part).to_vec(), ..Head::new(id, id) };
        for (after, parts_max, numbers, is_truncated, next) in [
            (0, 2, &[1, 3][..], true, 3),
            (3, 2, &[4, 9], false, 9),
            (2, 1, &[3], true, 3),
            (9, 2, &[], false, 0),
            (0, 0, &[], false, 0),
        ] {
            let page = PartsPage { after, parts_max }.read(&head).expect("parts");
            let shown: Vec<_> =
                page.parts.expect("parts").into_iter().filter_map(|part| part.part_number).collect();
            assert_eq!(shown, numbers, "{after} {parts_max}");
            let said = (page.is_truncated, page.next_part_number_marker, page.total_parts_count);
            assert_eq!(said, (Some(is_truncated), Some(next), Some(4)), "{after} {parts_max}");
        }
        assert!(PartsPage { after: 0, parts_max: 1 }.read(&Head::new(id, id)).is_none());
    }
}
