//! Conditional requests (RFC 9110 §13): the preconditions of reads and of copy sources, in their one order.

use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETag, ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::{invalid_header, single_header};
use crate::head::Head;

/// What the four preconditions of a read, and of a rename's target, are called.
pub(crate) const OF_READS: [HeaderName; 4] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// The four preconditions a read may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`.
    pub if_match: Option<EntityTags>,
    /// `If-None-Match`.
    pub if_none_match: Option<EntityTags>,
    /// `If-Modified-Since`, in seconds since 1970.
    pub if_modified_since: Option<i64>,
    /// `If-Unmodified-Since`, in seconds since 1970.
    pub if_unmodified_since: Option<i64>,
}

/// The value of `If-Match` and `If-None-Match`: any object at all, or one of these entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`
    Any,
    /// One tag or a list of them.
    OneOf(Vec<ETag>),
}

/// What the preconditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them hold.
    Proceed,
    /// The client has the current object: 304 for a read, 412 for a copy.
    NotModified,
    /// The object is not the one the client asked for: 412.
    Failed,
}

impl Conditions {
    /// Reads the four headers of these names, as strictly as s3s reads those of reads.
    ///
    /// # Errors
    /// `InvalidArgument`, or `InvalidRequest` for a header that is there twice.
    pub(crate) fn parse(headers: &HeaderMap, names: &[HeaderName; 4]) -> S3Result<Self> {
        let [if_match, if_none_match, if_modified_since, if_unmodified_since] = names;
        Ok(Self {
            if_match: entity_tags(headers, if_match)?,
            if_none_match: entity_tags(headers, if_none_match)?,
            if_modified_since: http_date(headers, if_modified_since)?,
            if_unmodified_since: http_date(headers, if_unmodified_since)?,
        })
    }

    /// Decides in the order of RFC 9110 §13.2.2: an entity tag silences the date beside it.
    #[must_use]
    pub fn evaluate(&self, head: &Head) -> Verdict {
        let modified = modified_seconds(head);
        let current = match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => tags.strong_match(&head.etag),
            (None, Some(since)) => modified <= since,
            (None, None) => true,
        };
        if !current {
            return Verdict::Failed;
        }
        let changed = match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => !tags.weak_match(&head.etag),
            (None, Some(since)) => modified > since,
            (None, None) => true,
        };
        if changed { Verdict::Proceed } else { Verdict::NotModified }
    }
}

impl EntityTags {
    fn strong_match(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|tag| tag.as_strong() == Some(etag)),
        }
    }

    fn weak_match(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|tag| tag.value() == etag),
        }
    }

    /// s3s takes a list for one tag with quotes inside: `"a", "b"`. A quote cannot be part of a tag
    /// (RFC 9110 §8.8.3), so the list can be told and taken apart.
    fn parse(value: &HeaderValue) -> Option<Self> {
        match ETagCondition::parse_http_header(value.as_bytes()).ok()? {
            ETagCondition::Any => Some(Self::Any),
            ETagCondition::ETag(tag) if !tag.value().contains('"') => Some(Self::OneOf(vec![tag])),
            ETagCondition::ETag(_) => {
                let list = value.to_str().ok()?.split(',').map(str::trim);
                let tags = list.map(|tag| {
                    ETag::parse_http_header(tag.as_bytes()).ok().filter(|tag| !tag.value().contains('"'))
                });
                Some(Self::OneOf(tags.collect::<Option<_>>()?))
            }
        }
    }
}

impl From<ETagCondition> for EntityTags {
    fn from(condition: ETagCondition) -> Self {
        match condition {
            ETagCondition::Any => Self::Any,
            ETagCondition::ETag(tag) => Self::OneOf(vec![tag]),
        }
    }
}

/// `If-Range`: the range counts only while the object is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfRange {
    Tag(ETag),
    Date(i64),
    /// Not readable, so it names no object.
    Nothing,
}

impl IfRange {
    pub(super) fn parse(headers: &HeaderMap) -> S3Result<Option<Self>> {
        let Some(value) = single_header(headers, &IF_RANGE)? else { return Ok(None) };
        let quoted = value.as_bytes().ends_with(b"\"");
        let parsed = if quoted {
            ETag::parse_http_header(value.as_bytes()).ok().map(Self::Tag)
        } else {
            value.to_str().ok().and_then(parse_http_date).map(Self::Date)
        };
        Ok(Some(parsed.unwrap_or(Self::Nothing)))
    }

    /// Strong comparison for a tag, equality for a date (RFC 9110 §13.1.5).
    pub(super) fn holds(&self, head: &Head) -> bool {
        match self {
            Self::Tag(tag) => tag.as_strong() == Some(head.etag.as_str()),
            Self::Date(date) => *date == modified_seconds(head),
            Self::Nothing => false,
        }
    }
}

/// A DTO's timestamp in whole seconds since 1970, as `Last-Modified` shows them.
pub(crate) fn seconds(timestamp: Timestamp) -> i64 {
    OffsetDateTime::from(timestamp).unix_timestamp()
}

fn modified_seconds(head: &Head) -> i64 {
    i64::try_from(head.modified_millis / 1000).unwrap_or(i64::MAX)
}

fn entity_tags(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<EntityTags>> {
    let Some(value) = single_header(headers, name)? else { return Ok(None) };
    EntityTags::parse(value).map(Some).ok_or_else(|| invalid_header(name, value))
}

fn http_date(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<i64>> {
    let Some(value) = single_header(headers, name)? else { return Ok(None) };
    let date = value.to_str().ok().and_then(parse_http_date);
    date.map(Some).ok_or_else(|| invalid_header(name, value))
}

/// A date in any of HTTP's three forms (RFC 9110 §5.6.7).
fn parse_http_date(text: &str) -> Option<i64> {
    let fixed = Timestamp::parse(TimestampFormat::HttpDate, text).ok().map(seconds);
    fixed.or_else(|| rfc_850_date(text)).or_else(|| asctime_date(text))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. A year of two digits is one of 1970 to 2069, as POSIX has it.
fn rfc_850_date(text: &str) -> Option<i64> {
    let (_, date) = text.split_once(", ")?;
    let (day_and_month, year, time) = (date.get(..7)?, date.get(7..9)?, date.get(9..)?);
    let century = if year < "70" { "20" } else { "19" };
    let format = format_description!("[day]-[month repr:short]-[year] [hour]:[minute]:[second] GMT");
    let date = PrimitiveDateTime::parse(&format!("{day_and_month}{century}{year}{time}"), format).ok()?;
    Some(date.assume_utc().unix_timestamp())
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime_date(text: &str) -> Option<i64> {
    let format = format_description!(
        "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"
    );
    PrimitiveDateTime::parse(text, format).ok().map(|date| date.assume_utc().unix_timestamp())
}

/// The error of a write or a copy whose conditions do not hold; reads that fail name the header too.
pub(crate) fn precondition_failed() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}
