//! What one connection has in flight in one direction: pieces with their release times, and how many there may be.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Passing;

/// Bytes read at a time, at most.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 10;

/// In flight beside what bandwidth and delay ask for, and all there is where no bandwidth is given.
const ROOM_BYTES: u64 = 256 << 10;
const UNPACED_ROOM_BYTES: u64 = 8 << 20;

/// What the smallest piece counts as: its place in the queue costs memory too.
const PIECE_WEIGHT_MIN: u64 = 256;

/// A slowed connection's piece is what it sends in this time, so that a change of conditions is soon felt.
const PIECES_PER_SECOND: u64 = 20;

/// How far behind a sender may be and still catch up: timers wake late.
const CATCH_UP: Duration = Duration::from_millis(5);

/// What happens at a release time.
pub(super) enum Event {
    Bytes(Vec<u8>),
    /// The sender has closed its side.
    End,
    /// The sender is gone.
    Reset,
}

/// Something on its way.
pub(super) struct Piece {
    pub(super) release: Instant,
    pub(super) event: Event,
}

/// How much of a connection is on its way in one direction.
#[derive(Default)]
pub(super) struct Flight {
    bytes: AtomicU64,
    landed: Notify,
    has_hole: AtomicBool,
}

impl Flight {
    /// Waits until fewer than `room` bytes are in flight.
    pub(super) async fn wait_for_room(&self, room: u64) {
        while self.bytes.load(Ordering::Relaxed) >= room {
            self.landed.notified().await;
        }
    }

    pub(super) fn depart(&self, bytes: usize) {
        self.bytes.fetch_add(weight(bytes), Ordering::Relaxed);
    }

    pub(super) fn land(&self, bytes: usize) {
        self.bytes.fetch_sub(weight(bytes), Ordering::Relaxed);
        self.landed.notify_one();
    }

    /// A byte was lost: whatever comes after it can never be delivered.
    pub(super) fn tear_hole(&self) {
        self.has_hole.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_hole(&self) -> bool {
        self.has_hole.load(Ordering::Relaxed)
    }
}

fn weight(bytes: usize) -> u64 {
    (bytes as u64).max(PIECE_WEIGHT_MIN)
}

/// Bytes that one connection may have in flight.
pub(super) fn room_bytes(passing: &Passing) -> u64 {
    let narrowest = passing.rate_of_each().into_iter().chain(passing.shape.bytes_per_second_all).min();
    match narrowest {
        None => UNPACED_ROOM_BYTES,
        Some(rate) => {
            let in_flight = u128::from(rate.get()) * passing.shape.delay.as_micros() / 1_000_000;
            u64::try_from(in_flight).unwrap_or(u64::MAX).saturating_add(ROOM_BYTES)
        }
    }
}

/// Bytes to read at a time.
pub(super) fn piece_bytes(passing: &Passing) -> usize {
    match passing.rate_of_each() {
        None => PIECE_BYTES_MAX,
        Some(rate) => {
            usize::try_from(rate.get() / PIECES_PER_SECOND).unwrap_or(usize::MAX).clamp(1, PIECE_BYTES_MAX)
        }
    }
}

/// When `bytes` will have departed at `rate` behind what keeps the sender busy until `busy_until`.
pub(super) fn departure(busy_until: Instant, bytes: usize, rate: NonZeroU64, now: Instant) -> Instant {
    let start = busy_until.max(now.checked_sub(CATCH_UP).unwrap_or(now));
    start + Duration::from_secs_f64(bytes as f64 / rate.get() as f64)
}
