//! Each condition key out of a request, beside what it must not be taken from.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use origin::acl::Owner;
use origin::head::{Facts, Head};
use origin::instance::Instance;
use origin::permit::On;
use origin::policy::Lookup;
use time::macros::datetime;

use super::*;
use crate::target::parse;
use crate::target::tests::{listener, topology};

/// What a request says, and of what.
#[derive(Default)]
struct Said<'a> {
    target: &'a str,
    headers: &'a [(&'static str, &'static str)],
    client: Client,
    tags: &'a [(&'a str, &'a str)],
    body_tags: Option<&'a [(String, String)]>,
    version: Option<&'a str>,
    prefix: Option<&'a str>,
}

impl Said<'_> {
    fn values(&self, key: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1"));
        for (name, value) in self.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let path = if self.target.is_empty() { "/photos/a" } else { self.target };
        let target =
            parse(&topology(), &listener(), &Method::GET, path.as_bytes(), &headers).expect("admitted");
        let id = Instance::from_bytes([7; 16]);
        let facts =
            Facts::new(id, id, "research", Owner { id: "ab".repeat(32), display_name: String::new() });
        let mut head = Head::new(id, id);
        head.tags = self.tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let on = On::bucket("photos", &facts).object("a", self.version, Some(&head));
        let on = On { request_tags: self.body_tags, ..on };
        let now = datetime!(2026-11-22 18:00:00.987 UTC);
        let (query, client) = (&target.query, self.client);
        let request = RequestContext { region: "ord1", query, headers: &headers, client, now };
        let at = Circumstances { request, on: &on, prefix: self.prefix };
        at.values(key).into_iter().map(Cow::into_owned).collect()
    }
}

#[test]
fn the_time_is_the_one_that_is_handed_in() {
    assert_eq!(Said::default().values("aws:CurrentTime"), ["2026-11-22T18:00:00Z"]);
    assert_eq!(Said::default().values("aws:EpochTime"), ["1795370400"]);
}

#[test]
fn address_and_encryption_are_the_clients() {
    let client =
        |address: &str, is_tls| Client { address: Some(address.parse().expect("an address")), is_tls };
    let forged: &[_] = &[("x-forwarded-for", "192.0.2.9"), ("x-forwarded-proto", "https")];
    let said = Said { client: client("192.0.2.7", false), headers: forged, ..Said::default() };
    assert_eq!(said.values("aws:SourceIp"), ["192.0.2.7"]);
    assert_eq!(said.values("aws:SecureTransport"), ["false"]);
    let said = Said { client: client("::ffff:192.0.2.7", true), ..Said::default() };
    assert_eq!(said.values("aws:SourceIp"), ["192.0.2.7"]);
    assert_eq!(said.values("aws:SecureTransport"), ["true"]);
    let said = Said { client: client("2001:db8::7", true), ..Said::default() };
    assert_eq!(said.values("aws:SourceIp"), ["2001:db8::7"]);
    assert!(Said::default().values("aws:SourceIp").is_empty());
}

#[test]
fn headers_are_values_of_the_keys_of_their_names() {
    let headers: &[_] = &[
        ("referer", "http://www.example.com/"),
        ("user-agent", "curl/8"),
        ("x-amz-acl", "public-read"),
        ("x-amz-grant-full-control", "id=abc"),
        ("x-amz-metadata-directive", "COPY"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ];
    let said = Said { headers, ..Said::default() };
    assert_eq!(said.values("aws:Referer"), ["http://www.example.com/"]);
    assert_eq!(said.values("aws:UserAgent"), ["curl/8"]);
    for (name, value) in &headers[2..] {
        assert_eq!(said.values(&format!("s3:{name}")), [*value]);
        assert!(Said::default().values(&format!("s3:{name}")).is_empty(), "{name}");
    }
    // What is no key: another header's name, a key without its service, a key of another service.
    for key in ["s3:referer", "s3:user-agent", "x-amz-acl", "aws:x-amz-acl", "s3:x-amz-grant-read", "s3:"] {
        assert!(said.values(key).is_empty(), "{key}");
    }
}

#[test]
fn a_listing_is_known_by_its_query() {
    let said =
        Said { target: "/photos?list-type=2&prefix=a%2Fb+c&delimiter=%2F&max-keys=7", ..Said::default() };
    assert_eq!(said.values("s3:prefix"), ["a/b c"]);
    assert_eq!(said.values("s3:delimiter"), ["/"]);
    assert_eq!(said.values("s3:max-keys"), ["7"]);
    let empty = Said { target: "/photos?prefix=", ..Said::default() };
    assert_eq!(empty.values("s3:prefix"), [""]);
    let none = Said { target: "/photos", ..Said::default() };
    assert!(none.values("s3:prefix").is_empty() && none.values("s3:max-keys").is_empty());
    // The key of an object that is missing stands for the prefix that would have found it.
    assert_eq!(Said { prefix: Some("a"), ..Said::default() }.values("s3:prefix"), ["a"]);
}

#[test]
fn a_version_is_the_one_that_is_named() {
    assert_eq!(Said { version: Some("null"), ..Said::default() }.values("s3:VersionId"), ["null"]);
    assert!(Said::default().values("s3:VersionId").is_empty());
}

#[test]
fn a_copy_source_is_compared_as_it_is_meant() {
    for (header, expected) in [
        ("photos/public/a", "photos/public/a"),
        ("/photos/public/a", "photos/public/a"),
        ("photos%2Fpublic%2Fa", "photos/public/a"),
        ("/photos/a%20b?versionId=null", "photos/a b"),
        // A question mark that belongs to the key.
        ("photos/a%3FversionId=null", "photos/a?versionId=null"),
    ] {
        let headers: &[_] = &[("x-amz-copy-source", header)];
        // As a header alone: this is a GET, so that nothing is copied.
        assert_eq!(Said { headers, ..Said::default() }.values("s3:x-amz-copy-source"), [expected]);
    }
    assert!(Said::default().values("s3:x-amz-copy-source").is_empty());
}

#[test]
fn tags_come_from_the_header_unless_the_body_has_them() {
    let headers: &[_] = &[("x-amz-tagging", "class=public&a%20b=c+d&empty&Class=other")];
    let said = Said { headers, ..Said::default() };
    assert_eq!(said.values("s3:RequestObjectTag/class"), ["public"]);
    assert_eq!(said.values("s3:RequestObjectTag/a b"), ["c d"]);
    assert_eq!(said.values("s3:RequestObjectTag/empty"), [""]);
    assert_eq!(said.values("s3:RequestObjectTagKeys"), ["Class", "a b", "class", "empty"]);
    assert!(said.values("s3:RequestObjectTag/clas").is_empty());
    let body = [("class".to_owned(), "secret".to_owned())];
    let said = Said { headers, body_tags: Some(&body), ..Said::default() };
    assert_eq!(said.values("s3:RequestObjectTag/class"), ["secret"]);
    assert_eq!(said.values("s3:RequestObjectTagKeys"), ["class"]);
    assert!(Said::default().values("s3:RequestObjectTagKeys").is_empty());
}

/// The keys of conditions are compared without case; a tag of the very case goes first.
#[test]
fn tags_that_are_there_are_not_those_that_are_to_come() {
    let headers: &[_] = &[("x-amz-tagging", "class=requested")];
    let said = Said { headers, tags: &[("Class", "upper"), ("class", "existing")], ..Said::default() };
    assert_eq!(said.values("s3:ExistingObjectTag/class"), ["existing"]);
    assert_eq!(said.values("s3:ExistingObjectTag/Class"), ["upper"]);
    assert_eq!(said.values("s3:ExistingObjectTag/CLASS"), ["upper"]);
    assert_eq!(said.values("s3:RequestObjectTag/CLASS"), ["requested"]);
    assert!(said.values("s3:ExistingObjectTag/cla").is_empty());
    assert!(Said { headers, ..Said::default() }.values("s3:ExistingObjectTag/class").is_empty());
}
