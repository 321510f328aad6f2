//! The response headers of an object read, the same whichever path serves it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::header::{
    X_AMZ_CHECKSUM_CRC32, X_AMZ_CHECKSUM_CRC32C, X_AMZ_CHECKSUM_CRC64NVME, X_AMZ_CHECKSUM_SHA1,
    X_AMZ_CHECKSUM_SHA256, X_AMZ_CHECKSUM_TYPE, X_AMZ_DELETE_MARKER, X_AMZ_EXPIRATION, X_AMZ_MP_PARTS_COUNT,
    X_AMZ_SERVER_SIDE_ENCRYPTION, X_AMZ_STORAGE_CLASS, X_AMZ_TAGGING_COUNT, X_AMZ_VERSION_ID,
    X_AMZ_WEBSITE_REDIRECT_LOCATION,
};
use time::OffsetDateTime;

use super::{ReadRequest, Reading};
use crate::head::{ChecksumKind, Checksums, DeleteMarker, Facts, Head, StoredHeaders};
use crate::version_id::NULL;
use crate::wanted_encryption::AES256;

/// What S3 says of an object that was stored without a `Content-Type`.
const DEFAULT_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("binary/octet-stream");

/// All headers of a 200 or 206 that come from the object: validators, length and range, stored headers with the
/// request's `response-*` overrides, the version's name as its bucket's `facts` have it, user metadata, how many tags
/// there are, how an encrypted object is encrypted, and checksums when the request asked for them.
#[must_use]
pub fn object_headers(facts: &Facts, head: &Head, request: &ReadRequest, reading: &Reading) -> HeaderMap {
    let mut headers = validators(head);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let bytes = reading.bytes();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    if reading.is_partial() {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, head.bytes);
        insert(&mut headers, CONTENT_RANGE, Some(&range));
    }
    insert_stored(&mut headers, &head.headers);
    headers.extend(request.response_headers.clone());
    insert(&mut headers, X_AMZ_VERSION_ID, facts.shown_version(head.version_id.as_deref()));
    if !head.tags.is_empty() {
        headers.insert(X_AMZ_TAGGING_COUNT, HeaderValue::from(head.tags.len()));
    }
    if head.is_under_store_key() {
        headers.insert(X_AMZ_SERVER_SIDE_ENCRYPTION, HeaderValue::from_static(AES256));
    } else if head.encryption.is_some()
        && let Some(key) = request.customer_key()
    {
        headers.extend(key.answered());
    }
    if let Some(count) = reading.parts_count {
        headers.insert(X_AMZ_MP_PARTS_COUNT, HeaderValue::from(count));
    }
    for (name, value) in &head.metadata {
        if let Ok(name) = HeaderName::try_from(format!("x-amz-meta-{name}")) {
            insert(&mut headers, name, Some(&encode_rfc2047(value)));
        }
    }
    if request.wants_checksums
        && let Some(checksums) = reading.checksums(head)
    {
        insert_checksums(&mut headers, checksums, head.checksums.kind);
    }
    headers
}

/// Says when a rule takes the object away, if one does.
pub fn insert_expiration(headers: &mut HeaderMap, expiration: Option<&str>) {
    insert(headers, X_AMZ_EXPIRATION, expiration);
}

/// `ETag` and `Last-Modified`: what a 304 says of the object too (RFC 9110 §15.4.5).
pub(super) fn validators(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    insert(&mut headers, ETAG, Some(&format!("\"{}\"", head.etag)));
    insert(&mut headers, LAST_MODIFIED, http_date(head.modified_millis).as_deref());
    headers
}

/// What is said where a delete marker was found in place of an object.
pub(super) fn of_marker(marker: &DeleteMarker) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(X_AMZ_DELETE_MARKER, HeaderValue::from_static("true"));
    insert(&mut headers, X_AMZ_VERSION_ID, Some(marker.version_id.as_deref().unwrap_or(NULL)));
    headers
}

/// What is said beside that where the delete marker is what was asked for.
pub(super) fn of_marker_itself(marker: &DeleteMarker) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    // What can be done to it: RFC 9110 §15.5.6 wants it said.
    headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
    insert(&mut headers, LAST_MODIFIED, http_date(marker.modified_millis).as_deref());
    headers
}

fn insert_stored(headers: &mut HeaderMap, stored: &StoredHeaders) {
    let StoredHeaders {
        cache_control,
        content_disposition,
        content_encoding,
        content_language,
        content_type,
        expires,
        website_redirect_location,
        storage_class,
    } = stored;
    headers.insert(CONTENT_TYPE, DEFAULT_CONTENT_TYPE);
    insert(headers, CONTENT_TYPE, content_type.as_deref());
    insert(headers, CACHE_CONTROL, cache_control.as_deref());
    insert(headers, CONTENT_DISPOSITION, content_disposition.as_deref());
    insert(headers, CONTENT_ENCODING, content_encoding.as_deref());
    insert(headers, CONTENT_LANGUAGE, content_language.as_deref());
    insert(headers, EXPIRES, expires.as_deref());
    insert(headers, X_AMZ_WEBSITE_REDIRECT_LOCATION, website_redirect_location.as_deref());
    insert(headers, X_AMZ_STORAGE_CLASS, storage_class.as_deref());
}

fn insert_checksums(headers: &mut HeaderMap, checksums: &Checksums, kind: Option<ChecksumKind>) {
    insert(headers, X_AMZ_CHECKSUM_CRC32, checksums.crc32.as_deref());
    insert(headers, X_AMZ_CHECKSUM_CRC32C, checksums.crc32c.as_deref());
    insert(headers, X_AMZ_CHECKSUM_CRC64NVME, checksums.crc64nvme.as_deref());
    insert(headers, X_AMZ_CHECKSUM_SHA1, checksums.sha1.as_deref());
    insert(headers, X_AMZ_CHECKSUM_SHA256, checksums.sha256.as_deref());
    insert(headers, X_AMZ_CHECKSUM_TYPE, kind.map(ChecksumKind::as_str));
}

/// A value that cannot be a header is left out: what came in as a header always can.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// Milliseconds since 1970 as an HTTP date, whole seconds, rounded down; `None` past the year 9999.
pub(crate) fn http_date(millis: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(millis / 1000).ok()?).ok()?;
    let mut text = Vec::with_capacity(29);
    Timestamp::from(time).format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// Metadata that is not printable ASCII goes out as RFC 2047 encoded words of at most 75 characters, as S3
/// sends it (Amazon S3 User Guide, "Working with object metadata").
fn encode_rfc2047(value: &str) -> Cow<'_, str> {
    // 75 characters less `=?UTF-8?B?` and `?=` leave 63: 15 groups of base64, made of 45 bytes.
    const WORD_BYTES_MAX: usize = 45;
    if value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(value);
    }
    let mut words = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES_MAX));
        words.push(format!("=?UTF-8?B?{}?=", BASE64.encode(word)));
        rest = after;
    }
    Cow::Owned(words.join(" "))
}
