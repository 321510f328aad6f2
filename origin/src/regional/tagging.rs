//! Tags as requests bring them and answers show them.

use http::HeaderMap;
use s3s::dto::{Tag, TagSet};
use s3s::header::{X_AMZ_TAGGING, X_AMZ_TAGGING_DIRECTIVE};
use s3s::{S3Result, s3_error};

use crate::tags::{Tags, parse_header, verify};

/// The tags in a request's body.
///
/// # Errors
/// `MalformedXML` for a tag without a key or a value; those of [`verify`].
pub(super) fn from_body(tag_set: TagSet, tags_max: usize) -> S3Result<Tags> {
    let pair = |tag: Tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => Ok((key, value)),
        _ => Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        )),
    };
    verify(tag_set.into_iter().map(pair).collect::<S3Result<Vec<_>>>()?, tags_max)
}

/// The tags that the headers of a request give to the object that it makes.
///
/// # Errors
/// Those of [`parse_header`]; `InvalidArgument` for a header that is not text.
pub(super) fn of_headers(headers: &HeaderMap) -> S3Result<Tags> {
    let Some(value) = headers.get(X_AMZ_TAGGING) else { return Ok(Tags::new()) };
    let text = value.to_str().map_err(|_| s3_error!(InvalidArgument, "invalid header: x-amz-tagging"))?;
    parse_header(text)
}

/// The tags that a copy has in place of its source's; `None`: those of the source.
///
/// # Errors
/// `InvalidArgument` for an unknown directive; those of [`of_headers`].
pub(super) fn replaced_in_copy(headers: &HeaderMap) -> S3Result<Option<Tags>> {
    match headers.get(X_AMZ_TAGGING_DIRECTIVE).map(http::HeaderValue::as_bytes) {
        None | Some(b"" | b"COPY") => Ok(None),
        Some(b"REPLACE") => of_headers(headers).map(Some),
        Some(_) => Err(s3_error!(InvalidArgument, "Unknown tagging directive.")),
    }
}

/// Tags as answers show them.
pub(super) fn shown(tags: Tags) -> TagSet {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}
