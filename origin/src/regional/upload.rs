//! Bytes on their way in: staged durably beside the store, part of it once a commit publishes them.
//!
//! Few bytes stay in memory and go into the instance's row. More go to a file as they come: one write runs while
//! the next is gathered, so an upload holds at most two gathers of [`GATHER_BYTES`], each lent by the store
//! (`buffers.rs`), or one of [`GATHER_BYTES_MIN`] where it has nothing to lend, written before more is taken; and page sums are computed on the way.
//! Dirty pages are sent to the disk every [`SYNC_BYTES`], or the last sync would wait for all of them.
//!
//! Bytes that are to be encrypted are sealed before anything else is done with them, which holds one page more.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use s3s::{S3Error, s3_error};
use tokio::task::JoinHandle;

use super::buffers::Loan;
use super::failure::Failure;
use super::files::{Aside, Files};
use crate::encryption::{Sealer, sealed_bytes};
use crate::head::PAGE_BYTES;
use crate::instance::Instance;

/// Bytes of one write to a file.
const GATHER_BYTES: u64 = 512 * 1024;
/// Bytes that are gathered without a loan.
const GATHER_BYTES_MIN: u64 = 32 * 1024;
/// What is lent for a gather: those who hash it hold half as much again for a moment longer.
const LOAN_BYTES: u64 = GATHER_BYTES + GATHER_BYTES / 2;
/// Pieces that are kept as they came; more are made one. Each may keep a larger buffer of the network alive.
const GATHER_PIECES: usize = 128;
/// Bytes between two syncs of a long upload.
const SYNC_BYTES: u64 = 32 * 1024 * 1024;
/// Disk space reserved at a time.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// S3's limit on one upload and on one part.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Where staged bytes may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Into the row up to this many bytes, else into a file.
    RowUpTo(u64),
    /// Into a file whatever the size, for parts: they are joined without a look at their bytes.
    File,
}

/// An upload in progress. Dropping it removes what it wrote.
pub(crate) struct Upload {
    instance: Instance,
    placement: Placement,
    files: Files,
    /// Of an encrypted upload.
    sealer: Option<Sealer>,
    /// Bytes that came.
    taken_bytes: u64,
    /// `Some` once bytes go to a file.
    file: Option<Arc<Aside>>,
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// For what is gathered; `None` up to [`GATHER_BYTES_MIN`].
    loan: Option<Loan>,
    /// The last gather was written early, for want of a loan.
    is_short_of_memory: bool,
    /// Bytes to store, of those that came.
    bytes: u64,
    expected_bytes: Option<u64>,
    reserved_bytes: u64,
    synced_bytes: u64,
    sums: PageSums,
    writing: Option<JoinHandle<Result<(), Failure>>>,
    syncing: Option<JoinHandle<Result<(), Failure>>>,
}

/// Bytes that are durable but not part of the store yet. Dropping it removes them.
pub(crate) struct Staged {
    pub(super) instance: Instance,
    pub(super) stored_bytes: u64,
    pub(super) content: StagedContent,
    taken_bytes: u64,
}

pub(super) enum StagedContent {
    Inline(Bytes),
    File { aside: Aside, sums: Vec<u32> },
}

impl Staged {
    /// The size in bytes, as they came.
    pub(crate) fn bytes(&self) -> u64 {
        self.taken_bytes
    }
}

impl Upload {
    pub(super) fn new(
        instance: Instance,
        placement: Placement,
        files: Files,
        expected_bytes: Option<u64>,
        sealer: Option<Sealer>,
    ) -> Self {
        let expected_bytes = match sealer {
            Some(_) => expected_bytes.map(sealed_bytes),
            None => expected_bytes,
        };
        Self {
            instance,
            placement,
            files,
            sealer,
            taken_bytes: 0,
            file: None,
            gathered: Vec::new(),
            gathered_bytes: 0,
            loan: None,
            is_short_of_memory: false,
            bytes: 0,
            expected_bytes,
            reserved_bytes: 0,
            synced_bytes: 0,
            sums: PageSums::new(),
            writing: None,
            syncing: None,
        }
    }

    /// Takes the next bytes. Returns when there is room for more, not when they are written.
    ///
    /// # Errors
    /// `EntityTooLarge` past [`UPLOAD_BYTES_MAX`]; `ServiceUnavailable` when the disk is full; `InternalError` when
    /// it fails. Nothing of the upload is left then, once it is dropped.
    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<(), S3Error> {
        self.taken_bytes += bytes.len() as u64;
        if self.taken_bytes > UPLOAD_BYTES_MAX {
            return Err(s3_error!(EntityTooLarge));
        }
        while let Some(page) = self.sealer.as_mut().and_then(|sealer| sealer.next(&mut bytes)) {
            self.store(page).await?;
        }
        // All of them, where none are to be sealed.
        Ok(self.store(bytes).await?)
    }

    async fn store(&mut self, bytes: Bytes) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        self.sums.update(&bytes);
        self.gathered_bytes += bytes.len() as u64;
        self.gathered.push(bytes);
        if self.gathered_bytes >= GATHER_BYTES || !self.may_gather() {
            self.write_gathered().await?;
        } else if self.gathered.len() >= GATHER_PIECES {
            self.pack();
        }
        Ok(())
    }

    /// Whether whoever else holds bytes of this upload should let go of them soon.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.is_short_of_memory
    }

    /// Whether more may be gathered than is: asks for a loan where it takes one. The few bytes of a row need none.
    fn may_gather(&mut self) -> bool {
        if self.loan.is_none() && self.gathered_bytes >= GATHER_BYTES_MIN && !self.is_inline() {
            self.loan = self.files.buffers.gather(LOAN_BYTES);
            self.is_short_of_memory = self.loan.is_none();
        }
        !self.is_short_of_memory || self.gathered_bytes < GATHER_BYTES_MIN
    }

    /// Makes all bytes durable.
    ///
    /// # Errors
    /// As [`Upload::write`].
    pub(crate) async fn finish(mut self) -> Result<Staged, S3Error> {
        if let Some(page) = self.sealer.take().and_then(Sealer::finish) {
            self.store(page).await?;
        }
        let (instance, stored_bytes, taken_bytes) = (self.instance, self.bytes, self.taken_bytes);
        let staged = |content| Staged { instance, stored_bytes, content, taken_bytes };
        if self.is_inline() {
            self.pack();
            let inline = self.gathered.pop().unwrap_or_default();
            return Ok(staged(StagedContent::Inline(inline)));
        }
        self.write_gathered().await?;
        settle(&mut self.writing).await?;
        settle(&mut self.syncing).await?;
        let file = match self.file.take() {
            Some(file) => file,
            None => self.create().await?,
        };
        let aside = self
            .files
            .run(move || {
                file.finish(stored_bytes)?;
                Ok(Arc::into_inner(file).expect("every write of the file has ended"))
            })
            .await?;
        let sums = std::mem::replace(&mut self.sums, PageSums::new()).finish();
        Ok(staged(StagedContent::File { aside, sums }))
    }

    fn is_inline(&self) -> bool {
        matches!(self.placement, Placement::RowUpTo(limit) if self.file.is_none() && self.bytes <= limit)
    }

    /// Makes what is gathered one piece of its own, so that it keeps no larger buffers alive.
    fn pack(&mut self) {
        let mut packed = BytesMut::with_capacity(self.gathered_bytes as usize);
        for piece in self.gathered.drain(..) {
            packed.extend_from_slice(&piece);
        }
        self.gathered.push(packed.freeze());
    }

    async fn write_gathered(&mut self) -> Result<(), Failure> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let file = self.create().await?;
                self.file.insert(file).clone()
            }
        };
        settle(&mut self.writing).await?;
        let pieces = std::mem::take(&mut self.gathered);
        let end = self.bytes;
        let offset = end - std::mem::take(&mut self.gathered_bytes);
        self.start_sync(&file, offset).await?;
        let reservation = self.next_reservation(end);
        let loan = self.loan.take();
        self.writing = Some(self.files.start(move || {
            let _loan = loan;
            if let Some((from, bytes)) = reservation {
                file.reserve(from, bytes)?;
            }
            Ok(file.write(&pieces, offset)?)
        }));
        if self.is_short_of_memory {
            settle(&mut self.writing).await?;
        }
        Ok(())
    }

    async fn create(&self) -> Result<Arc<Aside>, Failure> {
        let (files, instance) = (self.files.clone(), self.instance);
        self.files.run(move || Ok(Arc::new(files.create(instance)?))).await
    }

    /// Space to reserve before bytes up to `end` are written: a step at a time, for a client may promise much and
    /// send nothing.
    fn next_reservation(&mut self, end: u64) -> Option<(u64, u64)> {
        if end <= self.reserved_bytes {
            return None;
        }
        let from = self.reserved_bytes;
        let step = match self.expected_bytes {
            Some(promised) => promised.saturating_sub(from).min(RESERVE_BYTES),
            None => end.min(RESERVE_BYTES),
        };
        self.reserved_bytes = (from + step).max(end);
        Some((from, self.reserved_bytes - from))
    }

    async fn start_sync(&mut self, file: &Arc<Aside>, written: u64) -> Result<(), Failure> {
        if written - self.synced_bytes < SYNC_BYTES {
            return Ok(());
        }
        settle(&mut self.syncing).await?;
        self.synced_bytes = written;
        let file = Arc::clone(file);
        self.syncing = Some(self.files.start(move || Ok(file.sync_data()?)));
        Ok(())
    }
}

async fn settle(running: &mut Option<JoinHandle<Result<(), Failure>>>) -> Result<(), Failure> {
    match running.take() {
        Some(task) => task.await.unwrap_or_else(|lost| Err(Failure::Io(std::io::Error::other(lost)))),
        None => Ok(()),
    }
}

/// CRC32Cs of pages, computed as their bytes pass.
struct PageSums {
    done: Vec<u32>,
    page: Digest,
    page_bytes: u64,
}

impl PageSums {
    fn new() -> Self {
        Self { done: Vec::new(), page: Digest::new(CrcAlgorithm::Crc32Iscsi), page_bytes: 0 }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (PAGE_BYTES - self.page_bytes) as usize;
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.page.update(now);
            self.page_bytes += now.len() as u64;
            if self.page_bytes == PAGE_BYTES {
                self.end_page();
            }
            bytes = rest;
        }
    }

    fn end_page(&mut self) {
        self.done.push(self.page.finalize_reset() as u32);
        self.page_bytes = 0;
    }

    fn finish(mut self) -> Vec<u32> {
        if self.page_bytes > 0 {
            self.end_page();
        }
        self.done
    }
}

#[cfg(test)]
impl Upload {
    /// As if `bytes` more bytes had been taken.
    pub(super) fn test_skip(&mut self, bytes: u64) -> &mut Self {
        self.taken_bytes += bytes;
        self
    }
}
