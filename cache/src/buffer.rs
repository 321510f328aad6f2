//! Block buffers: page-aligned memory from one bounded pool.
//!
//! Every block in memory lies in a buffer of this pool, whoever holds it: the memory tier, the queue of the NVMe tier,
//! a read in progress, or a client that has not yet taken its piece. The pool never maps more than its capacity, so
//! the cache's memory is bounded by construction; whoever asks for a buffer beyond it waits or goes without. Buffers
//! come in a few sizes (64 KiB, doubling up to a block) and return to the pool when the last [`Bytes`] over them is
//! dropped: touching fresh memory costs nine times what touching used memory does.
//!
//! A pool may be [preallocated](Preallocation): then no reader waits for the system to clear memory for it, and blocks lie
//! on huge pages where the system has them, of which a read past the page cache has far fewer to hold on to.
//!
//! [`Bytes`]: bytes::Bytes

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use memmap2::{Advice, MmapMut, MmapOptions};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::sync::lock;

/// The smallest buffer: a page.
const SMALLEST_BYTES: usize = 64 * 1024;

/// What is preallocated at a time, and the share of the pool that it is at most: buffers that lie next to each other share
/// huge pages, and nobody has those meanwhile.
const PREALLOCATED_AT_ONCE_BYTES: usize = 32 * 1024 * 1024;
const PREALLOCATED_AT_ONCE_SHARE: usize = 8;

/// For so long nobody has wanted a buffer that was not there, before more are preallocated.
const QUIET: Duration = Duration::from_secs(2);

/// What the system maps at a time, at the least.
const SYSTEM_PAGE_BYTES: usize = 4096;

/// What it maps at a time where it can, on x86-64 and on most of Arm: from a multiple of that on.
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

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
    /// How often somebody wanted a buffer when there was none of its size.
    wanted_count: u64,
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
        let bytes = class_bytes(len);
        let limit = match whose {
            For::Demand => self.0.capacity_bytes,
            For::Ahead => self.0.capacity_bytes - self.0.reserve_bytes,
        };
        let mut surplus = Vec::new();
        let map = {
            let mut state = lock(&self.0.state);
            if state.free.get(class).is_none_or(Vec::is_empty) {
                // Also of those who go without: it may be what is preallocated now that they have no room for.
                state.wanted_count += 1;
            }
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
            self.was_not_mapped(bytes);
        }
        map.map(|map| Buffer { map: Some(map), pool: self.clone() })
    }

    /// Up to `count` buffers of `len` bytes that nobody has used, as far as the pool may map them beside all that it has.
    fn map_unused(&self, len: usize, count: usize) -> Vec<Buffer> {
        let bytes = class_bytes(len);
        let count = {
            let mut state = lock(&self.0.state);
            let count = count.min((self.0.capacity_bytes - state.mapped_bytes) / bytes);
            state.mapped_bytes += count * bytes;
            state.used_bytes += count * bytes;
            count
        };
        // Until all of them are mapped: they are to lie below.
        let _gap = huge_page_gap(bytes);
        let buffers: Vec<Buffer> = (0..count)
            .map_while(|_| MmapOptions::new().len(bytes).map_anon().ok())
            .map(|map| {
                // A kernel without huge pages takes no such advice, and needs none.
                let _ = map.advise(Advice::HugePage);
                Buffer { map: Some(map), pool: self.clone() }
            })
            .collect();
        if buffers.len() < count {
            self.was_not_mapped((count - buffers.len()) * bytes);
        }
        buffers
    }

    fn was_not_mapped(&self, bytes: usize) {
        {
            let mut state = lock(&self.0.state);
            state.used_bytes -= bytes;
            state.mapped_bytes -= bytes;
        }
        self.0.returned.notify_waiters();
    }

    /// Fills the pool with buffers of `len` bytes, on a thread of its own.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn preallocate(&self, len: usize) -> std::io::Result<()> {
        let preallocation = Preallocation { pool: Arc::downgrade(&self.0), len };
        thread::Builder::new().name("preallocation".into()).spawn(move || preallocation.run()).map(drop)
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

    /// Bytes that the pool has of the system.
    pub(crate) fn mapped_bytes(&self) -> usize {
        lock(&self.0.state).mapped_bytes
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

/// Fills a pool, for as long as it is there, a bit at a time. It stands back while readers want buffers that are not there:
/// they need the processor, and the memory, themselves.
struct Preallocation {
    pool: Weak<Inner>,
    len: usize,
}

impl Preallocation {
    fn run(self) {
        let mut wanted_count = self.wanted_count();
        loop {
            thread::sleep(QUIET);
            loop {
                let now = self.wanted_count();
                if now != wanted_count {
                    wanted_count = now;
                    break;
                }
                let Some(pool) = self.pool.upgrade().map(Pool) else { return };
                if pool.preallocate_some(self.len) == 0 {
                    let (bytes, wanted) = (pool.mapped_bytes(), pool.0.capacity_bytes);
                    match wanted - bytes < class_bytes(self.len) {
                        true => info!(bytes, "the memory of blocks is allocated"),
                        false => warn!(
                            bytes,
                            wanted, "the system refuses memory of blocks: more is asked for when needed"
                        ),
                    }
                    return;
                }
            }
        }
    }

    fn wanted_count(&self) -> u64 {
        self.pool.upgrade().map_or(0, |inner| lock(&inner.state).wanted_count)
    }
}

impl Pool {
    /// Maps a few buffers more and returns how many bytes; none where the pool has all that it may have.
    fn preallocate_some(&self, len: usize) -> usize {
        let at_once = PREALLOCATED_AT_ONCE_BYTES.min(self.0.capacity_bytes / PREALLOCATED_AT_ONCE_SHARE);
        let mut buffers = self.map_unused(len, (at_once / len).max(2));
        // Touched, not populated by a system call: that would keep everybody else from mapping anything meanwhile. All of
        // them are mapped before the first is touched, so that two of a MiB can lie on one huge page of two.
        for byte in buffers.iter_mut().flat_map(|buffer| buffer.iter_mut().step_by(SYSTEM_PAGE_BYTES)) {
            *byte = 0;
        }
        buffers.iter().map(|buffer| buffer.len()).sum()
    }
}

/// Address space that nobody touches, as much as keeps what is mapped next from ending where a huge page does. The system maps
/// downwards, each below the one before: buffers that would straddle huge pages share fewer of them. Where it maps elsewhere,
/// nothing is lost but that.
fn huge_page_gap(next_bytes: usize) -> Option<MmapMut> {
    let map = |len| MmapOptions::new().len(len).map_anon().ok();
    let next = map(next_bytes)?;
    let gap_bytes = next.as_ptr_range().end.addr() % HUGE_PAGE_BYTES;
    drop(next);
    if gap_bytes > 0 { map(gap_bytes) } else { None }
}

/// Which size of buffer holds `len` bytes.
fn class_of(len: usize) -> usize {
    let pages = len.div_ceil(SMALLEST_BYTES).max(1).next_power_of_two();
    pages.trailing_zeros() as usize
}

/// What a buffer of at least `len` bytes takes.
fn class_bytes(len: usize) -> usize {
    SMALLEST_BYTES << class_of(len)
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

    /// All that the pool may have is there beforehand, and handed out and given up as any other buffer is.
    #[test]
    fn a_preallocated_pool_stays_within_its_capacity() {
        let pool = Pool::new(5 * MIB + 5, 0);
        let held = pool.try_take(1, For::Demand).expect("room");
        while pool.preallocate_some(MIB) > 0 {}
        assert_eq!((pool.mapped_bytes(), pool.used_bytes()), (4 * MIB + SMALLEST_BYTES, SMALLEST_BYTES));
        let others: Vec<_> = (0..4).map(|_| pool.try_take(MIB, For::Demand).expect("room")).collect();
        assert_eq!(pool.mapped_bytes(), 4 * MIB + SMALLEST_BYTES);
        drop((held, others));
        let small: Vec<_> = (0..80).map(|_| pool.try_take(1, For::Demand).expect("room")).collect();
        assert!(pool.try_take(1, For::Demand).is_none());
        assert_eq!((small.len() * SMALLEST_BYTES, pool.mapped_bytes()), (5 * MIB, 5 * MIB));
    }

    /// What is refused because of what is being preallocated is wanted too, and told when that is there.
    #[tokio::test]
    async fn preallocation_is_told_of_whom_it_turns_away() {
        let pool = Pool::new(2 * MIB, 0);
        let being_preallocated = pool.map_unused(MIB, 2);
        assert_eq!(being_preallocated.len(), 2);
        let before = lock(&pool.0.state).wanted_count;
        assert!(pool.try_take(MIB, For::Demand).is_none());
        assert_eq!(lock(&pool.0.state).wanted_count, before + 1);
        let (taken, ()) = tokio::join!(pool.take(MIB, Duration::from_secs(60)), async {
            tokio::task::yield_now().await;
            drop(being_preallocated);
        });
        assert!(taken.is_some());
        assert_eq!(lock(&pool.0.state).wanted_count, before + 2);
    }

    /// The advice to use huge pages arrives for all that is preallocated, and for nothing else.
    #[test]
    fn what_is_preallocated_is_advised_to_lie_on_huge_pages() {
        if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").expect("a look") {
            return;
        }
        let pool = Pool::new(64 * MIB, 0);
        let wanted = pool.try_take(MIB, For::Demand).expect("room");
        let preallocated = pool.map_unused(MIB, 4);
        assert!(preallocated.iter().all(|buffer| has_advice(buffer)) && !has_advice(&wanted));
    }

    /// Two buffers of a MiB share a huge page. A few may not, where others have left room for them elsewhere; without the gap, which
    /// has all lie as the first one does, none would.
    #[test]
    fn what_is_preallocated_begins_and_ends_with_huge_pages() {
        let sharing = |buffers: &[Buffer]| {
            let all: Vec<_> = buffers.iter().map(|buffer| buffer.as_ptr().addr()).collect();
            let shares = |one: usize| all.contains(&(one ^ MIB)) && one.is_multiple_of(MIB);
            all.iter().filter(|one| shares(**one)).count()
        };
        let counts: Vec<_> = (0..8).map(|_| sharing(&Pool::new(32 * MIB, 0).map_unused(MIB, 32))).collect();
        assert!(counts.iter().any(|count| *count >= 16), "{counts:?}");
    }

    /// Whether the mapping that `buffer` lies in has `hg` among its flags.
    fn has_advice(buffer: &[u8]) -> bool {
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("the kernel tells of memory");
        let mut is_here = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let hex = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((start, end)) = range.and_then(|(start, end)| Some((hex(start)?, hex(end)?))) {
                is_here = (start..end).contains(&buffer.as_ptr().addr());
            } else if is_here && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.split(' ').any(|flag| flag == "hg");
            }
        }
        panic!("the buffer is mapped");
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
