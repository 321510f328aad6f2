//! What a store writes is its owner's alone, wherever it was told to write.

use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every folder from `dir` on.
fn folders_from(dir: &Path) -> Vec<PathBuf> {
    let inner =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    std::iter::once(dir.to_owned()).chain(inner.flat_map(|dir| folders_from(&dir))).collect()
}

/// The folder of the store is there already, and everybody looks into it.
#[tokio::test]
async fn nobody_else_reads_a_store() {
    let dir = TempDir::new().unwrap();
    set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let region = Region::open(dir, Seams::default()).await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    let files = files_under(region.dir.path());
    for name in ["metadata", "metadata.answered", "lock"] {
        let there: Vec<_> =
            files.iter().filter(|file| !file.starts_with(region.dir.path().join("data"))).collect();
        assert!(
            there.iter().any(|file| file.file_name().unwrap().to_string_lossy().starts_with(name)),
            "{files:?}"
        );
    }
    assert_eq!(region.data_files().len(), 1);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    for folder in folders_from(region.dir.path()) {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
}
