//! The place that a request has among those whose bytes are on their way into the store.

use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;

/// What a request holds for as long as the store takes its bytes in, or reads through those that it copies. It travels as an
/// extension of the request, and is left before the change waits for anybody: writers who wait for a reader far away keep
/// nobody from sending.
#[derive(Clone)]
pub struct Place(Arc<Mutex<Option<Box<dyn Send>>>>);

impl Place {
    /// Drops `held` once the bytes are in, or the request has ended.
    #[must_use]
    pub fn of(held: impl Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(held)))))
    }

    /// Leaves the place of the request that has these extensions, if it has one.
    pub(crate) fn leave(extensions: &Extensions) {
        if let Some(Self(held)) = extensions.get() {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}
