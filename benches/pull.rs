//! What does a pull cost out of memory, out of the disk tier, out of another region, and straight from the store?
//!
//! One `penstock serve` process a region on one core, this client on the other. The cases take turns, round by round,
//! so that a machine whose speed drifts drifts for all of them. What is quoted is the median round: MB/s, and the CPU
//! seconds per GiB (for 4 KiB objects: microseconds per request) of the node that answers and of the node that owns,
//! which are the figures that a noisy machine leaves alone.
//!
//! `benches/run` builds and starts this in a network namespace of its own.

mod cores;

use std::time::{Duration, Instant};

use cores::run_on_core;
use futures::stream::{self, StreamExt};
use serde_json::json;
use tests::{Client, Cluster, Content, Endpoint, MIB, Options, Request};

const GIB: f64 = (1u64 << 30) as f64;
const RANGE_BYTES: u64 = 8 * MIB;
const RANGES_AT_ONCE: usize = 8;
const OBJECT_BYTES: u64 = 256 * MIB;
const SMALL_BYTES: u64 = 4096;
const SMALL_REQUESTS: usize = 20_000;
const SMALL_CONNECTIONS: usize = 64;
const BUCKET: &str = "weights";
const OWNER: &str = "ord1";

/// Times a warm object is pulled in one round: the kernel counts CPU in steps of 10 ms.
const WARM_PASSES: u32 = 4;

/// One way to pull: which cluster serves it, over which client, and what is asked for.
struct Case {
    name: &'static str,
    server: Server,
    /// The region whose node answers.
    at: &'static str,
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

/// What one pass of a round took.
struct Round {
    wall: Duration,
    /// Of the node that answered.
    node_cpu: Duration,
    /// Of the owning region's node, where that is another one.
    owner_cpu: Duration,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(5, |text| text.parse().expect("a number of rounds"));
    run_on_core(0);
    let roomy = cluster("1 GiB").await;
    // Two blocks: less than the ranges in flight, so that every range is read from the slab.
    let disk = cluster("2 MiB").await;
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

async fn cluster(memory: &str) -> Cluster {
    Cluster::start_with(Options::cache(memory, "1 GiB").served()).await
}

async fn upload(cluster: &Cluster, rounds: usize) {
    let store = cluster.standard(OWNER);
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
    use Endpoint::{Accelerated, Standard};
    use Server::{DiskAlone, RoomyMemory};
    let case = |name, server, at, endpoint, work| {
        let cluster = match server {
            RoomyMemory => roomy,
            DiskAlone => disk,
        };
        let client = match endpoint {
            Standard => cluster.standard(at),
            Accelerated => cluster.accelerated(at, OWNER),
        };
        Case { name, server, at, client, work, rounds: Vec::new() }
    };
    vec![
        case("8 MiB ranges, memory hit", RoomyMemory, "las1", Accelerated, Work::Ranges("hot")),
        case("8 MiB ranges, disk hit", DiskAlone, "las1", Accelerated, Work::Ranges("hot")),
        case("8 MiB ranges, miss", RoomyMemory, "las1", Accelerated, Work::ColdRanges),
        case("8 MiB ranges, store", RoomyMemory, OWNER, Standard, Work::Ranges("hot")),
        case("4 KiB, cached", RoomyMemory, "las1", Accelerated, Work::Small),
        case("4 KiB, cached, own region", RoomyMemory, OWNER, Accelerated, Work::Small),
        case("4 KiB, store", RoomyMemory, OWNER, Standard, Work::Small),
    ]
}

async fn run(case: &Case, cluster: &Cluster, round: usize) -> Round {
    let cpu = || (cluster.process(case.at).cpu_time(), cluster.process(OWNER).cpu_time());
    let (before, start) = (cpu(), Instant::now());
    match case.work {
        Work::Ranges(key) => {
            for _ in 0..WARM_PASSES {
                pull_ranges(&case.client, key).await;
            }
        }
        Work::ColdRanges => pull_ranges(&case.client, &cold_key(round)).await,
        Work::Small => pull_small(&case.client).await,
    }
    let (wall, after) = (start.elapsed(), cpu());
    let passes = case.passes();
    let owner_cpu = if case.at == OWNER { Duration::ZERO } else { (after.1 - before.1) / passes };
    Round { wall: wall / passes, node_cpu: (after.0 - before.0) / passes, owner_cpu }
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

    /// Times the work is done in one round.
    fn passes(&self) -> u32 {
        match self.work {
            Work::Ranges(_) => WARM_PASSES,
            Work::ColdRanges | Work::Small => 1,
        }
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    fn megabytes_per_second(&self) -> f64 {
        self.median(|round| OBJECT_BYTES as f64 / 1e6 / round.wall.as_secs_f64())
    }

    fn requests_per_second(&self) -> f64 {
        self.median(|round| SMALL_REQUESTS as f64 / round.wall.as_secs_f64())
    }

    /// CPU as a reader compares it: of which node, and in the unit of this case's work.
    fn cpu(&self, of: impl Fn(&Round) -> Duration) -> String {
        let seconds = self.median(|round| of(round).as_secs_f64());
        if self.is_small() {
            format!("{:.0} µs/request", seconds * 1e6 / SMALL_REQUESTS as f64)
        } else {
            format!("{:.2} s/GiB", seconds * GIB / OBJECT_BYTES as f64)
        }
    }

    fn speed(&self) -> String {
        if self.is_small() {
            format!("{:.0} requests/s", self.requests_per_second())
        } else {
            format!("{:.0} MB/s", self.megabytes_per_second())
        }
    }
}

fn print_table(cases: &[Case]) {
    println!("| case | speed | CPU of the node | CPU of the owner |\n|---|---|---|---|");
    for case in cases {
        let owner =
            if case.at == OWNER { "(the same)".to_owned() } else { case.cpu(|round| round.owner_cpu) };
        println!("| {} | {} | {} | {owner} |", case.name, case.speed(), case.cpu(|round| round.node_cpu));
    }
}

fn print_json(cases: &[Case]) {
    let row = |round: &Round| {
        json!({
            "seconds": round.wall.as_secs_f64(),
            "node_cpu_seconds": round.node_cpu.as_secs_f64(),
            "owner_cpu_seconds": round.owner_cpu.as_secs_f64(),
        })
    };
    let rows: Vec<_> = cases
        .iter()
        .map(|case| json!({ "case": case.name, "rounds": case.rounds.iter().map(row).collect::<Vec<_>>() }))
        .collect();
    println!("{}", json!({ "object_bytes": OBJECT_BYTES, "small_requests": SMALL_REQUESTS, "cases": rows }));
}
