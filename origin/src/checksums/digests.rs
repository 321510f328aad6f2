//! MD5 and checksums of a body, computed on blocking threads while the next bytes are received and written.

use std::mem;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use s3s::{S3Error, S3Result, s3_error};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Algorithm;
use crate::head::Checksums;

/// Bytes that are hashed in one go: some 400 µs of MD5, against some 10 µs for handing the work over.
const BATCH_BYTES: usize = 256 * 1024;

/// Digests of the bytes so far. At most one batch is being hashed and one more collected, so a body holds up to
/// 2 × [`BATCH_BYTES`] plus one piece. Dropping it leaves at most one batch to finish on its thread.
pub(crate) struct Digests {
    /// Here unless a batch is being hashed.
    hashers: Option<Box<Hashers>>,
    hashing: Option<JoinHandle<Box<Hashers>>>,
    collected: Vec<Bytes>,
    collected_bytes: usize,
}

/// An MD5 and checksums, computed where they are asked for.
pub(super) struct Hashers {
    bytes: u64,
    md5: Md5,
    checksums: Vec<(Algorithm, Hasher)>,
}

enum Hasher {
    Crc(crc_fast::Digest),
    Sha(Context),
}

/// What a whole body turned out to have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digested {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its MD5: the ETag, before it is written in hex.
    pub(crate) md5: [u8; 16],
    /// A value for each algorithm that was asked for.
    pub(crate) checksums: Checksums,
}

impl Digests {
    /// Starts on an MD5 and these checksums.
    pub(crate) fn new(algorithms: &[Algorithm]) -> Self {
        let hashers = Some(Box::new(Hashers::new(algorithms)));
        Self { hashers, hashing: None, collected: Vec::new(), collected_bytes: 0 }
    }

    /// Takes the next bytes; waits only while the batch before the last is still being hashed.
    ///
    /// # Errors
    /// `InternalError` when hashing broke down.
    pub(crate) async fn update(&mut self, piece: Bytes) -> S3Result<()> {
        self.collected_bytes += piece.len();
        self.collected.push(piece);
        if self.collected_bytes < BATCH_BYTES {
            return Ok(());
        }
        self.hash_collected().await
    }

    /// Hashes what is collected without waiting for a whole batch; nothing is held when this returns.
    ///
    /// # Errors
    /// As [`Digests::update`].
    pub(crate) async fn let_go(&mut self) -> S3Result<()> {
        if !self.collected.is_empty() {
            self.hash_collected().await?;
        }
        let hashers = self.idle().await?;
        self.hashers = Some(hashers);
        Ok(())
    }

    async fn hash_collected(&mut self) -> S3Result<()> {
        let mut hashers = self.idle().await?;
        let batch = mem::take(&mut self.collected);
        self.collected_bytes = 0;
        self.hashing = Some(spawn_blocking(move || {
            batch.iter().for_each(|piece| hashers.update(piece));
            hashers
        }));
        Ok(())
    }

    /// The digests of all bytes.
    ///
    /// # Errors
    /// As [`Digests::update`].
    pub(crate) async fn finish(mut self) -> S3Result<Digested> {
        let mut hashers = self.idle().await?;
        self.collected.iter().for_each(|piece| hashers.update(piece));
        Ok(hashers.finish())
    }

    /// Takes the hashers, once no batch is being hashed.
    async fn idle(&mut self) -> S3Result<Box<Hashers>> {
        if let Some(batch) = &mut self.hashing {
            let hashed = batch.await;
            self.hashing = None;
            self.hashers = Some(hashed.map_err(S3Error::internal_error)?);
        }
        self.hashers.take().ok_or_else(|| s3_error!(InternalError))
    }
}

impl Hashers {
    pub(super) fn new(algorithms: &[Algorithm]) -> Self {
        let checksums = algorithms.iter().map(|algorithm| (*algorithm, Hasher::new(*algorithm))).collect();
        Self { bytes: 0, md5: Md5::new(), checksums }
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.md5.update(piece);
        for (_, hasher) in &mut self.checksums {
            hasher.update(piece);
        }
    }

    pub(super) fn finish(self) -> Digested {
        let mut checksums = Checksums::default();
        for (algorithm, hasher) in self.checksums {
            *checksums.slot(algorithm) = Some(BASE64.encode(hasher.finish(algorithm)));
        }
        Digested { bytes: self.bytes, md5: self.md5.finalize().into(), checksums }
    }
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm.crc() {
            Some(crc) => Self::Crc(crc_fast::Digest::new(crc)),
            None if algorithm == Algorithm::Sha1 => Self::Sha(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            None => Self::Sha(Context::new(&SHA256)),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Crc(crc) => crc.update(piece),
            Self::Sha(sha) => sha.update(piece),
        }
    }

    fn finish(self, algorithm: Algorithm) -> Vec<u8> {
        match self {
            Self::Crc(crc) => algorithm.crc_bytes(crc.finalize()),
            Self::Sha(sha) => sha.finish().as_ref().to_vec(),
        }
    }
}

impl Algorithm {
    /// A CRC as S3 sends it: big-endian, as wide as the algorithm.
    pub(super) fn crc_bytes(self, crc: u64) -> Vec<u8> {
        let bytes = crc.to_be_bytes();
        match self {
            Self::Crc32 | Self::Crc32c => bytes[4..].to_vec(),
            Self::Crc64Nvme | Self::Sha1 | Self::Sha256 => bytes.to_vec(),
        }
    }

    /// The checksum of these bytes, not in base64.
    pub(super) fn checksum(self, data: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(self);
        hasher.update(data);
        hasher.finish(self)
    }
}
