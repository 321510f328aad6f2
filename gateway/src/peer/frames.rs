//! Pages on the `blob` channel: how they are framed, and how frames become pages again.
//!
//! ```text
//! crc32c u32 LE | bytes u32 LE | the page, 1 to 65,536 bytes      repeated, nothing after the last
//! ```
//!
//! The sum is the one the store computed when the object was put. It is carried, not checked, here: whoever is about
//! to use or keep the page checks it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use origin::head::PAGE_BYTES;

const HEADER_BYTES: usize = 8;

/// Bytes that cannot be frames.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BadFrames {
    #[error("a page of {0} bytes")]
    PageSize(u32),
    #[error("the stream ends inside a page")]
    Cut,
}

/// Appends one page to what is about to be written.
pub(super) fn put(page: &[u8], crc32c: u32, out: &mut BytesMut) {
    out.reserve(HEADER_BYTES + page.len());
    out.put_u32_le(crc32c);
    out.put_u32_le(u32::try_from(page.len()).expect("a page is at most 64 KiB"));
    out.put_slice(page);
}

/// Puts pages together from pieces of any size. Each page gets a buffer of its own, so that one page kept in a cache
/// does not pin the network buffer it arrived in.
#[derive(Default)]
pub(super) struct Decoder {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    page: BytesMut,
}

impl Decoder {
    /// Takes bytes from `piece` until it is empty or a page is complete. Call again with the rest.
    pub(super) fn next(&mut self, piece: &mut Bytes) -> Result<Option<(Bytes, u32)>, BadFrames> {
        while self.header_bytes < HEADER_BYTES {
            if piece.is_empty() {
                return Ok(None);
            }
            let taken = piece.len().min(HEADER_BYTES - self.header_bytes);
            piece.copy_to_slice(&mut self.header[self.header_bytes..self.header_bytes + taken]);
            self.header_bytes += taken;
            if self.header_bytes == HEADER_BYTES {
                self.page.reserve(self.page_bytes()?);
            }
        }
        let missing = self.page_bytes()? - self.page.len();
        let taken = piece.len().min(missing);
        self.page.extend_from_slice(&piece[..taken]);
        piece.advance(taken);
        if taken < missing {
            return Ok(None);
        }
        self.header_bytes = 0;
        let crc32c = u32::from_le_bytes(self.header[..4].try_into().expect("four bytes"));
        Ok(Some((std::mem::take(&mut self.page).freeze(), crc32c)))
    }

    /// To be called at the end of the stream.
    pub(super) fn finish(&self) -> Result<(), BadFrames> {
        if self.header_bytes == 0 { Ok(()) } else { Err(BadFrames::Cut) }
    }

    fn page_bytes(&self) -> Result<usize, BadFrames> {
        let bytes = u32::from_le_bytes(self.header[4..].try_into().expect("four bytes"));
        match u64::from(bytes) {
            1..=PAGE_BYTES => Ok(bytes as usize),
            _ => Err(BadFrames::PageSize(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], piece_bytes: usize) -> Result<Vec<(Bytes, u32)>, BadFrames> {
        let mut decoder = Decoder::default();
        let mut pages = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(page) = decoder.next(&mut piece)? {
                pages.push(page);
            }
        }
        decoder.finish().map(|()| pages)
    }

    proptest! {
        #[test]
        fn pages_survive_any_cutting_of_the_stream(
            sizes in prop::collection::vec(prop_oneof![1usize..50, Just(65_536), Just(65_535)], 0..5),
            piece_bytes in prop_oneof![1usize..20, 1_000usize..200_000],
        ) {
            let pages: Vec<_> =
                sizes.iter().enumerate().map(|(i, &bytes)| (Bytes::from(vec![i as u8; bytes]), i as u32)).collect();
            let mut framed = BytesMut::new();
            for (page, crc32c) in &pages {
                put(page, *crc32c, &mut framed);
            }
            prop_assert_eq!(decode(&framed, piece_bytes), Ok(pages));
            if !framed.is_empty() {
                prop_assert_eq!(decode(&framed[..framed.len() - 1], piece_bytes), Err(BadFrames::Cut));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), piece_bytes in 1usize..100) {
            let _ = decode(&bytes, piece_bytes);
        }
    }

    #[test]
    fn a_page_is_one_to_65536_bytes() {
        for (bytes, good) in [(0u32, false), (1, true), (65_536, true), (65_537, false), (u32::MAX, false)] {
            let mut framed = BytesMut::new();
            framed.put_u32_le(7);
            framed.put_u32_le(bytes);
            let verdict = decode(&framed, 8);
            assert_eq!(
                verdict,
                Err(if good { BadFrames::Cut } else { BadFrames::PageSize(bytes) }),
                "{bytes}"
            );
        }
    }
}
