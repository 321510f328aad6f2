//! What an object read asks for, and what a head makes of it: one decision for the store and for caches.
//!
//! [`ReadRequest::parse`] reads the headers and query parameters of a GET or HEAD as strictly as s3s does,
//! [`decide`] weighs conditions, range and part number against a head, and [`object_headers`] gives the headers
//! of the answer. None of it does I/O, so a node that has a head can answer exactly as the owning store would.

mod conditions;
mod headers;
#[cfg(test)]
mod tests;

use std::ops::Range;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE, CONTENT_TYPE,
    EXPIRES, HeaderName, RANGE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::dto;
use s3s::header::{X_AMZ_CHECKSUM_MODE, X_AMZ_EXPECTED_BUCKET_OWNER};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use self::conditions::IfRange;
pub use self::conditions::{Conditions, EntityTags, Verdict};
pub(crate) use self::conditions::{OF_READS, precondition_failed, seconds};
pub(crate) use self::headers::http_date;
pub use self::headers::{insert_expiration, object_headers};
use crate::customer_key::CustomerKey;
use crate::encryption::Encryption;
use crate::head::{Checksums, DeleteMarker, Head};
use crate::version_id::NamedVersion;
use crate::wanted_encryption::refuse_choice;

/// The query parameters that replace a stored response header.
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-cache-control", CACHE_CONTROL),
    ("response-content-disposition", CONTENT_DISPOSITION),
    ("response-content-encoding", CONTENT_ENCODING),
    ("response-content-language", CONTENT_LANGUAGE),
    ("response-content-type", CONTENT_TYPE),
    ("response-expires", EXPIRES),
];

/// A GET or HEAD of an object, as far as it does not name the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRequest {
    conditions: Conditions,
    range: Option<dto::Range>,
    if_range: Option<IfRange>,
    part_number: Option<u32>,
    response_headers: HeaderMap,
    wants_checksums: bool,
    customer_key: Option<CustomerKey>,
    expected_bucket_owner: Option<String>,
}

impl ReadRequest {
    /// Whether it asks for one part of the object.
    pub(crate) fn names_part(&self) -> bool {
        self.part_number.is_some()
    }

    /// Reads the request's headers and its decoded query parameters. Names that do not belong to a read are
    /// passed over: which of them may be there at all is decided at admission.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that cannot be read (a date, entity tag, part number or version id),
    /// `InvalidRequest` for one that is there twice or for a range together with a part number; those of
    /// [`refuse_choice`] and [`CustomerKey::of_target`].
    pub fn parse<'q>(
        headers: &HeaderMap,
        query: impl IntoIterator<Item = (&'q str, &'q str)>,
    ) -> S3Result<Self> {
        refuse_choice(headers)?;
        let mut request = Self {
            conditions: Conditions::parse(headers, &OF_READS)?,
            range: requested_range(headers)?,
            if_range: IfRange::parse(headers)?,
            wants_checksums: wants_checksums(headers)?,
            customer_key: CustomerKey::of_target(headers)?,
            expected_bucket_owner: expected_bucket_owner(headers)?,
            ..Self::default()
        };
        request.parse_query(query)?;
        if request.range.is_some() && request.part_number.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        Ok(request)
    }

    /// The account that the client expects to own the bucket, for [`Facts::verify_owner`](crate::head::Facts::verify_owner).
    #[must_use]
    pub fn expected_bucket_owner(&self) -> Option<&str> {
        self.expected_bucket_owner.as_deref()
    }

    /// The key that the client encrypted the object with, as it says.
    pub(crate) fn customer_key(&self) -> Option<&CustomerKey> {
        self.customer_key.as_ref()
    }

    /// The `Range` header, as it was asked for.
    #[must_use]
    pub fn range(&self) -> Option<dto::Range> {
        self.range
    }

    fn parse_query<'q>(&mut self, query: impl IntoIterator<Item = (&'q str, &'q str)>) -> S3Result<()> {
        let mut has_version_id = false;
        for (name, value) in query {
            let already_there = match name {
                "partNumber" => self.part_number.replace(parse_part_number(value)?).is_some(),
                "versionId" => {
                    NamedVersion::parse(value)?;
                    std::mem::replace(&mut has_version_id, true)
                }
                _ => match OVERRIDES.iter().find(|(parameter, _)| *parameter == name) {
                    Some((_, header)) => {
                        self.response_headers.insert(header, override_value(header, value)?).is_some()
                    }
                    None => false,
                },
            };
            if already_there {
                return Err(s3_error!(InvalidRequest, "duplicate query: {name}"));
            }
        }
        Ok(())
    }
}

/// What to send of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    bytes: Range<u64>,
    is_partial: bool,
    parts_count: Option<u32>,
    part_index: Option<usize>,
}

impl Reading {
    /// The bytes to send: the whole object, a range or a part; empty only for an empty object or part.
    #[must_use]
    pub fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// Whether the answer is a 206 with a `Content-Range`.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// 200 or 206.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        if self.is_partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK }
    }

    /// The checksums that cover exactly the bytes sent: clients hold them against the body they receive.
    fn checksums<'h>(&self, head: &'h Head) -> Option<&'h Checksums> {
        match self.part_index {
            Some(index) => head.parts.get(index).map(|part| &part.checksums),
            None => (self.bytes == (0..head.bytes)).then_some(&head.checksums),
        }
    }
}

/// Decides what a read gets: the key of an object that its client keeps the key of first, then conditions, then the range or part (RFC 9110
/// §13.2.2).
///
/// # Errors
/// `InvalidRequest` and `AccessDenied` where the request does not bring the key of an encrypted object, or brings one of
/// another; `NotModified` (304, with validators) and `PreconditionFailed` by the conditions; `InvalidRange` when the
/// range starts at or past the end; `InvalidPart` when there is no such part.
pub fn decide(head: &Head, request: &ReadRequest) -> S3Result<Reading> {
    if head.encryption.as_ref().is_some_and(Encryption::is_by_client)
        && let Some(number) = request.part_number
    {
        // That there is no such part is said before anything of its key: the public suite asks so.
        part(head, number)?;
    }
    head.verify_key(request.customer_key())?;
    match request.conditions.evaluate(head) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Err(not_modified(head)),
        Verdict::Failed => return Err(precondition_failed()),
    }
    if let Some(number) = request.part_number {
        return part(head, number);
    }
    let range =
        request.range.filter(|_| request.if_range.as_ref().is_none_or(|condition| condition.holds(head)));
    match range {
        Some(range) => Ok(Reading {
            bytes: resolve_range(range, head.bytes)?,
            is_partial: true,
            parts_count: None,
            part_index: None,
        }),
        None => Ok(whole(head)),
    }
}

/// Resolves a range against an object of `object_bytes` bytes (RFC 9110 §14.1.2); a last byte past the end is
/// cut to the end.
///
/// # Errors
/// `InvalidRange` when no byte of the object is in the range; an empty object satisfies none.
pub fn resolve_range(range: dto::Range, object_bytes: u64) -> S3Result<Range<u64>> {
    match range.check(object_bytes) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => {
            let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
            if let Ok(unsatisfied) = HeaderValue::from_str(&format!("bytes */{object_bytes}")) {
                // s3s replaces the error's headers by these, the document's type among them.
                let headers = [
                    (CONTENT_RANGE, unsatisfied),
                    (CONTENT_TYPE, HeaderValue::from_static("application/xml")),
                ];
                error.set_headers(HeaderMap::from_iter(headers));
            }
            Err(error)
        }
    }
}

/// What a read, or any other request for an object that is there, is told when it is not: `version` as the request names
/// it, `marker` where a delete marker stands in the object's place.
#[must_use]
pub fn absent(version: Option<&str>, marker: Option<&DeleteMarker>) -> S3Error {
    let mut error = match (version, marker) {
        (None, _) => s3_error!(NoSuchKey, "The specified key does not exist."),
        (Some(_), None) => s3_error!(NoSuchVersion, "The specified version does not exist."),
        (Some(_), Some(_)) => {
            s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")
        }
    };
    if let Some(marker) = marker {
        let mut headers = headers::of_marker(marker);
        if version.is_some() {
            headers.extend(headers::of_marker_itself(marker));
        }
        // s3s replaces the error's headers by these, the document's type among them.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        error.set_headers(headers);
    }
    error
}

fn whole(head: &Head) -> Reading {
    Reading { bytes: 0..head.bytes, is_partial: false, parts_count: None, part_index: None }
}

/// An object put whole is its own part 1.
fn part(head: &Head, number: u32) -> S3Result<Reading> {
    if head.parts.is_empty() && number == 1 {
        return Ok(Reading { is_partial: head.bytes > 0, ..whole(head) });
    }
    let mut start = 0;
    for (index, part) in head.parts.iter().enumerate() {
        let end = start + part.bytes;
        if part.number == number {
            return Ok(Reading {
                bytes: start..end,
                is_partial: part.bytes > 0,
                parts_count: u32::try_from(head.parts.len()).ok(),
                part_index: Some(index),
            });
        }
        start = end;
    }
    Err(s3_error!(InvalidPart, "The requested part number is not satisfiable"))
}

fn not_modified(head: &Head) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    error.set_headers(headers::validators(head));
    error
}

/// The account that a request with these headers, for whatever operation, expects to own its bucket.
///
/// # Errors
/// `InvalidArgument` for what is no account, `InvalidRequest` when it is there twice: nothing is done for an owner that nobody
/// can read.
pub fn expected_bucket_owner(headers: &HeaderMap) -> S3Result<Option<String>> {
    text_header(headers, &X_AMZ_EXPECTED_BUCKET_OWNER)
}

/// A list of ranges, and what is no range at all, is ignored as S3 ignores it (RFC 9110 §14.2 allows it).
/// The range that a request with these headers asks for; `None` for none, or for what is no range.
///
/// # Errors
/// `InvalidRequest` when it is there twice.
pub fn requested_range(headers: &HeaderMap) -> S3Result<Option<dto::Range>> {
    let value = single_header(headers, &RANGE)?;
    Ok(value.and_then(|value| parse_range(value.to_str().ok()?)))
}

/// The range in `text`; `None` for what is none. A position past 63 bits, which s3s does not take, is as far past the
/// end of every object as the last one that it takes.
fn parse_range(text: &str) -> Option<dto::Range> {
    if let Ok(range) = dto::Range::parse(text) {
        return Some(range);
    }
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (first, last) {
        ("", length) => Some(dto::Range::Suffix { length: position(length)? }),
        (first, "") => Some(dto::Range::Int { first: position(first)?, last: None }),
        (first, last) => {
            let range = dto::Range::Int { first: position(first)?, last: Some(position(last)?) };
            (magnitude(first) <= magnitude(last)).then_some(range)
        }
    }
}

/// A decimal number, cut to 63 bits.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX).min(i64::MAX.cast_unsigned()))
}

/// Orders decimal numbers of any length.
fn magnitude(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

/// In any case of letters: the SDK for C++, with which pyarrow reads, says `enabled`.
fn wants_checksums(headers: &HeaderMap) -> S3Result<bool> {
    match single_header(headers, &X_AMZ_CHECKSUM_MODE)? {
        None => Ok(false),
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"ENABLED") => Ok(true),
        Some(value) => Err(invalid_header(&X_AMZ_CHECKSUM_MODE, value)),
    }
}

/// Refuses in s3s's words what s3s refuses before the store sees it: both paths say the same.
fn parse_part_number(text: &str) -> S3Result<u32> {
    let number: i32 =
        text.parse().map_err(|_| s3_error!(InvalidArgument, "invalid query: partNumber: {text}"))?;
    u32::try_from(number).ok().filter(|number| (1..=10_000).contains(number)).ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
    })
}

fn override_value(header: &HeaderName, value: &str) -> S3Result<HeaderValue> {
    HeaderValue::from_str(value)
        .map_err(|e| s3_error!(e, InvalidRequest, "invalid overridden header: {header}: {:?}", Some(value)))
}

fn text_header(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<String>> {
    let Some(value) = single_header(headers, name)? else { return Ok(None) };
    value.to_str().map(|text| Some(text.to_owned())).map_err(|_| invalid_header(name, value))
}

/// The header's value; an empty one counts as absent, as in s3s.
fn single_header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> S3Result<Option<&'h HeaderValue>> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(s3_error!(InvalidRequest, "duplicate header: {name}"));
    }
    Ok(first.filter(|value| !value.is_empty()))
}

fn invalid_header(name: &HeaderName, value: &HeaderValue) -> S3Error {
    s3_error!(InvalidArgument, "invalid header: {name}: {value:?}")
}
