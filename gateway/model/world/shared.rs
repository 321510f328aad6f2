//! What many states have in common: most of what happens changes one machine and leaves the others as they are.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

/// A machine that is copied when it is changed, and hashed once for all states that have it.
#[derive(Clone, Debug)]
pub(super) struct Shared<T>(Arc<Hashed<T>>);

#[derive(Clone, Debug)]
struct Hashed<T> {
    machine: T,
    hash: OnceLock<u64>,
}

impl<T> Shared<T> {
    pub(super) fn new(machine: T) -> Self {
        Self(Arc::new(Hashed { machine, hash: OnceLock::new() }))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.machine
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        let own = Arc::make_mut(&mut self.0);
        own.hash.take();
        &mut own.machine
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.machine == other.0.machine
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let hash = self.0.hash.get_or_init(|| {
            // Without a random start: two runs find the same states.
            ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(&self.0.machine)
        });
        state.write_u64(*hash);
    }
}
