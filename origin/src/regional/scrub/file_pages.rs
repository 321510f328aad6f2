//! Pages of data files, read from the disk and held against their sums.

use std::io;
use std::ops::Range;

use crc_fast::crc32_iscsi;

use super::damage::DamageKind;
use crate::head::PAGE_BYTES;
use crate::instance::Instance;
use crate::regional::buffers::RUN_BYTES;
use crate::regional::db::ReadRows;
use crate::regional::direct::{AlignedBuffer, DirectFile};
use crate::regional::disk::Disk;
use crate::regional::failure::Failure;
use crate::regional::files::pages_in;
use crate::regional::layout;
use crate::regional::rows::Segment;

/// What was read of a segment.
#[derive(Default)]
pub(super) struct Verified {
    pub(super) read_bytes: u64,
    pub(super) bad: Vec<Bad>,
}

/// Bytes of a segment, counted from where it begins, that are not as they were written.
pub(super) struct Bad {
    pub(super) bytes: Range<u64>,
    pub(super) kind: DamageKind,
    pub(super) file: String,
    pub(super) said: String,
}

/// Reads data files, one after the other.
pub(super) struct FileReader {
    buffer: AlignedBuffer,
    /// The file read last: most segments go on in it.
    open: Option<Open>,
}

struct Open {
    id: Instance,
    file: DirectFile,
    bytes: u64,
}

/// Bytes of a file, and what is wrong with them.
type Found = (Range<u64>, DamageKind, String);

impl FileReader {
    pub(super) fn new() -> Self {
        // A run that begins and ends inside of a page.
        Self { buffer: AlignedBuffer::new(RUN_BYTES + 2 * PAGE_BYTES as usize), open: None }
    }

    /// Reads a segment of at most [`RUN_BYTES`] in whole pages.
    ///
    /// # Errors
    /// What the metadata failed with: then nothing was read.
    pub(super) fn verify(
        &mut self,
        disk: &Disk,
        rows: &impl ReadRows,
        segment: &Segment,
    ) -> Result<Verified, Failure> {
        let row = layout::file(rows, &segment.file)?;
        if segment.offset + segment.bytes > row.bytes {
            return Err(Failure::Corrupt(format!("a segment goes on past the end of file {}", segment.file)));
        }
        let pages = segment.offset / PAGE_BYTES..pages_in(segment.offset + segment.bytes);
        let sums = layout::sums(rows, &segment.file, pages.clone())?;
        let touched = pages.start * PAGE_BYTES..(pages.end * PAGE_BYTES).min(row.bytes);
        let mut found = Vec::new();
        let read_bytes = match self.open(disk, row.epoch, &segment.file) {
            Err(cause) => {
                found.push(refused(touched, &cause));
                0
            }
            Ok(there_bytes) => {
                let there = there_in(&touched, row.bytes, there_bytes, &mut found);
                self.read(disk, there.clone(), &sums, &mut found);
                there.end - there.start
            }
        };
        let path = disk.files.path(row.epoch, &segment.file);
        let path = path.strip_prefix(disk.files.dir()).unwrap_or(&path).display();
        let bad = found.into_iter().filter_map(|(bytes, kind, said)| {
            let from = bytes.start.saturating_sub(segment.offset);
            let to = bytes.end.min(segment.offset + segment.bytes).saturating_sub(segment.offset);
            (from < to).then(|| Bad { bytes: from..to, kind, file: path.to_string(), said })
        });
        Ok(Verified { read_bytes, bad: bad.collect() })
    }

    /// Opens a file, unless it is; how long it is.
    fn open(&mut self, disk: &Disk, epoch: u64, id: &Instance) -> io::Result<u64> {
        if let Some(open) = self.open.as_ref().filter(|open| open.id == *id) {
            return Ok(open.bytes);
        }
        let file = disk.files.open_direct(epoch, id)?;
        let bytes = file.bytes()?;
        self.open = Some(Open { id: *id, file, bytes });
        Ok(bytes)
    }

    /// Reads `bytes` of the open file, which are whole pages with these sums: all at once, or each alone where that is refused.
    fn read(&mut self, disk: &Disk, bytes: Range<u64>, sums: &[u32], found: &mut Vec<Found>) {
        let Some(open) = self.open.as_ref().filter(|_| !bytes.is_empty()) else { return };
        let pages = (bytes.start..bytes.end).step_by(PAGE_BYTES as usize);
        let page = |start: u64| start..(start + PAGE_BYTES).min(bytes.end);
        let length = (bytes.end - bytes.start) as usize;
        match disk.files.read_direct(&open.file, &mut self.buffer, bytes.start, length) {
            Ok(read) => {
                for ((start, read), sum) in pages.zip(read.chunks(PAGE_BYTES as usize)).zip(sums) {
                    if crc32_iscsi(read) != *sum {
                        found.push((
                            page(start),
                            DamageKind::Sum,
                            "other bytes than were written".to_owned(),
                        ));
                    }
                }
            }
            Err(cause) if length as u64 <= PAGE_BYTES => found.push(refused(bytes, &cause)),
            Err(_) => {
                for (start, sum) in pages.zip(sums) {
                    self.read(disk, page(start), std::slice::from_ref(sum), found);
                }
            }
        }
    }
}

/// The bytes of `touched` that can be read of a file that has `there_bytes` bytes and should have `row_bytes`.
fn there_in(touched: &Range<u64>, row_bytes: u64, there_bytes: u64, found: &mut Vec<Found>) -> Range<u64> {
    let said = || format!("the file has {there_bytes} bytes instead of {row_bytes}");
    if there_bytes < row_bytes {
        let end = (there_bytes / PAGE_BYTES * PAGE_BYTES).clamp(touched.start, touched.end);
        if end < touched.end {
            found.push((end..touched.end, DamageKind::Length, said()));
        }
        return touched.start..end;
    }
    if there_bytes > row_bytes && touched.end == row_bytes {
        // The last page is whole, and goes on.
        let last = touched.end.saturating_sub(1) / PAGE_BYTES * PAGE_BYTES;
        found.push((last..touched.end, DamageKind::Length, said()));
    }
    touched.clone()
}

fn refused(bytes: Range<u64>, cause: &io::Error) -> Found {
    match cause.kind() {
        io::ErrorKind::NotFound => (bytes, DamageKind::Missing, "the file is not there".to_owned()),
        _ => (bytes, DamageKind::Unreadable, cause.to_string()),
    }
}
