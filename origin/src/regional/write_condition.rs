//! `If-Match` and `If-None-Match` of writes, decided inside the commit against the object as it is then.

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::ETagCondition;
use s3s::{S3Result, s3_error};

use super::asked::no_such_key;
use crate::head::Head;
use crate::read_request::precondition_failed;

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

    /// The condition `If-Match` alone, as `DeleteObjects` has it for each key.
    pub(super) fn if_match(condition: Option<ETagCondition>) -> Self {
        Self { if_match: condition, if_none_match: None }
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
}
