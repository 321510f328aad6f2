//! What came after the body of an upload, where s3s was given the body without it.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

/// The trailers of an upload's body that was decoded before s3s saw it. They travel as an extension of its request, and
/// are there once the body has ended well.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Arc<Mutex<Option<HeaderMap>>>);

impl Trailers {
    /// Leaves `trailers` for the store; to be done before the body's end is told.
    pub fn set(&self, trailers: HeaderMap) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trailers);
    }

    /// The trailers, once.
    #[must_use]
    pub fn take(&self) -> Option<HeaderMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
