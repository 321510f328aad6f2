//! Never stale: what a write's answer promises is what the very next read sees, at every accelerated listener.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use tests::cluster::REGIONS;
use tests::{Client, Cluster, Content, Endpoint, MIB, Options, Request, until};

/// Sizes on both sides of what the store keeps inline.
const SIZES: [u64; 2] = [1_000, 300_000];

#[tokio::test]
async fn an_overwrite_is_seen_by_the_next_read_everywhere() {
    let site = Site::start().await;
    for bytes in SIZES {
        for seed in 0..10 {
            let content = Content::new(seed, bytes);
            let _ = site.owner.put("data", "k", content.all()).await.ok();
            for reader in &site.readers {
                assert_eq!(
                    reader.get("data", "k").await.ok().body,
                    content.all(),
                    "version {seed} of {bytes} bytes"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_delete_is_seen_by_the_next_read_everywhere() {
    let site = Site::start().await;
    for bytes in SIZES {
        for seed in 0..3 {
            let content = Content::new(seed, bytes);
            let _ = site.owner.put("data", "k", content.all()).await.ok();
            for reader in &site.readers {
                assert_eq!(reader.get("data", "k").await.ok().body, content.all());
            }
            let _ = site.owner.delete("data", "k").await.ok();
            for reader in &site.readers {
                assert_eq!(reader.get("data", "k").await.refusal(), (404, "NoSuchKey".into()));
                assert_eq!(reader.head("data", "k").await.status, 404);
            }
        }
    }
}

/// A version's bytes never change, but it goes, and what the key stands for changes without a write of an object.
#[tokio::test]
async fn what_becomes_of_versions_is_seen_by_the_next_read_everywhere() {
    let site = Site::start().await;
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let _ = site.owner.send(Request::new("PUT", "/data?versioning").body(body)).await.ok();
    for bytes in SIZES {
        let (old, new) = (Content::new(1, bytes), Content::new(2, bytes));
        let put = async |content: Content| {
            site.owner.put("data", "k", content.all()).await.ok().header("x-amz-version-id").to_owned()
        };
        let (old_id, new_id) = (put(old).await, put(new).await);
        let version = |id: &str| Request::new("GET", format!("/data/k?versionId={id}"));
        let remove = async |id: &str| {
            let _ = site.owner.send(Request::new("DELETE", format!("/data/k?versionId={id}"))).await.ok();
        };
        for reader in &site.readers {
            assert_eq!(reader.get("data", "k").await.ok().body, new.all());
            assert_eq!(reader.send(version(&old_id)).await.ok().body, old.all());
            assert_eq!(reader.send(version(&new_id)).await.ok().body, new.all());
        }
        let marker = site.owner.delete("data", "k").await.ok().header("x-amz-version-id").to_owned();
        for reader in &site.readers {
            assert_eq!(reader.get("data", "k").await.refusal(), (404, "NoSuchKey".into()));
            assert_eq!(reader.send(version(&new_id)).await.ok().body, new.all());
        }
        remove(&marker).await;
        for reader in &site.readers {
            assert_eq!(reader.get("data", "k").await.ok().body, new.all());
        }
        remove(&new_id).await;
        for reader in &site.readers {
            assert_eq!(reader.get("data", "k").await.ok().body, old.all());
            assert_eq!(reader.send(version(&new_id)).await.refusal(), (404, "NoSuchVersion".into()));
        }
        remove(&old_id).await;
        for reader in &site.readers {
            assert_eq!(reader.get("data", "k").await.refusal(), (404, "NoSuchKey".into()));
            assert_eq!(reader.send(version(&old_id)).await.refusal(), (404, "NoSuchVersion".into()));
        }
    }
}

/// Renaming the way S3 clients do it: a copy, then a delete.
#[tokio::test]
async fn a_rename_by_copy_is_seen_by_the_next_read_everywhere() {
    let site = Site::start().await;
    for bytes in SIZES {
        let content = Content::new(bytes, bytes);
        let _ = site.owner.put("data", "old", content.all()).await.ok();
        for reader in &site.readers {
            assert_eq!(reader.get("data", "old").await.ok().body, content.all());
            assert_eq!(reader.get("data", "new").await.status, 404);
        }
        let _ = site.owner.copy("data/old", "data", "new").await.ok();
        let _ = site.owner.delete("data", "old").await.ok();
        for reader in &site.readers {
            assert_eq!(reader.get("data", "new").await.ok().body, content.all());
            assert_eq!(reader.get("data", "old").await.refusal(), (404, "NoSuchKey".into()));
        }
        let _ = site.owner.delete("data", "new").await.ok();
    }
}

/// While one writer overwrites, each reader gets whole versions, none older than one whose write had been answered
/// when the read began, and none older than what the same reader saw before.
#[tokio::test]
async fn concurrent_readers_see_whole_versions_in_order() {
    const VERSIONS: u64 = 40;
    let site = Site::start().await;
    let answered = AtomicU64::new(0);
    let write = async |version: u64| {
        let content = Content::new(version, SIZES[version as usize % 2]);
        let request = Request::new("PUT", "/data/k").header("x-amz-meta-version", version.to_string());
        let _ = site.owner.send(request.body(content.all())).await.ok();
        answered.store(version, Ordering::SeqCst);
    };
    write(0).await;
    let writing = async {
        for version in 1..=VERSIONS {
            write(version).await;
        }
    };
    let reading = site.readers.iter().chain(&site.readers).map(|reader| async {
        let mut seen = 0;
        while seen < VERSIONS {
            let at_least = seen.max(answered.load(Ordering::SeqCst));
            let answer = reader.get("data", "k").await.ok();
            let version: u64 = answer.header("x-amz-meta-version").parse().expect("the version's number");
            assert!(version >= at_least, "read version {version} after {at_least} had been answered");
            assert_eq!(answer.body, Content::new(version, SIZES[version as usize % 2]).all());
            seen = version;
        }
    });
    tokio::join!(writing, join_all(reading));
}

/// A reader in the middle of a long GET finishes with the old bytes, whether the cache had them or not, and whether
/// the object was overwritten or deleted under it.
#[tokio::test]
async fn a_long_read_never_mixes_versions() {
    let site = Site::start().await;
    let old = Content::new(1, 64 * MIB);
    let new = Content::new(2, 64 * MIB);
    for warm in [false, true] {
        for overwrite in [true, false] {
            let key = format!("warm-{warm}-overwrite-{overwrite}");
            let _ = site.owner.send(Request::new("PUT", format!("/data/{key}")).content(old)).await.ok();
            let reader = &site.readers[1];
            if warm {
                assert_eq!(reader.get("data", &key).await.ok().body, old.all());
            }
            let mut answer = reader.open(Request::new("GET", format!("/data/{key}"))).await.expect("open");
            let first = answer.chunk().await.expect("the first bytes").expect("the body is not empty");
            old.assert_at(0, &first);
            if overwrite {
                let _ = site.owner.send(Request::new("PUT", format!("/data/{key}")).content(new)).await.ok();
            } else {
                let _ = site.owner.delete("data", &key).await.ok();
            }
            let mut got = first.len() as u64;
            while let Some(piece) = answer.chunk().await.expect("a cold reader finishes with the old bytes") {
                old.assert_at(got, &piece);
                got += piece.len() as u64;
            }
            assert_eq!(got, old.bytes);
            let next = reader.get("data", &key).await;
            if overwrite {
                assert_eq!(next.ok().body, new.all());
            } else {
                assert_eq!(next.status, 404);
            }
        }
    }
}

/// A reader of an overwritten object who takes longer than its store keeps it, and whose node has only the beginning of it:
/// the response in progress keeps the rest.
#[tokio::test]
async fn a_slow_reader_of_a_cached_object_finishes_with_the_old_bytes() {
    // Long enough that a slow machine renews it in time.
    let cluster = Cluster::start_with(Options::settings("[store]\ngrace = \"10s\"\n")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let old = Content::new(1, 96 * MIB);
    let _ = owner.send(Request::new("PUT", "/data/k").content(old)).await.ok();
    let reader = cluster.accelerated("las1", "ord1");
    let beginning = reader.get_range("data", "k", 0, 8 * MIB).await;
    assert_eq!((beginning.status, beginning.body.len() as u64), (206, 8 * MIB));

    let mut answer = reader.open(Request::new("GET", "/data/k")).await.expect("open");
    let first = answer.chunk().await.expect("the first bytes").expect("the body is not empty");
    let removed =
        async || cluster.scrape("ord1").await.sum("penstock_store_removed_files_total", &[("node", "ord1")]);
    let before = removed().await;
    for seed in 2..5 {
        // The one before goes after its grace, and by then so would the first, which is older.
        let _ = owner.send(Request::new("PUT", "/data/k").content(Content::new(seed, MIB))).await.ok();
        let _ = owner.send(Request::new("PUT", "/data/other").content(Content::new(seed, MIB))).await.ok();
    }
    until("what was overwritten later is removed", async || removed().await - before >= 4.0).await;
    let mut got = first.len() as u64;
    while let Some(piece) = answer.chunk().await.expect("a body that does not break off") {
        old.assert_at(got, &piece);
        got += piece.len() as u64;
    }
    assert_eq!(got, old.bytes);
}

/// A bucket `data` in ord1, and a reader of it at each region's accelerated listener.
struct Site {
    owner: Client,
    readers: Vec<Client>,
    _cluster: Cluster,
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let owner = cluster.client("ord1", Endpoint::Standard);
        owner.create_bucket("data").await;
        let readers = REGIONS.iter().map(|at| cluster.accelerated(at, "ord1")).collect();
        Self { owner, readers, _cluster: cluster }
    }
}
