//! Properties of the parse over any bytes.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::super::*;
use super::{assert_read_the_same, listener, topology};

/// Everything but what a path may hold unescaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn methods() -> impl Strategy<Value = Method> {
    const NAMES: &[&str] = &["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "get"];
    proptest::sample::select(NAMES).prop_map(|name| Method::from_bytes(name.as_bytes()).expect("method"))
}

/// Pieces that mean something, and bytes that need not.
fn targets() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "/",
        "//",
        "photos",
        "a",
        "..",
        "%2F",
        "%",
        "%zz",
        "%C3%A9",
        "é",
        "+",
        "?",
        "&",
        "=",
        "acl",
        "policy",
        "uploadId",
        "partNumber",
        "versionId",
        "list-type=2",
        "delete",
        "X-Amz-Signature",
        "X-Amz-Expires=1",
        "Signature",
        "x-id",
        "#",
        " ",
        "\0",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| [&b"/photos"[..], &pieces.concat()].concat())
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    const NAMES: &[&str] = &[
        "host",
        "authorization",
        "content-length",
        "content-type",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-copy-source",
        "x-amz-date",
        "x-amz-trailer",
        "x-amz-decoded-content-length",
        "x-amz-meta-a",
        "range",
    ];
    const VALUES: &[&str] = &[
        "127.0.0.1",
        "photos.object.ord1.penstock.localhost:80",
        "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request",
        "0",
        "17",
        "chunked",
        "multipart/form-data",
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "",
        "x-amz-checksum-crc32",
        "20260102T030405Z",
    ];
    let value = prop_oneof![
        4 => proptest::sample::select(VALUES).prop_map(|value| value.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let header = (proptest::sample::select(NAMES), value);
    proptest::collection::vec(header, 0..8).prop_map(|pairs| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1"));
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

proptest! {
    /// No request makes the parse panic; what it lets pass keeps its invariants, and s3s reads it the same way.
    #[test]
    fn any_request_is_parsed_or_refused(method in methods(), target in targets(), headers in headers()) {
        let Ok(parsed) = parse(&topology(), &listener(), &method, &target, &headers) else { return Ok(()) };
        prop_assert!(parsed.bucket().is_none_or(s3s::path::check_bucket_name));
        prop_assert!(parsed.key().is_none_or(|key| (1..=1024).contains(&key.len())));
        assert_read_the_same(&parsed, &method, &target, &headers);
        if let Some(signature) = parsed.signature.signature() {
            let is_signed = |name: &HeaderName| signature.signed_headers.contains(name);
            let must_be = headers.keys().filter(|name| name.as_str().starts_with("x-amz-") || *name == "host");
            prop_assert!(must_be.into_iter().all(is_signed));
        }
    }

    /// Bytes that are no request at all do not make it panic either.
    #[test]
    fn any_bytes_are_refused_or_parsed(target in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        let _ = parse(&topology(), &listener(), &Method::GET, &target, &headers);
    }

    /// A key that is escaped by any client's rules comes out as it was.
    #[test]
    fn keys_round_trip(key in "\\PC{1,60}|[ -~]{1,60}|(/|\\.\\.|%2F|\\+|é){1,20}") {
        let target = format!("/photos/{}", utf8_percent_encode(&key, ESCAPED));
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        let parsed = parse(&topology(), &listener(), &Method::GET, target.as_bytes(), &headers);
        let parsed = parsed.map_err(|refusal| refusal.to_string());
        prop_assert_eq!(parsed.as_ref().map(Target::key), Ok(Some(key.as_str())));
    }

    /// The path's bucket and the host name's bucket lead to the same object.
    #[test]
    fn path_style_and_virtual_hosts_agree(path in "(/|a|\\.|%2[Ff]|%C3%A9|\\+|%25){1,30}") {
        let of = |host: &str, target: String| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_str(host).expect("host"));
            parse(&topology(), &listener(), &Method::GET, target.as_bytes(), &headers)
                .map(|target| target.resource)
                .map_err(|refusal| refusal.to_string())
        };
        let by_path = of("object.ord1.penstock.localhost", format!("/photos/{path}"));
        let by_host = of("photos.object.ord1.penstock.localhost", format!("/{path}"));
        prop_assert_eq!(by_path, by_host);
    }
}
