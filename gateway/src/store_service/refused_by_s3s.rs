//! Reads with a `Range` that S3 ignores: a list of ranges, or what is no range at all (RFC 9110 §14.2 allows it); with one
//! of numbers past 63 bits, which S3 takes; with a date in one of the two old forms (RFC 9110 §5.6.7); and with a
//! `response-expires` that is no date, which S3 gives back as it came.
//!
//! s3s refuses them when it parses an operation's input. The header cannot be taken from the request before s3s sees it,
//! because a signature may cover it. So such a read is no operation to s3s but a route of ours, which it comes to after it
//! has checked the signature; the same door lets it in, and the same store answers, which reads a request's headers
//! itself, as the accelerated endpoint does.

use http::header::{IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use origin::read_request::expected_bucket_owner;
use s3s::dto::{GetObjectInput, HeadObjectInput, Range};
use s3s::{Body, S3, S3ErrorCode, S3Request, S3Response, S3Result};

use super::expires_as_sent::is_date;
use crate::target::{Operation, Target};

/// Whether a request for `target` with `headers` is such a read.
pub(super) fn is_match(target: &Target, headers: &HeaderMap) -> bool {
    let has = |name, is_refused: fn(&HeaderValue) -> bool| headers.get(name).is_some_and(is_refused);
    target.operation.is_object_read()
        && (target.query.get("response-expires").is_some_and(|value| !is_date(value))
            || has(RANGE, is_ignored)
            || has(IF_MODIFIED_SINCE, is_in_another_form)
            || has(IF_UNMODIFIED_SINCE, is_in_another_form))
}

/// Reads what `target` names from `store`.
pub(super) async fn call(
    store: &impl S3,
    target: &Target,
    request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let (Some(bucket), Some(key)) = (target.bucket(), target.key()) else {
        return Err(S3ErrorCode::InvalidRequest.into());
    };
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    let version_id = target.query.get("versionId").map(str::to_owned);
    let expected_bucket_owner = expected_bucket_owner(&request.headers)?;
    if target.operation == Operation::HeadObject {
        let input =
            HeadObjectInput { bucket, key, version_id, expected_bucket_owner, ..HeadObjectInput::default() };
        let answer = store.head_object(request.map_input(|_| input)).await?;
        return Ok(S3Response::with_headers(Body::empty(), answer.headers));
    }
    let input =
        GetObjectInput { bucket, key, version_id, expected_bucket_owner, ..GetObjectInput::default() };
    let answer = store.get_object(request.map_input(|_| input)).await?;
    let mut response =
        S3Response::with_headers(answer.output.body.map_or_else(Body::empty, Body::from), answer.headers);
    // A part has a range too.
    response.status = answer.output.content_range.map(|_| StatusCode::PARTIAL_CONTENT);
    Ok(response)
}

fn is_ignored(range: &HeaderValue) -> bool {
    !range.to_str().is_ok_and(|range| Range::parse(range).is_ok())
}

fn is_in_another_form(date: &HeaderValue) -> bool {
    !date.to_str().is_ok_and(is_date)
}
