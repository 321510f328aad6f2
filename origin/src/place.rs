//! The place that a request has among those whose bytes are on their way into the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use http::Extensions;
use s3s::S3Result;

/// What a request holds for as long as the store takes its bytes in, or reads through those that it copies. It travels as an
/// extension of the request, and is left before the change waits for anybody: writers who wait for a reader far away keep
/// nobody from sending.
#[derive(Clone)]
pub struct Place(Arc<Mutex<State>>);

enum State {
    /// The place of a copy, which is not waited for before the store has found that it may be made, and must read.
    Awaited(BoxFuture<'static, S3Result<Box<dyn Send>>>),
    Held(#[expect(dead_code, reason = "held to be dropped")] Box<dyn Send>),
    Left,
}

impl Place {
    /// Drops `held` once the bytes are in, or the request has ended.
    #[must_use]
    pub fn of(held: impl Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State::Held(Box::new(held)))))
    }

    /// The same of what comes of `waiting`, once the store is about to read.
    #[must_use]
    pub fn awaited<T: Send + 'static>(waiting: impl Future<Output = S3Result<T>> + Send + 'static) -> Self {
        let waiting = async move { waiting.await.map(|held| Box::new(held) as Box<dyn Send>) };
        Self(Arc::new(Mutex::new(State::Awaited(Box::pin(waiting)))))
    }

    /// Waits for the place of the request that has these extensions, if it has one to wait for.
    ///
    /// # Errors
    /// What is in the way of having one.
    pub(crate) async fn enter(extensions: &Extensions) -> S3Result<()> {
        let Some(place) = extensions.get::<Self>() else { return Ok(()) };
        let state = std::mem::replace(&mut *place.state(), State::Left);
        let waiting = match state {
            State::Awaited(waiting) => waiting,
            entered => {
                *place.state() = entered;
                return Ok(());
            }
        };
        let held = waiting.await?;
        *place.state() = State::Held(held);
        Ok(())
    }

    /// Leaves the place of the request that has these extensions, if it has entered one.
    pub(crate) fn leave(extensions: &Extensions) {
        let Some(place) = extensions.get::<Self>() else { return };
        let mut state = place.state();
        if matches!(*state, State::Held(_)) {
            *state = State::Left;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
