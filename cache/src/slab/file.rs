//! The slab's file, open both ways.
//!
//! Headers and data go two ways. Data bypasses the page cache (`O_DIRECT`): blocks are cached in the memory tier, and
//! a copy in the page cache would cost CPU and memory twice. Headers are small and packed many to a sector: they go
//! through the page cache, which puts sectors together and survives the process. No byte of the file goes both ways.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use memmap2::MmapMut;
use rustix::fs::{FlockOperation, OFlags, flock};
use tracing::warn;

use crate::block::SECTOR_BYTES;

/// A file that is there. Reads and writes are positioned and whole.
pub(crate) struct SlabFile {
    buffered: File,
    direct: File,
}

impl SlabFile {
    /// The file `path`, which is open as `buffered`. Where the file system refuses direct I/O, data goes through the
    /// page cache like headers, with a warning.
    pub(crate) fn new(path: &Path, buffered: File) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).expect("O_DIRECT fits an i32");
        let direct = match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
            Ok(direct) => direct,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                warn!(path = %path.display(), "the file system refuses O_DIRECT: NVMe reads go through the page cache");
                buffered.try_clone()?
            }
            Err(error) => return Err(error),
        };
        Ok(Self { buffered, direct })
    }
}

impl SlabFile {
    /// For headers.
    pub(super) fn page_cache(&self) -> &File {
        &self.buffered
    }

    /// For data.
    pub(super) fn direct(&self) -> &File {
        &self.direct
    }

    pub(super) fn read_header(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.buffered.read_exact_at(bytes, offset)
    }

    pub(super) fn write_header(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.buffered.write_all_at(bytes, offset)
    }

    /// Overwrites headers with zeros, and makes that durable.
    pub(super) fn blank_headers(&self, offsets: &[u64], header_bytes: usize) -> io::Result<()> {
        let zeros = vec![0; header_bytes];
        offsets.iter().try_for_each(|offset| self.write_header(&zeros, *offset))?;
        self.buffered.sync_data()
    }

    /// The first sector, as the device has it, past the page cache.
    pub(super) fn read_first_sector(&self) -> io::Result<MmapMut> {
        let mut sector = MmapMut::map_anon(SECTOR_BYTES)?;
        self.read_data(&mut sector, 0)?;
        Ok(sector)
    }

    /// Length, offset and memory are on sectors.
    pub(super) fn read_data(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.direct.read_exact_at(bytes, offset)
    }

    /// Length, offset and memory are on sectors.
    pub(super) fn write_data(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.direct.write_all_at(bytes, offset)
    }

    /// Makes everything written durable, and gives up the lock.
    pub(super) fn close(&self) -> io::Result<()> {
        let durable = self.buffered.sync_data();
        flock(&self.buffered, FlockOperation::Unlock)?;
        durable
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::fcntl_getfl;

    use super::*;

    /// Data goes past the page cache, where the file system has such a way, and headers through it.
    #[test]
    fn data_and_headers_go_two_ways() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("slab");
        let made = File::options().read(true).write(true).create_new(true).open(&path).expect("made");
        let file = SlabFile::new(&path, made).expect("opens");
        let is_direct = |file| fcntl_getfl(file).expect("flags").contains(OFlags::DIRECT);
        let flags = i32::try_from(OFlags::DIRECT.bits()).expect("O_DIRECT fits an i32");
        let takes_direct = OpenOptions::new().read(true).custom_flags(flags).open(&path).is_ok();
        assert_eq!((is_direct(file.direct()), is_direct(file.page_cache())), (takes_direct, false));
    }
}
