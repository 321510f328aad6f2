//! Forms that are wrong in one thing: the policy, its signature, a field, the framing.

use std::time::{Duration, SystemTime};

use tests::form::Form;
use tests::sign::Keys;

use super::request::Raw;
use super::{Site, TRANSPORTS};

/// Larger than what a store keeps inline, so that a file is staged.
const FILE_BYTES: usize = 100_000;

#[tokio::test]
async fn forms_that_are_not_what_was_signed() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let keys = site.own().keys().clone();
        let unsigned = || Form::new("new", vec![b'n'; FILE_BYTES]);
        let with = |conditions: &str| unsigned().signed(&keys, "photos", conditions);
        let signed = || with("");
        let unknown = Keys { access_key: "AKIAUNKNOWNUNKNOWN00".into(), ..keys.clone() };
        let wrong = Keys { secret_key: "x".repeat(40), ..keys.clone() };
        let past = SystemTime::now() - Duration::from_secs(1);
        let cases = [
            ("nobody's", unsigned(), "403 AccessDenied"),
            ("an unknown key", unsigned().signed(&unknown, "photos", ""), "403 InvalidAccessKeyId"),
            ("a wrong secret", unsigned().signed(&wrong, "photos", ""), "403 SignatureDoesNotMatch"),
            ("another policy", signed().field("policy", "e30="), "403 SignatureDoesNotMatch"),
            ("expired", unsigned().signed_until(&keys, "photos", "", past), "403 AccessDenied"),
            ("another key", signed().field("key", "newer"), "403 AccessDenied"),
            ("another bucket's", unsigned().signed(&keys, "videos", ""), "403 AccessDenied"),
            ("a field more", signed().field("acl", "public-read"), "403 AccessDenied"),
            ("a field less", with(r#",["starts-with","$acl",""]"#), "403 AccessDenied"),
            ("too large", with(r#",["content-length-range",0,99999]"#), "400 EntityTooLarge"),
            ("too small", with(r#",["content-length-range",100001,200000]"#), "400 EntityTooSmall"),
            ("a condition of no kind", with(r#",["ends-with","$key","w"]"#), "400 InvalidPolicyDocument"),
            ("no JSON", with(","), "400 InvalidPolicyDocument"),
            ("a session token", signed().field("x-amz-security-token", "t"), "400 InvalidToken"),
            ("half of a signature", unsigned().field("policy", "e30="), "400 InvalidArgument"),
            ("signed twice", signed().field("AWSAccessKeyId", "AKIA"), "400 InvalidArgument"),
            (
                "a checksum of another file",
                signed().field("x-amz-checksum-crc32", "AAAAAA=="),
                "400 BadDigest",
            ),
            (
                "a copy",
                unsigned().field("x-amz-copy-source", "/photos/kept").signed(&keys, "photos", ""),
                "501 NotImplemented",
            ),
            (
                "tags that are none",
                unsigned().field("tagging", "a=b").signed(&keys, "photos", ""),
                "400 MalformedXML",
            ),
            ("no key", unsigned().field("key", "").signed(&keys, "photos", ""), "400 InvalidArgument"),
            ("no last boundary", signed().end(""), "400 MalformedPOSTRequest"),
            ("half a last boundary", signed().end("\r\n--edge"), "400 MalformedPOSTRequest"),
            ("another boundary", signed().end("\r\n--edgy--"), "400 MalformedPOSTRequest"),
        ];
        for (what, form, expected) in cases {
            site.refuses(what, &sent(&form, &keys), expected).await;
        }
        let no_form = sent(&signed(), &keys).body_as_sent("key=new&file=n");
        site.refuses("no form", &no_form, "400 MalformedPOSTRequest").await;
        let only_fields = sent(&signed(), &keys).body_as_sent(
            "--edge\r\nContent-Disposition: form-data; \
                                                               name=\"key\"\r\n\r\nnew\r\n--edge--\r\n",
        );
        site.refuses("no file", &only_fields, "400 InvalidArgument").await;
        site.answers("as it was signed", &sent(&with(r#",["content-length-range",1,100000]"#), &keys)).await;
        site.remove_new().await;
    }
}

/// The request that sends `form` to `photos`. Its head is not signed.
fn sent(form: &Form, keys: &Keys) -> Raw {
    Raw::new("POST", "/photos", keys.clone())
        .anonymous()
        .unsigned_header("content-type", Form::content_type())
        .body_as_sent(form.body())
}
