//! What a writing request may carry that the store does not do yet: refused, never accepted and ignored.

use http::{HeaderMap, HeaderValue};
use s3s::{S3Result, s3_error};

/// Header names, or their beginnings, with the feature each belongs to.
const FEATURES: [(&str, &str); 9] = [
    ("x-amz-server-side-encryption", "Server-side encryption"),
    ("x-amz-copy-source-server-side-encryption", "Server-side encryption"),
    ("x-amz-tagging", "Tagging"),
    ("x-amz-grant-", "Access control by grants"),
    ("x-amz-object-lock-", "Object lock"),
    ("x-amz-bucket-object-lock-", "Object lock"),
    ("x-amz-bypass-governance-retention", "Object lock"),
    ("x-amz-mfa", "Deletion by multi-factor authentication"),
    ("x-amz-write-offset-bytes", "Appending to objects"),
];

/// S3's canned ACLs. Ours are all private.
const CANNED_ACLS: [&[u8]; 8] = [
    b"private",
    b"public-read",
    b"public-read-write",
    b"authenticated-read",
    b"aws-exec-read",
    b"bucket-owner-read",
    b"bucket-owner-full-control",
    b"log-delivery-write",
];

/// Values of these headers that ask for nothing more than what is done anyway.
const HARMLESS: [(&str, &str); 4] = [
    ("x-amz-acl", "private"),
    ("x-amz-tagging-directive", "COPY"),
    ("x-amz-object-ownership", "BucketOwnerEnforced"),
    ("x-amz-bucket-object-lock-enabled", "false"),
];

/// Refuses a request whose headers ask for something that would be ignored.
///
/// # Errors
/// `NotImplemented`, naming the feature; `InvalidArgument` for a canned ACL that S3 does not have either.
pub(super) fn refuse_unsupported(headers: &HeaderMap) -> S3Result<()> {
    for (name, value) in headers {
        let name = name.as_str();
        if is_harmless(name, value) {
            continue;
        }
        if name == "x-amz-acl" && !CANNED_ACLS.contains(&value.as_bytes()) {
            return Err(s3_error!(InvalidArgument, "invalid header: x-amz-acl: {value:?}"));
        }
        let feature = match name {
            "x-amz-acl" | "x-amz-object-ownership" => Some("Access control by lists"),
            _ => FEATURES
                .iter()
                .find(|(beginning, _)| name.starts_with(beginning))
                .map(|(_, feature)| *feature),
        };
        if let Some(feature) = feature {
            return Err(s3_error!(NotImplemented, "{feature} is not supported: {name}."));
        }
    }
    Ok(())
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
        refuse_unsupported(&headers).is_err()
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
            ("x-amz-write-offset-bytes", "0"),
        ] {
            assert!(refused(name, value), "{name}: {value}");
        }
    }

    #[test]
    fn what_asks_for_nothing_more_is_let_pass() {
        for (name, value) in [
            ("x-amz-acl", "private"),
            ("x-amz-tagging-directive", "COPY"),
            ("x-amz-object-ownership", "BucketOwnerEnforced"),
            ("x-amz-bucket-object-lock-enabled", "false"),
            ("x-amz-meta-x-amz-tagging", "a=b"),
            ("x-amz-date", "20261122T150000Z"),
        ] {
            assert!(!refused(name, value), "{name}: {value}");
        }
    }
}
