//! A connection of HTTP/1.1 whose client may send its next request before the answer to this one (RFC 9112 §9.3.2), while
//! pingora reads from it to see whether the client is still there.
//!
//! While a request is being forwarded, pingora takes whatever comes after its body for a fault, and breaks the answer off.
//! So what comes then is kept here and told to nobody before the next request's turn; only the end is told. A little is read
//! and no more: the rest waits where it is, and an end behind it is not seen.
//!
//! What is written before anybody has taken the request over is pingora's own refusal of what it cannot parse, without a
//! document: it is kept from the client, who is told by whoever serves the connection.
//!
//! After the last answer the connection closes in two steps (§9.6): it says that no more comes, and throws away for a while
//! what the client sends all the same. Closed with something unread it would be reset, and what the client has not received
//! of the answer would be lost. Nothing of the request is left by then: pingora closes the stream and lets go of it, and of
//! all that it held for the request, and only then whoever serves the connection takes its time with it ([`Left`]).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::connection::Connection;
use super::early::Early;

/// Of what comes too soon, what is read at the most: a dozen requests, of forwards that are bounded in number.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// What is read at one time of what nobody wants yet, or any more.
const PIECE_BYTES: usize = 1024;

/// How long what the client still sends is thrown away after the last answer: many clients do not read it before they have
/// sent all. However much comes in that time: a part of 128 MiB is on its way in a tenth of a second, and a refusal of it must
/// not be lost for that.
pub const LINGER: Duration = Duration::from_secs(2);

/// A stream on which requests take turns.
#[derive(Debug)]
pub(super) struct Turn {
    /// `None` when it was left.
    stream: Option<Stream>,
    /// A request has been read to its end and is not answered yet.
    is_taken: AtomicBool,
    /// Somebody answers the request: what is written is their answer.
    is_answered: AtomicBool,
    /// What came too soon.
    ahead: BytesMut,
    /// The last answer was given: nothing of what comes is told any more.
    is_last: bool,
    left: Left,
}

/// Where a stream is left whose last answer was given. Clones are one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Left(Arc<Mutex<Leaving>>);

#[derive(Debug, Default)]
struct Leaving {
    stream: Option<Stream>,
    unanswered: Option<Unanswered>,
}

/// A request that pingora has refused by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It cannot be parsed.
    Malformed,
    /// It asks for a tunnel.
    Connect,
}

impl Left {
    /// Closes the stream that was left here, if one was.
    pub(super) async fn close(self, early: &Early) {
        let stream = self.lock().stream.take();
        if let Some(stream) = stream {
            close_within(LINGER, stream, early).await;
        }
    }

    /// The stream that was left here, where its last request was refused and nobody has told its client.
    pub(super) fn take_unanswered(&self) -> Option<(Stream, Unanswered)> {
        let mut leaving = self.lock();
        let unanswered = leaving.unanswered.take()?;
        Some((leaving.stream.take()?, unanswered))
    }

    fn lock(&self) -> MutexGuard<'_, Leaving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that no more comes, and throws away what does, to the client's own end, or for so long, or until another connection needs
/// this one's place.
async fn close_within(time: Duration, mut stream: Stream, early: &Early) {
    early.lingers();
    let closing = async {
        // The client is unlikely to listen any more: nothing depends on how it ends.
        let _ = AsyncWriteExt::shutdown(&mut stream).await;
        let mut space = [0; PIECE_BYTES];
        while stream.read(&mut space).await.is_ok_and(|bytes| bytes > 0) {}
    };
    tokio::select! {
        _ = timeout(time, closing) => (),
        () = early.until_let_go() => (),
    }
}

impl Turn {
    /// `stream`, whose next request has its turn. It is left in `left` when it was closed.
    pub(super) fn new(stream: Stream, left: Left) -> Self {
        Self {
            stream: Some(stream),
            is_taken: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            ahead: BytesMut::new(),
            is_last: false,
            left,
        }
    }

    /// From now on what comes on `stream` is kept for later. Where it is no `Turn`, nothing happens.
    pub(super) fn take(stream: &Stream) {
        if let Some(turn) = Self::of(stream) {
            turn.is_taken.store(true, Ordering::Relaxed);
        }
    }

    /// Somebody answers the request that was read: what is written from now on is sent. Where `stream` is no `Turn`, nothing
    /// happens.
    pub(super) fn answer(stream: &Stream) {
        if let Some(turn) = Self::of(stream) {
            turn.is_answered.store(true, Ordering::Relaxed);
        }
    }

    /// The next request has its turn.
    pub(super) fn give_back(stream: &Stream) {
        if let Some(turn) = Self::of(stream) {
            turn.is_taken.store(false, Ordering::Relaxed);
            turn.is_answered.store(false, Ordering::Relaxed);
        }
    }

    fn of(stream: &Stream) -> Option<&Self> {
        stream.as_any().downcast_ref()
    }

    /// Notes what pingora says of a request by itself: `HTTP/1.1 ` and a status come first.
    fn note_refusal(&self, bytes: &[u8]) {
        let unanswered = match bytes.get(9..12) {
            Some(b"405") => Unanswered::Connect,
            _ => Unanswered::Malformed,
        };
        self.left.lock().unanswered.get_or_insert(unanswered);
    }

    /// See [`held_bytes`](super::held_bytes).
    pub(super) fn held_bytes(stream: &Stream) -> usize {
        Self::connection(stream).map_or(0, Connection::held_bytes)
    }

    fn connection(stream: &Stream) -> Option<&Connection> {
        Self::of(stream)?.stream().as_any().downcast_ref()
    }

    /// See [`hold_for_next`](super::hold_for_next).
    pub(super) fn hold(stream: &Stream, piece: Bytes) -> Option<Arc<Notify>> {
        Self::connection(stream).map(|connection| connection.hold(piece))
    }

    fn stream(&self) -> &Stream {
        self.stream.as_ref().expect("it is left no sooner than dropped")
    }

    fn stream_mut(&mut self) -> Pin<&mut Stream> {
        Pin::new(self.stream.as_mut().expect("it is left no sooner than dropped"))
    }

    /// Keeps what comes, and tells of nothing but the end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD_BYTES_MAX {
            let mut space = [MaybeUninit::uninit(); PIECE_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(self.stream_mut().poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(read.filled());
        }
        // Nobody is woken: whoever waits here waits for something else as well.
        Poll::Pending
    }
}

impl AsyncRead for Turn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_last {
            return Poll::Ready(Ok(()));
        }
        if self.is_taken.load(Ordering::Relaxed) {
            return self.poll_end(cx);
        }
        if self.ahead.is_empty() {
            return self.stream_mut().poll_read(cx, buf);
        }
        let taken = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..taken]);
        self.ahead.advance(taken);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Turn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_answered.load(Ordering::Relaxed) {
            self.note_refusal(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        self.stream_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream_mut().poll_flush(cx)
    }

    /// The last answer was given. Whoever serves the connection closes it, once the turn is dropped.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_last = true;
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_answered.load(Ordering::Relaxed) {
            self.note_refusal(bufs.first().map_or(&[], |first| &**first));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        self.stream_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream().is_write_vectored()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_last {
            let stream = self.stream.take();
            self.left.lock().stream = stream;
        }
    }
}

#[async_trait]
impl Shutdown for Turn {
    async fn shutdown(&mut self) {
        // The client may be gone already; there is nobody to tell.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Turn {
    fn id(&self) -> i32 {
        self.stream().id()
    }
}

impl Ssl for Turn {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream().get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream().selected_alpn_proto()
    }
}

/// Of nobody's interest here: what is peeked at is the start of a connection.
impl Peek for Turn {}

impl GetTimingDigest for Turn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream().get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream().get_write_pending_time()
    }
}

impl GetProxyDigest for Turn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream().get_proxy_digest()
    }
}

impl GetSocketDigest for Turn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream().get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::FutureExt;
    use tokio::io::duplex;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::super::early::Connections;
    use super::*;

    /// No write here waits for as long.
    const PATIENT: Duration = Duration::from_secs(600);

    /// A client, what serves it, and where that is left. The client's window is small: most of an answer is on its way when the
    /// server closes.
    async fn connected() -> (TcpStream, Stream, impl Future<Output = ()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a window");
        let client = socket.connect(listener.local_addr().expect("bound")).await.expect("connect");
        let (server, _) = listener.accept().await.expect("a client");
        let early = Arc::new(Connections::new(1, 1 << 20)).admit().await.expect("a place");
        assert!(early.complete());
        let connection = Connection::new(server, early.clone(), PATIENT).expect("fresh");
        let left = Left::default();
        let turn: Stream = Box::new(Turn::new(Box::new(connection), left.clone()));
        Turn::answer(&turn);
        (client, turn, async move { left.close(&early).await })
    }

    /// A connection that nothing is known of.
    async fn stranger() -> Arc<Early> {
        Arc::new(Connections::new(1, 1 << 20)).admit().await.expect("a place")
    }

    /// What comes too soon is read in its turn, in order and whole, however much of it there is.
    #[tokio::test]
    async fn what_comes_too_soon_waits_for_its_turn() {
        let (mut client, server) = duplex(1 << 16);
        let mut stream: Stream = Box::new(Turn::new(Box::new(server), Left::default()));
        let sent: Vec<_> = (0..3 * AHEAD_BYTES_MAX).map(|at| (at % 251) as u8).collect();
        let (first, rest) = sent.split_at(10);
        client.write_all(first).await.expect("room");
        let mut got = vec![0; first.len()];
        stream.read_exact(&mut got).await.expect("in its turn");

        Turn::answer(&stream);
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

    /// Also behind something that came too soon, as long as that is little.
    #[tokio::test]
    async fn the_end_is_told_at_once() {
        for ahead in [0, 10, AHEAD_BYTES_MAX - 1] {
            let (mut client, server) = duplex(1 << 16);
            let mut stream: Stream = Box::new(Turn::new(Box::new(server), Left::default()));
            Turn::take(&stream);
            let mut probe = [0; 1];
            client.write_all(&vec![b'a'; ahead]).await.expect("room");
            assert!(stream.read(&mut probe).now_or_never().is_none());
            drop(client);
            let end = stream.read(&mut probe).now_or_never().expect("told at once");
            assert_eq!(end.expect("no fault"), 0, "{ahead} bytes ahead");
        }
    }

    /// A client that has sent more than anybody reads gets the answer whole, and its end, over a connection that closes.
    #[tokio::test]
    async fn a_close_takes_nothing_from_the_answer() {
        let (mut client, mut stream, closing) = connected().await;
        Turn::take(&stream);
        client.write_all(&[b'a'; 4 * AHEAD_BYTES_MAX]).await.expect("room");
        let answer = vec![b'b'; 512 * 1024];
        let answering = async {
            stream.write_all(&answer).await.expect("a client");
            stream.shutdown().await.expect("nothing in the way");
            drop(stream);
            closing.await;
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(client.read_to_end(&mut got), answering);
        assert!(read.is_ok() && got == answer, "{} bytes, then {read:?}", got.len());
    }

    /// A client that sends much in little time gets its answer like others.
    #[tokio::test]
    async fn however_much_is_sent_in_time_is_thrown_away() {
        let (mut client, server) = duplex(1 << 16);
        let mut stream: Stream = Box::new(server);
        let refusing = async {
            stream.write_all(b"refused").await.expect("room");
            close_within(100 * LINGER, stream, &*stranger().await).await;
        };
        let sending = async {
            let piece = vec![b'a'; 1 << 20];
            for sent in 0..128 {
                client.write_all(&piece).await.unwrap_or_else(|error| panic!("{error} after {sent} MiB"));
            }
            let mut answer = [0; 7];
            client.read_exact(&mut answer).await.expect("the answer");
            assert_eq!(&answer, b"refused");
            drop(client);
        };
        tokio::join!(refusing, sending);
    }

    /// A client that neither takes the rest of its answer nor closes is waited for no longer than others.
    #[tokio::test]
    async fn lingering_ends_though_nobody_reads() {
        let (_client, mut stream, closing) = connected().await;
        // As long as there is room.
        while timeout(Duration::from_millis(200), stream.write(&[b'b'; 64 * 1024])).await.is_ok() {}
        stream.write_all(b"the end").await.expect("room in the buffer");
        stream.shutdown().await.expect("nothing in the way");
        drop(stream);
        timeout(10 * LINGER, closing).await.expect("an end");
    }
}
