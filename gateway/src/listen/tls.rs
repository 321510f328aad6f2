//! What a client is offered in the TLS handshake: HTTP/2 while there is memory for its window, HTTP/1.1 always.

use std::sync::Arc;

use pingora::listeners::tls::Acceptor;

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

    /// What the next client is offered.
    pub(super) fn offer(&self) -> Offer<'_> {
        match self.windows.lend() {
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
