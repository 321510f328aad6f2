//! The engine over io_uring: one thread a device, parked in the kernel until a request or an answer comes.
//!
//! A read is two transfers side by side, the header through the page cache and the data past it; a write is three, one
//! after another. Reads of neighbouring pages and slots that wait together go as one, in an order that passes nobody over
//! ([`super::order`]). Reads go before writes, of which few run at a time, so that a queue of writes does not stand before
//! a read in the device either.
//!
//! What the kernel moved only in part is asked for again from there; a merged read that fails is split, so that one bad
//! sector costs one block.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;

use super::engine::{Done, Engine, SlotRead, SlotWrite, stopped};
use super::file::SlabFile;
use super::order::{HELD_BACK_MAX, READS_MAX, Running, Waiting};
use super::ring::{Bell, Memory, Ring, Through, Transfer, work_in_batches};
use crate::buffer::Buffer;
use crate::sync::lock;

/// Writes that the device has at a time: enough to keep it busy, few enough for a read among them to be quick.
const WRITES_MAX: usize = 4;

/// A read has two transfers at a time, a write one.
const TRANSFERS_MAX: u32 = 2 * READS_MAX as u32 + WRITES_MAX as u32;

/// An engine of one io_uring and its thread.
pub(super) struct Uring {
    inbox: Arc<Inbox>,
    bell: Bell,
    thread: Mutex<Option<JoinHandle<()>>>,
    file: Arc<SlabFile>,
}

/// What others hand to the thread.
#[derive(Default)]
struct Inbox {
    incoming: Mutex<Incoming>,
    /// The thread waits in the kernel, or is about to.
    parked: AtomicBool,
}

#[derive(Default)]
struct Incoming {
    reads: Vec<SlotRead>,
    writes: Vec<SlotWrite>,
    closed: bool,
}

impl Uring {
    /// Starts the engine's thread.
    ///
    /// # Errors
    /// Where the kernel has no io_uring, or does not let this process have it.
    pub(super) fn start(file: Arc<SlabFile>) -> io::Result<Self> {
        Self::start_with(file, |_| {})
    }

    /// The same, with a look at the ring before it is used.
    fn start_with(file: Arc<SlabFile>, prepare: impl FnOnce(&mut Ring) + Send + 'static) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("slab-ring".into()).spawn({
            let (inbox, file) = (inbox.clone(), file.clone());
            // A ring belongs to the thread that makes it.
            move || match Ring::new(TRANSFERS_MAX, file.page_cache(), file.direct()) {
                Ok(mut ring) => {
                    // Whoever wakes it has more to hand in as often as not. It works without, woken more often.
                    if let Err(error) = work_in_batches() {
                        tracing::debug!(%error, "schedule the ring's thread");
                    }
                    prepare(&mut ring);
                    let _ = tell.send(Ok(ring.bell()));
                    Worker::new(ring, inbox).run();
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        })?;
        let bell = told.recv().map_err(|_| io::Error::other("the ring's thread panicked"))??;
        Ok(Self { inbox, bell, thread: Mutex::new(Some(thread)), file })
    }

    fn hand_in(&self, put: impl FnOnce(&mut Incoming)) {
        put(&mut lock(&self.inbox.incoming));
        if self.inbox.parked.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

impl Engine for Uring {
    fn read(&self, read: SlotRead) {
        let mut refused = Some(read);
        self.hand_in(|incoming| {
            if !incoming.closed {
                incoming.reads.extend(refused.take());
            }
        });
        // Outside of the lock: a request's end runs code of its owner.
        if let Some(read) = refused {
            (read.done)(Err(stopped()));
        }
    }

    fn write(&self, write: SlotWrite) {
        let mut refused = Some(write);
        self.hand_in(|incoming| {
            if !incoming.closed {
                incoming.writes.extend(refused.take());
            }
        });
        if let Some(write) = refused {
            (write.done)(Err(stopped()));
        }
    }

    fn blank(&self, offsets: &[u64], header_bytes: usize) -> io::Result<()> {
        self.file.blank_headers(offsets, header_bytes)
    }

    fn stop(&self) -> io::Result<()> {
        self.hand_in(|incoming| incoming.closed = true);
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
        self.file.close()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.hand_in(|incoming| incoming.closed = true);
    }
}

/// The thread's own state.
struct Worker {
    ring: Ring,
    inbox: Arc<Inbox>,
    reads: Waiting,
    writes: VecDeque<SlotWrite>,
    running: Running,
    /// By token.
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
    writes_count: usize,
}

enum Job {
    Read(Reading),
    Write(Writing),
}

/// Reads of pages that lie one after another.
struct Reading {
    /// Among all that were begun.
    number: u64,
    members: Vec<Member>,
    header_offset: u64,
    /// As they come back.
    header: Option<Half>,
    data: Option<Half>,
}

/// What came back of a read's header, or of its data.
struct Half {
    memory: Memory,
    outcome: io::Result<()>,
}

/// A read without its buffer, which the ring has.
struct Member {
    header_offset: u64,
    header_bytes: usize,
    data_offset: u64,
    data_bytes: usize,
    done: Done<(Vec<u8>, Buffer)>,
}

/// A write, and what of it is still to be started.
struct Writing {
    step: Step,
    header_offset: u64,
    header: Vec<u8>,
    data_offset: u64,
    data: Bytes,
    done: Done<()>,
}

/// What of a write is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The old header is made unreadable.
    Blank,
    Data,
    Header,
}

impl Worker {
    fn new(ring: Ring, inbox: Arc<Inbox>) -> Self {
        Self {
            ring,
            inbox,
            reads: Waiting::default(),
            writes: VecDeque::new(),
            running: Running::default(),
            jobs: Vec::new(),
            free: Vec::new(),
            writes_count: 0,
        }
    }

    fn run(mut self) {
        loop {
            let closed = self.take_in();
            self.start_reads();
            self.start_writes();
            if closed && self.ring.running_count() == 0 {
                return;
            }
            let park = self.park();
            // Reads that are held back have their turn though nothing comes back.
            let patience = (!self.reads.is_empty()).then_some(HELD_BACK_MAX);
            let entered = self.ring.enter(park, patience);
            self.inbox.parked.store(false, Ordering::SeqCst);
            if let Err(error) = entered {
                tracing::error!(%error, "io_uring has failed");
                return;
            }
            while let Some((transfer, moved)) = self.ring.next_back() {
                self.came_back(transfer, moved);
            }
        }
    }

    /// Takes in what was handed in; true if nothing more will be.
    fn take_in(&mut self) -> bool {
        let mut incoming = lock(&self.inbox.incoming);
        self.reads.extend(incoming.reads.drain(..));
        self.writes.extend(incoming.writes.drain(..));
        incoming.closed
    }

    /// Says that the thread will wait, unless something was handed in meanwhile: then it must not. Whoever hands in
    /// after this looked finds `parked` set and rings the bell.
    fn park(&self) -> bool {
        self.inbox.parked.store(true, Ordering::SeqCst);
        let incoming = lock(&self.inbox.incoming);
        incoming.reads.is_empty()
            && incoming.writes.is_empty()
            && !(incoming.closed && self.ring.running_count() == 0)
    }

    fn start_reads(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let now = Instant::now();
        while self.running.has_room(now)
            && let Some(run) = self.reads.take()
        {
            self.start_read(run, now);
        }
    }

    /// Starts reads that lie one after another, at least one, at `now`.
    fn start_read(&mut self, run: Vec<SlotRead>, now: Instant) {
        let (header_offset, data_offset) = (run[0].header_offset, run[0].data_offset);
        let last = &run[run.len() - 1];
        let header_len = (last.header_offset - header_offset) as usize + last.header_bytes;
        let (members, buffers) = run.into_iter().map(taken_apart).unzip();
        let number = self.running.begin(now);
        let token = self.job(Job::Read(Reading { number, members, header_offset, header: None, data: None }));
        self.start(token, Through::PageCache, Memory::Header(vec![0; header_len]), header_offset);
        self.start(token, Through::Direct, Memory::Buffers(buffers), data_offset);
    }

    fn start_writes(&mut self) {
        while self.writes_count < WRITES_MAX {
            let Some(write) = self.writes.pop_front() else { return };
            let SlotWrite { header_offset, header, data_offset, data, done } = write;
            let blank = Memory::HeaderToWrite(vec![0; header.len()]);
            let writing = Writing { step: Step::Blank, header_offset, header, data_offset, data, done };
            let token = self.job(Job::Write(writing));
            self.writes_count += 1;
            self.start(token, Through::PageCache, blank, header_offset);
        }
    }

    fn job(&mut self, job: Job) -> usize {
        let token = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[token] = Some(job);
        token
    }

    fn start(&mut self, token: usize, through: Through, memory: Memory, offset: u64) {
        self.ring.start(Transfer { token: token as u64, through, memory, offset, moved: 0 });
    }

    fn came_back(&mut self, mut transfer: Transfer, moved: io::Result<usize>) {
        let outcome = match moved {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(moved) => {
                transfer.moved += moved;
                if transfer.moved < transfer.memory.len() {
                    return self.ring.start(transfer);
                }
                Ok(())
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {
                return self.ring.start(transfer);
            }
            Err(error) => Err(error),
        };
        let token = usize::try_from(transfer.token).expect("a place in a Vec");
        let job = self.jobs[token].take().expect("a job lasts as long as its transfers");
        match job {
            Job::Read(reading) => self.read_came_back(token, reading, transfer, outcome),
            Job::Write(writing) => self.write_came_back(token, writing, outcome),
        }
    }

    fn read_came_back(
        &mut self,
        token: usize,
        mut reading: Reading,
        transfer: Transfer,
        outcome: io::Result<()>,
    ) {
        let half = match transfer.through {
            Through::PageCache => &mut reading.header,
            Through::Direct => &mut reading.data,
        };
        *half = Some(Half { memory: transfer.memory, outcome });
        if reading.header.is_none() || reading.data.is_none() {
            self.jobs[token] = Some(Job::Read(reading));
            return;
        }
        self.free.push(token);
        self.running.end(reading.number);
        for alone in reading.finish() {
            self.start_read(vec![alone], Instant::now());
        }
    }

    fn write_came_back(&mut self, token: usize, mut writing: Writing, outcome: io::Result<()>) {
        let next = match (&outcome, writing.step) {
            (Ok(()), Step::Blank) => Some((
                Step::Data,
                Through::Direct,
                Memory::DataToWrite(writing.data.clone()),
                writing.data_offset,
            )),
            (Ok(()), Step::Data) => {
                let header = std::mem::take(&mut writing.header);
                Some((Step::Header, Through::PageCache, Memory::HeaderToWrite(header), writing.header_offset))
            }
            (Ok(()), Step::Header) | (Err(_), _) => None,
        };
        let Some((step, through, memory, offset)) = next else {
            self.free.push(token);
            self.writes_count -= 1;
            return (writing.done)(outcome);
        };
        self.jobs[token] = Some(Job::Write(Writing { step, ..writing }));
        self.start(token, through, memory, offset);
    }
}

impl Drop for Worker {
    /// Nobody waits for ever, even if the ring failed or this thread panics.
    fn drop(&mut self) {
        {
            let mut incoming = lock(&self.inbox.incoming);
            incoming.closed = true;
            self.reads.extend(incoming.reads.drain(..));
            self.writes.extend(incoming.writes.drain(..));
        }
        for read in self.reads.drain() {
            (read.done)(Err(stopped()));
        }
        for write in self.writes.drain(..) {
            (write.done)(Err(stopped()));
        }
        for job in self.jobs.drain(..).flatten() {
            match job {
                Job::Read(reading) => {
                    reading.members.into_iter().for_each(|member| (member.done)(Err(stopped())));
                }
                Job::Write(writing) => (writing.done)(Err(stopped())),
            }
        }
    }
}

impl Reading {
    /// Tells each reader its outcome. What is returned are merged reads that failed together, to be read alone.
    fn finish(self) -> Vec<SlotRead> {
        let (Some(header), Some(data)) = (self.header, self.data) else { return Vec::new() };
        let (Memory::Header(headers), Memory::Buffers(buffers)) = (header.memory, data.memory) else {
            unreachable!("a read was started with these")
        };
        let failed = header.outcome.and(data.outcome).err();
        if failed.is_some() && self.members.len() > 1 {
            return self
                .members
                .into_iter()
                .zip(buffers)
                .map(|(member, (buffer, _))| member.whole(buffer))
                .collect();
        }
        let mut failed = failed;
        for (member, (buffer, _)) in self.members.into_iter().zip(buffers) {
            let at = (member.header_offset - self.header_offset) as usize;
            let header = headers[at..at + member.header_bytes].to_vec();
            (member.done)(failed.take().map_or(Ok((header, buffer)), Err));
        }
        Vec::new()
    }
}

impl Member {
    fn whole(self, buffer: Buffer) -> SlotRead {
        let Self { header_offset, header_bytes, data_offset, data_bytes, done } = self;
        SlotRead { header_offset, header_bytes, data_offset, data_bytes, buffer, done }
    }
}

/// A read without its buffer, and the buffer with the length to be read.
fn taken_apart(read: SlotRead) -> (Member, (Buffer, usize)) {
    let SlotRead { header_offset, header_bytes, data_offset, data_bytes, buffer, done } = read;
    (Member { header_offset, header_bytes, data_offset, data_bytes, done }, (buffer, data_bytes))
}

#[cfg(test)]
mod tests;
