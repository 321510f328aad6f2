//! Fields that become headers, and those that must not.

use http::HeaderName;

use super::*;
use crate::target::tests::form_to;
use crate::target::{Operation, Resource};

fn put(fields: &[(&str, &str)]) -> Result<Put, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let form = Form::of(fields.iter().map(owned).collect(), None).expect("each field once");
    let sent =
        [("user-agent", "Browser"), ("content-type", "multipart/form-data"), ("x-amz-acl", "public-read")];
    let sent = sent.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Put::of(&form, &form_to("photos"), &HeaderMap::from_iter(sent))
        .map_err(|refusal| refusal.code().as_str().to_owned())
}

fn header(fields: &[(&str, &str)], name: &str) -> Option<String> {
    let put = put(&[&[("key", "a")], fields].concat()).expect("a form");
    put.request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[test]
fn a_key_is_any_text() {
    for (key, path) in [
        ("a", "/photos/a"),
        ("/a//b/", "/photos//a//b/"),
        ("a b+c%41?d#e", "/photos/a%20b%2Bc%2541%3Fd%23e"),
        ("\u{e9}", "/photos/%C3%A9"),
        ("../x", "/photos/../x"),
    ] {
        let put = put(&[("key", key)]).expect(key);
        assert_eq!(put.request.uri().path(), path);
        let object = Resource::Object { bucket: "photos".into(), key: key.into() };
        assert_eq!((put.target.resource, put.target.operation), (object, Operation::PutObject));
    }
    assert_eq!(put(&[]).unwrap_err(), "InvalidArgument");
    assert_eq!(put(&[("key", "")]).unwrap_err(), "InvalidArgument");
    assert!(put(&[("key", &"k".repeat(1024))]).is_ok());
    assert_eq!(put(&[("key", &"k".repeat(1025))]).unwrap_err(), "KeyTooLongError");
}

#[test]
fn fields_are_the_headers_of_the_same_meaning() {
    for (field, header_name) in [
        ("acl", "x-amz-acl"),
        ("x-amz-acl", "x-amz-acl"),
        ("Content-Type", "content-type"),
        ("Cache-Control", "cache-control"),
        ("Expires", "expires"),
        ("x-amz-meta-Colour", "x-amz-meta-colour"),
        ("x-amz-storage-class", "x-amz-storage-class"),
        ("x-amz-checksum-sha256", "x-amz-checksum-sha256"),
        ("x-amz-server-side-encryption-customer-key", "x-amz-server-side-encryption-customer-key"),
        ("x-amz-grant-read", "x-amz-grant-read"),
    ] {
        assert_eq!(header(&[(field, "v")], header_name).as_deref(), Some("v"), "{field}");
    }
    assert_eq!(header(&[("x-amz-meta-colour", "\u{e9}")], "x-amz-meta-colour").as_deref(), Some("\u{e9}"));
}

/// The request's own headers are the form's, not the object's: nobody signed them.
#[test]
fn headers_of_the_request_say_nothing_of_the_object() {
    assert_eq!(header(&[], "user-agent").as_deref(), Some("Browser"));
    assert_eq!((header(&[], "content-type"), header(&[], "x-amz-acl")), (None, None));
}

#[test]
fn what_is_no_header_of_an_object_stays_out() {
    for field in
        ["authorization", "host", "if-match", "submit", "x-ignore-acl", "x-amz-signature", "policy", "range"]
    {
        assert_eq!(header(&[(field, "v")], field), None, "{field}");
    }
    for field in
        ["x-amz-copy-source", "x-amz-tagging", "x-amz-content-sha256", "x-amz-rename-source", "x-amz-mfa"]
    {
        assert_eq!(put(&[("key", "a"), (field, "v")]).unwrap_err(), "NotImplemented", "{field}");
    }
    for (field, value) in [("acl", "a\r\nb"), ("x-amz-meta-", "v\n"), ("x-amz-meta-\u{e9}", "v")] {
        assert_eq!(put(&[("key", "a"), (field, value)]).unwrap_err(), "InvalidArgument", "{field}");
    }
    assert_eq!(
        put(&[("key", "a"), ("acl", "private"), ("x-amz-acl", "private")]).unwrap_err(),
        "InvalidArgument"
    );
    assert_eq!(put(&[("key", "a"), ("bucket", "videos")]).unwrap_err(), "InvalidArgument");
    assert!(put(&[("key", "a"), ("bucket", "photos")]).is_ok());
    assert_eq!(put(&[("key", "a"), ("x-amz-meta-a", &"v".repeat(2048))]).unwrap_err(), "MetadataTooLarge");
}

#[test]
fn tags_are_the_header_that_says_the_same() {
    let document = |tags: &str| format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
    let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let two = document(&(tag("a&amp;b", "1=2") + &tag("c", "")));
    assert_eq!(header(&[("tagging", &two)], "x-amz-tagging").as_deref(), Some("a%26b=1%3D2&c="));
    assert_eq!(header(&[("tagging", &document(""))], "x-amz-tagging").as_deref(), Some(""));
    let unknown = document("<Label/>");
    for wrong in
        ["", "a=b", "<Tagging>", &unknown, &document("<Tag><Key>a</Key></Tag>"), &document("").repeat(2)]
    {
        assert_eq!(put(&[("key", "a"), ("tagging", wrong)]).unwrap_err(), "MalformedXML", "{wrong}");
    }
    let unread = document(&tag("a", "<![CDATA[b]]>"));
    assert_eq!(put(&[("key", "a"), ("tagging", &unread)]).unwrap_err(), "NotImplemented");
}
