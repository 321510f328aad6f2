//! Requests that are refused here, before whoever answers a listener's requests sees them: their heads cannot be read, or do not
//! come to their end.
//!
//! They cost what others cost, so whoever answers the others is told of these: to charge, count and log them.

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::protocols::{SocketDigest, Stream};

use crate::client::Client;
use crate::refusal::Refusal;
use crate::request_id::RequestId;

/// What answers the requests of a listener.
#[async_trait]
pub trait Answering: HttpServerApp + Send + Sync + 'static {
    /// A request that came over `connection` is about to be refused with `refusal`, unread. Returns how its client is told.
    /// Nobody counts it, unless this is done otherwise.
    async fn turn_away(&self, _connection: Client, refusal: Refusal) -> TurnedAway {
        TurnedAway::unnoted(refusal)
    }
}

/// A request that is refused unread.
pub struct TurnedAway {
    /// Its id, which its client is told.
    pub id: RequestId,
    /// How it is refused.
    pub refusal: Refusal,
    /// To be called when its client was told, with the bytes of the document; with `None` where it was not.
    pub record: Box<dyn FnOnce(Option<u64>) + Send>,
}

impl TurnedAway {
    /// One that nobody counts.
    #[must_use]
    pub fn unnoted(refusal: Refusal) -> Self {
        Self { id: RequestId::new(), refusal, record: Box::new(|_| ()) }
    }
}

/// Who is at the other end of `stream`.
pub(super) fn client_of(stream: &Stream) -> Client {
    client_at(stream.get_socket_digest().as_deref(), stream.get_ssl_digest().is_some())
}

/// The same of a connection that is known by its socket.
pub(super) fn client_at(socket: Option<&SocketDigest>, is_tls: bool) -> Client {
    let address = socket.and_then(|socket| socket.peer_addr()?.as_inet());
    Client { address: address.map(|address| address.ip().to_canonical()), is_tls }
}
