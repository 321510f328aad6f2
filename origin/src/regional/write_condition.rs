//! The conditions of writes and deletes, decided inside the commit against the object as it is then.

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::asked::no_such_key;
use super::versions::Version;
use crate::head::Head;
use crate::read_request::{precondition_failed, seconds};

/// What has to be true of the object that a write replaces or deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WriteCondition {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    /// Reads both headers.
    ///
    /// # Errors
    /// `InvalidArgument` when one is neither `*` nor an entity tag.
    pub(super) fn parse(headers: &HeaderMap) -> S3Result<Self> {
        Ok(Self {
            if_match: condition(headers, &IF_MATCH)?,
            if_none_match: condition(headers, &IF_NONE_MATCH)?,
        })
    }

    /// Decides about `current`, the object that the write would replace; tags are compared strongly.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` when `If-Match` stands and there is no object at all.
    pub(super) fn decide(&self, current: Option<&Head>) -> S3Result<()> {
        match (&self.if_match, current) {
            (None, _) => {}
            (Some(_), None) => return Err(no_such_key()),
            (Some(condition), Some(head)) if matches(condition, head) => {}
            (Some(_), Some(_)) => return Err(precondition_failed()),
        }
        match (&self.if_none_match, current) {
            (Some(condition), Some(head)) if matches(condition, head) => Err(precondition_failed()),
            _ => Ok(()),
        }
    }
}

/// What has to be true of an object, or of a version of it, that a delete names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeleteCondition {
    tags: WriteCondition,
    bytes: Option<i64>,
    /// Seconds since 1970, as clients see them.
    modified_seconds: Option<i64>,
}

impl DeleteCondition {
    /// Reads the two headers of writes; `bytes` and `modified` are what s3s has read of the two that are for deletes.
    ///
    /// # Errors
    /// Those of [`WriteCondition::parse`].
    pub(super) fn parse(
        headers: &HeaderMap,
        bytes: Option<i64>,
        modified: Option<Timestamp>,
    ) -> S3Result<Self> {
        let tags = WriteCondition::parse(headers)?;
        Ok(Self { tags, bytes, modified_seconds: modified.map(seconds) })
    }

    /// The same of one key of many.
    pub(super) fn of_key(etag: Option<ETag>, bytes: Option<i64>, modified: Option<Timestamp>) -> Self {
        let tags = WriteCondition { if_match: etag.map(ETagCondition::ETag), if_none_match: None };
        Self { tags, bytes, modified_seconds: modified.map(seconds) }
    }

    /// Whether anything is expected of what is there.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Decides about what is there. What is not is deleted already, whatever was expected of it. A delete marker has no
    /// entity tag and no size.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub(super) fn decide(&self, found: Option<&Version>) -> S3Result<()> {
        let (holds, modified_millis) = match found {
            None => return Ok(()),
            Some(Version::Object(head)) => {
                self.tags.decide(Some(head))?;
                (self.bytes.is_none_or(|bytes| u64::try_from(bytes) == Ok(head.bytes)), head.modified_millis)
            }
            Some(Version::Marker(marker)) => {
                let names_bytes =
                    self.bytes.is_some() || matches!(self.tags.if_match, Some(ETagCondition::ETag(_)));
                (!names_bytes, marker.modified_millis)
            }
        };
        let modified = i64::try_from(modified_millis / 1000).ok();
        if holds && (self.modified_seconds.is_none() || self.modified_seconds == modified) {
            Ok(())
        } else {
            Err(precondition_failed())
        }
    }
}

fn matches(condition: &ETagCondition, head: &Head) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.as_strong() == Some(head.etag.as_str()),
    }
}

fn condition(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    match ETagCondition::parse_http_header(value.as_bytes()) {
        Ok(condition) => Ok(Some(condition)),
        Err(cause) => Err(s3_error!(cause, InvalidArgument, "invalid header: {name}: {value:?}")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::head::DeleteMarker;
    use crate::instance::Instance;

    fn head() -> Head {
        let id = Instance::from_bytes([1; 16]);
        Head { etag: "abc".to_owned(), ..Head::new(id, id) }
    }

    fn decide(headers: &[(HeaderName, &'static str)], current: Option<&Head>) -> Result<(), String> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let condition =
            WriteCondition::parse(&headers.collect()).map_err(|error| error.code().as_str().to_owned())?;
        condition.decide(current).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn conditions_are_about_the_object_as_it_is() {
        let there = head();
        let there = Some(&there);
        for (header, value, current, expected) in [
            (IF_MATCH, "\"abc\"", there, Ok(())),
            (IF_MATCH, "abc", there, Ok(())),
            (IF_MATCH, "*", there, Ok(())),
            (IF_MATCH, "\"abd\"", there, Err("PreconditionFailed")),
            (IF_MATCH, "W/\"abc\"", there, Err("PreconditionFailed")),
            (IF_MATCH, "\"abc\"", None, Err("NoSuchKey")),
            (IF_MATCH, "*", None, Err("NoSuchKey")),
            (IF_NONE_MATCH, "*", None, Ok(())),
            (IF_NONE_MATCH, "*", there, Err("PreconditionFailed")),
            (IF_NONE_MATCH, "\"abc\"", there, Err("PreconditionFailed")),
            (IF_NONE_MATCH, "\"abd\"", there, Ok(())),
            (IF_NONE_MATCH, "\"abc", there, Err("InvalidArgument")),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(decide(&[(header.clone(), value)], current), expected, "{header}: {value}");
        }
        assert_eq!(decide(&[], None), Ok(()));
        let both = [(IF_MATCH, "\"abc\""), (IF_NONE_MATCH, "*")];
        assert_eq!(decide(&both, there), Err("PreconditionFailed".to_owned()), "both have to hold");
    }

    #[test]
    fn a_delete_is_conditional_on_what_is_there_and_never_on_what_is_not() {
        let modified = |seconds: i64| {
            Some(Timestamp::from(time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time")))
        };
        let tag = |text: &str| Some(ETag::Strong(text.to_owned()));
        let head = Head { bytes: 3, modified_millis: 5_700, ..head() };
        let marker = DeleteMarker { version_id: None, modified_millis: 5_700, owner: None };
        let (object, marker) = (Version::Object(Box::new(head)), Version::Marker(marker));
        for (condition, of_object, of_marker) in [
            (DeleteCondition::default(), true, true),
            (DeleteCondition::of_key(tag("abc"), None, None), true, false),
            (DeleteCondition::of_key(tag("abd"), None, None), false, false),
            (DeleteCondition::of_key(None, Some(3), None), true, false),
            (DeleteCondition::of_key(None, Some(4), None), false, false),
            (DeleteCondition::of_key(None, Some(-3), None), false, false),
            (DeleteCondition::of_key(None, None, modified(5)), true, true),
            (DeleteCondition::of_key(None, None, modified(6)), false, false),
            (DeleteCondition::of_key(tag("abc"), Some(3), modified(5)), true, false),
            (DeleteCondition::of_key(tag("abc"), Some(3), modified(4)), false, false),
        ] {
            assert_eq!(condition.decide(Some(&object)).is_ok(), of_object, "{condition:?}");
            assert_eq!(condition.decide(Some(&marker)).is_ok(), of_marker, "{condition:?}");
            assert!(condition.decide(None).is_ok(), "{condition:?}");
        }
        let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static("*"))]);
        let any = DeleteCondition::parse(&headers, None, None).expect("a condition");
        assert!(any.decide(Some(&marker)).is_ok() && any.decide(Some(&object)).is_ok());
    }
}
