//! Reading ahead inside one request: what comes next is on its way before the reader gets there.
//!
//! Fills run up to `fill_ahead_bytes` ahead, a window each, side by side; their blocks land in the tiers, not with the
//! reader. Loads from NVMe run a few blocks ahead and are held here until the reader passes them, out of buffers that
//! nobody who waits would need. Both are cut down by what there is room for, and neither waits.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::buffer::For;
use crate::cache::Shared;
use crate::fill::{self, Why};
use crate::flight::{Flight, From, Interest};
use crate::load;
use crate::metrics::Served;
use crate::object::Object;
use crate::slab::Found;

/// Blocks that are loaded from NVMe ahead of a reader: what keeps a disk with a few reads at a time busy while a client
/// takes one. More would take buffers from other readers, and fewer than these are loaded when buffers are short.
const LOADS_AHEAD: u32 = 4;

/// What one reader has on its way.
pub(super) struct Ahead {
    /// The blocks that the reader wants.
    blocks: Range<u32>,
    /// The reader wants the whole of the last block.
    last_whole: bool,
    fills_next: u32,
    loads_next: u32,
    following: Vec<Following>,
    loads: VecDeque<Arc<Flight>>,
}

/// A fill that the reader keeps going.
struct Following {
    interest: Arc<Interest>,
    served: Served,
}

impl Ahead {
    pub(super) fn new(blocks: Range<u32>, last_whole: bool) -> Self {
        Self {
            fills_next: blocks.start,
            loads_next: blocks.start,
            blocks,
            last_whole,
            following: Vec::new(),
            loads: VecDeque::new(),
        }
    }

    /// Starts a fill of block `index`, which is missing, and what follows it. False: look again.
    pub(super) fn demand(
        &mut self,
        shared: &Arc<Shared>,
        object: &Object,
        index: u32,
        first_page: u64,
    ) -> bool {
        let stop = self.blocks.end.min(index.saturating_add(window_blocks(shared)));
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
        self.start_loads(shared, object, index);
        self.start_fills(shared, object, index);
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
        let ahead = index.saturating_add(1).saturating_add(ahead_blocks(shared));
        let window = window_blocks(shared);
        self.fills_next = self.fills_next.max(index.saturating_add(1));
        while self.fills_next < self.blocks.end {
            let stop = self.blocks.end.min(self.fills_next.saturating_add(window));
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
}

/// How far fills may run ahead of a reader: no further than the tiers will keep until it gets there.
fn ahead_blocks(shared: &Shared) -> u32 {
    let settings = &shared.settings;
    let memory = if shared.memory.keeps() { settings.memory_bytes / 4 } else { 0 };
    let nvme = settings.nvme.as_ref().map_or(0, |nvme| nvme.write_queue_bytes / 2);
    let nvme = if shared.slab.as_ref().is_some_and(|slab| slab.in_use()) { nvme } else { 0 };
    let bytes = settings.fill_ahead_bytes.min(memory + nvme);
    u32::try_from(bytes / settings.block_bytes).unwrap_or(u32::MAX)
}

/// How many blocks one fill asks for.
fn window_blocks(shared: &Shared) -> u32 {
    let window = shared.settings.fill_window_bytes / shared.settings.block_bytes;
    u32::try_from(window).unwrap_or(u32::MAX).min(ahead_blocks(shared)).max(1)
}
