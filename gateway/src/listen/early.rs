//! Connections on which no request is: how many there may be at one time, and what their clients may have sent.
//!
//! Anybody may connect, and send as much of a head or a handshake as they like before anything is known of them. So what
//! is taken off a connection before its request is whole is counted. A usual head is covered by what every connection
//! may hold; what goes beyond is lent out of one budget for all connections, and where there is nothing left to lend the
//! connection ends. Everything is counted where it is read from the network, so that TLS, which keeps what it cannot
//! decrypt yet, holds no more than that either.
//!
//! Where all places are taken, whoever has waited longest for a request gives theirs up for one more connection.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What every connection may have sent of a head or a handshake. Most heads are shorter than 2 KiB, a presigned one with
/// its session token too; a handshake begins with as much.
pub(super) const FREE_BYTES: usize = 4 * 1024;

/// What is lent at one time.
const PIECE_BYTES: usize = 4 * 1024;

/// What all connections of one [`Front`](super::Front) may have sent beyond [`FREE_BYTES`] each.
pub const LENT_BYTES_MAX: usize = 512 << 10;

/// How long a new connection waits for the place of one that is let go, which is told at once.
const LET_GO_WITHIN: Duration = Duration::from_secs(1);

/// Stands for a connection that has a request.
const BUSY: u64 = u64::MAX;

/// The connections of one [`Front`](super::Front).
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    begun: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    by_number: HashMap<u64, Weak<Early>>,
}

/// What is known of one connection before it has a request.
#[derive(Debug)]
pub(super) struct Early {
    all: Arc<Connections>,
    number: u64,
    _place: OwnedSemaphorePermit,
    /// Since when it waits for a request, in microseconds, or [`BUSY`].
    since: AtomicU64,
    let_go: Notify,
    sent: Mutex<Sent>,
}

/// What the client has sent.
#[derive(Debug)]
struct Sent {
    /// There is no request yet: what comes counts.
    is_counted: bool,
    bytes: usize,
    lent: Option<OwnedSemaphorePermit>,
    /// There was nothing left to lend.
    is_refused: bool,
}

impl Connections {
    /// At most `connections_max` at one time.
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(connections_max)),
            pieces: Arc::new(Semaphore::new(LENT_BYTES_MAX / PIECE_BYTES)),
            begun: Instant::now(),
            open: Mutex::default(),
        }
    }

    /// A place for a new connection, if need be that of the one that has waited longest for a request; `None` where all
    /// others have one.
    pub(super) async fn admit(self: &Arc<Self>) -> Option<Arc<Early>> {
        let place = if let Ok(place) = self.places.clone().try_acquire_owned() {
            place
        } else {
            self.let_go_of_longest_waiting()?;
            timeout(LET_GO_WITHIN, self.places.clone().acquire_owned()).await.ok()?.ok()?
        };
        let mut open = self.open();
        open.last += 1;
        let early = Arc::new(Early {
            all: self.clone(),
            number: open.last,
            _place: place,
            since: AtomicU64::new(self.now()),
            let_go: Notify::new(),
            sent: Mutex::new(Sent { is_counted: true, bytes: 0, lent: None, is_refused: false }),
        });
        open.by_number.insert(early.number, Arc::downgrade(&early));
        Some(early)
    }

    fn let_go_of_longest_waiting(&self) -> Option<()> {
        // One that ends meanwhile removes itself, for which it needs the lock: those looked at are kept until it is free.
        let all: Vec<_> = self.open().by_number.values().filter_map(Weak::upgrade).collect();
        let since = |early: &Arc<Early>| early.since.load(Ordering::Relaxed);
        let longest = all.iter().min_by_key(|early| since(early)).filter(|early| since(early) != BUSY)?;
        // The next connection is to take another one's place.
        longest.since.store(BUSY, Ordering::Relaxed);
        longest.let_go.notify_one();
        Some(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(BUSY - 1)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Early {
    /// A request is waited for: what comes counts again.
    pub(super) fn begin(&self) {
        self.since.store(self.all.now(), Ordering::Relaxed);
        let mut sent = self.sent();
        (sent.is_counted, sent.bytes, sent.lent) = (true, 0, None);
    }

    /// The request is whole, or something else begins on the connection: whoever serves it counts from now on.
    pub(super) fn complete(&self) {
        self.since.store(BUSY, Ordering::Relaxed);
        self.stop_counting();
    }

    /// Whatever comes from now on is thrown away; another connection may have this one's place.
    pub(super) fn stop_counting(&self) {
        let mut sent = self.sent();
        (sent.is_counted, sent.lent) = (false, None);
    }

    /// Waits until another connection needs this one's place.
    pub(super) async fn until_let_go(&self) {
        self.let_go.notified().await;
    }

    /// Whether `bytes` that the client has sent of a head may be kept.
    pub(super) fn covers(&self, bytes: usize) -> bool {
        let mut sent = self.sent();
        sent.bytes = sent.bytes.max(bytes);
        while sent.bytes > sent.granted() {
            if !sent.borrow(&self.all.pieces) {
                return false;
            }
        }
        true
    }

    /// Whether the client wanted to send more than could be lent.
    pub(super) fn is_refused(&self) -> bool {
        self.sent().is_refused
    }

    /// How much may be read now; `None` for any number of bytes.
    fn room(&self) -> io::Result<Option<usize>> {
        let mut sent = self.sent();
        if !sent.is_counted {
            return Ok(None);
        }
        while sent.bytes >= sent.granted() {
            if !sent.borrow(&self.all.pieces) {
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many unfinished heads"));
            }
        }
        Ok(Some(sent.granted() - sent.bytes))
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.all.open().by_number.remove(&self.number);
    }
}

impl Sent {
    fn granted(&self) -> usize {
        FREE_BYTES + self.lent.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * PIECE_BYTES
    }

    /// One piece more, if there is one.
    fn borrow(&mut self, pieces: &Arc<Semaphore>) -> bool {
        let Ok(piece) = pieces.clone().try_acquire_owned() else {
            self.is_refused = true;
            return false;
        };
        match &mut self.lent {
            Some(lent) => lent.merge(piece),
            None => self.lent = Some(piece),
        }
        true
    }
}

/// A stream of which no more is read than [`Early`] allows.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    early: Arc<Early>,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, early: Arc<Early>) -> Self {
        Self { stream, early }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(room) = self.early.room()? else { return Pin::new(&mut self.stream).poll_read(cx, buf) };
        let room = room.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let bytes = part.filled().len();
        buf.advance(bytes);
        self.early.sent().bytes += bytes;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const ALL_BYTES: usize = FREE_BYTES + LENT_BYTES_MAX;

    async fn admitted(all: &Arc<Connections>) -> Arc<Early> {
        all.admit().await.expect("a place")
    }

    /// What one has sent is missing to another one, until its request is whole; nobody is refused what is free.
    #[tokio::test]
    async fn what_is_lent_comes_back() {
        let all = Arc::new(Connections::new(2));
        let (one, other) = (admitted(&all).await, admitted(&all).await);
        assert!(one.covers(ALL_BYTES));
        assert!(other.covers(FREE_BYTES) && !other.is_refused());
        assert!(!other.covers(FREE_BYTES + 1) && other.is_refused());
        one.complete();
        assert!(other.covers(ALL_BYTES) && !one.covers(ALL_BYTES));
        drop(other);
        assert!(one.covers(ALL_BYTES));
    }

    /// No more is taken off a connection than it may hold; once its request is whole, whatever comes.
    #[tokio::test]
    async fn no_more_is_read_than_counts() {
        let all = Arc::new(Connections::new(2));
        let (one, other) = (admitted(&all).await, admitted(&all).await);
        assert!(one.covers(ALL_BYTES));
        let (mut client, server) = duplex(3 * FREE_BYTES);
        let mut server = Counted::new(server, other.clone());
        client.write_all(&[b'a'; 3 * FREE_BYTES]).await.expect("room");
        let mut space = [0; 3 * FREE_BYTES];
        assert_eq!(server.read(&mut space).await.expect("what is free"), FREE_BYTES);
        let error = server.read(&mut space).await.expect_err("nothing is left");
        assert!(error.kind() == io::ErrorKind::OutOfMemory && other.is_refused());
        other.complete();
        assert_eq!(server.read(&mut space).await.expect("the rest"), 2 * FREE_BYTES);
    }

    /// The one that has waited longest, and never one that has a request.
    #[tokio::test]
    async fn a_new_connection_takes_the_place_of_one_that_waits() {
        let all = Arc::new(Connections::new(2));
        let (busy, waits) = (admitted(&all).await, admitted(&all).await);
        busy.complete();
        let (new, ()) = tokio::join!(all.admit(), async {
            waits.until_let_go().await;
            drop(waits);
        });
        let new = new.expect("a place");
        assert!(busy.until_let_go().now_or_never().is_none());
        new.complete();
        assert!(all.admit().await.is_none());
    }
}
