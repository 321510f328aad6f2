//! A connection of HTTP/1.1 whose client may send its next request before the answer to this one (RFC 9112 §9.3.2), while
//! pingora reads from it to see whether the client is still there.
//!
//! While a request is being forwarded, pingora takes whatever comes after its body for a fault, and breaks the answer off.
//! So what comes then is kept here and told to nobody before the next request's turn; only the end is told. One piece is
//! read and no more: the rest waits where it is.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of what comes too soon, what is read at the most: enough to know that something has come.
const AHEAD_BYTES_MAX: usize = 1024;

/// A stream on which requests take turns.
#[derive(Debug)]
pub(super) struct Turn {
    stream: Stream,
    /// A request has been read to its end and is not answered yet.
    is_taken: AtomicBool,
    /// What came too soon.
    ahead: Bytes,
}

impl Turn {
    /// `stream`, whose next request has its turn.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, is_taken: AtomicBool::new(false), ahead: Bytes::new() }
    }

    /// From now on what comes on `stream` is kept for later. Where it is no `Turn`, nothing happens.
    pub(super) fn take(stream: &Stream) {
        set(stream, true);
    }

    /// The next request has its turn.
    pub(super) fn give_back(stream: &Stream) {
        set(stream, false);
    }

    /// Keeps what comes, and tells of nothing but the end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.has_remaining() {
            // Nobody is woken: whoever waits here waits for something else as well.
            return Poll::Pending;
        }
        let mut space = [MaybeUninit::uninit(); AHEAD_BYTES_MAX];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.ahead = Bytes::copy_from_slice(read.filled());
        if self.ahead.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

fn set(stream: &Stream, is_taken: bool) {
    if let Some(turn) = stream.as_any().downcast_ref::<Turn>() {
        turn.is_taken.store(is_taken, Ordering::Relaxed);
    }
}

impl AsyncRead for Turn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_taken.load(Ordering::Relaxed) {
            return self.poll_end(cx);
        }
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let taken = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Turn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Turn {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Turn {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl Ssl for Turn {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

/// Of nobody's interest here: what is peeked at is the start of a connection.
impl Peek for Turn {}

impl GetTimingDigest for Turn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Turn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Turn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What comes too soon is read in its turn, in order and whole, however much of it there is.
    #[tokio::test]
    async fn what_comes_too_soon_waits_for_its_turn() {
        let (mut client, server) = duplex(1 << 16);
        let mut stream: Stream = Box::new(Turn::new(Box::new(server)));
        let sent: Vec<_> = (0..3 * AHEAD_BYTES_MAX).map(|at| (at % 251) as u8).collect();
        let (first, rest) = sent.split_at(10);
        client.write_all(first).await.expect("room");
        let mut got = vec![0; first.len()];
        stream.read_exact(&mut got).await.expect("in its turn");

        Turn::take(&stream);
        client.write_all(rest).await.expect("room");
        let mut probe = [0; 1];
        for _ in 0..3 {
            assert!(stream.read(&mut probe).now_or_never().is_none());
        }
        stream.write_all(b"answer").await.expect("room");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.expect("it may be written all the same");

        Turn::give_back(&stream);
        drop(client);
        stream.read_to_end(&mut got).await.expect("the end");
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    }

    #[tokio::test]
    async fn the_end_is_told_at_once() {
        let (client, server) = duplex(16);
        let mut stream: Stream = Box::new(Turn::new(Box::new(server)));
        Turn::take(&stream);
        let mut probe = [0; 1];
        assert!(stream.read(&mut probe).now_or_never().is_none());
        drop(client);
        assert_eq!(stream.read(&mut probe).await.expect("the end"), 0);
    }
}
