//! The watch over writes, for which nobody waits: who takes none, or loses some, is told of all the same.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;

use super::{Device, State};
use crate::layout;
use crate::sync::lock;

impl Device {
    /// Sees to it that writes that are not answered in time are told of, if nobody does by now.
    pub(super) fn watch_writes(&self, state: &mut State) {
        if std::mem::replace(&mut state.are_writes_watched, true) {
            return;
        }
        // A device that is let go of is not held by this until it next looks.
        let (device, patience) = (Arc::downgrade(&self.0), self.0.write_patience);
        self.0.runtime.spawn(async move {
            let mut next = Instant::now() + patience;
            loop {
                sleep_until(next.into()).await;
                let Some(device) = device.upgrade().map(Self) else { return };
                match device.tell_of_late_writes() {
                    Some(later) => next = later,
                    None => return,
                }
            }
        });
    }

    /// Counts the writes that were waited for long enough, each once, as reads are: the device is slow if it answered another
    /// one meanwhile. Returns when the next one will have been, if there is one.
    ///
    /// A device that has no room for another write, and answered none for so long, takes no more: of large blocks it has
    /// fewer than it may have errors.
    fn tell_of_late_writes(&self) -> Option<Instant> {
        let mut late = Vec::new();
        let (next, takes_none) = {
            let mut state = lock(&self.0.state);
            let now = Instant::now();
            let answered_count = state.writes_answered_count;
            for queued in state.queue.values_mut().filter(|queued| !queued.is_late) {
                if now.duration_since(queued.offered) >= self.0.write_patience {
                    queued.is_late = true;
                    self.0.withheld.add(queued.block.footprint());
                    late.push((queued.slot, queued.answered_before == answered_count));
                }
            }
            let waiting = state.queue.values().filter(|queued| !queued.is_late);
            let next_late = waiting.map(|queued| queued.offered + self.0.write_patience).min();
            let is_full =
                state.queue_bytes + layout::to_len(self.0.geometry.block_bytes) > self.0.queue_bytes_max;
            let is_stuck = is_full && next_late.is_none();
            let silent_from = state.write_answered_at + self.0.write_patience;
            let next = if is_stuck && now < silent_from { Some(silent_from) } else { next_late };
            state.are_writes_watched = next.is_some();
            (next, is_stuck && now >= silent_from)
        };
        for (slot, is_silent) in late {
            match is_silent {
                true => self.device_failed("write", slot, &io::ErrorKind::TimedOut.into()),
                false => self.is_slow("write", slot),
            }
        }
        if takes_none {
            self.take_out();
        }
        next
    }
}
