//! The slab's first sector, and where everything lies in the file.
//!
//! ```text
//! 0                 superblock, one sector
//! headers_offset    a header a slot, packed, read whole at start
//! data_offset       a slot of `block_bytes` each, aligned to 1 MiB
//! ```
//! Numbers are little-endian.

use std::ops::Range;

use crate::block::SECTOR_BYTES;
use crate::page;
use crate::source::PAGE_BYTES;

const MAGIC: &[u8; 8] = b"PENSTOCK";
const VERSION: u32 = 1;
const NODE_BYTES_MAX: usize = 64;
const DATA_ALIGNMENT: u64 = 1024 * 1024;

/// Where a slab of a given size keeps what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    pub(crate) file_bytes: u64,
    pub(crate) block_bytes: u64,
    pub(crate) slots_count: u32,
    data_offset: u64,
}

impl Geometry {
    /// As many slots as fit into `file_bytes`.
    pub(crate) fn new(file_bytes: u64, block_bytes: u64) -> Self {
        let header_bytes = header_bytes(block_bytes) as u64;
        let fits = |slots: u64| {
            let headers_end = SECTOR_BYTES as u64 + slots * header_bytes;
            let data_offset = headers_end.next_multiple_of(DATA_ALIGNMENT);
            (data_offset + slots * block_bytes <= file_bytes).then_some(data_offset)
        };
        let mut slots = (file_bytes / (block_bytes + header_bytes)).min(u64::from(u32::MAX));
        while slots > 0 && fits(slots).is_none() {
            slots -= 1;
        }
        let data_offset = fits(slots).unwrap_or(file_bytes);
        let slots_count = u32::try_from(slots).expect("at most u32::MAX slots");
        Self { file_bytes, block_bytes, slots_count, data_offset }
    }

    /// Bytes of one slot's header: a multiple of 64, so that a header of 1 MiB blocks fills two cache lines.
    pub(crate) fn header_bytes(&self) -> usize {
        header_bytes(self.block_bytes)
    }

    pub(crate) fn headers(&self) -> Range<u64> {
        let start = SECTOR_BYTES as u64;
        start..start + u64::from(self.slots_count) * self.header_bytes() as u64
    }

    pub(crate) fn header_offset(&self, slot: u32) -> u64 {
        self.headers().start + u64::from(slot) * self.header_bytes() as u64
    }

    pub(crate) fn data_offset(&self, slot: u32) -> u64 {
        self.data_offset + u64::from(slot) * self.block_bytes
    }
}

fn header_bytes(block_bytes: u64) -> usize {
    let pages_count = crate::layout::to_len(block_bytes / PAGE_BYTES);
    (super::header::FIXED_BYTES + 4 * pages_count).next_multiple_of(64)
}

/// Whose slab it is, and how it is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Superblock {
    /// Random, new at every reset: headers of an earlier life of the file are not this slab's.
    pub(crate) slab_id: u64,
    pub(crate) file_bytes: u64,
    pub(crate) block_bytes: u64,
    /// The node that the slab belongs to; at most 64 bytes.
    pub(crate) node: String,
}

/// Why a sector is not a superblock that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unusable {
    /// Nothing was ever written.
    Blank,
    /// Something else than a slab.
    Foreign,
    /// A slab of another version.
    Version(u32),
    /// A slab whose superblock is damaged.
    Damaged,
}

impl Superblock {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut sector = Vec::with_capacity(SECTOR_BYTES);
        sector.extend_from_slice(MAGIC);
        sector.extend_from_slice(&VERSION.to_le_bytes());
        sector.extend_from_slice(&self.slab_id.to_le_bytes());
        sector.extend_from_slice(&self.file_bytes.to_le_bytes());
        sector.extend_from_slice(&self.block_bytes.to_le_bytes());
        let node = &self.node.as_bytes()[..self.node.len().min(NODE_BYTES_MAX)];
        sector.push(u8::try_from(node.len()).expect("at most 64 bytes"));
        sector.extend_from_slice(node);
        sector.resize(SECTOR_BYTES - 4, 0);
        let crc32c = page::checksum(&sector);
        sector.extend_from_slice(&crc32c.to_le_bytes());
        sector
    }

    /// Reads a superblock from a sector that anyone may have written.
    pub(crate) fn decode(sector: &[u8]) -> Result<Self, Unusable> {
        if sector.iter().all(|byte| *byte == 0) {
            return Err(Unusable::Blank);
        }
        let Some(mut rest) = sector.strip_prefix(MAGIC) else {
            return Err(if is_right_but_for_magic(sector) { Unusable::Damaged } else { Unusable::Foreign });
        };
        let version = u32::from_le_bytes(*take(&mut rest)?);
        if version != VERSION {
            return Err(Unusable::Version(version));
        }
        let (body, crc32c) = sector.split_last_chunk::<4>().ok_or(Unusable::Damaged)?;
        if page::checksum(body) != u32::from_le_bytes(*crc32c) {
            return Err(Unusable::Damaged);
        }
        let slab_id = u64::from_le_bytes(*take(&mut rest)?);
        let file_bytes = u64::from_le_bytes(*take(&mut rest)?);
        let block_bytes = u64::from_le_bytes(*take(&mut rest)?);
        let [node_len] = *take(&mut rest)?;
        let node = rest.get(..usize::from(node_len)).ok_or(Unusable::Damaged)?;
        let node = String::from_utf8(node.to_vec()).map_err(|_| Unusable::Damaged)?;
        Ok(Self { slab_id, file_bytes, block_bytes, node })
    }
}

/// Whether it would be a superblock if it began like one: then a bit there has flipped.
fn is_right_but_for_magic(sector: &[u8]) -> bool {
    let body_and_sum = sector.get(MAGIC.len()..).and_then(|rest| rest.split_last_chunk::<4>());
    body_and_sum
        .is_some_and(|(body, crc32c)| page::checksum(&[MAGIC, body].concat()) == u32::from_le_bytes(*crc32c))
}

fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Result<&'b [u8; N], Unusable> {
    let (taken, left) = rest.split_first_chunk().ok_or(Unusable::Damaged)?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> Superblock {
        Superblock { slab_id: 7, file_bytes: 1 << 30, block_bytes: 1 << 20, node: "las1".into() }
    }

    /// Any flipped bit makes the sector unusable, and that of a slab still: a node whose disk flips one is not refused its start.
    #[test]
    fn every_bit_counts() {
        let sector = superblock().encode();
        assert_eq!(Superblock::decode(&sector), Ok(superblock()));
        for bit in 0..sector.len() * 8 {
            let mut flipped = sector.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Superblock::decode(&flipped).expect_err("damaged");
            assert!(matches!(error, Unusable::Version(_) | Unusable::Damaged), "bit {bit}: {error:?}");
        }
    }

    /// A superblock that is half written over another is that of a slab still: it is reset, and not taken for somebody's.
    #[test]
    fn a_torn_write_over_a_superblock_is_a_damaged_slab() {
        let old = superblock().encode();
        let new = Superblock { slab_id: 8, block_bytes: 1 << 18, ..superblock() }.encode();
        for cut in (512..SECTOR_BYTES).step_by(512) {
            for (start, end) in [(&new, &old), (&old, &new)] {
                let torn = [&start[..cut], &end[cut..]].concat();
                assert_eq!(Superblock::decode(&torn), Err(Unusable::Damaged), "at {cut}");
            }
        }
    }

    #[test]
    fn blank_foreign_and_other_versions_are_told_apart() {
        assert_eq!(Superblock::decode(&[0; SECTOR_BYTES]), Err(Unusable::Blank));
        assert_eq!(Superblock::decode(&[b'x'; SECTOR_BYTES]), Err(Unusable::Foreign));
        for start in [b"PENSPIN1", b"pENSTOCK"] {
            let other = [start, &[7; SECTOR_BYTES - 8][..]].concat();
            assert_eq!(Superblock::decode(&other), Err(Unusable::Foreign));
            let flipped = [start, &superblock().encode()[8..]].concat();
            assert_eq!(Superblock::decode(&flipped), Err(Unusable::Damaged));
        }
        let mut newer = superblock().encode();
        newer[8] = 2;
        assert_eq!(Superblock::decode(&newer), Err(Unusable::Version(2)));
    }

    /// Headers and slots fit the file and do not overlap, for odd sizes too.
    #[test]
    fn geometry_fits_the_file() {
        for (file_bytes, block_bytes) in
            [(16 << 20, 64 << 10), ((1 << 30) + 12_345, 1 << 20), (1 << 40, 16 << 20)]
        {
            let geometry = Geometry::new(file_bytes, block_bytes);
            let last = geometry.slots_count - 1;
            assert!(geometry.slots_count as u64 * block_bytes * 10 > file_bytes * 8);
            assert!(geometry.headers().end <= geometry.data_offset(0));
            assert_eq!(geometry.data_offset(0) % SECTOR_BYTES as u64, 0);
            assert!(geometry.data_offset(last) + block_bytes <= file_bytes);
        }
    }
}
