//! Bytes under a key, a customer's or the store's own: sealed page by page, opened page by page, and never mistaken for
//! others.
//!
//! An object's bytes are of one *piece*, when it was put whole, or of several, its parts. From the key and a random salt of
//! the object come a key of its own for each piece, and a verifier that tells this key from others (HKDF-SHA256, RFC 5869):
//! the key itself encrypts nothing, and no two pieces are ever sealed with one key.
//!
//! A piece is cut into *open pages* of 65,520 bytes, and each is sealed with AES-256-GCM into a *sealed page* of 64 KiB,
//! the last may be shorter. So a sealed page of an object put whole is one page on disk, and a range is opened without
//! a look at the pages beside it. The nonce is the page's index, and whether it is the piece's last is authenticated with
//! it: a page that was changed, moved, repeated, cut off or taken from elsewhere does not open.

use std::fmt;
use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

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
    /// Whose key it is; in rows of an earlier release always the client's.
    #[serde(default)]
    keeper: Keeper,
}

/// Who keeps the key that an object is encrypted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Keeper {
    /// Its client, who brings it with each request (SSE-C).
    #[default]
    Client,
    /// The store (SSE-S3).
    Store,
}

impl Encryption {
    /// A new object's, with a customer's `key` and a `salt` that was never used before.
    pub(crate) fn by_client(key: &CustomerKey, salt: [u8; 32]) -> (Self, ObjectKeys) {
        Self::new(Keeper::Client, key.expose(), salt)
    }

    /// The same with the store's `key`.
    ///
    /// # Errors
    /// As [`StoreKey::expose`].
    pub(crate) fn by_store(key: &StoreKey, salt: [u8; 32]) -> S3Result<(Self, ObjectKeys)> {
        Ok(Self::new(Keeper::Store, key.expose()?, salt))
    }

    fn new(keeper: Keeper, key: &[u8; 32], salt: [u8; 32]) -> (Self, ObjectKeys) {
        let keys = ObjectKeys::derive(keeper, key, &salt);
        (Self { salt, verifier: keys.verifier(), keeper }, keys)
    }

    /// Whether the client keeps the key (SSE-C).
    pub(crate) fn is_by_client(&self) -> bool {
        self.keeper == Keeper::Client
    }

    /// Whether the store keeps the key (SSE-S3).
    pub(crate) fn is_by_store(&self) -> bool {
        self.keeper == Keeper::Store
    }

    /// The object's keys; `None` when `key` is not the one that it was encrypted with.
    pub(crate) fn keys(&self, key: &CustomerKey) -> Option<ObjectKeys> {
        self.derive(Keeper::Client, key.expose())
    }

    /// The keys of an object that is under the store's `key`.
    ///
    /// # Errors
    /// As [`StoreKey::expose`]; `InternalError` when the object was encrypted with another key.
    pub(crate) fn keys_of_store(&self, key: &StoreKey) -> S3Result<ObjectKeys> {
        self.derive(Keeper::Store, key.expose()?).ok_or_else(|| {
            tracing::error!("an object is encrypted with another key than the store has");
            s3_error!(InternalError)
        })
    }

    fn derive(&self, keeper: Keeper, key: &[u8; 32]) -> Option<ObjectKeys> {
        let keys = ObjectKeys::derive(keeper, key, &self.salt);
        let is_right = keeper == self.keeper && bool::from(keys.verifier().ct_eq(&self.verifier));
        is_right.then_some(keys)
    }
}

/// The key of a store: random, for all of its objects that no client keeps a key of. Shown as `***`, wiped from memory
/// when dropped. A store that was given nothing to seal it with has none.
#[derive(Clone)]
pub(crate) struct StoreKey(Option<Zeroizing<[u8; 32]>>);

impl StoreKey {
    /// No key.
    pub(crate) const NONE: Self = Self(None);

    /// This key.
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(Some(key))
    }

    /// The key itself. Every use of this is a place where it can leak.
    ///
    /// # Errors
    /// `NotImplemented` where there is none.
    pub(crate) fn expose(&self) -> S3Result<&[u8; 32]> {
        let none = || {
            s3_error!(NotImplemented, "Server-side encryption is not supported here: there is no key for it.")
        };
        self.0.as_deref().ok_or_else(none)
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The keys of one object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectKeys {
    key: Prk,
    keeper: Keeper,
}

/// What has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An object that was put whole.
    Whole,
    /// A part: its number, and the instance that its bytes were staged as, for it may have been sent more than once.
    Part { number: u32, instance: Instance },
}

impl ObjectKeys {
    fn derive(keeper: Keeper, key: &[u8; 32], salt: &[u8; 32]) -> Self {
        Self { key: Salt::new(HKDF_SHA256, salt).extract(key), keeper }
    }

    fn verifier(&self) -> [u8; 32] {
        let mut verifier = [0; 32];
        let derived = self.key.expand(&[b"penstock sse-c verifier"], HKDF_SHA256);
        derived.and_then(|derived| derived.fill(&mut verifier)).expect("HKDF gives 32 bytes");
        verifier
    }

    /// What stands in the entity tag for the MD5 of a part, or of an object put whole, which has the number 0. Under the
    /// store's key, as S3 has it, the MD5. Under a client's key another value: the same for a part that is sent again, and
    /// telling nothing without the key.
    pub(crate) fn etag(&self, number: u32, md5: &[u8; 16]) -> [u8; 16] {
        if self.keeper == Keeper::Store {
            return *md5;
        }
        let mut etag = [0; 32];
        let info = [b"penstock sse-c etag".as_slice(), &number.to_be_bytes(), md5];
        let derived = self.key.expand(&info, HKDF_SHA256);
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
        let derived = self.key.expand(&info, &AES_256_GCM).expect("HKDF gives 32 bytes");
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

    /// Whether the object is under the store's key (SSE-S3): its owner alone opens it, for whoever may read it.
    #[must_use]
    pub fn is_under_store_key(&self) -> bool {
        self.encryption.as_ref().is_some_and(Encryption::is_by_store)
    }

    /// Holds the `key` that a request brings against the object.
    ///
    /// # Errors
    /// `InvalidRequest` for a key without need, or no key where there is need; `AccessDenied` for another one.
    pub(crate) fn verify_key(&self, key: Option<&CustomerKey>) -> S3Result<()> {
        self.unlock_by_client(key).map(drop)
    }

    /// The keys to the object's bytes with the `key` that a request brings, or with that `of_store`; `None` of an object that
    /// is not encrypted.
    ///
    /// # Errors
    /// Those of [`Head::verify_key`] and [`Encryption::keys_of_store`].
    pub(crate) fn unlock(
        &self,
        key: Option<&CustomerKey>,
        of_store: &StoreKey,
    ) -> S3Result<Option<ObjectKeys>> {
        match (self.unlock_by_client(key)?, &self.encryption) {
            (None, Some(encryption)) => encryption.keys_of_store(of_store).map(Some),
            (keys, _) => Ok(keys),
        }
    }

    /// The keys of an object that its client keeps the key of.
    fn unlock_by_client(&self, key: Option<&CustomerKey>) -> S3Result<Option<ObjectKeys>> {
        match (self.encryption.as_ref().filter(|encryption| encryption.is_by_client()), key) {
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
