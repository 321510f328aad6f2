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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::sync::mpsc;

    use rustix::io::Errno;

    use super::*;
    use crate::buffer::{For, Pool};

    const DATA_BYTES: usize = 64 * 1024;

    fn start(wanted: Wanted, path: &Path) -> Box<dyn Engine> {
        let file = File::options().read(true).write(true).open(path).expect("opens");
        super::start(wanted, Arc::new(SlabFile::new(path, file).expect("opens"))).expect("starts")
    }

    fn buffer() -> Buffer {
        Pool::new(1 << 20, 0).try_take(DATA_BYTES, For::Demand).expect("room")
    }

    fn write(engine: &dyn Engine) -> io::Result<()> {
        let (tell, told) = mpsc::channel();
        engine.write(SlotWrite {
            header_offset: 4096,
            header: vec![7; 128],
            data_offset: DATA_BYTES as u64,
            data: Bytes::from_owner(buffer()),
            done: Box::new(move |outcome| tell.send(outcome).expect("somebody waits")),
        });
        told.recv().expect("told")
    }

    fn read(engine: &dyn Engine) -> io::Result<Vec<u8>> {
        let (tell, told) = mpsc::channel();
        engine.read(SlotRead {
            header_offset: 4096,
            header_bytes: 128,
            data_offset: DATA_BYTES as u64,
            data_bytes: DATA_BYTES,
            buffer: buffer(),
            done: Box::new(move |outcome| tell.send(outcome).expect("somebody waits")),
        });
        told.recv().expect("told").map(|(header, _)| header)
    }

    /// Either engine tells of a device that is full, as the kernel has it, and goes on.
    #[test]
    fn a_full_device_is_told_of() {
        for wanted in [Wanted::IoUring, Wanted::Threads] {
            let engine = start(wanted, Path::new("/dev/full"));
            for _ in 0..3 {
                let error = write(&*engine).expect_err("full");
                assert_eq!(error.raw_os_error(), Some(Errno::NOSPC.raw_os_error()), "{wanted:?}");
            }
        }
    }

    /// Either engine tells of a file that ends within a header, or within what it should read, and goes on.
    #[test]
    fn a_file_that_was_cut_short_is_told_of() {
        for wanted in [Wanted::IoUring, Wanted::Threads] {
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("slab");
            let file = File::create_new(&path).expect("made");
            file.set_len(2 * DATA_BYTES as u64).expect("sparse");
            let engine = start(wanted, &path);
            write(&*engine).expect("written");
            assert_eq!(read(&*engine).expect("read"), [7; 128]);
            for cut_to in [DATA_BYTES as u64 + 4096, 4096 + 64] {
                file.set_len(cut_to).expect("cut");
                let error = read(&*engine).expect_err("cut short");
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{wanted:?} {cut_to}");
            }
            file.set_len(2 * DATA_BYTES as u64).expect("sparse");
            assert_eq!(read(&*engine).expect("read")[..64], [7; 64]);
            engine.stop().expect("stops");
        }
    }
}
