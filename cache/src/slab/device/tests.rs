//! A device whose reads and writes fail, or take their time.

use futures::FutureExt as _;
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::*;
use crate::Instance;
use crate::buffer::{Buffer, For, Pool};
use crate::page::{self, VerifiedPage};
use crate::slab::faulty::Faults;
use crate::source::PAGE_BYTES;
use crate::test_until::until;

const BLOCK_BYTES: u64 = 128 * 1024;

struct Bench {
    slab: Device,
    faults: Arc<Faults>,
    pool: Pool,
    registry: Registry,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    /// One whose device is waited for so long when it reads, or is closed.
    fn with_patience(patience: Duration) -> Self {
        let handling = Handling { patience, ..Handling::default() };
        Self::open(tempfile::tempdir().expect("folder"), handling, 2)
    }

    /// One whose device is waited for so long when it writes, with a queue for so many blocks.
    fn with_write_patience(write_patience: Duration, queue: u64) -> Self {
        let handling = Handling { write_patience, ..Handling::default() };
        Self::open(tempfile::tempdir().expect("folder"), handling, queue)
    }

    /// The same device after a restart, without faults.
    async fn restarted(self) -> Self {
        let Self { slab, folder, .. } = self;
        slab.close().await;
        drop(slab);
        Self::open(folder, Handling::default(), 2)
    }

    fn open(folder: tempfile::TempDir, handling: Handling, queue: u64) -> Self {
        let mut settings = Nvme::new(folder.path().join("slab"), 4 << 20);
        settings.write_queue_bytes = queue * BLOCK_BYTES;
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry).expect("registers"));
        let faults = Arc::<Faults>::default();
        let opening = Opening {
            handling: Handling { before: Some(faults.before()), ..handling },
            withheld: Arc::default(),
            settings: settings.clone(),
            block_bytes: BLOCK_BYTES,
            weights: Arc::default(),
            kept: Arc::default(),
            metrics,
        };
        let device = &settings.devices[0];
        // A device that was closed without its last writes is locked until it has made them.
        let deadline = Instant::now() + Duration::from_secs(60);
        let (file, opened) = loop {
            match open::open(&opening, device, Occasion::Start) {
                Err(OpenError::InUse(_)) if Instant::now() < deadline => {}
                opened => break opened.expect("opens"),
            }
        };
        let file = Arc::new(SlabFile::new(&device.path, file).expect("opens"));
        let engine = engine::start(settings.engine, file).expect("starts");
        let slab = Device::start(&opening, opened, engine);
        Self { slab, faults, pool: Pool::new(4 << 20, 0), registry, folder }
    }

    fn errors_told(&self) -> u64 {
        let families = self.registry.gather();
        let errors = families.iter().find(|family| family.name() == "cache_nvme_device_errors_total");
        errors.expect("a series").get_metric()[0].get_counter().get_value() as u64
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

    fn contains(&self, index: u32) -> bool {
        self.slab.contains(&Self::key(index))
    }

    /// Purges one block.
    async fn purge(&self, index: u32) -> io::Result<u64> {
        self.slab.purge(&|key: &BlockKey| key.index == index).await
    }

    /// The second page of a block on disk.
    async fn read(&self, index: u32) -> Option<Buffer> {
        let Some(Found::Stored(pin)) = self.slab.clone().find(&Self::key(index)) else { return None };
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
    assert!(bench.slab.clone().find(&Bench::key(20)).is_none());
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
        let Some(Found::Queued(block)) = bench.slab.clone().find(&Bench::key(2)) else {
            panic!("not queued")
        };
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
    let Some(Found::Stored(pin)) = bench.slab.clone().find(&Bench::key(1)) else { panic!("not stored") };
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
    let Some(Found::Stored(pin)) = bench.slab.clone().find(&Bench::key(1)) else { panic!("on disk") };
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
    assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
    assert!(bench.read(2).await.is_none());
    assert_eq!(bench.slab.0.errors.load(Ordering::SeqCst), 1);
}

/// A device that answers no read any more: each is a miss after a while, is not looked for there again, and eight of them take the
/// device out.
#[tokio::test]
async fn a_device_that_does_not_answer_is_taken_out() {
    let bench = Bench::with_patience(Duration::from_millis(20));
    for index in 0..=ERRORS_MAX {
        bench.stored(index).await;
    }
    bench.faults.reads_wait.store(true, Ordering::SeqCst);
    for index in 0..ERRORS_MAX {
        assert!(bench.slab.in_use());
        assert!(bench.read(index).await.is_none());
        assert!(!bench.slab.contains(&Bench::key(index)));
    }
    assert!(!bench.slab.in_use());
    assert!(bench.slab.clone().find(&Bench::key(ERRORS_MAX)).is_none());
    assert_eq!(bench.errors_told(), u64::from(ERRORS_MAX));
    assert_eq!(lock(&bench.faults.waiting_reads).len(), ERRORS_MAX as usize);
    bench.slab.close().await;
}

/// A read that was late, and then fails, is one error: eight such reads take a device out, not four.
#[tokio::test]
async fn a_late_read_that_fails_counts_once() {
    let bench = Bench::with_patience(Duration::from_millis(20));
    bench.stored(1).await;
    bench.faults.reads_wait.store(true, Ordering::SeqCst);
    assert!(bench.read(1).await.is_none());
    let read = lock(&bench.faults.waiting_reads).pop().expect("it hangs");
    (read.done)(Err(Errno::IO.into()));
    assert!(!lock(&bench.slab.0.state).index.is_pinned(0));
    assert_eq!((bench.errors_told(), bench.slab.0.errors.load(Ordering::SeqCst)), (1, 1));
    // Its slot is not used again.
    let slots_count = bench.slab.0.geometry.slots_count;
    for index in 2..2 + slots_count {
        bench.stored(index).await;
    }
    assert_eq!(lock(&bench.slab.0.state).index.blocks_count(), slots_count as usize - 1);
}

/// Readers that go away before the device is given up on do not keep it from being taken out, nor what fails from being counted.
#[tokio::test]
async fn a_read_counts_though_its_reader_goes_away() {
    for is_answered in [true, false] {
        let bench = Bench::with_patience(Duration::from_millis(200));
        for index in 0..ERRORS_MAX {
            bench.stored(index).await;
        }
        bench.faults.reads_wait.store(true, Ordering::SeqCst);
        for index in 0..ERRORS_MAX {
            assert!(bench.read(index).now_or_never().is_none());
        }
        if is_answered {
            for read in std::mem::take(&mut *lock(&bench.faults.waiting_reads)) {
                (read.done)(Err(Errno::IO.into()));
            }
        }
        until("the device is out", || !bench.slab.in_use()).await;
        assert_eq!(bench.errors_told(), u64::from(ERRORS_MAX));
    }
}

/// A read that was given up still has its slot and its memory until the device answers.
#[tokio::test]
async fn a_read_that_was_given_up_keeps_its_slot_until_it_is_answered() {
    let bench = Bench::with_patience(Duration::from_millis(20));
    bench.stored(1).await;
    bench.faults.reads_wait.store(true, Ordering::SeqCst);
    assert!(bench.read(1).await.is_none());
    for index in 2..100 {
        bench.stored(index).await;
    }
    let slots_count = bench.slab.0.geometry.slots_count as usize;
    let blocks_count = || lock(&bench.slab.0.state).index.blocks_count();
    assert_eq!(blocks_count(), slots_count - 1);
    let mut read = lock(&bench.faults.waiting_reads).pop().expect("it hangs");
    let (tell, told) = oneshot::channel();
    let (slab_id, slot, done) = (bench.slab.slab_id(), 0, read.done);
    read.done = Box::new(move |outcome| {
        let header = outcome.as_ref().ok().and_then(|(header, _)| Header::decode(header, slab_id, slot));
        tell.send(header.map(|header| header.key)).expect("somebody waits");
        done(outcome);
    });
    bench.faults.reads_wait.store(false, Ordering::SeqCst);
    bench.slab.0.engine.read(read);
    assert_eq!(told.await.expect("answered"), Some(Bench::key(1)));
    until("the slot is free", || !lock(&bench.slab.0.state).index.is_pinned(slot)).await;
    bench.stored(1).await;
    assert_eq!(blocks_count(), slots_count);
}

/// A device that answers others meanwhile is slow: what it does not answer in time is a miss, and it stays.
#[tokio::test]
async fn a_slow_device_is_not_taken_out() {
    let bench = Arc::new(Bench::with_patience(Duration::from_secs(5)));
    for index in 0..=2 * ERRORS_MAX {
        bench.stored(index).await;
    }
    bench.faults.reads_wait.store(true, Ordering::SeqCst);
    let reading = (0..2 * ERRORS_MAX).map(|index| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.read(index).await.is_none() })
    });
    let reading: Vec<_> = reading.collect();
    let waiting_count = || lock(&bench.faults.waiting_reads).len();
    until("all reads hang", || waiting_count() == 2 * ERRORS_MAX as usize).await;
    bench.faults.reads_wait.store(false, Ordering::SeqCst);
    assert!(bench.read(2 * ERRORS_MAX).await.is_some());
    for read in reading {
        assert!(read.await.expect("no panic"), "answered by nobody");
    }
    assert!(bench.slab.in_use());
    assert_eq!(bench.errors_told(), u64::from(2 * ERRORS_MAX));
}

/// A device that answers no write any more is taken out as one that answers no read: once eight hang, or all that it may have.
#[tokio::test]
async fn a_device_that_takes_no_writes_is_taken_out() {
    for (queue, offered_count) in [(9, ERRORS_MAX), (2, 2)] {
        let bench = Bench::with_write_patience(Duration::from_millis(20), queue);
        bench.faults.writes_wait.store(true, Ordering::SeqCst);
        assert_eq!(bench.offer(0), Offered::Kept);
        until("one is told of", || bench.errors_told() == 1).await;
        assert!(bench.slab.in_use());
        for index in 1..offered_count {
            assert_eq!(bench.offer(index), Offered::Kept);
        }
        until("the device is out", || !bench.slab.in_use()).await;
        assert_eq!(bench.errors_told(), u64::from(offered_count));
        // What it answers in the end is no error once more.
        for write in std::mem::take(&mut *lock(&bench.faults.waiting)) {
            (write.done)(Err(Errno::IO.into()));
        }
        assert_eq!(bench.slab.0.errors.load(Ordering::SeqCst), offered_count);
    }
}

/// So it is where one of those that fill its queue began before the last that was answered, and is told of as slow.
#[tokio::test]
async fn a_device_that_took_one_more_write_is_taken_out() {
    let bench = Bench::with_write_patience(Duration::from_secs(2), 2);
    bench.faults.writes_wait.store(true, Ordering::SeqCst);
    assert_eq!((bench.offer(1), bench.offer(2)), (Offered::Kept, Offered::Kept));
    let answered = lock(&bench.faults.waiting).pop().expect("it waits");
    (answered.done)(Ok(()));
    assert_eq!(bench.offer(3), Offered::Kept);
    until("the device is out", || !bench.slab.in_use()).await;
}

/// A write that hangs where others come through is told of, is none of the eight errors, and is one no more when it fails.
#[tokio::test]
async fn a_write_that_hangs_alone_is_told_of() {
    let bench = Bench::with_write_patience(Duration::from_secs(2), 2);
    bench.faults.writes_wait.store(true, Ordering::SeqCst);
    assert_eq!((bench.offer(1), bench.offer(2)), (Offered::Kept, Offered::Kept));
    let answered = lock(&bench.faults.waiting).pop().expect("it waits");
    (answered.done)(Ok(()));
    until("the other is told of", || bench.errors_told() == 1).await;
    let hanging = lock(&bench.faults.waiting).pop().expect("it hangs");
    (hanging.done)(Err(Errno::IO.into()));
    assert!(bench.slab.in_use() && !bench.contains(1) && bench.contains(2));
    assert_eq!((bench.errors_told(), bench.slab.0.errors.load(Ordering::SeqCst)), (1, 0));
}

/// A device that does not take its last writes does not keep a node from closing.
#[tokio::test]
async fn a_device_that_does_not_answer_is_closed_all_the_same() {
    let bench = Bench::with_patience(Duration::from_millis(20));
    bench.faults.writes_wait.store(true, Ordering::SeqCst);
    assert_eq!(bench.offer(1), Offered::Kept);
    bench.slab.close().await;
    assert!(bench.slab.clone().find(&Bench::key(1)).is_none());
    assert_eq!(bench.offer(2), Offered::Refused(NotKept::DeviceOut));
    for write in std::mem::take(&mut *lock(&bench.faults.waiting)) {
        (write.done)(Ok(()));
    }
    assert!(bench.slab.clone().find(&Bench::key(1)).is_none());
}

/// A block whose page proved bad, or whose device failed, is found no more while its header may lie there still: a purge takes that
/// too, also where the block lies elsewhere by now, and a restart finds none.
#[tokio::test]
async fn a_purge_takes_headers_of_blocks_that_proved_bad() {
    let bench = Bench::new();
    for index in 0..4 {
        bench.stored(index).await;
    }
    bench.faults.reads_fail.store(true, Ordering::SeqCst);
    assert!(bench.read(0).await.is_none() && bench.read(1).await.is_none());
    bench.faults.reads_fail.store(false, Ordering::SeqCst);
    bench.stored(1).await;
    let geometry = bench.slab.0.geometry;
    let slab = std::fs::File::options().write(true).open(bench.folder.path().join("slab")).expect("opens");
    let second_page = geometry.data_offset(2) + PAGE_BYTES;
    std::os::unix::fs::FileExt::write_all_at(&slab, &[0; 4096], second_page).expect("written");
    slab.sync_all().expect("synced");
    assert!(bench.read(2).await.is_none());
    for (index, purged_count) in [(0, 0), (2, 0)] {
        assert!(!bench.contains(index));
        assert_eq!(bench.purge(index).await.expect("purged"), purged_count);
    }
    let bench = bench.restarted().await;
    assert_eq!([0, 1, 2, 3].map(|index| bench.contains(index)), [false, true, false, true]);
    // It lies in two slots, and is found in one.
    assert_eq!(bench.purge(1).await.expect("purged"), 1);
    let bench = bench.restarted().await;
    assert_eq!([1, 3].map(|index| bench.contains(index)), [false, true]);
    for index in 10..10 + bench.slab.0.geometry.slots_count - 1 {
        bench.stored(index).await;
    }
    assert!(bench.contains(3), "what was purged is room again");
}

/// A block that gave way to one that is still to be written lies on the device until then: a purge waits for that write, and
/// does itself what a write that fails has not done.
#[tokio::test]
async fn a_purge_waits_for_writes_over_what_it_takes() {
    for write_fails in [false, true] {
        let bench = Bench::new();
        let slots_count = bench.slab.0.geometry.slots_count;
        for index in 0..slots_count {
            bench.stored(index).await;
        }
        bench.faults.writes_wait.store(true, Ordering::SeqCst);
        assert_eq!(bench.offer(100), Offered::Kept);
        let gone = (0..slots_count).find(|index| !bench.contains(*index)).expect("one gave way");
        let purging = tokio::spawn({
            let slab = bench.slab.clone();
            async move { slab.purge(&|key: &BlockKey| key.index == gone).await }
        });
        sleep(Duration::from_millis(20)).await;
        assert!(!purging.is_finished(), "its header is still there");
        bench.faults.writes_wait.store(false, Ordering::SeqCst);
        for write in std::mem::take(&mut *lock(&bench.faults.waiting)) {
            match write_fails {
                true => (write.done)(Err(Errno::IO.into())),
                false => bench.slab.0.engine.write(write),
            }
        }
        assert_eq!(purging.await.expect("no panic").expect("purged"), 0);
        let bench = bench.restarted().await;
        assert!(!bench.contains(gone));
    }
}

/// What a device has goes also where it takes no writes: what waits for them fails the purge, and no more than that.
#[tokio::test]
async fn a_purge_drops_what_is_stored_whatever_hangs() {
    let bench = Bench::with_patience(Duration::from_millis(20));
    bench.stored(1).await;
    bench.faults.writes_wait.store(true, Ordering::SeqCst);
    assert_eq!(bench.offer(2), Offered::Kept);
    let refused = bench.slab.purge(&|_: &BlockKey| true).await.expect_err("it waits in the queue");
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    assert!(!bench.contains(1));
    bench.faults.writes_wait.store(false, Ordering::SeqCst);
    for write in std::mem::take(&mut *lock(&bench.faults.waiting)) {
        bench.slab.0.engine.write(write);
    }
    let bench = bench.restarted().await;
    assert!(!bench.contains(1), "it is gone for good");
}

/// A purge does not wait for ever for a device that does not take it: it says so, and is done all the same once the device does.
#[tokio::test]
async fn a_purge_has_an_end_where_the_device_hangs() {
    let bench = Bench::with_patience(Duration::from_millis(20));
    bench.stored(1).await;
    bench.stored(2).await;
    bench.faults.blanks_wait.store(true, Ordering::SeqCst);
    assert_eq!(bench.purge(1).await.expect_err("it hangs").kind(), io::ErrorKind::TimedOut);
    assert_eq!((bench.contains(1), bench.contains(2), bench.errors_told()), (false, true, 1));
    bench.faults.blanks_wait.store(false, Ordering::SeqCst);
    until("it is done", || lock(&bench.slab.0.state).blankings_count == 0).await;
    let bench = bench.restarted().await;
    assert_eq!([1, 2].map(|index| bench.contains(index)), [false, true]);
}

/// A device is not let go of while a purge is at its headers: they may be another process's from then on.
#[tokio::test]
async fn closing_waits_for_a_purge() {
    let bench = Bench::new();
    bench.stored(1).await;
    bench.faults.blanks_wait.store(true, Ordering::SeqCst);
    let purging = tokio::spawn({
        let slab = bench.slab.clone();
        async move { slab.purge(&|_: &BlockKey| true).await }
    });
    until("the purge is at the headers", || lock(&bench.slab.0.state).blankings_count == 1).await;
    let closing = tokio::spawn({
        let slab = bench.slab.clone();
        async move { slab.close().await }
    });
    until("it closes", || lock(&bench.slab.0.state).closing).await;
    sleep(Duration::from_millis(20)).await;
    bench.faults.blanks_wait.store(false, Ordering::SeqCst);
    closing.await.expect("no panic");
    // Its second step comes too late, and says so.
    let error = purging.await.expect("no panic").expect_err("closed");
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert_eq!(*lock(&bench.faults.ended), ["a purge", "the device"]);
}

/// A device that was taken out still has its blocks, and comes back with them: a purge does not say that it is done.
#[tokio::test]
async fn a_device_that_is_out_is_not_purged() {
    let bench = Bench::new();
    bench.stored(1).await;
    for _ in 0..ERRORS_MAX {
        bench.slab.device_failed("read", 0, &Errno::IO.into());
    }
    assert_eq!(bench.purge(1).await.expect_err("out").kind(), io::ErrorKind::NotConnected);
    assert!(bench.restarted().await.contains(1));
}
