//! Reading an instance: its pages in order, each verified before it leaves.
//!
//! A page that is wanted alone is read where it is asked for, if it is in memory (`at_hand.rs`). More are read in runs of
//! at most [`RUN_BYTES`] on blocking threads, the next run while the last is taken; page by page where the store has no
//! memory to lend for that (`buffers.rs`), which holds one page a reader. A page of an
//! instance is mostly a page of one file and carries that page's sum. Where parts meet inside a page, the
//! file pages around the seam are each read and verified whole, and the sum is computed over what is put together.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crc_fast::crc32_iscsi;
use futures::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::buffers::{Buffer, RUN_BYTES};
use super::db::ReadRows;
use super::disk::Disk;
use super::failure::Failure;
use super::files::pages_in;
use super::layout;
use super::readers::Reading;
use super::rows::{Content, InstanceRow, Reads, Segment};
use super::table::Table;
use crate::head::PAGE_BYTES;
use crate::instance::Instance;

const RUN_PAGES: u64 = RUN_BYTES as u64 / PAGE_BYTES;

/// One page of an instance: 64 KiB, the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page's bytes.
    #[serde(with = "page_bytes")]
    pub bytes: Bytes,
    /// The CRC32C of the bytes. They were verified.
    pub crc32c: u32,
}

impl Page {
    /// Whether the bytes still are what the sum was computed over: to be asked after a journey.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        crc32_iscsi(&self.bytes) == self.crc32c
    }
}

mod page_bytes {
    //! [`Bytes`](bytes::Bytes) as a byte string.

    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(bytes, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bytes::Bytes, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(from).map(bytes::Bytes::from)
    }
}

/// Pages of an instance in order. Ends in an error or after the last page that was asked for, never silently early.
pub type PageStream = BoxStream<'static, Result<Page, ReadError>>;

/// Why an instance cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The instance is not here: superseded longer ago than its grace, or never was.
    #[error("the instance is gone")]
    Gone,
    /// What the disk returned is not what was written.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// The disk refused.
    #[error("disk: {0}")]
    Io(#[from] io::Error),
    /// The store was closed meanwhile.
    #[error("the store is closed")]
    Closed,
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Corrupt(what) => Self::Corrupt(what),
            Failure::Io(cause) => Self::Io(cause),
            Failure::NotOpen => Self::Io(io::Error::other(failure)),
            Failure::Closed => Self::Closed,
        }
    }
}

/// The pages of `instance` in `pages`, cut to those it has.
pub(super) async fn read(
    disk: Arc<Disk>,
    reading: Reading,
    instance: Instance,
    pages: Range<u64>,
) -> Result<PageStream, ReadError> {
    let row = disk.read_few(move |disk| instance_row(disk, &instance)).await?.ok_or(ReadError::Gone)?;
    let pages = pages.start..pages.end.min(pages_in(row.bytes));
    if let Content::Inline(inline) = row.content {
        disk.metrics.read(inline.len() as u64);
        let page = (!pages.is_empty()).then(|| Ok(inline_page(Bytes::from(inline))));
        return Ok(stream::iter(page).boxed());
    }
    let mut cursor = Cursor {
        disk,
        _reading: reading,
        instance,
        instance_bytes: row.bytes,
        next: pages.start,
        end: pages.end.max(pages.start),
        ready: VecDeque::new(),
        running: None,
        file: None,
    };
    match cursor.read_here() {
        None => cursor.read_ahead(),
        Some(Ok(run)) => cursor.ready = run.pages,
        Some(Err(failure)) => return Err(cursor.explain(failure).await),
    }
    Ok(stream::unfold(Some(cursor), |cursor| async move {
        let mut cursor = cursor?;
        match cursor.next().await {
            Ok(Some(page)) => Some((Ok(page), Some(cursor))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}

/// The one page of an instance that is kept in its row.
pub(super) fn inline_page(bytes: Bytes) -> Page {
    let crc32c = crc32_iscsi(&bytes);
    Page { bytes, crc32c }
}

fn instance_row(disk: &Disk, instance: &Instance) -> Result<Option<InstanceRow>, Failure> {
    disk.db.snapshot()?.decoded(Table::Instances, instance.as_bytes())
}

struct Cursor {
    disk: Arc<Disk>,
    _reading: Reading,
    instance: Instance,
    instance_bytes: u64,
    next: u64,
    end: u64,
    ready: VecDeque<Page>,
    running: Option<JoinHandle<Result<Run, Failure>>>,
    /// The file read last: most runs go on in it.
    file: Option<OpenFile>,
}

struct Run {
    pages: VecDeque<Page>,
    file: Option<OpenFile>,
}

#[derive(Clone)]
struct OpenFile {
    id: Instance,
    file: Arc<File>,
    bytes: u64,
}

impl Cursor {
    async fn next(&mut self) -> Result<Option<Page>, ReadError> {
        if self.ready.is_empty() {
            let Some(running) = self.running.take().or_else(|| self.start_one()) else { return Ok(None) };
            match running.await.unwrap_or_else(|lost| Err(Failure::Io(io::Error::other(lost)))) {
                Ok(run) => (self.ready, self.file) = (run.pages, run.file),
                Err(failure) => return Err(self.explain(failure).await),
            }
            self.read_ahead();
        }
        let page = self.ready.pop_front();
        if let Some(page) = &page {
            self.disk.metrics.read(page.bytes.len() as u64);
        }
        Ok(page)
    }

    /// Reads the only page that is wanted where it is asked for, if it is likely to be in memory.
    fn read_here(&mut self) -> Option<Result<Run, Failure>> {
        let at_hand = &self.disk.files.at_hand;
        if self.end - self.next != 1 || !at_hand.is_likely() {
            return None;
        }
        let bytes = self.bytes_of(self.next..self.end);
        self.next = self.end;
        Some(at_hand.run(|| read_run(&self.disk, &self.instance, bytes, None, None)))
    }

    /// Starts on the next run, if the store lends the memory for it.
    fn read_ahead(&mut self) {
        let pages_count = RUN_PAGES.min(self.end - self.next);
        if pages_count > 0 {
            let buffer = self.disk.files.buffers.run();
            self.running = buffer.map(|buffer| self.start(pages_count, buffer));
        }
    }

    /// Starts on the next page alone, which needs no loan; `None` when there is none.
    fn start_one(&mut self) -> Option<JoinHandle<Result<Run, Failure>>> {
        (self.next < self.end).then(|| self.start(1, Buffer::own(PAGE_BYTES as usize)))
    }

    fn start(&mut self, pages_count: u64, buffer: Buffer) -> JoinHandle<Result<Run, Failure>> {
        let pages = self.next..self.next + pages_count;
        self.next = pages.end;
        let (disk, instance, file) = (Arc::clone(&self.disk), self.instance, self.file.take());
        let bytes = self.bytes_of(pages);
        self.disk.files.start(move || read_run(&disk, &instance, bytes, file, Some(buffer)))
    }

    fn bytes_of(&self, pages: Range<u64>) -> Range<u64> {
        pages.start * PAGE_BYTES..(pages.end * PAGE_BYTES).min(self.instance_bytes)
    }

    /// A file that is not there is no damage if its instance has meanwhile gone too, and nothing is one of a closed store.
    async fn explain(&self, failure: Failure) -> ReadError {
        if matches!(failure, Failure::Closed) {
            return ReadError::Closed;
        }
        let instance = self.instance;
        let row = self.disk.read_few(move |disk| instance_row(disk, &instance)).await;
        if matches!(row, Ok(None)) {
            return ReadError::Gone;
        }
        if matches!(failure, Failure::Corrupt(_)) {
            self.disk.metrics.corrupt();
        }
        tracing::error!(instance = %self.instance, %failure, "instance cannot be read");
        failure.into()
    }
}

fn read_run(
    disk: &Disk,
    instance: &Instance,
    bytes: Range<u64>,
    file: Option<OpenFile>,
    buffer: Option<Buffer>,
) -> Result<Run, Failure> {
    let rows = disk.db.snapshot()?;
    let segments = layout::segments(&rows, instance, bytes.clone())?;
    let mut reader = Reader { disk, rows, file, buffer };
    let mut pages = VecDeque::with_capacity(RUN_PAGES as usize);
    let mut seam = BytesMut::new();
    for segment in segments {
        reader.pages_of(segment, &mut seam, &mut pages)?;
    }
    if !seam.is_empty() {
        pages.push_back(inline_page(seam.freeze()));
    }
    Ok(Run { pages, file: reader.file })
}

struct Reader<'a, R> {
    disk: &'a Disk,
    rows: R,
    file: Option<OpenFile>,
    /// For the first segment; there is seldom another.
    buffer: Option<Buffer>,
}

impl<R: ReadRows> Reader<'_, R> {
    /// Reads a segment. Its start fills up the page in `seam`, if there is one; what is left of its end goes there.
    fn pages_of(
        &mut self,
        segment: Segment,
        seam: &mut BytesMut,
        pages: &mut VecDeque<Page>,
    ) -> Result<(), Failure> {
        let file_pages = self.verified(&segment)?;
        let first = segment.offset / PAGE_BYTES;
        for (page, index) in file_pages.into_iter().zip(first..) {
            let start = index * PAGE_BYTES;
            let from = segment.offset.saturating_sub(start);
            let to = (segment.offset + segment.bytes - start).min(page.bytes.len() as u64);
            if seam.is_empty() && from == 0 && to == PAGE_BYTES {
                pages.push_back(page);
                continue;
            }
            let mut rest = page.bytes.slice(from as usize..to as usize);
            while !rest.is_empty() {
                let room = (PAGE_BYTES as usize - seam.len()).min(rest.len());
                seam.extend_from_slice(&rest.split_to(room));
                if seam.len() as u64 == PAGE_BYTES {
                    pages.push_back(inline_page(seam.split().freeze()));
                }
            }
        }
        Ok(())
    }

    /// The pages of the file that `segment` touches, whole.
    fn verified(&mut self, segment: &Segment) -> Result<Vec<Page>, Failure> {
        let OpenFile { file, bytes, .. } = self.open(&segment.file)?;
        let touched = segment.offset / PAGE_BYTES..pages_in(segment.offset + segment.bytes);
        let sums = layout::sums(&self.rows, &segment.file, touched.clone())?;
        let start = touched.start * PAGE_BYTES;
        let mut read = self.disk.files.read(
            &file,
            start,
            (touched.end * PAGE_BYTES).min(bytes) - start,
            self.buffer.take(),
        )?;
        let mut pages = Vec::with_capacity(sums.len());
        for (crc32c, index) in sums.into_iter().zip(touched) {
            let page = read.split_to((PAGE_BYTES as usize).min(read.len()));
            if crc32_iscsi(&page) != crc32c {
                return Err(Failure::Corrupt(format!("page {index} of file {}", segment.file)));
            }
            pages.push(Page { bytes: page, crc32c });
        }
        Ok(pages)
    }

    fn open(&mut self, id: &Instance) -> Result<OpenFile, Failure> {
        if let Some(open) = self.file.as_ref().filter(|open| open.id == *id) {
            return Ok(open.clone());
        }
        let row = layout::file(&self.rows, id)?;
        let file = Arc::new(self.disk.files.open_file(row.epoch, id)?);
        let open = OpenFile { id: *id, file, bytes: row.bytes };
        self.file = Some(open.clone());
        Ok(open)
    }
}
