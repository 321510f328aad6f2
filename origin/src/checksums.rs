//! Checksums of uploads: computed in one pass with the MD5 of the ETag, held against what the client announced.
//!
//! [`Announced`] is what a request promises about its body, [`Digests`] what the bytes turn out to have, and
//! [`Announced::verify`] compares the two once the body and its trailers are in. An upload without a checksum
//! gets a CRC64NVME, as S3 gives one today. `parts` makes an object's checksum out of those of its parts.

mod announced;
mod digests;
mod document;
mod parts;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use http::HeaderName;
use s3s::header::{
    X_AMZ_CHECKSUM_CRC32, X_AMZ_CHECKSUM_CRC32C, X_AMZ_CHECKSUM_CRC64NVME, X_AMZ_CHECKSUM_SHA1,
    X_AMZ_CHECKSUM_SHA256,
};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

pub(crate) use self::announced::Announced;
pub(crate) use self::digests::{Digested, Digests};
pub use self::document::DocumentDigests;
pub(crate) use self::parts::{PartSum, multipart_checksum, multipart_etag};
use crate::head::{ChecksumKind, Checksums};

/// The checksum algorithms of S3 that we compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// What S3 computes when the client asks for none.
    pub(crate) const DEFAULT: Self = Self::Crc64Nvme;

    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// S3's name, as in `x-amz-checksum-algorithm`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header and trailer that carries it.
    pub(crate) const fn header(self) -> HeaderName {
        match self {
            Self::Crc32 => X_AMZ_CHECKSUM_CRC32,
            Self::Crc32c => X_AMZ_CHECKSUM_CRC32C,
            Self::Crc64Nvme => X_AMZ_CHECKSUM_CRC64NVME,
            Self::Sha1 => X_AMZ_CHECKSUM_SHA1,
            Self::Sha256 => X_AMZ_CHECKSUM_SHA256,
        }
    }

    /// The algorithm of this name.
    ///
    /// # Errors
    /// `InvalidRequest` when S3 does not know it or we do not.
    pub(crate) fn parse(name: &str) -> S3Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported: {name}"))
    }

    /// Decodes one checksum; `None` when it is not base64 of this algorithm's length.
    pub(crate) fn decode(self, base64: &str) -> Option<Vec<u8>> {
        let length = match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        };
        BASE64.decode(base64).ok().filter(|value| value.len() == length)
    }

    /// How a multipart object's checksum is made when the client does not say.
    pub(crate) const fn default_kind(self) -> ChecksumKind {
        match self {
            Self::Crc64Nvme => ChecksumKind::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => ChecksumKind::Composite,
        }
    }

    /// Whether S3 makes multipart checksums of this kind: only CRCs combine, and CRC64NVME does nothing else.
    pub(crate) const fn supports(self, kind: ChecksumKind) -> bool {
        match (self, kind) {
            (Self::Crc32 | Self::Crc32c, _) => true,
            (Self::Crc64Nvme, ChecksumKind::FullObject) => true,
            (Self::Sha1 | Self::Sha256, ChecksumKind::Composite) => true,
            (Self::Crc64Nvme, ChecksumKind::Composite)
            | (Self::Sha1 | Self::Sha256, ChecksumKind::FullObject) => false,
        }
    }

    const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

impl Checksums {
    /// One checksum of this kind.
    pub(crate) fn of(algorithm: Algorithm, value: String, kind: ChecksumKind) -> Self {
        let mut checksums = Self { kind: Some(kind), ..Self::default() };
        *checksums.slot(algorithm) = Some(value);
        checksums
    }

    /// The same values, as those of a whole object.
    pub(crate) fn of_full_object(self) -> Self {
        Self { kind: Some(ChecksumKind::FullObject), ..self }
    }

    /// The base64 value under this algorithm.
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Crc32 => self.crc32.as_deref(),
            Algorithm::Crc32c => self.crc32c.as_deref(),
            Algorithm::Crc64Nvme => self.crc64nvme.as_deref(),
            Algorithm::Sha1 => self.sha1.as_deref(),
            Algorithm::Sha256 => self.sha256.as_deref(),
        }
    }

    /// The algorithms there are values for.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        Algorithm::ALL.into_iter().filter(|algorithm| self.get(*algorithm).is_some())
    }

    fn slot(&mut self, algorithm: Algorithm) -> &mut Option<String> {
        match algorithm {
            Algorithm::Crc32 => &mut self.crc32,
            Algorithm::Crc32c => &mut self.crc32c,
            Algorithm::Crc64Nvme => &mut self.crc64nvme,
            Algorithm::Sha1 => &mut self.sha1,
            Algorithm::Sha256 => &mut self.sha256,
        }
    }
}
