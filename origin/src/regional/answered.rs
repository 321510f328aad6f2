//! How far the metadata file was when a change was last answered, noted beside it.
//!
//! redb's header names the newer of its two commit slots by one bit that no sum covers: flipped, redb opens the file
//! as it was one commit ago. So the file counts its commits in a row, and the count is noted in a file of its own
//! after each commit and before its changes are answered. A metadata file that counts fewer has lost what was
//! answered. The note is not synced: it outlives a killed process, and a power cut can leave it older, never newer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crc_fast::{CrcAlgorithm, checksum};

use super::failure::Failure;
use super::private;

/// The count and its CRC32C, big-endian.
const NOTE_BYTES: usize = 12;

/// The note, open.
pub(super) struct Answered {
    file: File,
}

impl Answered {
    /// Opens the note, or makes an empty one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = private::options().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file })
    }

    /// Refuses a metadata file that counts fewer commits than were answered.
    pub(super) fn verify(&self, commits: u64) -> Result<(), Failure> {
        match self.read()? {
            Some(answered) if commits < answered => {
                Err(Failure::Corrupt(format!("{commits} commits are there of {answered} that were answered")))
            }
            _ => Ok(()),
        }
    }

    /// Notes that the changes of the first `commits` commits are answered from now on.
    pub(super) fn write(&self, commits: u64) {
        let count = commits.to_be_bytes();
        let note = [&count[..], &sum(&count)].concat();
        if let Err(cause) = self.file.write_all_at(&note, 0) {
            // The commit stands: only the check against its loss is as old as the note.
            tracing::warn!(%cause, "the count of answered commits was not noted");
        }
    }

    /// What was noted. A note that is not whole says nothing: the metadata file has its own checks.
    fn read(&self) -> io::Result<Option<u64>> {
        let mut note = [0; NOTE_BYTES];
        match self.file.read_exact_at(&mut note, 0) {
            Ok(()) => (),
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(cause) => return Err(cause),
        }
        let (count, noted_sum) = note.split_at(8);
        let is_whole = sum(count) == *noted_sum;
        Ok(is_whole.then(|| u64::from_be_bytes(count.try_into().expect("split at eight bytes"))))
    }
}

fn sum(count: &[u8]) -> [u8; 4] {
    (checksum(CrcAlgorithm::Crc32Iscsi, count) as u32).to_be_bytes()
}
