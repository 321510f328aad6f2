//! Why a question to another region has no answer.

use s3s::{S3Error, S3ErrorCode, s3_error};

/// Why there is no answer. All of these are the cluster's trouble, none the client's.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AskError {
    /// Too many questions are waiting already.
    #[error("too many questions are waiting for this region")]
    Busy,
    /// No connection, no answer in time, or one that broke off.
    #[error("region does not answer: {0}")]
    Unreachable(String),
    /// An answer that is not one: of another version, too large, or of another kind.
    #[error("region answers wrongly: {0}")]
    Malformed(String),
    /// A question that no batch has room for.
    #[error("a question of {0} bytes")]
    TooLong(usize),
}

impl From<AskError> for S3Error {
    /// 503 with `Retry-After`, whatever went wrong; the reason goes to the log.
    fn from(error: AskError) -> Self {
        let mut answer = match error {
            AskError::Busy => s3_error!(SlowDown, "Please reduce your request rate."),
            AskError::Unreachable(_) | AskError::Malformed(_) | AskError::TooLong(_) => {
                S3Error::with_message(
                    S3ErrorCode::ServiceUnavailable,
                    "The region that owns this is out of reach.",
                )
            }
        };
        answer.set_headers(http::HeaderMap::from_iter([(
            http::header::RETRY_AFTER,
            http::HeaderValue::from(1),
        )]));
        answer.set_source(Box::new(error));
        answer
    }
}
