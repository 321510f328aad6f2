//! Reads by example: ranges, conditions, parts, and the headers of their answers.

use std::collections::BTreeMap;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use s3s::dto::{Timestamp, TimestampFormat};

use super::*;
use crate::acl::Owner;
use crate::encryption::StoreKey;
use crate::head::{ChecksumKind, Facts, Part, StoredHeaders, Versioning};
use crate::instance::Instance;

const BEFORE: &str = "Sun, 22 Nov 2026 14:59:59 GMT";
const MODIFIED: &str = "Sun, 22 Nov 2026 15:00:00 GMT";
const AFTER: &str = "Sun, 22 Nov 2026 15:00:01 GMT";

/// Ten bytes, modified in the middle of the second that `MODIFIED` names.
fn head() -> Head {
    Head {
        bytes: 10,
        etag: "abc".to_owned(),
        modified_millis: 1_795_359_600_500,
        checksums: Checksums {
            crc32: Some("whole==".to_owned()),
            kind: Some(ChecksumKind::FullObject),
            ..Checksums::default()
        },
        ..Head::new(Instance::from_bytes([1; 16]), Instance::from_bytes([2; 16]))
    }
}

/// Parts 1 and 3, of six and four bytes.
fn multipart_head() -> Head {
    let part = |number, bytes, crc32: &str| Part {
        number,
        bytes,
        checksums: Checksums { crc32: Some(crc32.to_owned()), ..Checksums::default() },
        sealed_as: None,
    };
    Head { etag: "abc-2".to_owned(), parts: vec![part(1, 6, "one==="), part(3, 4, "three=")], ..head() }
}

fn facts_of(versioning: Versioning) -> Facts {
    let id = Instance::from_bytes([3; 16]);
    let owner = Owner { id: "ab".to_owned(), display_name: "somebody".to_owned() };
    Facts { versioning, ..Facts::new(id, id, "somebody", owner) }
}

fn parse(headers: &[(HeaderName, &str)], query: &[(&str, &str)]) -> S3Result<ReadRequest> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("a header value")));
    ReadRequest::parse(&HeaderMap::from_iter(headers), query.iter().copied())
}

fn answer(
    head: &Head,
    headers: &[(HeaderName, &str)],
    query: &[(&str, &str)],
) -> S3Result<(Reading, HeaderMap)> {
    let request = parse(headers, query)?;
    let reading = decide(head, &request)?;
    let versioning = if head.version_id.is_some() { Versioning::Enabled } else { Versioning::Never };
    let headers = object_headers(&facts_of(versioning), head, &request, &reading);
    Ok((reading, headers))
}

fn code(result: S3Result<(Reading, HeaderMap)>) -> Option<S3ErrorCode> {
    result.err().map(|error| error.code().clone())
}

#[test]
fn an_expected_owner_that_cannot_be_read_is_refused() {
    let expected = |values: &[&[u8]]| {
        let name = X_AMZ_EXPECTED_BUCKET_OWNER;
        let value = |value: &&[u8]| (name.clone(), HeaderValue::from_bytes(value).expect("a header's value"));
        let found = expected_bucket_owner(&values.iter().map(value).collect());
        found.map_err(|error| error.code().as_str().to_owned())
    };
    assert_eq!(expected(&[]), Ok(None));
    assert_eq!(expected(&[b""]), Ok(None));
    assert_eq!(expected(&[b"anne"]), Ok(Some("anne".to_owned())));
    assert_eq!(expected(&[b"\xe4nne"]), Err("InvalidArgument".to_owned()));
    assert_eq!(expected(&[b"anne", b"anne"]), Err("InvalidRequest".to_owned()));
}

#[test]
fn a_plain_read_gets_everything() {
    let (reading, headers) = answer(&head(), &[], &[]).expect("served");
    assert_eq!((reading.status(), reading.bytes()), (StatusCode::OK, 0..10));
    assert_eq!(headers[CONTENT_LENGTH], "10");
    assert_eq!(headers[ETAG], "\"abc\"");
    assert_eq!(headers[LAST_MODIFIED], MODIFIED);
    assert_eq!(headers[ACCEPT_RANGES], "bytes");
    assert_eq!(headers[CONTENT_TYPE], "binary/octet-stream");
    assert!(!headers.contains_key(CONTENT_RANGE));
    assert!(!headers.contains_key("x-amz-checksum-crc32"), "only when asked for");
}

#[test]
fn ranges_are_resolved_and_cut() {
    for (range, bytes, content_range) in [
        ("bytes=0-0", 0..1, "bytes 0-0/10"),
        ("bytes=8-99", 8..10, "bytes 8-9/10"),
        ("bytes=9-", 9..10, "bytes 9-9/10"),
        ("bytes=-3", 7..10, "bytes 7-9/10"),
        ("bytes=-99", 0..10, "bytes 0-9/10"),
        ("bytes=0-9", 0..10, "bytes 0-9/10"),
        ("bytes=8-18446744073709551616", 8..10, "bytes 8-9/10"),
        ("bytes=-18446744073709551616", 0..10, "bytes 0-9/10"),
    ] {
        let (reading, headers) = answer(&head(), &[(RANGE, range)], &[]).expect(range);
        assert_eq!((reading.status(), reading.bytes()), (StatusCode::PARTIAL_CONTENT, bytes), "{range}");
        assert_eq!(headers[CONTENT_RANGE], content_range, "{range}");
    }
}

#[test]
fn ranges_without_a_byte_are_refused_with_the_size() {
    let empty = Head { bytes: 0, ..head() };
    for (head, range) in [
        (&head(), "bytes=10-"),
        (&head(), "bytes=10-10"),
        (&head(), "bytes=-0"),
        (&head(), "bytes=9223372036854775808-"),
        (&head(), "bytes=18446744073709551616-"),
        (&head(), "bytes=18446744073709551616-018446744073709551617"),
        (&empty, "bytes=0-"),
        (&empty, "bytes=-1"),
    ] {
        let error = answer(head, &[(RANGE, range)], &[]).expect_err(range);
        assert_eq!(error.code(), &S3ErrorCode::InvalidRange, "{range}");
        assert_eq!(
            error.headers().expect("headers")[CONTENT_RANGE],
            format!("bytes */{}", head.bytes).as_str()
        );
    }
}

/// The whole object is answered, as if nothing had been asked.
#[test]
fn a_range_that_is_none_is_ignored() {
    for range in [
        "bytes=5-2",
        "bytes=0-1,3-4",
        "items=0-1",
        "bytes=",
        "bytes=a-b",
        "bytes=18446744073709551617-18446744073709551616",
        "bytes=18446744073709551616",
        "bytes=18446744073709551616-a",
        "bytes=+18446744073709551616-",
    ] {
        let (whole, ranged) = (answer(&head(), &[], &[]), answer(&head(), &[(RANGE, range)], &[]));
        assert_eq!(format!("{whole:?}"), format!("{ranged:?}"), "{range}");
    }
}

#[test]
fn malformed_values_are_refused() {
    for (name, value) in [
        (IF_MATCH, "\"a"),
        (IF_MATCH, "\"a\" \"b\""),
        (IF_NONE_MATCH, "\"a\", b\""),
        (IF_MODIFIED_SINCE, "yesterday"),
        (IF_UNMODIFIED_SINCE, "2026-11-22T15:00:00Z"),
        (X_AMZ_CHECKSUM_MODE, "on"),
    ] {
        let refused = code(answer(&head(), &[(name.clone(), value)], &[]));
        assert_eq!(refused, Some(S3ErrorCode::InvalidArgument), "{name}: {value}");
    }
    for (name, value) in [
        ("partNumber", "0"),
        ("partNumber", "10001"),
        ("partNumber", "one"),
        ("versionId", ""),
        ("versionId", "3"),
    ] {
        assert_eq!(
            code(answer(&head(), &[], &[(name, value)])),
            Some(S3ErrorCode::InvalidArgument),
            "{name}={value}"
        );
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    let twice = [(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")];
    let mut headers = HeaderMap::new();
    for (name, value) in twice {
        headers.append(name, HeaderValue::from_static(value));
    }
    let refused = ReadRequest::parse(&headers, []).expect_err("two ranges");
    assert_eq!(refused.code(), &S3ErrorCode::InvalidRequest);
    for query in [
        [("partNumber", "1"), ("partNumber", "1")],
        [("versionId", "null"), ("versionId", "null")],
        [("response-content-type", "a"), ("response-content-type", "b")],
    ] {
        assert_eq!(code(answer(&head(), &[], &query)), Some(S3ErrorCode::InvalidRequest), "{query:?}");
    }
    assert_eq!(
        code(answer(&head(), &[(RANGE, "bytes=0-1")], &[("partNumber", "1")])),
        Some(S3ErrorCode::InvalidRequest)
    );
}

#[test]
fn an_empty_header_counts_as_absent() {
    let (reading, _) =
        answer(&head(), &[(RANGE, ""), (IF_MATCH, ""), (IF_MODIFIED_SINCE, "")], &[]).expect("served");
    assert_eq!(reading.status(), StatusCode::OK);
}

#[test]
fn conditions_are_weighed_in_the_order_of_the_rfc() {
    let failed = Some(S3ErrorCode::PreconditionFailed);
    let not_modified = Some(S3ErrorCode::NotModified);
    for (headers, expected) in [
        (vec![(IF_MATCH, "\"abc\"")], None),
        (vec![(IF_MATCH, "abc")], None),
        (vec![(IF_MATCH, "*")], None),
        (vec![(IF_MATCH, "\"x\", \"abc\"")], None),
        (vec![(IF_MATCH, "\"x\", \"y\"")], failed.clone()),
        (vec![(IF_MATCH, "\"abcd\"")], failed.clone()),
        (vec![(IF_MATCH, "W/\"abc\"")], failed.clone()),
        (vec![(IF_NONE_MATCH, "\"abc\"")], not_modified.clone()),
        (vec![(IF_NONE_MATCH, "W/\"abc\"")], not_modified.clone()),
        (vec![(IF_NONE_MATCH, "*")], not_modified.clone()),
        (vec![(IF_NONE_MATCH, "\"x\", W/\"abc\"")], not_modified.clone()),
        (vec![(IF_NONE_MATCH, "\"ab\"")], None),
        (vec![(IF_MODIFIED_SINCE, BEFORE)], None),
        (vec![(IF_MODIFIED_SINCE, MODIFIED)], not_modified.clone()),
        (vec![(IF_MODIFIED_SINCE, AFTER)], not_modified.clone()),
        (vec![(IF_UNMODIFIED_SINCE, BEFORE)], failed.clone()),
        (vec![(IF_UNMODIFIED_SINCE, MODIFIED)], None),
        // A tag silences the date beside it, either way.
        (vec![(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, BEFORE)], None),
        (vec![(IF_MATCH, "\"x\""), (IF_UNMODIFIED_SINCE, AFTER)], failed.clone()),
        (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)], None),
        (vec![(IF_NONE_MATCH, "\"abc\""), (IF_MODIFIED_SINCE, BEFORE)], not_modified.clone()),
        // The failing pair is asked first, and both come before the range.
        (vec![(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")], failed.clone()),
        (vec![(IF_MATCH, "\"abc\""), (IF_NONE_MATCH, "\"abc\"")], not_modified.clone()),
        (vec![(IF_NONE_MATCH, "\"abc\""), (RANGE, "bytes=10-")], not_modified),
        (vec![(IF_MATCH, "\"x\""), (RANGE, "bytes=10-")], failed),
    ] {
        assert_eq!(code(answer(&head(), &headers, &[])), expected, "{headers:?}");
    }
}

/// The three forms of RFC 9110 §5.6.7 are one moment; what is near one of them is none.
#[test]
fn dates_are_read_in_all_three_forms() {
    let mut head = head();
    // Sun, 06 Nov 1994 08:49:37 GMT.
    head.modified_millis = 784_111_777_000;
    let since = |date: &'static str| code(answer(&head, &[(IF_UNMODIFIED_SINCE, date)], &[]));
    for same in
        ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
    {
        assert_eq!(since(same), None, "{same}");
    }
    for earlier in
        ["Sun, 06 Nov 1994 08:49:36 GMT", "Sunday, 06-Nov-94 08:49:36 GMT", "Sun Nov  6 08:49:36 1994"]
    {
        assert_eq!(since(earlier), Some(S3ErrorCode::PreconditionFailed), "{earlier}");
    }
    // Two digits are of this century or the last.
    assert_eq!(since("Friday, 06-Nov-26 08:49:37 GMT"), None);
    assert_eq!(since("Friday, 06-Nov-70 08:49:37 GMT"), Some(S3ErrorCode::PreconditionFailed));
    for none in [
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06-Nov-9 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sun Nov 06 1994 08:49:37",
        "1994-11-06T08:49:37Z",
        "Nov",
    ] {
        assert_eq!(since(none), Some(S3ErrorCode::InvalidArgument), "{none}");
    }
}

#[test]
fn not_modified_carries_the_validators_alone() {
    let error = answer(&head(), &[(IF_NONE_MATCH, "\"abc\"")], &[]).expect_err("304");
    let headers = error.headers().expect("validators");
    assert_eq!(headers[ETAG], "\"abc\"");
    assert_eq!(headers[LAST_MODIFIED], MODIFIED);
    assert_eq!(headers.len(), 2);
}

#[test]
fn if_range_lets_the_range_count_only_for_the_same_object() {
    for (if_range, status) in [
        ("\"abc\"", StatusCode::PARTIAL_CONTENT),
        (MODIFIED, StatusCode::PARTIAL_CONTENT),
        ("\"abd\"", StatusCode::OK),
        ("W/\"abc\"", StatusCode::OK),
        (BEFORE, StatusCode::OK),
        (AFTER, StatusCode::OK),
        ("nonsense", StatusCode::OK),
    ] {
        let (reading, _) =
            answer(&head(), &[(RANGE, "bytes=2-3"), (IF_RANGE, if_range)], &[]).expect(if_range);
        assert_eq!(reading.status(), status, "{if_range}");
    }
}

#[test]
fn a_part_is_read_by_its_number() {
    let head = multipart_head();
    let (reading, headers) =
        answer(&head, &[(X_AMZ_CHECKSUM_MODE, "ENABLED")], &[("partNumber", "3")]).expect("served");
    assert_eq!((reading.status(), reading.bytes()), (StatusCode::PARTIAL_CONTENT, 6..10));
    assert_eq!(headers[CONTENT_RANGE], "bytes 6-9/10");
    assert_eq!(headers["x-amz-mp-parts-count"], "2");
    assert_eq!(headers["x-amz-checksum-crc32"], "three=");
    assert_eq!(headers[ETAG], "\"abc-2\"");
    assert_eq!(code(answer(&head, &[], &[("partNumber", "2")])), Some(S3ErrorCode::InvalidPart));
}

#[test]
fn an_object_put_whole_is_its_own_part_one() {
    let (reading, headers) = answer(&head(), &[], &[("partNumber", "1")]).expect("served");
    assert_eq!((reading.status(), reading.bytes()), (StatusCode::PARTIAL_CONTENT, 0..10));
    assert!(!headers.contains_key("x-amz-mp-parts-count"));
    assert_eq!(code(answer(&head(), &[], &[("partNumber", "2")])), Some(S3ErrorCode::InvalidPart));
    let (reading, _) = answer(&Head { bytes: 0, ..head() }, &[], &[("partNumber", "1")]).expect("served");
    assert_eq!(reading.status(), StatusCode::OK, "an empty object has no byte range to name");
}

/// A client holds the checksum against the bytes it received, so a slice must not carry the whole object's.
#[test]
fn checksums_go_out_only_with_the_bytes_they_cover() {
    // pyarrow, whose SDK is the one for C++, writes it in small letters.
    for asked in ["ENABLED", "enabled"].map(|mode| (X_AMZ_CHECKSUM_MODE, mode)) {
        let (_, headers) = answer(&head(), std::slice::from_ref(&asked), &[]).expect("served");
        assert_eq!(headers["x-amz-checksum-crc32"], "whole==");
        assert_eq!(headers["x-amz-checksum-type"], "FULL_OBJECT");
        let (_, headers) = answer(&head(), &[asked, (RANGE, "bytes=0-8")], &[]).expect("served");
        assert!(!headers.contains_key("x-amz-checksum-crc32"));
    }
}

#[test]
fn overrides_replace_stored_headers() {
    let stored = StoredHeaders {
        content_type: Some("text/plain".to_owned()),
        cache_control: Some("no-cache".to_owned()),
        storage_class: None,
        ..StoredHeaders::default()
    };
    let head = Head { headers: stored, ..head() };
    let query =
        [("response-content-type", "text/html"), ("response-expires", MODIFIED), ("x-id", "GetObject")];
    let (_, headers) = answer(&head, &[], &query).expect("served");
    assert_eq!(headers[CONTENT_TYPE], "text/html");
    assert_eq!(headers[EXPIRES], MODIFIED);
    // No date is a time that is over, and as good as any.
    for text in ["0", "-1", "never", "Sunday, 06-Nov-94 08:49:37 GMT"] {
        let (_, headers) = answer(&head, &[], &[("response-expires", text)]).expect("answered");
        assert_eq!(headers[EXPIRES], text);
    }
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
}

#[test]
fn metadata_that_is_not_ascii_goes_out_encoded() {
    let long = "ä".repeat(40);
    let metadata = [("plain", "a b"), ("word", "ä"), ("long", long.as_str())];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (_, headers) =
        answer(&Head { metadata: BTreeMap::from(metadata), ..head() }, &[], &[]).expect("served");
    assert_eq!(headers["x-amz-meta-plain"], "a b");
    assert_eq!(headers["x-amz-meta-word"], "=?UTF-8?B?w6Q=?=");
    let words: Vec<_> = headers["x-amz-meta-long"].to_str().expect("ASCII").split(' ').collect();
    assert_eq!(words.len(), 2);
    assert!(words.iter().all(|word| word.len() <= 75 && word.starts_with("=?UTF-8?B?")));
}

const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm");
const KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-key");
const KEY_MD5: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5");

/// An object's key comes first: a condition would tell of an object that the client cannot read.
#[test]
fn an_encrypted_object_is_read_with_its_key_alone() {
    let key = [
        (ALGORITHM, "AES256"),
        (KEY, "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs="),
        (KEY_MD5, "DWygnHRtgiJ77HCm+1rvHw=="),
    ];
    let other = [
        (ALGORITHM, "AES256"),
        (KEY, "6b+WOZ1T3cqZMxgThRcXAQBrS5mXKdDUphvpxptl9/4="),
        (KEY_MD5, "arxBvwY2V4SiOne6yppVPQ=="),
    ];
    let headers = key.clone().into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    let parsed = CustomerKey::of_target(&headers.collect()).expect("valid").expect("a key");
    let (encryption, _) = Encryption::by_client(&parsed, [7; 32]);
    let encrypted = Head { encryption: Some(encryption), ..head() };

    let (_, headers) = answer(&encrypted, &key, &[]).expect("served");
    assert_eq!(headers[ALGORITHM], "AES256");
    assert_eq!(headers[KEY_MD5], "DWygnHRtgiJ77HCm+1rvHw==");
    assert!(!headers.contains_key(KEY));
    for (head, key, expected) in [
        (&encrypted, &[][..], S3ErrorCode::InvalidRequest),
        (&encrypted, &other, S3ErrorCode::AccessDenied),
        (&encrypted, &key[..2], S3ErrorCode::InvalidArgument),
        (&head(), &key, S3ErrorCode::InvalidRequest),
    ] {
        assert_eq!(code(answer(head, key, &[])), Some(expected.clone()));
        let failing = [key, &[(IF_NONE_MATCH, "*")]].concat();
        assert_eq!(code(answer(head, &failing, &[])), Some(expected));
    }
    for (number, expected) in [("1", S3ErrorCode::InvalidRequest), ("2", S3ErrorCode::InvalidPart)] {
        assert_eq!(code(answer(&encrypted, &[], &[("partNumber", number)])), Some(expected));
    }
    let failing = [&key[..], &[(IF_NONE_MATCH, "*")]].concat();
    assert_eq!(code(answer(&encrypted, &failing, &[])), Some(S3ErrorCode::NotModified));
}

/// Whoever may read the object says nothing of its key, and is told how it is encrypted.
#[test]
fn an_object_under_the_stores_key_is_read_like_any_other() {
    let method = HeaderName::from_static("x-amz-server-side-encryption");
    let key = StoreKey::new(zeroize::Zeroizing::new([1; 32]));
    let (encryption, _) = Encryption::by_store(&key, [7; 32]).expect("a key");
    let encrypted = Head { encryption: Some(encryption), ..head() };
    let (_, headers) = answer(&encrypted, &[], &[]).expect("served");
    assert_eq!(headers[&method], "AES256");
    assert!(!answer(&head(), &[], &[]).expect("served").1.contains_key(&method));
    assert_eq!(code(answer(&encrypted, &[(IF_NONE_MATCH, "*")], &[])), Some(S3ErrorCode::NotModified));
    for head in [&encrypted, &head()] {
        let choosing = answer(head, &[(method.clone(), "AES256")], &[]);
        assert_eq!(code(choosing), Some(S3ErrorCode::InvalidArgument), "a read encrypts nothing");
    }
}

/// A head with everything that can be in a header.
fn full_head() -> Head {
    let metadata = [("plain", "a b"), ("word", "ä"), ("long", "äöü".repeat(30).as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Head {
        version_id: Some("v1".to_owned()),
        headers: StoredHeaders {
            cache_control: Some("no-cache".to_owned()),
            content_disposition: Some("inline".to_owned()),
            content_encoding: Some("gzip".to_owned()),
            content_language: Some("de".to_owned()),
            content_type: Some("text/plain".to_owned()),
            expires: Some(AFTER.to_owned()),
            website_redirect_location: Some("/x".to_owned()),
            storage_class: Some("GLACIER".to_owned()),
        },
        metadata: BTreeMap::from(metadata),
        checksums: Checksums {
            crc32: Some("a".to_owned()),
            crc32c: Some("b".to_owned()),
            crc64nvme: Some("c".to_owned()),
            sha1: Some("d".to_owned()),
            sha256: Some("e".to_owned()),
            kind: Some(ChecksumKind::Composite),
        },
        ..head()
    }
}

/// The same head as a plain implementation would hand it to s3s.
struct Plain(Head, Reading);

#[async_trait::async_trait]
impl s3s::S3 for Plain {
    async fn get_object(
        &self,
        _: s3s::S3Request<dto::GetObjectInput>,
    ) -> S3Result<s3s::S3Response<dto::GetObjectOutput>> {
        let Self(head, reading) = self;
        let bytes = reading.bytes();
        let timestamp = |text: &str| Timestamp::parse(TimestampFormat::HttpDate, text).expect("a date");
        Ok(s3s::S3Response::new(dto::GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: head.headers.cache_control.clone(),
            checksum_crc32: head.checksums.crc32.clone(),
            checksum_crc32c: head.checksums.crc32c.clone(),
            checksum_crc64nvme: head.checksums.crc64nvme.clone(),
            checksum_sha1: head.checksums.sha1.clone(),
            checksum_sha256: head.checksums.sha256.clone(),
            checksum_type: head.checksums.kind.map(|kind| dto::ChecksumType::from_static(kind.as_str())),
            content_disposition: head.headers.content_disposition.clone(),
            content_encoding: head.headers.content_encoding.clone(),
            content_language: head.headers.content_language.clone(),
            content_length: i64::try_from(bytes.end - bytes.start).ok(),
            content_range: Some("bytes 0-9/10".to_owned()).filter(|_| reading.is_partial()),
            content_type: head.headers.content_type.clone(),
            e_tag: Some(dto::ETag::Strong(head.etag.clone())),
            expires: head.headers.expires.as_deref().map(timestamp),
            last_modified: Some(timestamp(MODIFIED)),
            metadata: Some(head.metadata.clone().into_iter().collect()),
            storage_class: head.headers.storage_class.clone().map(dto::StorageClass::from),
            version_id: head.version_id.clone(),
            website_redirect_location: head.headers.website_redirect_location.clone(),
            ..dto::GetObjectOutput::default()
        }))
    }
}

/// Caches answer without s3s, so our headers have to be the ones that s3s makes of the same head.
#[tokio::test]
async fn the_headers_are_those_that_s3s_would_send() {
    let target = "/photos/cat.jpg?response-content-type=text/html&response-expires=Sun,%2022%20Nov%202026%2014:59:59%20GMT";
    let query = [("response-content-type", "text/html"), ("response-expires", BEFORE)];
    let asked = (X_AMZ_CHECKSUM_MODE, "ENABLED");
    for headers in [vec![asked.clone()], vec![asked, (RANGE, "bytes=0-99")]] {
        let (reading, ours) = answer(&full_head(), &headers, &query).expect("served");
        let mut request = http::Request::get(target).body(s3s::Body::empty()).expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let service = s3s::service::S3ServiceBuilder::new(Plain(full_head(), reading.clone())).build();
        let response = service.call(request).await.expect("answered");
        assert_eq!(response.status(), reading.status());
        assert_eq!(response.headers(), &ours);
    }
}
