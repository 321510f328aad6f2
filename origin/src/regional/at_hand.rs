//! Reads that memory answers run where they are asked for; one that waits for the disk keeps nobody else waiting.
//!
//! Going to a blocking thread and back costs several times what a few rows out of memory do. Whether a read will wait
//! is not known before it does, so it begins here and takes what the kernel has. At the first step that the kernel has
//! not, the thread steps [`aside`]: another takes over the tasks of its worker, and this one waits. While it does, and
//! after it for a while, others are likely to wait too, so they go to blocking threads at once, of which there is a
//! bounded number: no more threads stand aside than there are workers that had begun a read. Where it only
//! [works for long](at_length), nobody after it does for that.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::failure::Failure;

/// Reads that go to blocking threads after one that waited.
const WARY_READS: u32 = 64;

thread_local! {
    /// What the read that runs here is one of; `None` where none runs that should not wait.
    static HERE: RefCell<Option<Arc<Waits>>> = const { RefCell::new(None) };
}

/// Whether reads of one kind are run where they are asked for.
#[derive(Default)]
pub(super) struct AtHand {
    waits: Arc<Waits>,
}

/// What is known of waiting.
#[derive(Default)]
struct Waits {
    /// Reads that stand aside now.
    waiting: AtomicU32,
    /// Reads that are still to go elsewhere since one did.
    wary_reads: AtomicU32,
}

impl AtHand {
    /// Whether the next read is to be [run](Self::run) here. Each call is one read's.
    pub(super) fn is_likely(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.waits.waiting.load(Ordering::Relaxed) == 0
            && self.waits.wary_reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }

    /// Runs `read` on this thread. A panic in it is a failure of the read, as it is on a blocking thread.
    pub(super) fn run<T>(&self, read: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let outer = HERE.replace(Some(self.waits.clone()));
        let done = catch_unwind(AssertUnwindSafe(read));
        HERE.set(outer);
        done.unwrap_or_else(|_| Err(Failure::Io(io::Error::other("the read panicked"))))
    }
}

/// A read that stands aside, until this is dropped.
struct Waiting(Arc<Waits>);

impl Waiting {
    fn begin(waits: Arc<Waits>) -> Self {
        waits.waiting.fetch_add(1, Ordering::Relaxed);
        Self(waits)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work`, which waits for something that others are likely to wait for too. In a read that runs where it was asked
/// for, the tasks of this thread's worker are another thread's first.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    HERE.with_borrow(|waits| {
        if let Some(waits) = waits {
            waits.wary_reads.store(WARY_READS, Ordering::Relaxed);
        }
    });
    at_length(work)
}

/// Runs `work`, which takes long and waits for nothing: otherwise as [`aside`].
pub(super) fn at_length<T>(work: impl FnOnce() -> T) -> T {
    let Some(waits) = HERE.with_borrow(Clone::clone) else { return work() };
    let _waiting = Waiting::begin(waits);
    // A runtime of one thread has no other to hand its tasks to.
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

/// Fills `out` with what is at `offset` of `file`, [aside](aside()) as far as that is not in memory.
pub(super) fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    let ready_bytes = if is_here() { read_ready(file, out, offset) } else { 0 };
    match &mut out[ready_bytes..] {
        [] => Ok(()),
        rest => aside(|| file.read_exact_at(rest, offset + ready_bytes as u64)),
    }
}

/// Opens a file for reading, [aside](aside()) where its name is not in memory.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    if is_here()
        && let Ok(file) = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED)
    {
        return Ok(file.into());
    }
    aside(|| File::open(path))
}

/// Reads what of it is in memory, from its first byte on, and says how many bytes that was. A kernel or a file system that
/// cannot tell has nothing in memory.
fn read_ready(file: &File, out: &mut [u8], offset: u64) -> usize {
    preadv2(file, &mut [IoSliceMut::new(out)], offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

fn is_here() -> bool {
    HERE.with_borrow(Option::is_some)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn after_a_read_that_waited_the_next_ones_go_elsewhere() {
        let at_hand = AtHand::default();
        at_hand.run(|| Ok(())).expect("a read");
        assert!(at_hand.is_likely(), "nothing has waited");
        at_hand.run(|| Ok(aside(|| 1))).expect("a read that waits");
        let elsewhere = (0..).take_while(|_| !at_hand.is_likely()).count();
        assert_eq!(elsewhere, WARY_READS as usize);
        assert!(at_hand.is_likely(), "until one waits again");
    }

    /// Work that waits for nothing sends others elsewhere while it lasts, and no longer.
    #[test]
    fn after_a_read_that_worked_for_long_the_next_ones_stay() {
        let at_hand = AtHand::default();
        let meanwhile = at_hand.run(|| Ok(at_length(|| at_hand.is_likely()))).expect("a read");
        assert_eq!((meanwhile, at_hand.is_likely()), (false, true));
    }

    /// However long it waits, and however many come meanwhile.
    #[test]
    fn while_a_read_waits_the_others_go_elsewhere() {
        let at_hand = AtHand::default();
        thread::scope(|scope| {
            let (begun, is_waiting) = mpsc::channel();
            let (end, may_end) = mpsc::channel::<()>();
            let at_hand = &at_hand;
            scope.spawn(move || {
                let wait = || begun.send(()).map(|()| may_end.recv());
                at_hand.run(|| Ok(aside(wait))).expect("a read that waits").expect("asks for its end")
            });
            is_waiting.recv().expect("the read has begun to wait");
            assert!((0..10 * WARY_READS).all(|_| !at_hand.is_likely()));
            end.send(()).expect("the read waits");
        });
        let elsewhere = (0..).take_while(|_| !at_hand.is_likely()).count();
        assert_eq!(elsewhere, WARY_READS as usize, "those that came meanwhile do not count");
    }

    /// Reads of another kind, and threads that may wait, have nothing to do with it.
    #[test]
    fn what_waits_elsewhere_is_not_noted() {
        let (rows, files) = (AtHand::default(), AtHand::default());
        aside(|| ());
        files.run(|| Ok(aside(|| 1))).expect("a read that waits");
        assert!(rows.is_likely() && !files.is_likely());
    }

    #[test]
    fn a_read_that_panics_is_a_failed_read() {
        let at_hand = AtHand::default();
        let done: Result<(), _> = at_hand.run(|| panic!("a damaged page"));
        assert!(matches!(done, Err(Failure::Io(_))));
        assert!(!is_here() && at_hand.is_likely());
    }

    #[test]
    fn bytes_are_the_same_here_and_elsewhere() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        std::fs::write(&path, &bytes).expect("write a file");
        let read = || {
            let mut out = vec![0; 150_000];
            read_exact_at(&open(&path)?, &mut out, 1000)?;
            Ok(out)
        };
        let here = AtHand::default().run(read).expect("read here");
        assert!(here == bytes[1000..151_000] && here == read().expect("read elsewhere"));
        let past_the_end = || Ok(read_exact_at(&open(&path)?, &mut [0; 2], 199_999)?);
        assert!(AtHand::default().run(past_the_end).is_err());
        assert!(AtHand::default().run(|| Ok(open(&dir.path().join("none"))?)).is_err());
    }

    /// The only worker is in the read; whoever ends its wait is a task of that worker.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_a_read_waits() {
        let (waits, waiting) = tokio::sync::oneshot::channel();
        let (ends, ended) = mpsc::channel();
        let other = tokio::spawn(async move {
            waiting.await.expect("the read has begun to wait");
            ends.send(()).expect("the read waits");
        });
        let reading = tokio::spawn(async move {
            AtHand::default().run(|| {
                Ok(aside(|| {
                    waits.send(()).expect("somebody listens");
                    ended.recv_timeout(Duration::from_secs(60))
                }))
            })
        });
        assert_eq!(reading.await.expect("no panic").expect("a read"), Ok(()));
        other.await.expect("no panic");
    }

    /// There is nobody to hand tasks to, and nothing to fail for that.
    #[tokio::test]
    async fn a_runtime_of_one_thread_waits() {
        assert_eq!(AtHand::default().run(|| Ok(aside(|| 7))).expect("a read"), 7);
    }
}
