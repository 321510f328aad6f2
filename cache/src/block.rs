//! A whole block in memory.

use std::ops::Range;

use bytes::Bytes;

use crate::buffer::Buffer;
use crate::layout;
use crate::lend::Loan;
use crate::page::{self, VerifiedPage};
use crate::source::PAGE_BYTES;

/// What the NVMe tier reads and writes at a time, whatever the disk's own sectors: 4 KiB.
pub(crate) const SECTOR_BYTES: usize = 4096;

/// A block whose every page was verified, in one piece of page-aligned memory.
#[derive(Clone)]
pub(crate) struct Block {
    buffer: Bytes,
    len: usize,
    loan: Loan,
}

impl Block {
    /// A block of the first `len` bytes of `buffer`, which the caller has verified.
    pub(crate) fn from_verified(buffer: Buffer, len: usize) -> Self {
        Self { buffer: Bytes::from_owner(buffer), len, loan: Loan::default() }
    }

    /// Puts a block's pages, all of them, one after another into `buffer`.
    pub(crate) fn assemble<'p>(pages: impl Iterator<Item = &'p VerifiedPage>, mut buffer: Buffer) -> Self {
        let mut len = 0;
        for page in pages {
            let bytes = page.bytes();
            buffer[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        }
        // The rest of the last sector goes to disk with the block: not with what the buffer held before.
        buffer[len..len.next_multiple_of(SECTOR_BYTES)].fill(0);
        Self::from_verified(buffer, len)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes `range` of the block, without a copy.
    pub(crate) fn slice(&self, range: Range<usize>) -> Bytes {
        debug_assert!(range.end <= self.len);
        self.buffer.slice(range)
    }

    /// The checksums of its pages.
    pub(crate) fn sums(&self) -> Vec<u32> {
        self.buffer[..self.len].chunks(layout::to_len(PAGE_BYTES)).map(page::checksum).collect()
    }

    /// What clients hold of it.
    pub(crate) fn loan(&self) -> &Loan {
        &self.loan
    }

    /// The block up to the end of its last sector.
    pub(crate) fn sectors(&self) -> Bytes {
        self.buffer.slice(..self.len.next_multiple_of(SECTOR_BYTES))
    }

    /// What the block takes up in memory.
    pub(crate) fn footprint(&self) -> usize {
        self.buffer.len()
    }
}
