//! `If-Match` and `If-None-Match` of writes, decided inside the commit against the object as it is then.

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::ETagCondition;
use s3s::{S3Result, s3_error};

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
            (Some(_), None) => return Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
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
