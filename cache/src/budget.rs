//! The limits on what may be read from origins at one time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{Limit, ReadError};
use crate::layout;
use crate::settings::Settings;
use crate::source::PAGE_BYTES;
use crate::sync::lock;

/// Everything that is limited by number or bytes at a time.
pub(crate) struct Budget {
    /// A permit a page.
    fill_bytes: Arc<Semaphore>,
    /// Of these, those for blocks that nobody waits for: half.
    background_fill_bytes: Arc<Semaphore>,
    /// Of these, those that readers may hold after the fill: a quarter.
    outlasting_fill_bytes: Arc<Semaphore>,
    fill_pages_max: usize,
    origins: Mutex<HashMap<String, Arc<Origin>>>,
    fills_per_origin_max: usize,
    direct_reads_per_origin_max: usize,
    wait_max: Duration,
}

struct Origin {
    fills: Arc<Semaphore>,
    /// Of these, those that nobody waits for: half.
    background_fills: Arc<Semaphore>,
    direct_reads: Arc<Semaphore>,
}

/// A place among the fills of an origin, until it is dropped.
pub(crate) struct FillPlace {
    _fill: OwnedSemaphorePermit,
    _background: Option<OwnedSemaphorePermit>,
}

/// Room for the pages of a block, until it is dropped.
pub(crate) struct FillRoom {
    _pages: OwnedSemaphorePermit,
    _background: Option<OwnedSemaphorePermit>,
}

/// A share of the room that outlasts its fill, until it is dropped.
pub(crate) struct OutlastingRoom {
    _pages: OwnedSemaphorePermit,
}

/// How long somebody is ready to wait for a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// A reader waits: as long as is set, then it is told `Busy`.
    Reader,
    /// Nobody waits: as long as it takes.
    Background,
}

impl Budget {
    pub(crate) fn new(settings: &Settings) -> Self {
        let fill_pages_max = layout::to_len(settings.fill_bytes_max / PAGE_BYTES);
        Self {
            fill_bytes: Arc::new(Semaphore::new(fill_pages_max)),
            background_fill_bytes: Arc::new(Semaphore::new(fill_pages_max / 2)),
            outlasting_fill_bytes: Arc::new(Semaphore::new(fill_pages_max / 4)),
            fill_pages_max,
            origins: Mutex::default(),
            fills_per_origin_max: settings.fills_per_origin_max,
            direct_reads_per_origin_max: settings.direct_reads_per_origin_max,
            wait_max: settings.wait_max,
        }
    }

    /// Room for the pages of a block that is being filled. Half of all room is for readers alone.
    pub(crate) async fn fill_pages(
        &self,
        pages_count: usize,
        patience: Patience,
    ) -> Result<FillRoom, ReadError> {
        let count = u32::try_from(pages_count).expect("a block has at most 256 pages");
        let background = match patience {
            Patience::Reader => None,
            Patience::Background => {
                let background = self.background_fill_bytes.clone().acquire_many_owned(count);
                Some(self.wait(background, patience, Limit::FillBytes).await?)
            }
        };
        let pages = self.fill_bytes.clone().acquire_many_owned(count);
        let pages = self.wait(pages, patience, Limit::FillBytes).await?;
        Ok(FillRoom { _pages: pages, _background: background })
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
        (self.fill_pages_max - self.fill_bytes.available_permits()) as u64 * PAGE_BYTES
    }

    /// A place among the fills of `origin`. Half of the places are for readers alone.
    pub(crate) async fn fill(&self, origin: &str, patience: Patience) -> Result<FillPlace, ReadError> {
        let origin = self.origin(origin);
        let background = match patience {
            Patience::Reader => None,
            Patience::Background => {
                let background = origin.background_fills.clone().acquire_owned();
                Some(self.wait(background, patience, Limit::Fills).await?)
            }
        };
        let fill = self.wait(origin.fills.clone().acquire_owned(), patience, Limit::Fills).await?;
        Ok(FillPlace { _fill: fill, _background: background })
    }

    /// A place among the fills of `origin`, if more than a quarter of them are free: a reader that waits comes first.
    pub(crate) fn fill_ahead(&self, origin: &str) -> Option<FillPlace> {
        let fills = &self.origin(origin).fills;
        let spare = fills.available_permits() > self.fills_per_origin_max / 4;
        let fill = spare.then(|| fills.clone().try_acquire_owned().ok())??;
        Some(FillPlace { _fill: fill, _background: None })
    }

    /// A place among the reads of `origin` that go past the cache.
    pub(crate) async fn direct_read(&self, origin: &str) -> Result<OwnedSemaphorePermit, ReadError> {
        let reads = self.origin(origin).direct_reads.clone();
        self.wait(reads.acquire_owned(), Patience::Reader, Limit::DirectReads).await
    }

    /// Origins are few and named by the topology, so the map stays small.
    fn origin(&self, name: &str) -> Arc<Origin> {
        let mut origins = lock(&self.origins);
        if let Some(origin) = origins.get(name) {
            return origin.clone();
        }
        let origin = Arc::new(Origin {
            fills: Arc::new(Semaphore::new(self.fills_per_origin_max)),
            background_fills: Arc::new(Semaphore::new(self.fills_per_origin_max.div_ceil(2))),
            direct_reads: Arc::new(Semaphore::new(self.direct_reads_per_origin_max)),
        });
        origins.insert(name.to_owned(), origin.clone());
        origin
    }

    async fn wait(
        &self,
        place: impl Future<Output = Result<OwnedSemaphorePermit, tokio::sync::AcquireError>>,
        patience: Patience,
        limit: Limit,
    ) -> Result<OwnedSemaphorePermit, ReadError> {
        let place = match patience {
            Patience::Reader => timeout(self.wait_max, place).await.map_err(|_| ReadError::Busy(limit))?,
            Patience::Background => place.await,
        };
        Ok(place.expect("semaphores are never closed"))
    }
}
