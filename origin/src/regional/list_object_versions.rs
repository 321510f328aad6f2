//! ListObjectVersions.

use std::iter::Peekable;
use std::ops::Bound;

use s3s::dto::{
    DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{checksum_algorithm, checksum_type, etag, owner, timestamp};
use super::asked::AskedBucket;
use super::failure::Failure;
use super::list_objects::verify_optional_attributes;
use super::listing::{Encoding, Entry, Page, Scope, page, shown_max};
use super::rows::Reads;
use super::versions::{Placed, ReadVersions, Version};
use crate::head::{DeleteMarker, Facts, Head};
use crate::version_id::{NULL, NamedVersion};

/// Lists versions and delete markers by key, and those of one key newest first.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`; `InvalidArgument`, for a version marker without a key marker too.
pub(super) async fn list_object_versions(
    store: &RegionalStore,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let ListObjectVersionsInput {
        bucket,
        delimiter,
        encoding_type,
        expected_bucket_owner,
        key_marker,
        max_keys,
        optional_object_attributes,
        prefix,
        version_id_marker,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    verify_optional_attributes(optional_object_attributes.as_deref())?;
    let encoding = Encoding::parse(encoding_type.as_ref())?;
    let key_marker = key_marker.filter(|marker| !marker.is_empty());
    let version_id_marker = version_id_marker.filter(|marker| !marker.is_empty());
    let behind = version_marker(key_marker.as_deref(), version_id_marker.as_deref())?;
    let scope = Scope::parse(prefix, delimiter, key_marker.clone(), ("max-keys", max_keys))?;
    let asked = (bucket.clone(), scope.clone());
    let (facts, page) = store
        .read_for(bucket.permit(), move |rows| {
            let (bucket, scope) = asked;
            let facts = bucket.find(rows)?.facts;
            Ok((facts, read_page(rows, &bucket.name, &scope, behind.as_ref())?))
        })
        .await?;
    let (next_key_marker, next_version_id_marker) = next_markers(&page);
    let is_truncated = page.is_truncated;
    let (found, common_prefixes) = page.split(encoding);
    let encode = |text: String| encoding.apply(text);
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for (key, listed) in found {
        let (key, is_latest) = (encode(key), listed.is_latest);
        match listed.version {
            Version::Object(head) => versions.push(shown_object(key, is_latest, *head, &facts)),
            Version::Marker(marker) => delete_markers.push(shown_marker(key, is_latest, marker, &facts)),
        }
    }
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(bucket.name),
        prefix: Some(encode(scope.prefix.clone())),
        key_marker: Some(encode(key_marker.unwrap_or_default())),
        version_id_marker: Some(version_id_marker.unwrap_or_default()),
        max_keys: Some(shown_max(scope.entries_max)),
        is_truncated: Some(is_truncated),
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        common_prefixes: Some(common_prefixes),
        delimiter: scope.shown_delimiter(encoding),
        next_key_marker: next_key_marker.map(encode),
        next_version_id_marker,
        encoding_type,
        request_charged: None,
    }))
}

/// A version or delete marker as it is listed.
struct Listed {
    version: Version,
    is_latest: bool,
}

/// The key and the version behind which a page starts.
fn version_marker(key: Option<&str>, version_id: Option<&str>) -> S3Result<Option<(String, NamedVersion)>> {
    match (key, version_id) {
        (_, None) => Ok(None),
        (None, Some(_)) => {
            Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker."))
        }
        (Some(key), Some(version_id)) => Ok(Some((key.to_owned(), NamedVersion::parse(version_id)?))),
    }
}

/// A page goes on behind the key marker; with a version, behind that version of the key.
fn read_page(
    rows: &impl Reads,
    bucket: &str,
    scope: &Scope,
    behind: Option<&(String, NamedVersion)>,
) -> Result<Page<Listed>, Failure> {
    let behind = match behind {
        // The null version may have been removed since it was listed, and its place is not known any more: what is left
        // of its key is listed anew, for whoever removes versions as they list them would otherwise miss some.
        Some((key, named)) => Some((key, rows.order_of(bucket, key, named)?)),
        None => None,
    };
    page(scope, |from| {
        let (from, behind) = match (from, behind) {
            (Bound::Excluded(key), Some((marker, order))) if key == marker.as_bytes() => {
                (Bound::Included(key), order.map(|order| (marker.as_str(), order)))
            }
            (from, _) => (from, None),
        };
        let newest = match behind {
            Some((key, _)) => rows.newest_order(bucket, key)?.map(|order| (key.to_owned(), order)),
            None => None,
        };
        Ok(Merged {
            current: rows.current_from(bucket, from, behind)?.peekable(),
            older: rows.older_from(bucket, from, behind)?.peekable(),
            newest,
        })
    })
}

/// Current objects and other versions, put together by key and place.
struct Merged<C: Iterator, O: Iterator> {
    current: Peekable<C>,
    older: Peekable<O>,
    /// The newest version of the key that is being listed.
    newest: Option<(String, u64)>,
}

type Row = Result<(String, Placed), Failure>;

impl<C: Iterator<Item = Row>, O: Iterator<Item = Row>> Iterator for Merged<C, O> {
    type Item = Result<(String, Listed), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let takes_current = match (self.current.peek(), self.older.peek()) {
            // The current object is newer than whatever else there is of its key.
            (Some(Ok((current, _))), Some(Ok((older, _)))) => current.as_bytes() <= older.as_bytes(),
            (Some(_), _) => true,
            (None, _) => false,
        };
        let row = if takes_current { self.current.next() } else { self.older.next() };
        Some(row?.map(|(key, Placed { order, version })| {
            let is_same_key = self.newest.as_ref().is_some_and(|(newest_key, _)| *newest_key == key);
            if !is_same_key {
                self.newest = Some((key.clone(), order));
            }
            let is_latest = self.newest.as_ref().is_some_and(|(_, newest)| *newest == order);
            (key, Listed { version, is_latest })
        }))
    }
}

fn next_markers(page: &Page<Listed>) -> (Option<String>, Option<String>) {
    match page.entries.last() {
        Some(Entry::Key(key, listed)) if page.is_truncated => {
            (Some(key.clone()), Some(name(listed.version.version_id())))
        }
        Some(Entry::CommonPrefix(prefix)) if page.is_truncated => (Some(prefix.clone()), None),
        _ => (None, None),
    }
}

fn shown_object(key: String, is_latest: bool, head: Head, facts: &Facts) -> ObjectVersion {
    let algorithms: Vec<_> = head.checksums.algorithms().map(checksum_algorithm).collect();
    ObjectVersion {
        checksum_algorithm: Some(algorithms).filter(|algorithms| !algorithms.is_empty()),
        checksum_type: checksum_type(head.checksums.kind),
        is_latest: Some(is_latest),
        key: Some(key),
        last_modified: Some(timestamp(head.modified_millis)),
        owner: Some(owner(facts.object_owner(&head))),
        restore_status: None,
        size: i64::try_from(head.bytes).ok(),
        storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
        version_id: Some(name(head.version_id.as_deref())),
        e_tag: etag(head.etag),
    }
}

fn shown_marker(key: String, is_latest: bool, marker: DeleteMarker, facts: &Facts) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(is_latest),
        key: Some(key),
        last_modified: Some(timestamp(marker.modified_millis)),
        owner: Some(owner(facts.marker_owner(&marker))),
        version_id: Some(name(marker.version_id.as_deref())),
    }
}

/// A listing names versions of buckets that never kept any, too.
fn name(version_id: Option<&str>) -> String {
    version_id.unwrap_or(NULL).to_owned()
}
