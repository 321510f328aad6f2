//! TLS to a listener with one protocol offered, for what no HTTP client would send through it.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client that believes `authority` alone and offers `protocol` (`h2`, `http/1.1`).
///
/// # Panics
/// When `authority` is no authority's certificate.
#[must_use]
pub fn config(authority: &CertificateDer<'static>, protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).expect("an authority's certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    Arc::new(config)
}

/// Shakes hands with a listener on loopback, which must agree to the protocol offered.
///
/// # Panics
/// When it does not.
pub async fn connect(config: &Arc<ClientConfig>, tcp: TcpStream) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("127.0.0.1").expect("an address is a name");
    let stream = TlsConnector::from(config.clone()).connect(name, tcp).await.expect("shake hands");
    assert_eq!(stream.get_ref().1.alpn_protocol(), config.alpn_protocols.first().map(Vec::as_slice));
    stream
}
