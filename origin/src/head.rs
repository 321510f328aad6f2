//! What is known of an object and of its bucket without reading a byte of its body.
//!
//! These are the values that `resolve` carries to other nodes and that the store keeps in its rows, so every
//! field that is not essential has a default: rows and peers of an earlier release stay readable.

use std::collections::BTreeMap;

use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::instance::Instance;

/// Bytes in a page: the unit that carries a CRC32C, on disk, on the peer channel and in caches.
pub const PAGE_BYTES: u64 = 64 * 1024;

/// Everything but the bytes of one object version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The name of the exact bytes.
    pub instance: Instance,
    /// Random, new at every change of anything in this head; equal revisions mean equal heads.
    pub revision: Instance,
    /// The object's size in bytes.
    pub bytes: u64,
    /// Without quotes: MD5 in hex, or MD5-of-MD5s and `-N` for a multipart object of N parts.
    pub etag: String,
    /// Milliseconds since 1970; HTTP shows whole seconds.
    pub modified_millis: u64,
    /// `None` for the null version.
    #[serde(default)]
    pub version_id: Option<String>,
    /// The object's own response headers, as S3 returns them.
    #[serde(default)]
    pub headers: StoredHeaders,
    /// User metadata: names without `x-amz-meta-`, lower case.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Checksums given or computed at upload.
    #[serde(default)]
    pub checksums: Checksums,
    /// The parts of a multipart object in order; empty for an object put whole.
    #[serde(default)]
    pub parts: Vec<Part>,
}

/// The headers that S3 keeps with an object and sends back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredHeaders {
    /// `Cache-Control`. Goes to clients; changes nothing in our own caches.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Type`; S3 answers `binary/octet-stream` where none was given.
    pub content_type: Option<String>,
    /// `Expires`, as it was sent.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    pub website_redirect_location: Option<String>,
    /// `x-amz-storage-class`; `None` is STANDARD, which S3 does not send.
    pub storage_class: Option<String>,
}

/// Base64 checksums of an object or a part, as S3 spells them (composite ones end in `-N`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checksums {
    /// `x-amz-checksum-crc32`.
    pub crc32: Option<String>,
    /// `x-amz-checksum-crc32c`.
    pub crc32c: Option<String>,
    /// `x-amz-checksum-crc64nvme`.
    pub crc64nvme: Option<String>,
    /// `x-amz-checksum-sha1`.
    pub sha1: Option<String>,
    /// `x-amz-checksum-sha256`.
    pub sha256: Option<String>,
    /// Whether the values cover the whole object or are made of the parts' values.
    pub kind: Option<ChecksumKind>,
}

/// `x-amz-checksum-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// `FULL_OBJECT`: of all bytes in order.
    FullObject,
    /// `COMPOSITE`: of the parts' checksums.
    Composite,
}

impl ChecksumKind {
    /// S3's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// One part of a multipart object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// 1 to 10,000, rising; gaps are allowed.
    pub number: u32,
    /// The part's size in bytes.
    pub bytes: u64,
    /// The part's own checksums.
    #[serde(default)]
    pub checksums: Checksums,
}

/// What deciding about a request needs to know of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Random, new at every creation of a bucket: a bucket made again under an old name is another one.
    pub incarnation: Instance,
    /// Random, new at every change of these facts.
    pub revision: Instance,
    /// The account that made the bucket.
    pub owner: String,
}

impl Facts {
    /// Holds the bucket against `x-amz-expected-bucket-owner`.
    ///
    /// # Errors
    /// `AccessDenied` when the client named another account than the bucket's owner.
    pub fn verify_owner(&self, expected: Option<&str>) -> S3Result<()> {
        match expected {
            Some(account) if account != self.owner => Err(s3_error!(AccessDenied, "Access Denied")),
            _ => Ok(()),
        }
    }
}
