//! Properties of the parse over any bytes.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::super::*;
use super::{assert_read_the_same, listener, topology};

/// Everything but what a path may hold unescaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn methods() -> impl Strategy<Value = Method> {
    const NAMES: &[&str] = &["GET", "GET", "PUT", "PUT", "HEAD", "POST", "DELETE", "OPTIONS", "PATCH"];
    proptest::sample::select(NAMES).prop_map(|name| Method::from_bytes(name.as_bytes()).expect("method"))
}

/// A path of odd pieces, and a query of parameters that S3 knows and some that it does not.
fn targets() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "/", "//", "a", "b.c", "..", "%2F", "%25", "%C3%A9", "é", "+", "%2B", "~", "(", "=", "&", ";", "%00",
    ];
    const PARAMETERS: &[&str] = &[
        "acl",
        "policy",
        "uploads",
        "uploadId=u",
        "partNumber=1",
        "versionId=v",
        "list-type=2",
        "delete",
        "tagging",
        "location",
        "prefix=a%2Fb+c",
        "max-keys=1",
        "delimiter=/",
        "x-id=GetObject",
        "colour",
        "id",
        "analytics",
        "attributes",
        "torrent",
        "restore",
        "response-expires=%C3%A9",
        "versions",
        "X-Amz-Expires=1",
        "Signature=s",
    ];
    const SPOILERS: &[&str] = &["%", "%zz", "%ff", "#", " ", "\0", "?", "\u{7f}"];
    let key = proptest::collection::vec(proptest::sample::select(PIECES), 0..5);
    let query = prop_oneof![
        1 => Just(Vec::new()),
        2 => proptest::collection::vec(proptest::sample::select(PARAMETERS), 1..4),
    ];
    let spoiler = prop_oneof![19 => Just(""), 1 => proptest::sample::select(SPOILERS)];
    (key, query, spoiler, proptest::sample::select(&["", "/photos", "/photos/k"][..])).prop_map(
        |(key, query, spoiler, start)| {
            let path = if start.is_empty() { "/".to_owned() } else { format!("{start}{}", key.concat()) };
            let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
            format!("{path}{spoiler}{query}").into_bytes()
        },
    )
}

/// A host, and a few headers that S3 reads, mostly with values that they may have.
fn headers() -> impl Strategy<Value = HeaderMap> {
    const HOSTS: &[&str] =
        &["127.0.0.1", "[::1]:9000", "localhost", "object.ord1.penstock.localhost", VIRTUAL, WEBSITE];
    const WEBSITE: &str = "movies.website.las1.penstock.localhost";
    const VIRTUAL: &str = "Movies.accel-object.las1.penstock.localhost:80";
    const HEADERS: &[(&str, &str)] = &[
        ("content-length", "0"),
        ("content-length", "17"),
        ("transfer-encoding", "chunked"),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-type", "text/plain"),
        ("x-amz-copy-source", "/photos/a"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-decoded-content-length", "9"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-date", "20260102T030405Z"),
        ("x-amz-meta-a", "é"),
        ("range", "bytes=0-1"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request"),
        ("x-amz-request-route", "a"),
        ("x-amz-request-token", "a"),
    ];
    let known = proptest::collection::vec(proptest::sample::select(HEADERS), 0..3);
    let odd = proptest::option::weighted(0.1, (proptest::sample::select(HEADERS), any::<Vec<u8>>()));
    (proptest::sample::select(HOSTS), known, odd).prop_map(|(host, known, odd)| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static(host));
        for (name, value) in known {
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("header value"));
        }
        if let Some(((name, _), value)) = odd
            && let Ok(value) = HeaderValue::from_bytes(&value)
        {
            headers.append(name, value);
        }
        headers
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

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
        let _ = get("localhost", &target);
    }

    /// A key that is escaped by any client's rules comes out as it was.
    #[test]
    fn keys_round_trip(key in "\\PC{1,60}|[ -~]{1,60}|(/|\\.\\.|%2F|\\+|é){1,20}") {
        let resource = get("localhost", format!("/photos/{}", utf8_percent_encode(&key, ESCAPED)).as_bytes());
        prop_assert_eq!(resource, Ok(Resource::Object { bucket: "photos".to_owned(), key }));
    }

    /// The path's bucket and the host name's bucket lead to the same object.
    #[test]
    fn path_style_and_virtual_hosts_agree(path in "(/|a|\\.|%2[Ff]|%C3%A9|é|\\+|%25|\\(|=){1,30}") {
        let by_path = get("object.ord1.penstock.localhost", format!("/photos/{path}").as_bytes());
        let by_host = get("Photos.object.ord1.penstock.localhost.", format!("/{path}").as_bytes());
        prop_assert_eq!(by_path, by_host);
    }
}

/// What a GET of `target` at `host` is about; s3s reads it the same way.
fn get(host: &'static str, target: &[u8]) -> Result<Resource, String> {
    let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
    let parsed = parse(&topology(), &listener(), &Method::GET, target, &headers);
    let parsed = parsed.map_err(|refusal| refusal.to_string())?;
    assert_read_the_same(&parsed, &Method::GET, target, &headers);
    Ok(parsed.resource)
}
