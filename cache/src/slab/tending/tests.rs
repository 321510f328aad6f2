//! A device that was taken out comes back when it answers, as what it is then.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use prometheus::Registry;
use rustix::io::Errno;

use super::*;
use crate::Instance;
use crate::block::Block;
use crate::buffer::{Buffer, For, Pool};
use crate::layout::BlockKey;
use crate::metrics::Metrics;
use crate::page::{self, VerifiedPage};
use crate::settings::Nvme;
use crate::slab::device::ERRORS_MAX;
use crate::slab::faulty::Faults;
use crate::slab::{DeviceState, Found, Handling, Keep, Offered, Slab};
use crate::tenant::Tenant;
use crate::test_until::until;

const BLOCK_BYTES: u64 = 128 * 1024;

/// A slab of one file, `slab` in a folder.
struct Bench {
    slab: Slab,
    faults: Arc<Faults>,
    pool: Pool,
    registry: Registry,
}

impl Bench {
    async fn open(folder: &Path, node: &str) -> Self {
        Self::with(Arc::default(), Handling::default().start_patience, folder, node).await
    }

    /// The same, with faults from the start.
    async fn with(faults: Arc<Faults>, start_patience: Duration, folder: &Path, node: &str) -> Self {
        let mut settings = Nvme::new(folder.join("slab"), 4 << 20);
        (settings.write_queue_bytes, settings.node) = (16 * BLOCK_BYTES, node.into());
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry).expect("registers"));
        let handling = Handling {
            patience: Duration::from_secs(5),
            start_patience,
            pause: Duration::from_millis(5),
            pause_max: Duration::from_millis(20),
            before: Some(faults.before()),
            ..Handling::default()
        };
        let slab = Slab::open(&settings, BLOCK_BYTES, &Arc::default(), &metrics, handling).await;
        Self { slab: slab.expect("opens"), faults, pool: Pool::new(8 << 20, 0), registry }
    }

    fn state(&self) -> DeviceState {
        self.slab.devices()[0].1
    }

    fn metric(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("a series");
        let series = &family.get_metric()[0];
        (series.get_counter().get_value() + series.get_gauge().get_value()) as u64
    }

    /// How many devices are in use, are out, and came back.
    fn counts(&self) -> [u64; 3] {
        ["cache_nvme_in_use", "cache_nvme_out", "cache_nvme_returns_total"].map(|name| self.metric(name))
    }

    fn key(index: u32) -> BlockKey {
        BlockKey { instance: Instance([3; 16]), index }
    }

    async fn store(&self, blocks: std::ops::Range<u32>) {
        for index in blocks.clone() {
            let page = page(index);
            let (sums, buffer) = (vec![page.crc32c()], self.pool.try_take(1000, For::Demand).expect("room"));
            let block = Block::assemble(std::iter::once(&page), buffer);
            let offered = self.slab.offer(Self::key(index), &block, sums, Tenant::named(""), Keep::Surely);
            assert_eq!(offered, Offered::Kept);
        }
        let is_stored = |index| matches!(self.slab.find(&Self::key(index)), Some(Found::Stored(_)));
        until("they are on disk", || blocks.clone().all(is_stored)).await;
    }

    async fn read(&self, index: u32) -> Option<Buffer> {
        let Some(Found::Stored(pin)) = self.slab.find(&Self::key(index)) else { return None };
        pin.read(1000, 0..1, self.pool.try_take(1000, For::Demand).expect("room")).await
    }

    /// Reads until the device has failed too often.
    async fn fail(&self) {
        self.faults.reads_fail.store(true, Ordering::SeqCst);
        for index in 0..ERRORS_MAX {
            assert!(self.read(index).await.is_none());
        }
        self.faults.reads_fail.store(false, Ordering::SeqCst);
    }
}

fn page(fill: u32) -> VerifiedPage {
    let bytes = vec![u8::try_from(fill).expect("small"); 1000];
    let sum = page::checksum(&bytes);
    page::verify(bytes.into(), sum).expect("its own sum")
}

/// A device that was silent for a while is not touched before it has answered everything, and nobody else has it; then it is back with
/// all of its blocks, those too that nobody waited for any more.
#[tokio::test]
async fn a_silent_device_comes_back_with_its_blocks() {
    let folder = tempfile::tempdir().expect("folder");
    let bench = Bench::open(folder.path(), "las1").await;
    bench.store(0..ERRORS_MAX + 1).await;
    bench.faults.reads_wait.store(true, Ordering::SeqCst);
    assert!(join_all((0..ERRORS_MAX).map(|index| bench.read(index))).await.iter().all(Option::is_none));
    until("it is taken out", || bench.state() == DeviceState::Silent).await;
    assert!(!bench.slab.contains(&Bench::key(ERRORS_MAX)));
    assert_eq!(bench.counts(), [0, 1, 0]);
    let other = Bench::open(folder.path(), "las1").await;
    assert_eq!(other.state(), DeviceState::Awaited, "whoever writes there has the lock");
    drop(other);
    assert_eq!((bench.state(), bench.counts()), (DeviceState::Silent, [0, 1, 0]));

    bench.faults.reads_wait.store(false, Ordering::SeqCst);
    for read in std::mem::take(&mut *lock(&bench.faults.waiting_reads)) {
        (read.done)(Err(Errno::IO.into()));
    }
    until("it is back", || bench.state() == DeviceState::InUse).await;
    assert_eq!((bench.counts(), bench.metric("cache_nvme_blocks")), ([1, 0, 1], u64::from(ERRORS_MAX) + 1));
    for index in 0..=ERRORS_MAX {
        assert_eq!(bench.read(index).await.expect("on disk")[..1000], [index as u8; 1000]);
    }
    bench.store(20..21).await;
    bench.slab.close().await;
    assert_eq!(
        Bench::open(folder.path(), "las1").await.metric("cache_nvme_blocks"),
        u64::from(ERRORS_MAX) + 2
    );
}

/// A device that hangs when a node starts does not keep it from starting: it is used once it answers, with all of its blocks.
#[tokio::test]
async fn a_device_that_hangs_at_the_start_is_used_once_it_answers() {
    let folder = tempfile::tempdir().expect("folder");
    let before = Bench::open(folder.path(), "las1").await;
    before.store(0..4).await;
    before.slab.close().await;
    let faults = Arc::<Faults>::default();
    faults.opening_waits.store(true, Ordering::SeqCst);
    let bench = Bench::with(faults.clone(), Duration::from_millis(20), folder.path(), "las1").await;
    assert_eq!((bench.state(), bench.counts()), (DeviceState::Silent, [0, 1, 0]));
    assert!(!bench.slab.in_use() && !bench.slab.contains(&Bench::key(0)));
    faults.opening_waits.store(false, Ordering::SeqCst);
    until("it is in use", || bench.state() == DeviceState::InUse).await;
    assert_eq!(bench.counts(), [1, 0, 1]);
    for index in 0..4 {
        assert_eq!(bench.read(index).await.expect("on disk")[..1000], [index as u8; 1000]);
    }
    bench.slab.close().await;
}

/// One that hung, and that another process has when it answers, has not failed: it is waited for.
#[tokio::test]
async fn a_device_that_hung_and_is_held_by_another_process_is_waited_for() {
    let folder = tempfile::tempdir().expect("folder");
    let holder = Bench::open(folder.path(), "las1").await;
    holder.store(0..4).await;
    let faults = Arc::<Faults>::default();
    faults.opening_waits.store(true, Ordering::SeqCst);
    let bench = Bench::with(faults.clone(), Duration::from_millis(20), folder.path(), "las1").await;
    assert_eq!((bench.state(), bench.counts()), (DeviceState::Silent, [0, 1, 0]));
    faults.opening_waits.store(false, Ordering::SeqCst);
    until("it is waited for", || bench.state() == DeviceState::Awaited).await;
    assert_eq!(bench.counts(), [0, 0, 0]);
    holder.slab.close().await;
    until("it is in use", || bench.state() == DeviceState::InUse).await;
    assert_eq!(bench.counts(), [1, 0, 0]);
    assert_eq!(bench.read(3).await.expect("on disk")[..1000], [3; 1000]);
    bench.slab.close().await;
}

/// A device that goes on failing goes out again each time, and a node that closes meanwhile has done with it.
#[tokio::test]
async fn a_device_that_goes_on_failing_goes_out_again() {
    let folder = tempfile::tempdir().expect("folder");
    let bench = Bench::open(folder.path(), "las1").await;
    bench.store(0..ERRORS_MAX).await;
    for returns_count in 1..4 {
        bench.fail().await;
        until("it is back", || bench.counts() == [1, 0, returns_count]).await;
    }
    bench.fail().await;
    bench.slab.close().await;
    assert_eq!(Bench::open(folder.path(), "las1").await.state(), DeviceState::InUse);
}

/// Whatever is at the device's path when it is tried again is used only if a node that starts would use it. Nothing is made where nothing
/// is.
#[tokio::test]
async fn another_device_in_its_place_is_what_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let others = tempfile::tempdir().expect("folder");
    let slab = folder.path().join("slab");
    let other = Bench::open(others.path(), "ord1").await;
    other.store(0..4).await;
    other.slab.close().await;
    let foreign = fs::read(others.path().join("slab")).expect("read");

    let bench = Bench::open(folder.path(), "las1").await;
    for content in [Some(&foreign[..]), Some(&b"a file"[..]), None] {
        bench.store(0..ERRORS_MAX).await;
        let own = folder.path().join("own");
        fs::rename(&slab, &own).expect("moved");
        if let Some(content) = content {
            fs::write(&slab, content).expect("written");
        }
        bench.fail().await;
        until("it is out", || bench.state() == DeviceState::Out).await;
        // Long enough for a few tries.
        sleep(Duration::from_millis(200)).await;
        assert_eq!(bench.state(), DeviceState::Out);
        assert!(fs::read(&slab).ok().as_deref() == content, "it was left alone");
        fs::rename(&own, &slab).expect("moved back");
        until("its own is in use", || bench.state() == DeviceState::InUse).await;
        assert_eq!(bench.metric("cache_nvme_blocks"), u64::from(ERRORS_MAX));
    }

    fs::remove_file(&slab).expect("removed");
    fs::write(&slab, "").expect("an empty one");
    bench.fail().await;
    until("the empty one is in use", || bench.state() == DeviceState::InUse).await;
    assert_eq!(bench.metric("cache_nvme_blocks"), 0);
    bench.store(0..4).await;
    assert!(bench.read(0).await.is_some());
}

/// Pauses grow to their limit, and begin anew once the device has worked for as long as that.
#[test]
fn pauses_grow_until_a_device_has_worked_for_long() {
    let seconds = Duration::from_secs;
    let begun = Instant::now();
    let mut pauses = Pauses::new(seconds(30), seconds(100));
    let mut next = |at| pauses.next(begun + seconds(at)).as_secs();
    assert_eq!([next(0), next(30), next(90), next(200)], [30, 60, 100, 100]);
    pauses.is_back(begun + seconds(300));
    assert_eq!(pauses.next(begun + seconds(399)), seconds(100));
    pauses.is_back(begun + seconds(500));
    assert_eq!(pauses.next(begun + seconds(600)), seconds(30));
    assert_eq!(pauses.next(begun + seconds(630)), seconds(60));
}
