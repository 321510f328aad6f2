//! Pieces in clients' hands: how much memory slow clients may pin.
//!
//! A piece is a part of a block's buffer, and a client that does not take it keeps the buffer from being used again,
//! long after the block left the memory tier. So lending out of whole blocks has a limit; past it a client gets a page
//! at a time, copied into a buffer of its own: a thousand stalled clients then hold 64 MiB, not a GiB.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::buffer::Pool;
use crate::error::{Limit, ReadError};
use crate::layout;
use crate::source::PAGE_BYTES;

/// The longest piece, and the longest past the limit.
pub(crate) const PIECE_BYTES_MAX: u64 = 1024 * 1024;

/// What clients hold of buffers larger than a page.
pub(crate) struct Lending {
    /// A permit a page of buffer.
    pages: Arc<Semaphore>,
    pool: Pool,
    wait_max: Duration,
}

/// What a client gets.
pub(crate) struct Piece {
    pub(crate) piece: Bytes,
    /// The limit is reached: this is a copy, of a page at most.
    pub(crate) is_copy: bool,
}

/// A part of a block's buffer, which is counted until it is dropped.
struct Lent {
    bytes: Bytes,
    _pages: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Lending {
    /// Lends up to `bytes_max` of block buffers.
    pub(crate) fn new(bytes_max: u64, pool: Pool, wait_max: Duration) -> Self {
        Self { pages: Arc::new(Semaphore::new(layout::to_len(bytes_max / PAGE_BYTES))), pool, wait_max }
    }

    /// How long a piece may be that is not yet in memory.
    pub(crate) fn piece_bytes_max(&self) -> u64 {
        let whole = layout::to_len(PIECE_BYTES_MAX / PAGE_BYTES);
        if self.pages.available_permits() >= whole { PIECE_BYTES_MAX } else { PAGE_BYTES }
    }

    /// Lends `piece`, a part of a buffer of `footprint` bytes, or a copy of its first page.
    pub(crate) async fn lend(&self, piece: Bytes, footprint: usize) -> Result<Piece, ReadError> {
        if footprint as u64 <= PAGE_BYTES {
            return Ok(Piece { piece, is_copy: false }); // as small as its copy
        }
        let pages = u32::try_from(footprint / layout::to_len(PAGE_BYTES)).expect("a block is at most 16 MiB");
        if let Ok(pages) = self.pages.clone().try_acquire_many_owned(pages) {
            let piece = Bytes::from_owner(Lent { bytes: piece, _pages: pages });
            return Ok(Piece { piece, is_copy: false });
        }
        let len = piece.len().min(layout::to_len(PAGE_BYTES));
        let buffer = self.pool.take(len, self.wait_max).await;
        let mut buffer = buffer.ok_or(ReadError::Busy(Limit::Buffers))?;
        buffer[..len].copy_from_slice(&piece[..len]);
        Ok(Piece { piece: Bytes::from_owner(buffer).slice(..len), is_copy: true })
    }
}
