//! Reads one range of one instance: pieces in order, each from the nearest place that has it.
//!
//! At each block a reader looks into memory, then NVMe, then among the blocks on their way, and only then starts a
//! fill. Between pieces it holds the block that it is in and nothing more (and what [`ahead`] allows), so that a slow
//! client pins little; what was read ahead of it waits in the tiers.

mod ahead;
mod direct;
mod plan;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::Block;
use crate::buffer::For;
use crate::cache::Shared;
use crate::error::{Limit, ReadError};
use crate::flight::{Flight, From, Ready};
use crate::layout;
use crate::lend::PIECE_BYTES_MAX;
use crate::load;
use crate::metrics::Served;
use crate::object::Object;
use crate::slab::{Found, Pin};
use crate::source::PAGE_BYTES;
use ahead::Ahead;
use direct::Direct;
pub use plan::{Plan, Tally};

/// Times a reader looks for a block that is lost again and again, until it goes past the cache.
const LOOKS_MAX: u32 = 16;

/// What a read may do besides answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Look in the cache; fill what is missing. Without any tier in use, this is `Bypass`.
    Fill,
    /// Look in the cache; get the pages that are missing from the origin and keep nothing.
    LookOnly,
    /// Get everything from the origin and keep nothing.
    Bypass,
}

/// One read in progress. Dropping it ends it: its fills end with the block they are at, unless others wait for them.
pub struct Reader {
    shared: Arc<Shared>,
    object: Object,
    mode: Mode,
    left: Range<u64>,
    here: Option<Here>,
    direct: Option<Direct>,
    ahead: Option<Ahead>,
    /// Looks at the present block.
    looks: u32,
    /// The block last counted as read.
    counted: Option<u32>,
    failed: Option<ReadError>,
    tally: Tally,
}

/// What the reader holds of the block that it is in.
struct Here {
    index: u32,
    served: Served,
    held: Held,
}

enum Held {
    /// Verified bytes, from `start` in the object, in a buffer of `footprint` bytes.
    Bytes { start: u64, bytes: Bytes, footprint: usize },
    /// The block is on its way.
    Flight(Arc<Flight>),
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, object: Object, range: Range<u64>, mode: Mode) -> Self {
        let end = range.end.min(object.layout.object_bytes());
        let left = range.start.min(end)..end;
        let ahead = (mode == Mode::Fill && !left.is_empty()).then(|| {
            let blocks = object.layout.blocks_of(&left);
            Ahead::new(blocks.clone(), object.layout.block_range(blocks.end - 1).end == left.end)
        });
        let tally = Tally::default();
        Self {
            shared,
            object,
            mode,
            left,
            here: None,
            direct: None,
            ahead,
            looks: 0,
            counted: None,
            failed: None,
            tally,
        }
    }

    /// A reader that gives nothing but `error`.
    pub(crate) fn refused(shared: Arc<Shared>, object: Object, error: ReadError) -> Self {
        Self { failed: Some(error), ..Self::new(shared, object, 0..0, Mode::Bypass) }
    }

    /// Where what is left of the range would come from now. Costs a look a block.
    #[must_use]
    pub fn plan(&self) -> Plan {
        match self.mode {
            Mode::Fill | Mode::LookOnly => Plan::of(&self.shared, &self.object, &self.left),
            Mode::Bypass => Plan::bypass(&self.left),
        }
    }

    /// Where the bytes given so far came from.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The next piece, at most 1 MiB, each byte of it verified. `None` only after the last byte of the range.
    /// Dropping the returned future loses nothing; after an error the same error is given again.
    ///
    /// A piece holds a buffer of the cache until it is dropped: drop it before asking for the next.
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
        Some(match self.piece().await {
            Ok((piece, served)) => {
                self.count(served, piece.len() as u64);
                Ok(piece)
            }
            Err(error) => {
                (self.here, self.direct, self.ahead) = (None, None, None);
                self.shared.metrics.read_failed(&error);
                self.failed = Some(error.clone());
                Err(error)
            }
        })
    }

    fn count(&mut self, served: Served, bytes: u64) {
        let index = self.object.layout.block_at(self.left.start);
        if self.counted != Some(index) {
            self.counted = Some(index);
            self.shared.metrics.block_read(served);
        }
        self.left.start += bytes;
        self.looks = 0;
        // What is held of a block that is behind would stay as long as a slow client takes for its piece.
        if self.left.is_empty() || self.object.layout.block_at(self.left.start) != index {
            self.here = None;
        }
        self.tally.add(served, bytes);
        self.shared.metrics.served(served, bytes);
    }

    async fn piece(&mut self) -> Result<(Bytes, Served), ReadError> {
        loop {
            if let Some(direct) = &mut self.direct {
                match direct.piece(&self.left).await? {
                    Some(piece) => return Ok((piece, Served::Bypass)),
                    None => self.direct = None,
                }
            }
            let index = self.object.layout.block_at(self.left.start);
            match self.here.take_if(|here| here.index == index) {
                Some(here) => {
                    if let Some(piece) = self.take(here).await? {
                        return Ok(piece);
                    }
                }
                None => self.look(index).await?,
            }
        }
    }

    /// The next piece out of what is held here; `None` to look again.
    async fn take(&mut self, here: Here) -> Result<Option<(Bytes, Served)>, ReadError> {
        let Here { index, served, held } = here;
        match held {
            Held::Bytes { start, bytes, footprint } => {
                let whole = self.cut(start, &bytes);
                let piece = self.shared.lending.lend(whole.clone(), footprint).await?;
                let rest = start + (bytes.len() as u64) > self.left.start + whole.len() as u64;
                // Cut short: the limit of lending is reached, and this reader lets go of the buffer.
                if rest
                    && piece.len() == whole.len()
                    && self.left.start + (whole.len() as u64) < self.left.end
                {
                    self.here = Some(Here { index, served, held: Held::Bytes { start, bytes, footprint } });
                }
                Ok(Some((piece, served)))
            }
            Held::Flight(flight) => {
                self.here = Some(Here { index, served, held: Held::Flight(flight.clone()) });
                let block_start = self.object.layout.block_range(index).start;
                let page = (self.left.start - block_start) / PAGE_BYTES;
                match flight.ready(layout::to_len(page)).await {
                    Ready::Page(page_bytes) => {
                        let start = block_start + page * PAGE_BYTES;
                        Ok(Some((self.cut(start, page_bytes.bytes()), served)))
                    }
                    Ready::Block(block) => {
                        self.hold_block(index, served, &block);
                        Ok(None)
                    }
                    Ready::Failed(error) => Err(error),
                    Ready::Over => {
                        self.here = None;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// As much of `bytes`, which lie at `start` in the object, as may go next.
    fn cut(&self, start: u64, bytes: &Bytes) -> Bytes {
        let end = (start + bytes.len() as u64).min(self.left.end).min(self.left.start + PIECE_BYTES_MAX);
        bytes.slice(layout::to_len(self.left.start - start)..layout::to_len(end - start))
    }

    /// Finds block `index`, or sees to it that it comes.
    async fn look(&mut self, index: u32) -> Result<(), ReadError> {
        self.looks += 1;
        let past_the_cache = match self.mode {
            Mode::Fill => !self.shared.keeps() || self.shared.is_closed(),
            Mode::LookOnly => false,
            Mode::Bypass => true,
        };
        if past_the_cache || self.looks > LOOKS_MAX {
            return self.go_direct(self.left.end).await;
        }
        self.look_in_tiers(index).await?;
        if let Some(ahead) = &mut self.ahead {
            ahead.go(&self.shared, &self.object, index);
        }
        Ok(())
    }

    async fn look_in_tiers(&mut self, index: u32) -> Result<(), ReadError> {
        let key = self.object.key(index);
        let came = self.ahead.as_ref().and_then(|ahead| ahead.served(index));
        if let Some(block) = self.shared.memory.get(&key) {
            self.hold_block(index, came.unwrap_or(Served::Memory), &block);
            return Ok(());
        }
        let loading = self.ahead.as_ref().and_then(|ahead| ahead.load(index)).cloned();
        if let Some(flight) = loading.filter(|flight| !flight.is_over()) {
            self.hold(index, came.unwrap_or(Served::Nvme), Held::Flight(flight));
            return Ok(());
        }
        match self.shared.slab.as_ref().and_then(|slab| slab.find(&key)) {
            Some(Found::Queued(block)) => {
                self.hold_block(index, came.unwrap_or(Served::Memory), &block);
                Ok(())
            }
            Some(Found::Stored(pin)) => self.read_nvme(index, pin, came.unwrap_or(Served::Nvme)).await,
            None => self.join_or_fill(index).await,
        }
    }

    async fn read_nvme(&mut self, index: u32, pin: Pin, served: Served) -> Result<(), ReadError> {
        let block = self.object.layout.block_range(index);
        let whole = self.left.start <= block.start && block.end <= self.left.end;
        // A block wanted in part is worth a place in memory, and the rest of its bytes, the second time.
        let piece_bytes_max = self.shared.lending.piece_bytes_max();
        let tight = piece_bytes_max < PIECE_BYTES_MAX && !self.shared.memory.keeps();
        if self.mode == Mode::Fill && (whole || pin.touched_before) && !tight {
            if let Some(flight) = load::start(&self.shared, &self.object, index, pin, For::Demand) {
                self.hold(index, served, Held::Flight(flight));
            }
            return Ok(());
        }
        let start = self.left.start - block.start;
        let end = self.left.end.min(block.end).min(self.left.start + piece_bytes_max) - block.start;
        let pages = layout::pages_of(&(start..end));
        let pages = layout::to_len(pages.start)..layout::to_len(pages.end);
        let block_len = self.object.layout.block_len(index);
        let first = pages.start * layout::to_len(PAGE_BYTES);
        let len = (pages.end * layout::to_len(PAGE_BYTES)).min(block_len) - first;
        let buffer = self.shared.pool.take(len, self.shared.settings.wait_max).await;
        let buffer = buffer.ok_or(ReadError::Busy(Limit::Buffers))?;
        // `None`: the block proved bad and has been forgotten. The next look finds it missing.
        if let Some(buffer) = pin.read(block_len, pages, buffer).await {
            let (start, footprint) = (block.start + first as u64, buffer.len());
            let bytes = Bytes::from_owner(buffer).slice(..len);
            self.hold(index, served, Held::Bytes { start, bytes, footprint });
        }
        Ok(())
    }

    async fn join_or_fill(&mut self, index: u32) -> Result<(), ReadError> {
        if let Some(flight) = self.shared.flights.get(&self.object.key(index)) {
            if let Some(ahead) = &mut self.ahead {
                ahead.follow(&flight);
            }
            let came = self.ahead.as_ref().and_then(|ahead| ahead.served(index));
            let otherwise = match flight.from {
                From::Origin(_) => Served::Joined,
                From::Nvme => Served::Nvme,
            };
            self.hold(index, came.unwrap_or(otherwise), Held::Flight(flight));
            return Ok(());
        }
        match &mut self.ahead {
            Some(ahead) => {
                let first_page = self.left.start / PAGE_BYTES;
                ahead.demand(&self.shared, &self.object, index, first_page);
                // The next look finds the flight.
                Ok(())
            }
            None => self.go_direct(self.missing_until(index)).await,
        }
    }

    /// The end of the run of missing blocks that starts at block `index`, in the range.
    fn missing_until(&self, index: u32) -> u64 {
        /// Looked at in one go.
        const BLOCKS_MAX: u32 = 1024;
        let layout = &self.object.layout;
        let last = layout.block_at(self.left.end - 1).min(index.saturating_add(BLOCKS_MAX));
        let found = (index + 1..=last).find(|next| self.shared.has(&self.object.key(*next)));
        layout.block_range(found.map_or(last, |next| next - 1)).end.min(self.left.end)
    }

    async fn go_direct(&mut self, end: u64) -> Result<(), ReadError> {
        self.direct = Some(Direct::start(&self.shared, &self.object, self.left.start..end).await?);
        Ok(())
    }

    fn hold_block(&mut self, index: u32, served: Served, block: &Block) {
        let start = self.object.layout.block_range(index).start;
        let (bytes, footprint) = (block.slice(0..block.len()), block.footprint());
        self.hold(index, served, Held::Bytes { start, bytes, footprint });
    }

    fn hold(&mut self, index: u32, served: Served, held: Held) {
        self.here = Some(Here { index, served, held });
    }
}
