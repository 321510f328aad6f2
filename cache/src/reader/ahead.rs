//! Reading ahead inside one request: what comes next is on its way before the reader gets there.
//!
//! Fills run side by side, a window each; their blocks land in the tiers, not with the reader. They begin
//! `fill_ahead_bytes` ahead, all at once. From then on they run as far ahead as twice what the reader takes in the time
//! that its origin needs for a window: while the network holds the reader up that doubles with every window, and while
//! the client does, no more is brought than it will take. Windows grow with it, so that few are on their way at a time.
//!
//! Loads from NVMe run a few blocks ahead and are held here until the reader passes them, out of buffers that nobody who
//! waits would need. Both are cut down by what there is room for, and neither waits.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::buffer::For;
use crate::cache::Shared;
use crate::fill::{self, Why};
use crate::flight::{Flight, From, Interest};
use crate::load;
use crate::metrics::Served;
use crate::object::Object;
use crate::slab::Found;
use crate::walk::GoesOn;

/// Blocks that are loaded from NVMe ahead of a reader: what keeps a disk with a few reads at a time busy while a client
/// takes one. More would take buffers from other readers, and fewer than these are loaded when buffers are short.
const LOADS_AHEAD: u32 = 4;

/// Fills may come to run so many times `fill_ahead_bytes` ahead.
const GROWS_TO: u64 = 4;

/// Windows on their way, about, once they have grown.
const WINDOWS_AT_ONCE: u64 = 8;

/// The longest window, unless a longer one is set.
const WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What one reader has on its way.
pub(super) struct Ahead {
    /// The blocks that the reader wants.
    blocks: Range<u32>,
    /// Where fills end: past those, if other requests will go on there.
    fills_end: u32,
    /// The reader wants the whole of the last block.
    last_whole: bool,
    fills_next: u32,
    loads_next: u32,
    following: Vec<Following>,
    loads: VecDeque<Arc<Flight>>,
    /// How far ahead fills run, as measured; `None` before a window was read.
    reach_bytes: Option<u64>,
    /// When the reader was at which block, for the next measurement.
    mark: Option<(Instant, u32)>,
}

/// A fill that the reader keeps going.
struct Following {
    interest: Arc<Interest>,
    served: Served,
}

impl Ahead {
    /// For a reader of `range`, which is not empty. It may go on with the reading of others before it.
    pub(super) fn new(object: &Object, range: &Range<u64>, goes_on: GoesOn) -> Self {
        let layout = &object.layout;
        let blocks = layout.blocks_of(range);
        let beyond = range.end.saturating_add(goes_on.beyond).min(layout.object_bytes());
        let follow = |interest| Following { interest, served: Served::Joined };
        Self {
            fills_end: layout.blocks_of(&(range.start..beyond)).end,
            fills_next: blocks.start.max(goes_on.looked_to),
            loads_next: blocks.start,
            last_whole: layout.block_range(blocks.end - 1).end == range.end,
            blocks,
            following: goes_on.left.into_iter().map(follow).collect(),
            loads: VecDeque::new(),
            reach_bytes: None,
            mark: None,
        }
    }

    /// What is on its way beyond the reader's range, and up to which block this saw to everything.
    pub(super) fn left_behind(&mut self) -> (Vec<Arc<Interest>>, u32) {
        let beyond = self.following.drain(..).map(|following| following.interest);
        (beyond.filter(|interest| interest.blocks().end > self.blocks.end).collect(), self.fills_next)
    }

    /// Starts a fill of block `index`, which is missing, and what follows it. False: look again.
    pub(super) fn demand(
        &mut self,
        shared: &Arc<Shared>,
        object: &Object,
        index: u32,
        first_page: u64,
    ) -> bool {
        let stop = self.blocks.end.min(index.saturating_add(self.window_blocks(shared)));
        let Some(interest) = fill::start(shared, object, index..stop, first_page, Why::Demand) else {
            return false;
        };
        self.fills_next = self.fills_next.max(interest.blocks().end);
        self.following.push(Following { interest, served: Served::Origin });
        true
    }

    /// Keeps the fill that brings `flight` going, for as long as the reader needs it.
    pub(super) fn follow(&mut self, flight: &Flight) {
        if let From::Origin(interest) = &flight.from
            && let Some(interest) = interest.upgrade()
            && !self.following.iter().any(|following| Arc::ptr_eq(&following.interest, &interest))
        {
            self.following.push(Following { interest, served: Served::Joined });
        }
    }

    /// Where block `index` came from, if it came during this read.
    pub(super) fn served(&self, index: u32) -> Option<Served> {
        let filled = self.following.iter().find(|following| following.interest.blocks().contains(&index));
        filled.map(|following| following.served).or_else(|| self.load(index).map(|_| Served::Nvme))
    }

    /// The load of block `index` that was started ahead.
    pub(super) fn load(&self, index: u32) -> Option<&Arc<Flight>> {
        self.loads.iter().find(|flight| flight.key.index == index)
    }

    /// The reader is at block `index`: lets go of what lies behind, starts what comes next.
    pub(super) fn go(&mut self, shared: &Arc<Shared>, object: &Object, index: u32) {
        self.following.retain(|following| following.interest.blocks().end > index);
        self.loads.retain(|flight| flight.key.index >= index);
        self.measure(shared, object, index);
        self.start_loads(shared, object, index);
        self.start_fills(shared, object, index);
    }

    /// Sees how fast the reader is, once a window, for as long as fills bring what it reads.
    fn measure(&mut self, shared: &Shared, object: &Object, index: u32) {
        if self.following.is_empty() {
            self.mark = None;
            return;
        }
        let now = Instant::now();
        let (at, from) = *self.mark.get_or_insert((now, index));
        let window = self.window_blocks(shared);
        if index < from.saturating_add(window) {
            return;
        }
        self.mark = Some((now, index));
        let bytes = |blocks: u32| u64::from(blocks) * shared.settings.block_bytes;
        if let Some(window_time) = shared.budget.pace(object.source.origin()).time_of(bytes(window)) {
            self.reach_bytes = Some(reach(bytes(index - from), now - at, window_time));
        }
    }

    fn start_loads(&mut self, shared: &Arc<Shared>, object: &Object, index: u32) {
        let Some(slab) = &shared.slab else { return };
        let end = if self.last_whole { self.blocks.end } else { self.blocks.end - 1 };
        let stop = end.min(index.saturating_add(1).saturating_add(LOADS_AHEAD));
        self.loads_next = self.loads_next.max(index.saturating_add(1));
        while self.loads_next < stop {
            let key = object.key(self.loads_next);
            if !shared.memory.contains(&key)
                && let Some(Found::Stored(pin)) = slab.find(&key)
            {
                match load::start(shared, object, self.loads_next, pin, For::Ahead) {
                    Some(flight) => self.loads.push_back(flight),
                    None => return,
                }
            }
            self.loads_next += 1;
        }
    }

    fn start_fills(&mut self, shared: &Arc<Shared>, object: &Object, index: u32) {
        let ahead = index.saturating_add(1).saturating_add(self.reach_blocks(shared));
        let window = self.window_blocks(shared);
        self.fills_next = self.fills_next.max(index.saturating_add(1));
        while self.fills_next < self.fills_end {
            let stop = self.fills_end.min(self.fills_next.saturating_add(window));
            // Whole windows: the limit moves on block by block, and a request a block would be many.
            if stop > ahead {
                return;
            }
            let key = object.key(self.fills_next);
            if shared.has(&key) {
                self.fills_next += 1;
            } else if let Some(flight) = shared.flights.get(&key) {
                self.follow(&flight);
                self.fills_next += 1;
            } else {
                let first_page = object.layout.block_pages(self.fills_next).start;
                let Some(interest) =
                    fill::start(shared, object, self.fills_next..stop, first_page, Why::Ahead)
                else {
                    return;
                };
                self.fills_next = interest.blocks().end;
                self.following.push(Following { interest, served: Served::Origin });
            }
        }
    }

    /// How far fills run ahead of the reader: a window at least, and no further than the tiers will keep until it gets
    /// there.
    fn reach_blocks(&self, shared: &Shared) -> u32 {
        let settings = &shared.settings;
        let reach = self.reach_bytes.unwrap_or(settings.fill_ahead_bytes).max(settings.fill_window_bytes);
        u32::try_from(reach.min(reach_bytes_max(shared)) / settings.block_bytes).unwrap_or(u32::MAX)
    }

    /// How many blocks one fill asks for.
    fn window_blocks(&self, shared: &Shared) -> u32 {
        let settings = &shared.settings;
        // Of what may be on its way, not of what was measured: one window for all of it would be one connection.
        let reach = self.reach_bytes.unwrap_or(0).min(reach_bytes_max(shared));
        let window = window(settings.fill_window_bytes, reach) / settings.block_bytes;
        u32::try_from(window).unwrap_or(u32::MAX).min(self.reach_blocks(shared)).max(1)
    }
}

/// The furthest that fills may run ahead.
fn reach_bytes_max(shared: &Shared) -> u64 {
    shared.settings.fill_ahead_bytes.saturating_mul(GROWS_TO).min(kept_bytes(shared))
}

/// What the tiers will keep for readers to come.
fn kept_bytes(shared: &Shared) -> u64 {
    let settings = &shared.settings;
    let memory = if shared.memory.keeps() { settings.memory_bytes / 4 } else { 0 };
    let nvme = settings.nvme.as_ref().map_or(0, |nvme| nvme.write_queue_bytes / 2);
    memory + if shared.slab.as_ref().is_some_and(|slab| slab.in_use()) { nvme } else { 0 }
}

/// How much one fill asks for: as much as is set, and more for a reader whose fills reach far ahead.
fn window(least: u64, reach_bytes: u64) -> u64 {
    least.max((reach_bytes / WINDOWS_AT_ONCE).min(WINDOW_BYTES_MAX))
}

/// How far ahead to fill for a reader that took `bytes` in `time`, from an origin that needs `window_time` for a window.
fn reach(bytes: u64, time: Duration, window_time: Duration) -> u64 {
    // Never divided by nothing; and a reach that is too long is cut.
    (2.0 * bytes as f64 * window_time.as_secs_f64() / time.as_secs_f64().max(1e-6)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// A reader held up by the network doubles its reach; one held up by its client settles at twice what it takes.
    #[test]
    fn the_reach_follows_bandwidth_and_delay() {
        let window_time = Duration::from_millis(200);
        let mut reached = 16 * MIB;
        for _ in 0..3 {
            // What is on its way arrives within one window's time.
            let next = reach(reached, window_time, window_time);
            assert_eq!(next, 2 * reached);
            reached = next;
        }
        // 40 MiB a second, whatever is on its way.
        assert_eq!(reach(8 * MIB, window_time, window_time), 16 * MIB);
        assert_eq!(reach(64 * MIB, 8 * window_time, window_time), 16 * MIB);
    }

    /// Eight windows are what is on its way: of 8 MiB as it comes, and 64 at most, unless more are set.
    #[test]
    fn a_window_is_an_eighth_of_the_reach_from_8_to_64_mib() {
        let of = |reached: u64| window(8 * MIB, reached * MIB) / MIB;
        assert_eq!([0, 64, 72, 256, 512, 4096].map(of), [8, 8, 9, 32, 64, 64]);
        assert_eq!(window(128 * MIB, 4096 * MIB), 128 * MIB);
        assert_eq!(crate::Settings::default().fill_window_bytes, 8 * MIB);
    }
}
