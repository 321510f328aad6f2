//! What does a pull cost out of memory, out of the disk tier, out of another region, and straight from the store?
//!
//! Real `penstock dev` processes on one core, this client on the other. The cases take turns, round by round, so that
//! a machine whose speed drifts drifts for all of them. What is quoted is the median round: MB/s, and the *server's*
//! CPU seconds per GiB (for 4 KiB objects: microseconds per request), which is the figure that a noisy machine
//! leaves alone. A miss is served by two nodes in one process: its CPU is the reading and the owning node's together.
//!
//! `benches/run` builds and starts this in a network namespace of its own.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;
use tests::{Client, Cluster, Content, MIB, Options, Request};

const GIB: f64 = (1u64 << 30) as f64;
const RANGE_BYTES: u64 = 8 * MIB;
const RANGES_AT_ONCE: usize = 8;
const OBJECT_BYTES: u64 = 256 * MIB;
const SMALL_BYTES: u64 = 4096;
const SMALL_REQUESTS: usize = 20_000;
const SMALL_CONNECTIONS: usize = 64;
const BUCKET: &str = "weights";

/// One way to pull: which cluster serves it, over which client, and what is asked for.
struct Case {
    name: &'static str,
    server: Server,
    client: Client,
    work: Work,
    rounds: Vec<Round>,
}

/// The two clusters differ in their memory alone.
#[derive(Clone, Copy)]
enum Server {
    RoomyMemory,
    DiskAlone,
}

enum Work {
    /// The same object in every round.
    Ranges(&'static str),
    /// Another object in each round, which no cache has seen.
    ColdRanges,
    /// One small object, again and again.
    Small,
}

/// What one round took.
struct Round {
    wall: Duration,
    server_cpu: Duration,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(5, |text| text.parse().expect("a number of rounds"));
    run_on_core(0);
    let roomy = cluster("memory_bytes = \"1 GiB\"").await;
    // Two blocks: less than the ranges in flight, so that every range is read from the slab.
    let disk = cluster("memory_bytes = \"2 MiB\"").await;
    run_on_core(1);
    for cluster in [&roomy, &disk] {
        upload(cluster, rounds).await;
    }
    let mut cases = cases(&roomy, &disk);
    for round in 0..=rounds {
        for case in &mut cases {
            let cluster = match case.server {
                Server::RoomyMemory => &roomy,
                Server::DiskAlone => &disk,
            };
            let took = run(case, cluster, round).await;
            // Round 0 fills the caches and is not counted.
            if round > 0 {
                case.rounds.push(took);
            }
        }
    }
    print_table(&cases);
    print_json(&cases);
}

/// This thread, and every thread and process that it starts from now on, runs on one core of at least two.
fn run_on_core(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    for thread in std::fs::read_dir("/proc/self/task").expect("list this process's threads") {
        let name = thread.expect("a thread").file_name();
        let id = name.to_str().and_then(|id| id.parse().ok()).expect("a thread's id is a number");
        sched_setaffinity(rustix::process::Pid::from_raw(id), &cores).expect("this machine has two cores");
    }
}

async fn cluster(memory: &str) -> Cluster {
    let settings = format!("[cache]\n{memory}\n[cache.nvme]\nbytes = \"4 GiB\"\n");
    Cluster::start_with(Options { settings, ..Options::default() }).await
}

async fn upload(cluster: &Cluster, rounds: usize) {
    let store = cluster.standard("ord1");
    store.create_bucket(BUCKET).await;
    let keys = (0..=rounds).map(cold_key).chain(["hot".to_owned()]);
    for (seed, key) in keys.enumerate() {
        let content = Content::new(seed as u64, OBJECT_BYTES);
        let _ = store.put_multipart(BUCKET, &key, content, 16 * MIB).await;
    }
    let _ = store.put(BUCKET, "small", Content::new(99, SMALL_BYTES).all()).await.ok();
}

fn cold_key(round: usize) -> String {
    format!("cold-{round}")
}

fn cases(roomy: &Cluster, disk: &Cluster) -> Vec<Case> {
    let from_las1 = |cluster: &Cluster| cluster.accelerated("las1", "ord1");
    let case = |name, server, client, work| Case { name, server, client, work, rounds: Vec::new() };
    use Server::{DiskAlone, RoomyMemory};
    vec![
        case("8 MiB ranges, memory hit", RoomyMemory, from_las1(roomy), Work::Ranges("hot")),
        case("8 MiB ranges, disk hit", DiskAlone, from_las1(disk), Work::Ranges("hot")),
        case("8 MiB ranges, miss", RoomyMemory, from_las1(roomy), Work::ColdRanges),
        case("8 MiB ranges, store", RoomyMemory, roomy.standard("ord1"), Work::Ranges("hot")),
        case("4 KiB, cached", RoomyMemory, from_las1(roomy), Work::Small),
        case("4 KiB, cached, own region", RoomyMemory, roomy.accelerated("ord1", "ord1"), Work::Small),
        case("4 KiB, store", RoomyMemory, roomy.standard("ord1"), Work::Small),
    ]
}

async fn run(case: &Case, cluster: &Cluster, round: usize) -> Round {
    let (cpu, start) = (cluster.process().cpu_time(), Instant::now());
    match case.work {
        Work::Ranges(key) => pull_ranges(&case.client, key).await,
        Work::ColdRanges => pull_ranges(&case.client, &cold_key(round)).await,
        Work::Small => pull_small(&case.client).await,
    }
    Round { wall: start.elapsed(), server_cpu: cluster.process().cpu_time() - cpu }
}

async fn pull_ranges(client: &Client, key: &str) {
    let pull = |start: u64| async move {
        let request = Request::new("GET", format!("/{BUCKET}/{key}"));
        let range = format!("bytes={start}-{}", start + RANGE_BYTES - 1);
        let mut answer = client.open(request.header("range", range)).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 206);
        let mut got = 0;
        while let Some(piece) = answer.chunk().await.expect("an unbroken answer") {
            got += piece.len() as u64;
        }
        assert_eq!(got, RANGE_BYTES);
    };
    let starts = (0..OBJECT_BYTES / RANGE_BYTES).map(|index| index * RANGE_BYTES);
    stream::iter(starts).map(pull).buffer_unordered(RANGES_AT_ONCE).collect::<()>().await;
}

async fn pull_small(client: &Client) {
    let pull = |_| async move {
        let answer = client.get(BUCKET, "small").await.ok();
        assert_eq!(answer.body.len() as u64, SMALL_BYTES);
    };
    stream::iter(0..SMALL_REQUESTS).map(pull).buffer_unordered(SMALL_CONNECTIONS).collect::<()>().await;
}

impl Case {
    fn is_small(&self) -> bool {
        matches!(self.work, Work::Small)
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    fn megabytes_per_second(&self) -> f64 {
        self.median(|round| OBJECT_BYTES as f64 / 1e6 / round.wall.as_secs_f64())
    }

    fn cpu_seconds_per_gib(&self) -> f64 {
        self.median(|round| round.server_cpu.as_secs_f64() * GIB / OBJECT_BYTES as f64)
    }

    fn requests_per_second(&self) -> f64 {
        self.median(|round| SMALL_REQUESTS as f64 / round.wall.as_secs_f64())
    }

    fn cpu_micros_per_request(&self) -> f64 {
        self.median(|round| round.server_cpu.as_secs_f64() * 1e6 / SMALL_REQUESTS as f64)
    }
}

fn print_table(cases: &[Case]) {
    println!("| case | speed | server CPU |\n|---|---|---|");
    for case in cases {
        let (speed, cpu) = if case.is_small() {
            let speed = format!("{:.0} requests/s", case.requests_per_second());
            (speed, format!("{:.0} µs/request", case.cpu_micros_per_request()))
        } else {
            let speed = format!("{:.0} MB/s", case.megabytes_per_second());
            (speed, format!("{:.2} s/GiB", case.cpu_seconds_per_gib()))
        };
        println!("| {} | {speed} | {cpu} |", case.name);
    }
}

fn print_json(cases: &[Case]) {
    let rows: Vec<_> = cases
        .iter()
        .map(|case| {
            let rounds = case.rounds.iter().map(|round| {
                json!({ "seconds": round.wall.as_secs_f64(), "server_cpu_seconds": round.server_cpu.as_secs_f64() })
            });
            json!({ "case": case.name, "rounds": rounds.collect::<Vec<_>>() })
        })
        .collect();
    println!("{}", json!({ "object_bytes": OBJECT_BYTES, "small_requests": SMALL_REQUESTS, "cases": rows }));
}
