//! `penstock scrub` reads what a running node stores, says what is damaged and whose it is, and ends when it is told to.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use tests::disk::{data_files, flip_bit};
use tests::process::{self, Process, disk_read_bytes};
use tests::{Cluster, Content, MIB, Request, until};

const PAGE: u64 = 65_536;
/// No test waits for the rate but the one that stops a scrub.
const AT_ONCE: [&str; 2] = ["--rate", "1TiB"];

fn scrub(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, String) {
    let data = cluster.data_argument();
    let (status, said) = process::run(&[&["scrub"], arguments, &AT_ONCE, &["--data", &data]].concat());
    (status.code(), said)
}

/// The reports of all nodes that were asked.
fn reports(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let (code, said) = scrub(cluster, &[arguments, &["--json"]].concat());
    // Progress follows it.
    let json = said.rfind(']').map_or(&*said, |end| &said[..=end]);
    let reports: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {said}"));
    (code, reports.as_array().expect("a list of nodes").clone())
}

fn files(cluster: &Cluster) -> Vec<PathBuf> {
    data_files(&cluster.data_dir().join("ord1/store/data"))
}

/// Puts an object into `data` of ord1, and returns the file that it is in.
async fn put(cluster: &Cluster, key: &str, content: Content) -> PathBuf {
    let before = files(cluster);
    let _ = cluster.standard("ord1").put("data", key, content.all()).await.ok();
    files(cluster).into_iter().find(|path| !before.contains(path)).expect("a file of its own")
}

#[tokio::test]
async fn damage_is_told_with_its_object_and_by_the_exit_code() {
    let mut cluster = Cluster::start().await;
    cluster.expect_errors("a scrub found damage");
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    owner.create_bucket("other").await;
    let _ = owner.put("other", "small", "meow").await.ok();
    let _ = owner.put("data", "empty", "").await.ok();
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let _ = owner.send(Request::new("PUT", "/data?versioning").body(enabled)).await.ok();
    let spoilt = put(&cluster, "spoilt", Content::new(1, 3 * MIB)).await;
    let lost = put(&cluster, "lost", Content::new(2, MIB)).await;
    let version = owner.head("data", "lost").await.ok().header("x-amz-version-id").to_owned();
    let _ = put(&cluster, "lost", Content::new(3, MIB)).await;
    let _ = owner.delete("data", "lost").await.ok();
    let upload = owner.create_multipart_upload("data", "uploading").await;
    let _ = owner.upload_part("data", "uploading", &upload, 7, Content::new(4, MIB).all()).await;

    let (code, said) = scrub(&cluster, &[]);
    assert_eq!(code, Some(0), "{said}");
    for node in ["ord1: 5 versions and 1 parts of uploads", "las1: 0 versions", "lga1: 0 versions"] {
        assert!(said.contains(node), "{said}");
    }
    let told =
        async |name: &str| cluster.scrape("ord1").await.sum(&format!("penstock_store_scrub_{name}"), &[]);
    assert_eq!(told("damage_total").await, 0.0);
    let completed = told("completed_seconds").await;
    assert!(completed > 0.0);

    flip_bit(&spoilt, 20 * PAGE + 5);
    fs::remove_file(&lost).expect("take a file away");
    let (code, said) = scrub(&cluster, &["--region", "ord1"]);
    assert_eq!(code, Some(3), "{said}");
    let (first, last) = (20 * PAGE, 21 * PAGE - 1);
    let sum = format!(r#"of "s3://data/spoilt", stored bytes {first}-{last}, data/"#);
    assert!(
        said.lines().any(|line| line.starts_with("ord1: sum: version ") && line.contains(&sum)),
        "{said}"
    );

    let (code, nodes) = reports(&cluster, &[]);
    assert_eq!((code, nodes.len()), (Some(3), 3));
    let ord1 = nodes.iter().find(|node| node["node"] == "ord1").expect("a report of ord1");
    let damage = ord1["damage"].as_array().expect("a list");
    let kinds: Vec<_> = damage.iter().map(|damage| (&damage["kind"], &damage["key"])).collect();
    assert_eq!(kinds, [(&Value::from("sum"), &"spoilt".into()), (&"missing".into(), &"lost".into())]);
    assert_eq!(damage[1]["version_id"], *version);
    assert_eq!(damage[1]["bytes"], serde_json::json!({"start": 0, "end": MIB}));
    assert_eq!(ord1["is_whole"], true);
    assert!(told("damage_total").await >= 2.0 && told("bytes_total").await >= 5.0 * MIB as f64);
    assert!(told("completed_seconds").await >= completed);

    let found = |arguments: &[&str]| {
        let (code, nodes) = reports(&cluster, arguments);
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        (code, nodes[0]["damage"].as_array().expect("a list").len())
    };
    assert_eq!(found(&["s3://other"]), (Some(0), 0));
    assert_eq!(found(&["s3://data/sp", "--prefix"]), (Some(3), 1));
    assert_eq!(found(&["s3://data/sp"]), (Some(0), 0), "no such key");
    assert_eq!(found(&["s3://data/lost"]), (Some(3), 1), "the version that is not current");
    let (code, said) = scrub(&cluster, &["s3://nowhere"]);
    assert!(code == Some(1) && said.contains("s3://nowhere"), "{said}");
    let (code, said) = scrub(&cluster, &["--region", "mars1"]);
    assert!(code == Some(1) && said.contains("mars1"), "{said}");
}

/// The disk itself is asked, although the kernel has all of it in memory since it was written.
#[tokio::test]
async fn the_disk_is_read_and_not_what_memory_has_of_it() {
    const OBJECT_BYTES: u64 = 32 * MIB;
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("data").await;
    let _ = put(&cluster, "k", Content::new(1, OBJECT_BYTES)).await;
    let node = cluster.process("ord1").id();
    let before = disk_read_bytes(node);
    let (code, said) = scrub(&cluster, &["--region", "ord1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(disk_read_bytes(node) - before >= OBJECT_BYTES);
}

/// Ctrl-C ends it at once, in the node too; it says where it stands, and goes on from there in another process, also after the
/// node was started again.
#[tokio::test]
async fn a_scrub_that_is_stopped_is_gone_on_with() {
    const OBJECT_BYTES: u64 = 24 * MIB;
    let mut cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("data").await;
    let path = put(&cluster, "k", Content::new(1, OBJECT_BYTES)).await;
    flip_bit(&path, OBJECT_BYTES - 1);
    let line = ["scrub", "--rate", "1MiB", "--region", "ord1", "--data", &cluster.data_argument()];
    let log = cluster.data_dir().join("scrub.log");
    let mut scrubbing = Process::start(&line.map(str::to_owned), &log);
    let read = async || cluster.scrape("ord1").await.sum("penstock_store_scrub_bytes_total", &[]);
    // Two steps at least: the second was asked for with the place of the first.
    until("some of it is read", async || read().await >= 2.0 * MIB as f64).await;
    scrubbing.signal(Signal::INT);
    assert_eq!(scrubbing.wait().code(), Some(1), "{}", scrubbing.log());
    let said = scrubbing.log();
    assert!(said.contains(r#"it stands at current objects, at "s3://data/k""#), "{said}");
    let place = said.lines().find_map(|line| line.strip_prefix("penstock scrub --resume "));
    let place = place.unwrap_or_else(|| panic!("it did not say where it stands: {said}")).to_owned();

    cluster.stop();
    cluster.start_again().await;
    cluster.expect_errors("a scrub found damage");
    let (code, nodes) = reports(&cluster, &["--resume", &place]);
    assert_eq!((code, nodes.len()), (Some(3), 1));
    let (bytes, damage) = (nodes[0]["bytes"].as_u64().expect("a number"), &nodes[0]["damage"][0]);
    assert!(bytes < OBJECT_BYTES, "what was read is not read again: {bytes}");
    assert_eq!(damage["bytes"], serde_json::json!({"start": OBJECT_BYTES - PAGE, "end": OBJECT_BYTES}));
}

/// Clients write, overwrite and delete all the while: nothing of that is damage.
#[tokio::test]
async fn a_busy_store_is_scrubbed_and_nothing_is_found() {
    const ROUNDS: u64 = 30;
    let cluster = Cluster::start().await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let data = cluster.data_argument();
    let writing = async {
        for round in 0..ROUNDS {
            let key = format!("k{}", round % 5);
            let _ = owner.put("data", &key, Content::new(round, MIB + round * 1000).all()).await.ok();
            let _ = owner.put_multipart("data", "parts", Content::new(round, 11 * MIB), 5 * MIB).await.ok();
            let _ = owner.delete("data", &format!("k{}", (round + 3) % 5)).await.ok();
        }
    };
    let scrubbing = tokio::task::spawn_blocking(move || {
        let line = ["scrub", "--region", "ord1", "--rate", "1TiB", "--json", "--data", &data];
        (0..10).map(|_| process::run(&line)).collect::<Vec<_>>()
    });
    let ((), scrubbed) = tokio::join!(writing, scrubbing);
    for (status, said) in scrubbed.expect("no panic") {
        assert!(status.success(), "{said}");
    }
}
