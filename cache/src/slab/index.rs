//! Which block lies in which slot, and which slot is given up next: pure, without I/O.
//!
//! Eviction is second chance: a hand goes round the slots; a slot used since the hand last passed is spared once. A
//! slot that is being read or written is passed over, so a reader never sees its slot change. About 60 bytes a block.

use std::collections::HashMap;

use crate::layout::BlockKey;

/// The slots of a slab and what lies in them.
pub(crate) struct Index {
    slots: Vec<Slot>,
    by_key: HashMap<BlockKey, u32>,
    free: Vec<u32>,
    hand: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    /// Meaningful while `Stored`.
    key: BlockKey,
    /// Reads in progress.
    pins: u16,
    use_: Use,
    /// Read since the hand last passed.
    touched: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Free,
    /// Being written; not to be found yet.
    Writing,
    Stored,
    /// No longer to be found; free once its last reader is done.
    Forgotten,
    /// The device failed here; never used again.
    Broken,
}

/// A slot chosen for a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chosen {
    pub(crate) slot: u32,
    /// A block had to go for it.
    pub(crate) evicted: bool,
}

/// A block that was found: its slot cannot change until it is unpinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pinned {
    pub(crate) slot: u32,
    /// The block had been read since the hand last passed.
    pub(crate) touched_before: bool,
}

impl Index {
    pub(crate) fn new(slots_count: u32) -> Self {
        let blank = BlockKey { instance: crate::Instance([0; 16]), index: 0 };
        let slot = Slot { key: blank, pins: 0, use_: Use::Free, touched: false };
        Self {
            slots: vec![slot; slots_count as usize],
            by_key: HashMap::with_capacity(slots_count as usize),
            free: (0..slots_count).rev().collect(),
            hand: 0,
        }
    }

    /// An index of blocks found on disk: at most one a slot, and one a key.
    pub(crate) fn rebuilt(slots_count: u32, found: impl Iterator<Item = (BlockKey, u32)>) -> Self {
        let mut index = Self::new(slots_count);
        for (key, slot) in found {
            index.slots[slot as usize].use_ = Use::Writing;
            index.stored(slot, key);
        }
        let slots = &index.slots;
        index.free.retain(|slot| slots[*slot as usize].use_ == Use::Free);
        index
    }

    pub(crate) fn blocks_count(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Finds a block for reading.
    pub(crate) fn pin(&mut self, key: &BlockKey) -> Option<Pinned> {
        let number = *self.by_key.get(key)?;
        let slot = &mut self.slots[number as usize];
        slot.pins = slot.pins.checked_add(1)?;
        let touched_before = std::mem::replace(&mut slot.touched, true);
        Some(Pinned { slot: number, touched_before })
    }

    pub(crate) fn unpin(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.pins -= 1;
        if slot.pins == 0 && slot.use_ == Use::Forgotten {
            slot.use_ = Use::Free;
            self.free.push(number);
        }
    }

    /// Chooses a slot to write to: a free one, or that of the next block without a second chance. `None` when every
    /// slot is being read, written, or broken.
    pub(crate) fn choose(&mut self) -> Option<Chosen> {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize].use_ = Use::Writing;
            return Some(Chosen { slot, evicted: false });
        }
        // In the first round the hand may clear every slot, in the second it takes one, if any can be taken.
        for _ in 0..2 * self.slots.len() {
            let number = self.hand;
            self.hand = (self.hand + 1) % u32::try_from(self.slots.len()).expect("u32 slots");
            let slot = &mut self.slots[number as usize];
            if slot.use_ != Use::Stored || slot.pins > 0 || std::mem::take(&mut slot.touched) {
                continue;
            }
            slot.use_ = Use::Writing;
            self.by_key.remove(&slot.key);
            return Some(Chosen { slot: number, evicted: true });
        }
        None
    }

    /// The chosen slot now holds `key`.
    pub(crate) fn stored(&mut self, number: u32, key: BlockKey) {
        let slot = &mut self.slots[number as usize];
        debug_assert_eq!(slot.use_, Use::Writing);
        *slot = Slot { key, pins: 0, use_: Use::Stored, touched: false };
        self.by_key.insert(key, number);
    }

    /// The chosen slot could not be written: it is not used again.
    pub(crate) fn not_stored(&mut self, number: u32) {
        self.slots[number as usize].use_ = Use::Broken;
    }

    /// The block in a pinned slot proved bad: it is not found any more. A slot whose device failed is not used again.
    pub(crate) fn forget(&mut self, number: u32, device_failed: bool) {
        let slot = &mut self.slots[number as usize];
        if slot.use_ == Use::Stored {
            self.by_key.remove(&slot.key);
            slot.use_ = if device_failed { Use::Broken } else { Use::Forgotten };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;

    fn key(index: u32) -> BlockKey {
        BlockKey { instance: Instance([1; 16]), index }
    }

    fn full(slots_count: u32) -> Index {
        Index::rebuilt(slots_count, (0..slots_count).map(|slot| (key(slot), slot)))
    }

    #[test]
    fn a_block_that_was_read_gets_a_second_chance() {
        let mut index = full(3);
        let pinned = index.pin(&key(0)).expect("there");
        assert_eq!(pinned, Pinned { slot: 0, touched_before: false });
        index.unpin(0);
        assert_eq!(index.choose(), Some(Chosen { slot: 1, evicted: true }));
        assert!(index.contains(&key(0)) && !index.contains(&key(1)));
        index.stored(1, key(9));
        assert_eq!(index.choose(), Some(Chosen { slot: 2, evicted: true }));
        assert_eq!(index.choose(), Some(Chosen { slot: 0, evicted: true }));
    }

    #[test]
    fn a_slot_being_read_or_written_is_left_alone() {
        let mut index = full(2);
        index.pin(&key(0)).expect("there");
        assert_eq!(index.choose(), Some(Chosen { slot: 1, evicted: true }));
        assert_eq!(index.choose(), None);
        index.unpin(0);
        assert_eq!(index.choose(), Some(Chosen { slot: 0, evicted: true }));
    }

    #[test]
    fn a_forgotten_slot_is_free_after_its_last_reader() {
        let mut index = full(1);
        index.pin(&key(0)).expect("there");
        index.pin(&key(0)).expect("there");
        index.forget(0, false);
        assert!(!index.contains(&key(0)));
        index.unpin(0);
        assert_eq!(index.choose(), None);
        index.unpin(0);
        assert_eq!(index.choose(), Some(Chosen { slot: 0, evicted: false }));
    }

    #[test]
    fn a_broken_slot_is_never_chosen_again() {
        let mut index = full(1);
        index.pin(&key(0)).expect("there");
        index.forget(0, true);
        index.unpin(0);
        assert_eq!((index.choose(), index.blocks_count()), (None, 0));
    }
}
