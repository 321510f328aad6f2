//! The engine of blocking threads, for where the kernel refuses io_uring.
//!
//! Reads and writes have threads of their own: a queue of writes never stands before a read.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use super::engine::{Engine, SlotRead, SlotWrite, stopped};
use super::file::SlabFile;
use crate::sync::lock;

const READ_THREADS: usize = 8;

const WRITE_THREADS: usize = 2;

/// An engine of blocking threads.
pub(super) struct Threads {
    file: Arc<SlabFile>,
    reads: Arc<Lane<SlotRead>>,
    writes: Arc<Lane<SlotWrite>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(super) fn start(file: Arc<SlabFile>) -> io::Result<Self> {
        let engine = Self { file, reads: Arc::default(), writes: Arc::default(), running: Mutex::default() };
        for _ in 0..READ_THREADS {
            engine.spawn("slab-read", engine.reads.clone(), perform_read)?;
        }
        for _ in 0..WRITE_THREADS {
            engine.spawn("slab-write", engine.writes.clone(), perform_write)?;
        }
        Ok(engine)
    }

    fn spawn<R: Send + 'static>(
        &self,
        name: &str,
        lane: Arc<Lane<R>>,
        perform: fn(&SlabFile, R),
    ) -> io::Result<()> {
        let file = self.file.clone();
        let work = move || {
            while let Some(request) = lane.next() {
                perform(&file, request);
            }
        };
        lock(&self.running).push(thread::Builder::new().name(name.into()).spawn(work)?);
        Ok(())
    }
}

impl Engine for Threads {
    fn read(&self, read: SlotRead) {
        if let Some(read) = self.reads.push(read) {
            (read.done)(Err(stopped()));
        }
    }

    fn write(&self, write: SlotWrite) {
        if let Some(write) = self.writes.push(write) {
            (write.done)(Err(stopped()));
        }
    }

    fn blank(&self, offsets: &[u64], header_bytes: usize) -> io::Result<()> {
        self.file.blank_headers(offsets, header_bytes)
    }

    fn stop(&self) -> io::Result<()> {
        self.reads.close();
        self.writes.close();
        for thread in std::mem::take(&mut *lock(&self.running)) {
            // A thread that panicked has said so on stderr; the others' work is not lost with it.
            let _ = thread.join();
        }
        self.file.close()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
    }
}

fn perform_read(file: &SlabFile, read: SlotRead) {
    let SlotRead { header_offset, header_bytes, data_offset, data_bytes, mut buffer, done } = read;
    let mut header = vec![0; header_bytes];
    let outcome = file
        .read_header(&mut header, header_offset)
        .and_then(|()| file.read_data(&mut buffer[..data_bytes], data_offset));
    done(outcome.map(|()| (header, buffer)));
}

fn perform_write(file: &SlabFile, write: SlotWrite) {
    let SlotWrite { header_offset, header, data_offset, data, done } = write;
    let outcome = file
        .write_header(&vec![0; header.len()], header_offset)
        .and_then(|()| file.write_data(&data, data_offset))
        .and_then(|()| file.write_header(&header, header_offset));
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
    /// Gives the request back once the lane is closed.
    fn push(&self, request: R) -> Option<R> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Some(request);
        }
        waiting.requests.push_back(request);
        self.changed.notify_one();
        None
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
