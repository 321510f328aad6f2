//! Which block is given up next: S3-FIFO over slot numbers, pure.
//!
//! A new block enters a small queue, a twentieth of the slots; what was read there moves to the main queue when its turn
//! comes, the rest goes, and is remembered for a while (*ghosts*). A block that comes back while it is remembered
//! enters the main queue at once. There a block is spared once for each time that it was read, three times at most.
//! So one pass over a dataset goes through the small queue, and what is hot stays.
//!
//! **Reads that belong together count once.** A client that reads a block in pieces, or twenty that pull the same model
//! at the same time, read it many times in one pass. So time goes in steps, a step for every 32nd part of the slots that is
//! filled anew, and a block is counted as read once a step, and not in the step in which it came. Likewise a
//! block that comes back counts only once as many others as make a step (1024 at most) were remembered after it.
//!
//! **Admission.** While hardly any of what leaves the small queue was read there, and hardly anything comes back that
//! is remembered, somebody passes over more than fits: then only one new block in four need be written at all
//! ([`Eviction::is_worth_writing`]). The others are remembered, and written when they come back.
//!
//! **Tenants.** Each has queues of its own. When room is needed, the tenant that has most for its weight gives up a
//! block: so one that wants more than there is turns over its own share, and leaves that of others alone; what others do
//! not want is its to have. A tenant that has neither read nor stored anything while sixteen times as many blocks as
//! there are slots came, goes first. Admission looks at each tenant by itself.
//!
//! **What may not go.** A slot that is being read, or whose block is pinned, is passed by: where it belongs is the main
//! queue, for in the small one it would be in the place of new blocks. There it keeps its reads. A search passes by so
//! many and no more ([`IN_VAIN_MAX`]), and the next goes on where it ended.
//!
//! It takes 24 bytes a slot.

use std::cmp::Ordering;
use std::collections::HashMap;

/// No slot.
const NONE: u32 = u32::MAX;

/// A block is spared at most this often for what it was read.
const READS_MAX: u8 = 3;

/// Blocks remembered in one set; a set is a cache line.
const GHOST_WAYS: usize = 8;

/// After so many others a block that is remembered may come back, whatever the slab's size: more than are passed over
/// between two pieces of a block.
const RIPENS_MAX: u32 = 1024;

/// One in so many leaving the small queue must have been read, or come back, for every new block to be written.
const REUSED_ONE_IN: u32 = 16;

/// While that is not so, one in so many is.
const SAMPLED_ONE_IN: u64 = 4;

/// So many times all slots are filled anew before a tenant that does nothing gives way.
const IDLE_TURNS: u32 = 16;

/// A search looks at so many blocks of a queue that may not go: readers wait for it. The next tenant's queues get half
/// as many looks, and so on; so tenants whose blocks are all pinned take four times as many together, and two each.
const IN_VAIN_MAX: u32 = 1024;

/// Tenants told apart; those that come later share the last one's queues.
const TENANTS_MAX: usize = 4096;

/// Whose a block is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) tenant: u32,
    /// At least 1.
    pub(crate) weight: u32,
}

/// The order in which blocks are given up.
pub(crate) struct Eviction {
    links: Vec<Link>,
    tenants: Vec<Queues>,
    /// Where each tenant's queues are.
    places: HashMap<u32, u16>,
    ghosts: Ghosts,
    inserted_count: u32,
    /// So many inserted make a step.
    step_slots: u32,
    /// The mean of `reused` is over about so many: as many as the small queue of a tenant alone holds.
    reused_over: u32,
}

/// One tenant's blocks.
struct Queues {
    weight: u32,
    small: Queue,
    main: Queue,
    /// The share of blocks whose first turn came that were of use, of 2¹⁶.
    reused: u32,
    /// How many blocks had been inserted when one of these last was, or was read.
    active_at: u32,
}

/// What a tenant has: more of it gives a block up first.
struct Holding {
    is_idle: bool,
    for_weight: f64,
}

impl Holding {
    fn cmp(&self, other: &Self) -> Ordering {
        self.is_idle.cmp(&other.is_idle).then(self.for_weight.total_cmp(&other.for_weight))
    }
}

/// A slot's place in its queue.
#[derive(Clone, Copy)]
struct Link {
    older: u32,
    newer: u32,
    /// The step of the last read that counted, cut to 16 bits.
    step: u16,
    /// Where the queues of its tenant are.
    tenant: u16,
    lane: Lane,
    reads: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lane {
    Out,
    Small,
    Main,
}

#[derive(Clone, Copy)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: u32,
}

impl Queue {
    const EMPTY: Self = Self { oldest: NONE, newest: NONE, len: 0 };
}

impl Queues {
    fn new(weight: u32, now: u32) -> Self {
        Self { weight, small: Queue::EMPTY, main: Queue::EMPTY, reused: 1 << 16, active_at: now }
    }

    fn len(&self) -> u32 {
        self.small.len + self.main.len
    }

    fn queue(&mut self, lane: Lane) -> Option<&mut Queue> {
        match lane {
            Lane::Out => None,
            Lane::Small => Some(&mut self.small),
            Lane::Main => Some(&mut self.main),
        }
    }

    /// A block's first turn came, or what was remembered came back.
    fn first_turn(&mut self, of_use: bool, over: u32) {
        let now = if of_use { 1 << 16 } else { 0 };
        let mean = i64::from(self.reused);
        let moved = mean + (i64::from(now) - mean) / i64::from(over);
        // Division cuts towards the mean: without the step it would never reach the ends.
        self.reused = u32::try_from(moved - i64::from(!of_use)).unwrap_or(0).min(1 << 16);
    }
}

impl Eviction {
    /// For `slots_count` slots, none of them in a queue.
    pub(crate) fn new(slots_count: u32) -> Self {
        let link = Link { older: NONE, newer: NONE, step: 0, tenant: 0, lane: Lane::Out, reads: 0 };
        let step_slots = (slots_count / 32).max(1);
        Self {
            links: vec![link; slots_count as usize],
            tenants: Vec::new(),
            places: HashMap::new(),
            ghosts: Ghosts::new(slots_count, step_slots.min(RIPENS_MAX)),
            inserted_count: 0,
            step_slots,
            reused_over: (slots_count / 20).clamp(16, 4096),
        }
    }

    /// Whether a new block of `tenant`'s, whose key hashes to `hash`, is worth a write now that no slot is free. If not it is
    /// remembered.
    pub(crate) fn is_worth_writing(&mut self, hash: u64, tenant: u32) -> bool {
        let queues = self.places.get(&tenant).map(|place| &self.tenants[usize::from(*place)]);
        let of_use = queues.is_none_or(|queues| queues.reused >= (1 << 16) / REUSED_ONE_IN);
        if of_use || self.ghosts.holds(hash) || (hash >> 32).is_multiple_of(SAMPLED_ONE_IN) {
            return true;
        }
        self.ghosts.remember(hash);
        false
    }

    /// A new block, whose key hashes to `hash`, lies in `slot`, which is in no queue.
    pub(crate) fn insert(&mut self, slot: u32, hash: u64, whose: Whose) {
        self.inserted_count = self.inserted_count.wrapping_add(1);
        let came_back = self.ghosts.forget(hash);
        let (place, step, over) = (self.place(whose), self.step(), self.reused_over);
        let queues = &mut self.tenants[usize::from(place)];
        queues.active_at = self.inserted_count;
        if came_back {
            queues.first_turn(true, over);
        }
        let link = &mut self.links[slot as usize];
        (link.reads, link.step, link.tenant) = (0, step, place);
        self.push(slot, if came_back { Lane::Main } else { Lane::Small });
    }

    /// A block from before a restart lies in `slot`; in the order in which they were written.
    pub(crate) fn insert_old(&mut self, slot: u32, whose: Whose) {
        let place = self.place(whose);
        let link = &mut self.links[slot as usize];
        (link.reads, link.step, link.tenant) = (0, u16::MAX, place);
        self.push(slot, Lane::Main);
    }

    /// The block in `slot` is read.
    pub(crate) fn read(&mut self, slot: u32) {
        let step = self.step();
        let link = &mut self.links[slot as usize];
        if link.step != step {
            link.step = step;
            link.reads = (link.reads + 1).min(READS_MAX);
        }
        self.tenants[usize::from(link.tenant)].active_at = self.inserted_count;
    }

    /// Takes `slot` out of its queue, if it is in one: its block is lost.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
    }

    /// Gives up the next block that `may_go` allows, and remembers it. `None` if none may, or none was found after
    /// [`IN_VAIN_MAX`] others.
    pub(crate) fn evict(
        &mut self,
        may_go: impl Fn(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        let most = self.most_to_give()?;
        if let Some(slot) = self.evict_from(most, IN_VAIN_MAX, &may_go, &hash_of) {
            return Some(slot);
        }
        for (place, in_vain_count) in self.next_to_give(most).into_iter().zip(1..) {
            let held_max = IN_VAIN_MAX.checked_shr(in_vain_count).unwrap_or(0).max(1);
            if let Some(slot) = self.evict_from(place, held_max, &may_go, &hash_of) {
                return Some(slot);
            }
        }
        None
    }

    /// The tenant that is idle, or else has most for its weight; of those that have any.
    fn most_to_give(&self) -> Option<usize> {
        let holding = self.holding();
        holding.max_by(|(_, one), (_, other)| one.cmp(other)).map(|(place, _)| place)
    }

    /// Those that come after `most`, put in order once: there may be thousands, and readers wait.
    fn next_to_give(&self, most: usize) -> Vec<usize> {
        let mut others: Vec<_> = self.holding().filter(|(place, _)| *place != most).collect();
        // Of two that have alike the later comes first, as above.
        others.sort_by(|(at, one), (other_at, other)| other.cmp(one).then(other_at.cmp(at)));
        others.into_iter().map(|(place, _)| place).collect()
    }

    /// Tenants that have any block, and how much.
    fn holding(&self) -> impl Iterator<Item = (usize, Holding)> {
        let idle_after = (self.links.len() as u32).saturating_mul(IDLE_TURNS);
        let holding = self.tenants.iter().enumerate().filter(|(_, queues)| queues.len() > 0);
        holding.map(move |(place, queues)| {
            let is_idle = self.inserted_count.wrapping_sub(queues.active_at) > idle_after;
            (place, Holding { is_idle, for_weight: f64::from(queues.len()) / f64::from(queues.weight) })
        })
    }

    /// Passes by at most `held_max` blocks of each queue that may not go; then it is the other's turn.
    fn evict_from(
        &mut self,
        place: usize,
        held_max: u32,
        may_go: impl Fn(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        let (mut held_small, mut held_main) = (0, 0);
        // So many of the newest in the main queue may not go: once it is all of them, it was searched.
        let mut held_newest = 0;
        let small_max = (self.tenants[place].len() / 20).max(1);
        loop {
            let Queues { small, main, .. } = &self.tenants[place];
            let small_gives = small.len > 0 && held_small < held_max;
            let main_gives = main.len > held_newest && held_main < held_max;
            if small_gives && (small.len >= small_max || !main_gives) {
                let slot = small.oldest;
                self.unlink(slot);
                if !may_go(slot) {
                    (held_small, held_newest) = (held_small + 1, held_newest + 1);
                    self.push(slot, Lane::Main);
                    continue;
                }
                let was_read = self.links[slot as usize].reads > 0;
                self.tenants[place].first_turn(was_read, self.reused_over);
                if !was_read {
                    self.ghosts.remember(hash_of(slot));
                    return Some(slot);
                }
                self.links[slot as usize].reads = 0;
                held_newest = 0;
                self.push(slot, Lane::Main);
            } else if main_gives {
                let slot = main.oldest;
                self.unlink(slot);
                if !may_go(slot) {
                    (held_main, held_newest) = (held_main + 1, held_newest + 1);
                    self.push(slot, Lane::Main);
                    continue;
                }
                let link = &mut self.links[slot as usize];
                if link.reads == 0 {
                    return Some(slot);
                }
                link.reads -= 1;
                held_newest = 0;
                self.push(slot, Lane::Main);
            } else {
                return None;
            }
        }
    }

    /// Bytes that this takes in memory.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
            + self.ghosts.sets.capacity() * size_of::<[Ghost; GHOST_WAYS]>()
    }

    fn step(&self) -> u16 {
        // Cut on purpose: two steps that look alike are 65536 steps apart.
        (self.inserted_count / self.step_slots) as u16
    }

    /// Where the queues of a block's tenant are.
    fn place(&mut self, whose: Whose) -> u16 {
        if let Some(place) = self.places.get(&whose.tenant) {
            return *place;
        }
        if self.tenants.len() < TENANTS_MAX {
            self.tenants.push(Queues::new(whose.weight, self.inserted_count));
            self.places.insert(whose.tenant, (self.tenants.len() - 1) as u16);
        }
        (self.tenants.len() - 1) as u16
    }

    fn push(&mut self, slot: u32, lane: Lane) {
        let place = usize::from(self.links[slot as usize].tenant);
        let Some(queue) = self.tenants[place].queue(lane) else { return };
        let before = queue.newest;
        queue.newest = slot;
        queue.len += 1;
        if before == NONE {
            queue.oldest = slot;
        } else {
            self.links[before as usize].newer = slot;
        }
        let link = &mut self.links[slot as usize];
        (link.older, link.newer, link.lane) = (before, NONE, lane);
    }

    fn unlink(&mut self, slot: u32) {
        let Link { older, newer, lane, tenant, .. } = self.links[slot as usize];
        // A slot that was never in a queue has no tenant.
        let Some(queues) = self.tenants.get_mut(usize::from(tenant)) else { return };
        let Some(queue) = queues.queue(lane) else { return };
        queue.len -= 1;
        if older == NONE {
            queue.oldest = newer;
        }
        if newer == NONE {
            queue.newest = older;
        }
        if older != NONE {
            self.links[older as usize].newer = newer;
        }
        if newer != NONE {
            self.links[newer as usize].older = older;
        }
        self.links[slot as usize].lane = Lane::Out;
    }
}

/// Keys of blocks that are not there, by a part of their hash: about as many as there are slots, the latest.
struct Ghosts {
    sets: Vec<[Ghost; GHOST_WAYS]>,
    remembered_count: u32,
    /// So many are remembered after a block until it may come back,
    ripens: u32,
    /// and so many until it is forgotten.
    lasts: u32,
}

#[derive(Clone, Copy)]
struct Ghost {
    /// Never 0 in one that counts.
    part: u32,
    /// Which of all that were remembered it is.
    number: u32,
}

impl Ghosts {
    fn new(slots_count: u32, ripens: u32) -> Self {
        let sets_count = (slots_count as usize).div_ceil(GHOST_WAYS).max(1);
        let blank = Ghost { part: 0, number: 0 };
        Self {
            sets: vec![[blank; GHOST_WAYS]; sets_count],
            remembered_count: 0,
            ripens,
            lasts: slots_count.max(ripens.saturating_add(1)),
        }
    }

    /// Whether it is remembered, and long enough.
    fn holds(&self, hash: u64) -> bool {
        self.sets[self.set(hash)].iter().any(|ghost| ghost.part == part(hash) && self.is_ripe(ghost))
    }

    fn remember(&mut self, hash: u64) {
        self.remembered_count = self.remembered_count.wrapping_add(1);
        let (now, lasts, set) = (self.remembered_count, self.lasts, self.set(hash));
        let set = &mut self.sets[set];
        let age = |ghost: &Ghost| now.wrapping_sub(ghost.number);
        // What is remembered already ripens on.
        if set.iter().any(|ghost| ghost.part == part(hash) && age(ghost) < lasts) {
            return;
        }
        let age = |ghost: &Ghost| if ghost.part == 0 { u32::MAX } else { age(ghost) };
        if let Some(oldest) = set.iter_mut().max_by_key(|ghost| age(ghost)) {
            *oldest = Ghost { part: part(hash), number: now };
        }
    }

    /// Forgets it; true if it was remembered long enough.
    fn forget(&mut self, hash: u64) -> bool {
        let set = self.set(hash);
        let Some(way) = self.sets[set].iter().position(|ghost| ghost.part == part(hash)) else {
            return false;
        };
        let ripe = self.is_ripe(&self.sets[set][way]);
        self.sets[set][way].part = 0;
        ripe
    }

    fn is_ripe(&self, ghost: &Ghost) -> bool {
        (self.ripens..self.lasts).contains(&self.remembered_count.wrapping_sub(ghost.number))
    }

    fn set(&self, hash: u64) -> usize {
        // The upper half of the product: a place for each set, alike for all.
        ((u128::from(hash) * self.sets.len() as u128) >> 64) as usize
    }
}

/// The part of a hash that a ghost keeps: not the one that chooses its set.
fn part(hash: u64) -> u32 {
    (hash as u32).max(1)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// Reads `block`, which lies in its slot or takes one; true if it was there.
    struct Cached {
        eviction: Eviction,
        in_slot: Vec<Option<u64>>,
        written_count: u32,
        pinned: Range<u64>,
    }

    impl Cached {
        fn new(slots_count: u32) -> Self {
            Self {
                eviction: Eviction::new(slots_count),
                in_slot: vec![None; slots_count as usize],
                written_count: 0,
                pinned: 0..0,
            }
        }

        fn read(&mut self, block: u64) -> bool {
            self.read_by(0, block)
        }

        /// By a tenant that weighs one more than its number.
        fn read_by(&mut self, tenant: u32, block: u64) -> bool {
            let hash = |block: u64| block.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let slot_of = |wanted: Option<u64>| self.in_slot.iter().position(|block| *block == wanted);
            if let Some(slot) = slot_of(Some(block)) {
                self.eviction.read(slot as u32);
                return true;
            }
            let is_full = slot_of(None).is_none();
            if is_full && !self.eviction.is_worth_writing(hash(block), tenant) {
                return false;
            }
            let slot = slot_of(None).unwrap_or_else(|| {
                let block_in = |slot: u32| self.in_slot[slot as usize].expect("full");
                let may_go = |slot| !self.pinned.contains(&block_in(slot));
                self.eviction.evict(may_go, |slot| hash(block_in(slot))).expect("one may go") as usize
            });
            self.in_slot[slot] = Some(block);
            self.eviction.insert(slot as u32, hash(block), Whose { tenant, weight: 1 + tenant });
            self.written_count += 1;
            false
        }
    }

    /// What is read over and over is still there after a pass over ten times as much, and most of the pass was not
    /// written.
    #[test]
    fn one_pass_does_not_flush_what_is_hot_and_spares_the_disk() {
        let mut cached = Cached::new(640);
        for _ in 0..4 {
            for block in 0..400 {
                cached.read(block);
            }
            for block in 10_000..10_100 {
                cached.read(block);
            }
        }
        for cold in 20_000..30_000 {
            cached.read(cold);
        }
        let hot = (0..400).filter(|block| cached.read(*block)).count();
        assert!(hot >= 380, "{hot} of 400 are left");
        assert!(cached.written_count < 4_000, "{} written", cached.written_count);
    }

    /// A pass in pieces is a pass: reading a block eight times in a row does not make it hot.
    #[test]
    fn pieces_of_one_pass_count_once() {
        let mut cached = Cached::new(640);
        for _ in 0..4 {
            for block in 0..400 {
                cached.read(block);
            }
            for block in 10_000..10_100 {
                cached.read(block);
            }
        }
        for cold in 20_000..30_000 {
            for _ in 0..8 {
                cached.read(cold);
            }
        }
        let hot = (0..400).filter(|block| cached.read(*block)).count();
        assert!(hot >= 380, "{hot} of 400 are left");
    }

    /// What was not written the first time is written when it comes back.
    #[test]
    fn a_block_that_was_not_worth_a_write_is_written_when_it_comes_back() {
        let mut cached = Cached::new(64);
        for block in 0..2_000 {
            cached.read(block);
        }
        let not_written = (3_000..).find(|block| {
            cached.read(*block);
            !cached.in_slot.contains(&Some(*block))
        });
        let not_written = not_written.expect("some are not");
        assert!(!cached.read(not_written) && !cached.read(not_written), "pieces of the same pass");
        (5_000..5_010).for_each(|block| assert!(!cached.read(block)));
        assert!(!cached.read(not_written) && cached.read(not_written));
    }

    /// Whatever may not go stays, and the search ends.
    #[test]
    fn what_may_not_go_stays() {
        let mut eviction = Eviction::new(40);
        let whose = Whose { tenant: 0, weight: 1 };
        (0..40).for_each(|slot| eviction.insert(slot, u64::from(slot) << 40, whose));
        assert_eq!(eviction.evict(|_| false, u64::from), None);
        for _ in 0..20 {
            let gone = eviction.evict(|slot| slot % 2 == 1, |slot| u64::from(slot) << 40);
            assert!(gone.is_some_and(|slot| slot % 2 == 1));
        }
        assert_eq!(eviction.evict(|slot| slot % 2 == 1, u64::from), None);
    }

    /// What is read so often that it is spared does not end the search at what may not go, met twice.
    #[test]
    fn what_was_read_goes_before_nothing_does() {
        let mut eviction = Eviction::new(9);
        let whose = Whose { tenant: 0, weight: 1 };
        (0..8).for_each(|slot| eviction.insert_old(slot, whose));
        for step in 0..3 {
            eviction.insert(8, step, whose);
            eviction.remove(8);
            eviction.read(7);
        }
        assert_eq!(eviction.evict(|slot| slot == 7, u64::from), Some(7));
    }

    /// More pins than the small queue is long leave it to new blocks: each stays for as many others as the queue holds, and
    /// what is read meanwhile takes the slots of what nobody reads any more, which a pass over the rest does not.
    #[test]
    fn pins_leave_the_other_slots_to_what_is_read() {
        let mut cached = Cached { pinned: 0..200, ..Cached::new(640) };
        (0..200).chain(1_000..1_440).for_each(|block| assert!(!cached.read(block)));
        (1_000..1_400).for_each(|block| assert!(cached.read(block)));
        let mut gone = 0;
        for block in 2_000..2_800 {
            cached.read(block);
            gone += u32::from(block >= 2_025 && !cached.read(block - 25));
        }
        assert!(gone == 0, "{gone} were gone after 25 others");
        let count = |cached: &Cached, blocks: Range<u64>| {
            cached.in_slot.iter().flatten().filter(|block| blocks.contains(block)).count()
        };
        (10_000..12_000).for_each(|block| _ = cached.read(block));
        assert_eq!(count(&cached, 0..200), 200);
        let (old, new) = (count(&cached, 1_000..1_440), count(&cached, 2_400..2_775));
        assert!(old <= 60 && new >= 350, "{old} old ones are left, {new} of 375 new ones");
    }

    /// Where a tenant's blocks are all pinned, a search ends soon, whether another tenant has one to give or not; the next
    /// search goes on where it ended.
    #[test]
    fn a_search_among_pins_ends_soon_and_goes_on_later() {
        use std::cell::Cell;

        let mut eviction = Eviction::new(40_000);
        let whose = |tenant| Whose { tenant, weight: 1 };
        (0..39_999).for_each(|slot| eviction.insert(slot, u64::from(slot) << 40, whose(0)));
        let mut search = |may_go: Option<u32>| {
            let looks = Cell::new(0);
            let asked = |slot| {
                looks.set(looks.get() + 1);
                may_go == Some(slot)
            };
            let gone = eviction.evict(asked, |slot| u64::from(slot) << 40);
            assert!(looks.get() <= 4 * IN_VAIN_MAX, "{} looks", looks.get());
            gone
        };
        assert_eq!(search(None), None);
        assert_eq!((0..40).find_map(|_| search(Some(30_000))), Some(30_000));
        eviction.insert(39_999, 1 << 40, whose(1));
        let looks = Cell::new(0);
        let of_the_other = |slot| {
            looks.set(looks.get() + 1);
            slot == 39_999
        };
        assert_eq!(eviction.evict(of_the_other, |slot| u64::from(slot) << 40), Some(39_999));
        assert!(looks.get() <= 4 * IN_VAIN_MAX, "{} looks", looks.get());
    }

    /// Where none of very many tenants has a block that may go, a search asks each a few times, and comes to its end before long; the
    /// one that has is found by one of the next, whichever it is.
    #[test]
    fn a_search_among_very_many_tenants_ends() {
        let slots_count = 2 * TENANTS_MAX as u32;
        let mut eviction = Eviction::new(slots_count);
        for slot in 0..slots_count {
            eviction.insert_old(slot, Whose { tenant: slot / 2, weight: 1 + slot % 7 });
        }
        let looks = std::cell::Cell::new(0);
        let asked = |slot: u32, may_go: Option<u32>| {
            looks.set(looks.get() + 1);
            may_go == Some(slot)
        };
        assert_eq!(eviction.evict(|slot| asked(slot, None), u64::from), None);
        assert!(looks.get() <= 2 * slots_count, "{} looks", looks.get());
        for slot in [0, 5_000, slots_count - 1] {
            let mut search = || eviction.evict(|other| asked(other, Some(slot)), u64::from);
            assert_eq!((0..4).find_map(|_| search()), Some(slot));
        }
    }

    /// A tenant that reads far more than fits, again and again, leaves another's working set alone, as long as that is
    /// within its share, and gets what the other does not want.
    #[test]
    fn a_tenant_that_wants_everything_leaves_others_their_share() {
        let mut cached = Cached::new(640);
        let mut missed = 0;
        for round in 0..12 {
            for block in 0..200 {
                missed += u32::from(!cached.read_by(1, block) && round > 1);
            }
            // A thousand blocks, each twice in passes that are far enough apart to count.
            for block in (50_000..51_000).chain(50_000..51_000) {
                cached.read(block);
            }
        }
        assert!(missed <= 20, "{missed} of 2000 were gone");
        let others = cached.in_slot.iter().flatten().filter(|block| **block >= 50_000).count();
        assert!(others >= 400, "{others} slots");
    }

    /// Where all want everything, slots are shared by weight: two to one.
    #[test]
    fn slots_are_shared_by_weight() {
        let mut cached = Cached::new(600);
        for block in (0..5_000).cycle().take(40_000) {
            cached.read_by(0, block);
            cached.read_by(1, 100_000 + block);
        }
        let heavier = cached.in_slot.iter().flatten().filter(|block| **block >= 100_000).count();
        assert!((380..=420).contains(&heavier), "{heavier} of 600");
    }

    /// Who reads nothing any more keeps its share for a while, and not for ever.
    #[test]
    fn an_idle_tenant_gives_way() {
        let mut cached = Cached::new(64);
        for block in 0..64 {
            cached.read_by(1, 100_000 + block);
        }
        // A fourth of them is written.
        for (blocks, kept) in [(0..2_000, 42), (2_000..20_000, 0)] {
            for block in blocks {
                cached.read(block);
            }
            let idle = cached.in_slot.iter().flatten().filter(|block| **block >= 100_000).count();
            assert_eq!(idle, kept);
        }
    }
}
