//! A slot's header: which block lies in the slot, and the checksum of each of its pages.
//!
//! A header is good only as a whole, in its own place, in this life of the slab; anything else (torn, stale, blank,
//! flipped) is simply not there.

use crate::instance::Instance;
use crate::layout::BlockKey;
use crate::page;
use crate::source::PAGE_BYTES;
use crate::tenant::Tenant;

/// Bytes before the page sums.
pub(crate) const FIXED_BYTES: usize = 56;

/// A header that was read or is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) key: BlockKey,
    /// Grows with every write to the slab; of two headers of one block the later counts.
    pub(crate) generation: u64,
    pub(crate) block_len: u32,
    /// Whom it was brought for; zero in headers from before there were tenants.
    pub(crate) tenant: Tenant,
    /// CRC32C of each page.
    pub(crate) sums: Vec<u32>,
}

impl Header {
    /// The header's bytes for slot `slot` of slab `slab_id`, `header_bytes` long.
    pub(crate) fn encode(&self, slab_id: u64, slot: u32, header_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(header_bytes);
        bytes.extend_from_slice(&[0; 4]); // the sum of what follows
        bytes.extend_from_slice(&slot.to_le_bytes());
        bytes.extend_from_slice(&slab_id.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.key.instance.0);
        bytes.extend_from_slice(&u64::from(self.key.index).to_le_bytes());
        bytes.extend_from_slice(&self.block_len.to_le_bytes());
        bytes.extend_from_slice(&self.tenant.to_bits().to_le_bytes());
        debug_assert_eq!(bytes.len(), FIXED_BYTES);
        for sum in &self.sums {
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        bytes.resize(header_bytes, 0);
        let crc32c = page::checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc32c.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, if it is one of slot `slot` of slab `slab_id`.
    pub(crate) fn decode(bytes: &[u8], slab_id: u64, slot: u32) -> Option<Self> {
        let Fixed { key, generation, block_len, tenant, sums } = Fixed::decode(bytes, slab_id, slot)?;
        let sum = |sum: &[u8]| u32::from_le_bytes(sum.try_into().expect("chunks of four"));
        Some(Self { key, generation, block_len, tenant, sums: sums.chunks_exact(4).map(sum).collect() })
    }
}

/// A header that was read, its sums where they lie: the index is rebuilt without them.
pub(crate) struct Fixed<'b> {
    pub(crate) key: BlockKey,
    pub(crate) generation: u64,
    pub(crate) block_len: u32,
    pub(crate) tenant: Tenant,
    sums: &'b [u8],
}

impl<'b> Fixed<'b> {
    /// The header in `bytes`, if it is one of slot `slot` of slab `slab_id`.
    pub(crate) fn decode(bytes: &'b [u8], slab_id: u64, slot: u32) -> Option<Self> {
        let (crc32c, mut rest) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*crc32c) != page::checksum(rest) {
            return None;
        }
        let rest = &mut rest;
        if u32::from_le_bytes(take(rest)?) != slot || u64::from_le_bytes(take(rest)?) != slab_id {
            return None;
        }
        let generation = u64::from_le_bytes(take(rest)?);
        let instance = Instance(take(rest)?);
        let index = u32::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
        let block_len = u32::from_le_bytes(take(rest)?);
        let tenant = Tenant::from_bits(u32::from_le_bytes(take(rest)?));
        let pages_count = u64::from(block_len).div_ceil(PAGE_BYTES);
        let sums = rest.get(..crate::layout::to_len(pages_count * 4)).filter(|sums| !sums.is_empty())?;
        Some(Self { key: BlockKey { instance, index }, generation, block_len, tenant, sums })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let key = BlockKey { instance: Instance([9; 16]), index: 3 };
        Header { key, generation: 5, block_len: 70_000, tenant: Tenant::named("lab"), sums: vec![1, 2] }
    }

    /// Any flipped bit, another place and another life of the slab: not there.
    #[test]
    fn only_the_whole_header_in_its_place_counts() {
        let bytes = header().encode(11, 4, 128);
        assert_eq!(Header::decode(&bytes, 11, 4), Some(header()));
        assert_eq!(Header::decode(&bytes, 11, 5), None);
        assert_eq!(Header::decode(&bytes, 12, 4), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, 11, 4), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&[0; 128], 0, 0), None);
    }
}
