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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// How long a new connection waits for the place, or the window, of one that is let go, which is told at once. Nobody else is
/// accepted meanwhile.
pub(super) const LET_GO_WITHIN: Duration = Duration::from_millis(250);

/// Stands for a connection that has a request.
const BUSY: u64 = u64::MAX;

/// Stands for one that was told to go.
const LET_GO: u64 = u64::MAX - 1;

/// Added to the time since when a connection waits that has shaken hands, or had a request: it goes after those that have not.
const KNOWN: u64 = 1 << 62;

/// The connections of one [`Front`](super::Front).
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    /// What one of them may have sent.
    bytes_max: usize,
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
    /// Since when it waits for a request, in microseconds, and whether it is [`KNOWN`]; or [`BUSY`], or [`LET_GO`].
    since: AtomicU64,
    is_known: AtomicBool,
    /// It speaks HTTP/2, and was lent a window for it.
    has_window: AtomicBool,
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
    /// At most `connections_max` at one time, each with `bytes_max` of what comes before a request.
    pub(super) fn new(connections_max: usize, bytes_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(connections_max)),
            pieces: Arc::new(Semaphore::new(LENT_BYTES_MAX / PIECE_BYTES)),
            bytes_max,
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
            self.let_go_of_longest_waiting(|_| true)?;
            timeout(LET_GO_WITHIN, self.places.clone().acquire_owned()).await.ok()?.ok()?
        };
        let mut open = self.open();
        open.last += 1;
        let early = Arc::new(Early {
            all: self.clone(),
            number: open.last,
            _place: place,
            since: AtomicU64::new(self.now()),
            is_known: AtomicBool::new(false),
            has_window: AtomicBool::new(false),
            let_go: Notify::new(),
            sent: Mutex::new(Sent { is_counted: true, bytes: 0, lent: None, is_refused: false }),
        });
        open.by_number.insert(early.number, Arc::downgrade(&early));
        Some(early)
    }

    /// Has the connection of HTTP/2 go that has been idle longest; `None` where each has a request.
    pub(super) fn let_go_of_idle_http2(&self) -> Option<()> {
        self.let_go_of_longest_waiting(|early| early.has_window.load(Ordering::Relaxed))
    }

    /// Of those that `may_go`, strangers first.
    fn let_go_of_longest_waiting(&self, may_go: impl Fn(&Early) -> bool) -> Option<()> {
        // One that ends meanwhile removes itself, for which it needs the lock: those looked at are kept until it is free.
        let all: Vec<_> = self.open().by_number.values().filter_map(Weak::upgrade).collect();
        let waits = all.iter().filter(|early| may_go(early));
        let mut waiting: Vec<_> = waits.map(|early| (early.since.load(Ordering::Acquire), early)).collect();
        waiting.retain(|(since, _)| *since < LET_GO);
        waiting.sort_unstable_by_key(|(since, _)| *since);
        // Its request may have come since it was looked at: then it is the next one's turn.
        let gone = |(since, early): &(u64, &Arc<Early>)| {
            early.since.compare_exchange(*since, LET_GO, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        waiting.into_iter().find(gone).map(|(_, early)| early.let_go.notify_one())
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
        self.waits();
        let mut sent = self.sent();
        (sent.is_counted, sent.bytes, sent.lent) = (true, 0, None);
    }

    /// No request is there: another connection may have this one's place.
    pub(super) fn waits(&self) {
        let known = if self.is_known.load(Ordering::Relaxed) { KNOWN } else { 0 };
        self.since(self.all.now() | known);
    }

    /// The last answer was given, and the client is left the time to take it.
    pub(super) fn lingers(&self) {
        self.since(self.all.now());
    }

    fn since(&self, since: u64) {
        // Who was told to go goes.
        let _ = self
            .since
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |before| (before != LET_GO).then_some(since));
    }

    /// The request is whole, or something else begins on the connection: whoever serves it counts from now on. False where
    /// another connection was given its place: it must end.
    #[must_use]
    pub(super) fn complete(&self) -> bool {
        self.is_known.store(true, Ordering::Relaxed);
        self.since(BUSY);
        self.stop_counting();
        self.since.load(Ordering::Acquire) != LET_GO
    }

    /// It speaks HTTP/2.
    pub(super) fn has_window(&self) {
        self.has_window.store(true, Ordering::Relaxed);
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
            if !sent.borrow(&self.all) {
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
            if !sent.borrow(&self.all) {
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

    /// One piece more, if there is one, and this one may have it.
    fn borrow(&mut self, all: &Connections) -> bool {
        let is_too_much = self.granted() >= all.bytes_max;
        let piece = if is_too_much { None } else { all.pieces.clone().try_acquire_owned().ok() };
        let Some(piece) = piece else {
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
        let all = Arc::new(Connections::new(2, ALL_BYTES));
        let (one, other) = (admitted(&all).await, admitted(&all).await);
        assert!(one.covers(ALL_BYTES));
        assert!(other.covers(FREE_BYTES) && !other.is_refused());
        assert!(!other.covers(FREE_BYTES + 1) && other.is_refused());
        assert!(one.complete());
        assert!(other.covers(ALL_BYTES) && !one.covers(ALL_BYTES));
        drop(other);
        assert!(one.covers(ALL_BYTES));
    }

    /// No more is taken off a connection than it may hold; once its request is whole, whatever comes.
    #[tokio::test]
    async fn no_more_is_read_than_counts() {
        let all = Arc::new(Connections::new(2, ALL_BYTES));
        let (one, other) = (admitted(&all).await, admitted(&all).await);
        assert!(one.covers(ALL_BYTES));
        let (mut client, server) = duplex(3 * FREE_BYTES);
        let mut server = Counted::new(server, other.clone());
        client.write_all(&[b'a'; 3 * FREE_BYTES]).await.expect("room");
        let mut space = [0; 3 * FREE_BYTES];
        assert_eq!(server.read(&mut space).await.expect("what is free"), FREE_BYTES);
        let error = server.read(&mut space).await.expect_err("nothing is left");
        assert!(error.kind() == io::ErrorKind::OutOfMemory && other.is_refused());
        assert!(other.complete());
        assert_eq!(server.read(&mut space).await.expect("the rest"), 2 * FREE_BYTES);
    }

    /// The one that has waited longest, and never one that has a request.
    #[tokio::test]
    async fn a_new_connection_takes_the_place_of_one_that_waits() {
        let all = Arc::new(Connections::new(2, ALL_BYTES));
        let (busy, waits) = (admitted(&all).await, admitted(&all).await);
        assert!(busy.complete());
        let (new, ()) = tokio::join!(all.admit(), async {
            waits.until_let_go().await;
            drop(waits);
        });
        let new = new.expect("a place");
        assert!(busy.until_let_go().now_or_never().is_none());
        assert!(new.complete());
        assert!(all.admit().await.is_none());
        // Who lingers behind the last answer gives way like one that waits.
        busy.lingers();
        let (last, ()) = tokio::join!(all.admit(), async {
            busy.until_let_go().await;
            drop(busy);
        });
        assert!(last.is_some());
    }

    /// Who has had a request goes after those that never had one, however long it has waited.
    #[tokio::test]
    async fn strangers_go_first() {
        let all = Arc::new(Connections::new(2, ALL_BYTES));
        let (known, stranger) = (admitted(&all).await, admitted(&all).await);
        assert!(known.complete());
        known.begin();
        stranger.begin();
        assert!(all.let_go_of_longest_waiting(|_| true).is_some());
        assert!(stranger.until_let_go().now_or_never().is_some() && !stranger.complete());
        assert!(known.until_let_go().now_or_never().is_none() && known.complete());
        assert!(all.let_go_of_longest_waiting(|_| true).is_none());
    }

    /// Of the connections of HTTP/2, when it is about their windows.
    #[tokio::test]
    async fn an_idle_connection_of_http2_gives_way_to_another() {
        let all = Arc::new(Connections::new(2, ALL_BYTES));
        let (http1, http2) = (admitted(&all).await, admitted(&all).await);
        assert!(all.let_go_of_idle_http2().is_none());
        http2.has_window();
        assert!(http2.complete() && all.let_go_of_idle_http2().is_none());
        http2.waits();
        assert!(all.let_go_of_idle_http2().is_some() && !http2.complete());
        assert!(http1.complete());
    }

    /// One connection may not have all that there is.
    #[tokio::test]
    async fn one_has_no_more_than_a_head() {
        let all = Arc::new(Connections::new(2, 2 * FREE_BYTES));
        let (one, other) = (admitted(&all).await, admitted(&all).await);
        assert!(one.covers(2 * FREE_BYTES) && !one.covers(2 * FREE_BYTES + 1) && one.is_refused());
        assert!(other.covers(2 * FREE_BYTES));
    }
}
