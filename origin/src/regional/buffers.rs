//! Memory that the store lends to transfers, beyond the one small piece that each has by right.
//!
//! Nobody waits for a loan: who gets none goes on a piece at a time, so a thousand clients that stand still cost
//! little, and keep nobody from making progress. Buffers to read into are kept and used again: as fresh memory of the
//! thread that reads, each thread would keep some when it is done.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one buffer to read into: one run of pages.
pub(super) const RUN_BYTES: usize = 512 * 1024;
/// Bytes that all readers together may have read ahead.
pub const READ_AHEAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that all uploads together may have gathered for larger writes, or be hashing.
pub const GATHERED_BYTES_MAX: usize = 12 * 1024 * 1024;

/// What is left to lend. Clones lend from the same.
#[derive(Clone)]
pub(super) struct Buffers {
    runs: Arc<Runs>,
    gathered: Arc<Semaphore>,
}

/// Buffers of [`RUN_BYTES`].
struct Runs {
    free: Mutex<Free>,
}

struct Free {
    kept: Vec<Box<[u8]>>,
    /// How many more may be made.
    unmade_count: usize,
}

/// Bytes that may be held until this is dropped.
pub(super) struct Loan {
    _bytes: OwnedSemaphorePermit,
}

/// Memory to read into. A lent one goes back when it is dropped.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    filled_bytes: usize,
    lender: Option<Arc<Runs>>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new(READ_AHEAD_BYTES_MAX / RUN_BYTES, GATHERED_BYTES_MAX)
    }
}

impl Buffers {
    fn new(runs_max: usize, gathered_bytes_max: usize) -> Self {
        let free = Mutex::new(Free { kept: Vec::new(), unmade_count: runs_max });
        Self { runs: Arc::new(Runs { free }), gathered: Arc::new(Semaphore::new(gathered_bytes_max)) }
    }

    /// A buffer for a run, if there is one.
    pub(super) fn run(&self) -> Option<Buffer> {
        let mut free = self.runs.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free.kept.pop();
        if kept.is_none() {
            free.unmade_count = free.unmade_count.checked_sub(1)?;
        }
        drop(free);
        let bytes = kept.unwrap_or_else(|| vec![0; RUN_BYTES].into());
        Some(Buffer { bytes, filled_bytes: 0, lender: Some(self.runs.clone()) })
    }

    /// `bytes` for an upload, if they are there.
    pub(super) fn gather(&self, bytes: u64) -> Option<Loan> {
        let bytes = u32::try_from(bytes).ok()?;
        self.gathered.clone().try_acquire_many_owned(bytes).ok().map(|bytes| Loan { _bytes: bytes })
    }
}

impl Buffer {
    /// One of its reader's own.
    pub(super) fn own(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into(), filled_bytes: 0, lender: None }
    }

    /// How much it takes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Its first `bytes` bytes, to be written over; they are what it holds then.
    pub(super) fn fill(&mut self, bytes: usize) -> &mut [u8] {
        self.filled_bytes = bytes;
        &mut self.bytes[..bytes]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled_bytes]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(lender) = &self.lender {
            let mut free = lender.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was lent comes back; readers and uploads do not take from each other.
    #[test]
    fn no_more_is_lent_than_there_is() {
        let buffers = Buffers::new(2, 10);
        let lent = [buffers.run(), buffers.run()];
        assert!(lent.iter().all(Option::is_some) && buffers.run().is_none());
        drop(lent);
        assert!(buffers.run().is_some());
        let loan = buffers.gather(10);
        assert!(loan.is_some() && buffers.gather(1).is_none());
        drop(loan);
        assert!(buffers.gather(10).is_some());
    }

    /// A buffer that was longer filled before shows nothing of that.
    #[test]
    fn a_buffer_holds_what_it_was_filled_with() {
        let buffers = Buffers::new(1, 0);
        let mut buffer = buffers.run().expect("there is one");
        buffer.fill(4).copy_from_slice(b"long");
        drop(buffer);
        let mut buffer = buffers.run().expect("it came back");
        buffer.fill(2).copy_from_slice(b"ab");
        assert_eq!(buffer.as_ref(), b"ab");
    }
}
