//! ListObjects, and what it shares with ListObjectsV2.

use s3s::dto::{self, ListObjectsInput, ListObjectsOutput, ObjectStorageClass};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{checksum_algorithm, checksum_type, etag, owner, timestamp};
use super::asked::AskedBucket;
use super::listing::{Encoding, Page, Scope, page, shown_max};
use super::rows::Reads;
use crate::head::{Facts, Head};

/// Lists objects in key order, from a marker on.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`, `InvalidArgument`.
pub(super) async fn list_objects(
    store: &RegionalStore,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let ListObjectsInput {
        bucket,
        delimiter,
        encoding_type,
        expected_bucket_owner,
        marker,
        max_keys,
        prefix,
        optional_object_attributes,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    verify_optional_attributes(optional_object_attributes.as_deref())?;
    let encoding = Encoding::parse(encoding_type.as_ref())?;
    let scope = Scope::parse(prefix, delimiter, marker.clone(), ("max-keys", max_keys))?;
    let (facts, page) = read_page(store, bucket.clone(), scope.clone()).await?;
    // S3 gives a marker only for grouped listings: in others it is the last key.
    let next_marker =
        page.last().filter(|_| page.is_truncated && !scope.delimiter.is_empty()).map(str::to_owned);
    let is_truncated = page.is_truncated;
    let (objects, common_prefixes) = page.split(encoding);
    let encode = |text: String| encoding.apply(text);
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(bucket.name),
        // As it was asked for: of this operation's answer, clients decode everything but the prefix.
        prefix: Some(scope.prefix.clone()),
        marker: Some(encode(marker.unwrap_or_default())),
        max_keys: Some(shown_max(scope.entries_max)),
        is_truncated: Some(is_truncated),
        contents: Some(
            objects.into_iter().map(|(key, head)| object(encode(key), head, Some(&facts))).collect(),
        ),
        common_prefixes: Some(common_prefixes),
        delimiter: scope.shown_delimiter(encoding),
        next_marker: next_marker.map(encode),
        encoding_type,
        request_charged: None,
    }))
}

/// One page of objects and their bucket's facts, from one snapshot.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
pub(super) async fn read_page(
    store: &RegionalStore,
    bucket: AskedBucket,
    scope: Scope,
) -> S3Result<(Facts, Page<Head>)> {
    store
        .read_for(bucket.permit(), move |rows| {
            let facts = bucket.find(rows)?.facts;
            Ok((facts, page(&scope, |from| rows.objects(&bucket.name, from))?))
        })
        .await
}

/// An object as a listing shows it; with its owner if its bucket's facts are given.
pub(super) fn object(key: String, head: Head, facts: Option<&Facts>) -> dto::Object {
    let algorithms: Vec<_> = head.checksums.algorithms().map(checksum_algorithm).collect();
    dto::Object {
        checksum_algorithm: Some(algorithms).filter(|algorithms| !algorithms.is_empty()),
        checksum_type: checksum_type(head.checksums.kind),
        key: Some(key),
        last_modified: Some(timestamp(head.modified_millis)),
        owner: facts.map(|facts| owner(facts.object_owner(&head))),
        e_tag: etag(head.etag),
        restore_status: None,
        size: i64::try_from(head.bytes).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
    }
}

/// Attributes that a listing may be asked for besides its own. Nothing here was ever archived, and of such objects S3 tells no
/// restore status either: Mountpoint and what is built on its client ask for it in every listing.
///
/// # Errors
/// `NotImplemented` for any other.
pub(super) fn verify_optional_attributes(
    attributes: Option<&[dto::OptionalObjectAttributes]>,
) -> S3Result<()> {
    let known = dto::OptionalObjectAttributes::RESTORE_STATUS;
    match attributes.unwrap_or_default().iter().find(|attribute| attribute.as_str() != known) {
        None => Ok(()),
        Some(_) => Err(s3_error!(
            NotImplemented,
            "x-amz-optional-object-attributes is supported for RestoreStatus alone."
        )),
    }
}
