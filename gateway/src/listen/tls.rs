//! What a client is offered in the TLS handshake: HTTP/2 while there is memory for its window, HTTP/1.1 always.

use std::sync::Arc;

use pingora::listeners::tls::Acceptor;

use super::early::{Connections, LET_GO_WITHIN};
use super::windows::{Window, Windows};

/// The two offers.
pub struct Tls {
    whole: Acceptor,
    without_http2: Acceptor,
    windows: Windows,
}

impl Tls {
    pub(super) fn new(config: Arc<rustls::ServerConfig>, windows: Windows) -> Self {
        let mut without_http2 = rustls::ServerConfig::clone(&config);
        without_http2.alpn_protocols.retain(|protocol| protocol != b"h2");
        Self {
            whole: Acceptor::from_server_config(config),
            without_http2: Acceptor::from_server_config(Arc::new(without_http2)),
            windows,
        }
    }

    /// What the next client is offered. Where nothing is left, an idle connection of HTTP/2 gives way.
    pub(super) async fn offer(&self, connections: &Connections) -> Offer<'_> {
        let mut lent = self.windows.lend();
        if lent.is_none() && connections.let_go_of_idle_http2().is_some() {
            lent = self.windows.lend_within(LET_GO_WITHIN).await;
        }
        match lent {
            Some(lent) => {
                Offer { acceptor: &self.whole, window: Some(Window::new(self.windows.clone(), lent)) }
            }
            None => Offer::without_http2(&self.without_http2),
        }
    }
}

/// What one client is offered.
pub(super) struct Offer<'a> {
    pub(super) acceptor: &'a Acceptor,
    /// Of a connection of HTTP/2, if that is offered and chosen.
    pub(super) window: Option<Window>,
}

impl<'a> Offer<'a> {
    pub(super) fn without_http2(acceptor: &'a Acceptor) -> Self {
        Self { acceptor, window: None }
    }
}
