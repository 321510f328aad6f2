//! The digests of a document: a request's small body, which somebody else collects and reads. It is held against what
//! the request announces before anything is done that it says.

use std::fmt;

use http::HeaderMap;
use s3s::S3Result;

use super::digests::Hashers;
use super::{Algorithm, Announced};

/// What a request announces of its document, and the digests of the bytes so far.
pub struct DocumentDigests {
    announced: Announced,
    hashers: Hashers,
}

impl DocumentDigests {
    /// Reads `Content-MD5` and the checksum headers.
    ///
    /// # Errors
    /// Those of a malformed digest: `InvalidDigest`, `BadDigest`, `InvalidRequest`, and `NotImplemented` for an algorithm that we do
    /// not compute.
    pub fn parse(headers: &HeaderMap) -> S3Result<Self> {
        let announced = Announced::parse(headers)?;
        let algorithms: Vec<Algorithm> = announced.algorithm().into_iter().collect();
        Ok(Self { announced, hashers: Hashers::new(&algorithms) })
    }

    /// Whether there is anything to hold the document against.
    #[must_use]
    pub fn are_announced(&self) -> bool {
        self.announced != Announced::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, piece: &[u8]) {
        self.hashers.update(piece);
    }

    /// Holds the digests of all bytes against those that were announced.
    ///
    /// # Errors
    /// `BadDigest` when one differs.
    pub fn verify(self) -> S3Result<()> {
        self.announced.verify(&self.hashers.finish(), None)
    }
}

impl fmt::Debug for DocumentDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.announced.fmt(f)
    }
}
