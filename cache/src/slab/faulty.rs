//! A device whose reads and writes fail, or wait, as a test wants it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::device::Before;
use super::engine::{Engine, SlotRead, SlotWrite};
use crate::sync::lock;

/// The real engine, but for what a test has fail or wait.
struct Faulty {
    engine: Box<dyn Engine>,
    faults: Arc<Faults>,
}

#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) reads_fail: AtomicBool,
    pub(crate) reads_wait: AtomicBool,
    pub(crate) waiting_reads: Mutex<Vec<SlotRead>>,
    pub(crate) writes_fail: AtomicBool,
    pub(crate) writes_wait: AtomicBool,
    pub(crate) waiting: Mutex<Vec<SlotWrite>>,
    pub(crate) blanks_wait: AtomicBool,
    pub(crate) opening_waits: AtomicBool,
    /// What came to its end, in this order.
    pub(crate) ended: Mutex<Vec<&'static str>>,
}

impl Faults {
    /// What puts them before a device.
    pub(crate) fn before(self: &Arc<Self>) -> Before {
        let faults = self.clone();
        Arc::new(move |engine| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while faults.opening_waits.load(Ordering::SeqCst) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            Box::new(Faulty { engine, faults: faults.clone() })
        })
    }
}

impl Engine for Faulty {
    fn read(&self, read: SlotRead) {
        if self.faults.reads_wait.load(Ordering::SeqCst) {
            lock(&self.faults.waiting_reads).push(read);
        } else if self.faults.reads_fail.load(Ordering::SeqCst) {
            (read.done)(Err(rustix::io::Errno::IO.into()));
        } else {
            self.engine.read(read);
        }
    }

    fn write(&self, write: SlotWrite) {
        if self.faults.writes_wait.load(Ordering::SeqCst) {
            lock(&self.faults.waiting).push(write);
        } else if self.faults.writes_fail.load(Ordering::SeqCst) {
            (write.done)(Err(rustix::io::Errno::NOSPC.into()));
        } else {
            self.engine.write(write);
        }
    }

    fn blank(&self, offsets: &[u64], header_bytes: usize) -> io::Result<()> {
        while self.faults.blanks_wait.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        lock(&self.faults.ended).push("a purge");
        match self.faults.writes_fail.load(Ordering::SeqCst) {
            true => Err(rustix::io::Errno::IO.into()),
            false => self.engine.blank(offsets, header_bytes),
        }
    }

    fn stop(&self) -> io::Result<()> {
        lock(&self.faults.ended).push("the device");
        self.engine.stop()
    }
}
