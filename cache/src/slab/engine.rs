//! What moves the slab's bytes: the face, and a pool of threads behind it.
//!
//! Requests own their buffers until they are done, so nothing is lost or overwritten when the asker goes away; an
//! io_uring engine can take them as they are. Reads and writes have threads of their own: a queue of writes never
//! stands before a read.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use super::medium::Medium;
use crate::buffer::Buffer;
use crate::sync::lock;

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

/// Moves bytes between slots and memory. A request that is refused because the engine has stopped is dropped.
pub(crate) trait Engine: Send + Sync {
    fn read(&self, read: SlotRead);
    fn write(&self, write: SlotWrite);
    /// Finishes what was asked, makes it durable, and lets go of the device; blocks meanwhile.
    fn stop(&self) -> io::Result<()>;
}

/// An engine of blocking threads.
pub(crate) struct Threads {
    medium: Arc<dyn Medium>,
    reads: Arc<Lane<SlotRead>>,
    writes: Arc<Lane<SlotWrite>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(crate) fn start(
        medium: Arc<dyn Medium>,
        read_threads: usize,
        write_threads: usize,
    ) -> io::Result<Self> {
        let engine =
            Self { medium, reads: Arc::default(), writes: Arc::default(), running: Mutex::default() };
        for _ in 0..read_threads {
            engine.spawn("slab-read", engine.reads.clone(), perform_read)?;
        }
        for _ in 0..write_threads {
            engine.spawn("slab-write", engine.writes.clone(), perform_write)?;
        }
        Ok(engine)
    }

    fn spawn<R: Send + 'static>(
        &self,
        name: &str,
        lane: Arc<Lane<R>>,
        perform: fn(&dyn Medium, R),
    ) -> io::Result<()> {
        let medium = self.medium.clone();
        let work = move || {
            while let Some(request) = lane.next() {
                perform(&*medium, request);
            }
        };
        lock(&self.running).push(thread::Builder::new().name(name.into()).spawn(work)?);
        Ok(())
    }
}

impl Engine for Threads {
    fn read(&self, read: SlotRead) {
        self.reads.push(read);
    }

    fn write(&self, write: SlotWrite) {
        self.writes.push(write);
    }

    fn stop(&self) -> io::Result<()> {
        self.reads.close();
        self.writes.close();
        for thread in std::mem::take(&mut *lock(&self.running)) {
            // A thread that panicked has said so on stderr; the others' work is not lost with it.
            let _ = thread.join();
        }
        self.medium.close()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
    }
}

fn perform_read(medium: &dyn Medium, read: SlotRead) {
    let SlotRead { header_offset, header_bytes, data_offset, data_bytes, mut buffer, done } = read;
    let mut header = vec![0; header_bytes];
    let outcome = medium
        .read_header(&mut header, header_offset)
        .and_then(|()| medium.read_data(&mut buffer[..data_bytes], data_offset));
    done(outcome.map(|()| (header, buffer)));
}

fn perform_write(medium: &dyn Medium, write: SlotWrite) {
    let SlotWrite { header_offset, header, data_offset, data, done } = write;
    let outcome = medium
        .write_header(&vec![0; header.len()], header_offset)
        .and_then(|()| medium.write_data(&data, data_offset))
        .and_then(|()| medium.write_header(&header, header_offset));
    done(outcome);
}

/// Requests that wait for a thread. Bounded by what requests own: a buffer of the pool each.
struct Lane<R> {
    waiting: Mutex<Waiting<R>>,
    changed: Condvar,
}

struct Waiting<R> {
    requests: VecDeque<R>,
    closed: bool,
}

impl<R> Default for Lane<R> {
    fn default() -> Self {
        let waiting = Waiting { requests: VecDeque::new(), closed: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new() }
    }
}

impl<R> Lane<R> {
    fn push(&self, request: R) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            // Dropped after the lock: a request's end runs code of its owner.
            drop(waiting);
            return drop(request);
        }
        waiting.requests.push_back(request);
        self.changed.notify_one();
    }

    /// The next request; `None` once the lane is closed and empty.
    fn next(&self) -> Option<R> {
        let mut waiting = lock(&self.waiting);
        loop {
            if let Some(request) = waiting.requests.pop_front() {
                return Some(request);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn close(&self) {
        lock(&self.waiting).closed = true;
        self.changed.notify_all();
    }
}
