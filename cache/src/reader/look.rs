//! Finds a reader's next block: in memory, on NVMe, on its way, or at the origin.

use bytes::Bytes;

use super::direct::Direct;
use super::{Held, HeldBytes, Mode, Reader};
use crate::buffer::For;
use crate::error::{Limit, ReadError};
use crate::flight::From;
use crate::layout;
use crate::lend::{Loan, PIECE_BYTES_MAX};
use crate::load;
use crate::metrics::Served;
use crate::slab::{Found, Pin, Slab};
use crate::source::PAGE_BYTES;

/// Looks without a piece, for a block that goes as fast as it comes, until the reader goes past the cache.
const LOOKS_MAX: u32 = 16;

/// Blocks that a read past the cache asks for in one go.
const RUN_BLOCKS_MAX: u32 = 1024;

impl Reader {
    /// Finds block `index`, or sees to it that it comes. What was found is held afterwards; nothing held: look again.
    pub(super) async fn look(&mut self, index: u32) -> Result<(), ReadError> {
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
        if let Some(block) = self.shared.memory.get(&key) {
            self.hold_block(index, self.came(index, Served::Memory), &block);
            return Ok(());
        }
        let loading = self.ahead.as_ref().and_then(|ahead| ahead.load(index)).cloned();
        if let Some(flight) = loading.filter(|flight| !flight.is_over()) {
            self.hold(self.came(index, Served::Nvme), Held::Flight(flight));
            return Ok(());
        }
        match self.shared.slab.as_ref().and_then(|slab| slab.find(&key)) {
            Some(Found::Queued(block)) => {
                self.hold_block(index, self.came(index, Served::Memory), &block);
                Ok(())
            }
            Some(Found::Stored(pin)) if self.is_worth_loading(index, &pin) => {
                if let Some(flight) = load::start(&self.shared, &self.object, index, pin, For::Demand) {
                    self.hold(self.came(index, Served::Nvme), Held::Flight(flight));
                }
                Ok(())
            }
            Some(Found::Stored(pin)) => self.read_pages(index, pin).await,
            None => self.join_or_fill(index).await,
        }
    }

    /// What block `index` counts as: what this read brought in is not a hit.
    fn came(&self, index: u32, otherwise: Served) -> Served {
        self.ahead.as_ref().and_then(|ahead| ahead.served(index)).unwrap_or(otherwise)
    }

    /// Whether the whole block is to be read from NVMe, once for all who want it, rather than this reader's pages.
    fn is_worth_loading(&self, index: u32, pin: &Pin) -> bool {
        let block = self.object.layout.block_range(index);
        let wanted_whole = self.left.start <= block.start && block.end <= self.left.end;
        match (self.mode, self.shared.memory.keeps()) {
            // A block wanted in part is worth a place in memory, and the rest of its bytes, if it would have been found
            // there had it been given one the last time.
            (Mode::Fill, true) => wanted_whole || self.was_touched_lately(pin),
            (Mode::Fill, false) => wanted_whole && self.shared.lending.piece_bytes_max() == PIECE_BYTES_MAX,
            (Mode::LookOnly | Mode::Bypass, _) => false,
        }
    }

    fn was_touched_lately(&self, pin: &Pin) -> bool {
        let devices_count = self.shared.slab.as_ref().map_or(1, Slab::devices_count) as u64;
        // Each device counts its own reads.
        pin.touched_ago.is_some_and(|ago| u64::from(ago) * devices_count < self.shared.memory.blocks_max())
    }

    /// Reads the next piece's pages of block `index` from NVMe into a buffer of this reader.
    async fn read_pages(&mut self, index: u32, pin: Pin) -> Result<(), ReadError> {
        let block = self.object.layout.block_range(index);
        let end = self.left.end.min(block.end).min(self.left.start + self.shared.lending.piece_bytes_max());
        let pages = layout::pages_of(&(self.left.start - block.start..end - block.start));
        let start = block.start + pages.start * PAGE_BYTES;
        let len = layout::to_len((block.start + pages.end * PAGE_BYTES).min(block.end) - start);
        let buffer = self.shared.pool.take(len, self.shared.settings.wait_max).await;
        let buffer = buffer.ok_or(ReadError::Busy(Limit::Buffers))?;
        let pages = layout::to_len(pages.start)..layout::to_len(pages.end);
        // `None`: the block proved bad and has been forgotten. The next look finds it missing.
        if let Some(buffer) = pin.read(self.object.layout.block_len(index), pages, buffer).await {
            let footprint = buffer.len();
            let bytes = Bytes::from_owner(buffer).slice(..len);
            let held = HeldBytes { start, bytes, footprint, loan: Loan::default() };
            self.hold(self.came(index, Served::Nvme), Held::Bytes(held));
        }
        Ok(())
    }

    async fn join_or_fill(&mut self, index: u32) -> Result<(), ReadError> {
        if let Some(flight) = self.shared.flights.get(&self.object.key(index)) {
            if let Some(ahead) = &mut self.ahead {
                ahead.follow(&flight);
            }
            let otherwise = match flight.from {
                From::Origin(_) => Served::Joined,
                From::Nvme => Served::Nvme,
            };
            self.hold(self.came(index, otherwise), Held::Flight(flight));
            return Ok(());
        }
        match &mut self.ahead {
            // The next look finds the flight.
            Some(ahead) => {
                self.shared.walks.begin(self.object.instance, &self.left);
                ahead.demand(&self.shared, &self.object, index, self.left.start / PAGE_BYTES);
                Ok(())
            }
            None => self.go_direct(self.missing_until(index)).await,
        }
    }

    /// The end of the run of missing blocks that starts at block `index`, in the range.
    fn missing_until(&self, index: u32) -> u64 {
        let layout = &self.object.layout;
        let last = layout.block_at(self.left.end - 1).min(index.saturating_add(RUN_BLOCKS_MAX));
        let found = (index + 1..=last).find(|next| self.shared.has(&self.object.key(*next)));
        layout.block_range(found.map_or(last, |next| next - 1)).end.min(self.left.end)
    }

    async fn go_direct(&mut self, end: u64) -> Result<(), ReadError> {
        self.direct = Some(Direct::start(&self.shared, &self.object, self.left.start..end).await?);
        Ok(())
    }
}
