//! An accepted TCP connection in the shape that pingora's sessions and TLS acceptor take.
//!
//! It differs from pingora's own in its buffers, which cannot be set from outside: a response's head leaves in one write
//! with the first of its body, and TLS records are read from one buffer rather than with a system call each; and a
//! connection that waits holds none.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::buffered::Buffered;
use super::early::{Counted, Early};
use super::stall::Stalling;

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    tcp: Buffered<Stalling<Counted<TcpStream>>>,
    accepted: SystemTime,
    digest: Arc<SocketDigest>,
}

impl Connection {
    /// Wraps `tcp`, of which no more is read than `early` allows and which may take nothing of what is written for as long as
    /// `stalled_write`, and turns Nagle's algorithm off: a response's last packet
    /// must not wait for an acknowledgement.
    pub(super) fn new(tcp: TcpStream, early: Arc<Early>, stalled_write: Duration) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
        // Asked for now because the digest outlives the socket, whose number may then be another connection's.
        digest.peer_addr();
        let tcp = Buffered::new(Stalling::new(Counted::new(tcp, early), stalled_write));
        Ok(Self { tcp, accepted: SystemTime::now(), digest: Arc::new(digest) })
    }

    /// See [`Buffered::held_bytes`].
    pub(super) fn held_bytes(&self) -> usize {
        self.tcp.held_bytes()
    }

    /// See [`Buffered::hold`].
    pub(super) fn hold(&self, piece: Bytes) -> Arc<Notify> {
        self.tcp.hold(piece)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // The client may be gone already; there is nobody to tell.
        let _ = self.tcp.shutdown().await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> i32 {
        self.tcp.get_ref().get_ref().get_ref().as_raw_fd()
    }
}

impl Ssl for Connection {}

impl Peek for Connection {}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }

    fn get_write_pending_time(&self) -> Duration {
        self.tcp.get_ref().waited()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::super::early::Connections;
    use super::*;

    /// A connection and its client.
    async fn connected() -> (Connection, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connect");
        let (accepted, _) = listener.accept().await.expect("a client");
        let early = Arc::new(Connections::new(1, 1 << 20)).admit().await.expect("a place");
        (Connection::new(accepted, early, Duration::from_secs(600)).expect("a fresh socket"), client)
    }

    #[tokio::test]
    async fn nothing_waits_for_an_acknowledgement() {
        let (connection, _client) = connected().await;
        assert!(connection.tcp.get_ref().get_ref().get_ref().nodelay().expect("a socket"));
    }

    /// A head and a small body are one write: nothing of the head is sent before, and one read brings both.
    #[tokio::test]
    async fn a_head_and_a_small_body_leave_in_one_write() {
        let (mut connection, mut client) = connected().await;
        let mut got = vec![0; 64 * 1024];
        connection.write_all(&[b'h'; 500]).await.expect("a head");
        connection.write_all(&[b'b'; 4096]).await.expect("a body");
        let early = client.try_read(&mut got).map_err(|error| error.kind());
        assert_eq!(early, Err(io::ErrorKind::WouldBlock));
        connection.flush().await.expect("a client");
        assert_eq!(client.read(&mut got).await.expect("an answer"), 500 + 4096);
    }
}
