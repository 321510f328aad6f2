//! Every series of the cache. Labels are closed sets; nothing that a client sends becomes one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::cache::Shared;
use crate::error::ReadError;
use crate::slab::Slab;
use crate::source::SourceError;

/// Where the bytes of a read came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Served {
    /// The memory tier.
    Memory,
    /// The NVMe tier.
    Nvme,
    /// A fill that this reader started.
    Origin,
    /// A fill that another reader started.
    Joined,
    /// The origin, with nothing kept.
    Bypass,
}

/// Why a block that was filled is not kept in a tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotKept {
    /// No block buffer was free: in neither tier.
    NoBuffer,
    /// The queue of writes to NVMe was full.
    QueueFull,
    /// Somebody passes over more than fits: not worth a write to NVMe the first time.
    Spared,
    /// Every slot on NVMe was being read or written.
    NoSlot,
    /// The write to NVMe failed.
    DeviceError,
    /// The NVMe device is out of use.
    DeviceOut,
}

/// How a fill ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FillEnd {
    Completed,
    /// Its readers left.
    Abandoned,
    /// The origin broke off, and asking again did not help.
    Broken,
}

/// How a pre-stage ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PrestageEnd {
    Completed,
    Broken,
}

/// A closed set of label values, in the order of the enum's cases.
trait Label: Copy {
    const VALUES: &'static [&'static str];
    fn place(self) -> usize;
}

macro_rules! labels {
    ($($set:ident: $($value:literal),+;)+) => {$(
        impl Label for $set {
            const VALUES: &'static [&'static str] = &[$($value),+];
            fn place(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    Served: "memory", "nvme", "origin", "joined", "bypass";
    NotKept: "no_buffer", "queue_full", "spared", "no_slot", "device_error", "device_out";
    FillEnd: "completed", "abandoned", "broken";
    PrestageEnd: "completed", "broken";
    Trouble: "gone", "busy", "broken", "corrupt";
}

/// What went wrong with a read.
#[derive(Clone, Copy)]
enum Trouble {
    Gone,
    Busy,
    Broken,
    Corrupt,
}

/// A counter for each value of a label, looked up once.
struct Counters(Vec<IntCounter>);

impl Counters {
    fn new<L: Label>(
        registry: &Registry,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<Self, prometheus::Error> {
        let series = registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
        Ok(Self(L::VALUES.iter().map(|value| series.with_label_values(&[value])).collect()))
    }

    fn of(&self, label: impl Label) -> &IntCounter {
        &self.0[label.place()]
    }
}

/// The cache's series, and what moves them.
pub(crate) struct Metrics {
    block_reads: Counters,
    read_bytes: Counters,
    read_errors: Counters,
    fills_started: IntCounter,
    fills: Counters,
    fills_resumed: IntCounter,
    origin_requests: IntCounter,
    origin_hedges: IntCounter,
    origin_bytes: IntCounter,
    origin_errors: Counters,
    not_kept: Counters,
    prestages_started: IntCounter,
    prestages: Counters,
    nvme_in_use: IntGauge,
    nvme_out: IntGauge,
    nvme_returns: IntCounter,
    nvme_awaited: IntGauge,
    nvme_slots: IntGauge,
    nvme_blocks: IntGauge,
    nvme_evictions: IntCounter,
    nvme_corrupt: IntCounter,
    nvme_device_errors: IntCounter,
    nvme_read_bytes: IntCounter,
    nvme_read_seconds: Histogram,
    nvme_write_bytes: IntCounter,
    nvme_write_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help)?);
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help)?);
        let seconds = |name: &str, help: &str| {
            // 50 µs, doubling up to 1.6 s: from a page off NVMe to a disk in trouble.
            let buckets = prometheus::exponential_buckets(0.000_05, 2.0, 16)?;
            registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
        };
        Ok(Self {
            block_reads: Counters::new::<Served>(
                registry,
                "cache_block_reads_total",
                "Blocks read, whole or in part, by where they came from.",
                "source",
            )?,
            read_bytes: Counters::new::<Served>(
                registry,
                "cache_read_bytes_total",
                "Bytes given to readers, by where they came from.",
                "source",
            )?,
            read_errors: Counters::new::<Trouble>(
                registry,
                "cache_read_errors_total",
                "Reads that ended with an error, by reason.",
                "reason",
            )?,
            fills_started: counter("cache_fills_started_total", "Fills that began to read from an origin.")?,
            fills: Counters::new::<FillEnd>(
                registry,
                "cache_fills_total",
                "Fills that ended, by how they did.",
                "end",
            )?,
            fills_resumed: counter(
                "cache_fills_resumed_total",
                "Times that an origin was asked again from the first missing page.",
            )?,
            origin_requests: counter(
                "cache_origin_requests_total",
                "Runs of pages asked of origins, repeated ones included.",
            )?,
            origin_hedges: counter(
                "cache_origin_hedges_total",
                "Runs of pages asked for once more because the answer was late.",
            )?,
            origin_bytes: counter("cache_origin_bytes_total", "Bytes of good pages that came from origins.")?,
            origin_errors: Counters::new::<Trouble>(
                registry,
                "cache_origin_errors_total",
                "Answers of origins that broke off or were bad, by reason.",
                "reason",
            )?,
            not_kept: Counters::new::<NotKept>(
                registry,
                "cache_blocks_not_kept_total",
                "Blocks that were filled and are not kept in a tier, by reason.",
                "reason",
            )?,
            prestages_started: counter("cache_prestages_started_total", "Pre-stages that were started.")?,
            prestages: Counters::new::<PrestageEnd>(
                registry,
                "cache_prestages_total",
                "Pre-stages that ended, by how they did.",
                "end",
            )?,
            nvme_in_use: gauge("cache_nvme_in_use", "NVMe devices in use.")?,
            nvme_out: gauge(
                "cache_nvme_out",
                "NVMe devices that were set but failed, do not answer, or are another node's: out of use, and tried again from time to time.",
            )?,
            nvme_returns: counter(
                "cache_nvme_returns_total",
                "Times that an NVMe device which was out was taken into use again.",
            )?,
            nvme_awaited: gauge(
                "cache_nvme_awaited",
                "NVMe devices that another process holds: taken into use once it lets go of them.",
            )?,
            nvme_slots: gauge("cache_nvme_slots", "Blocks that the NVMe tier has room for.")?,
            nvme_blocks: gauge("cache_nvme_blocks", "Blocks on NVMe.")?,
            nvme_evictions: counter("cache_nvme_evictions_total", "Blocks given up on NVMe to make room.")?,
            nvme_corrupt: counter(
                "cache_nvme_corrupt_total",
                "Reads from NVMe that failed a checksum and were fetched again.",
            )?,
            nvme_device_errors: counter(
                "cache_nvme_device_errors_total",
                "Failed reads and writes of NVMe, and those not answered within 10 s.",
            )?,
            nvme_read_bytes: counter("cache_nvme_read_bytes_total", "Bytes of pages read from NVMe.")?,
            nvme_read_seconds: seconds(
                "cache_nvme_read_seconds",
                "Time of a read from NVMe, its wait included.",
            )?,
            nvme_write_bytes: counter("cache_nvme_write_bytes_total", "Bytes of blocks written to NVMe.")?,
            nvme_write_seconds: seconds(
                "cache_nvme_write_seconds",
                "Time of a block's write to NVMe, its wait included.",
            )?,
        })
    }

    /// Lets `registry` read the sizes of what `shared` holds whenever it is gathered.
    pub(crate) fn watch(&self, registry: &Registry, shared: &Arc<Shared>) -> Result<(), prometheus::Error> {
        registry.register(Box::new(Sizes::new(shared)?))
    }

    pub(crate) fn block_read(&self, served: Served) {
        self.block_reads.of(served).inc();
    }

    pub(crate) fn served(&self, served: Served, bytes: u64) {
        self.read_bytes.of(served).inc_by(bytes);
    }

    pub(crate) fn read_failed(&self, error: &ReadError) {
        self.read_errors
            .of(match error {
                ReadError::Gone => Trouble::Gone,
                ReadError::Busy(_) => Trouble::Busy,
                ReadError::Broken(_) => Trouble::Broken,
            })
            .inc();
    }

    pub(crate) fn fill_started(&self) {
        self.fills_started.inc();
    }

    pub(crate) fn fill_ended(&self, end: FillEnd) {
        self.fills.of(end).inc();
    }

    pub(crate) fn fill_resumed(&self) {
        self.fills_resumed.inc();
    }

    pub(crate) fn origin_asked(&self) {
        self.origin_requests.inc();
    }

    pub(crate) fn origin_asked_again(&self) {
        self.origin_hedges.inc();
    }

    pub(crate) fn pulled(&self, bytes: usize) {
        self.origin_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn origin_page_corrupt(&self) {
        self.origin_errors.of(Trouble::Corrupt).inc();
    }

    pub(crate) fn origin_trouble(&self, trouble: &SourceError) {
        self.origin_errors
            .of(match trouble {
                SourceError::Gone => Trouble::Gone,
                SourceError::Busy => Trouble::Busy,
                SourceError::Broken(_) => Trouble::Broken,
            })
            .inc();
    }

    pub(crate) fn not_kept(&self, reason: NotKept) {
        self.not_kept.of(reason).inc();
    }

    pub(crate) fn prestage_started(&self) {
        self.prestages_started.inc();
    }

    pub(crate) fn prestage_ended(&self, end: PrestageEnd) {
        self.prestages.of(end).inc();
    }

    pub(crate) fn nvme_device_in(&self) {
        self.nvme_in_use.inc();
    }

    /// A device that was in use is not any more.
    pub(crate) fn nvme_device_gone(&self) {
        self.nvme_in_use.dec();
    }

    /// A device is out.
    pub(crate) fn nvme_device_out(&self) {
        self.nvme_out.inc();
    }

    /// A device that was out is in use.
    pub(crate) fn nvme_device_returned(&self) {
        self.nvme_out.dec();
        self.nvme_returns.inc();
    }

    /// Another process holds a device that did not answer at the start.
    pub(crate) fn nvme_device_out_is_awaited(&self) {
        self.nvme_out.dec();
        self.nvme_awaited.inc();
    }

    /// Another process holds a device.
    pub(crate) fn nvme_device_awaited(&self) {
        self.nvme_awaited.inc();
    }

    pub(crate) fn nvme_device_no_longer_awaited(&self) {
        self.nvme_awaited.dec();
    }

    pub(crate) fn nvme_slots_came(&self, count: u32) {
        self.nvme_slots.add(i64::from(count));
    }

    pub(crate) fn nvme_slots_went(&self, count: u32) {
        self.nvme_slots.sub(i64::from(count));
    }

    pub(crate) fn nvme_blocks_came(&self, count: usize) {
        self.nvme_blocks.add(count as i64);
    }

    pub(crate) fn nvme_blocks_went(&self, count: usize) {
        self.nvme_blocks.sub(count as i64);
    }

    pub(crate) fn nvme_evicted(&self) {
        self.nvme_evictions.inc();
    }

    pub(crate) fn nvme_corrupt(&self) {
        self.nvme_corrupt.inc();
    }

    pub(crate) fn device_error(&self) {
        self.nvme_device_errors.inc();
    }

    pub(crate) fn nvme_read(&self, bytes: usize, time: Duration) {
        self.nvme_read_bytes.inc_by(bytes as u64);
        self.nvme_read_seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn nvme_written(&self, bytes: usize, time: Duration) {
        self.nvme_write_bytes.inc_by(bytes as u64);
        self.nvme_write_seconds.observe(time.as_secs_f64());
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    series: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}

/// Sizes that are read when asked for, rather than kept up to date.
struct Sizes {
    shared: Weak<Shared>,
    memory: IntGauge,
    buffers: IntGauge,
    mapped: IntGauge,
    fills: IntGauge,
    pinned: IntGauge,
}

impl Sizes {
    fn new(shared: &Arc<Shared>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            shared: Arc::downgrade(shared),
            memory: IntGauge::new("cache_memory_bytes", "Bytes of blocks in the memory tier.")?,
            buffers: IntGauge::new(
                "cache_buffer_bytes",
                "Bytes of block buffers in use: the memory tier, reads and writes in progress, slow readers.",
            )?,
            mapped: IntGauge::new(
                "cache_buffer_mapped_bytes",
                "Bytes of block buffers that the node has of the system, in use or not.",
            )?,
            fills: IntGauge::new(
                "cache_fill_bytes",
                "Bytes of blocks in the middle of a fill, or held by readers after it because no tier had room.",
            )?,
            pinned: IntGauge::new("cache_nvme_pinned_bytes", "Bytes of objects pinned to NVMe.")?,
        })
    }

    fn gauges(&self) -> [&IntGauge; 5] {
        [&self.memory, &self.buffers, &self.mapped, &self.fills, &self.pinned]
    }
}

impl Collector for Sizes {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(shared) = self.shared.upgrade() {
            self.memory.set(shared.memory.used_bytes() as i64);
            self.buffers.set(shared.pool.used_bytes() as i64);
            self.mapped.set(shared.pool.mapped_bytes() as i64);
            self.fills.set(shared.budget.fill_bytes_used() as i64);
            self.pinned.set(shared.slab.as_ref().map_or(0, Slab::kept_bytes) as i64);
        }
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}
