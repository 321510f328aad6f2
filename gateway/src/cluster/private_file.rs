//! Writing a file that only its owner may read, whole or not at all, and never over another one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

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
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let aside = path.with_added_extension("new");
    // Left over from a crash; nobody reads it under this name.
    remove_if_there(&aside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, path);
    remove_if_there(&aside)?;
    match linked {
        Ok(()) => {
            File::open(directory)?.sync_all()?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Written::Existed),
        Err(error) => Err(error),
    }
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
    fn a_file_left_aside_by_a_crash_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file.key");
        std::fs::write(dir.path().join("file.key.new"), "half").expect("write");
        assert_eq!(write_new_private(&path, b"whole").expect("write"), Written::New);
        assert_eq!(std::fs::read(&path).expect("read"), b"whole");
    }
}
