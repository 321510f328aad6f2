//! Pages and their checksums.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;

/// A page whose bytes matched its checksum: no other page reaches a reader or a tier.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedPage {
    bytes: Bytes,
    crc32c: u32,
}

impl VerifiedPage {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn crc32c(&self) -> u32 {
        self.crc32c
    }
}

/// The page, if its bytes have this checksum.
pub(crate) fn verify(bytes: Bytes, crc32c: u32) -> Option<VerifiedPage> {
    (checksum(&bytes) == crc32c).then_some(VerifiedPage { bytes, crc32c })
}

/// CRC32C (Castagnoli) of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    // The 32-bit sum comes in a u64.
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
