//! One `penstock dev` a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::DevError;
use crate::cluster::make_private_directory;

/// Held for as long as the process runs; the operating system lets go of it when the process is gone.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the data directory, and makes it with mode 0700 where there is none.
    ///
    /// # Errors
    /// When another process has it.
    pub(super) fn take(data: &Path) -> Result<Self, DevError> {
        make_private_directory(data).map_err(|error| DevError::file(data, error))?;
        let path = data.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| DevError::file(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DevError::file(data, "is in use by another process")),
            Err(TryLockError::Error(error)) => Err(DevError::file(&path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let lock = Lock::take(dir.path()).expect("free");
        let error = Lock::take(dir.path()).err().expect("taken");
        assert!(error.to_string().contains("in use by another process"), "{error}");
        drop(lock);
        Lock::take(dir.path()).expect("free again");
    }
}
