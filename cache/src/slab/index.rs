//! Which block lies in which slot: pure, without I/O.
//!
//! A slot that is being read or written is never chosen, so a reader never sees its slot change. What goes when there is
//! no free slot is [`eviction`]'s to say. About 64 bytes a block, a test says how many; page sums stay on disk.
//!
//! [`eviction`]: super::eviction

use std::ops::Range;
use std::sync::Arc;

use super::eviction::{Eviction, Whose};
use crate::layout::BlockKey;
use crate::tenant::{Tenant, Weights};

/// No slot.
const NONE: u32 = u32::MAX;

/// The slots of a device and what lies in them.
pub(crate) struct Index {
    slots: Vec<Slot>,
    /// The first slot of each bucket of keys; the others hang on it.
    buckets: Vec<u32>,
    /// The first free slot; the others hang on it. Among them may be some that are not free any more.
    free: u32,
    blocks_count: usize,
    eviction: Eviction,
    weights: Arc<Weights>,
    /// Reads so far, this many or a multiple of 2³² more; never 0.
    touches_count: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    /// Meaningful while `Stored`, and while `has_header`.
    key: BlockKey,
    /// The next slot of the bucket while `Stored`, the next free one while `Free`.
    next: u32,
    /// Reads in progress.
    pins: u16,
    use_: Use,
    /// A header of `key` may lie there on the device, whatever the slot is used for: a restart would find it.
    has_header: bool,
    /// Which read of all, counted over the slab, its last one was; 0: none since it was stored.
    touched_at: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Free,
    /// Being written; not to be found yet.
    Writing,
    Stored,
    /// No longer to be found; free once its last reader is done.
    Forgotten,
    /// No longer to be found; free once its header is gone from the device, and its last reader is done.
    Purged,
    /// The same of a slot that was free, and still hangs among the free ones: whoever comes upon it there takes it off.
    PurgedFree,
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
    /// How many reads of other blocks there were since this one's last, if it was read before.
    pub(crate) touched_ago: Option<u32>,
}

impl Index {
    pub(crate) fn new(slots_count: u32, weights: Arc<Weights>) -> Self {
        let key = BlockKey { instance: crate::Instance([0; 16]), index: 0 };
        let slot = |number: u32| {
            let next = if number + 1 < slots_count { number + 1 } else { NONE };
            Slot { key, next, pins: 0, use_: Use::Free, has_header: false, touched_at: 0 }
        };
        Self {
            slots: (0..slots_count).map(slot).collect(),
            buckets: vec![NONE; slots_count as usize],
            free: if slots_count > 0 { 0 } else { NONE },
            blocks_count: 0,
            eviction: Eviction::new(slots_count),
            weights,
            touches_count: 1,
        }
    }

    /// An index of blocks found on disk, each in a slot of its own, the oldest first; of two of one key the later counts.
    pub(crate) fn rebuilt(
        slots_count: u32,
        weights: Arc<Weights>,
        found: impl Iterator<Item = (BlockKey, u32, Tenant)>,
    ) -> Self {
        let mut index = Self::new(slots_count, weights);
        for (key, slot, tenant) in found {
            if let Some(older) = index.find(&key) {
                index.forget(older, false);
            }
            index.slots[slot as usize].use_ = Use::Writing;
            index.put(slot, key);
            let whose = index.whose(tenant);
            index.eviction.insert_old(slot, whose);
        }
        index.find_free();
        index
    }

    /// Nothing could be read of these slots, in which no block was found: they are not used.
    pub(crate) fn leave_out(&mut self, slots: &[u32]) {
        for number in slots {
            self.slots[*number as usize].use_ = Use::Broken;
        }
        self.find_free();
    }

    pub(crate) fn blocks_count(&self) -> usize {
        self.blocks_count
    }

    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.find(key).is_some()
    }

    /// Finds a block for reading.
    pub(crate) fn pin(&mut self, key: &BlockKey) -> Option<Pinned> {
        let number = self.find(key)?;
        let slot = &mut self.slots[number as usize];
        slot.pins = slot.pins.checked_add(1)?;
        self.touches_count = self.touches_count.wrapping_add(1).max(1);
        let before = std::mem::replace(&mut slot.touched_at, self.touches_count);
        let touched_ago = (before > 0).then(|| self.touches_count.wrapping_sub(before) - 1);
        self.eviction.read(number);
        Some(Pinned { slot: number, touched_ago })
    }

    pub(crate) fn unpin(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.pins -= 1;
        if slot.pins == 0 && slot.use_ == Use::Forgotten {
            self.set_free(number);
        }
    }

    /// Whether a block of `tenant`'s that is not here is worth a write now; if not, it is remembered.
    pub(crate) fn is_worth_writing(&mut self, key: &BlockKey, tenant: Tenant) -> bool {
        // Not by how many blocks there are: slots that are being written, or broken, are room for nobody.
        self.free != NONE || self.eviction.is_worth_writing(key.hash64(), tenant.to_bits())
    }

    /// Chooses a slot to write to: a free one, or that of the block to be given up next, of those that `may_go` allows.
    /// `None` when none may, or every slot is being read, written, or broken; or so many are that the search ends.
    pub(crate) fn choose(&mut self, may_go: impl Fn(&BlockKey) -> bool) -> Option<Chosen> {
        if let Some(slot) = self.take_free() {
            self.slots[slot as usize].use_ = Use::Writing;
            return Some(Chosen { slot, evicted: false });
        }
        let slots = &self.slots;
        let may_go = |slot: u32| slots[slot as usize].pins == 0 && may_go(&slots[slot as usize].key);
        let slot = self.eviction.evict(may_go, |slot| slots[slot as usize].key.hash64())?;
        self.take_out(slot);
        self.slots[slot as usize].use_ = Use::Writing;
        Some(Chosen { slot, evicted: true })
    }

    /// The chosen slot now holds `key`, for `tenant`.
    pub(crate) fn stored(&mut self, number: u32, key: BlockKey, tenant: Tenant) {
        self.put(number, key);
        let whose = self.whose(tenant);
        self.eviction.insert(number, key.hash64(), whose);
    }

    /// The chosen slot could not be written: it is not used again. What it held before may still be there.
    pub(crate) fn not_stored(&mut self, number: u32) {
        self.slots[number as usize].use_ = Use::Broken;
    }

    /// The block in a slot proved bad: it is not found any more. A slot whose device failed is not used again, also where the
    /// block was forgotten before. The caller has it pinned.
    pub(crate) fn forget(&mut self, number: u32, device_failed: bool) {
        let use_ = &mut self.slots[number as usize].use_;
        if device_failed && matches!(*use_, Use::Forgotten | Use::Purged) {
            *use_ = Use::Broken;
        }
        if *use_ != Use::Stored {
            return;
        }
        self.eviction.remove(number);
        self.take_out(number);
        let slot = &mut self.slots[number as usize];
        slot.use_ = if device_failed { Use::Broken } else { Use::Forgotten };
        if slot.pins == 0 && slot.use_ == Use::Forgotten {
            self.set_free(number);
        }
    }

    /// The block is not found in this slot any more, for whatever became of a read of it; whoever reads it has the slot until
    /// then. By now it may lie in another one.
    pub(crate) fn forget_block(&mut self, key: &BlockKey, number: u32) {
        if self.find(key) == Some(number) {
            self.forget(number, false);
        }
    }

    /// Which block a restart would find in the slot, as far as is known.
    pub(crate) fn header_in(&self, number: u32) -> Option<BlockKey> {
        let slot = &self.slots[number as usize];
        slot.has_header.then_some(slot.key)
    }

    /// Forgets the blocks in `slots` that `goes` names, and says where headers of such blocks lie: also of those that are not
    /// found any more, because they proved bad. None of these slots is used before [`Index::blanked`]. What a slot that is
    /// being written held before is not among them.
    pub(crate) fn purge(&mut self, slots: Range<u32>, goes: impl Fn(&BlockKey) -> bool) -> Vec<u32> {
        let slots = slots.start.min(self.slots_count())..slots.end.min(self.slots_count());
        let goes = |number: &u32| {
            let slot = &self.slots[*number as usize];
            let is_left = matches!(slot.use_, Use::Writing | Use::Purged | Use::PurgedFree);
            slot.has_header && !is_left && goes(&slot.key)
        };
        let purged: Vec<u32> = slots.filter(goes).collect();
        for number in &purged {
            let use_ = self.slots[*number as usize].use_;
            match use_ {
                Use::Stored => {
                    self.eviction.remove(*number);
                    self.take_out(*number);
                }
                Use::Free => {
                    self.slots[*number as usize].use_ = Use::PurgedFree;
                    continue;
                }
                Use::Forgotten | Use::Writing | Use::Purged | Use::PurgedFree => {}
                // It stays so.
                Use::Broken => continue,
            }
            self.slots[*number as usize].use_ = Use::Purged;
        }
        purged
    }

    /// Whether somebody still reads what was in the slot.
    pub(crate) fn is_pinned(&self, number: u32) -> bool {
        self.slots[number as usize].pins > 0
    }

    /// The header of a purged slot is gone; or could not be written, and the slot is not used again.
    pub(crate) fn blanked(&mut self, number: u32, is_gone: bool) {
        let slot = &mut self.slots[number as usize];
        slot.has_header &= !is_gone;
        debug_assert!(matches!(slot.use_, Use::Purged | Use::PurgedFree | Use::Broken));
        match (slot.use_, is_gone) {
            (Use::Purged, true) if slot.pins > 0 => slot.use_ = Use::Forgotten,
            (Use::Purged, true) => self.set_free(number),
            (Use::PurgedFree, true) => slot.use_ = Use::Free,
            _ => slot.use_ = Use::Broken,
        }
    }

    pub(crate) fn slots_count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("made from a u32")
    }

    fn whose(&self, tenant: Tenant) -> Whose {
        Whose { tenant: tenant.to_bits(), weight: self.weights.of(tenant) }
    }

    /// Puts together anew which slots are free: a look at each.
    fn find_free(&mut self) {
        self.free = NONE;
        for number in (0..self.slots_count()).rev() {
            if self.slots[number as usize].use_ == Use::Free {
                self.set_free(number);
            }
        }
    }

    /// Takes a slot off the free ones, and those before it that are not free any more.
    fn take_free(&mut self) -> Option<u32> {
        while self.free != NONE {
            let number = self.free;
            let slot = &mut self.slots[number as usize];
            self.free = slot.next;
            match slot.use_ {
                Use::Free => return Some(number),
                Use::PurgedFree => slot.use_ = Use::Purged,
                // Its header could not be written meanwhile.
                Use::Writing | Use::Stored | Use::Forgotten | Use::Purged | Use::Broken => {}
            }
        }
        None
    }

    fn set_free(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.use_ = Use::Free;
        slot.next = std::mem::replace(&mut self.free, number);
    }

    fn find(&self, key: &BlockKey) -> Option<u32> {
        let mut number = *self.buckets.get(self.bucket(key))?;
        while number != NONE {
            let slot = &self.slots[number as usize];
            if slot.key == *key {
                return Some(number);
            }
            number = slot.next;
        }
        None
    }

    fn put(&mut self, number: u32, key: BlockKey) {
        let bucket = self.bucket(&key);
        let slot = &mut self.slots[number as usize];
        debug_assert_eq!(slot.use_, Use::Writing);
        let next = std::mem::replace(&mut self.buckets[bucket], number);
        *slot = Slot { key, next, pins: 0, use_: Use::Stored, has_header: true, touched_at: 0 };
        self.blocks_count += 1;
    }

    /// Takes a stored slot out of its bucket.
    fn take_out(&mut self, number: u32) {
        let bucket = self.bucket(&self.slots[number as usize].key);
        let next = self.slots[number as usize].next;
        self.blocks_count -= 1;
        if self.buckets[bucket] == number {
            self.buckets[bucket] = next;
            return;
        }
        let mut before = self.buckets[bucket];
        while self.slots[before as usize].next != number {
            before = self.slots[before as usize].next;
        }
        self.slots[before as usize].next = next;
    }

    fn bucket(&self, key: &BlockKey) -> usize {
        // The upper half of the product: a place for each bucket, alike for all.
        ((u128::from(key.hash64()) * self.buckets.len() as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::Instance;

    fn key(index: u32) -> BlockKey {
        BlockKey { instance: Instance([1; 16]), index }
    }

    fn full(slots_count: u32) -> Index {
        Index::rebuilt(
            slots_count,
            Arc::default(),
            (0..slots_count).map(|slot| (key(slot), slot, Tenant::named(""))),
        )
    }

    /// What a block costs in memory.
    #[test]
    fn a_block_takes_at_most_80_bytes() {
        for slots_count in [1_000, 1 << 16, (1 << 16) + 1, 1_000_000] {
            let index = full(slots_count);
            let bytes = index.slots.capacity() * size_of::<Slot>()
                + index.buckets.capacity() * size_of::<u32>()
                + index.eviction.memory_bytes();
            let each = bytes as f64 / f64::from(slots_count);
            assert!(each <= 80.0, "{each} bytes");
        }
    }

    #[test]
    fn a_block_that_was_read_is_spared_once() {
        let mut index = full(3);
        let pinned = index.pin(&key(0)).expect("there");
        assert_eq!(pinned, Pinned { slot: 0, touched_ago: None });
        index.unpin(0);
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 1, evicted: true }));
        assert!(index.contains(&key(0)) && !index.contains(&key(1)));
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 2, evicted: true }));
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 0, evicted: true }));
        assert_eq!(index.choose(|_| true), None);
    }

    #[test]
    fn a_block_knows_how_long_ago_it_was_read() {
        let mut index = full(3);
        let mut ago = |block| index.pin(&key(block)).expect("there").touched_ago;
        assert_eq!([ago(0), ago(0), ago(1), ago(2), ago(0)], [None, Some(0), None, None, Some(2)]);
    }

    #[test]
    fn a_slot_being_read_or_written_is_left_alone() {
        let mut index = full(2);
        index.pin(&key(0)).expect("there");
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 1, evicted: true }));
        assert_eq!(index.choose(|_| true), None);
        index.unpin(0);
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 0, evicted: true }));
    }

    /// A read that is late has its block forgotten; when it fails in the end its slot is not used again, and when its block was
    /// stored in another slot by then, that one stays.
    #[test]
    fn a_slot_that_failed_late_is_not_used_again() {
        let mut index = full(2);
        for _ in 0..2 {
            index.pin(&key(0)).expect("there");
        }
        index.forget_block(&key(0), 0);
        let other = index.choose(|_| true).expect("one may go").slot;
        index.stored(other, key(0), Tenant::named(""));
        index.forget_block(&key(0), 0);
        assert!(index.contains(&key(0)), "it was stored anew");
        index.unpin(0);
        index.forget(0, true);
        index.unpin(0);
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: other, evicted: true }));
        assert_eq!(index.choose(|_| true), None);
    }

    /// A pass over more than fits is spared although a write is always on its way, and although the device has a bad sector.
    #[test]
    fn a_pass_is_spared_while_slots_are_written_or_broken() {
        let tenant = Tenant::named("");
        let mut index = full(64);
        let written = |index: &mut Index, blocks: Range<u32>| {
            blocks.filter(|block| index.is_worth_writing(&key(*block), tenant)).count()
        };
        for block in 100..600 {
            let chosen = index.choose(|_| true).expect("one may go");
            index.stored(chosen.slot, key(block), tenant);
        }
        assert!(written(&mut index, 1000..1200) < 100);
        let on_its_way = index.choose(|_| true).expect("one may go").slot;
        assert!(written(&mut index, 2000..2200) < 100);
        index.not_stored(on_its_way);
        assert!(written(&mut index, 3000..3200) < 100);
        index.purge(0..64, |_| true).into_iter().for_each(|slot| index.blanked(slot, true));
        assert_eq!(written(&mut index, 4000..4200), 200, "there are free slots");
    }

    #[test]
    fn a_forgotten_slot_is_free_after_its_last_reader() {
        let mut index = full(1);
        index.pin(&key(0)).expect("there");
        index.pin(&key(0)).expect("there");
        index.forget(0, false);
        assert!(!index.contains(&key(0)));
        index.unpin(0);
        assert_eq!(index.choose(|_| true), None);
        index.unpin(0);
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 0, evicted: false }));
    }

    #[test]
    fn a_broken_slot_is_never_chosen_again() {
        let mut index = full(1);
        index.pin(&key(0)).expect("there");
        index.forget(0, true);
        index.unpin(0);
        assert_eq!((index.choose(|_| true), index.blocks_count()), (None, 0));
    }

    /// What is purged is not found, whoever still reads it; its slot is another block's only once its header is gone.
    #[test]
    fn a_purged_slot_is_free_once_its_header_is_gone() {
        let mut index = full(4);
        index.pin(&key(1)).expect("there");
        assert_eq!(index.purge(0..3, |key| key.index > 0), [1, 2]);
        assert_eq!([0, 1, 2, 3].map(|block| index.contains(&key(block))), [true, false, false, true]);
        assert!(index.is_pinned(1) && !index.is_pinned(2));
        index.unpin(1);
        index.forget(1, false);
        assert_eq!(index.purge(0..9, |_| true), [0, 3]);
        assert_eq!(index.choose(|_| true), None);
        index.blanked(1, true);
        index.blanked(2, false);
        assert_eq!(index.choose(|_| true), Some(Chosen { slot: 1, evicted: false }));
        assert_eq!((index.choose(|_| true), index.blocks_count()), (None, 0));
    }

    /// A purge of slots that are free, whose headers are there still, looks at no others: they are chosen again once their headers are
    /// gone, each once, whether somebody came upon them meanwhile or not, and never where that failed.
    #[test]
    fn a_free_slot_that_is_purged_is_free_again_afterwards() {
        for are_come_upon in [false, true] {
            let mut index = full(6);
            for slot in [0, 1, 2, 4] {
                index.forget(slot, false);
            }
            assert_eq!(index.purge(0..3, |_| true), [0, 1, 2]);
            assert_eq!(index.purge(0..3, |_| true), []);
            if are_come_upon {
                assert_eq!(index.choose(|_| false), Some(Chosen { slot: 4, evicted: false }));
                assert_eq!(index.choose(|_| false), None);
                index.stored(4, key(4), Tenant::named(""));
                index.forget(4, false);
            }
            index.blanked(0, true);
            index.blanked(1, false);
            index.blanked(2, true);
            let mut chosen: Vec<_> = std::iter::from_fn(|| index.choose(|_| false)).collect();
            chosen.sort_by_key(|chosen| chosen.slot);
            assert_eq!(chosen, [0, 2, 4].map(|slot| Chosen { slot, evicted: false }));
            assert_eq!(index.blocks_count(), 2);
        }
    }

    #[test]
    fn of_two_blocks_of_one_key_the_later_is_found_and_the_other_slot_is_free() {
        let mut index = Index::rebuilt(
            3,
            Arc::default(),
            [(key(7), 2), (key(7), 0)].map(|(key, slot)| (key, slot, Tenant::named(""))).into_iter(),
        );
        assert_eq!(index.pin(&key(7)).map(|pinned| pinned.slot), Some(0));
        assert_eq!((index.blocks_count(), index.choose(|_| true).map(|chosen| chosen.slot)), (1, Some(1)));
        assert_eq!(index.choose(|_| true).map(|chosen| chosen.slot), Some(2));
    }

    proptest! {
        /// Against a map: random stores, reads and losses; a block is where it was put, or nowhere.
        #[test]
        fn it_finds_what_lies_where(steps in vec((0..4_u8, 0..24_u32), 1..400)) {
            let mut index = Index::new(8, Arc::default());
            let mut lies = std::collections::HashMap::new();
            for (what, number) in steps {
                match what {
                    0 | 1 if !index.contains(&key(number)) => {
                        let chosen = index.choose(|_| true).expect("nothing is pinned");
                        lies.retain(|_, slot| *slot != chosen.slot);
                        index.stored(chosen.slot, key(number), Tenant::named(""));
                        lies.insert(number, chosen.slot);
                    }
                    2 => if let Some(slot) = lies.remove(&number) {
                        index.forget(slot, false);
                    },
                    _ => {
                        let pinned = index.pin(&key(number));
                        prop_assert_eq!(pinned.map(|pinned| pinned.slot), lies.get(&number).copied());
                        if let Some(pinned) = pinned {
                            index.unpin(pinned.slot);
                        }
                    }
                }
                prop_assert_eq!(index.blocks_count(), lies.len());
                prop_assert!(lies.iter().all(|(number, _)| index.contains(&key(*number))));
            }
        }
    }
}
