//! A ring of the kernel's (io_uring): transfers that own their memory until the kernel is done with it.
//!
//! All of this crate's `unsafe` is here. Its face is safe: a [`Transfer`] gives its memory to the ring and gets it back
//! with the outcome; a ring that is dropped waits for what it started, and leaks the memory if it cannot.
#![expect(unsafe_code, reason = "io_uring takes raw addresses; the ring below owns what they point to")]

use std::fs::File;
use std::io::{self, Write as _};
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::buffer::Buffer;

/// The bell's place among transfers.
const BELL: u64 = u64::MAX;

/// Which of the ring's two files a transfer is with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Through {
    /// The page cache: headers.
    PageCache = 0,
    /// Past the page cache: data.
    Direct = 1,
}

/// The registered place of the bell.
const BELL_FILE: u32 = 2;

/// Memory that bytes are read into or written from. It does not move when its owner does.
pub(super) enum Memory {
    /// Read into all of it.
    Header(Vec<u8>),
    /// Read into the first bytes of each buffer, as many as stand beside it, one after another.
    Buffers(Vec<(Buffer, usize)>),
    /// Written.
    HeaderToWrite(Vec<u8>),
    /// Written.
    DataToWrite(Bytes),
}

impl Memory {
    fn is_read(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Buffers(_))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Header(bytes) | Self::HeaderToWrite(bytes) => bytes.len(),
            Self::Buffers(parts) => parts.iter().map(|(_, len)| len).sum(),
            Self::DataToWrite(bytes) => bytes.len(),
        }
    }

    /// The memory from byte `skip` on.
    fn iovecs(&mut self, mut skip: usize) -> Vec<libc::iovec> {
        let mut iovecs = Vec::new();
        let mut part = |base: *mut u8, len: usize| {
            let skipped = skip.min(len);
            skip -= skipped;
            if skipped < len {
                let base = base.wrapping_add(skipped).cast();
                iovecs.push(libc::iovec { iov_base: base, iov_len: len - skipped });
            }
        };
        match self {
            Self::Header(bytes) => part(bytes.as_mut_ptr(), bytes.len()),
            Self::Buffers(parts) => {
                for (buffer, len) in parts {
                    // Slicing checks that the buffer is as long as is said.
                    let bytes = &mut buffer[..*len];
                    part(bytes.as_mut_ptr(), bytes.len());
                }
            }
            // The kernel only reads what is written to a file.
            Self::HeaderToWrite(bytes) => part(bytes.as_ptr().cast_mut(), bytes.len()),
            Self::DataToWrite(bytes) => part(bytes.as_ptr().cast_mut(), bytes.len()),
        }
        iovecs
    }
}

/// Bytes on their way between memory and a place in a file.
pub(super) struct Transfer {
    pub(super) token: u64,
    pub(super) through: Through,
    pub(super) memory: Memory,
    pub(super) offset: u64,
    /// Bytes that have been moved already.
    pub(super) moved: usize,
}

/// A transfer in the kernel's hands.
struct Running {
    transfer: Transfer,
    /// Read by the kernel when the transfer is submitted, and by older ones until it completes.
    _iovecs: Vec<libc::iovec>,
}

/// What tests make of an outcome: the kernel's answer goes in (bytes, or an error less than zero).
#[cfg(test)]
pub(super) type Tamper = Arc<dyn Fn(&Transfer, i32) -> i32 + Send + Sync>;

/// Wakes the thread that waits at a ring.
#[derive(Clone)]
pub(super) struct Bell(Arc<File>);

impl Bell {
    pub(super) fn ring(&self) {
        // It can only fail when the counter is full, and then the thread is being woken already.
        let _ = (&*self.0).write(&1_u64.to_ne_bytes());
    }
}

/// A ring over two files. Made, used and dropped on one thread.
pub(super) struct Ring {
    kernel: IoUring,
    bell: Bell,
    /// What the kernel reads the bell into; `None` while nobody listens for it.
    listening: Option<Box<[u8; 8]>>,
    running: Vec<Option<Running>>,
    running_count: usize,
    free: Vec<usize>,
    #[cfg(test)]
    pub(super) tamper: Option<Tamper>,
}

impl Ring {
    /// A ring that has room for `transfers_max` transfers at a time, over `page_cache` and `direct`, which it keeps open.
    ///
    /// # Errors
    /// Where the kernel has no io_uring, or does not let this process have it.
    pub(super) fn new(transfers_max: u32, page_cache: &File, direct: &File) -> io::Result<Self> {
        // One for the bell.
        let entries = transfers_max + 1;
        // Linux 6.1: completions are worked off when this thread asks for them, not by interrupting it.
        let frugal = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries);
        let kernel = match frugal {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(entries)?,
            other => other?,
        };
        let bell = Bell(Arc::new(File::from(event_fd()?)));
        let files = [page_cache.as_raw_fd(), direct.as_raw_fd(), bell.0.as_raw_fd()];
        kernel.submitter().register_files(&files)?;
        Ok(Self {
            kernel,
            bell,
            listening: None,
            running: Vec::new(),
            running_count: 0,
            free: Vec::new(),
            #[cfg(test)]
            tamper: None,
        })
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Transfers that were started and have not come back.
    pub(super) fn running_count(&self) -> usize {
        self.running_count
    }

    /// Starts what is left of a transfer. There may be a few more than the most, as where a merged one is split: those wait
    /// until the kernel has taken others.
    pub(super) fn start(&mut self, mut transfer: Transfer) {
        let iovecs = transfer.memory.iovecs(transfer.moved);
        let place = self.free.pop().unwrap_or_else(|| {
            self.running.push(None);
            self.running.len() - 1
        });
        let file = Fixed(transfer.through as u32);
        let (count, offset) = (iovecs.len() as u32, transfer.offset + transfer.moved as u64);
        let entry = if transfer.memory.is_read() {
            opcode::Readv::new(file, iovecs.as_ptr(), count).offset(offset).build()
        } else {
            opcode::Writev::new(file, iovecs.as_ptr(), count).offset(offset).build()
        };
        // Owned before the kernel learns of it. Neither the iovecs nor what they point to moves with this.
        self.running[place] = Some(Running { transfer, _iovecs: iovecs });
        self.running_count += 1;
        self.push(&entry.user_data(place as u64));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the entry points to iovecs, and these to memory, which `self.running` (or `self.listening`) owns from
        // before this call until the entry's completion was taken; `drop` waits for completions or leaks both. Memory
        // that is read into is owned by nobody else: a `Vec`, or a `Buffer`, which is not cloned.
        while unsafe { self.kernel.submission().push(entry) }.is_err() {
            // Full of what the kernel was not told of yet: it has room once that is.
            let _ = self.kernel.submit();
        }
    }

    /// Tells the kernel what was started; with `until_something`, waits until something came back or the bell rang, or for as
    /// long as `patience` says (for which a kernel must be of 5.11).
    pub(super) fn enter(&mut self, until_something: bool, patience: Option<Duration>) -> io::Result<()> {
        if self.listening.is_none() {
            let bytes = self.listening.insert(Box::new([0; 8]));
            let read = opcode::Read::new(Fixed(BELL_FILE), bytes.as_mut_ptr(), 8);
            self.push(&read.build().user_data(BELL));
        }
        let wanted_count = usize::from(until_something);
        let entered = match patience.filter(|_| self.kernel.params().is_feature_ext_arg()) {
            Some(patience) => {
                let patience = Timespec::from(patience);
                self.kernel.submitter().submit_with_args(wanted_count, &SubmitArgs::new().timespec(&patience))
            }
            None => self.kernel.submit_and_wait(wanted_count),
        };
        match entered {
            Ok(_) => Ok(()),
            // Out of patience, a signal, or completions that have to be taken first.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A transfer that came back, and how many bytes it moved this time.
    pub(super) fn next_back(&mut self) -> Option<(Transfer, io::Result<usize>)> {
        loop {
            let back: cqueue::Entry = self.kernel.completion().next()?;
            if back.user_data() == BELL {
                self.listening = None;
                continue;
            }
            let place = usize::try_from(back.user_data()).expect("a place in a Vec");
            let Running { transfer, .. } = self.running[place].take().expect("a transfer comes back once");
            self.free.push(place);
            self.running_count -= 1;
            let result = back.result();
            #[cfg(test)]
            let result =
                self.tamper.as_ref().map_or(result, |tamper| tamper(&transfer, result).min(result.max(0)));
            let moved = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            return Some((transfer, moved));
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.bell.ring();
        while self.running_count > 0 || self.listening.is_some() {
            if self.kernel.submit_and_wait(1).is_err() {
                // The kernel may still write there: better lost than used again.
                mem::forget(mem::take(&mut self.running));
                mem::forget(self.listening.take());
                return;
            }
            while self.next_back().is_some() {}
        }
    }
}

/// Has the kernel schedule this thread as one that works in batches: when it is woken, whoever runs is not interrupted for it.
///
/// # Errors
/// Where the process may not choose.
pub(super) fn work_in_batches() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are read during the call alone, and 0 is the thread that calls.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
