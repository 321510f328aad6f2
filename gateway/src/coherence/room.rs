//! What several sessions keep together: one limit, and no share that others cannot use.
//!
//! Each session may keep as much as there is room for. When all of them together keep more, the one that keeps most lets go
//! of its oldest, until there is room again.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Somebody who keeps things.
pub(super) trait Keeper: Send + Sync {
    /// Bytes of what is kept.
    fn kept_bytes(&self) -> usize;
    /// Lets go of the oldest until no more than `bytes` are kept.
    fn keep_at_most(&self, bytes: usize);
}

/// Room for what its keepers keep.
pub(crate) struct Room {
    bytes_max: usize,
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
}

impl Room {
    /// Room for `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, keepers: Mutex::default() })
    }

    /// How much there is for all together.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// `keeper` keeps things here from now on.
    pub(super) fn join(&self, keeper: Weak<dyn Keeper>) {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).push(keeper);
    }

    /// Has whoever keeps most make room, if more is kept than there is room for. Called when something was added, by
    /// nobody who holds a keeper's lock.
    pub(super) fn settle(&self) {
        // One at a time: two that see the same excess would both see it go.
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        let keepers: Vec<_> = keepers.iter().filter_map(Weak::upgrade).collect();
        for _ in &keepers {
            let kept: Vec<_> = keepers.iter().map(|keeper| keeper.kept_bytes()).collect();
            let excess = kept.iter().sum::<usize>().saturating_sub(self.bytes_max);
            let Some((most, keeper)) = kept.into_iter().zip(&keepers).max_by_key(|(kept, _)| *kept) else {
                return;
            };
            if excess == 0 {
                return;
            }
            keeper.keep_at_most(most.saturating_sub(excess));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Keeping(AtomicUsize);

    impl Keeper for Keeping {
        fn kept_bytes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        fn keep_at_most(&self, bytes: usize) {
            self.0.fetch_min(bytes, Ordering::Relaxed);
        }
    }

    /// What each of `before` keeps once there is room for `bytes_max`.
    fn settled<const N: usize>(bytes_max: usize, before: [usize; N]) -> [usize; N] {
        let room = Room::new(bytes_max);
        let keepers = before.map(|bytes| Arc::new(Keeping(AtomicUsize::new(bytes))));
        for keeper in &keepers {
            let keeper: Arc<dyn Keeper> = keeper.clone();
            room.join(Arc::downgrade(&keeper));
        }
        room.settle();
        keepers.map(|keeper| keeper.kept_bytes())
    }

    #[test]
    fn one_may_use_all_of_it() {
        assert_eq!(settled(100, [100, 0, 0]), [100, 0, 0]);
        assert_eq!(settled(100, [40, 30, 30]), [40, 30, 30]);
    }

    #[test]
    fn who_keeps_most_makes_room() {
        assert_eq!(settled(100, [90, 20, 5]), [75, 20, 5]);
        assert_eq!(settled(100, [5, 101, 0]), [5, 95, 0]);
        // One alone cannot make enough of it.
        assert_eq!(settled(10, [20, 20, 20]), [10, 0, 0]);
    }
}
