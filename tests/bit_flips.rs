//! Bits that flip on disk, and a disk that fails: an answer is an error or a refetch, never a wrong byte, and a loss is never
//! silent.

use std::fs;
use std::path::{Path, PathBuf};

use tests::disk::{data_files, flip_bit};
use tests::process;
use tests::random::Random;
use tests::{Client, Cluster, Content, MIB, Options, Request, until};

/// A flipped bit in a data file: reads that touch its page fail, at every endpoint; the other pages can be read.
#[tokio::test]
async fn a_flipped_bit_in_a_data_file_is_never_served() {
    let mut cluster = Cluster::start().await;
    let content = Content::new(1, 3 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", content.all()).await.ok();
    cluster.stop();
    let files = data_files(&cluster.data_dir().join("ord1/store"));
    assert_eq!(files.len(), 1);
    flip_bit(&files[0], MIB + 77);
    cluster.expect_errors("");
    cluster.start_again().await;

    for client in
        [cluster.standard("ord1"), cluster.accelerated("ord1", "ord1"), cluster.accelerated("las1", "ord1")]
    {
        assert_never_wrong(&client, "data", "k", content).await;
        assert_ne!(
            read_whole(&client, "data", "k").await,
            Some(content.bytes),
            "a broken page was passed over"
        );
        let good = client.get_range("data", "k", 2 * MIB, 3 * MIB).await.ok();
        content.assert_at(2 * MIB, &good.body);
    }
}

/// A flipped bit in a row of the metadata: a small object's bytes are in its row.
#[tokio::test]
async fn a_flipped_bit_in_a_row_is_never_served() {
    let mut cluster = Cluster::start().await;
    let (spoilt, whole) = (Content::new(1, 2_000), Content::new(2, 2_000));
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "spoilt", spoilt.all()).await.ok();
    let _ = owner.put("data", "whole", whole.all()).await.ok();
    cluster.stop();
    let metadata = metadata_file(&cluster.data_dir().join("ord1/store"));
    let places = occurrences(&fs::read(&metadata).expect("read the metadata"), &spoilt.range(1_000, 1_032));
    assert!(!places.is_empty(), "the small object's bytes are in the metadata");
    for place in places {
        flip_bit(&metadata, place);
    }
    cluster.expect_errors("");
    cluster.start_again().await;
    for client in [cluster.standard("ord1"), cluster.accelerated("las1", "ord1")] {
        assert_eq!(client.get("data", "spoilt").await.status, 500);
        assert_eq!(client.get("data", "whole").await.ok().body, whole.all());
    }
}

/// A slab with a flipped bit in every 16 KiB: each block is found bad, and fetched again.
#[tokio::test]
async fn a_spoilt_slab_is_fetched_again() {
    let mut cluster = Cluster::start_with(Options::cache("0", "64 MiB")).await;
    let content = Content::new(4, 16 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", content.all()).await.ok();
    assert_eq!(cluster.accelerated("las1", "ord1").get("data", "k").await.ok().body, content.all());
    cluster.stop();
    let slab = cluster.data_dir().join("las1/cache.slab");
    let slab_bytes = fs::metadata(&slab).expect("the slab is there").len();
    for place in (8_192..slab_bytes).step_by(16_384) {
        flip_bit(&slab, place);
    }
    cluster.start_again().await;
    let again = cluster.accelerated("las1", "ord1").get("data", "k").await.ok();
    assert_eq!(again.body, content.all());
    assert!(
        cluster.settled("las1").await.sum("penstock_cache_origin_bytes_total", &[]) > 0.0,
        "bad blocks were used"
    );
}

/// A node is killed in the middle of writes to its slab, and whatever becomes of that before the node starts again: it starts, goes on
/// with the slab where that is its own, and serves no wrong byte.
#[tokio::test]
async fn a_node_starts_whatever_became_of_its_slab() {
    let mut cluster = Cluster::start_with(Options::cache("0", "64 MiB").served()).await;
    cluster.expect_errors("an NVMe device cannot be used");
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let content = Content::new(4, 16 * MIB);
    let _ = owner.put("data", "k", content.all()).await.ok();
    let [slab, others] = ["las1", "ord1"].map(|node| cluster.data_dir().join(node).join("cache.slab"));
    let cut = |bytes| {
        let file = fs::File::options().write(true).open(&slab).expect("open the slab");
        file.set_len(bytes).expect("cut it short");
    };
    let cases: [(&str, &dyn Fn(), bool); 8] = [
        ("nothing", &|| (), true),
        ("a bit of what says that it is one", &|| flip_bit(&slab, 3), true),
        ("its version", &|| flip_bit(&slab, 8), true),
        ("its identity", &|| flip_bit(&slab, 13), true),
        ("cut within its superblock", &|| cut(100), true),
        ("cut within its blocks", &|| cut(3 * MIB), true),
        ("gone", &|| fs::remove_file(&slab).expect("remove"), true),
        ("another node's", &|| _ = fs::copy(&others, &slab).expect("copy"), false),
    ];
    for (case, spoil, is_in_use) in cases {
        let reader = cluster.accelerated("las1", "ord1");
        let mut answer = reader.open(Request::new("GET", "/data/k")).await.expect("open");
        let _ = answer.chunk().await.expect("the first bytes");
        cluster.kill_node("las1");
        spoil();
        cluster.start_node_again("las1").await;
        assert!(reader.get("data", "k").await.ok().body == content.all(), "{case}");
        let after = cluster.settled("las1").await;
        let now = ["in_use", "out"].map(|is| after.sum(&format!("penstock_cache_nvme_{is}"), &[]));
        assert_eq!(now, if is_in_use { [1.0, 0.0] } else { [0.0, 1.0] }, "{case}");
    }
}

/// A cache's disk that fails under a running node: what was on it comes from its owner, the disk is taken out of use, and the
/// node goes on.
#[tokio::test]
async fn a_disk_that_fails_is_done_without() {
    let mut cluster = Cluster::start_with(Options::cache("0", "64 MiB")).await;
    let content = Content::new(4, 16 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", content.all()).await.ok();
    let reader = cluster.accelerated("las1", "ord1");
    assert_eq!(reader.get("data", "k").await.ok().body, content.all());
    cluster.expect_errors("NVMe device taken out of use");
    let gauge = async |name: &str| cluster.scrape("las1").await.sum(name, &[]);
    until("the object is on disk", async || gauge("penstock_cache_nvme_blocks").await >= 16.0).await;
    let slab = fs::File::options().write(true).open(cluster.data_dir().join("las1/cache.slab"));
    slab.expect("open the slab").set_len(8_192).expect("cut it short");
    // Without a fill: what is written anew makes the file longer again.
    let looking = || Request::new("GET", "/data/k").header("cache-control", "no-cache");
    for _ in 0..2 {
        assert_eq!(reader.send(looking()).await.ok().body, content.all());
    }
    until("the disk is out of use", async || gauge("penstock_cache_nvme_out").await == 1.0).await;
    assert_eq!(gauge("penstock_cache_nvme_in_use").await, 0.0);
    assert_eq!(reader.get("data", "k").await.ok().body, content.all());
}

/// A flipped bit anywhere in the metadata file: the deep check finds it, or nothing is lost or changed by it.
#[tokio::test]
async fn a_flipped_bit_in_the_metadata_is_never_a_silent_loss() {
    let mut cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let contents: Vec<_> = (0..40).map(|seed| Content::new(seed + 1, 200 + seed * 900)).collect();
    for (index, content) in contents.iter().enumerate() {
        let _ = owner.put("data", &format!("k{index:02}"), content.all()).await.ok();
    }
    cluster.stop();
    let metadata = metadata_file(&cluster.data_dir().join("ord1/store"));
    let whole = fs::read(&metadata).expect("read the metadata");
    // How far the file was, which goes on with every start.
    let note = metadata.with_extension("answered");
    let noted = fs::read(&note).expect("read the note");
    let mut random = Random::new(0xF11B);
    let (data, config) = (cluster.data_argument(), cluster.config_argument("ord1"));
    for _ in 0..10 {
        let place = random.below(whole.len() as u64);
        flip_bit(&metadata, place);
        let (status, said) = process::run(&["check", "--deep", "--data", &data, "--config", &config]);
        if status.success() {
            cluster.start_again().await;
            assert_all_there(&cluster.standard("ord1"), &contents).await;
            cluster.stop();
        } else {
            assert!(said.contains("ord1"), "the check of byte {place} said: {said}");
        }
        fs::write(&metadata, &whole).expect("restore the metadata");
        fs::write(&note, &noted).expect("restore the note");
    }
}

async fn assert_all_there(client: &Client, contents: &[Content]) {
    let listing = client.send(Request::new("GET", "/data?list-type=2")).await.ok();
    assert_eq!(listing.element("KeyCount"), contents.len().to_string());
    for (index, content) in contents.iter().enumerate() {
        assert_eq!(client.get("data", &format!("k{index:02}")).await.ok().body, content.all());
    }
}

/// Reads the object in pieces of half a mebibyte; each is right or refused.
async fn assert_never_wrong(client: &Client, bucket: &str, key: &str, content: Content) {
    for start in (0..content.bytes).step_by(1 << 19) {
        let request = Request::new("GET", format!("/{bucket}/{key}"));
        let request = request.header("range", format!("bytes={start}-{}", start + (1 << 19) - 1));
        if let Ok(answer) = client.try_send(request).await
            && answer.status == 206
        {
            content.assert_at(start, &answer.body);
            assert_eq!(answer.body.len(), 1 << 19);
        }
    }
}

/// How many bytes a whole read brought, if it ended as a success.
async fn read_whole(client: &Client, bucket: &str, key: &str) -> Option<u64> {
    let answer = client.try_send(Request::new("GET", format!("/{bucket}/{key}"))).await.ok()?;
    (answer.status == 200).then_some(answer.body.len() as u64)
}

/// The one file of a store that holds its rows.
fn metadata_file(store: &Path) -> PathBuf {
    let entries =
        fs::read_dir(store).expect("read the store's folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "redb")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn occurrences(haystack: &[u8], needle: &[u8]) -> Vec<u64> {
    haystack
        .windows(needle.len())
        .enumerate()
        .filter(|(_, at)| *at == needle)
        .map(|(at, _)| at as u64)
        .collect()
}
