//! Files and folders of the store that their owner alone may open: they hold customers' bytes, and the folder above may be
//! one that was made for everybody to look into.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// How to open a file that may have to be made.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes a folder and those above it that are missing.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes the store's folder from everybody but its owner, and with it what an earlier release let others read there. Where
/// that is refused the store works, and the operator is told.
pub(super) fn close_folder(folder: &Path) -> io::Result<()> {
    let open = File::open(folder)?;
    let mode = || io::Result::Ok(open.metadata()?.permissions().mode());
    if mode()? & OTHERS == 0 {
        return Ok(());
    }
    let path = folder.display();
    match open.set_permissions(Permissions::from_mode(mode()? & 0o700)) {
        Ok(()) if mode()? & OTHERS == 0 => {
            tracing::warn!(%path, "others could look into the store: its owner alone can now");
        }
        Ok(()) => tracing::warn!(%path, "others can look into the store: the file system keeps no modes"),
        Err(cause) => tracing::warn!(%path, %cause, "others can look into the store"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn folders_that_are_made_are_the_owners_alone() {
        let above = tempfile::tempdir().expect("a folder");
        let others = above.path().join("others");
        std::fs::create_dir(&others).expect("made");
        std::fs::set_permissions(&others, Permissions::from_mode(0o755)).expect("set");
        make_folders(&others.join("store/data")).expect("made");
        make_folders(&others.join("store/data")).expect("there already");
        for (folder, expected) in [("", 0o755), ("store", 0o700), ("store/data", 0o700)] {
            assert_eq!(mode(&others.join(folder)), expected, "{folder}");
        }
    }

    #[test]
    fn a_folder_that_others_may_open_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        for (before, after) in [(0o755, 0o700), (0o750, 0o700), (0o701, 0o700), (0o500, 0o500)] {
            std::fs::set_permissions(folder.path(), Permissions::from_mode(before)).expect("set");
            close_folder(folder.path()).expect("closed");
            assert_eq!(mode(folder.path()), after, "{before:o}");
        }
    }
}
