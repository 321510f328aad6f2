//! Writing files and directories that only their owner may read, durably, whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What became of a file that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there, durably, with mode 0600.
    New,
    /// There was one already, and it was left as it is.
    Existed,
}

/// Writes `content` to a new file at `path`, mode 0600, and makes missing directories with mode 0700. A crash
/// leaves the whole file or none: it is written aside, synced, and only then linked under its name.
///
/// # Errors
/// Of the file system.
pub fn write_new_private(path: &Path, content: &[u8]) -> io::Result<Written> {
    let aside = write_aside(path, content)?;
    let linked = std::fs::hard_link(&aside, path);
    remove_if_there(&aside)?;
    match linked {
        Ok(()) => {
            sync_directory_of(path)?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Written::Existed),
        Err(error) => Err(error),
    }
}

/// The same, but in place of the file that may be there: for what can be made again at any time.
///
/// # Errors
/// Of the file system.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    std::fs::rename(write_aside(path, content)?, path)?;
    sync_directory_of(path)
}

/// Makes the directory `path` with those above it where they are missing, mode 0700 each. What is durable inside it is
/// durable itself then: a directory that was only made may be gone after a power cut, with all that is in it.
///
/// # Errors
/// Of the file system.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    make_directory(path, &mut |directory| File::open(directory)?.sync_all())
}

/// Every directory above one that was missing is synced; and the one above `path` also when nothing was missing, since a
/// start may have been cut short between making it and syncing.
fn make_directory(path: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let above = directory_of(path);
    if path.is_dir() {
        return match sync(above) {
            // Somebody else made it, in a place that is not ours to open.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    if !above.is_dir() {
        make_directory(above, sync)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !path.is_dir() => {
            Err(io::Error::new(ErrorKind::NotADirectory, "is not a directory"))
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync(above),
    }
}

/// Writes and syncs `content` beside `path`, and returns where.
fn write_aside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    make_private_directory(directory_of(path))?;
    let aside = path.with_added_extension("new");
    // Left over from a crash; nobody reads it under this name.
    remove_if_there(&aside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(aside)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_write_leaves_the_first_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("deep/er/file.key");
        assert_eq!(write_new_private(&path, b"one").expect("write"), Written::New);
        assert_eq!(write_new_private(&path, b"two").expect("write"), Written::Existed);
        assert_eq!(std::fs::read(&path).expect("read"), b"one");
        let names = std::fs::read_dir(path.parent().expect("parent")).expect("list").count();
        assert_eq!(names, 1, "nothing is left aside");
    }

    #[test]
    fn every_directory_that_is_made_is_synced_into_the_one_above() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("data/region");
        let made = |path: &Path| {
            let mut synced = Vec::new();
            make_directory(path, &mut |directory| {
                synced.push(directory.to_owned());
                Ok(())
            })
            .map(|()| synced)
        };
        assert_eq!(made(&path).expect("made"), [dir.path(), &dir.path().join("data")]);
        assert_eq!(made(&path).expect("there"), [dir.path().join("data")]);
        std::fs::write(dir.path().join("file"), "").expect("write");
        for taken in ["file", "file/below"] {
            let error = made(&dir.path().join(taken)).expect_err("a file is in the way");
            assert_eq!(error.to_string(), "is not a directory");
        }
    }

    #[test]
    fn what_can_be_made_again_is_replaced() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file.cfg");
        for content in [b"one", b"two"] {
            write_private(&path, content).expect("write");
            assert_eq!(std::fs::read(&path).expect("read"), content);
        }
    }

    #[test]
    fn a_file_left_aside_by_a_crash_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file.key");
        std::fs::write(dir.path().join("file.key.new"), "half").expect("write");
        assert_eq!(write_new_private(&path, b"whole").expect("write"), Written::New);
        assert_eq!(std::fs::read(&path).expect("read"), b"whole");
    }
}
