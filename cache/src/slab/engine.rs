//! What moves a slab's bytes: the face, and which engine is behind it.
//!
//! Requests own their buffers until they are done, so nothing is lost or overwritten when the asker goes away. Writes
//! never stand before a read.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use super::file::SlabFile;
use super::threads::Threads;
use super::uring::Uring;
use crate::buffer::Buffer;
use crate::settings::Engine as Wanted;

/// Called once with the outcome, on a thread of the engine.
pub(crate) type Done<T> = Box<dyn FnOnce(io::Result<T>) + Send>;

/// A slot's header, and part of its data.
pub(crate) struct SlotRead {
    pub(crate) header_offset: u64,
    pub(crate) header_bytes: usize,
    /// On a sector.
    pub(crate) data_offset: u64,
    /// Whole sectors, at most the buffer's length.
    pub(crate) data_bytes: usize,
    pub(crate) buffer: Buffer,
    /// Told the header and the buffer, whose first `data_bytes` are the data.
    pub(crate) done: Done<(Vec<u8>, Buffer)>,
}

/// A new block for a slot. The old header goes first and the new one comes last, so that a process killed in between
/// leaves a slot that is not there.
pub(crate) struct SlotWrite {
    pub(crate) header_offset: u64,
    pub(crate) header: Vec<u8>,
    /// On a sector.
    pub(crate) data_offset: u64,
    /// Whole sectors, aligned in memory.
    pub(crate) data: Bytes,
    pub(crate) done: Done<()>,
}

/// Moves bytes between slots and memory. Every request is told its outcome, once; one that comes when the engine has
/// stopped is told so at once.
pub(crate) trait Engine: Send + Sync {
    fn read(&self, read: SlotRead);
    fn write(&self, write: SlotWrite);
    /// Makes headers that nobody reads or writes unreadable, and that durable; blocks meanwhile. They lie at `offsets`, each
    /// of `header_bytes` bytes.
    fn blank(&self, offsets: &[u64], header_bytes: usize) -> io::Result<()>;
    /// Finishes what was asked, makes it durable, and lets go of the device; blocks meanwhile.
    fn stop(&self) -> io::Result<()>;
}

/// Starts the engine that is wanted. Where the kernel refuses io_uring (an old one, or a container that forbids it),
/// threads do the work, with a warning (`ops/decisions/2026-11-22-io-uring-and-a-fallback.md`).
pub(crate) fn start(wanted: Wanted, file: Arc<SlabFile>) -> io::Result<Box<dyn Engine>> {
    if wanted == Wanted::IoUring {
        match Uring::start(file.clone()) {
            Ok(engine) => return Ok(Box::new(engine)),
            Err(error) => {
                warn!(%error, "io_uring is refused: threads read and write NVMe, at more CPU a byte");
            }
        }
    }
    Ok(Box::new(Threads::start(file)?))
}

/// What a request is told that comes too late.
pub(super) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the engine has stopped")
}
