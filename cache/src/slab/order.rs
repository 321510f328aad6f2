//! In which order a device's reads go: neighbours together, and nobody passed over for long.
//!
//! What waits goes sweep by sweep, each in the order of the device: a read that comes during one waits for the next, so
//! that others further down do not keep it from its turn for ever. What is on its way the kernel may order once more. Its
//! scheduler for many disks goes on upwards for half a second while there is more to read there, and leaves a read below
//! alone meanwhile. So no read begins while another one has been passed by as many as there may be at a time. That lasts a
//! second at most: a read that takes longer is not passed over but stuck, on a bad sector say, and the others go on.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::engine::SlotRead;

/// Reads that the device has at a time, merged ones counted once; and how many may pass one that began before them.
pub(super) const READS_MAX: usize = 64;

/// For how long those after it are held back for one that was passed by so many.
pub(super) const HELD_BACK_MAX: Duration = Duration::from_secs(1);

/// Reads are merged up to this many bytes: larger ones cost as much a byte, and their first byte comes later.
const MERGED_BYTES_MAX: usize = 1024 * 1024;

/// Reads that have not begun.
#[derive(Default)]
pub(super) struct Waiting {
    sweep: VecDeque<SlotRead>,
    next: Vec<SlotRead>,
}

impl Waiting {
    pub(super) fn extend(&mut self, reads: impl Iterator<Item = SlotRead>) {
        self.next.extend(reads);
    }

    /// The reads that go next, as one: at least one, each going on where the one before it ends.
    pub(super) fn take(&mut self) -> Option<Vec<SlotRead>> {
        if self.sweep.is_empty() {
            self.sweep = std::mem::take(&mut self.next).into();
            self.sweep.make_contiguous().sort_by_key(|read| read.data_offset);
        }
        let mut run = vec![self.sweep.pop_front()?];
        let mut bytes = run[0].data_bytes;
        while let Some(next) = self.sweep.front()
            && is_next(&run[run.len() - 1], next)
            && bytes + next.data_bytes <= MERGED_BYTES_MAX
        {
            bytes += next.data_bytes;
            run.extend(self.sweep.pop_front());
        }
        Some(run)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sweep.is_empty() && self.next.is_empty()
    }

    /// All of them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = SlotRead> {
        self.sweep.drain(..).chain(self.next.drain(..))
    }
}

/// Reads on their way: in which order they began, and when.
#[derive(Default)]
pub(super) struct Running {
    began: BTreeMap<u64, Instant>,
    next: u64,
}

impl Running {
    /// Whether one more may begin at `now`.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let of_late = self.began.iter().find(|(_, began)| now.duration_since(**began) < HELD_BACK_MAX);
        let is_passed = of_late.is_some_and(|(oldest, _)| self.next - oldest >= READS_MAX as u64);
        self.began.len() < READS_MAX && !is_passed
    }

    /// Its number. One that is repeated needs no room.
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.began.insert(number, now);
        number
    }

    pub(super) fn end(&mut self, number: u64) {
        self.began.remove(&number);
    }
}

/// Whether `next` goes on where `last` ends: with the next pages of the slot, or with the next slot.
fn is_next(last: &SlotRead, next: &SlotRead) -> bool {
    let after = last.header_offset + last.header_bytes as u64;
    last.data_offset + last.data_bytes as u64 == next.data_offset
        && (next.header_offset == last.header_offset || next.header_offset == after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{For, Pool};

    const BYTES: usize = 512 * 1024;

    fn read(pool: &Pool, slot: u64) -> SlotRead {
        SlotRead {
            header_offset: slot * 512,
            header_bytes: 512,
            data_offset: slot * BYTES as u64,
            data_bytes: BYTES,
            buffer: pool.try_take(BYTES, For::Demand).expect("room"),
            done: Box::new(|_| ()),
        }
    }

    /// Neighbours go together, as many as make a MiB; what comes during a sweep goes in the next, wherever it lies.
    #[test]
    fn a_sweep_is_not_joined_by_who_comes_later() {
        let pool = Pool::new(16 * BYTES, 0);
        let mut waiting = Waiting::default();
        let mut go = |come: &[u64]| -> Vec<u64> {
            waiting.extend(come.iter().map(|slot| read(&pool, *slot)));
            let run = waiting.take().unwrap_or_default();
            run.iter().map(|read| read.data_offset / BYTES as u64).collect()
        };
        assert_eq!(go(&[9, 4, 3, 5]), [3, 4]);
        assert_eq!(go(&[1, 2]), [5]);
        assert_eq!(go(&[6]), [9]);
        assert_eq!(go(&[]), [1, 2]);
        assert_eq!(go(&[]), [6]);
        assert!(go(&[]).is_empty());
    }

    /// However fast others end, one that does not is passed by so many and no more, until it is taken for stuck.
    #[test]
    fn a_read_is_passed_by_a_bounded_number_for_a_while() {
        let mut running = Running::default();
        let (now, later) = (Instant::now(), Instant::now() + HELD_BACK_MAX);
        let slow = running.begin(now);
        for _ in 1..READS_MAX {
            assert!(running.has_room(now));
            let other = running.begin(now);
            running.end(other);
        }
        assert!(!running.has_room(now));
        assert!(running.has_room(later));
        // The next one that is slow is waited for as well.
        running.begin(later);
        for _ in 1..READS_MAX {
            let other = running.begin(later);
            running.end(other);
        }
        assert!(!running.has_room(later));
        running.end(slow);
        assert!(!running.has_room(later));
    }

    /// There are never more at a time, stuck ones included.
    #[test]
    fn so_many_are_on_their_way_at_most() {
        let mut running = Running::default();
        let (now, later) = (Instant::now(), Instant::now() + HELD_BACK_MAX);
        let all: Vec<_> = (0..READS_MAX).map(|_| running.begin(now)).collect();
        assert_eq!([now, later].map(|at| running.has_room(at)), [false, false]);
        running.end(all[1]);
        assert_eq!([now, later].map(|at| running.has_room(at)), [false, true]);
        running.end(all[0]);
        assert_eq!([now, later].map(|at| running.has_room(at)), [true, true]);
    }
}
