//! Refusals: whatever a client may see go wrong, and the S3 error document that says so.
//!
//! An operation that reaches a store is refused with `S3Error`, and s3s writes the document. What is refused before
//! s3s sees the request, or on a path that s3s has no part in, is a [`Refusal`]: the same error with the elements and
//! headers that S3 adds to some codes. Both leave this node in one shape, [`Refusal::document`]'s: Code, Message, the
//! code's own elements, Resource, RequestId, HostId. [`read_document`] takes s3s's documents back in, so that the one
//! writer here completes them too. Visitors of websites are told the same by an HTML page, [`Refusal::page`]'s.

mod document;
mod message;
mod page;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode};

pub use document::{Document, Subject, read_document};

/// Why a request is refused: an S3 error with the elements and headers that go with it.
#[derive(Debug)]
pub struct Refusal {
    error: S3Error,
    extra: Box<Extra>,
}

/// What goes into the response beside the error; boxed, because a refusal is returned through every layer.
#[derive(Debug, Default)]
struct Extra {
    elements: Vec<(Cow<'static, str>, String)>,
    headers: HeaderMap,
    /// Why a website's own page about this could not be shown.
    own_page: Option<Refusal>,
}

impl Refusal {
    /// A refusal with S3's `code` and a message for the client, which names no machine, file or secret.
    pub fn new(code: S3ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        S3Error::with_message(code, message).into()
    }

    /// 503 `SlowDown`: a limit of this node is reached; the client may come again after `retry_after`.
    #[must_use]
    pub fn slow_down(retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs().max(1);
        Self::from(S3ErrorCode::SlowDown).with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// `XAmzContentSHA256Mismatch` (400): the body's hash, in hex, is `computed` and not the one that was signed.
    #[must_use]
    pub fn content_sha256_mismatch(computed: &str) -> Self {
        let mut error = S3Error::new(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()));
        error.set_status_code(StatusCode::BAD_REQUEST);
        Self::from(error).with_detail("S3ComputedContentSHA256", computed)
    }

    /// The same refusal with one more element in its document, such as `HeadersNotSigned`.
    #[must_use]
    pub fn with_detail(mut self, element: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        self.extra.elements.push((element.into(), text.into()));
        self
    }

    /// The same refusal with one more response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.extra.headers.insert(name, value);
        self
    }

    /// S3's code.
    #[must_use]
    pub fn code(&self) -> &S3ErrorCode {
        self.error.code()
    }

    /// The HTTP status; 500 for a code that S3 gives none.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.error.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What its response says in headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.extra.headers
    }

    /// The message for the client, never empty: aws-cli fails on an error document without one.
    #[must_use]
    pub fn message(&self) -> &str {
        match self.error.message() {
            Some(message) if !message.is_empty() => message,
            _ => message::of_code(self.error.code()),
        }
    }

    /// The S3 error itself, for an interface that takes nothing else; extra elements are lost.
    #[must_use]
    pub fn into_s3_error(mut self) -> S3Error {
        if !self.extra.headers.is_empty() {
            self.error.set_headers(self.extra.headers);
        }
        self.error
    }
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        let headers = error.headers().cloned().unwrap_or_default();
        Self { error, extra: Box::new(Extra { headers, ..Extra::default() }) }
    }
}

impl From<S3ErrorCode> for Refusal {
    fn from(code: S3ErrorCode) -> Self {
        S3Error::new(code).into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code().as_str(), self.message())
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source().map(|source| source as &(dyn Error + 'static))
    }
}
