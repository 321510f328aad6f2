//! Reads one range of one instance: pieces in order, each from the nearest place that has it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::Shared;
use crate::error::ReadError;
use crate::instance::Instance;
use crate::layout::{self, Layout};
use crate::metrics::Served;
use crate::pull::Pull;
use crate::source::{PAGE_BYTES, Source};

/// What a read may do besides answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Look in the cache; fill what is missing.
    Fill,
    /// Look in the cache; get what is missing from the origin and keep nothing.
    LookOnly,
    /// Get everything from the origin and keep nothing.
    Bypass,
}

/// Where the blocks of a range would come from, as known before the first byte. Bytes, by place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Everything is in memory or on NVMe.
    pub hit: bool,
    /// In memory.
    pub memory_bytes: u64,
    /// On NVMe.
    pub nvme_bytes: u64,
    /// To be read from the origin.
    pub origin_bytes: u64,
    /// Being filled for another reader.
    pub joined_bytes: u64,
}

/// Where the bytes that a reader gave came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// From memory.
    pub memory_bytes: u64,
    /// From NVMe.
    pub nvme_bytes: u64,
    /// From the origin, by fills of this reader.
    pub origin_bytes: u64,
    /// From the origin, by fills of other readers.
    pub joined_bytes: u64,
    /// From the origin, with nothing kept.
    pub bypass_bytes: u64,
}

impl Tally {
    fn add(&mut self, served: Served, bytes: u64) {
        *match served {
            Served::Memory => &mut self.memory_bytes,
            Served::Nvme => &mut self.nvme_bytes,
            Served::Origin => &mut self.origin_bytes,
            Served::Joined => &mut self.joined_bytes,
            Served::Bypass => &mut self.bypass_bytes,
        } += bytes;
    }
}

/// One read in progress. Dropping it ends it.
pub struct Reader {
    shared: Arc<Shared>,
    layout: Layout,
    left: Range<u64>,
    direct: Pull,
    failed: Option<ReadError>,
    tally: Tally,
}

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        instance: Instance,
        layout: Layout,
        range: Range<u64>,
        source: Arc<dyn Source>,
    ) -> Self {
        let left = range.start.min(layout.object_bytes())..range.end.min(layout.object_bytes());
        let pages = layout::pages_of(&left);
        let direct = Pull::new(source, instance, layout, pages, shared.patience, shared.metrics.clone());
        Self { shared, layout, left, direct, failed: None, tally: Tally::default() }
    }

    /// Where the range's blocks would come from now.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan { origin_bytes: self.left.end - self.left.start, ..Plan::default() }
    }

    /// The next piece, at most 1 MiB, each byte of it verified. `None` only after the last byte of the range.
    /// Dropping the returned future loses nothing; after an error the same error is given again.
    ///
    /// # Errors
    /// See [`ReadError`]. Every byte given before was right.
    pub async fn next(&mut self) -> Option<Result<Bytes, ReadError>> {
        if let Some(error) = &self.failed {
            return Some(Err(error.clone()));
        }
        if self.left.is_empty() {
            return None;
        }
        match self.direct.next().await? {
            Ok((index, page)) => {
                let start = index * PAGE_BYTES;
                let end = (start + self.layout.page_len(index) as u64).min(self.left.end);
                let piece =
                    page.bytes().slice(layout::to_len(self.left.start - start)..layout::to_len(end - start));
                self.left.start = end;
                self.tally.add(Served::Bypass, piece.len() as u64);
                self.shared.metrics.served(Served::Bypass, piece.len() as u64);
                Some(Ok(piece))
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Some(Err(error))
            }
        }
    }

    /// Where the bytes given so far came from.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}
