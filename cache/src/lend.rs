//! Pieces in clients' hands: how much memory slow clients may pin.
//!
//! A piece is a part of a block's buffer, and a client that does not take it keeps the buffer from being used again,
//! long after the block left the memory tier. So lending out of whole blocks has a limit; past it a client gets a page
//! at a time, copied into a buffer of its own: a thousand stalled clients then hold 64 MiB, not a GiB, while there are
//! buffers for them. A buffer counts once, however many clients hold parts of it: a thousand that read the same block keep
//! one buffer from being used again.
//!
//! Where no buffer is free for the copy, the page is lent out of the block after all: what is in memory is never waited
//! for. The pool has its capacity, so this takes no more memory. But such a client keeps a whole block from being replaced
//! until it lets go, half a minute if it takes nothing: for fills a short want of buffers may last longer by that.

use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::buffer::{For, Pool};
use crate::layout;
use crate::source::PAGE_BYTES;
use crate::sync::lock;

/// The longest piece, and the longest past the limit.
pub(crate) const PIECE_BYTES_MAX: u64 = 1024 * 1024;

/// What clients hold of buffers larger than a page.
pub(crate) struct Lending {
    /// A permit a page of buffer.
    pages: Arc<Semaphore>,
    pages_max: usize,
    pool: Pool,
}

/// One buffer, as far as clients hold parts of it. Clones are of the same buffer.
#[derive(Clone, Default)]
pub(crate) struct Loan(Arc<Mutex<Weak<OwnedSemaphorePermit>>>);

/// What a client gets.
pub(crate) struct Piece {
    pub(crate) piece: Bytes,
    /// The limit is reached: this is a page at most, mostly a copy.
    pub(crate) is_past_limit: bool,
}

/// A part of a block's buffer, which is counted until the last such part is dropped.
struct Lent {
    bytes: Bytes,
    _pages: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Lending {
    /// Lends up to `bytes_max` of block buffers.
    pub(crate) fn new(bytes_max: u64, pool: Pool) -> Self {
        let pages_max = layout::to_len(bytes_max / PAGE_BYTES);
        Self { pages: Arc::new(Semaphore::new(pages_max)), pages_max, pool }
    }

    /// How long a piece may be that is not yet in memory.
    pub(crate) fn piece_bytes_max(&self) -> u64 {
        let whole = layout::to_len(PIECE_BYTES_MAX / PAGE_BYTES);
        if self.pages.available_permits() >= whole { PIECE_BYTES_MAX } else { PAGE_BYTES }
    }

    /// Whether half of what may be lent is there: enough for clients to hold more than a piece.
    pub(crate) fn has_plenty(&self) -> bool {
        2 * self.pages.available_permits() >= self.pages_max
    }

    /// Lends `piece`, a part of a buffer of `footprint` bytes, or its first page.
    pub(crate) fn lend(&self, piece: Bytes, footprint: usize, loan: &Loan) -> Piece {
        if footprint as u64 <= PAGE_BYTES {
            return Piece { piece, is_past_limit: false }; // as small as its copy
        }
        if let Some(pages) = self.pages_of(footprint, loan) {
            let piece = Bytes::from_owner(Lent { bytes: piece, _pages: pages });
            return Piece { piece, is_past_limit: false };
        }
        let len = piece.len().min(layout::to_len(PAGE_BYTES));
        let piece = match self.pool.try_take(len, For::Demand) {
            Some(mut buffer) => {
                buffer[..len].copy_from_slice(&piece[..len]);
                Bytes::from_owner(buffer).slice(..len)
            }
            None => piece.slice(..len),
        };
        Piece { piece, is_past_limit: true }
    }

    /// The places of a buffer of `footprint` bytes: those that it has while others hold it, or new ones.
    fn pages_of(&self, footprint: usize, loan: &Loan) -> Option<Arc<OwnedSemaphorePermit>> {
        let mut held = lock(&loan.0);
        if let Some(pages) = held.upgrade() {
            return Some(pages);
        }
        let count = u32::try_from(footprint / layout::to_len(PAGE_BYTES)).expect("a block is at most 16 MiB");
        let pages = Arc::new(self.pages.clone().try_acquire_many_owned(count).ok()?);
        *held = Arc::downgrade(&pages);
        Some(pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// A buffer counts once and for as long as anybody holds a part of it; another one is then lent as a copy of a page.
    #[test]
    fn a_buffer_counts_once_however_many_hold_it() {
        let pool = Pool::new(4 * MIB, 0);
        let lending = Lending::new(MIB as u64, pool.clone());
        let [one, other] = [(); 2].map(|()| {
            let buffer = pool.try_take(MIB, For::Demand).expect("room");
            (Bytes::from_owner(buffer), Loan::default())
        });
        let lend = |(bytes, loan): &(Bytes, Loan)| {
            let lent = lending.lend(bytes.slice(5..), MIB, loan);
            assert_eq!(lent.is_past_limit, lent.piece.as_ptr() != bytes[5..].as_ptr());
            lent.piece
        };
        let (first, second) = (lend(&one), lend(&one));
        assert_eq!([first.len(), second.len()], [MIB - 5; 2]);
        assert_eq!(lend(&other).len(), 64 * 1024);
        drop(first);
        assert_eq!(lend(&other).len(), 64 * 1024);
        drop(second);
        let third = lend(&other);
        assert_eq!((third.len(), lend(&one).len()), (MIB - 5, 64 * 1024));
    }

    /// Where the pool has no buffer for a copy, the page is lent out of the block, and the pool holds what it held.
    #[test]
    fn a_page_is_lent_where_there_is_no_buffer_for_its_copy() {
        let pool = Pool::new(MIB, 0);
        let lending = Lending::new(0, pool.clone());
        let block = Bytes::from_owner(pool.try_take(MIB, For::Demand).expect("room"));
        let lent = lending.lend(block.slice(5..), MIB, &Loan::default());
        assert!(lent.is_past_limit);
        assert_eq!((lent.piece.as_ptr(), lent.piece.len()), (block[5..].as_ptr(), 64 * 1024));
        drop(block);
        assert_eq!(pool.used_bytes(), MIB);
        drop(lent);
        assert_eq!(pool.used_bytes(), 0);
    }
}
