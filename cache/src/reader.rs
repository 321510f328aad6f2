//! Reads one range of one instance: pieces in order, each from the nearest place that has it.
//!
//! At each block a reader looks into memory, then NVMe, then among the blocks on their way, and only then starts a
//! fill. Between pieces it holds the block that it is in and nothing more (and what [`ahead`] allows), so that a slow
//! client pins little; what was read ahead of it waits in the tiers.

mod ahead;
mod direct;
mod look;
mod plan;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use tokio::time::sleep;

use crate::block::Block;
use crate::cache::Shared;
use crate::error::ReadError;
use crate::flight::{Flight, Ready};
use crate::layout;
use crate::lend::{Loan, PIECE_BYTES_MAX};
use crate::metrics::Served;
use crate::object::Object;
use crate::source::PAGE_BYTES;
use crate::walk;
use ahead::Ahead;
use direct::Direct;
pub use plan::{Plan, Tally};

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
    /// Looks since the last piece.
    looks: u32,
    /// The block last counted as read.
    counted: Option<u32>,
    /// The block whose rest was last waited for, among many.
    waited_at: Option<u32>,
    failed: Option<ReadError>,
    tally: Tally,
}

/// What the reader holds of the block that it is in.
struct Here {
    served: Served,
    held: Held,
}

enum Held {
    Bytes(HeldBytes),
    /// The block is on its way.
    Flight(Arc<Flight>),
}

/// Verified bytes, the reader's next among them.
struct HeldBytes {
    /// Where they start in the object.
    start: u64,
    bytes: Bytes,
    /// The size of the buffer that they keep in use.
    footprint: usize,
    /// Who else has parts of that buffer.
    loan: Loan,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, object: Object, range: Range<u64>, mode: Mode) -> Self {
        let end = range.end.min(object.layout.object_bytes());
        let left = range.start.min(end)..end;
        let ahead = (mode == Mode::Fill && !left.is_empty())
            .then(|| Ahead::new(&object, &left, shared.walks.goes_on(object.instance, &left)));
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
            waited_at: None,
            failed: None,
            tally,
        }
    }

    /// A reader that gives nothing but `error`.
    pub(crate) fn refused(shared: Arc<Shared>, object: Object, error: ReadError) -> Self {
        let mut reader = Self::new(shared, object, 0..0, Mode::Bypass);
        reader.failed = Some(error);
        reader
    }

    /// Where what is left of the range would come from now. Costs a look a block.
    #[must_use]
    pub fn plan(&self) -> Plan {
        match self.mode {
            Mode::Fill | Mode::LookOnly => Plan::of(&self.shared, &self.object, &self.left),
            Mode::Bypass => Plan::bypass(&self.left),
        }
    }

    /// Whether every byte of the range was given.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Where the bytes given so far came from.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The next piece, at most 1 MiB, each byte of it verified. `None` only after the last byte of the range.
    /// Dropping the returned future loses nothing; after an error the same error is given again.
    ///
    /// A piece holds a buffer of the cache until it is dropped: drop it before waiting for the next
    /// ([`Reader::next_at_hand`] does not wait).
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

    /// The next piece, if it is in memory and there is plenty to lend: for a client that is given more than one at a time.
    /// `None` says nothing of whether there is another one.
    pub fn next_at_hand(&mut self) -> Option<Bytes> {
        if self.left.is_empty() || !self.is_at_hand() || !self.shared.lending.has_plenty() {
            return None;
        }
        // An error is given again by `next`.
        self.next().now_or_never()??.ok()
    }

    /// Whether the next bytes are in memory, whole and verified.
    fn is_at_hand(&self) -> bool {
        let index = self.object.layout.block_at(self.left.start);
        match &self.here {
            Some(Here { held: Held::Bytes(_), .. }) => true,
            Some(Here { held: Held::Flight(flight), .. }) => flight.has_block(),
            None if self.direct.is_some() || self.mode == Mode::Bypass => false,
            None => {
                let loaded = self.ahead.as_ref().and_then(|ahead| ahead.load(index));
                loaded.is_some_and(|flight| flight.has_block())
                    || self.shared.memory.contains(&self.object.key(index))
            }
        }
    }

    fn count(&mut self, served: Served, bytes: u64) {
        let index = self.object.layout.block_at(self.left.start);
        if self.counted != Some(index) {
            self.counted = Some(index);
            self.shared.metrics.block_read(served);
        }
        self.left.start += bytes;
        self.looks = 0;
        // What lies behind must not be held for as long as a slow client takes for its piece.
        let behind = match &self.here {
            Some(Here { held: Held::Bytes(held), .. }) => {
                held.start + held.bytes.len() as u64 <= self.left.start
            }
            Some(Here { held: Held::Flight(_), .. }) => {
                self.object.layout.block_range(index).end <= self.left.start
            }
            None => false,
        };
        if behind || self.left.is_empty() {
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
            self.wait_in_a_crowd(index).await;
            match &self.here {
                None => self.look(index).await?,
                Some(Here { served, held: Held::Bytes(held) }) => {
                    let served = *served;
                    let piece = self.cut(held.start, &held.bytes);
                    let lent = self.shared.lending.lend(piece, held.footprint, &held.loan);
                    if lent.is_past_limit {
                        // The limit of lending is reached: the rest of the buffer is of more use to others.
                        self.here = None;
                    }
                    return Ok((lent.piece, served));
                }
                Some(Here { served, held: Held::Flight(flight) }) => {
                    let served = *served;
                    let start = self.left.start / PAGE_BYTES * PAGE_BYTES;
                    let place = (start - self.object.layout.block_range(index).start) / PAGE_BYTES;
                    match flight.ready(layout::to_len(place)).await {
                        Ready::Page(page) => return Ok((self.cut(start, page.bytes()), served)),
                        Ready::Block(block) => self.hold_block(index, served, &block),
                        Ready::Failed(error) => return Err(error),
                        Ready::Over => self.here = None,
                    }
                }
            }
        }
    }

    /// Where many readers are at block `index`, which is on its way, waits a while for the rest of it: but not for a first
    /// piece, nor twice for a block, nor for more of it than is wanted.
    async fn wait_in_a_crowd(&mut self, index: u32) {
        if let Some(Here { held: Held::Flight(flight), .. }) = &self.here
            && self.tally != Tally::default()
            && self.waited_at != Some(index)
            && self.object.layout.block_range(index).end <= self.left.end
            && flight.is_crowded()
        {
            self.waited_at = Some(index);
            flight.end_comes().await;
        }
    }

    /// As much of `bytes`, which lie at `start` in the object, as may go next.
    fn cut(&self, start: u64, bytes: &Bytes) -> Bytes {
        let end = (start + bytes.len() as u64).min(self.left.end).min(self.left.start + PIECE_BYTES_MAX);
        bytes.slice(layout::to_len(self.left.start - start)..layout::to_len(end - start))
    }

    fn hold_block(&mut self, index: u32, served: Served, block: &Block) {
        let start = self.object.layout.block_range(index).start;
        let (bytes, footprint) = (block.slice(0..block.len()), block.footprint());
        let loan = block.loan().clone();
        self.hold(served, Held::Bytes(HeldBytes { start, bytes, footprint, loan }));
    }

    fn hold(&mut self, served: Served, held: Held) {
        self.here = Some(Here { served, held });
    }
}

impl Drop for Reader {
    /// What a read that came to its end has on its way beyond it is for the next one.
    fn drop(&mut self) {
        let Some(ahead) = self.ahead.as_mut().filter(|_| self.left.is_empty()) else { return };
        let (left, looked_to) = ahead.left_behind();
        let (shared, instance) = (self.shared.clone(), self.object.instance);
        if !left.is_empty() {
            self.shared.runtime.spawn(async move {
                sleep(walk::PATIENCE).await;
                shared.walks.tire(&instance);
            });
        }
        self.shared.walks.leave(&instance, left, looked_to);
    }
}
