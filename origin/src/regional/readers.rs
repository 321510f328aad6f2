//! Which instances are being read, or were not long ago: a reader renews the grace of what it reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::disk::Disk;
use crate::instance::Instance;

/// Instances remembered after their last reader; past that the oldest half is forgotten, and those keep the grace
/// that they have.
const REMEMBERED_MAX: usize = 65_536;

/// The readers of a store's instances.
#[derive(Clone, Default)]
pub(super) struct Readers {
    instances: Arc<Mutex<HashMap<Instance, Readership>>>,
}

#[derive(Clone, Copy)]
struct Readership {
    running: usize,
    /// When the last reader came or went, on the store's running time.
    last: Duration,
}

/// One reader at work. Dropping it says that it has ended.
pub(super) struct Reading {
    readers: Readers,
    instance: Instance,
    disk: Arc<Disk>,
}

impl Readers {
    /// A reader starts.
    pub(super) fn start(&self, instance: Instance, disk: Arc<Disk>) -> Reading {
        let now = disk.running();
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if instances.len() >= REMEMBERED_MAX {
            forget_oldest_half(&mut instances);
        }
        let readership = instances.entry(instance).or_insert(Readership { running: 0, last: now });
        readership.running += 1;
        readership.last = now;
        drop(instances);
        Reading { readers: self.clone(), instance, disk }
    }

    /// When `instance` was read last; `now` if it is being read.
    pub(super) fn last_read(&self, instance: &Instance, now: Duration) -> Option<Duration> {
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.get(instance).map(|found| if found.running > 0 { now } else { found.last })
    }

    /// Forgets readers that ended before `horizon`.
    pub(super) fn forget_before(&self, horizon: Duration) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.retain(|_, found| found.running > 0 || found.last >= horizon);
        let room = instances.len() * 2;
        instances.shrink_to(room);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let now = self.disk.running();
        let mut instances = self.readers.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(readership) = instances.get_mut(&self.instance) {
            readership.running -= 1;
            readership.last = now;
        }
    }
}

fn forget_oldest_half(instances: &mut HashMap<Instance, Readership>) {
    let mut ends: Vec<Duration> = instances.values().map(|found| found.last).collect();
    let middle = ends.len() / 2;
    let (_, median, _) = ends.select_nth_unstable(middle);
    let horizon = *median;
    instances.retain(|_, found| found.running > 0 || found.last > horizon);
}
