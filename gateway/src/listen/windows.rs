//! What clients may have sent over HTTP/2 before anybody reads it: memory that is lent to connections and counted.
//!
//! HTTP/1 needs none of this: what nobody reads waits in the client's socket, and in the kernel's. Over HTTP/2 streams that
//! are read share a connection with streams that are not, so what has come is taken from the socket and kept, as far as
//! the connection's window reaches. A window cannot be taken back from a client who has not used it up. So a connection has
//! what it was lent until it has ended, and one for which nothing is left speaks HTTP/1.1.
//!
//! What is lent is taken from requests: it is memory in which some could have been answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::memory::REQUEST_BYTES;

const KIB: u32 = 1 << 10;

/// The window of a connection that was accepted: bodies on one that finds no more have 6 MiB a second over 40 ms.
pub(super) const FIRST_BYTES: u32 = 256 * KIB;

/// The largest window of a connection.
pub(super) const BYTES_MAX: u32 = 4 << 20;

/// That of each stream: less, so that what nobody reads of one leaves room to the others.
pub(super) const STREAM_BYTES: u32 = BYTES_MAX / 8 * 7;

/// Less than this is not worth a change.
const WIDER_BY_MIN: u32 = 256 * KIB;

/// What a byte of a window may take, as measured: a client who sends it in frames of 256 bytes has h2 keep as much again
/// beside each, and buffers that are filled in part.
pub(crate) const TAKEN_BY_BYTE: u64 = 4;

/// The windows of all connections of a node. Clones share them.
#[derive(Clone, Debug)]
pub struct Windows {
    /// In KiB.
    room: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl Windows {
    /// Lends `bytes_max` bytes at most, and a place of `requests` for each that its memory could have held.
    #[must_use]
    pub fn new(bytes_max: u64, requests: Arc<Semaphore>) -> Self {
        let room = usize::try_from(bytes_max / u64::from(KIB)).unwrap_or(usize::MAX);
        Self { room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))), requests }
    }

    /// A first window for a connection, if there is room for it.
    pub(super) fn lend(&self) -> Option<Lent> {
        self.take(FIRST_BYTES)
    }

    /// The same, from a connection that is ending.
    pub(super) async fn lend_within(&self, time: Duration) -> Option<Lent> {
        let room = timeout(time, self.room.clone().acquire_many_owned(FIRST_BYTES / KIB)).await;
        self.lend_of(room.ok()?.ok()?)
    }

    /// Lends more to a connection on which an upload has its place, up to half of what is left: others come. Returns the
    /// new window, if it is another.
    fn widen(&self, lent: &mut Lent) -> Option<u32> {
        let half = u32::try_from(self.room.available_permits() / 2).unwrap_or(u32::MAX).saturating_mul(KIB);
        let more = half.min(BYTES_MAX.saturating_sub(lent.bytes()));
        if more < WIDER_BY_MIN {
            return None;
        }
        let more = self.take(more)?;
        lent.room.merge(more.room);
        lent.requests.merge(more.requests);
        Some(lent.bytes())
    }

    fn take(&self, bytes: u32) -> Option<Lent> {
        self.lend_of(self.room.clone().try_acquire_many_owned(bytes / KIB).ok()?)
    }

    /// `room`, if as much can be taken from requests.
    fn lend_of(&self, room: OwnedSemaphorePermit) -> Option<Lent> {
        let bytes = room.num_permits() as u64 * u64::from(KIB);
        let requests = u32::try_from((bytes * TAKEN_BY_BYTE).div_ceil(REQUEST_BYTES)).ok()?;
        let requests = self.requests.clone().try_acquire_many_owned(requests).ok()?;
        Some(Lent { requests, room })
    }
}

/// What was lent to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    /// Given back first: who waits for the room takes these with it.
    requests: OwnedSemaphorePermit,
    room: OwnedSemaphorePermit,
}

impl Lent {
    fn bytes(&self) -> u32 {
        u32::try_from(self.room.num_permits()).unwrap_or(u32::MAX).saturating_mul(KIB)
    }
}

/// The window of one connection. The connection has it, and so has every stream of it: what came on a stream stays until the
/// stream is dropped, which may be after the connection.
#[derive(Debug)]
pub(super) struct Window {
    windows: Windows,
    lent: Mutex<Lent>,
    wanted: Notify,
}

impl Window {
    pub(super) fn new(windows: Windows, lent: Lent) -> Self {
        Self { windows, lent: Mutex::new(lent), wanted: Notify::new() }
    }

    /// An upload has got its place.
    pub(super) fn want_more(&self) {
        self.wanted.notify_one();
    }

    /// Returns the new window, each time that more of it is wanted and there is some.
    pub(super) async fn wider(&self) -> u32 {
        loop {
            self.wanted.notified().await;
            // Both permits are merged, or neither: nothing between the two panics.
            let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(bytes) = self.windows.widen(&mut lent) {
                return bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn windows(mib: u64, requests: usize) -> Windows {
        Windows::new(mib << 20, Arc::new(Semaphore::new(requests)))
    }

    fn lent_bytes(windows: &Windows, mib: usize) -> usize {
        mib * MIB - windows.room.available_permits() * KIB as usize
    }

    /// Connections get a first window each until nothing is left, and what one had is there again when it has ended.
    #[test]
    fn no_more_is_lent_than_there_is() {
        let windows = windows(3, 1000);
        let mut lent: Vec<_> = std::iter::from_fn(|| windows.lend()).collect();
        assert_eq!((lent.len(), lent_bytes(&windows, 3)), (12, 3 * MIB));
        lent.pop();
        assert!(windows.lend().is_some());
        drop(lent);
        assert_eq!((windows.room.available_permits(), windows.requests.available_permits()), (3072, 1000));
    }

    /// What is lent is missing among requests, and where those need all there is nothing is lent.
    #[test]
    fn what_is_lent_is_taken_from_requests() {
        let each = (TAKEN_BY_BYTE * u64::from(FIRST_BYTES)).div_ceil(REQUEST_BYTES) as usize;
        let windows = windows(100, 2 * each + 1);
        let lent = (windows.lend(), windows.lend(), windows.lend());
        assert!(lent.0.is_some() && lent.1.is_some() && lent.2.is_none());
        assert_eq!(windows.requests.available_permits(), 1);
        assert_eq!(lent_bytes(&windows, 100), 2 * FIRST_BYTES as usize, "what was refused is not kept");
    }

    /// Who waits for the window of a connection that is ending has all of it, and waits no longer than it should.
    #[tokio::test]
    async fn what_is_given_back_is_lent_to_who_waits() {
        let each = (TAKEN_BY_BYTE * u64::from(FIRST_BYTES)).div_ceil(REQUEST_BYTES) as usize;
        let windows = Windows::new(u64::from(FIRST_BYTES), Arc::new(Semaphore::new(each)));
        let ending = windows.lend().expect("room");
        assert!(windows.lend_within(Duration::ZERO).await.is_none(), "nothing is left");
        let waiting = windows.lend_within(Duration::from_secs(60));
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(ending);
        let lent = waiting.now_or_never().flatten().expect("what was given back");
        assert_eq!((lent.bytes(), windows.requests.available_permits()), (FIRST_BYTES, 0));
    }

    /// One gets half of what is left, up to its largest; when little is left it stays as it is.
    #[test]
    fn a_window_widens_by_half_of_what_is_left() {
        let windows = windows(8, 1000);
        let first = Window::new(windows.clone(), windows.lend().expect("room"));
        first.want_more();
        assert_eq!(first.wider().now_or_never(), Some(BYTES_MAX));
        first.want_more();
        assert_eq!(first.wider().now_or_never(), None, "it is the largest");
        let second = Window::new(windows.clone(), windows.lend().expect("room"));
        second.want_more();
        assert_eq!(second.wider().now_or_never(), Some(FIRST_BYTES + (15 << 17)));
        let rest: Vec<_> = std::iter::from_fn(|| windows.lend()).collect();
        second.want_more();
        assert_eq!(second.wider().now_or_never(), None, "too little is left");
        drop(rest);
        drop((first, second));
        assert_eq!(lent_bytes(&windows, 8), 0);
    }
}
