//! Objects that are read piece by piece: requests that each begin about where others ended.
//!
//! A request's own reading ahead ends with its range. Where requests walk an object, the blocks after it are wanted too,
//! by the next request. So each request that goes on with a walk may fill as much beyond its end as was walked so far,
//! within its reach; and what it leaves behind on its way is held here for the next one, for a while.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::flight::Interest;
use crate::instance::Instance;
use crate::sync::lock;

/// Walks remembered.
const WALKS_MAX: usize = 1024;

/// A client may ask for so many ranges at a time, in any order.
const RANGES_AT_ONCE: u64 = 16;

/// How long fills go on for a request that may come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Every walk there is.
#[derive(Default)]
pub(crate) struct Walks(Mutex<HashMap<Instance, Walk>>);

struct Walk {
    /// Where the furthest request ended, in bytes.
    end: u64,
    /// Bytes asked for, one request after another.
    walked: u64,
    /// When a request last came.
    at: Instant,
    /// The block up to which everything is here or on its way.
    looked_to: u32,
    /// What is on its way for the next request.
    left: Vec<Arc<Interest>>,
}

/// What a request finds of the walk that it goes on with.
#[derive(Default)]
pub(crate) struct GoesOn {
    /// How many bytes may be filled beyond its end.
    pub(crate) beyond: u64,
    /// The block up to which everything is here or on its way; 0 where a request looks for itself.
    pub(crate) looked_to: u32,
    /// What was begun for it.
    pub(crate) left: Vec<Arc<Interest>>,
}

impl Walks {
    /// A request for `range` of an object begins.
    pub(crate) fn goes_on(&self, instance: Instance, range: &Range<u64>) -> GoesOn {
        let mut walks = lock(&self.0);
        let Some(walk) = walks.get_mut(&instance) else { return GoesOn::default() };
        let bytes = range.end - range.start;
        let near = bytes.saturating_mul(RANGES_AT_ONCE);
        let stale = walk.at.elapsed() > PATIENCE;
        // What lies behind was seen to for those who read it, and need not have stayed.
        let goes_behind = range.start < walk.end;
        if stale || range.start.abs_diff(walk.end) > near {
            (walk.end, walk.walked, walk.looked_to) = (range.end, 0, 0);
        } else {
            walk.end = walk.end.max(range.end);
            walk.walked = walk.walked.saturating_add(bytes);
        }
        walk.at = Instant::now();
        let left = std::mem::take(&mut walk.left);
        GoesOn { beyond: walk.walked, looked_to: if goes_behind { 0 } else { walk.looked_to }, left }
    }

    /// A request for `range` of an object found something missing: if others come after it, that is a walk.
    pub(crate) fn begin(&self, instance: Instance, range: &Range<u64>) {
        let mut walks = lock(&self.0);
        if walks.len() >= WALKS_MAX && !walks.contains_key(&instance) {
            walks.retain(|_, walk| walk.at.elapsed() <= PATIENCE);
            if walks.len() >= WALKS_MAX {
                return; // so many at a time: this one goes without
            }
        }
        let new = || Walk { end: range.end, walked: 0, at: Instant::now(), looked_to: 0, left: Vec::new() };
        walks.entry(instance).or_insert_with(new);
    }

    /// A request leaves fills behind for the next one, and says up to which block it saw to everything.
    pub(crate) fn leave(&self, instance: &Instance, left: Vec<Arc<Interest>>, looked_to: u32) {
        if let Some(walk) = lock(&self.0).get_mut(instance) {
            walk.left.extend(left);
            walk.looked_to = walk.looked_to.max(looked_to);
        }
    }

    /// Ends the fills of a walk that no request came to for so long.
    pub(crate) fn tire(&self, instance: &Instance) {
        let mut walks = lock(&self.0);
        if walks.get(instance).is_some_and(|walk| walk.at.elapsed() >= PATIENCE) {
            walks.remove(instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Instance = Instance([1; 16]);

    /// What may be filled beyond a request grows with what was walked, forwards and by several at a time; it begins anew
    /// where a request comes from far away, and only where something was missing.
    #[test]
    fn a_walk_grows_and_a_jump_ends_it() {
        let walks = Walks::default();
        let beyond = |range: Range<u64>| walks.goes_on(ONE, &range).beyond;
        assert_eq!((beyond(0..10), beyond(10..20)), (0, 0));
        walks.begin(ONE, &(0..10));
        assert_eq!([beyond(10..20), beyond(20..30), beyond(40..50), beyond(30..40)], [10, 20, 30, 40]);
        assert_eq!([beyond(5000..5010), beyond(5010..5020), beyond(0..10)], [0, 10, 0]);
    }

    /// What is left behind goes to the next request, once.
    #[test]
    fn what_is_left_behind_is_taken_by_the_next() {
        let walks = Walks::default();
        let left = || vec![Arc::new(Interest::new(2..3, None))];
        walks.leave(&ONE, left(), 7);
        walks.begin(ONE, &(0..10));
        walks.leave(&ONE, left(), 4);
        let next = walks.goes_on(ONE, &(10..20));
        assert_eq!((next.left.len(), next.looked_to), (1, 4));
        let after = walks.goes_on(ONE, &(20..30));
        assert_eq!((after.left.len(), after.looked_to), (0, 4));
    }

    /// A request for what a walk has passed looks for itself: what was there may be gone.
    #[test]
    fn what_a_walk_has_passed_is_looked_for_again() {
        let walks = Walks::default();
        walks.begin(ONE, &(0..10));
        walks.leave(&ONE, Vec::new(), 4);
        let looked_to = |range: Range<u64>| walks.goes_on(ONE, &range).looked_to;
        assert_eq!([looked_to(0..10), looked_to(10..20), looked_to(15..25), looked_to(25..35)], [0, 4, 0, 4]);
    }
}
