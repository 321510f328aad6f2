//! The parse as a whole: a table of requests with their verdicts, and properties that hold for any bytes.

mod corpus;
mod properties;
pub(crate) mod s3s_reading;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;

pub(crate) use super::dispatch::tests::examples;

pub(super) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn topology() -> Topology {
    let regions = [("ord1", "127.0.0.1:9003"), ("las1", "127.0.0.1:9013"), ("lga1", "127.0.0.1:9023")];
    Topology::new("penstock.localhost", "ord1", regions).expect("good topology")
}

pub(crate) fn listener() -> Listener {
    Listener { region: RegionName::parse("las1").expect("region name"), endpoint: EndpointKind::Accelerated }
}

/// Parses `METHOD target` with `headers`; a `host` of 127.0.0.1 is added when there is none. What is let pass is shown
/// to s3s as well, which must read it the same way.
fn parse_request(line: &str, headers: &[(&str, &str)]) -> Result<Target, Refusal> {
    let (method, raw_target) = line.split_once(' ').expect("method and target");
    let method = Method::from_bytes(method.as_bytes()).expect("method");
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("header name");
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("header value"));
    }
    map.entry("host").or_insert(HeaderValue::from_static("127.0.0.1"));
    let target = parse(&topology(), &listener(), &method, raw_target.as_bytes(), &map)?;
    assert_read_the_same(&target, &method, raw_target.as_bytes(), &map);
    Ok(target)
}

/// s3s sees the operation, bucket and key that `target` says, in every request that it can judge from the head alone:
/// not a signed one (these signatures are made up), not a form (in the body), not a preflight (it knows none). A website's
/// visitors it never sees, but requests that are made of theirs.
fn assert_read_the_same(target: &Target, method: &Method, raw_target: &[u8], headers: &HeaderMap) {
    if target.signature != SignatureForm::Anonymous || target.operation == Operation::PreflightRequest {
        return;
    }
    if target.endpoint == EndpointKind::Website {
        return;
    }
    let Some(read) = s3s_reading::read(method, raw_target, headers) else { return };
    let expected = s3s_reading::Seen {
        operation: s3s_reading::name_of(target.operation).to_owned(),
        bucket: target.bucket().map(str::to_owned),
        key: target.key().map(str::to_owned),
        access_key: None,
    };
    assert_eq!(read, Ok(expected), "{method} {}", raw_target.escape_ascii());
}

/// A browser's form for `bucket`.
pub(crate) fn form_to(bucket: &str) -> Target {
    let line = format!("POST /{bucket}");
    parse_request(&line, &[("content-type", "multipart/form-data; boundary=b")]).expect("a form")
}

/// `Operation bucket key`, or the code of the refusal.
pub(super) fn verdict(line: &str, headers: &[(&str, &str)]) -> String {
    match parse_request(line, headers) {
        Ok(target) => [Some(target.operation.as_str()), target.bucket(), target.key()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        Err(refusal) => refusal.code().as_str().to_owned(),
    }
}

/// An Authorization header that covers `signed_headers`.
pub(super) fn authorization(signed_headers: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request, \
         SignedHeaders={signed_headers}, Signature={HEX}"
    )
}

#[test]
fn the_host_decides_region_and_endpoint_and_an_address_leaves_them_to_the_listener() {
    let parsed = |host| parse_request("GET /photos/a", &[("host", host)]).expect("parsed");
    let by_name = parsed("object.ord1.penstock.localhost:9000");
    assert_eq!((by_name.region.as_str(), by_name.endpoint), ("ord1", EndpointKind::Standard));
    let by_address = parsed("127.0.0.1:9011");
    assert_eq!((by_address.region.as_str(), by_address.endpoint), ("las1", EndpointKind::Accelerated));
    let virtual_host = parsed("movies.accel-object.lga1.penstock.localhost");
    assert_eq!((virtual_host.region.as_str(), virtual_host.bucket()), ("lga1", Some("movies")));
    assert_eq!(virtual_host.key(), Some("photos/a"));
}

#[test]
fn a_signature_is_taken_apart() {
    let authorization = authorization("host;x-amz-content-sha256;x-amz-date");
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-amz-date", "20260102T030405Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ];
    let target = parse_request("GET /photos/a", &headers).expect("parsed");
    let SignatureForm::Header(signature) = target.signature else { panic!("a header signature") };
    assert_eq!(signature.access_key, "AKIDEXAMPLE");
    assert_eq!(signature.region, "us-east-1");
    assert_eq!(signature.signed_at.as_str(), "20260102T030405Z");
    assert_eq!(signature.signed_at.moment().unix_timestamp(), 1_767_323_045);
    assert_eq!(signature.signed_headers, ["host", "x-amz-content-sha256", "x-amz-date"]);
    assert_eq!((signature.hex.as_str(), target.payload), (HEX, Payload::Unsigned));
}

#[test]
fn a_target_prints_without_its_signature() {
    let presigned = format!(
        "GET /photos/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260102%2Ford1%2Fs3%2Faws4_request\
         &X-Amz-Date=20260102T030405Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature={HEX}"
    );
    let printed = format!("{:?}", parse_request(&presigned, &[]).expect("parsed"));
    assert!(printed.contains("AKID") && !printed.contains(HEX), "{printed}");
}

#[test]
fn headers_that_are_not_signed_are_named() {
    let authorization = authorization("host;x-amz-date");
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-amz-acl", "public-read"),
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", "20260102T030405Z"),
    ];
    let refusal = parse_request("PUT /photos", &headers).expect_err("refused");
    let subject = crate::refusal::Subject {
        method: &Method::PUT,
        resource: "/photos",
        request_id: "1",
        host_id: "las1",
    };
    let document = String::from_utf8(refusal.document(subject).body.to_vec()).expect("text");
    assert!(
        document.contains("<HeadersNotSigned>x-amz-acl, x-amz-content-sha256</HeadersNotSigned>"),
        "{document}"
    );
}

#[test]
fn dates_are_days_and_times_that_exist() {
    assert!(AmzDate::parse("20240229T235959Z").is_some());
    for text in [
        "",
        "20260102T030405",
        "20260102t030405z",
        "20261302T030405Z",
        "20260230T030405Z",
        "20260102T240405Z",
        "20260102T030460Z",
        "2026010 T030405Z",
        "+0260102T030405Z",
        "20260102T030405Zz",
        "２0260102T030405Z",
    ] {
        assert_eq!(AmzDate::parse(text), None, "{text}");
    }
}
