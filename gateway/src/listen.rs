//! Listeners: sockets bound before anything else starts, connections bounded in number and in time, a drain that ends.
//!
//! pingora's own `Server` is not used, only what it is made of: its sessions, its TLS acceptor, its proxy. It would
//! retry a busy port for half a minute and then panic, give every listener threads of its own, sleep through the
//! whole grace period however few transfers are left, and restart a request's header timeout at every byte.
//! Here all listeners share the caller's runtime, and [`Front::drain`] returns when the last transfer is done.
//!
//! Order of events: [`Bound::bind`] every address, then open stores and caches, then [`Front::serve`] each of them,
//! and on SIGTERM [`Front::drain`].

mod absolute;
mod buffered;
mod connection;
mod early;
mod head;
mod http1;
mod http2;
mod stall;
mod tls;
mod turn;
mod turned_away;
mod windows;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use pingora::listeners::ALPN;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::connection::Connection;
pub use self::early::LENT_BYTES_MAX;
use self::early::{Connections, Early};
use self::tls::{Offer, Tls};
pub use self::turn::LINGER;
use self::turn::Turn;
pub use self::turned_away::{Answering, TurnedAway};
pub(crate) use self::windows::TAKEN_BY_BYTE;
pub use self::windows::Windows;
use crate::metrics::{DropReason, Metrics};

/// Connections that the kernel completes for us before we accept them.
const BACKLOG: u32 = 4096;

/// How long accepting pauses when it fails: out of file descriptors, usually, which others have to give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may take before a request on it is complete, and while it takes no answer.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once on all listeners of one [`Front`]; one more takes the place of the one that has waited
    /// longest for a request, and is closed at once where all others have one. Default 1376.
    pub connections_max: usize,
    /// From accept to the end of the TLS handshake, or of HTTP/2's preface. Default 10 s.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its header block, however its bytes trickle in. Default 20 s.
    pub head_timeout: Duration,
    /// Bytes in a request's line and headers together. Default 32 KiB: S3 allows 8 KiB of headers, presigned
    /// queries and proxies add to it.
    pub head_bytes_max: usize,
    /// How long a connection may wait for its next request. Default 60 s.
    pub idle_timeout: Duration,
    /// How long nothing of what is written to a connection may leave it, whoever writes. Default 96 s: longer than
    /// any piece of an answer may take, which is told as what it is.
    pub stalled_write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1376,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(20),
            head_bytes_max: 32 * 1024,
            idle_timeout: Duration::from_secs(60),
            stalled_write: Duration::from_secs(96),
        }
    }
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}: {}", reason(.source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

fn reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no network interface has this address".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted (ports below 1024 need a privilege)".to_owned(),
        _ => source.to_string(),
    }
}

/// An address that is ours: bound, listening, and not yet answered.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds `address`; port 0 takes a free one. Runs in a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`], one line for the operator, when the port is taken or not ours to take.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listening = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A restart must not wait for the old process's closed connections to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let socket = listening().map_err(|source| BindError { address, source })?;
        let address = socket.local_addr().map_err(|source| BindError { address, source })?;
        Ok(Self { socket, address })
    }

    /// The address clients reach, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// How bytes travel on a listener.
#[derive(Clone)]
pub enum Transport {
    /// HTTP/1.1 over TCP.
    Plain,
    /// HTTP/1.1 or HTTP/2 over TLS, as [`Transport::tls`] has it.
    Tls(Arc<Tls>),
    /// HTTP/1.1 over TLS, or one of these protocols that are not HTTP, where the client asks for it.
    TlsBeside(Arc<Acceptor>, Arc<[Arc<dyn OtherProtocol>]>),
}

impl Transport {
    /// HTTP/1.1 or HTTP/2 over TLS, as the client and the ALPN of `config` agree. A connection for which `windows` has
    /// nothing left is not offered HTTP/2.
    #[must_use]
    pub fn tls(config: Arc<rustls::ServerConfig>, windows: Windows) -> Self {
        Self::Tls(Arc::new(Tls::new(config, windows)))
    }
}

/// A protocol that shares a listener with HTTP: the client chooses it in the TLS handshake (ALPN).
pub trait OtherProtocol: Send + Sync {
    /// Its name in the handshake.
    fn name(&self) -> &'static [u8];

    /// Speaks it on one connection until that ends, which should be soon after `stop` has turned true.
    fn converse(&self, stream: Stream, stop: watch::Receiver<bool>) -> BoxFuture<'_, ()>;
}

/// Has whatever the client sends from now on wait until `session` is answered: its request has been read to its end. Of
/// HTTP/2, where requests do not follow each other, nothing has to wait.
pub fn keep_for_later(session: &ServerSession) {
    if let Some(stream) = session.stream() {
        Turn::take(stream);
    }
}

/// Says that somebody answers the request that `session` has read. Until then nothing that is written over HTTP/1.1 is sent:
/// it is pingora's own word about a request that it cannot parse, and the client is told by a document instead.
pub fn answer(session: &ServerSession) {
    if let Some(stream) = session.stream() {
        Turn::answer(stream);
    }
}

/// Has the client send more of the request that is being served before it is read, if it is sent over HTTP/2 and there is
/// room. For a body that is going to be read: its request has a place.
pub fn want_body() {
    http2::want_more();
}

/// Bytes of `session`'s answer that were written, as far as its session knows, and have not left the connection.
pub fn held_bytes(session: &ServerSession) -> usize {
    session.stream().map_or(0, Turn::held_bytes)
}

/// How long writes to `session`'s connection have waited for its client, over HTTP/1.
pub fn write_waited(session: &ServerSession) -> Duration {
    session.stream().map_or(Duration::ZERO, |stream| stream.get_write_pending_time())
}

/// Has `piece`, the next of the body of `session`'s answer to be written, wait for the one after it, so that both leave in one
/// write, and whoever asks for it writes more. What is returned is told of each such piece that has gone out. `None`: it will
/// not wait, over TLS and with HTTP/2, whose writes are other ones.
pub fn hold_for_next(session: &ServerSession, piece: &Bytes) -> Option<Arc<Notify>> {
    Turn::hold(session.stream()?, piece.clone())
}

/// Listeners of one kind, and their connections.
#[derive(Debug)]
pub struct Front {
    /// The region whose node this is: what refusals say as `x-amz-id-2`.
    node: Arc<str>,
    limits: Limits,
    connections: Arc<Connections>,
    stop: watch::Sender<bool>,
    running: TaskTracker,
}

impl Front {
    /// One of the node of region `node`, whose connections keep to `limits`.
    #[must_use]
    pub fn new(node: &str, limits: Limits) -> Self {
        // A head over TLS comes in records, a handshake with the client's certificates.
        let connections = Connections::new(limits.connections_max, 2 * limits.head_bytes_max);
        let connections = Arc::new(connections);
        let (stop, running) = (watch::Sender::new(false), TaskTracker::new());
        Self { node: node.into(), limits, connections, stop, running }
    }

    /// Starts answering on `bound` with `app`, on the current runtime. What is let go unanswered counts in `metrics`.
    pub fn serve<A: Answering>(&self, bound: Bound, transport: Transport, metrics: Metrics, app: Arc<A>) {
        let listener = Listener {
            node: self.node.clone(),
            transport,
            limits: self.limits.clone(),
            connections: self.connections.clone(),
            metrics,
            app,
            stop: self.stop.subscribe(),
            running: self.running.clone(),
        };
        self.running.spawn(listener.accept_until_stopped(bound.socket));
    }

    /// Closes all listeners and idle connections at once and lets transfers finish, until `enough`.
    /// Returns how many were still running then: they are cut when the runtime stops.
    pub async fn drain(self, enough: impl Future<Output = ()>) -> usize {
        self.stop.send_replace(true);
        self.running.close();
        tokio::select! {
            biased;
            () = self.running.wait() => 0,
            () = enough => self.running.len(),
        }
    }
}

/// What the connections of one listener share.
struct Listener<A> {
    node: Arc<str>,
    transport: Transport,
    limits: Limits,
    connections: Arc<Connections>,
    metrics: Metrics,
    app: Arc<A>,
    stop: watch::Receiver<bool>,
    running: TaskTracker,
}

impl<A> Clone for Listener<A> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
            transport: self.transport.clone(),
            limits: self.limits.clone(),
            connections: self.connections.clone(),
            metrics: self.metrics.clone(),
            app: self.app.clone(),
            stop: self.stop.clone(),
            running: self.running.clone(),
        }
    }
}

impl<A: Answering> Listener<A> {
    async fn accept_until_stopped(mut self, socket: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = self.stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((tcp, _)) => match self.connections.admit().await {
                    Some(early) => {
                        self.running.spawn(self.clone().converse(tcp, early));
                    }
                    None => self.metrics.dropped(DropReason::Connections),
                },
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// One connection, from its handshake to its end.
    async fn converse(self, tcp: TcpStream, early: Arc<Early>) {
        if !matches!(self.transport, Transport::Plain) {
            // Whoever sends nothing is offered nothing.
            let mut first = [0; 1];
            let begun = tokio::select! {
                begun = timeout(self.limits.handshake_timeout, tcp.peek(&mut first)) => begun,
                () = early.until_let_go() => return self.metrics.dropped(DropReason::Connections),
            };
            if !matches!(begun, Ok(Ok(1))) {
                return debug!("no TLS handshake");
            }
        }
        let Ok(connection) = Connection::new(tcp, early.clone(), self.limits.stalled_write) else { return };
        let (tls, others): (_, Arc<[Arc<dyn OtherProtocol>]>) = match &self.transport {
            Transport::Plain => return Box::pin(http1::serve(Box::new(connection), &early, self)).await,
            Transport::Tls(tls) => (tls.offer(&self.connections).await, Arc::default()),
            Transport::TlsBeside(acceptor, others) => (Offer::without_http2(acceptor), others.clone()),
        };
        // What a connection needs for a while takes no memory while it waits.
        let handshake = Box::pin(tls.acceptor.tls_handshake(connection));
        let shaken = tokio::select! {
            shaken = timeout(self.limits.handshake_timeout, handshake) => shaken,
            () = early.until_let_go() => return self.metrics.dropped(DropReason::Connections),
        };
        let stream: Stream = match shaken {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(_)) if early.is_refused() => return self.metrics.dropped(DropReason::Heads),
            Ok(Err(error)) => return debug!(%error, "TLS handshake failed"),
            Err(_) => return debug!("TLS handshake took too long"),
        };
        if !early.complete() {
            return self.metrics.dropped(DropReason::Connections);
        }
        let chosen = stream.selected_alpn_proto();
        let is_chosen = |other: &&Arc<dyn OtherProtocol>| match &chosen {
            Some(ALPN::Custom(chosen)) => chosen.protocol() == other.name(),
            _ => false,
        };
        let other = others.iter().find(is_chosen);
        match (other, tls.window.filter(|_| chosen == Some(ALPN::H2))) {
            (Some(other), _) => other.converse(stream, self.stop).await,
            (None, Some(window)) => Box::pin(http2::serve(stream, window, &early, self)).await,
            (None, None) => Box::pin(http1::serve(stream, &early, self)).await,
        }
    }
}

#[cfg(test)]
mod tests;
