//! Cuts off an HTTP/2 request whose client stopped in the middle of its body while it was being forwarded.
//!
//! pingora reads a forwarded body itself, and its read timeout is for HTTP/1 alone. So an HTTP/2 request is watched
//! from outside: once its deadline has passed it is dropped whole, and with it its connection to the owner. The
//! stream is reset, with `CANCEL`, or with `NO_ERROR` after a whole response, which stays good then (RFC 9113 §8.1).
//! Connections of HTTP/1 carry one request at a time and need none of this.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Node, Proxy, Role};
use crate::client::Client;
use crate::listen::{Answering, TurnedAway};
use crate::refusal::Refusal;

/// What stands behind one listener, watched.
pub struct Application {
    proxy: Arc<HttpProxy<Proxy>>,
    node: Arc<Node>,
    role: Role,
}

impl Application {
    /// Watches the requests of `proxy`, which is of `node` and stands behind a listener for `role`.
    pub(super) fn new(proxy: HttpProxy<Proxy>, node: Arc<Node>, role: Role) -> Self {
        Self { proxy: Arc::new(proxy), node, role }
    }
}

#[async_trait]
impl Answering for Application {
    async fn turn_away(&self, connection: Client, refusal: Refusal) -> TurnedAway {
        match &self.role {
            Role::Public(listener) => self.node.turn_away(listener.endpoint, connection, refusal).await,
            // Not a request of a client that another node forwards: those can be read.
            Role::Peer => TurnedAway::unnoted(refusal),
        }
    }
}

#[async_trait]
impl HttpServerApp for Application {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        stop: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if session.as_http2().is_none() {
            return self.proxy.process_new_http(session, stop).await;
        }
        let deadline = Arc::new(Deadline::default());
        tokio::select! {
            biased;
            reusable = OWN.scope(deadline.clone(), self.proxy.process_new_http(session, stop)) => reusable,
            () = deadline.passed() => None,
        }
    }
}

tokio::task_local! {
    /// The deadline of the request that is being served: pingora's head has no room for anything of ours.
    static OWN: Arc<Deadline>;
}

/// When a request is cut off; at first never.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    at: Mutex<Option<Instant>>,
    sooner: Notify,
}

impl Deadline {
    /// The deadline of the request that is being served here, if it is watched.
    pub(super) fn own() -> Option<Arc<Self>> {
        OWN.try_with(Arc::clone).ok()
    }

    /// Sets the deadline, or lifts it.
    pub(super) fn set(&self, at: Option<Instant>) {
        let before = std::mem::replace(&mut *self.lock(), at);
        // Whoever sleeps until a time that was put off looks again when it wakes: a body's every piece puts it off.
        if at.is_some_and(|at| before.is_none_or(|before| at < before)) {
            self.sooner.notify_one();
        }
    }

    /// Whether the deadline has passed.
    pub(super) fn is_past(&self) -> bool {
        self.lock().is_some_and(|at| at <= Instant::now())
    }

    /// Returns once the deadline has passed.
    async fn passed(&self) {
        loop {
            let at = *self.lock();
            match at {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::select! { () = sleep_until(at) => {}, () = self.sooner.notified() => {} },
                None => self.sooner.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // A time cannot be half-written.
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Brought forward while somebody waits for a later one, it wakes them; lifted or put off, it does not pass.
    #[tokio::test]
    async fn a_deadline_that_is_moved_counts_where_it_is() {
        let deadline = Deadline::default();
        let now = Instant::now();
        assert_eq!(deadline.passed().now_or_never(), None, "never, at first");
        deadline.set(Some(now));
        deadline.set(Some(now + HOUR));
        assert_eq!(deadline.passed().now_or_never(), None, "put off");
        deadline.set(Some(now));
        deadline.set(None);
        assert_eq!(deadline.passed().now_or_never(), None, "lifted");

        deadline.set(Some(now + HOUR));
        let waiting = deadline.passed();
        tokio::pin!(waiting);
        assert_eq!((&mut waiting).now_or_never(), None);
        deadline.set(Some(now));
        waiting.await;
    }
}
