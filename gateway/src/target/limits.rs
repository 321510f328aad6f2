//! How large a request's head may be, and which headers it may hold once only.

use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::S3ErrorCode;

use crate::refusal::Refusal;

/// Longest request target: a key of 1024 bytes escaped three times over, and the query of a presigned listing.
const TARGET_BYTES_MAX: usize = 16 * 1024;

/// All headers together, as S3 limits them.
const HEADERS_BYTES_MAX: usize = 8 * 1024;

/// Names and values of `x-amz-meta-*` together, as S3 limits them.
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// Headers that mean something to S3 and are not lists. s3s reads a repeated one as absent: a second `If-Match` would
/// switch the condition off. Every `x-amz-*` is one as well.
const SINGLE: [&str; 19] = [
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "expect",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "transfer-encoding",
];

/// Whether target and headers keep to the limits. `x-penstock-*` headers are added on the way between nodes and do not
/// count.
///
/// # Errors
/// `InvalidURI`, `RequestHeaderSectionTooLarge`, `MetadataTooLarge`; `InvalidRequest` for a repeated header, and for
/// one that S3 reads and that is not text.
pub(super) fn check(raw_target: &[u8], headers: &HeaderMap) -> Result<(), Refusal> {
    // A fragment or a control byte has no place in a target, and `http::Uri` would cut at the first.
    if raw_target.len() > TARGET_BYTES_MAX || raw_target.iter().any(|&b| b <= b' ' || b == b'#' || b == 0x7f)
    {
        return Err(S3ErrorCode::InvalidURI.into());
    }
    let counted = headers.iter().filter(|(name, _)| !name.as_str().starts_with("x-penstock-"));
    let headers_bytes: usize =
        counted.map(|(name, value)| name.as_str().len() + ": \r\n".len() + value.len()).sum();
    if headers_bytes > HEADERS_BYTES_MAX {
        return Err(Refusal::from(S3ErrorCode::RequestHeaderSectionTooLarge)
            .with_detail("MaxSizeAllowed", HEADERS_BYTES_MAX.to_string()));
    }
    check_metadata(headers)?;
    check_single(headers)
}

/// Whether the metadata among `headers` keeps to the limit.
///
/// # Errors
/// `MetadataTooLarge`.
pub(super) fn check_metadata<'a>(
    headers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Result<(), Refusal> {
    let bytes_of = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().strip_prefix("x-amz-meta-").map(|name| name.len() + value.len())
    };
    let metadata_bytes: usize = headers.into_iter().filter_map(bytes_of).sum();
    if metadata_bytes > METADATA_BYTES_MAX {
        return Err(Refusal::from(S3ErrorCode::MetadataTooLarge)
            .with_detail("Size", metadata_bytes.to_string())
            .with_detail("MaxSizeAllowed", METADATA_BYTES_MAX.to_string()));
    }
    Ok(())
}

fn check_single(headers: &HeaderMap) -> Result<(), Refusal> {
    let any_repeated = headers.len() > headers.keys_len();
    for (name, value) in headers {
        let known = name.as_str();
        if !known.starts_with("x-amz-") && SINGLE.binary_search(&known).is_err() {
            continue;
        }
        // s3s leaves what is not UTF-8 out of the signature, and then reads some of it all the same.
        let is_text = str::from_utf8(value.as_bytes()).is_ok();
        if !is_text || (any_repeated && headers.get_all(name).iter().nth(1).is_some()) {
            return Err(Refusal::new(S3ErrorCode::InvalidRequest, "A header is repeated, or is not text.")
                .with_detail("Header", known));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("header name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("header value"));
        }
        headers
    }

    fn code_of(headers: &HeaderMap) -> Option<String> {
        check(b"/", headers).err().map(|refusal| refusal.code().as_str().to_owned())
    }

    #[test]
    fn the_list_of_single_headers_is_sorted() {
        assert!(SINGLE.is_sorted(), "binary search needs it");
    }

    #[test]
    fn single_headers_come_once() {
        for name in SINGLE.iter().chain(&["x-amz-date", "x-amz-meta-colour", "x-amz-anything"]) {
            assert_eq!(code_of(&headers(&[(name, "a")])), None, "{name}");
            assert_eq!(
                code_of(&headers(&[(name, "a"), (name, "a")])).as_deref(),
                Some("InvalidRequest"),
                "{name}"
            );
        }
        assert_eq!(code_of(&headers(&[("accept", "a"), ("accept", "b")])), None);
    }

    #[test]
    fn header_sizes_are_limited_to_the_byte() {
        let fits = 8 * 1024 - "accept: \r\n".len();
        assert_eq!(code_of(&headers(&[("accept", &"a".repeat(fits))])), None);
        let over = headers(&[("accept", &"a".repeat(fits + 1))]);
        assert_eq!(code_of(&over).as_deref(), Some("RequestHeaderSectionTooLarge"));
        let between_nodes = headers(&[("accept", &"a".repeat(fits)), ("x-penstock-request-id", "1")]);
        assert_eq!(code_of(&between_nodes), None);
    }

    #[test]
    fn metadata_is_limited_to_the_byte() {
        let fits = 2 * 1024 - "colour".len();
        assert_eq!(code_of(&headers(&[("x-amz-meta-colour", &"a".repeat(fits))])), None);
        let over = headers(&[("x-amz-meta-colour", &"a".repeat(fits + 1))]);
        assert_eq!(code_of(&over).as_deref(), Some("MetadataTooLarge"));
    }

    #[test]
    fn headers_that_s3_reads_are_text() {
        let mut bytes = HeaderMap::new();
        bytes.insert("x-amz-meta-colour", HeaderValue::from_bytes(b"\xe9").expect("opaque value"));
        assert_eq!(code_of(&bytes).as_deref(), Some("InvalidRequest"));
        assert_eq!(code_of(&headers(&[("x-amz-meta-colour", "é")])), None);
    }

    #[test]
    fn targets_hold_no_fragment_and_no_control_bytes() {
        for target in [&b"/a#b"[..], b"/a b", b"/a\0", b"/a\x7f", &[b'/'; 16 * 1024 + 1]] {
            assert_eq!(
                check(target, &HeaderMap::new()).expect_err("refused").code(),
                &S3ErrorCode::InvalidURI
            );
        }
        assert!(check(&[b'/'; 16 * 1024], &HeaderMap::new()).is_ok());
    }
}
