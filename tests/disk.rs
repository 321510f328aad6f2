//! What lies in a node's folders, and how to spoil it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Every data file of a store under `dir`: those named by an instance id.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn data_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("read the folder").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => data_files(&path),
            false => Vec::from_iter(is_data_file(&path).then_some(path)),
        })
        .collect()
}

/// Flips one bit of the byte at `offset` of `file`.
///
/// # Panics
/// When there is no such byte.
pub fn flip_bit(file: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(file).expect("open the file to spoil");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read the byte to spoil");
    file.write_all_at(&[byte[0] ^ 0x10], offset).expect("write the spoilt byte");
}

fn is_data_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
