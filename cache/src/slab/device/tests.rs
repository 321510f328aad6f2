//! A device whose reads and writes fail, or take their time.

use std::sync::atomic::AtomicBool;

use prometheus::Registry;

use super::*;
use crate::Instance;
use crate::buffer::{For, Pool};
use crate::page::VerifiedPage;
use crate::test_until::until;

const BLOCK_BYTES: u64 = 128 * 1024;

/// The real engine, but for what a test has fail or wait.
struct Faulty {
    engine: Box<dyn Engine>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    reads_fail: AtomicBool,
    writes_fail: AtomicBool,
    writes_wait: AtomicBool,
    waiting: Mutex<Vec<SlotWrite>>,
}

impl Engine for Faulty {
    fn read(&self, read: SlotRead) {
        match self.faults.reads_fail.load(Ordering::SeqCst) {
            true => (read.done)(Err(rustix::io::Errno::IO.into())),
            false => self.engine.read(read),
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
        match self.faults.writes_fail.load(Ordering::SeqCst) {
            true => Err(rustix::io::Errno::IO.into()),
            false => self.engine.blank(offsets, header_bytes),
        }
    }

    fn stop(&self) -> io::Result<()> {
        self.engine.stop()
    }
}

struct Bench {
    slab: Device,
    faults: Arc<Faults>,
    pool: Pool,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut settings = Nvme::new(folder.path().join("slab"), 4 << 20);
        settings.write_queue_bytes = 2 * BLOCK_BYTES;
        let metrics = Arc::new(Metrics::new(&Registry::new()).expect("registers"));
        let opening = Opening {
            settings: settings.clone(),
            block_bytes: BLOCK_BYTES,
            weights: Arc::default(),
            kept: Arc::default(),
            metrics,
        };
        let device = &settings.devices[0];
        let (file, opened) = open::open(&opening, device, Duration::ZERO).expect("opens");
        let file = Arc::new(SlabFile::new(&device.path, file).expect("opens"));
        let engine = engine::start(settings.engine, file).expect("starts");
        let faults = Arc::new(Faults::default());
        let engine = Box::new(Faulty { engine, faults: faults.clone() });
        let slab = Device::start(&opening, opened, engine);
        Self { slab, faults, pool: Pool::new(4 << 20, 0), _folder: folder }
    }

    fn key(index: u32) -> BlockKey {
        BlockKey { instance: Instance([3; 16]), index }
    }

    fn offer(&self, index: u32) -> Offered {
        let pages = [page(index, 65_536), page(index + 100, 1000)];
        let buffer = self.pool.try_take(66_536, For::Demand).expect("room");
        let sums = pages.iter().map(VerifiedPage::crc32c).collect();
        let block = Block::assemble(pages.iter(), buffer);
        self.slab.offer(Self::key(index), &block, sums, Tenant::named(""), Keep::Surely)
    }

    async fn stored(&self, index: u32) {
        assert_eq!(self.offer(index), Offered::Kept);
        self.slab.settled(|state| state.queue.is_empty()).await;
    }

    /// The second page of a block on disk.
    async fn read(&self, index: u32) -> Option<Buffer> {
        let Some(Found::Stored(pin)) = self.slab.find(&Self::key(index)) else { return None };
        let buffer = self.pool.try_take(65_536, For::Demand).expect("room");
        pin.read(66_536, 1..2, buffer).await
    }
}

fn page(fill: u32, len: usize) -> VerifiedPage {
    let bytes = vec![u8::try_from(fill).expect("small"); len];
    let sum = page::checksum(&bytes);
    page::verify(bytes.into(), sum).expect("its own sum")
}

/// A read that fails is a miss; the block is forgotten and its slot not used again.
#[tokio::test]
async fn a_failed_read_is_a_miss_and_its_block_is_gone() {
    let bench = Bench::new();
    bench.stored(1).await;
    assert_eq!(bench.read(1).await.expect("stored")[..1000], [101; 1000]);
    bench.faults.reads_fail.store(true, Ordering::SeqCst);
    assert!(bench.read(1).await.is_none());
    bench.faults.reads_fail.store(false, Ordering::SeqCst);
    assert!(!bench.slab.contains(&Bench::key(1)));
    assert!(bench.slab.in_use());
    bench.stored(2).await;
    assert!(bench.read(2).await.is_some());
}

/// A device that keeps failing is taken out: nothing is found or kept, and nobody waits for it.
#[tokio::test]
async fn a_device_that_keeps_failing_is_taken_out() {
    let bench = Bench::new();
    bench.stored(20).await;
    bench.faults.writes_fail.store(true, Ordering::SeqCst);
    for index in 0..ERRORS_MAX {
        assert!(bench.slab.in_use());
        assert_eq!(bench.offer(index), Offered::Kept);
        bench.slab.settled(|state| state.queue.is_empty()).await;
        assert!(!bench.slab.contains(&Bench::key(index)));
    }
    until("the device is out", || !bench.slab.in_use()).await;
    assert!(bench.slab.find(&Bench::key(20)).is_none());
    assert_eq!(bench.offer(21), Offered::Refused(NotKept::DeviceOut));
    bench.slab.room(usize::MAX).await;
    bench.slab.close().await;
}

/// While the disk does not keep up, a queued block is served from memory, and one too many is refused at once.
#[tokio::test]
async fn a_full_queue_refuses_and_serves_what_it_holds() {
    let bench = Bench::new();
    {
        bench.faults.writes_wait.store(true, Ordering::SeqCst);
        assert_eq!((bench.offer(1), bench.offer(2)), (Offered::Kept, Offered::Kept));
        assert_eq!(bench.offer(3), Offered::Refused(NotKept::QueueFull));
        let Some(Found::Queued(block)) = bench.slab.find(&Bench::key(2)) else { panic!("not queued") };
        assert_eq!(block.slice(0..1), [2][..]);
    }
    bench.faults.writes_wait.store(false, Ordering::SeqCst);
    for write in std::mem::take(&mut *lock(&bench.faults.waiting)) {
        bench.slab.0.engine.write(write);
    }
    bench.slab.room(BLOCK_BYTES as usize).await;
    assert_eq!(bench.offer(3), Offered::Kept);
    bench.slab.close().await;
    assert_eq!(bench.offer(4), Offered::Refused(NotKept::DeviceOut));
}

/// A slot being read is not written to, however many blocks come.
#[tokio::test]
async fn a_pinned_block_stays_while_the_slab_turns_over() {
    let bench = Bench::new();
    bench.stored(1).await;
    let Some(Found::Stored(pin)) = bench.slab.find(&Bench::key(1)) else { panic!("not stored") };
    for index in 2..100 {
        bench.stored(index).await;
    }
    let buffer = bench.pool.try_take(65_536, For::Demand).expect("room");
    assert_eq!(pin.read(66_536, 1..2, buffer).await.expect("still there")[..1000], [101; 1000]);
}

/// What is purged while it is read is read to its end, is found no more, and its slot takes another block; where the device
/// does not take the purge, that is said and counts as an error.
#[tokio::test]
async fn a_purge_waits_for_readers_and_fails_aloud() {
    let bench = Bench::new();
    for index in 0..3 {
        bench.stored(index).await;
    }
    let Some(Found::Stored(pin)) = bench.slab.find(&Bench::key(1)) else { panic!("on disk") };
    let purging = tokio::spawn({
        let slab = bench.slab.clone();
        async move { slab.purge(&|key: &BlockKey| key.index == 1).await }
    });
    until("the block is found no more", || !bench.slab.contains(&Bench::key(1))).await;
    let buffer = bench.pool.try_take(65_536, For::Demand).expect("room");
    assert!(pin.read(66_536, 1..2, buffer).await.is_some(), "read to its end");
    assert_eq!(purging.await.expect("no panic").expect("purged"), 1);
    assert!(bench.read(0).await.is_some() && bench.read(1).await.is_none());
    bench.stored(1).await;
    assert!(bench.read(1).await.is_some());
    bench.faults.writes_fail.store(true, Ordering::SeqCst);
    let error = bench.slab.purge(&|key: &BlockKey| key.index == 2).await.expect_err("the device fails");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(bench.read(2).await.is_none());
    assert_eq!(bench.slab.0.errors.load(Ordering::SeqCst), 1);
}
