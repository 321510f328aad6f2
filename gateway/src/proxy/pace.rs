//! How fast a client takes an answer that pingora carries: no slower than one that is written here.
//!
//! pingora gives each piece that it writes one time, however small the piece is; a client could take a little of each, and keep
//! its place on the way to another region for hours. So what counts is how long pieces wait to be taken, by their bytes.
//! Waiting for the owner is not the client's fault and does not count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use crate::listen;
use crate::response::{Limits, Place, SLICE_BYTES};

/// A client's pace over one answer.
pub(super) struct Pace {
    limits: Limits,
    /// How long writes had waited before the bytes that count.
    waited_before: Duration,
    /// Bytes that were handed over since.
    bytes: usize,
    /// Over HTTP/2.
    unsent: Arc<Unsent>,
    /// Of the request.
    place: Option<Place>,
}

impl Pace {
    /// Of an answer over `session` that has not begun, to a request that has `place`.
    pub(super) fn new(session: &Session, limits: Limits, place: Option<Place>) -> Self {
        let waited_before = listen::write_waited(session.as_downstream());
        Self { limits, waited_before, bytes: 0, unsent: Arc::default(), place }
    }

    /// The next `piece` is about to be written; what came before it is.
    ///
    /// # Errors
    /// The client is too slow.
    pub(super) fn next(&mut self, session: &Session, piece: &mut Option<Bytes>) -> pingora::Result<()> {
        let waited = match session.is_http2() {
            true => self.unsent.waited(),
            false => listen::write_waited(session.as_downstream()),
        };
        if self.is_too_slow(waited) {
            return Err(Error::explain(ErrorType::WriteTimedout, "the client takes too little").into_down());
        }
        let Some(piece) = piece.as_mut().filter(|piece| !piece.is_empty()) else { return Ok(()) };
        self.bytes += piece.len();
        if session.is_http2() {
            *piece = self.unsent.keep(std::mem::take(piece), self.place.clone());
        }
        Ok(())
    }

    /// Whether writes have waited for too long altogether. Each mebibyte has its own time: who was fast for a while may not be
    /// slow for as long.
    fn is_too_slow(&mut self, waited: Duration) -> bool {
        let is_too_slow = waited.saturating_sub(self.waited_before) > self.limits.allowance(self.bytes);
        if self.bytes >= SLICE_BYTES {
            (self.waited_before, self.bytes) = (waited, 0);
        }
        is_too_slow
    }
}

/// What was handed to HTTP/2 and has not left. Its connection is written by another task, and says nothing of how long a piece
/// waits; so the piece itself says when it is let go of.
#[derive(Default)]
struct Unsent(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    pieces: usize,
    /// Since when there is one.
    since: Option<Instant>,
    before: Duration,
}

impl Unsent {
    /// `piece`, which waits until it is dropped, and keeps `place` so long.
    fn keep(self: &Arc<Self>, piece: Bytes, place: Option<Place>) -> Bytes {
        let mut waiting = self.lock();
        waiting.pieces += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Bytes::from_owner(Piece { bytes: piece, unsent: self.clone(), _place: place })
    }

    /// For how long there was a piece.
    fn waited(&self) -> Duration {
        let waiting = self.lock();
        waiting.before + waiting.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing between two changes panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Piece {
    bytes: Bytes,
    unsent: Arc<Unsent>,
    _place: Option<Place>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut waiting = self.unsent.lock();
        waiting.pieces -= 1;
        if waiting.pieces == 0
            && let Some(since) = waiting.since.take()
        {
            waiting.before += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        let limits = Limits { stalled_reader: 30 * SECOND, bytes_per_second_min: 16 * 1024 };
        Pace { limits, waited_before: 5 * SECOND, bytes: 0, unsent: Arc::default(), place: None }
    }

    /// What was waited for before does not count, a pause is forgiven, and bytes have their time.
    #[test]
    fn a_trickle_is_too_slow() {
        let mut pace = pace();
        assert!(!pace.is_too_slow(35 * SECOND));
        assert!(pace.is_too_slow(36 * SECOND));
        pace.bytes += 64 * 1024;
        assert!(!pace.is_too_slow(39 * SECOND));
        assert!(pace.is_too_slow(40 * SECOND));
    }

    /// A gigabyte that was taken at once is no credit for what comes after it.
    #[test]
    fn each_mebibyte_has_its_own_time() {
        let mut pace = pace();
        for taken in 1..1000 {
            pace.bytes += SLICE_BYTES;
            assert!(!pace.is_too_slow(5 * SECOND + taken * SECOND / 100));
        }
        assert!(pace.is_too_slow(46 * SECOND));
    }

    /// A piece waits until the last part of it is dropped, and time with none counts for nothing.
    #[test]
    fn only_what_has_not_left_waits() {
        let unsent = Arc::new(Unsent::default());
        let mut first = unsent.keep(Bytes::from_static(b"first"), None);
        let second = unsent.keep(Bytes::from_static(b"second"), None);
        let start = first.split_to(1);
        assert_eq!((&start[..], &first[..], &second[..]), (&b"f"[..], &b"irst"[..], &b"second"[..]));
        std::thread::sleep(Duration::from_millis(2));
        let early = unsent.waited();
        assert!(early > Duration::ZERO);
        drop((first, second));
        std::thread::sleep(Duration::from_millis(2));
        assert!(unsent.waited() > early, "a part of the first still waits");
        drop(start);
        let all = unsent.waited();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(unsent.waited(), all);
    }
}
