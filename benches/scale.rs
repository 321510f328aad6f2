//! What does a small request to the store cost beside another S3 engine's, and what changes with five million keys in one
//! bucket: of requests, of the pages of listings, and of a start?
//!
//! One server at a time works on one core, this client on the other. The engines take turns, round by round, so that a machine
//! whose speed drifts drifts for all of them. Every request is signed, and every engine verifies it.
//!
//! `benches/run scale [KEYS [ROUNDS]]` fetches the other engine, builds, and starts this in a network namespace of its own.

mod cores;
#[path = "scale/engine.rs"]
mod engine;
mod figures;
#[path = "scale/fill.rs"]
mod fill;
#[path = "scale/listing.rs"]
mod listing;
#[path = "scale/names.rs"]
mod names;
#[path = "scale/report.rs"]
mod report;
#[path = "scale/requests.rs"]
mod requests;
#[path = "scale/seaweed.rs"]
mod seaweed;

use std::time::{Duration, Instant};

use cores::{move_to_core, run_on_core};
use engine::Engine;
use names::Names;
use report::{Filled, Measured};
use requests::Work;
use seaweed::Seaweed;
use tests::{Cluster, Options};

/// In the filled bucket, unless another number is asked for.
const KEYS: u64 = 5_000_000;
const ROUNDS: usize = 5;

/// The region whose store is measured.
const OWNER: &str = "ord1";
const BUCKET: &str = "many";

/// The core that is measured, and the one of the client.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |text: &str| arguments.next().map(|argument| argument.parse::<u64>().expect(text));
    let names = Names::of(number("a number of keys").unwrap_or(KEYS));
    let rounds = number("a number of rounds").map_or(ROUNDS, |rounds| rounds as usize);

    let mut full = cluster("warn").await;
    let filled = fill_and_restart(&mut full, &names).await;
    let walks = listing::walk_all(&full, &names).await;
    walks.iter().for_each(|walk| eprintln!("{}", walk.line()));

    let empty = cluster("info").await;
    run_on_core(SERVER_CORE);
    let seaweed = Seaweed::start().await;
    run_on_core(CLIENT_CORE);
    let engines = [
        Engine::penstock("Penstock", &empty).await,
        Engine::penstock_filled(format!("Penstock, {} keys", names.count()), &full),
        Engine::seaweed("SeaweedFS", &seaweed, "quick").await,
        Engine::seaweed("SeaweedFS, fsync", &seaweed, seaweed::SYNCED).await,
    ];
    let mut measured: Vec<Measured> = Vec::new();
    for work in Work::ALL {
        measured.extend(
            engines.iter().filter(|engine| work.is_for(engine)).map(|engine| Measured::of(work, engine)),
        );
    }
    for round in 0..=rounds {
        for engine in &engines {
            for work in Work::ALL.into_iter().filter(|work| work.is_for(engine)) {
                let took = requests::round(work, engine, &names, round).await;
                let row =
                    measured.iter_mut().find(|row| row.is_of(work, engine)).expect("every one has a row");
                // Round 0 opens connections and warms up, and is not counted.
                if round > 0 {
                    row.rounds.push(took);
                }
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    let memory: Vec<_> =
        engines.iter().map(|engine| (engine.name.clone(), engine.peak_memory_bytes())).collect();
    report::print(&filled, &walks, &measured, &memory);
}

/// A cluster on the measured core; `level` is what its nodes log.
async fn cluster(level: &str) -> Cluster {
    run_on_core(SERVER_CORE);
    let cluster = Cluster::start_with(options(level)).await;
    run_on_core(CLIENT_CORE);
    cluster
}

fn options(level: &str) -> Options {
    Options::default().served().and(&format!("[log]\nlevel = {level:?}\n"))
}

/// Fills a bucket, without a line in the log for each of millions of requests, and then has the nodes started again as a
/// power cut would have it.
async fn fill_and_restart(cluster: &mut Cluster, names: &Names) -> Filled {
    let client = cluster.standard(OWNER);
    client.create_bucket(BUCKET).await;
    let tenths = fill::fill(&client, names, cluster.process(OWNER).id()).await;
    let peak_memory_bytes = cluster.process(OWNER).peak_memory_bytes();
    cluster.kill_node(OWNER);
    run_on_core(SERVER_CORE);
    let began = Instant::now();
    cluster.launch_node(OWNER);
    cluster.wait_until_node_is_ready(OWNER).await;
    let start = began.elapsed();
    cluster.stop();
    cluster.start_again_with(options("info")).await;
    run_on_core(CLIENT_CORE);
    move_to_core(cluster.process(OWNER).id(), SERVER_CORE);
    let metadata_bytes = fill::metadata_bytes(&cluster.data_dir());
    Filled { keys_count: names.count(), tenths, start, metadata_bytes, peak_memory_bytes }
}

/// Seconds as a reader wants them.
pub(crate) fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
