//! A store that was put back from a backup: what was written after it is lost, and no cache brings it back.

use std::fs;
use std::path::Path;

use tests::cluster::{REGIONS, SHORT_LEASES};
use tests::{Client, Cluster, Content, Options, Request};

/// On both sides of what the store keeps inline.
const SIZES: [u64; 2] = [1_000, 300_000];

/// As it was backed up, and as it was written later.
const BEFORE: u64 = 1;
const AFTER: u64 = 2;

/// Other nodes hold newer heads and bytes than the store that comes back, under sessions that live when its owner ends.
#[tokio::test]
async fn no_cache_serves_what_a_restored_store_does_not_have() {
    let mut cluster = Cluster::start_with(Options::settings(SHORT_LEASES).served()).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    for bytes in SIZES {
        put(&owner, "changed", BEFORE, bytes).await;
        put(&owner, "removed", BEFORE, bytes).await;
    }
    cluster.stop();
    let store = cluster.data_dir().join("ord1/store");
    let backup = cluster.data_dir().join("backup");
    copy_folder(&store, &backup);
    cluster.start_again().await;

    let readers = REGIONS.map(|at| cluster.accelerated(at, "ord1"));
    for bytes in SIZES {
        put(&owner, "changed", AFTER, bytes).await;
        put(&owner, "added", AFTER, bytes).await;
        let _ = owner.delete("data", &key("removed", bytes)).await.ok();
    }
    // Twice: what is kept answers the second time.
    for reader in readers.iter().chain(&readers) {
        for bytes in SIZES {
            assert_eq!(get(reader, "changed", bytes).await, Some(AFTER));
            assert_eq!(get(reader, "added", bytes).await, Some(AFTER));
            assert_eq!(get(reader, "removed", bytes).await, None);
        }
    }
    for node in ["las1", "lga1"] {
        let labels = [("class", "objects"), ("region", "ord1")];
        assert_eq!(cluster.scrape(node).await.sum("penstock_session_live", &labels), 1.0, "{node}");
    }

    cluster.kill_node("ord1");
    fs::remove_dir_all(&store).expect("lose the store");
    copy_folder(&backup, &store);
    cluster.start_node_again("ord1").await;
    for reader in readers.iter().chain(&readers) {
        for bytes in SIZES {
            assert_eq!(get(reader, "changed", bytes).await, Some(BEFORE));
            assert_eq!(get(reader, "added", bytes).await, None);
            assert_eq!(get(reader, "removed", bytes).await, Some(BEFORE));
        }
    }
    // And it goes on from there.
    for bytes in SIZES {
        put(&owner, "added", BEFORE, bytes).await;
        for reader in &readers {
            assert_eq!(get(reader, "added", bytes).await, Some(BEFORE));
        }
    }
}

fn key(name: &str, bytes: u64) -> String {
    format!("{name}-{bytes}")
}

async fn put(owner: &Client, name: &str, seed: u64, bytes: u64) {
    let request = Request::new("PUT", format!("/data/{}", key(name, bytes)));
    let _ = owner.send(request.content(Content::new(seed, bytes))).await.ok();
}

/// Which content `reader` gets; `None` when it is told that there is none.
async fn get(reader: &Client, name: &str, bytes: u64) -> Option<u64> {
    let answer = reader.get("data", &key(name, bytes)).await;
    if answer.status == 404 {
        return None;
    }
    let body = answer.ok().body;
    let seed = [BEFORE, AFTER].into_iter().find(|seed| body == Content::new(*seed, bytes).all());
    Some(seed.expect("a whole content that was written"))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a folder");
    for entry in fs::read_dir(from).expect("list a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("its type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copy a file")),
        }
    }
}
