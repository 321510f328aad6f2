//! Generated object content: any range of any length without keeping a byte, so that each answer can be checked.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Bytes that are a function of a seed and their position: incompressible, different for each seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Tells one content from another.
    pub seed: u64,
    /// How many bytes there are.
    pub bytes: u64,
}

/// Bytes made at a time when a whole content is walked.
const STEP_BYTES: u64 = 1 << 20;

impl Content {
    /// `bytes` bytes of the content called `seed`.
    #[must_use]
    pub fn new(seed: u64, bytes: u64) -> Self {
        Self { seed, bytes }
    }

    /// The bytes `start..end`.
    #[must_use]
    pub fn range(&self, start: u64, end: u64) -> Bytes {
        assert!(start <= end && end <= self.bytes, "{start}..{end} of {} bytes", self.bytes);
        let mut made = Vec::with_capacity((end - start) as usize + 16);
        for word in start / 8..end.div_ceil(8) {
            made.extend_from_slice(&mix(self.seed, word).to_le_bytes());
        }
        Bytes::from(made).slice((start % 8) as usize..(start % 8 + end - start) as usize)
    }

    /// All bytes at once; for contents that fit in memory.
    #[must_use]
    pub fn all(&self) -> Bytes {
        self.range(0, self.bytes)
    }

    /// All bytes, a mebibyte at a time.
    pub fn pieces(self) -> impl Iterator<Item = Bytes> + Send + Sync {
        (0..self.bytes.div_ceil(STEP_BYTES))
            .map(move |step| self.range(step * STEP_BYTES, ((step + 1) * STEP_BYTES).min(self.bytes)))
    }

    /// SHA-256 of all bytes, in hexadecimal.
    #[must_use]
    pub fn sha256(self) -> String {
        let mut hash = Sha256::new();
        self.pieces().for_each(|piece| hash.update(&piece));
        hex::encode(hash.finalize())
    }

    /// Panics at the first byte of `got` that is not this content's from `start` on.
    pub fn assert_at(&self, start: u64, got: &[u8]) {
        let wanted = self.range(start, start + got.len() as u64);
        if let Some(at) = wanted.iter().zip(got).position(|(wanted, got)| wanted != got) {
            panic!("byte {} of content {} is wrong", start + at as u64, self.seed);
        }
    }
}

/// SplitMix64's finaliser over the seed and a word's position.
fn mix(seed: u64, word: u64) -> u64 {
    let mut x = seed.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_is_a_slice_of_the_whole() {
        let content = Content::new(7, 1000);
        let all = content.all();
        for (start, end) in [(0, 1000), (0, 0), (3, 5), (7, 9), (8, 16), (13, 999), (999, 1000)] {
            assert_eq!(content.range(start, end), all[start as usize..end as usize]);
        }
        assert_ne!(Content::new(8, 1000).all(), all);
    }

    #[test]
    #[should_panic(expected = "byte 21 of content 7 is wrong")]
    fn one_wrong_byte_is_found() {
        let content = Content::new(7, 100);
        let mut got = content.range(20, 40).to_vec();
        got[1] ^= 1;
        content.assert_at(20, &got);
    }
}
