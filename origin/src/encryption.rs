//! Bytes under a customer's key: sealed page by page, opened page by page, and never mistaken for others.
//!
//! An object's bytes are of one *piece*, when it was put whole, or of several, its parts. From the customer's key and a
//! random salt of the object come a key of its own for each piece, and a verifier that tells this key from others
//! (HKDF-SHA256, RFC 5869): the customer's key itself encrypts nothing, and no two pieces are ever sealed with one key.
//!
//! A piece is cut into *open pages* of 65,520 bytes, and each is sealed with AES-256-GCM into a *sealed page* of 64 KiB,
//! the last may be shorter. So a sealed page of an object put whole is one page on disk, and a range is opened without
//! a look at the pages beside it. The nonce is the page's index, and whether it is the piece's last is authenticated with
//! it: a page that was changed, moved, repeated, cut off or taken from elsewhere does not open.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::customer_key::CustomerKey;
use crate::head::{Head, PAGE_BYTES};
use crate::instance::Instance;

/// What authenticates a page, behind its bytes.
const TAG_BYTES: u64 = 16;
/// Bytes of an object in one sealed page of [`PAGE_BYTES`].
pub(crate) const OPEN_PAGE_BYTES: u64 = PAGE_BYTES - TAG_BYTES;

/// Bytes that `open_bytes` bytes of a piece take once they are sealed.
pub(crate) const fn sealed_bytes(open_bytes: u64) -> u64 {
    open_bytes + open_bytes.div_ceil(OPEN_PAGE_BYTES) * TAG_BYTES
}

/// What is kept of an object's encryption: nothing that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Random, new for each object that is encrypted.
    #[serde(with = "serde_bytes")]
    salt: [u8; 32],
    /// Derived from the key and the salt: tells whether a key is the right one, and no more.
    #[serde(with = "serde_bytes")]
    verifier: [u8; 32],
}

impl Encryption {
    /// A new object's, with `key` and a `salt` that was never used before.
    pub(crate) fn new(key: &CustomerKey, salt: [u8; 32]) -> (Self, ObjectKeys) {
        let keys = ObjectKeys::derive(key, &salt);
        (Self { salt, verifier: keys.verifier() }, keys)
    }

    /// The object's keys; `None` when `key` is not the one that it was encrypted with.
    pub(crate) fn keys(&self, key: &CustomerKey) -> Option<ObjectKeys> {
        let keys = ObjectKeys::derive(key, &self.salt);
        bool::from(keys.verifier().ct_eq(&self.verifier)).then_some(keys)
    }
}

/// The keys of one object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectKeys(Prk);

/// What has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An object that was put whole.
    Whole,
    /// A part: its number, and the instance that its bytes were staged as, for it may have been sent more than once.
    Part { number: u32, instance: Instance },
}

impl ObjectKeys {
    fn derive(key: &CustomerKey, salt: &[u8; 32]) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(key.expose()))
    }

    fn verifier(&self) -> [u8; 32] {
        let mut verifier = [0; 32];
        let derived = self.0.expand(&[b"penstock sse-c verifier"], HKDF_SHA256);
        derived.and_then(|derived| derived.fill(&mut verifier)).expect("HKDF gives 32 bytes");
        verifier
    }

    /// What stands in the entity tag in place of the MD5 of a part, or of an object put whole, which has the number 0: the
    /// same for a part that is sent again, and telling nothing without the key.
    pub(crate) fn etag(&self, number: u32, md5: &[u8; 16]) -> [u8; 16] {
        let mut etag = [0; 32];
        let info = [b"penstock sse-c etag".as_slice(), &number.to_be_bytes(), md5];
        let derived = self.0.expand(&info, HKDF_SHA256);
        derived.and_then(|derived| derived.fill(&mut etag)).expect("HKDF gives 32 bytes");
        *etag.first_chunk().expect("16 of 32 bytes")
    }

    /// The key of one piece. No part has the number 0.
    fn of_piece(&self, piece: Piece) -> PieceKey {
        let (number, instance) = match piece {
            Piece::Whole => (0, [0; 16]),
            Piece::Part { number, instance } => (number, *instance.as_bytes()),
        };
        let info = [b"penstock sse-c piece".as_slice(), &number.to_be_bytes(), &instance];
        let derived = self.0.expand(&info, &AES_256_GCM).expect("HKDF gives 32 bytes");
        PieceKey(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

/// Seals the pages of one piece, or opens them.
struct PieceKey(LessSafeKey);

impl PieceKey {
    fn seal(&self, index: u64, is_last: bool, page: &mut BytesMut) {
        let sealed = self.0.seal_in_place_append_tag(nonce(index), place(is_last), page);
        sealed.expect("a page is shorter than 64 GiB");
    }

    /// Leaves the page's bytes in `page`; `None` when it is not the page that was sealed in this place.
    fn open(&self, index: u64, is_last: bool, page: &mut BytesMut) -> Option<()> {
        let open_bytes = self.0.open_in_place(nonce(index), place(is_last), page).ok()?.len();
        page.truncate(open_bytes);
        Some(())
    }
}

/// Never the same twice under a piece's key: each index is sealed once.
fn nonce(index: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - size_of::<u64>()..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn place(is_last: bool) -> Aad<[u8; 1]> {
    Aad::from([u8::from(is_last)])
}

/// Seals one piece as it comes.
pub(crate) struct Sealer {
    key: PieceKey,
    /// The next page, not sealed yet.
    page: BytesMut,
    index: u64,
}

impl Sealer {
    /// For `piece` of the object of `keys`, to be sealed once.
    pub(crate) fn new(keys: &ObjectKeys, piece: Piece) -> Self {
        Self { key: keys.of_piece(piece), page: BytesMut::new(), index: 0 }
    }

    /// Takes from `bytes` up to the end of a page, and returns that page once it is known that it is not the last; `None`
    /// when all of `bytes` is taken.
    pub(crate) fn next(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        while bytes.has_remaining() {
            let room = OPEN_PAGE_BYTES as usize - self.page.len();
            if room == 0 {
                return Some(self.seal(false));
            }
            let taken = bytes.split_to(room.min(bytes.len()));
            self.page.extend_from_slice(&taken);
        }
        None
    }

    /// The last page; `None` of an empty piece.
    pub(crate) fn finish(mut self) -> Option<Bytes> {
        (!self.page.is_empty()).then(|| self.seal(true))
    }

    fn seal(&mut self, is_last: bool) -> Bytes {
        self.key.seal(self.index, is_last, &mut self.page);
        self.index += 1;
        // A page that is followed by another is as large as that may be.
        let next = BytesMut::with_capacity(if is_last { 0 } else { PAGE_BYTES as usize });
        std::mem::replace(&mut self.page, next).freeze()
    }
}

/// Opens the pages of a range of one object, in order.
pub(crate) struct Opener {
    keys: ObjectKeys,
    /// The pieces that the range touches, the next one last.
    touched: Vec<Touched>,
    /// The key of the piece in turn.
    key: Option<PieceKey>,
}

/// The pages of a piece that a range touches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Touched {
    piece: Piece,
    open_bytes: u64,
    pages: Range<u64>,
}

impl Touched {
    /// How long the next page is, sealed.
    fn page_bytes(&self) -> u64 {
        PAGE_BYTES.min(sealed_bytes(self.open_bytes) - self.pages.start * PAGE_BYTES)
    }
}

/// A range of an object, as it lies in the sealed pages around it.
pub(crate) struct SealedRange {
    /// The bytes of the instance to read.
    pub(crate) stored: Range<u64>,
    /// Bytes before the range in the first page that is opened.
    pub(crate) skip: u64,
    pub(crate) opener: Opener,
}

impl Opener {
    /// The part of the encrypted object `head` that has the bytes of `range`, which lies within it; `None` when the head
    /// does not say how its parts were sealed.
    pub(crate) fn of(head: &Head, keys: ObjectKeys, range: &Range<u64>) -> Option<SealedRange> {
        let (mut touched, mut stored, mut skip) = (Vec::new(), None, 0);
        let (mut open_start, mut sealed_start) = (0, 0);
        for (piece, open_bytes) in pieces(head)? {
            let open_end = open_start + open_bytes;
            let (from, to) = (range.start.max(open_start), range.end.min(open_end));
            if from < to {
                let pages =
                    (from - open_start) / OPEN_PAGE_BYTES..(to - open_start).div_ceil(OPEN_PAGE_BYTES);
                let end = sealed_start + sealed_bytes(open_bytes).min(pages.end * PAGE_BYTES);
                let start = match stored {
                    None => {
                        skip = from - open_start - pages.start * OPEN_PAGE_BYTES;
                        sealed_start + pages.start * PAGE_BYTES
                    }
                    Some(Range { start, .. }) => start,
                };
                stored = Some(start..end);
                touched.push(Touched { piece, open_bytes, pages });
            }
            (open_start, sealed_start) = (open_end, sealed_start + sealed_bytes(open_bytes));
        }
        touched.reverse();
        let opener = Self { keys, touched, key: None };
        Some(SealedRange { stored: stored.unwrap_or(0..0), skip, opener })
    }

    /// How long the next page is, sealed; `None` behind the last.
    pub(crate) fn page_bytes(&self) -> Option<usize> {
        self.touched.last().map(|piece| piece.page_bytes() as usize)
    }

    /// Opens `page`, the next one; `None` when it is not what was sealed in its place.
    pub(crate) fn open(&mut self, page: &mut BytesMut) -> Option<()> {
        let piece = self.touched.last_mut()?;
        let key = self.key.get_or_insert_with(|| self.keys.of_piece(piece.piece));
        let index = piece.pages.start;
        let is_last = index + 1 == piece.open_bytes.div_ceil(OPEN_PAGE_BYTES);
        key.open(index, is_last, page)?;
        piece.pages.start += 1;
        if piece.pages.is_empty() {
            self.touched.pop();
            self.key = None;
        }
        Some(())
    }
}

/// The pieces of an encrypted object, and how many bytes of it each has.
fn pieces(head: &Head) -> Option<Vec<(Piece, u64)>> {
    if head.parts.is_empty() {
        return Some(vec![(Piece::Whole, head.bytes)]);
    }
    let pieces = head.parts.iter().map(|part| {
        let piece = Piece::Part { number: part.number, instance: part.sealed_as? };
        Some((piece, part.bytes))
    });
    pieces.collect()
}

impl Head {
    /// How many bytes the object's instance has: more than the object, if it is encrypted.
    pub(crate) fn stored_bytes(&self) -> u64 {
        match self.encryption {
            None => self.bytes,
            Some(_) if self.parts.is_empty() => sealed_bytes(self.bytes),
            Some(_) => self.parts.iter().map(|part| sealed_bytes(part.bytes)).sum(),
        }
    }

    /// The keys to the object's bytes with the `key` that a request brings; `None` of an object that is not encrypted.
    ///
    /// # Errors
    /// `InvalidRequest` for a key without need, or no key where there is need; `AccessDenied` for another one.
    pub(crate) fn unlock(&self, key: Option<&CustomerKey>) -> S3Result<Option<ObjectKeys>> {
        match (&self.encryption, key) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err(s3_error!(InvalidRequest, "The encryption parameters are not applicable to this object."))
            }
            (Some(_), None) => Err(s3_error!(
                InvalidRequest,
                "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to \
                 retrieve the object."
            )),
            (Some(encryption), Some(key)) => match encryption.keys(key) {
                Some(keys) => Ok(Some(keys)),
                None => Err(s3_error!(AccessDenied, "Access Denied")),
            },
        }
    }
}

#[cfg(test)]
mod tests;
