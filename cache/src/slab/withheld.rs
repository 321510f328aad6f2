//! Memory that devices keep: buffers of reads and writes that they were waited for long enough.
//!
//! A device has its buffers until it gives them back, for good if it is gone. They are in the pool's capacity, so memory stays
//! bounded; but what the pool has beside the memory tier is little, and a silent device takes all of it within seconds. The
//! memory tier makes up for it (`crate::cache`), so that everything else goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How much they keep, over all devices.
#[derive(Default)]
pub(crate) struct Withheld {
    bytes: AtomicUsize,
    changed: Arc<Notify>,
}

impl Withheld {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Rung at every change, and when there will be no other.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// A buffer of so many bytes was waited for long enough.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// It was given back.
    pub(super) fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.changed.notify_waiters();
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        self.changed.notify_waiters();
    }
}
