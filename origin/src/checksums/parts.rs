//! The ETag and the checksum of a multipart object, made of those of its parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::checksum_combine;
use md5::{Digest as _, Md5};

use super::Algorithm;
use crate::head::ChecksumKind;

/// One part's share in the object's checksum.
#[derive(Clone, Debug)]
pub(crate) struct PartSum {
    /// The part's size in bytes.
    pub(crate) bytes: u64,
    /// The part's own checksum, in base64.
    pub(crate) checksum: String,
}

/// The ETag of a multipart object: MD5 of the parts' MD5s, in hex, and how many parts there are.
pub(crate) fn multipart_etag(part_md5s: &[[u8; 16]]) -> String {
    format!("{}-{}", hex::encode(Md5::digest(part_md5s.concat())), part_md5s.len())
}

/// The checksum of a multipart object, in base64. A composite one is the checksum of the parts' checksums and
/// ends in how many there are; a full-object CRC is combined from theirs without reading a byte.
///
/// `None` when a part's checksum is not one of this algorithm, or the algorithm has no checksums of this kind.
pub(crate) fn multipart_checksum(
    algorithm: Algorithm,
    kind: ChecksumKind,
    parts: &[PartSum],
) -> Option<String> {
    let sums = parts
        .iter()
        .map(|part| Some((algorithm.decode(&part.checksum)?, part.bytes)))
        .collect::<Option<Vec<_>>>()?;
    match kind {
        ChecksumKind::Composite => {
            let joined = sums.into_iter().flat_map(|(sum, _)| sum).collect::<Vec<_>>();
            Some(format!("{}-{}", BASE64.encode(algorithm.checksum(&joined)), parts.len()))
        }
        ChecksumKind::FullObject => {
            let crc = algorithm.crc()?;
            let whole = sums.into_iter().fold(None, |before, (sum, bytes)| {
                let sum = sum.into_iter().fold(0, |crc, byte| crc << 8 | u64::from(byte));
                Some(before.map_or(sum, |before| checksum_combine(crc, before, sum, bytes)))
            });
            Some(BASE64.encode(algorithm.crc_bytes(whole?)))
        }
    }
}
