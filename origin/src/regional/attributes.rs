//! What a request says of the object it makes, beside the bytes: stored headers and user metadata.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderMap,
    HeaderName,
};
use s3s::dto::Metadata;
use s3s::header::{X_AMZ_STORAGE_CLASS, X_AMZ_WEBSITE_REDIRECT_LOCATION};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::head::StoredHeaders;

/// S3's limit on user metadata: the bytes of all names and values (Amazon S3 User Guide, "Working with object metadata").
const METADATA_BYTES_MAX: usize = 2048;

/// S3's limit on `x-amz-website-redirect-location`.
const REDIRECT_LOCATION_BYTES_MAX: usize = 2048;

/// The storage classes of S3. We have one, which is `STANDARD` to S3 and has a name of its own in each region.
const OTHER_STORAGE_CLASSES: [&str; 11] = [
    "DEEP_ARCHIVE",
    "EXPRESS_ONEZONE",
    "FSX_ONTAP",
    "FSX_OPENZFS",
    "GLACIER",
    "GLACIER_IR",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "OUTPOSTS",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
];

/// Stored headers and user metadata of an object to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) headers: StoredHeaders,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Attributes {
    /// Reads the headers of a request in `region`; `metadata` is what s3s has decoded of them.
    ///
    /// # Errors
    /// `MetadataTooLarge`; `InvalidStorageClass`, or `NotImplemented` for a class of S3 that is not `STANDARD`;
    /// `InvalidRedirectLocation`; `InvalidArgument` for a header that is not text.
    pub(super) fn parse(headers: &HeaderMap, metadata: Option<Metadata>, region: &str) -> S3Result<Self> {
        verify_storage_class(headers, region)?;
        let metadata: BTreeMap<_, _> = metadata.unwrap_or_default().into_iter().collect();
        let metadata_bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(s3_error!(
                MetadataTooLarge,
                "Your metadata headers exceed the maximum allowed metadata size"
            ));
        }
        let headers = StoredHeaders {
            cache_control: text(headers, &CACHE_CONTROL)?,
            content_disposition: text(headers, &CONTENT_DISPOSITION)?,
            content_encoding: text(headers, &CONTENT_ENCODING)?.and_then(without_aws_chunked),
            content_language: text(headers, &CONTENT_LANGUAGE)?,
            content_type: text(headers, &CONTENT_TYPE)?,
            expires: text(headers, &EXPIRES)?,
            website_redirect_location: redirect_location(headers)?,
            storage_class: None,
        };
        Ok(Self { headers, metadata })
    }
}

fn verify_storage_class(headers: &HeaderMap, region: &str) -> S3Result<()> {
    match text(headers, &X_AMZ_STORAGE_CLASS)?.as_deref() {
        None | Some("STANDARD") => Ok(()),
        Some(class) if class.strip_prefix("object-standard-") == Some(region) => Ok(()),
        Some(other) if OTHER_STORAGE_CLASSES.contains(&other) => {
            Err(s3_error!(NotImplemented, "The storage class {other} is not supported."))
        }
        Some(_) => Err(s3_error!(InvalidStorageClass, "The storage class you specified is not valid")),
    }
}

/// Where a website's visitors are sent from the object: to another key of the bucket, or to a URL.
fn redirect_location(headers: &HeaderMap) -> S3Result<Option<String>> {
    let location = text(headers, &X_AMZ_WEBSITE_REDIRECT_LOCATION)?;
    let refused = |message| {
        let mut error = S3Error::with_message(S3ErrorCode::Custom("InvalidRedirectLocation".into()), message);
        error.set_status_code(StatusCode::BAD_REQUEST);
        Err(error)
    };
    match &location {
        Some(location) if location.len() > REDIRECT_LOCATION_BYTES_MAX => {
            refused("The length of website redirect location cannot exceed 2,048 characters.")
        }
        Some(location) if !["/", "http://", "https://"].iter().any(|start| location.starts_with(start)) => {
            refused("The website redirect location must have a prefix of 'http://' or 'https://' or '/'.")
        }
        Some(_) | None => Ok(location),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<String>> {
    let Some(value) = headers.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    match value.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(s3_error!(InvalidArgument, "invalid header: {name}")),
    }
}

/// `aws-chunked` frames the request and is no coding of the object. What has none is kept to the letter.
fn without_aws_chunked(codings: String) -> Option<String> {
    let is_framing = |coding: &&str| coding.trim().eq_ignore_ascii_case("aws-chunked");
    if !codings.split(',').any(|coding| is_framing(&coding)) {
        return Some(codings);
    }
    let kept: Vec<_> = codings.split(',').filter(|coding| !is_framing(coding)).map(str::trim).collect();
    Some(kept.join(", ")).filter(|kept| !kept.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(headers: &[(HeaderName, &'static str)], metadata: &[(&str, String)]) -> S3Result<Attributes> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Attributes::parse(&headers, Some(metadata), "ord1")
    }

    fn code(result: S3Result<Attributes>) -> Option<S3ErrorCode> {
        result.err().map(|error| error.code().clone())
    }

    #[test]
    fn metadata_may_have_2048_bytes_and_not_one_more() {
        assert_eq!(code(parse(&[], &[("a", "x".repeat(1023)), ("b", "y".repeat(1023))])), None);
        assert_eq!(
            code(parse(&[], &[("a", "x".repeat(1023)), ("b", "y".repeat(1024))])),
            Some(S3ErrorCode::MetadataTooLarge)
        );
    }

    #[test]
    fn aws_chunked_is_not_stored() {
        for (sent, stored) in [
            ("aws-chunked", None),
            ("gzip, aws-chunked", Some("gzip")),
            ("AWS-Chunked,gzip , br", Some("gzip, br")),
            ("gzip,  br", Some("gzip,  br")),
        ] {
            let parsed = parse(&[(CONTENT_ENCODING, sent)], &[]).expect("well-formed");
            assert_eq!(parsed.headers.content_encoding.as_deref(), stored, "{sent}");
        }
    }

    #[test]
    fn a_redirect_leads_to_a_key_or_a_url() {
        let invalid = Some(S3ErrorCode::Custom("InvalidRedirectLocation".into()));
        let fits: &'static str = format!("/{}", "a".repeat(2047)).leak();
        for location in ["/", "/a b?c#d", "http://example.com", "https://example.com/a", fits] {
            let parsed = parse(&[(X_AMZ_WEBSITE_REDIRECT_LOCATION, location)], &[]).expect("well-formed");
            assert_eq!(parsed.headers.website_redirect_location.as_deref(), Some(location));
        }
        for location in [
            "other.html",
            "javascript:alert(1)",
            "ftp://example.com",
            "HTTP://a",
            &*format!("{fits}a").leak(),
        ] {
            assert_eq!(
                code(parse(&[(X_AMZ_WEBSITE_REDIRECT_LOCATION, location)], &[])),
                invalid,
                "{location}"
            );
        }
    }

    #[test]
    fn standard_is_the_one_storage_class() {
        assert_eq!(code(parse(&[(X_AMZ_STORAGE_CLASS, "STANDARD")], &[])), None);
        assert_eq!(code(parse(&[(X_AMZ_STORAGE_CLASS, "object-standard-ord1")], &[])), None);
        assert_eq!(code(parse(&[(X_AMZ_STORAGE_CLASS, "GLACIER")], &[])), Some(S3ErrorCode::NotImplemented));
        for class in ["standard", "object-standard-las1", "object-standard-", "object-standard-ord1x"] {
            let invalid = Some(S3ErrorCode::InvalidStorageClass);
            assert_eq!(code(parse(&[(X_AMZ_STORAGE_CLASS, class)], &[])), invalid, "{class}");
        }
    }
}
