//! Block buffers: page-aligned memory from one bounded pool.
//!
//! Every block in memory lies in a buffer of this pool, whoever holds it: the memory tier, the queue of the NVMe tier,
//! a read in progress, or a client that has not yet taken its piece. The pool never maps more than its capacity, so
//! the cache's memory is bounded by construction; whoever asks for a buffer beyond it waits or goes without. Buffers
//! come in a few sizes (64 KiB, doubling up to a block) and return to the pool when the last [`Bytes`] over them is
//! dropped: touching fresh memory costs nine times what touching used memory does.
//!
//! [`Bytes`]: bytes::Bytes

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memmap2::{MmapMut, MmapOptions};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::sync::lock;

/// The smallest buffer: a page.
const SMALLEST_BYTES: usize = 64 * 1024;

/// The node's block buffers. Clones are the same pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    capacity_bytes: usize,
    /// What reading ahead leaves to readers that wait.
    reserve_bytes: usize,
    state: Mutex<State>,
    returned: Notify,
}

#[derive(Default)]
struct State {
    /// Free buffers by size: 64 KiB, 128 KiB, …
    free: Vec<Vec<MmapMut>>,
    mapped_bytes: usize,
    used_bytes: usize,
}

/// For whom a buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    /// A reader that waits, or a block that was filled.
    Demand,
    /// A reader that may come.
    Ahead,
}

impl Pool {
    /// A pool of at most `capacity_bytes`, of which reading ahead leaves `reserve_bytes` alone.
    pub(crate) fn new(capacity_bytes: usize, reserve_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            capacity_bytes,
            reserve_bytes,
            state: Mutex::default(),
            returned: Notify::new(),
        }))
    }

    /// A buffer of at least `len` bytes, if there is room for one now. Its content is whatever it held before.
    pub(crate) fn try_take(&self, len: usize, whose: For) -> Option<Buffer> {
        let class = class_of(len);
        let bytes = SMALLEST_BYTES << class;
        let limit = match whose {
            For::Demand => self.0.capacity_bytes,
            For::Ahead => self.0.capacity_bytes - self.0.reserve_bytes,
        };
        let mut surplus = Vec::new();
        let map = {
            let mut state = lock(&self.0.state);
            if state.used_bytes + bytes > limit {
                return None;
            }
            state.used_bytes += bytes;
            let free = state.free.get_mut(class).and_then(Vec::pop);
            if free.is_none() {
                state.mapped_bytes += bytes;
                surplus = state.give_up(self.0.capacity_bytes);
            }
            free
        };
        drop(surplus);
        // Populated at once: a fault for each of its pages costs half as much again. The system may refuse, out of memory
        // or of mappings; then there is no room.
        let map = map.or_else(|| MmapOptions::new().len(bytes).populate().map_anon().ok());
        if map.is_none() {
            let mut state = lock(&self.0.state);
            state.used_bytes -= bytes;
            state.mapped_bytes -= bytes;
        }
        map.map(|map| Buffer { map: Some(map), pool: self.clone() })
    }

    /// A buffer of at least `len` bytes, waiting for one at most `wait_max`.
    pub(crate) async fn take(&self, len: usize, wait_max: Duration) -> Option<Buffer> {
        timeout(wait_max, async {
            loop {
                let returned = self.0.returned.notified();
                tokio::pin!(returned);
                returned.as_mut().enable();
                if let Some(buffer) = self.try_take(len, For::Demand) {
                    return buffer;
                }
                returned.await;
            }
        })
        .await
        .ok()
    }

    /// Bytes of buffers in somebody's hands.
    pub(crate) fn used_bytes(&self) -> usize {
        lock(&self.0.state).used_bytes
    }

    fn put_back(&self, map: MmapMut) {
        {
            let mut state = lock(&self.0.state);
            let class = class_of(map.len());
            state.used_bytes -= map.len();
            if state.free.len() <= class {
                state.free.resize_with(class + 1, Vec::new);
            }
            state.free[class].push(map);
        }
        // Everyone looks again: the first in line may want more than came back, the next one less.
        self.0.returned.notify_waiters();
    }
}

impl State {
    /// Takes free buffers of other sizes out of the pool until what is mapped fits; the caller unmaps them.
    fn give_up(&mut self, capacity_bytes: usize) -> Vec<MmapMut> {
        let mut surplus = Vec::new();
        while self.mapped_bytes > capacity_bytes {
            let Some(map) = self.free.iter_mut().rev().find_map(Vec::pop) else { break };
            self.mapped_bytes -= map.len();
            surplus.push(map);
        }
        surplus
    }
}

/// Which size of buffer holds `len` bytes.
fn class_of(len: usize) -> usize {
    let pages = len.div_ceil(SMALLEST_BYTES).max(1).next_power_of_two();
    pages.trailing_zeros() as usize
}

/// A page-aligned buffer; dropping it returns it to the pool.
pub(crate) struct Buffer {
    /// `None` only while dropping.
    map: Option<MmapMut>,
    pool: Pool,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(map) = self.map.take() {
            self.pool.put_back(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// The pool maps no more than its capacity, whatever sizes are asked for in turn.
    #[test]
    fn capacity_holds_across_sizes() {
        let pool = Pool::new(2 * MIB, 0);
        let large: Vec<_> = (0..2).map(|_| pool.try_take(MIB, For::Demand).expect("room")).collect();
        assert!(pool.try_take(1, For::Demand).is_none());
        drop(large);
        let small: Vec<_> = (0..32).map(|_| pool.try_take(1, For::Demand).expect("room")).collect();
        assert!(pool.try_take(1, For::Demand).is_none());
        assert_eq!(lock(&pool.0.state).mapped_bytes, 2 * MIB);
        drop(small);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn buffers_are_aligned_to_sectors_and_used_again() {
        let pool = Pool::new(MIB, 0);
        let mut first = pool.try_take(100_000, For::Demand).expect("room");
        first[0] = 7;
        let address = first.as_ptr();
        assert_eq!((address.addr() % 4096, first.len()), (0, 128 * 1024));
        drop(first);
        assert_eq!(pool.try_take(100_000, For::Demand).expect("room").as_ptr(), address);
    }

    #[test]
    fn reading_ahead_leaves_the_reserve() {
        let pool = Pool::new(2 * MIB, MIB);
        let _one = pool.try_take(MIB, For::Ahead).expect("room");
        assert!(pool.try_take(1, For::Ahead).is_none());
        assert!(pool.try_take(MIB, For::Demand).is_some());
    }

    #[tokio::test]
    async fn a_waiter_gets_the_buffer_that_comes_back() {
        let pool = Pool::new(MIB, 0);
        let held = pool.try_take(MIB, For::Demand).expect("room");
        let waiter = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take(MIB, Duration::from_secs(60)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiter.await.expect("no panic"));
    }
}
