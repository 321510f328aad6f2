//! What happens when all nodes start again at once, over disks full of what their readers want?

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use serde_json::json;
use tests::cluster::REGIONS;
use tests::{Client, Cluster, Content, Options, Request};

use crate::figures::{Latencies, milliseconds};
use crate::{FAR, OWNER, cluster_with, spread};

const BUCKET: &str = "shards";
const OBJECTS: u64 = 10_000;

/// Past what is kept with the head, so that the bytes are on the node's disk.
const BYTES: u64 = 20 << 10;

/// A slot of the disk tier for each object, and little of it in memory.
const CACHE: &str =
    "[cache]\nblock_bytes = \"64 KiB\"\nmemory_bytes = \"16 MiB\"\n[cache.nvme]\nbytes = \"1 GiB\"\n";

/// Reads that each node's clients have open at a time.
const READERS: usize = 256;
const WRITERS: usize = 32;

/// How often a reader asks again that was told to come back.
const ATTEMPTS_MAX: usize = 200;

struct Readers {
    at: &'static str,
    took: Latencies,
    wall: Duration,
    told_to_come_back: usize,
    batches: f64,
    bytes_from_owner: f64,
}

/// Heats two nodes, kills everything, starts everything, and reads everything at both nodes.
pub(crate) async fn answer() {
    let mut cluster = cluster_with(Options::settings(CACHE)).await;
    upload(&cluster).await;
    // Disks are warmed without a distance, which would only take longer.
    for at in ["las1", "lga1"] {
        let _ = read_all(&cluster, at).await;
    }
    spread(&cluster, FAR);
    REGIONS.iter().for_each(|region| cluster.kill_node(region));
    REGIONS.iter().for_each(|region| cluster.launch_node(region));
    for region in REGIONS {
        cluster.wait_until_node_is_ready(region).await;
    }
    let cpu_before = cluster.process(OWNER).cpu_time();
    let readers = join_all(["las1", "lga1"].map(|at| read_all(&cluster, at))).await;
    print(&readers, cluster.process(OWNER).cpu_time() - cpu_before);
}

async fn upload(cluster: &Cluster) {
    let owner = cluster.standard(OWNER);
    owner.create_bucket(BUCKET).await;
    let put = |index: u64| {
        let owner = owner.clone();
        async move {
            let _ = owner.put(BUCKET, &key(index), Content::new(index, BYTES).all()).await.ok();
        }
    };
    stream::iter(0..OBJECTS).map(put).buffer_unordered(WRITERS).collect::<()>().await;
}

fn key(index: u64) -> String {
    format!("k{index}")
}

async fn read_all(cluster: &Cluster, at: &'static str) -> Readers {
    let before = cluster.scrape(at).await;
    let (reader, began) = (cluster.accelerated(at, OWNER), Instant::now());
    let reads: Vec<(Duration, usize)> = stream::iter(0..OBJECTS)
        .map(|index| read(reader.clone(), index))
        .buffer_unordered(READERS)
        .collect()
        .await;
    let (wall, after) = (began.elapsed(), cluster.scrape(at).await);
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let mut took = Latencies::default();
    reads.iter().for_each(|(read, _)| took.add(*read));
    Readers {
        at,
        took,
        wall,
        told_to_come_back: reads.iter().map(|(_, again)| again).sum(),
        batches: grown("penstock_origin_requests_total", &[("channel", "resolve")]),
        bytes_from_owner: grown("penstock_cache_origin_bytes_total", &[]),
    }
}

/// Reads an object, again while it is told to come back: how long it took in all, and how often it was.
async fn read(reader: Client, index: u64) -> (Duration, usize) {
    let began = Instant::now();
    for told_to_come_back in 0..ATTEMPTS_MAX {
        let answer = reader.send(Request::new("GET", format!("/{BUCKET}/{}", key(index)))).await;
        if answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        assert_eq!(answer.ok().body.len() as u64, BYTES);
        return (began.elapsed(), told_to_come_back);
    }
    panic!("{ATTEMPTS_MAX} times 503");
}

fn print(readers: &[Readers], owner_cpu: Duration) {
    println!(
        "| 10,000 objects at | all read in | median | 99 % | longest | 503 | batches of questions | MB from the owner |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for reader in readers {
        println!(
            "| {} | {:.1} s | {} | {} | {} | {} | {} | {:.1} |",
            reader.at,
            reader.wall.as_secs_f64(),
            milliseconds(reader.took.median()),
            milliseconds(reader.took.p99()),
            milliseconds(reader.took.quantile(1.0)),
            reader.told_to_come_back,
            reader.batches,
            reader.bytes_from_owner / 1e6,
        );
    }
    println!("\nCPU of the owner: {:.2} s.", owner_cpu.as_secs_f64());
    let row = |reader: &Readers| {
        json!({
            "at": reader.at,
            "seconds": reader.wall.as_secs_f64(),
            "median_ms": reader.took.median().as_secs_f64() * 1e3,
            "p99_ms": reader.took.p99().as_secs_f64() * 1e3,
            "told_to_come_back": reader.told_to_come_back,
            "batches": reader.batches,
            "bytes_from_owner": reader.bytes_from_owner,
        })
    };
    let rows: Vec<_> = readers.iter().map(row).collect();
    println!("{}", json!({ "restart": rows, "owner_cpu_seconds": owner_cpu.as_secs_f64() }));
}
