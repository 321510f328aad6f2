//! The cache: opened once a node, shared by all its reads.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus::Registry;
use tokio::runtime::Handle;
use tracing::warn;

use crate::budget::Budget;
use crate::buffer::Pool;
use crate::error::{Busy, Limit, OpenError, PinError, PurgeError, ReadError};
use crate::flight::Flights;
use crate::instance::Instance;
use crate::layout::{self, BlockKey, Layout};
use crate::lend::Lending;
use crate::memory::MemoryTier;
use crate::metrics::Metrics;
use crate::object::Object;
use crate::prestage::{self, Prestaged, Prestages};
use crate::pull::Patience;
use crate::reader::{Mode, Reader};
use crate::settings::Settings;
use crate::slab::{DeviceState, Handling, Slab, Withheld};
use crate::source::Source;
use crate::tenant::{Tenant, Weights};
use crate::walk::Walks;

/// Blocks that are looked for in one go while others wait: a few milliseconds of work.
const LOOKS_AT_ONCE: u32 = 16 * 1024;

/// A node's block cache. Clones are the same cache.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

/// Blocks that a purge dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purged {
    /// From memory.
    pub memory_blocks: u64,
    /// From NVMe.
    pub nvme_blocks: u64,
}

/// What readers, fills and loads share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) memory: MemoryTier,
    pub(crate) slab: Option<Slab>,
    pub(crate) pool: Pool,
    pub(crate) lending: Lending,
    pub(crate) flights: Flights,
    pub(crate) budget: Budget,
    pub(crate) pull_patience: Patience,
    pub(crate) prestages: Prestages,
    pub(crate) walks: Walks,
    pub(crate) metrics: Arc<Metrics>,
    /// Where fills run, whichever runtime their readers are polled on.
    pub(crate) runtime: Handle,
    closed: AtomicBool,
}

impl Cache {
    /// Opens the cache, and with it the NVMe tier; fills run on the tokio runtime that this is called from.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(settings: Settings, registry: &Registry) -> Result<Self, OpenError> {
        Self::open_handling(settings, registry, Handling::default()).await
    }

    /// The same, with devices handled so.
    pub(crate) async fn open_handling(
        settings: Settings,
        registry: &Registry,
        handling: Handling,
    ) -> Result<Self, OpenError> {
        let faults = settings.check();
        if !faults.is_empty() {
            return Err(OpenError::Settings(faults));
        }
        let metrics = Arc::new(Metrics::new(registry)?);
        let weights = Arc::new(Weights::new(&settings.tenant_weights));
        let slab = match &settings.nvme {
            Some(nvme) => Some(Slab::open(nvme, settings.block_bytes, &weights, &metrics, handling).await?),
            None => None,
        };
        let capacity = settings.memory_bytes.saturating_add(settings.working_bytes);
        let pool = Pool::new(layout::to_len(capacity), layout::to_len(settings.working_bytes / 4 * 3));
        let shared = Arc::new(Shared {
            memory: MemoryTier::new(settings.memory_bytes, settings.block_bytes),
            slab,
            lending: Lending::new(settings.working_bytes / 2, pool.clone()),
            pool,
            flights: Flights::new(),
            budget: Budget::new(&settings, weights),
            pull_patience: Patience { silence_max: settings.origin_silence_max, busy_max: settings.wait_max },
            prestages: Prestages::default(),
            walks: Walks::default(),
            metrics,
            runtime: Handle::current(),
            closed: AtomicBool::new(false),
            settings,
        });
        shared.metrics.watch(registry, &shared)?;
        if let Some(slab) = &shared.slab {
            let making_up = make_up_for_devices(Arc::downgrade(&shared), Arc::downgrade(slab.withheld()));
            shared.runtime.spawn(making_up);
        }
        if shared.settings.preallocate_memory
            && let Err(error) = shared.pool.preallocate(layout::to_len(shared.settings.block_bytes))
        {
            warn!(%error, "memory is not preallocated");
        }
        Ok(Self(shared))
    }

    /// Writes what waits to be written and lets go of the slab. Fills and pre-stages end with the block they are at;
    /// reads go on without the NVMe tier. What is pinned stays so.
    pub async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        if let Some(slab) = &self.0.slab {
            slab.close().await;
        }
    }

    /// Reads the bytes `range` of `instance`, which has `object_bytes` bytes in all; what lies past the end is cut off. What
    /// has to be filled for it counts towards the share of `tenant`.
    /// An object of 2³² blocks or more is refused (256 TiB in the smallest blocks).
    /// Nothing happens before the first [`Reader::next`].
    #[must_use]
    pub fn read(
        &self,
        tenant: Tenant,
        instance: Instance,
        object_bytes: u64,
        range: Range<u64>,
        mode: Mode,
        source: Arc<dyn Source>,
    ) -> Reader {
        match Layout::new(object_bytes, self.0.settings.block_bytes) {
            Some(layout) => {
                Reader::new(self.0.clone(), Object { instance, layout, source, tenant }, range, mode)
            }
            None => {
                let object = Object { instance, layout: Layout::empty(), source, tenant };
                Reader::refused(
                    self.0.clone(),
                    object,
                    ReadError::Broken(Arc::from(Box::from("the object has too many blocks"))),
                )
            }
        }
    }

    /// Starts to fill the whole of `instance` in the background, on behalf of `tenant`.
    ///
    /// # Errors
    /// [`Busy`] when as many pre-stages run as may.
    pub fn prestage(
        &self,
        tenant: Tenant,
        instance: Instance,
        object_bytes: u64,
        source: Arc<dyn Source>,
    ) -> Result<Prestaged, Busy> {
        match Layout::new(object_bytes, self.0.settings.block_bytes) {
            Some(layout) => prestage::start(&self.0, Object { instance, layout, source, tenant }),
            None => Ok(Prestaged::TooLarge),
        }
    }

    /// Bytes in one block, as set.
    #[must_use]
    pub fn block_bytes(&self) -> u64 {
        self.0.settings.block_bytes
    }

    /// How each device of the NVMe tier stands, in the order in which they are set.
    #[must_use]
    pub fn devices(&self) -> Vec<(PathBuf, DeviceState)> {
        self.0.slab.as_ref().map(Slab::devices).unwrap_or_default()
    }

    /// Whether there is anything on NVMe.
    #[must_use]
    pub fn has_blocks(&self) -> bool {
        self.0.slab.as_ref().is_some_and(Slab::has_blocks)
    }

    /// Whether `instance` is being pre-staged.
    #[must_use]
    pub fn is_prestaging(&self, instance: &Instance) -> bool {
        self.0.prestages.are_running(instance)
    }

    /// How much of an object is where a pre-stage brings it: on NVMe, or in memory where no NVMe is in use. Costs a look a block.
    pub async fn staged_bytes(&self, instance: Instance, object_bytes: u64) -> u64 {
        let Some(layout) = Layout::new(object_bytes, self.0.settings.block_bytes) else { return 0 };
        let mut bytes = 0;
        for first in (0..layout.blocks_count()).step_by(LOOKS_AT_ONCE as usize) {
            let looked_at = first..layout.blocks_count().min(first.saturating_add(LOOKS_AT_ONCE));
            let staged = looked_at.filter(|index| self.0.has_staged(&BlockKey { instance, index: *index }));
            bytes += staged.map(|index| layout.block_len(index) as u64).sum::<u64>();
            tokio::task::yield_now().await;
        }
        bytes
    }

    /// Pins an object to NVMe: for as long as `lasting` says, in whole seconds, none of its blocks is given up for others,
    /// whether they are there by now or come later. Nothing is fetched. A pin replaces the one before; zero ends it.
    /// Once this has returned, pins outlive the process where the settings name a file for them.
    ///
    /// # Errors
    /// When the objects pinned would have more bytes together than half of the NVMe tier has, or would be too many, or
    /// their file cannot be written; after [`Cache::close`].
    pub async fn pin(
        &self,
        instance: Instance,
        object_bytes: u64,
        lasting: Duration,
    ) -> Result<(), PinError> {
        let slab = self.0.slab.as_ref().ok_or(Busy(Limit::Pins))?;
        slab.keep(instance, object_bytes, lasting).await
    }
}

impl Cache {
    /// Drops whatever there is of these instances, which have so many bytes, from both tiers, and ends their pins. What readers
    /// are at while this runs may be brought again by them. On disk the blocks are unreachable from then on, after a
    /// restart too; their bytes are overwritten when their slots are used again.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn purge(&self, objects: &[(Instance, u64)]) -> Result<Purged, PurgeError> {
        let instances: Arc<HashSet<Instance>> =
            Arc::new(objects.iter().map(|(instance, _)| *instance).collect());
        let nvme_blocks = self.purge_nvme(move |instance| instances.contains(instance)).await;
        let mut memory_blocks = 0;
        for (instance, object_bytes) in objects {
            let layout = Layout::new(*object_bytes, self.0.settings.block_bytes);
            let indexes = 0..layout.map_or(0, |layout| layout.blocks_count());
            let keys = indexes.map(|index| BlockKey { instance: *instance, index });
            memory_blocks += self.0.memory.remove(keys);
            tokio::task::yield_now().await;
        }
        Ok(Purged { memory_blocks, nvme_blocks: nvme_blocks? })
    }

    /// Drops everything from both tiers, and ends all pins; otherwise as [`Cache::purge`].
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn purge_all(&self) -> Result<Purged, PurgeError> {
        let nvme_blocks = self.purge_nvme(|_| true).await;
        let memory_blocks = self.0.memory.clear();
        Ok(Purged { memory_blocks, nvme_blocks: nvme_blocks? })
    }

    async fn purge_nvme(
        &self,
        goes: impl Fn(&Instance) -> bool + Clone + Send + Sync + 'static,
    ) -> Result<u64, PurgeError> {
        match &self.0.slab {
            Some(slab) => slab.purge(goes).await,
            None => Ok(0),
        }
    }
}

/// Makes the memory tier smaller by what devices keep that do not answer, and larger again, for as long as the cache is there:
/// then there are as many buffers for everything else as are set, within the same memory.
async fn make_up_for_devices(shared: Weak<Shared>, withheld: Weak<Withheld>) {
    let Some(news) = withheld.upgrade().map(|withheld| withheld.changed()) else { return };
    let mut left = 0;
    loop {
        let changed = news.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (Some(shared), Some(withheld)) = (shared.upgrade(), withheld.upgrade()) else { return };
        let bytes = withheld.bytes();
        drop(withheld);
        if bytes != left {
            left = bytes;
            // It waits for threads of its own.
            let leaving = tokio::task::spawn_blocking(move || shared.memory.leave(bytes));
            leaving.await.expect("resizing the memory tier does not panic");
            continue;
        }
        drop(shared);
        changed.await;
    }
}

impl Shared {
    /// Whether a block is in a tier.
    pub(crate) fn has(&self, key: &BlockKey) -> bool {
        self.memory.contains(key) || self.slab.as_ref().is_some_and(|slab| slab.contains(key))
    }

    /// Whether a block is where it lasts: on NVMe, or in memory where there is nothing else.
    pub(crate) fn has_staged(&self, key: &BlockKey) -> bool {
        match self.slab.as_ref().filter(|slab| slab.in_use()) {
            Some(slab) => slab.contains(key),
            None => self.memory.contains(key),
        }
    }

    /// Whether there is a tier to keep anything in.
    pub(crate) fn keeps(&self) -> bool {
        self.memory.keeps() || self.slab.as_ref().is_some_and(Slab::in_use)
    }

    /// The most that a tier can hold.
    pub(crate) fn bytes_max(&self) -> u64 {
        let memory = if self.memory.keeps() { self.settings.memory_bytes } else { 0 };
        let nvme = self.slab.as_ref().filter(|slab| slab.in_use()).map_or(0, Slab::bytes);
        memory.max(nvme)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
