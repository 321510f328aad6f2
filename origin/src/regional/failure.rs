//! Why the store itself could not do what a request asked: its one private error.

use std::io;

use s3s::{S3Error, S3ErrorCode, s3_error};

/// A failure of the disk or of what is written on it; never a client's mistake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What the disk returned is not what was written.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// The disk refused.
    #[error("disk: {0}")]
    Io(#[from] io::Error),
    /// The metadata file failed earlier and is being opened again.
    #[error("the metadata file is not open")]
    NotOpen,
    /// The store is closed for good: nothing is wrong with it.
    #[error("the store is closed")]
    Closed,
}

impl Failure {
    /// The same failure for another waiter: an [`io::Error`] cannot be cloned.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            Self::Io(cause) => Self::Io(io::Error::new(cause.kind(), cause.to_string())),
            Self::NotOpen => Self::NotOpen,
            Self::Closed => Self::Closed,
        }
    }

    /// The failure behind an answer. A change that panicked has none: what it stands on is damaged.
    pub(super) fn behind(answer: &S3Error) -> Self {
        match answer.source().and_then(|cause| cause.downcast_ref::<Self>()) {
            Some(failure) => failure.again(),
            None => Self::Corrupt(answer.to_string()),
        }
    }

    /// Whether the disk has no room.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Io(cause) => {
                matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Corrupt(_) | Self::NotOpen | Self::Closed => false,
        }
    }

    /// What the client sees, without a line in the log.
    pub(super) fn into_answer(self) -> S3Error {
        let mut error = match &self {
            full if full.is_full() => {
                s3_error!(ServiceUnavailable, "The store has no room for this write.")
            }
            Self::NotOpen | Self::Closed => {
                s3_error!(ServiceUnavailable, "The store is not ready. Please try again.")
            }
            Self::Io(_) | Self::Corrupt(_) => S3Error::new(S3ErrorCode::InternalError),
        };
        error.set_source(Box::new(self));
        error
    }
}

impl From<Failure> for S3Error {
    /// What the client sees. Logged here: once s3s has rendered the error its cause is lost.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed => tracing::debug!(%failure, "too late"),
            Failure::Corrupt(_) | Failure::Io(_) | Failure::NotOpen => {
                tracing::error!(%failure, "the store failed");
            }
        }
        failure.into_answer()
    }
}
