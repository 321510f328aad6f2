//! Purging a device: blocks go from the index at once, and from the headers that a restart would find.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{Device, State};
use crate::layout::BlockKey;
use crate::sync::lock;

/// Slots that are purged while readers wait: about a tenth of a millisecond of work.
const PURGED_AT_ONCE: u32 = 1024;

/// Slots whose headers are made unreadable, and that durable, in one go.
const BLANKED_AT_ONCE: u32 = 16_384;

/// Between two looks whether what was purged is still read: about what a read takes.
const PINNED_PAUSE: Duration = Duration::from_millis(1);

impl Device {
    /// Drops the blocks that `goes` names, also from what a restart would find, and returns how many there were. What of them
    /// waits to be written is waited for, as far as it waits by now; what is read of them meanwhile is read to its end.
    ///
    /// # Errors
    /// Where the device did not take it in time, or is not in use. What was stored is not found any more all the same, until a
    /// restart.
    pub(in crate::slab) async fn purge(&self, goes: &(impl Fn(&BlockKey) -> bool + Sync)) -> io::Result<u64> {
        let mut purged_count = self.purge_slots(goes).await?;
        let is_under_way = |state: &State, before: u64| {
            state.queue.iter().any(|(key, queued)| {
                queued.generation < before && (goes(key) || queued.over.as_ref().is_some_and(goes))
            })
        };
        let (now, waits) = {
            let state = lock(&self.0.state);
            (state.generation_next, is_under_way(&state, state.generation_next))
        };
        if waits {
            self.settled_in_time(|state| !is_under_way(state, now)).await?;
            // They are stored by now; or failed, and may have left what was there.
            purged_count += self.purge_slots(goes).await?;
        }
        // What was written over until now is to be gone for good as well.
        self.clone().blank(Vec::new()).await?;
        Ok(purged_count)
    }

    async fn purge_slots(&self, goes: &(impl Fn(&BlockKey) -> bool + Sync)) -> io::Result<u64> {
        let slots_count = self.0.geometry.slots_count;
        let mut purged_count = 0;
        for start in (0..slots_count).step_by(BLANKED_AT_ONCE as usize) {
            let end = slots_count.min(start.saturating_add(BLANKED_AT_ONCE));
            let mut purged = Vec::new();
            for start in (start..end).step_by(PURGED_AT_ONCE as usize) {
                purged_count +=
                    self.purge_some(start..end.min(start.saturating_add(PURGED_AT_ONCE)), goes, &mut purged);
                // Whoever waits for the lock has its turn. Not by an await: a caller that goes away here would leave them so.
                std::thread::yield_now();
            }
            if !purged.is_empty() {
                self.clone().blank(purged).await?;
            }
        }
        Ok(purged_count)
    }

    /// Purges what there is in `slots`, adds those of which a header is left to `purged`, and returns how many blocks there were.
    fn purge_some(&self, slots: Range<u32>, goes: impl Fn(&BlockKey) -> bool, purged: &mut Vec<u32>) -> u64 {
        let mut state = lock(&self.0.state);
        let before = state.index.blocks_count();
        purged.extend(state.index.purge(slots, goes));
        self.count_blocks(&mut state);
        (before - state.index.blocks_count()) as u64
    }

    /// Makes the headers of purged slots unreadable, once nobody reads them or was waited for long enough, and durable what was
    /// written to headers before. It goes on where its caller goes away, or has waited for the device for long enough; who
    /// closes the device waits for it.
    async fn blank(self, slots: Vec<u32>) -> io::Result<()> {
        {
            let mut state = lock(&self.0.state);
            if state.closing || !self.in_use() {
                return Err(out_of_use());
            }
            state.blankings_count += 1;
        }
        let (device, first) = (self.clone(), slots.first().copied().unwrap_or_default());
        let blanking = async move {
            let begun = Instant::now();
            while begun.elapsed() < self.0.patience
                && slots.iter().any(|slot| lock(&self.0.state).index.is_pinned(*slot))
            {
                sleep(PINNED_PAUSE).await;
            }
            let device = self.clone();
            let blanked = tokio::task::spawn_blocking(move || {
                let geometry = &device.0.geometry;
                let offsets: Vec<u64> = slots.iter().map(|slot| geometry.header_offset(*slot)).collect();
                let outcome = device.0.engine.blank(&offsets, geometry.header_bytes());
                for slots in slots.chunks(PURGED_AT_ONCE as usize) {
                    let mut state = lock(&device.0.state);
                    slots.iter().for_each(|slot| state.index.blanked(*slot, outcome.is_ok()));
                }
                outcome.map_err(|error| (slots.first().copied().unwrap_or_default(), error))
            });
            let blanked = blanked.await.expect("blanking headers does not panic");
            if let Err((slot, error)) = &blanked {
                self.device_failed("blank", *slot, error);
            }
            lock(&self.0.state).blankings_count -= 1;
            self.0.settled.notify_waiters();
            blanked.map_err(|(_, error)| error)
        };
        // Readers and the device have the same patience each.
        match timeout(2 * device.0.patience, tokio::spawn(blanking)).await {
            Ok(blanked) => blanked.expect("blanking headers does not panic"),
            Err(_) => {
                device.is_slow("blank", first);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

/// Why a device that is not in use is not purged.
pub(in crate::slab) fn out_of_use() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "it is not in use now")
}
