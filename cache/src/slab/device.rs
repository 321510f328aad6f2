//! One device of the NVMe tier: blocks in fixed slots of one preallocated file, or of a raw device.
//!
//! A write is queued and answered at once; until it is on disk the block is served out of the queue, and a block that
//! finds the queue full is not kept (and counted). A read takes a slot's header and the pages it wants in one
//! request and verifies each page; a bad page makes the block a miss, and it is forgotten. Slots being read are never
//! overwritten. A device that fails too often, or does not answer, is taken out of use for good: everything is a miss from then on,
//! and the node goes on. Where it is opened anew, that is another `Device`.
//!
//! The index in memory says where a block lies; page sums stay on disk, in the headers. What is given up for a new block,
//! and whether a block is worth a write at all, is [`eviction`]'s to say.
//!
//! Here are a device's life, what is found and offered, and how it goes out; [`read`] has the reads, [`watch`] looks after the writes,
//! [`purge`] makes blocks unfindable.
//!
//! [`eviction`]: super::eviction

mod purge;
mod read;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::engine::{self, Engine, SlotWrite};
use super::file::SlabFile;
use super::header::Header;
use super::index::Index;
use super::kept::Kept;
use super::open::{self, Opened};
use super::superblock::{Geometry, Superblock};
use super::withheld::Withheld;
use super::{Found, Keep, Offered};
use crate::block::Block;
use crate::error::OpenError;
use crate::layout::{self, BlockKey};
use crate::metrics::{Metrics, NotKept};
use crate::settings::{Nvme, NvmeDevice};
use crate::sync::lock;
use crate::tenant::{Tenant, Weights};
pub(super) use purge::out_of_use;
pub(crate) use read::Pin;

/// Failed reads and writes after which the device is taken out of use. One can be a bad
/// sector, whose slot is not used again; a device that fails this often fails more, and each failure costs a reader
/// the kernel's own retries, seconds long.
pub(super) const ERRORS_MAX: u32 = 8;

/// How long a device is waited for: for the answer to a read or a write, and for all that is left to do when it is closed. Far
/// longer than any read that was measured (0.7 s, among many), and shorter than the kernel's own patience, which for some devices
/// has no end (`ops/decisions/2026-11-30-what-a-device-may-do-to-a-node.md`).
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a node that starts waits for a device to be opened, another process's lock included. After that it does not answer, or a
/// large file takes long to be made, or the headers of very many blocks to be read: the node goes on without until it is open.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// Before a device that was taken out is tried again: three times as long as it was waited for.
const PAUSE: Duration = Duration::from_secs(30);

/// Between two such tries. A device that comes back and fails again costs its readers no more than a minute or two of each hour.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Between two looks whether a device that was taken out has given back what it was asked.
const LET_GO_PAUSE: Duration = Duration::from_millis(100);

/// How long devices are waited for, and what tests put before them.
#[derive(Clone)]
pub(crate) struct Handling {
    /// With a read, and with all that is left to do when it is closed.
    pub(crate) patience: Duration,
    pub(crate) write_patience: Duration,
    /// With the opening of a device when the node starts.
    pub(crate) start_patience: Duration,
    /// Before a device that was taken out is tried again for the first time.
    pub(crate) pause: Duration,
    /// Between two such tries at the most.
    pub(crate) pause_max: Duration,
    #[cfg(test)]
    pub(crate) before: Option<Before>,
}

/// Puts something before a device's engine.
#[cfg(test)]
pub(crate) type Before = Arc<dyn Fn(Box<dyn Engine>) -> Box<dyn Engine> + Send + Sync>;

impl Default for Handling {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            write_patience: PATIENCE,
            start_patience: START_PATIENCE,
            pause: PAUSE,
            pause_max: PAUSE_MAX,
            #[cfg(test)]
            before: None,
        }
    }
}

impl Handling {
    #[cfg(test)]
    fn engine(&self, engine: Box<dyn Engine>) -> Box<dyn Engine> {
        match &self.before {
            Some(before) => before(engine),
            None => engine,
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests put something before it")]
    fn engine(&self, engine: Box<dyn Engine>) -> Box<dyn Engine> {
        engine
    }
}

/// When a device is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Occasion {
    /// The node starts.
    Start,
    /// Another process held it when the node started.
    Late,
    /// It was out.
    Again,
}

/// What devices are opened with.
pub(crate) struct Opening {
    pub(crate) handling: Handling,
    pub(crate) withheld: Arc<Withheld>,
    pub(crate) settings: Nvme,
    pub(crate) block_bytes: u64,
    pub(crate) weights: Arc<Weights>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Blocks on one device. Clones are the same device.
#[derive(Clone)]
pub(crate) struct Device(Arc<Inner>);

struct Inner {
    geometry: Geometry,
    slab_id: u64,
    engine: Box<dyn Engine>,
    state: Mutex<State>,
    /// A queued block was written, or given up.
    settled: Notify,
    queue_bytes_max: usize,
    patience: Duration,
    write_patience: Duration,
    withheld: Arc<Withheld>,
    /// Reads that came back, whatever with.
    answers_count: AtomicU64,
    errors: AtomicU32,
    in_use: AtomicBool,
    kept: Arc<Kept>,
    metrics: Arc<Metrics>,
    /// Where reads are waited for whose readers went away.
    runtime: Handle,
}

struct State {
    index: Index,
    queue: HashMap<BlockKey, Queued>,
    queue_bytes: usize,
    generation_next: u64,
    /// Writes that came back, whatever with.
    writes_answered_count: u64,
    /// When the last one was; that of the opening before any.
    write_answered_at: Instant,
    /// A task looks for writes that do not.
    are_writes_watched: bool,
    /// Purges that are at the device's headers.
    blankings_count: usize,
    closing: bool,
    /// What the count of blocks was last said to be.
    blocks_told: usize,
}

/// A block that waits to be written.
struct Queued {
    block: Block,
    /// Which write it is: later ones have greater numbers.
    generation: u64,
    /// Where it goes,
    slot: u32,
    /// and whose header lies there until then.
    over: Option<BlockKey>,
    offered: Instant,
    /// How many writes had been answered then.
    answered_before: u64,
    /// The device was waited for long enough, and that has counted.
    is_late: bool,
}

impl Device {
    /// Opens `device`.
    pub(crate) async fn open(
        opening: &Arc<Opening>,
        device: &NvmeDevice,
        occasion: Occasion,
    ) -> Result<Self, OpenError> {
        Self::begin_to_open(opening, device, occasion).await.expect("opening a slab does not panic")
    }

    /// Opens `device` for a node that starts. What is still to come of one that takes too long is the error.
    pub(crate) async fn open_in_time(
        opening: &Arc<Opening>,
        device: &NvmeDevice,
    ) -> Result<Result<Self, OpenError>, JoinHandle<Result<Self, OpenError>>> {
        let mut opened = Self::begin_to_open(opening, device, Occasion::Start);
        match timeout(opening.handling.start_patience, &mut opened).await {
            Ok(opened) => Ok(opened.expect("opening a slab does not panic")),
            Err(_) => Err(opened),
        }
    }

    fn begin_to_open(
        opening: &Arc<Opening>,
        device: &NvmeDevice,
        occasion: Occasion,
    ) -> JoinHandle<Result<Self, OpenError>> {
        let (opening, device) = (opening.clone(), device.clone());
        tokio::task::spawn_blocking(move || Self::open_blocking(&opening, &device, occasion))
    }

    fn open_blocking(opening: &Opening, device: &NvmeDevice, occasion: Occasion) -> Result<Self, OpenError> {
        let (file, found) = open::open(opening, device, occasion)?;
        let failed = |cause| OpenError::Io { path: device.path.clone(), doing: "start", cause };
        let file = SlabFile::new(&device.path, file).map_err(failed)?;
        // The device itself answers, and is the one that was just looked at through the page cache: it is opened twice.
        let sector = file.read_first_sector().map_err(failed)?;
        if Superblock::decode(&sector).map(|superblock| superblock.slab_id) != Ok(found.slab_id) {
            // Another device has come into its place, or it answers with something else than the page cache has of it.
            return Err(failed(Errno::STALE.into()));
        }
        let engine = engine::start(opening.settings.engine, Arc::new(file)).map_err(failed)?;
        Ok(Self::start(opening, found, engine))
    }

    fn start(opening: &Opening, opened: Opened, engine: Box<dyn Engine>) -> Self {
        let Opening { settings, kept, metrics, handling, withheld, .. } = opening;
        let engine = handling.engine(engine);
        metrics.nvme_device_in();
        metrics.nvme_slots_came(opened.geometry.slots_count);
        metrics.nvme_blocks_came(opened.index.blocks_count());
        Self(Arc::new(Inner {
            geometry: opened.geometry,
            slab_id: opened.slab_id,
            engine,
            state: Mutex::new(State {
                blocks_told: opened.index.blocks_count(),
                index: opened.index,
                queue: HashMap::new(),
                queue_bytes: 0,
                generation_next: opened.generation_next,
                writes_answered_count: 0,
                write_answered_at: Instant::now(),
                are_writes_watched: false,
                blankings_count: 0,
                closing: false,
            }),
            settled: Notify::new(),
            queue_bytes_max: layout::to_len(settings.write_queue_bytes) / settings.devices.len().max(1),
            patience: handling.patience,
            write_patience: handling.write_patience,
            withheld: withheld.clone(),
            answers_count: AtomicU64::new(0),
            errors: AtomicU32::new(0),
            in_use: AtomicBool::new(true),
            kept: kept.clone(),
            metrics: metrics.clone(),
            runtime: Handle::current(),
        }))
    }

    /// Whether blocks are kept and found: false once the device was taken out, or closed.
    pub(crate) fn in_use(&self) -> bool {
        self.0.in_use.load(Ordering::Acquire)
    }

    /// Random, the same for as long as the slab is not reset.
    pub(crate) fn slab_id(&self) -> u64 {
        self.0.slab_id
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.0.geometry.slots_count) * self.0.geometry.block_bytes
    }

    /// Whether there is any block.
    pub(crate) fn has_blocks(&self) -> bool {
        lock(&self.0.state).index.blocks_count() > 0
    }

    /// Whether the block is here, without counting as a use.
    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        let state = lock(&self.0.state);
        self.in_use() && (state.index.contains(key) || state.queue.contains_key(key))
    }

    /// Finds the block, which counts as used.
    pub(crate) fn find(self, key: &BlockKey) -> Option<Found> {
        let mut state = lock(&self.0.state);
        if !self.in_use() {
            return None;
        }
        if let Some(queued) = state.queue.get(key) {
            return Some(Found::Queued(queued.block.clone()));
        }
        let pinned = state.index.pin(key)?;
        drop(state);
        let (slot, touched_ago) = (pinned.slot, pinned.touched_ago);
        Some(Found::Stored(Pin { device: self, key: *key, slot, touched_ago }))
    }

    /// Offers a block of `tenant`'s, whose pages have these checksums, to be written in the background.
    pub(crate) fn offer(
        &self,
        key: BlockKey,
        block: &Block,
        sums: Vec<u32>,
        tenant: Tenant,
        keep: Keep,
    ) -> Offered {
        let write = {
            let mut state = lock(&self.0.state);
            if state.closing || !self.in_use() {
                return Offered::Refused(NotKept::DeviceOut);
            }
            if state.index.contains(&key) || state.queue.contains_key(&key) {
                return Offered::Kept;
            }
            // Asked of a block for which there is no room now as well: it is remembered for the next time.
            if keep == Keep::IfWorthIt && !state.index.is_worth_writing(&key, tenant) {
                return Offered::Refused(NotKept::Spared);
            }
            if state.queue_bytes + block.footprint() > self.0.queue_bytes_max {
                return Offered::Refused(NotKept::QueueFull);
            }
            let kept = self.0.kept.now();
            let chosen = state.index.choose(|key| !kept.holds(&key.instance));
            drop(kept);
            let Some(chosen) = chosen else { return Offered::Refused(NotKept::NoSlot) };
            if chosen.evicted {
                self.0.metrics.nvme_evicted();
            }
            let generation = state.generation_next;
            state.generation_next += 1;
            state.queue_bytes += block.footprint();
            let queued = Queued {
                block: block.clone(),
                generation,
                slot: chosen.slot,
                over: state.index.header_in(chosen.slot),
                offered: Instant::now(),
                answered_before: state.writes_answered_count,
                is_late: false,
            };
            state.queue.insert(key, queued);
            self.watch_writes(&mut state);
            let header = Header { key, generation, block_len: len32(block.len()), tenant, sums };
            self.write(chosen.slot, block, header)
        };
        self.0.engine.write(write);
        Offered::Kept
    }

    /// Waits until a block of `bytes` would find room in the queue.
    pub(crate) async fn room(&self, bytes: usize) {
        self.settled(|state| state.queue_bytes + bytes <= self.0.queue_bytes_max).await;
    }

    /// Writes what is queued, makes it durable, and lets go of the file; of a device that does not answer, once it was waited
    /// for long enough, without. Nothing is found from now on.
    pub(crate) async fn close(&self) {
        lock(&self.0.state).closing = true;
        let stopping = async {
            self.settled(|state| state.queue.is_empty()).await;
            // Also at a device that is out of use: its lock is not given up while it is written to.
            self.changed(|state| state.blankings_count == 0).await;
            self.end_use();
            let device = self.clone();
            tokio::task::spawn_blocking(move || device.0.engine.stop()).await
        };
        match timeout(self.0.patience, stopping).await {
            Ok(Ok(Err(error))) => error!(%error, "close slab"),
            Ok(_) => {}
            Err(_) => {
                error!("NVMe device does not answer: closed without what it has not written");
                self.end_use();
            }
        }
    }

    /// Waits until the device is not in use any more.
    pub(crate) async fn goes_out(&self) {
        self.changed(|_| !self.in_use()).await;
    }

    /// Waits until nobody has anything of the device any more, nor the device of anybody, and lets go of it. That is never, if it
    /// never answers.
    pub(crate) async fn let_go(self) -> io::Result<()> {
        let mut inner = self.0;
        let inner = loop {
            match Arc::try_unwrap(inner) {
                Ok(inner) => break inner,
                Err(held) => inner = held,
            }
            sleep(LET_GO_PAUSE).await;
        };
        tokio::task::spawn_blocking(move || inner.engine.stop()).await.expect("an engine stops without panic")
    }

    fn end_use(&self) {
        if self.0.in_use.swap(false, Ordering::AcqRel) {
            self.gone();
        }
    }

    async fn settled_in_time(&self, holds: impl Fn(&State) -> bool) -> io::Result<()> {
        timeout(self.0.patience, self.settled(holds)).await.map_err(|_| io::ErrorKind::TimedOut.into())
    }

    /// Waits until it holds, or the device goes out of use.
    async fn settled(&self, holds: impl Fn(&State) -> bool) {
        self.changed(|state| !self.in_use() || holds(state)).await;
    }

    async fn changed(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if holds(&lock(&self.0.state)) {
                return;
            }
            settled.await;
        }
    }

    fn write(&self, slot: u32, block: &Block, header: Header) -> SlotWrite {
        let geometry = &self.0.geometry;
        let device = self.clone();
        let (key, tenant) = (header.key, header.tenant);
        let (bytes, footprint, started) = (block.len(), block.footprint(), Instant::now());
        SlotWrite {
            header_offset: geometry.header_offset(slot),
            header: header.encode(self.0.slab_id, slot, geometry.header_bytes()),
            data_offset: geometry.data_offset(slot),
            data: block.sectors(),
            done: Box::new(move |outcome| {
                let stored = outcome.is_ok();
                if stored {
                    device.0.metrics.nvme_written(bytes, started.elapsed());
                }
                let was_late = device.settle(key, slot, footprint, stored.then_some(tenant));
                if let Err(error) = outcome {
                    device.0.metrics.not_kept(NotKept::DeviceError);
                    if !was_late {
                        device.device_failed("write", slot, &error);
                    }
                }
            }),
        }
    }

    /// A queued block is on disk, for a tenant, or never will be. True if it was late.
    fn settle(&self, key: BlockKey, slot: u32, footprint: usize, stored: Option<Tenant>) -> bool {
        let queued = {
            let mut state = lock(&self.0.state);
            state.writes_answered_count += 1;
            state.write_answered_at = Instant::now();
            state.queue_bytes -= footprint;
            match stored {
                Some(tenant) => state.index.stored(slot, key, tenant),
                None => state.index.not_stored(slot),
            }
            self.count_blocks(&mut state);
            state.queue.remove(&key)
        };
        let was_late = queued.is_some_and(|queued| queued.is_late);
        if was_late {
            self.0.withheld.sub(footprint);
        }
        self.0.settled.notify_waiters();
        was_late
    }

    fn device_failed(&self, doing: &'static str, slot: u32, cause: &io::Error) {
        if !self.in_use() {
            return; // closed, or out already
        }
        self.0.metrics.device_error();
        let errors = self.0.errors.fetch_add(1, Ordering::AcqRel) + 1;
        warn!(doing, slot, errors, error = %cause, "NVMe device error");
        if errors >= ERRORS_MAX {
            self.take_out();
        }
    }

    fn take_out(&self) {
        if self.0.in_use.swap(false, Ordering::AcqRel) {
            let errors = self.0.errors.load(Ordering::Acquire);
            error!(errors, "NVMe device taken out of use: its blocks are fetched again");
            self.gone();
            self.0.metrics.nvme_device_out();
        }
    }

    /// The device has not answered this in time, but others.
    fn is_slow(&self, doing: &'static str, slot: u32) {
        if self.in_use() {
            self.0.metrics.device_error();
            warn!(doing, slot, "NVMe device has not answered in time");
        }
    }

    /// Nothing is found here any more.
    fn gone(&self) {
        self.0.metrics.nvme_device_gone();
        self.0.metrics.nvme_slots_went(self.0.geometry.slots_count);
        self.count_blocks(&mut lock(&self.0.state));
        self.0.settled.notify_waiters();
    }

    /// Tells how many blocks there are, if that is another number than before.
    fn count_blocks(&self, state: &mut State) {
        let now = if self.in_use() { state.index.blocks_count() } else { 0 };
        let told = std::mem::replace(&mut state.blocks_told, now);
        self.0.metrics.nvme_blocks_came(now);
        self.0.metrics.nvme_blocks_went(told);
    }
}

fn len32(len: usize) -> u32 {
    u32::try_from(len).expect("a block is at most 16 MiB")
}
