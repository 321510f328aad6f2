//! The ring against a real file: transfers that are short, neighbours, failures, and many that wait.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use super::*;
use crate::buffer::{For, Pool};
use crate::slab::ring::Tamper;

const HEADER_BYTES: usize = 128;
const DATA_AT: u64 = 64 * 1024;
const SLOT_BYTES: usize = 128 * 1024;
const SLOTS: u8 = 4;

/// A file of four slots: the header of slot n is of bytes n, its data of bytes n + 100.
struct Bench {
    engine: Uring,
    path: std::path::PathBuf,
    pool: Pool,
    _folder: tempfile::TempDir,
}

type Outcome<T> = mpsc::Receiver<io::Result<T>>;

impl Bench {
    fn new(tamper: Option<Tamper>) -> Self {
        Self::with(|ring| ring.tamper = tamper)
    }

    /// With a look at the ring, on its thread, before it is used.
    fn with(prepare: impl FnOnce(&mut Ring) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("slab");
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("made");
        for slot in 0..SLOTS {
            let (header, data) = (vec![slot; HEADER_BYTES], vec![slot + 100; SLOT_BYTES]);
            file.write_all_at(&header, u64::from(slot) * HEADER_BYTES as u64).expect("written");
            file.write_all_at(&data, DATA_AT + u64::from(slot) * SLOT_BYTES as u64).expect("written");
        }
        file.sync_all().expect("synced");
        let file = Arc::new(SlabFile::new(&path, file).expect("opens"));
        let engine = Uring::start_with(file, prepare).expect("the kernel has io_uring");
        Self { engine, path, pool: Pool::new(4 << 20, 0), _folder: folder }
    }

    fn read(&self, slot: u8) -> (SlotRead, Outcome<(Vec<u8>, Buffer)>) {
        let (tell, told) = mpsc::channel();
        let read = SlotRead {
            header_offset: u64::from(slot) * HEADER_BYTES as u64,
            header_bytes: HEADER_BYTES,
            data_offset: DATA_AT + u64::from(slot) * SLOT_BYTES as u64,
            data_bytes: SLOT_BYTES,
            buffer: self.pool.try_take(SLOT_BYTES, For::Demand).expect("room"),
            done: Box::new(move |outcome| tell.send(outcome).expect("somebody waits")),
        };
        (read, told)
    }

    fn write(&self, slot: u8, fill: u8) -> Outcome<()> {
        let (tell, told) = mpsc::channel();
        let mut data = self.pool.try_take(SLOT_BYTES, For::Demand).expect("room");
        data.fill(fill);
        self.engine.write(SlotWrite {
            header_offset: u64::from(slot) * HEADER_BYTES as u64,
            header: vec![fill; HEADER_BYTES],
            data_offset: DATA_AT + u64::from(slot) * SLOT_BYTES as u64,
            data: Bytes::from_owner(data),
            done: Box::new(move |outcome| tell.send(outcome).expect("somebody waits")),
        });
        told
    }

    /// Reads that are handed in together, so that neighbours meet.
    fn read_together(&self, slots: &[u8]) -> Vec<io::Result<(Vec<u8>, Buffer)>> {
        let (reads, told): (Vec<_>, Vec<_>) = slots.iter().map(|slot| self.read(*slot)).unzip();
        self.engine.hand_in(|incoming| incoming.reads.extend(reads));
        told.into_iter().map(|told| told.recv().expect("told")).collect()
    }
}

fn assert_is_slot(outcome: &io::Result<(Vec<u8>, Buffer)>, slot: u8) {
    let (header, data) = outcome.as_ref().expect("read");
    assert!(header.iter().all(|byte| *byte == slot) && header.len() == HEADER_BYTES);
    assert!(data[..SLOT_BYTES].iter().all(|byte| *byte == slot + 100));
}

/// What it is woken for waits for its turn.
#[test]
fn the_ring_s_thread_works_in_batches() {
    let (tell, told) = mpsc::channel();
    let _bench = Bench::with(move |_| {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("the kernel tells of threads");
        // Number 41 of all, 39 after the name in parentheses.
        let policy = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(38));
        tell.send(policy.and_then(|number| number.parse::<i32>().ok())).expect("somebody waits");
    });
    assert_eq!(told.recv().expect("it was told"), Some(libc::SCHED_BATCH));
}

/// What the kernel moves in part, or has to be asked for again, is whole in the end.
#[test]
fn short_and_interrupted_transfers_go_on_where_they_stopped() {
    let turns = AtomicUsize::new(0);
    let tamper = move |transfer: &Transfer, result: i32| match turns.fetch_add(1, Ordering::SeqCst) % 3 {
        0 => -libc::EAGAIN,
        1 if transfer.through == Through::Direct && result > 4096 => result / 2 / 4096 * 4096,
        1 => (result / 2).max(1),
        _ => result,
    };
    let bench = Bench::new(Some(Arc::new(tamper)));
    for outcome in bench.read_together(&[2]).iter().chain(&bench.read_together(&[2])) {
        assert_is_slot(outcome, 2);
    }
    for (outcome, slot) in bench.read_together(&[0, 1, 2, 3]).iter().zip(0..) {
        assert_is_slot(outcome, slot);
    }
    bench.write(3, 7).recv().expect("told").expect("written");
    bench.engine.stop().expect("stops");
    let mut data = vec![0; SLOT_BYTES];
    let file = File::open(&bench.path).expect("opens");
    file.read_exact_at(&mut data, DATA_AT + 3 * SLOT_BYTES as u64).expect("read");
    assert!(data.iter().all(|byte| *byte == 7));
}

/// Neighbours go as one; when that fails, each is read alone, and one bad sector costs one block.
#[test]
fn neighbours_are_read_as_one_and_fail_alone() {
    let (merged, bad) = (Arc::new(AtomicUsize::new(0)), DATA_AT + SLOT_BYTES as u64);
    let tamper = {
        let merged = merged.clone();
        move |transfer: &Transfer, result: i32| {
            let Memory::Buffers(parts) = &transfer.memory else { return result };
            merged.fetch_max(parts.len(), Ordering::SeqCst);
            let holds_bad = (transfer.offset..transfer.offset + transfer.memory.len() as u64).contains(&bad);
            if holds_bad { -libc::EIO } else { result }
        }
    };
    let bench = Bench::new(Some(Arc::new(tamper)));
    let outcomes = bench.read_together(&[3, 0, 2, 1]);
    assert_eq!(merged.load(Ordering::SeqCst), 4);
    for (outcome, slot) in outcomes.iter().zip([3, 0, 2, 1]) {
        match slot {
            1 => assert_eq!(outcome.as_ref().err().and_then(io::Error::raw_os_error), Some(libc::EIO)),
            good => assert_is_slot(outcome, good),
        }
    }
}

/// A device that is full refuses the write, and the old header is not left standing over new data.
#[test]
fn a_write_that_fails_leaves_no_header() {
    let tamper = |transfer: &Transfer, result: i32| match transfer.memory {
        Memory::DataToWrite(_) => -libc::ENOSPC,
        _ => result,
    };
    let bench = Bench::new(Some(Arc::new(tamper)));
    let error = bench.write(1, 9).recv().expect("told").expect_err("no space");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    let (header, _) = bench.read_together(&[1]).remove(0).expect("read");
    assert_eq!(header, [0; HEADER_BYTES]);
}

/// A file that was cut short: an error, not a wait.
#[test]
fn a_read_past_the_end_is_an_error() {
    let bench = Bench::new(None);
    File::options().write(true).open(&bench.path).expect("opens").set_len(DATA_AT + 4096).expect("cut");
    let error = bench.read_together(&[0]).remove(0).map(|_| ()).expect_err("cut short");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

/// More requests than the device has at a time, reads and writes mixed: each is told, once, and a stop waits for all.
#[test]
fn every_request_is_told_also_when_many_wait() {
    let bench = Bench::new(None);
    let mut told = Vec::new();
    for turn in 0..40 {
        let (read, outcome) = bench.read(turn % 2);
        bench.engine.read(read);
        told.push(outcome);
        if turn % 8 == 0 {
            let outcome = bench.write(2 + turn % 2, turn);
            assert!(outcome.recv().expect("told").is_ok());
        }
        if turn % 16 == 15 {
            told.drain(..).for_each(|outcome| drop(outcome.recv().expect("told").expect("read")));
        }
    }
    let (late, outcome) = bench.read(0);
    bench.engine.stop().expect("stops");
    bench.engine.read(late);
    assert!(outcome.recv().expect("told").is_err());
    assert!(told.into_iter().all(|outcome| outcome.recv().expect("told").is_ok()));
}

/// An engine that nobody asks anything is asleep: its thread gives the processor up, and is not given it back.
#[test]
fn an_idle_ring_sleeps() {
    let (tell, told) = mpsc::channel();
    let bench = Bench::with(move |_| tell.send(rustix::thread::gettid()).expect("somebody waits"));
    let status = format!("/proc/self/task/{}/status", told.recv().expect("a thread").as_raw_nonzero());
    assert_is_slot(&bench.read_together(&[2]).remove(0), 2);
    let of_thread = |name: &str| {
        let status = std::fs::read_to_string(&status).expect("the thread lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().to_owned()
    };
    let switches = || ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].map(of_thread);
    let looks = || (switches(), of_thread("State:").starts_with('S'));
    // What it has to do after the last answer it does soon, but on a busy machine not at once.
    let deadline = Instant::now() + Duration::from_secs(60);
    let asleep = loop {
        let before = looks();
        thread::sleep(Duration::from_millis(200));
        if before.1 && looks() == before {
            break before;
        }
        assert!(Instant::now() < deadline, "never asleep for a while: {:?}", looks());
    };
    assert_is_slot(&bench.read_together(&[3]).remove(0), 3);
    // When it sleeps again at the latest.
    while switches() == asleep.0 {
        assert!(Instant::now() < deadline, "that is another thread");
        thread::sleep(Duration::from_millis(1));
    }
}
