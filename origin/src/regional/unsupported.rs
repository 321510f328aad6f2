//! What a writing request may carry that the store does not do yet, or that its operation has no use for: refused,
//! never accepted and ignored.

use http::{HeaderMap, HeaderValue};
use s3s::{S3Result, s3_error};

use crate::wanted_encryption::no_choice;

/// Header names, or their beginnings, with the feature each belongs to.
const FEATURES: [(&str, &str); 12] = [
    ("x-amz-server-side-encryption", "Server-side encryption"),
    ("x-amz-copy-source-server-side-encryption", "Server-side encryption"),
    ("x-amz-tagging", "Tagging"),
    ("x-amz-acl", "Access control by lists"),
    ("x-amz-grant-", "Access control by lists"),
    ("x-amz-object-ownership", "Object ownership"),
    ("x-amz-bucket-namespace", "A namespace of an account's own"),
    ("x-amz-object-lock-", "Object lock"),
    ("x-amz-bucket-object-lock-", "Object lock"),
    ("x-amz-bypass-governance-retention", "Object lock"),
    ("x-amz-mfa", "Deletion by multi-factor authentication"),
    ("x-amz-write-offset-bytes", "Appending to objects"),
];

/// Headers, or their beginnings, that an operation reads itself.
pub(super) type Read = &'static [&'static str];

/// Of an operation that reads none of the features' headers.
pub(super) const READS_NONE: Read = &[];
/// Of an operation that makes a bucket.
pub(super) const MAKES_BUCKET: Read = &["x-amz-acl", "x-amz-grant-", "x-amz-object-ownership"];
/// Of an operation that makes an object.
pub(super) const MAKES_OBJECT: Read = &[
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-tagging",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-",
];
/// Of an operation that makes an object of another.
pub(super) const COPIES_OBJECT: Read = &[
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-",
    "x-amz-copy-source-server-side-encryption-customer-",
];
/// Of an operation on an object or an upload that a customer's key may belong to.
pub(super) const READS_KEY: Read = &["x-amz-server-side-encryption-customer-"];
/// Of an operation that makes a part of an object.
pub(super) const COPIES_PART: Read =
    &["x-amz-server-side-encryption-customer-", "x-amz-copy-source-server-side-encryption-customer-"];
/// Of an operation that sets a list.
pub(super) const SETS_ACL: Read = &["x-amz-acl", "x-amz-grant-"];

const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";

/// Values of these headers that ask for nothing more than what is done anyway. A bucket's key spares calls to AWS KMS, whose
/// keys are refused by the header that names them.
const HARMLESS: [(&str, &str); 6] = [
    ("x-amz-acl", "private"),
    ("x-amz-bucket-namespace", "global"),
    ("x-amz-tagging-directive", "COPY"),
    ("x-amz-bucket-object-lock-enabled", "false"),
    (BUCKET_KEY, "false"),
    (BUCKET_KEY, "true"),
];

/// Refuses a request whose headers ask for something that would be ignored by an operation that reads `read`.
///
/// # Errors
/// `NotImplemented`, naming the feature; `InvalidArgument` for a choice of encryption that no S3 has, or where nothing is
/// made.
pub(super) fn refuse_unsupported(headers: &HeaderMap, read: Read) -> S3Result<()> {
    verify_encryption(headers)?;
    for (name, value) in headers {
        let name = name.as_str();
        if is_harmless(name, value) || read.iter().any(|header| is_read(header, name)) {
            continue;
        }
        if name == "x-amz-server-side-encryption" {
            return Err(no_choice());
        }
        if let Some((_, feature)) = FEATURES.iter().find(|(beginning, _)| name.starts_with(beginning)) {
            return Err(s3_error!(NotImplemented, "{feature} is not supported here: {name}."));
        }
    }
    Ok(())
}

/// Holds the headers that say who encrypts against each other, as S3 does before it looks whether it can.
fn verify_encryption(headers: &HeaderMap) -> S3Result<()> {
    let Some(method) = headers.get("x-amz-server-side-encryption") else { return Ok(()) };
    let has = |beginning| headers.keys().any(|name| name.as_str().starts_with(beginning));
    let message = match method.as_bytes() {
        _ if has("x-amz-server-side-encryption-customer-") => {
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
        }
        b"AES256" if has("x-amz-server-side-encryption-aws-kms-key-id") => {
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
        }
        b"AES256" | b"aws:kms" | b"aws:kms:dsse" => return Ok(()),
        _ => "The encryption method specified is not supported",
    };
    Err(s3_error!(InvalidArgument, "{message}"))
}

/// A header that ends in a hyphen is the beginning of many.
fn is_read(header: &str, name: &str) -> bool {
    name == header || header.ends_with('-') && name.starts_with(header)
}

fn is_harmless(name: &str, value: &HeaderValue) -> bool {
    HARMLESS.iter().any(|(header, harmless)| *header == name && value.as_bytes() == harmless.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn refused(name: &'static str, value: &'static str) -> bool {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        refuse_unsupported(&headers, READS_NONE).is_err()
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for (name, value) in [
            ("x-amz-server-side-encryption", "AES256"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-copy-source-server-side-encryption-customer-key", "a2V5"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-tagging-directive", "REPLACE"),
            ("x-amz-acl", "public-read"),
            ("x-amz-grant-read", "id=\"x\""),
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-bucket-object-lock-enabled", "true"),
            ("x-amz-object-ownership", "ObjectWriter"),
            ("x-amz-bucket-namespace", "account-regional"),
            ("x-amz-write-offset-bytes", "0"),
            ("x-amz-server-side-encryption-bucket-key-enabled", "maybe"),
        ] {
            assert!(refused(name, value), "{name}: {value}");
        }
    }

    #[test]
    fn a_choice_of_encryption_that_contradicts_itself_is_no_feature() {
        let code = |method: &'static str, beside: Option<&'static str>| {
            let method =
                (HeaderName::from_static("x-amz-server-side-encryption"), HeaderValue::from_static(method));
            let beside =
                beside.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("value")));
            let headers = [method].into_iter().chain(beside).collect();
            let refused = refuse_unsupported(&headers, MAKES_OBJECT);
            refused.map_err(|refused| refused.code().as_str().to_owned())
        };
        let kms_key = Some("x-amz-server-side-encryption-aws-kms-key-id");
        let customer = Some("x-amz-server-side-encryption-customer-algorithm");
        for (method, beside, expected) in [
            ("aws:kms:dsse", kms_key, "NotImplemented"),
            ("AES256", kms_key, "InvalidArgument"),
            ("AES256", customer, "InvalidArgument"),
            ("aws:kms", customer, "InvalidArgument"),
            ("aes:kms", None, "InvalidArgument"),
            ("", None, "InvalidArgument"),
        ] {
            assert_eq!(code(method, beside), Err(expected.to_owned()), "{method} {beside:?}");
        }
        assert_eq!(code("AES256", None), Ok(()));
    }

    #[test]
    fn what_asks_for_nothing_more_is_let_pass() {
        for (name, value) in [
            ("x-amz-acl", "private"),
            ("x-amz-tagging-directive", "COPY"),
            ("x-amz-bucket-namespace", "global"),
            ("x-amz-bucket-object-lock-enabled", "false"),
            ("x-amz-server-side-encryption-bucket-key-enabled", "false"),
            ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
            ("x-amz-meta-x-amz-tagging", "a=b"),
            ("x-amz-date", "20261122T150000Z"),
        ] {
            assert!(!refused(name, value), "{name}: {value}");
        }
    }

    #[test]
    fn an_operation_is_given_what_it_reads_and_no_more() {
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-amz-acl"), HeaderValue::from_static("public-read")),
            (HeaderName::from_static("x-amz-tagging"), HeaderValue::from_static("a=b")),
        ]);
        assert!(refuse_unsupported(&headers, MAKES_OBJECT).is_ok());
        assert!(refuse_unsupported(&headers, SETS_ACL).is_err());
        assert!(refuse_unsupported(&headers, MAKES_BUCKET).is_err());
    }
}
