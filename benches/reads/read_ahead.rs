//! How far the kernel reads ahead in files of a disk: a setting of the machine's, which decides what a server costs that sends
//! files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What Linux has a disk read ahead, in KiB, where nobody has set anything else.
const LINUX_KIB: &str = "128";

/// Linux's own setting, until this is dropped.
pub(crate) struct ReadAhead {
    file: PathBuf,
    before: String,
}

impl ReadAhead {
    /// Sets what Linux would have set for the disk below `folder`. `None` where that is what it has, where there is no such
    /// disk, and for who is not root.
    pub(crate) fn of_linux(folder: &Path) -> Option<Self> {
        let file = setting(folder)?;
        let before = fs::read_to_string(&file).ok()?.trim().to_owned();
        if before == LINUX_KIB {
            return None;
        }
        fs::write(&file, LINUX_KIB).ok()?;
        Some(Self { file, before })
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, &self.before) {
            eprintln!("{} stays at {LINUX_KIB} KiB, it was {}: {error}", self.file.display(), self.before);
        }
    }
}

/// The file of the setting.
fn setting(folder: &Path) -> Option<PathBuf> {
    let id = fs::metadata(folder).ok()?.dev();
    let device = format!("/sys/dev/block/{}:{}", rustix::fs::major(id), rustix::fs::minor(id));
    let device = fs::canonicalize(device).ok()?;
    let disk = if device.join("partition").exists() { device.parent()?.to_owned() } else { device };
    Some(disk.join("queue/read_ahead_kb"))
}
