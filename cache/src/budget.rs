//! The limits on what may be read from origins at one time.
//!
//! Tenants share them ([`fair`]); and no origin may have all room for fills, so that one which falls silent leaves some
//! to the others.
//!
//! [`fair`]: crate::fair

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{Limit, ReadError};
use crate::fair::{Fair, Place, Urgency};
use crate::layout;
use crate::pace::Pace;
use crate::settings::Settings;
use crate::source::PAGE_BYTES;
use crate::sync::lock;
use crate::tenant::{Tenant, Weights};

/// Everything that is limited by number or bytes at a time.
pub(crate) struct Budget {
    /// A place a page.
    fill_bytes: Arc<Fair>,
    /// Of these, those that readers may hold after the fill: a quarter.
    outlasting_fill_bytes: Arc<Semaphore>,
    /// A place a block that is filled ahead of its reader, until the reader has passed it: what the tiers keep.
    ahead_blocks: Arc<Fair>,
    origins: Mutex<HashMap<String, Arc<Origin>>>,
    limits: Limits,
    weights: Arc<Weights>,
}

struct Limits {
    fill_pages_max: usize,
    fills_per_origin_max: usize,
    direct_reads_per_origin_max: usize,
    wait_max: Duration,
}

struct Origin {
    fills: Arc<Fair>,
    fill_bytes: Arc<Fair>,
    direct_reads: Arc<Fair>,
    pace: Arc<Pace>,
}

/// Room for the pages of a block, until it is dropped.
pub(crate) struct FillRoom {
    _of_origin: Place,
    _of_all: Place,
}

/// A share of the room that outlasts its fill, until it is dropped.
pub(crate) struct OutlastingRoom {
    _pages: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(settings: &Settings, weights: Arc<Weights>) -> Self {
        let fill_pages_max = layout::to_len(settings.fill_bytes_max / PAGE_BYTES);
        let nvme = settings.nvme.as_ref().map_or(0, |nvme| nvme.write_queue_bytes / 2);
        let ahead_blocks = layout::to_len((settings.memory_bytes / 4 + nvme) / settings.block_bytes);
        Self {
            fill_bytes: Fair::new(fill_pages_max, fill_pages_max / 2, weights.clone()),
            outlasting_fill_bytes: Arc::new(Semaphore::new(fill_pages_max / 4)),
            ahead_blocks: Fair::new(ahead_blocks, 0, weights.clone()),
            origins: Mutex::default(),
            limits: Limits {
                fill_pages_max,
                fills_per_origin_max: settings.fills_per_origin_max,
                direct_reads_per_origin_max: settings.direct_reads_per_origin_max,
                wait_max: settings.wait_max,
            },
            weights,
        }
    }

    /// Room for the pages of a block that is being filled from `origin`.
    pub(crate) async fn fill_pages(
        &self,
        origin: &str,
        tenant: Tenant,
        pages_count: usize,
        urgency: Urgency,
    ) -> Result<FillRoom, ReadError> {
        let of_origin = self.origin(origin).fill_bytes.clone();
        let room = async {
            let of_origin = of_origin.take(tenant, pages_count, urgency).await;
            FillRoom {
                _of_origin: of_origin,
                _of_all: self.fill_bytes.take(tenant, pages_count, urgency).await,
            }
        };
        self.wait(room, urgency, Limit::FillBytes).await
    }

    /// Leave for the pages of a block that found no tier to stay in the room of their fill, for those who wait.
    ///
    /// Pages that a slow reader holds are still in memory, so they still count: what is filled and what outlasts its
    /// fill never take more than `fill_bytes_max` together. But a reader may hold them for ever, and room that does not
    /// come back is lost to fills. So they get a quarter of it (a block at least, for there are four); three quarters
    /// always come back as soon as origins answer. Without leave the pages go and whoever waits looks again, where it
    /// holds no more than the page in its client's hands.
    pub(crate) fn outlast(&self, pages_count: usize) -> Option<OutlastingRoom> {
        let count = u32::try_from(pages_count).expect("a block has at most 256 pages");
        let pages = self.outlasting_fill_bytes.clone().try_acquire_many_owned(count).ok()?;
        Some(OutlastingRoom { _pages: pages })
    }

    /// Bytes of blocks in the middle of a fill, or held past it.
    pub(crate) fn fill_bytes_used(&self) -> u64 {
        self.fill_bytes.held_count() as u64 * PAGE_BYTES
    }

    /// A place among the fills of `origin`.
    pub(crate) async fn fill(
        &self,
        origin: &str,
        tenant: Tenant,
        urgency: Urgency,
    ) -> Result<Place, ReadError> {
        let fills = self.origin(origin).fills.clone();
        self.wait(fills.take(tenant, 1, urgency), urgency, Limit::Fills).await
    }

    /// A place among the fills of `origin`, if more than a quarter of them are free: a reader that waits comes first.
    pub(crate) fn fill_ahead(&self, origin: &str, tenant: Tenant) -> Option<Place> {
        let spare_count = self.limits.fills_per_origin_max / 4;
        self.origin(origin).fills.try_take_ahead(tenant, 1, spare_count)
    }

    /// Places for `blocks_count` blocks that are filled ahead of a reader.
    pub(crate) fn blocks_ahead(&self, tenant: Tenant, blocks_count: usize) -> Option<Place> {
        self.ahead_blocks.try_take_ahead(tenant, blocks_count, 0)
    }

    /// A place among the reads of `origin` that go past the cache.
    pub(crate) async fn direct_read(&self, origin: &str, tenant: Tenant) -> Result<Place, ReadError> {
        let reads = self.origin(origin).direct_reads.clone();
        self.wait(reads.take(tenant, 1, Urgency::Demand), Urgency::Demand, Limit::DirectReads).await
    }

    /// How fast `origin` answers.
    pub(crate) fn pace(&self, origin: &str) -> Arc<Pace> {
        self.origin(origin).pace.clone()
    }

    /// Origins are few and named by the topology, so the map stays small.
    fn origin(&self, name: &str) -> Arc<Origin> {
        let mut origins = lock(&self.origins);
        if let Some(origin) = origins.get(name) {
            return origin.clone();
        }
        let Limits { fill_pages_max, fills_per_origin_max, direct_reads_per_origin_max, .. } = self.limits;
        let background_max = fills_per_origin_max.div_ceil(2);
        let origin = Arc::new(Origin {
            fills: Fair::new(fills_per_origin_max, background_max, self.weights.clone()),
            fill_bytes: Fair::new(fill_pages_max / 4 * 3, fill_pages_max / 2, self.weights.clone()),
            direct_reads: Fair::held_long(direct_reads_per_origin_max, self.weights.clone()),
            pace: Arc::default(),
        });
        origins.insert(name.to_owned(), origin.clone());
        origin
    }

    /// Waits for `place`: a reader as long as is set, and then it is told `Busy`; anybody else as long as it takes.
    async fn wait<T>(
        &self,
        place: impl Future<Output = T>,
        urgency: Urgency,
        limit: Limit,
    ) -> Result<T, ReadError> {
        match urgency {
            Urgency::Demand => timeout(self.limits.wait_max, place).await.map_err(|_| ReadError::Busy(limit)),
            Urgency::Ahead | Urgency::Background => Ok(place.await),
        }
    }
}
