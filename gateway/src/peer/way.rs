//! The way to one owner: its address, and TLS in both directions.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Limits, PROBE_AFTER, PROBE_AGAIN_AFTER, PROBES_MAX, UNACKNOWLEDGED_MAX};
use super::{AskError, Credentials, CredentialsError};
use crate::topology::PeerAddress;

/// A connection, read in pieces as large as its buffer: rustls by itself takes 4 KiB with each call to the kernel.
pub(super) type Wire = TlsStream<BufReader<TcpStream>>;

/// How one owner is reached.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) name: String,
    pub(super) address: PeerAddress,
    pub(super) limits: Limits,
}

/// What is spoken on a connection.
#[derive(Clone)]
pub(super) struct Protocol {
    name: &'static [u8],
    tls: TlsConnector,
    buffer_bytes: usize,
}

impl Protocol {
    /// The one of this name in the TLS handshake, read through a buffer of so many bytes.
    pub(super) fn new(
        name: &'static [u8],
        credentials: &Credentials,
        buffer_bytes: usize,
    ) -> Result<Self, CredentialsError> {
        let mut tls: ClientConfig = credentials.client_config()?;
        tls.alpn_protocols = vec![name.to_vec()];
        Ok(Self { name, tls: TlsConnector::from(Arc::new(tls)), buffer_bytes })
    }

    fn is_not_spoken(&self) -> AskError {
        AskError::Malformed(format!("it does not speak {}", String::from_utf8_lossy(self.name)))
    }
}

impl Way {
    /// A connection to the owner.
    ///
    /// # Errors
    /// When there is none within the limit, or the owner does not speak the protocol.
    pub(super) async fn connect(&self, protocol: &Protocol) -> Result<Wire, AskError> {
        let connecting = async {
            let address = lookup(&self.address).await?.next().ok_or(io::ErrorKind::NotFound)?;
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            sockopt::set_tcp_user_timeout(&tcp, UNACKNOWLEDGED_MAX.as_millis() as u32)?;
            sockopt::set_socket_keepalive(&tcp, true)?;
            sockopt::set_tcp_keepidle(&tcp, PROBE_AFTER)?;
            sockopt::set_tcp_keepintvl(&tcp, PROBE_AGAIN_AFTER)?;
            sockopt::set_tcp_keepcnt(&tcp, PROBES_MAX as u32)?;
            let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
            protocol.tls.connect(name, BufReader::with_capacity(protocol.buffer_bytes, tcp)).await
        };
        let connected = tokio::time::timeout(self.limits.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = connected.map_err(|e| match is_of_another_protocol(&e) {
            true => protocol.is_not_spoken(),
            false => AskError::Unreachable(format!("{}: {e}", self.address)),
        })?;
        match stream.get_ref().1.alpn_protocol() {
            Some(spoken) if spoken == protocol.name => Ok(stream),
            _ => Err(protocol.is_not_spoken()),
        }
    }
}

/// The owner is there, and says in the handshake that it speaks nothing of what was offered.
fn is_of_another_protocol(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}

/// Looks an owner's address up.
pub(super) async fn lookup(address: &PeerAddress) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    if let Ok(ip) = address.host().parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, address.port())].into_iter());
    }
    let found: Vec<_> = tokio::net::lookup_host((address.host(), address.port())).await?.collect();
    Ok(found.into_iter())
}
