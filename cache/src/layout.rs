//! Block and page arithmetic: pure, without I/O.
//!
//! An object is cut into blocks of a set size, a block into pages of 64 KiB; the last of each may be shorter. Byte
//! positions are `u64` and count from the start of the object; a range is never empty unless said so.

use std::ops::Range;

use crate::instance::Instance;
use crate::source::PAGE_BYTES;

/// The name of a block: which slice of which bytes. 20 bytes, because every block on NVMe has one in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BlockKey {
    pub(crate) instance: Instance,
    pub(crate) index: u32,
}

impl BlockKey {
    /// A hash that is the same in every process: instances are random, so mixing is all it takes.
    pub(crate) fn hash64(&self) -> u64 {
        let (first, second) = self.instance.0.split_at(8);
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("half of sixteen bytes"));
        let next = u64::from(self.index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mix(mix(half(first) ^ next) ^ half(second))
    }
}

/// Spreads the difference between two numbers over all bits (the finalizer of SplitMix64).
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// How one object is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    object_bytes: u64,
    block_bytes: u64,
}

impl Layout {
    /// `block_bytes` is a power of two of at least a page. `None` for an object of more blocks than an index can
    /// tell apart: 256 TiB in the smallest blocks.
    pub(crate) fn new(object_bytes: u64, block_bytes: u64) -> Option<Self> {
        debug_assert!(block_bytes.is_power_of_two() && block_bytes >= PAGE_BYTES);
        let blocks_count = object_bytes.div_ceil(block_bytes);
        (blocks_count <= u64::from(u32::MAX)).then_some(Self { object_bytes, block_bytes })
    }

    /// An object without a byte.
    pub(crate) fn empty() -> Self {
        Self { object_bytes: 0, block_bytes: PAGE_BYTES }
    }

    pub(crate) fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    pub(crate) fn blocks_count(&self) -> u32 {
        self.index(self.object_bytes.div_ceil(self.block_bytes))
    }

    /// The block that holds the byte at `position`, which is in the object.
    pub(crate) fn block_at(&self, position: u64) -> u32 {
        self.index(position / self.block_bytes)
    }

    /// The blocks that hold the bytes of `range`, which is not empty.
    pub(crate) fn blocks_of(&self, range: &Range<u64>) -> Range<u32> {
        self.block_at(range.start)..self.block_at(range.end - 1) + 1
    }

    /// Where block `index` lies in the object.
    pub(crate) fn block_range(&self, index: u32) -> Range<u64> {
        let start = u64::from(index) * self.block_bytes;
        start..(start + self.block_bytes).min(self.object_bytes)
    }

    pub(crate) fn block_len(&self, index: u32) -> usize {
        let range = self.block_range(index);
        to_len(range.end - range.start)
    }

    /// The pages of block `index`, numbered from the start of the object.
    pub(crate) fn block_pages(&self, index: u32) -> Range<u64> {
        let range = self.block_range(index);
        range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
    }

    /// The block that page `page`, numbered from the start of the object, is part of.
    pub(crate) fn block_of_page(&self, page: u64) -> u32 {
        self.block_at(page * PAGE_BYTES)
    }

    /// The length of page `page`, numbered from the start of the object.
    pub(crate) fn page_len(&self, page: u64) -> usize {
        let start = page * PAGE_BYTES;
        to_len((start + PAGE_BYTES).min(self.object_bytes) - start)
    }

    fn index(&self, index: u64) -> u32 {
        u32::try_from(index).expect("a layout has at most u32::MAX blocks")
    }
}

/// The pages that hold the bytes of `range`, which is not empty.
pub(crate) fn pages_of(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}

/// A length within a block, which always fits in memory.
pub(crate) fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a length within a block fits in memory")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        (1..1_u64 << 40, 16..25_u32)
            .prop_map(|(bytes, shift)| Layout::new(bytes, 1 << shift).expect("few blocks"))
    }

    proptest! {
        /// Blocks lie end to end and cover the object; pages do the same in each block.
        #[test]
        fn blocks_and_pages_tile_the_object(layout in layouts(), at: u64) {
            let at = at % layout.object_bytes();
            let index = layout.block_at(at);
            let block = layout.block_range(index);
            prop_assert!(block.contains(&at));
            prop_assert_eq!(layout.block_len(index) as u64, block.end - block.start);
            if index + 1 < layout.blocks_count() {
                prop_assert_eq!(layout.block_range(index + 1).start, block.end);
            } else {
                prop_assert_eq!(block.end, layout.object_bytes());
            }
            let pages = layout.block_pages(index);
            prop_assert_eq!(pages.start * PAGE_BYTES, block.start);
            let pages_len: usize = pages.clone().map(|page| layout.page_len(page)).sum();
            prop_assert_eq!(pages_len, layout.block_len(index));
            prop_assert!(pages.clone().all(|page| layout.block_of_page(page) == index));
        }

        /// The blocks and pages of a range hold its first and its last byte, and no more than they must.
        #[test]
        fn a_range_takes_the_blocks_it_touches(layout in layouts(), from: u64, len: u64) {
            let from = from % layout.object_bytes();
            let range = from..from + 1 + len % (layout.object_bytes() - from);
            let blocks = layout.blocks_of(&range);
            prop_assert!(layout.block_range(blocks.start).contains(&range.start));
            prop_assert!(layout.block_range(blocks.end - 1).contains(&(range.end - 1)));
            let pages = pages_of(&range);
            prop_assert!(pages.start * PAGE_BYTES <= range.start && range.start < (pages.start + 1) * PAGE_BYTES);
            prop_assert!((pages.end - 1) * PAGE_BYTES < range.end && range.end <= pages.end * PAGE_BYTES);
        }
    }

    #[test]
    fn more_blocks_than_an_index_can_tell_apart_are_refused() {
        let most = u64::from(u32::MAX) * PAGE_BYTES;
        assert_eq!(Layout::new(most, PAGE_BYTES).map(|layout| layout.blocks_count()), Some(u32::MAX));
        assert!(Layout::new(most + 1, PAGE_BYTES).is_none());
    }
}
