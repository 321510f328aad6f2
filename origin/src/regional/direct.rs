//! Reading a data file around the page cache: what its disk holds, not what memory remembers of it. What readers have in
//! memory stays there, and nothing takes its place.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};
use rustix::io::{Errno, pread, retry_on_intr};

/// What offsets, lengths and memory are multiples of: no disk has larger sectors.
const ALIGNED_BYTES: usize = 4096;

/// Memory that a disk can write to by itself.
pub(super) struct AlignedBuffer {
    memory: Box<[u8]>,
    start: usize,
    bytes: usize,
}

impl AlignedBuffer {
    /// One for `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(ALIGNED_BYTES);
        let memory = vec![0; bytes + ALIGNED_BYTES].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNED_BYTES);
        Self { memory, start, bytes }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.bytes]
    }
}

/// A data file, open for reading from the disk itself.
pub(super) struct DirectFile {
    file: File,
}

impl DirectFile {
    /// Opens it. A file system that cannot read around the page cache, one in memory for example, reads as it does.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT;
        let file = match openat(CWD, path, flags, Mode::empty()) {
            Err(Errno::INVAL) => File::open(path)?,
            opened => opened?.into(),
        };
        Ok(Self { file })
    }

    /// How long it is.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Its `bytes` bytes from `offset` on, which is where a page begins; read into `buffer`, in which they have room.
    pub(super) fn read<'b>(
        &self,
        buffer: &'b mut AlignedBuffer,
        offset: u64,
        bytes: usize,
    ) -> io::Result<&'b [u8]> {
        let out = &mut buffer.room()[..bytes.next_multiple_of(ALIGNED_BYTES)];
        let mut filled = 0;
        while filled < bytes {
            match self.read_some(&mut out[filled..], offset + filled as u64)? {
                read if read > 0 && (read.is_multiple_of(ALIGNED_BYTES) || filled + read >= bytes) => {
                    filled += read;
                }
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&out[..bytes])
    }

    fn read_some(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        match retry_on_intr(|| pread(&self.file, &mut *out, offset)) {
            // Larger sectors than any that are known, or a file system that finds out only now.
            Err(Errno::INVAL) if fcntl_getfl(&self.file)?.contains(OFlags::DIRECT) => {
                fcntl_setfl(&self.file, OFlags::empty())?;
                Ok(retry_on_intr(|| pread(&self.file, &mut *out, offset))?)
            }
            read => Ok(read?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 * 1024;

    fn file_of(bytes: usize) -> (tempfile::TempDir, DirectFile, Vec<u8>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..bytes as u32).map(|number| (number / 7) as u8).collect();
        std::fs::write(&path, &content).expect("write a file");
        let file = DirectFile::open(&path).expect("open it");
        (dir, file, content)
    }

    /// Also those behind the last whole sector.
    #[test]
    fn the_bytes_are_those_of_the_file() {
        let (_dir, file, content) = file_of(2 * PAGE + 4097);
        let mut buffer = AlignedBuffer::new(3 * PAGE);
        assert_eq!(file.bytes().expect("its length"), content.len() as u64);
        for (from, to) in [(0, content.len()), (PAGE, 2 * PAGE), (2 * PAGE, content.len()), (0, 1)] {
            let read = file.read(&mut buffer, from as u64, to - from).expect("read");
            assert!(read == &content[from..to], "{from}..{to}");
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        for bytes in [0, 1, 4096, PAGE, PAGE + 1] {
            let (_dir, file, _) = file_of(bytes);
            let read = file.read(&mut AlignedBuffer::new(2 * PAGE), 0, bytes + 1).map(<[u8]>::len);
            assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof), "{bytes}");
        }
    }
}
