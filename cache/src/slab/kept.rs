//! Instances that are not given up before a moment that an operator named.
//!
//! They are remembered by this process alone: after a restart their blocks are there, and go like any other's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::instance::Instance;
use crate::sync::lock;

/// What is kept until when.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<Instance, KeptObject>>);

struct KeptObject {
    until: Instant,
    object_bytes: u64,
}

/// What is kept now, for as long as it is looked at.
pub(super) struct KeptNow<'k> {
    objects: MutexGuard<'k, HashMap<Instance, KeptObject>>,
    now: Instant,
}

impl Kept {
    /// Keeps an object of `object_bytes` bytes until `until`, instead of what was said of it before. False, and nothing is
    /// changed, if more than `bytes_max` would be kept then.
    pub(super) fn keep(&self, instance: Instance, object_bytes: u64, until: Instant, bytes_max: u64) -> bool {
        let mut objects = lock(&self.0);
        let now = Instant::now();
        objects.retain(|_, object| object.until > now);
        let others = objects.iter().filter(|(other, _)| **other != instance);
        let bytes = others.map(|(_, object)| object.object_bytes).sum::<u64>().saturating_add(object_bytes);
        let fits = bytes <= bytes_max;
        if fits {
            objects.insert(instance, KeptObject { until, object_bytes });
        }
        fits
    }

    /// Keeps an object no longer.
    pub(super) fn release(&self, instance: &Instance) {
        lock(&self.0).remove(instance);
    }

    /// What is kept now.
    pub(super) fn now(&self) -> KeptNow<'_> {
        KeptNow { objects: lock(&self.0), now: Instant::now() }
    }

    /// Bytes of the objects that are kept now.
    pub(super) fn bytes(&self) -> u64 {
        let KeptNow { objects, now } = self.now();
        objects.values().filter(|object| object.until > now).map(|object| object.object_bytes).sum()
    }
}

impl KeptNow<'_> {
    /// Whether this one is.
    pub(super) fn holds(&self, instance: &Instance) -> bool {
        self.objects.get(instance).is_some_and(|object| object.until > self.now)
    }
}
