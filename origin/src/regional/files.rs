//! Data files: immutable once published, named by a random id, in a folder of the epoch that made them.
//!
//! A file is written under its final name and is nobody's until a row names it. Only the epoch that makes a file
//! can leave it without a row, so a start has to look through the folders of unfinished epochs alone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::at_hand::{self, AtHand};
use super::buffers::{Buffer, Buffers};
use super::direct::{AlignedBuffer, DirectFile};
use super::failure::Failure;
use super::private;
use super::seams::{DiskStep, Faults};
use crate::head::PAGE_BYTES;
use crate::instance::Instance;

/// File operations that run at the same time; the rest wait.
const OPERATIONS_MAX: usize = 64;
/// Disk space that data files leave for the metadata, so that a full disk can still be emptied.
const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Pages in `bytes` bytes.
pub(crate) const fn pages_in(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES)
}

/// Disk space that one batch of changes may fill with rows: they reach the disk with its commit, so the disk itself can be
/// asked before the batch alone.
pub(super) struct Room {
    left_bytes: u64,
}

impl Room {
    /// Takes space for `bytes` bytes in rows.
    ///
    /// # Errors
    /// A full disk: what is left is needed to remove things.
    pub(super) fn take(&mut self, bytes: u64) -> io::Result<()> {
        // redb gives a long row the next power of two of its pages.
        match self.left_bytes.checked_sub(bytes * 2) {
            Some(left_bytes) if left_bytes > 0 => {
                self.left_bytes = left_bytes;
                Ok(())
            }
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    #[cfg(test)]
    pub(super) fn test_of(left_bytes: u64) -> Self {
        Self { left_bytes }
    }
}

/// The folder of data files, and the threads that work on them.
#[derive(Clone)]
pub(super) struct Files {
    dir: PathBuf,
    epoch: u64,
    faults: Arc<dyn Faults>,
    runtime: Handle,
    slots: Arc<Semaphore>,
    /// Whether the files' bytes are in memory.
    pub(super) at_hand: Arc<AtHand>,
    /// What readers and uploads may hold beyond a piece each.
    pub(super) buffers: Buffers,
    /// Folders of this epoch that are made; 256 at most.
    folders: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Files {
    /// The data files under `dir`, with a new folder for those of `epoch`.
    pub(super) fn open(
        dir: PathBuf,
        epoch: u64,
        faults: Arc<dyn Faults>,
        runtime: Handle,
    ) -> io::Result<Self> {
        private::make_folders(&epoch_dir(&dir, epoch))?;
        sync_dir(&dir)?;
        let slots = Arc::new(Semaphore::new(OPERATIONS_MAX));
        let (at_hand, buffers, folders) = (Arc::default(), Buffers::default(), Arc::default());
        Ok(Self { dir, epoch, faults, runtime, slots, at_hand, buffers, folders })
    }

    /// Runs `work` on a blocking thread, as one of a bounded number.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Failure::NotOpen)?;
        let done = self.runtime.spawn_blocking(move || {
            let done = work();
            drop(slot);
            done
        });
        done.await.unwrap_or_else(|lost| Err(Failure::Io(io::Error::other(lost))))
    }

    /// As [`Files::run`], started now whether anybody waits for it or not.
    pub(super) fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> JoinHandle<Result<T, Failure>> {
        let files = self.clone();
        self.runtime.spawn(async move { files.run(work).await })
    }

    /// Disk space beyond what is kept for the metadata to grow into. A disk that cannot say has room: it will tell
    /// when it is written to.
    pub(super) fn room(&self) -> Room {
        if self.faults.before(DiskStep::AskRoom).is_err() {
            return Room { left_bytes: 0 };
        }
        let spare = |disk| available(&disk).saturating_sub(RESERVE_BYTES / 2);
        Room { left_bytes: rustix::fs::statvfs(&self.dir).map_or(u64::MAX, spare) }
    }

    /// Makes an empty file. It is removed when the returned guard goes, unless it was published.
    pub(super) fn create(&self, id: Instance) -> Result<Aside, Failure> {
        self.faults.before(DiskStep::CreateFile)?;
        self.make_folder(&id)?;
        let path = self.path(self.epoch, &id);
        let file = private::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Aside { id, path, file, files: self.clone(), published: false })
    }

    /// Makes the folder of a new file, durable before the first file is in it.
    fn make_folder(&self, id: &Instance) -> io::Result<()> {
        let folder = self.folder(self.epoch, id);
        let mut made = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(&folder) {
            private::make_folders(&folder)?;
            sync_dir(&self.epoch_dir(self.epoch))?;
            made.insert(folder);
        }
        Ok(())
    }

    /// Opens a published file for reading.
    pub(super) fn open_file(&self, epoch: u64, id: &Instance) -> io::Result<File> {
        self.faults.before(DiskStep::ReadFile)?;
        at_hand::open(&self.path(epoch, id))
    }

    /// Reads `bytes` bytes of `file` at `offset`, into `buffer` where they fit.
    pub(super) fn read(
        &self,
        file: &File,
        offset: u64,
        bytes: u64,
        buffer: Option<Buffer>,
    ) -> io::Result<Bytes> {
        self.faults.before(DiskStep::ReadFile)?;
        let bytes = bytes as usize;
        let fitting = buffer.filter(|buffer| bytes <= buffer.capacity());
        let mut buffer = fitting.unwrap_or_else(|| Buffer::own(bytes));
        at_hand::read_exact_at(file, buffer.fill(bytes), offset)?;
        Ok(Bytes::from_owner(buffer))
    }

    /// Opens a published file for reading around the page cache.
    pub(super) fn open_direct(&self, epoch: u64, id: &Instance) -> io::Result<DirectFile> {
        self.faults.before(DiskStep::ReadFile)?;
        DirectFile::open(&self.path(epoch, id))
    }

    /// Reads such a file; see [`DirectFile::read`].
    pub(super) fn read_direct<'b>(
        &self,
        file: &DirectFile,
        buffer: &'b mut AlignedBuffer,
        offset: u64,
        bytes: usize,
    ) -> io::Result<&'b [u8]> {
        self.faults.before(DiskStep::ReadFile)?;
        file.read(buffer, offset, bytes)
    }

    /// Removes a file; one that is gone already is as good as removed. Lasting only once its folder is
    /// [settled](Files::settle_folder).
    pub(super) fn remove(&self, epoch: u64, id: &Instance) -> io::Result<()> {
        self.remove_path(&self.path(epoch, id))
    }

    /// Makes removals from the folder of a file last. The folders of earlier epochs go with their last file.
    pub(super) fn settle_folder(&self, epoch: u64, folder: &Path) -> io::Result<()> {
        let epoch_dir = self.epoch_dir(epoch);
        if epoch != self.epoch {
            // Each fails while something is in it, as it should.
            fs::remove_dir(folder).ok();
            fs::remove_dir(&epoch_dir).ok();
        }
        // The removal is an entry less in the innermost folder that is left.
        for left in [folder, &epoch_dir] {
            match sync_dir(left) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                outcome => return outcome,
            }
        }
        sync_dir(&self.dir)
    }

    fn remove_path(&self, path: &Path) -> io::Result<()> {
        self.faults.before(DiskStep::RemoveFile)?;
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }

    /// The folder of all data files.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of an epoch's files.
    pub(super) fn epoch_dir(&self, epoch: u64) -> PathBuf {
        epoch_dir(&self.dir, epoch)
    }

    /// The folder that a file is in.
    pub(super) fn folder(&self, epoch: u64, id: &Instance) -> PathBuf {
        epoch_dir(&self.dir, epoch).join(shard(&id.to_string()))
    }

    /// Where a file is.
    pub(super) fn path(&self, epoch: u64, id: &Instance) -> PathBuf {
        file_path(&self.dir, epoch, id)
    }
}

/// Where a file is under the folder of data files.
pub(super) fn file_path(dir: &Path, epoch: u64, id: &Instance) -> PathBuf {
    let name = id.to_string();
    epoch_dir(dir, epoch).join(shard(&name)).join(name)
}

/// One of 256 folders, so that none grows too large for its file system.
fn shard(name: &str) -> &str {
    &name[..2]
}

fn epoch_dir(dir: &Path, epoch: u64) -> PathBuf {
    dir.join(format!("{epoch:016x}"))
}

/// A file that is not part of the store yet. Goes away when dropped, unless it was published.
pub(crate) struct Aside {
    id: Instance,
    path: PathBuf,
    file: File,
    files: Files,
    published: bool,
}

impl Aside {
    /// The file's name.
    pub(super) fn id(&self) -> Instance {
        self.id
    }

    /// Reserves disk space for `bytes` more bytes at `offset`.
    pub(super) fn reserve(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let disk = rustix::fs::fstatvfs(&self.file)?;
        if available(&disk) < bytes + RESERVE_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mode = rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.file, mode, offset, bytes)) {
            // A file system without reservations finds out as it writes.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// Writes `pieces` one after the other from `offset` on.
    pub(super) fn write(&self, pieces: &[Bytes], mut offset: u64) -> io::Result<()> {
        self.files.faults.before(DiskStep::WriteFile)?;
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::pwritev(&self.file, left, offset))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    /// Sends what is written so far to the disk.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.files.faults.before(DiskStep::SyncFile)?;
        self.file.sync_data()
    }

    /// Makes the file durable at its length of `bytes` bytes, with its name.
    pub(super) fn finish(&self, bytes: u64) -> io::Result<()> {
        // Reserved past the end: given back, the size is what was written.
        self.file.set_len(bytes)?;
        self.sync_data()?;
        self.files.faults.before(DiskStep::SyncDirectory)?;
        sync_dir(self.path.parent().expect("a data file is in a folder"))
    }

    /// The file is part of the store now, or it will be found out at the next start whether it is.
    pub(super) fn keep(mut self) {
        self.published = true;
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // Freeing gigabytes takes its time: not on a thread that serves. What fails here is found at the next start.
        let (files, path) = (self.files.clone(), self.path.clone());
        self.files.runtime.spawn_blocking(move || {
            if let Err(cause) = files.remove_path(&path) {
                tracing::warn!(%cause, file = %path.display(), "unpublished file kept until the next start");
            }
        });
    }
}

fn available(disk: &rustix::fs::StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

/// Makes a folder's entries durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
