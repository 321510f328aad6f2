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
//! [`eviction`]: super::eviction

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tracing::{error, warn};

use super::engine::{self, Engine, SlotRead, SlotWrite};
use super::file::SlabFile;
use super::header::Header;
use super::index::Index;
use super::kept::Kept;
use super::open::{self, Opened};
use super::superblock::{Geometry, Superblock};
use super::withheld::Withheld;
use super::{Found, Keep, Offered};
use crate::block::{Block, SECTOR_BYTES};
use crate::buffer::Buffer;
use crate::error::OpenError;
use crate::layout::{self, BlockKey};
use crate::metrics::{Metrics, NotKept};
use crate::page;
use crate::settings::{Nvme, NvmeDevice};
use crate::source::PAGE_BYTES;
use crate::sync::lock;
use crate::tenant::{Tenant, Weights};

/// Failed reads and writes after which the device is taken out of use. One can be a bad
/// sector, whose slot is not used again; a device that fails this often fails more, and each failure costs a reader
/// the kernel's own retries, seconds long.
pub(super) const ERRORS_MAX: u32 = 8;

/// How long a device is waited for: for the answer to a read or a write, and for all that is left to do when it is closed. Far
/// longer than any read that was measured (0.7 s, among many), and shorter than the kernel's own patience, which for some devices
/// has no end (`ops/decisions/2026-11-30-what-a-device-may-do-to-a-node.md`).
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a node that starts waits for a device to be opened, another process's lock included. It does not answer then, or a large
/// file takes long to be made: the node goes on without, until it is.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// Before a device that was taken out is tried again: three times as long as it was waited for.
const PAUSE: Duration = Duration::from_secs(30);

/// Between two such tries. A device that comes back and fails again costs its readers no more than a minute or two of each hour.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Between two looks whether a device that was taken out has given back what it was asked.
const LET_GO_PAUSE: Duration = Duration::from_millis(100);

/// Slots that are purged while readers wait: about a tenth of a millisecond of work.
const PURGED_AT_ONCE: u32 = 1024;

/// Slots whose headers are made unreadable, and that durable, in one go.
const BLANKED_AT_ONCE: u32 = 16_384;

/// Between two looks whether what was purged is still read: about what a read takes.
const PINNED_PAUSE: Duration = Duration::from_millis(1);

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

/// A block on disk that cannot go away while this is held.
pub(crate) struct Pin {
    device: Device,
    key: BlockKey,
    slot: u32,
    /// How many reads of the device's other blocks there were since this one's last, if it was read before.
    pub(crate) touched_ago: Option<u32>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        lock(&self.device.0.state).index.unpin(self.slot);
    }
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
            return Err(failed(io::Error::other("another device has come into its place")));
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

    /// Drops the blocks that `goes` names, also from what a restart would find, and returns how many there were. What of them
    /// waits to be written is waited for, as far as it waits by now; what is read of them meanwhile is read to its end.
    ///
    /// # Errors
    /// Where the device did not take it in time, or is not in use. What was stored is not found any more all the same, until a
    /// restart.
    pub(crate) async fn purge(&self, goes: &(impl Fn(&BlockKey) -> bool + Sync)) -> io::Result<u64> {
        let mut purged_count = self.purge_slots(goes).await?;
        let is_under_way = |state: &State, before: u64| {
            state.queue.iter().any(|(key, queued)| {
                queued.generation < before && (goes(key) || queued.over.as_ref().is_some_and(goes))
            })
        };
        let (now, waits) = {
            let state = lock(&self.0.state);
            (state.generation_next, is_under_way(&state, state.generation_next))
        };
        if waits {
            self.settled_in_time(|state| !is_under_way(state, now)).await?;
            // They are stored by now; or failed, and may have left what was there.
            purged_count += self.purge_slots(goes).await?;
        }
        // What was written over until now is to be gone for good as well.
        self.clone().blank(Vec::new()).await?;
        Ok(purged_count)
    }

    async fn purge_slots(&self, goes: &(impl Fn(&BlockKey) -> bool + Sync)) -> io::Result<u64> {
        let slots_count = self.0.geometry.slots_count;
        let mut purged_count = 0;
        for start in (0..slots_count).step_by(BLANKED_AT_ONCE as usize) {
            let end = slots_count.min(start.saturating_add(BLANKED_AT_ONCE));
            let mut purged = Vec::new();
            for start in (start..end).step_by(PURGED_AT_ONCE as usize) {
                purged_count +=
                    self.purge_some(start..end.min(start.saturating_add(PURGED_AT_ONCE)), goes, &mut purged);
                // Whoever waits for the lock has its turn. Not by an await: a caller that goes away here would leave them so.
                std::thread::yield_now();
            }
            if !purged.is_empty() {
                self.clone().blank(purged).await?;
            }
        }
        Ok(purged_count)
    }

    /// Purges what there is in `slots`, adds those of which a header is left to `purged`, and returns how many blocks there were.
    fn purge_some(&self, slots: Range<u32>, goes: impl Fn(&BlockKey) -> bool, purged: &mut Vec<u32>) -> u64 {
        let mut state = lock(&self.0.state);
        let before = state.index.blocks_count();
        purged.extend(state.index.purge(slots, goes));
        self.count_blocks(&mut state);
        (before - state.index.blocks_count()) as u64
    }

    /// Makes the headers of purged slots unreadable, once nobody reads them or was waited for long enough, and durable what was
    /// written to headers before. It goes on where its caller goes away, or has waited for the device for long enough; who
    /// closes the device waits for it.
    async fn blank(self, slots: Vec<u32>) -> io::Result<()> {
        {
            let mut state = lock(&self.0.state);
            if state.closing || !self.in_use() {
                return Err(out_of_use());
            }
            state.blankings_count += 1;
        }
        let (device, first) = (self.clone(), slots.first().copied().unwrap_or_default());
        let blanking = async move {
            let begun = Instant::now();
            while begun.elapsed() < self.0.patience
                && slots.iter().any(|slot| lock(&self.0.state).index.is_pinned(*slot))
            {
                sleep(PINNED_PAUSE).await;
            }
            let device = self.clone();
            let blanked = tokio::task::spawn_blocking(move || {
                let geometry = &device.0.geometry;
                let offsets: Vec<u64> = slots.iter().map(|slot| geometry.header_offset(*slot)).collect();
                let outcome = device.0.engine.blank(&offsets, geometry.header_bytes());
                for slots in slots.chunks(PURGED_AT_ONCE as usize) {
                    let mut state = lock(&device.0.state);
                    slots.iter().for_each(|slot| state.index.blanked(*slot, outcome.is_ok()));
                }
                outcome.map_err(|error| (slots.first().copied().unwrap_or_default(), error))
            });
            let blanked = blanked.await.expect("blanking headers does not panic");
            if let Err((slot, error)) = &blanked {
                self.device_failed("blank", *slot, error);
            }
            lock(&self.0.state).blankings_count -= 1;
            self.0.settled.notify_waiters();
            blanked.map_err(|(_, error)| error)
        };
        // Readers and the device have the same patience each.
        match timeout(2 * device.0.patience, tokio::spawn(blanking)).await {
            Ok(blanked) => blanked.expect("blanking headers does not panic"),
            Err(_) => {
                device.is_slow("blank", first);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
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

    /// Sees to it that writes that are not answered in time are told of, if nobody does by now.
    fn watch_writes(&self, state: &mut State) {
        if std::mem::replace(&mut state.are_writes_watched, true) {
            return;
        }
        // A device that is let go of is not held by this until it next looks.
        let (device, patience) = (Arc::downgrade(&self.0), self.0.write_patience);
        self.0.runtime.spawn(async move {
            let mut next = Instant::now() + patience;
            loop {
                sleep_until(next.into()).await;
                let Some(device) = device.upgrade().map(Self) else { return };
                match device.tell_of_late_writes() {
                    Some(later) => next = later,
                    None => return,
                }
            }
        });
    }

    /// Counts the writes that were waited for long enough, each once, as reads are: the device is slow if it answered another
    /// one meanwhile. Returns when the next one will have been, if there is one.
    ///
    /// A device that has no room for another write, and answered none for so long, takes no more: of large blocks it has
    /// fewer than it may have errors.
    fn tell_of_late_writes(&self) -> Option<Instant> {
        let mut late = Vec::new();
        let (next, takes_none) = {
            let mut state = lock(&self.0.state);
            let now = Instant::now();
            let answered_count = state.writes_answered_count;
            for queued in state.queue.values_mut().filter(|queued| !queued.is_late) {
                if now.duration_since(queued.offered) >= self.0.write_patience {
                    queued.is_late = true;
                    self.0.withheld.add(queued.block.footprint());
                    late.push((queued.slot, queued.answered_before == answered_count));
                }
            }
            let waiting = state.queue.values().filter(|queued| !queued.is_late);
            let next_late = waiting.map(|queued| queued.offered + self.0.write_patience).min();
            let is_full =
                state.queue_bytes + layout::to_len(self.0.geometry.block_bytes) > self.0.queue_bytes_max;
            let is_stuck = is_full && next_late.is_none();
            let silent_from = state.write_answered_at + self.0.write_patience;
            let next = if is_stuck && now < silent_from { Some(silent_from) } else { next_late };
            state.are_writes_watched = next.is_some();
            (next, is_stuck && now >= silent_from)
        };
        for (slot, is_silent) in late {
            match is_silent {
                true => self.device_failed("write", slot, &io::ErrorKind::TimedOut.into()),
                false => self.is_slow("write", slot),
            }
        }
        if takes_none {
            self.take_out();
        }
        next
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

    /// A read has no answer in time, when there had been `answers_before` at its start. Its block is forgotten, so that nobody
    /// waits for it again; its slot stays pinned for as long as the device has the read.
    ///
    /// Where others were answered meanwhile the device is slow, or has lost this one: that alone does not take it out. If it
    /// loses more, they hold every place at the device in the end, and nobody is answered.
    fn is_late(&self, key: &BlockKey, slot: u32, answers_before: u64) {
        {
            let mut state = lock(&self.0.state);
            state.index.forget_block(key, slot);
            self.count_blocks(&mut state);
        }
        if self.0.answers_count.load(Ordering::Relaxed) == answers_before {
            self.device_failed("read", slot, &io::ErrorKind::TimedOut.into());
        } else {
            self.is_slow("read", slot);
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

impl Pin {
    /// Reads the pages `pages` (counted within the block, which is `block_len` bytes long) into the start of
    /// `buffer`, and verifies each. `None` when the block is not to be had after all, or not in time: it is a miss then.
    pub(crate) async fn read(self, block_len: usize, pages: Range<usize>, buffer: Buffer) -> Option<Buffer> {
        if !self.device.in_use() {
            return None; // since it was found: a silent device would keep this buffer too
        }
        let mut waiting = Waiting(Some(self.ask(block_len, pages, buffer)));
        let answer = waiting.0.as_mut().expect("until it was answered").answer().await;
        waiting.0 = None;
        // Sums are worked out where the bytes are wanted, not on the engine's thread; nobody's are not.
        let (pin, pages, (header, buffer)) = answer?;
        pin.is_good(&header, &buffer, block_len, pages).then_some(buffer)
    }

    /// Hands the read to the device. The pin goes with it: the slot is safe even if the reader goes away.
    fn ask(self, block_len: usize, pages: Range<usize>, buffer: Buffer) -> Asked {
        let (device, key, slot) = (self.device.clone(), self.key, self.slot);
        let inner = &device.0;
        let start = pages.start * PAGE_LEN;
        let end = (pages.end * PAGE_LEN).min(block_len);
        let data_bytes = (end - start).next_multiple_of(SECTOR_BYTES);
        let footprint = buffer.len();
        let (answer, answered) = oneshot::channel();
        let started = Instant::now();
        let answers_before = inner.answers_count.load(Ordering::Relaxed);
        inner.engine.read(SlotRead {
            header_offset: inner.geometry.header_offset(slot),
            header_bytes: inner.geometry.header_bytes(),
            data_offset: inner.geometry.data_offset(slot) + start as u64,
            data_bytes,
            buffer,
            done: Box::new(move |outcome| {
                let inner = &self.device.0;
                inner.answers_count.fetch_add(1, Ordering::Relaxed);
                if outcome.is_ok() {
                    inner.metrics.nvme_read(pages_len(&pages, block_len), started.elapsed());
                }
                // Who does not wait any more has counted it as late.
                if let Err(Answer { pin, outcome, .. }) = answer.send(Answer { pin: self, pages, outcome }) {
                    if outcome.is_err() {
                        pin.forget(true);
                    }
                    drop(outcome);
                    pin.device.0.withheld.sub(footprint);
                }
            }),
        });
        let until = (started + inner.patience).into();
        Asked { device, key, slot, footprint, answers_before, until, answered }
    }

    /// Verifies what was read. A block that proves bad is forgotten.
    fn is_good(&self, header: &[u8], buffer: &Buffer, block_len: usize, pages: Range<usize>) -> bool {
        let good = Header::decode(header, self.device.0.slab_id, self.slot)
            .filter(|header| header.key == self.key && header.block_len as usize == block_len)
            .is_some_and(|header| pages_match(buffer, &header.sums, block_len, pages));
        if !good {
            self.device.0.metrics.nvme_corrupt();
            warn!(slot = self.slot, "a block on NVMe failed its checksum: fetched again");
            self.forget(false);
        }
        good
    }

    fn forget(&self, device_failed: bool) {
        let mut state = lock(&self.device.0.state);
        state.index.forget(self.slot, device_failed);
        self.device.count_blocks(&mut state);
    }
}

/// A read that the device has.
struct Asked {
    device: Device,
    key: BlockKey,
    slot: u32,
    /// Of its buffer.
    footprint: usize,
    answers_before: u64,
    until: tokio::time::Instant,
    answered: oneshot::Receiver<Answer>,
}

/// What the device made of a read.
struct Answer {
    pin: Pin,
    pages: Range<usize>,
    outcome: io::Result<(Vec<u8>, Buffer)>,
}

impl Asked {
    /// What was read. `None` if that failed, or is late: which costs the block, and counts, once.
    async fn answer(&mut self) -> Option<(Pin, Range<usize>, (Vec<u8>, Buffer))> {
        let answer = match timeout_at(self.until, &mut self.answered).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                let withheld = &self.device.0.withheld;
                withheld.add(self.footprint);
                // It cannot come any more, and whoever brings it is told so; but it may just have come.
                self.answered.close();
                let answer = self.answered.try_recv().ok();
                if answer.is_some() {
                    withheld.sub(self.footprint);
                }
                answer
            }
        };
        let Some(Answer { pin, pages, outcome }) = answer else {
            self.device.is_late(&self.key, self.slot, self.answers_before);
            return None;
        };
        match outcome {
            Ok(read) => Some((pin, pages, read)),
            Err(error) => {
                pin.forget(true);
                self.device.device_failed("read", self.slot, &error);
                None
            }
        }
    }
}

/// A read that is waited for. Where its reader goes away the device is waited for all the same: a reader with less patience than
/// we have hides no device that fails or is silent.
struct Waiting(Option<Asked>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut asked) = self.0.take() {
            asked.device.0.runtime.clone().spawn(async move { drop(asked.answer().await) });
        }
    }
}

/// Why a device that is not in use is not purged.
pub(super) fn out_of_use() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "it is not in use now")
}

const PAGE_LEN: usize = PAGE_BYTES as usize;

/// The length of the pages `pages` of a block of `block_len` bytes.
fn pages_len(pages: &Range<usize>, block_len: usize) -> usize {
    (pages.end * PAGE_LEN).min(block_len) - pages.start * PAGE_LEN
}

fn pages_match(bytes: &[u8], sums: &[u32], block_len: usize, pages: Range<usize>) -> bool {
    let bytes = &bytes[..pages_len(&pages, block_len)];
    let Some(sums) = sums.get(pages) else { return false };
    bytes.chunks(PAGE_LEN).zip(sums).all(|(bytes, sum)| page::checksum(bytes) == *sum)
}

fn len32(len: usize) -> u32 {
    u32::try_from(len).expect("a block is at most 16 MiB")
}
