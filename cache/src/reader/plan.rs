//! Where a read's bytes would come from, and where they came from.

use std::ops::Range;

use crate::cache::Shared;
use crate::flight::From;
use crate::metrics::Served;
use crate::object::Object;

/// A plan looks at no more blocks than these, 16 GiB at 1 MiB a block: it runs before the first byte.
const BLOCKS_MAX: u32 = 16 * 1024;

/// Where the blocks of a range would come from, as known before the first byte. Bytes of the range, by place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Everything is in memory or on NVMe, and may be taken from there.
    pub hit: bool,
    /// In memory.
    pub memory_bytes: u64,
    /// On NVMe.
    pub nvme_bytes: u64,
    /// To be read from the origin.
    pub origin_bytes: u64,
    /// On their way for another reader.
    pub joined_bytes: u64,
    /// Past the first 16384 blocks, which is where a plan stops looking.
    pub unknown_bytes: u64,
}

impl Plan {
    pub(super) fn of(shared: &Shared, object: &Object, range: &Range<u64>) -> Self {
        let mut plan = Self::default();
        if range.is_empty() {
            return Self { hit: true, ..plan };
        }
        let blocks = object.layout.blocks_of(range);
        let looked_at = blocks.start..blocks.end.min(blocks.start.saturating_add(BLOCKS_MAX));
        for index in looked_at.clone() {
            *plan.place_of(shared, object, index) += overlap(&object.layout.block_range(index), range);
        }
        if looked_at.end < blocks.end {
            plan.unknown_bytes = range.end - object.layout.block_range(looked_at.end).start;
        }
        plan.hit = plan.origin_bytes + plan.joined_bytes + plan.unknown_bytes == 0;
        plan
    }

    /// The plan of a read that goes past the cache.
    pub(super) fn bypass(range: &Range<u64>) -> Self {
        Self { origin_bytes: range.end - range.start, ..Self::default() }
    }

    fn place_of(&mut self, shared: &Shared, object: &Object, index: u32) -> &mut u64 {
        let key = object.key(index);
        if shared.memory.contains(&key) {
            return &mut self.memory_bytes;
        }
        if shared.slab.as_ref().is_some_and(|slab| slab.contains(&key)) {
            return &mut self.nvme_bytes;
        }
        match shared.flights.get(&key).map(|flight| matches!(flight.from, From::Nvme)) {
            Some(true) => &mut self.nvme_bytes,
            Some(false) => &mut self.joined_bytes,
            None => &mut self.origin_bytes,
        }
    }
}

fn overlap(block: &Range<u64>, range: &Range<u64>) -> u64 {
    block.end.min(range.end) - block.start.max(range.start)
}

/// Where the bytes that a reader gave came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// From memory.
    pub memory_bytes: u64,
    /// From NVMe.
    pub nvme_bytes: u64,
    /// From the origin, by fills of this reader.
    pub origin_bytes: u64,
    /// From the origin, by fills of other readers during this read.
    pub joined_bytes: u64,
    /// From the origin, with nothing kept.
    pub bypass_bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, served: Served, bytes: u64) {
        *match served {
            Served::Memory => &mut self.memory_bytes,
            Served::Nvme => &mut self.nvme_bytes,
            Served::Origin => &mut self.origin_bytes,
            Served::Joined => &mut self.joined_bytes,
            Served::Bypass => &mut self.bypass_bytes,
        } += bytes;
    }
}
