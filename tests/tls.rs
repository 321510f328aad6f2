//! TLS to a listener with one protocol offered, for what no HTTP client would send through it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::DOMAIN;

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

/// What the node of `region` shows to other nodes, by the files in `data_dir`: it believes the cluster's authority, has
/// a certificate, and offers `protocol`.
///
/// # Panics
/// When the files are not there.
#[must_use]
pub fn node_config(data_dir: &Path, region: &str, protocol: &str) -> Arc<ClientConfig> {
    let dir = data_dir.join("cluster");
    let certificate = |name: &str| {
        CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).expect("read a certificate")
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca")).expect("an authority's certificate");
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{region}.key"))).expect("read a key");
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(region)], key)
        .expect("the certificate is the key's");
    config.alpn_protocols = vec![protocol.into()];
    Arc::new(config)
}

/// Shakes hands with the peer listener of `owner`, which must agree to the protocol offered.
///
/// # Panics
/// When it does not.
pub async fn connect_to_peer(
    config: &Arc<ClientConfig>,
    tcp: TcpStream,
    owner: &str,
) -> TlsStream<TcpStream> {
    shake_hands(config, tcp, &format!("{owner}.peer.{DOMAIN}")).await
}

/// Shakes hands with a listener on loopback, which must agree to the protocol offered.
///
/// # Panics
/// When it does not.
pub async fn connect(config: &Arc<ClientConfig>, tcp: TcpStream) -> TlsStream<TcpStream> {
    shake_hands(config, tcp, "127.0.0.1").await
}

/// Shakes hands with a listener on loopback, offering HTTP/2 and HTTP/1.1: whether it chose HTTP/2.
///
/// # Panics
/// When it agrees to neither.
pub async fn offer_both(authority: &CertificateDer<'static>, tcp: TcpStream) -> (TlsStream<TcpStream>, bool) {
    let mut config = ClientConfig::clone(&config(authority, "h2"));
    config.alpn_protocols.push("http/1.1".into());
    let name = ServerName::try_from("127.0.0.1").expect("the address of a listener");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("shake hands");
    let chosen = stream.get_ref().1.alpn_protocol().expect("one of the two");
    let is_http2 = chosen == b"h2";
    assert!(is_http2 || chosen == b"http/1.1");
    (stream, is_http2)
}

async fn shake_hands(config: &Arc<ClientConfig>, tcp: TcpStream, name: &str) -> TlsStream<TcpStream> {
    let name = ServerName::try_from(name.to_owned()).expect("the name or address of a listener");
    let stream = TlsConnector::from(config.clone()).connect(name, tcp).await.expect("shake hands");
    assert_eq!(stream.get_ref().1.alpn_protocol(), config.alpn_protocols.first().map(Vec::as_slice));
    stream
}
