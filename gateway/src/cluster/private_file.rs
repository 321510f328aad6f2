//! Writing files that only their owner may read, whole or not at all.

use std::fs::{File, OpenOptions};
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

/// Writes and syncs `content` beside `path`, and returns where.
fn write_aside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory_of(path))?;
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
