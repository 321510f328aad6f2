//! What does an owner pay for fifty nodes that keep what is being written?

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rustls::ClientConfig;
use serde_json::json;
use tests::process::cpu_time;
use tests::tls::node_config;
use tests::{Client, Cluster, Content};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::figures::{Latencies, milliseconds};
use crate::simulated_node::{ALPN, Node};
use crate::{FAR, OWNER, cluster, spread};

const NODES: u64 = 50;
const NODES_REGION: &str = "las1";
const BUCKETS: u64 = 40;

/// Each node is interested in so many buckets, which it shares with its neighbours.
const BUCKETS_PER_NODE: u64 = 10;

const KEYS_PER_BUCKET: u64 = 100;
const BYTES: u64 = 4096;

const WRITES_PER_SECOND: u64 = 500;
const TURN: Duration = Duration::from_secs(10);

/// Writes under way at a time; past it a write begins late, which counts as its latency.
const WRITERS_MAX: usize = 512;

/// How long clears may be on their way when the last write was answered.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

struct Case {
    name: &'static str,
    nodes: u64,
    distance: Duration,
    took: Latencies,
    wall: Duration,
    owner_cpu: Duration,
    owner_peak_bytes: u64,
    /// Processor time of everything else: the writer, the relay and the nodes.
    others_cpu: Duration,
    /// How long writes have waited for nodes altogether.
    waited: Duration,
    clears: u64,
    /// Sessions that the owner has ended: none, unless it or the nodes are too slow here.
    ended: u64,
}

/// Writes at a steady rate while nobody, fifty nodes nearby, and fifty nodes far away keep what is written.
pub(crate) async fn answer(rounds: usize) {
    let cluster = cluster().await;
    let writer = cluster.standard(OWNER);
    for bucket in 0..BUCKETS {
        writer.create_bucket(&bucket_name(bucket)).await;
    }
    let tls = node_config(&cluster.data_dir(), NODES_REGION, ALPN);
    let case = |name, nodes, distance| Case {
        name,
        nodes,
        distance,
        took: Latencies::default(),
        wall: Duration::ZERO,
        owner_cpu: Duration::ZERO,
        owner_peak_bytes: 0,
        others_cpu: Duration::ZERO,
        waited: Duration::ZERO,
        clears: 0,
        ended: 0,
    };
    let mut cases = [
        case("nobody", 0, Duration::ZERO),
        case("50 nodes, 0 ms away", NODES, Duration::ZERO),
        case("50 nodes, 80 ms away", NODES, FAR),
    ];
    for _ in 0..rounds {
        for case in &mut cases {
            spread(&cluster, case.distance);
            case.turn(&cluster, &tls, &writer).await;
        }
    }
    print(&cases);
}

fn bucket_name(bucket: u64) -> String {
    format!("bucket-{bucket}")
}

/// The buckets of one node: a stretch of the ring of all buckets.
fn interest(node: u64) -> BTreeSet<String> {
    let first = node * BUCKETS / NODES;
    (0..BUCKETS_PER_NODE).map(|offset| bucket_name((first + offset) % BUCKETS)).collect()
}

impl Case {
    async fn turn(&mut self, cluster: &Cluster, tls: &Arc<ClientConfig>, writer: &Client) {
        let address = cluster.link(NODES_REGION, OWNER).address();
        let connecting = (0..self.nodes).map(|node| Node::start(tls, NODES_REGION, address, interest(node)));
        let nodes: Vec<Node> = join_all(connecting).await;
        let owner = cluster.process(OWNER);
        let others_cpu = || cpu_time(std::process::id());
        let (waited, others) = (waited_so_far(cluster).await, others_cpu());
        let (cpu, began) = (owner.cpu_time(), Instant::now());
        let (took, written) = write_steadily(writer).await;
        self.wall += began.elapsed();
        self.owner_cpu += owner.cpu_time() - cpu;
        self.others_cpu += others_cpu() - others;
        self.owner_peak_bytes = owner.peak_memory_bytes();
        self.took.extend(took);
        // Each write clears one key for every node that is interested in its bucket.
        let wanted: u64 = (0..self.nodes)
            .map(|node| interest(node).iter().map(|bucket| written.of(bucket)).sum::<u64>())
            .sum();
        let cleared = || nodes.iter().map(Node::clears).sum::<u64>();
        let ended = || nodes.iter().map(Node::ended).sum::<u64>();
        let settling = async {
            // A session that was ended is sent no more.
            while cleared() < wanted && ended() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SETTLES_WITHIN, settling)
            .await
            .unwrap_or_else(|_| panic!("{} clears of {wanted} have arrived", cleared()));
        self.clears += cleared();
        self.ended += ended();
        self.waited += waited_so_far(cluster).await - waited;
        // Those that just went would be waited for in the next turn.
        join_all(nodes.into_iter().map(Node::leave)).await;
    }
}

/// How long the owner's writes have waited for nodes so far.
async fn waited_so_far(cluster: &Cluster) -> Duration {
    let waits = cluster.scrape(OWNER).await.sum("penstock_session_change_wait_seconds_sum", &[]);
    Duration::from_secs_f64(waits)
}

/// How often each bucket was written to.
struct Written(Vec<AtomicU64>);

impl Written {
    fn of(&self, bucket: &str) -> u64 {
        let index: usize = bucket.rsplit('-').next().and_then(|n| n.parse().ok()).expect("a bucket's number");
        self.0[index].load(Ordering::Relaxed)
    }
}

/// Begins writes at a steady rate, whether or not those before have ended; a write's latency is counted from when it
/// was due.
async fn write_steadily(writer: &Client) -> (Latencies, Written) {
    let took = Arc::new(Mutex::new(Latencies::default()));
    let places = Arc::new(Semaphore::new(WRITERS_MAX));
    let written = Written((0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
    let mut due = interval(Duration::from_secs(1) / WRITES_PER_SECOND as u32);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writing = Vec::new();
    for write in 0..WRITES_PER_SECOND * TURN.as_secs() {
        let due_at = due.tick().await;
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (bucket, key) = (write % BUCKETS, write / BUCKETS % KEYS_PER_BUCKET);
        written.0[bucket as usize].fetch_add(1, Ordering::Relaxed);
        let (writer, took) = (writer.clone(), Arc::clone(&took));
        writing.push(tokio::spawn(async move {
            let body = Content::new(write, BYTES).all();
            let _ = writer.put(&bucket_name(bucket), &format!("k{key}"), body).await.ok();
            took.lock().expect("no writer panics with it").add(due_at.elapsed());
            drop(place);
        }));
    }
    for writing in writing {
        writing.await.expect("every write succeeds");
    }
    let took = std::mem::take(&mut *took.lock().expect("no writer panics with it"));
    (took, written)
}

fn print(cases: &[Case]) {
    println!(
        "| 500 writes/s, kept by | write, median | 99 % | of it for nodes, mean | CPU of the owner | per write | CPU of all others | owner's most memory so far | clears | sessions ended |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for case in cases {
        let writes = case.took.count() as f64;
        println!(
            "| {} | {} | {} | {} | {:.0} % | {:.0} µs | {:.0} % | {:.0} MiB | {} | {} |",
            case.name,
            milliseconds(case.took.median()),
            milliseconds(case.took.p99()),
            milliseconds(case.waited.div_f64(writes)),
            case.owner_cpu.as_secs_f64() / case.wall.as_secs_f64() * 100.0,
            case.owner_cpu.as_secs_f64() * 1e6 / writes,
            case.others_cpu.as_secs_f64() / case.wall.as_secs_f64() * 100.0,
            case.owner_peak_bytes as f64 / f64::from(1 << 20),
            case.clears,
            case.ended,
        );
    }
    let row = |case: &Case| {
        json!({
            "nodes": case.nodes,
            "round_trip_ms": case.distance.as_millis() as u64,
            "median_ms": case.took.median().as_secs_f64() * 1e3,
            "p99_ms": case.took.p99().as_secs_f64() * 1e3,
            "writes": case.took.count(),
            "seconds": case.wall.as_secs_f64(),
            "owner_cpu_seconds": case.owner_cpu.as_secs_f64(),
            "others_cpu_seconds": case.others_cpu.as_secs_f64(),
            "waited_seconds": case.waited.as_secs_f64(),
            "owner_peak_bytes": case.owner_peak_bytes,
            "clears": case.clears,
            "sessions_ended": case.ended,
        })
    };
    println!("{}", json!({ "fifty": cases.iter().map(row).collect::<Vec<_>>() }));
}
