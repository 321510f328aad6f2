//! Histories: many clients at three regions' endpoints, over long ways that are cut, with nodes that are stopped, killed
//! and started again; what they did and saw must be explained by one copy of each object.
//!
//! `cargo histories` runs as many as HISTORY_RUNS asks for, from HISTORY_SEED on, on HISTORY_CLUSTERS clusters side by
//! side. A seed fixes what is asked for and what goes wrong; when exactly is up to the machine.

mod checker;
mod faults;
mod history;
mod liar;
mod worker;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tests::cluster::REGIONS;
use tests::process::target_dir;
use tests::random::Random;
use tests::{Cluster, Endpoint, Options};
use tokio::time::sleep;

use checker::{Verdict, check};
use history::{Op, Recorder};
use liar::{Liars, Lie};
use worker::{Doors, Place, Worker, content_bytes, look};

/// Clients in each region.
const CLIENTS_PER_REGION: u64 = 4;

/// How long clients go on after the last fault.
const GOES_ON: Duration = Duration::from_millis(700);

/// Buckets of a history are in two regions, two keys in the first and two in the second.
const KEYS_PER_PLACE: u64 = 2;

/// How long a healed cluster may take until every node answers for every key, on a busy machine.
const WELL_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// What is said of operations that no order explains.
const NO_ORDER: &str = "no order explains";

/// The fixed set: every kind of fault once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_set_of_histories_is_linearizable() {
    let seeds = (1..=faults::KINDS).collect();
    let failed = run_all(vec![seeds]).await;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// As many as one has time for: see `cargo histories` in README.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes hours; cargo histories runs it"]
async fn many_histories_are_linearizable() {
    let (runs, first) = (number("HISTORY_RUNS", 100), number("HISTORY_SEED", 1));
    let clusters = number("HISTORY_CLUSTERS", 2);
    let lane = |lane| (first..first + runs).filter(|seed| seed % clusters == lane).collect();
    let failed = run_all((0..clusters).map(lane).collect()).await;
    println!("{runs} histories from seed {first} on, {} rejected", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The protocol broken in the middle, by a relay that nodes and owners believe: the very same histories do not pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_over_a_broken_protocol_are_rejected() {
    /// One finds it nearly always.
    const TRIES: u64 = 12;
    for lie in Lie::ALL {
        let mut cluster = start().await;
        let _liars = Liars::between(&cluster, lie).await;
        let mut is_found = false;
        for nth in 0..TRIES {
            // Without faults of other kinds, as far as the seed goes.
            let verdict = run(&mut cluster, nth * faults::KINDS).await;
            is_found = verdict.is_err_and(|problem| problem.contains(NO_ORDER));
            if is_found {
                break;
            }
        }
        assert!(is_found, "{lie:?} was not found by {TRIES} histories");
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs each list of seeds on a cluster of its own; returns what was wrong.
async fn run_all(lanes: Vec<Vec<u64>>) -> Vec<String> {
    let running = lanes.into_iter().map(|seeds| async {
        let mut failed = Vec::new();
        let mut cluster = start().await;
        for seed in seeds {
            if let Err(problem) = run(&mut cluster, seed).await {
                failed.push(problem);
            }
        }
        failed
    });
    join_all(running).await.concat()
}

/// Three processes, far from each other, with a bucket each.
async fn start() -> Cluster {
    let options = Options::default().served().distant(Duration::ZERO);
    let cluster = Cluster::start_with(options).await;
    for region in REGIONS {
        cluster.standard(region).create_bucket(&bucket(region)).await;
    }
    cluster
}

fn bucket(region: &str) -> String {
    format!("of-{region}")
}

/// One history on keys of its own.
async fn run(cluster: &mut Cluster, seed: u64) -> Result<(), String> {
    let began = Instant::now();
    // Neighbouring seeds are to have nothing in common.
    let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..8 {
        random.draw();
    }
    let plan = faults::plan(seed, &mut random);
    let places = places(seed, &mut random);
    faults::spread(cluster, &mut random);
    let recorder = Arc::new(Recorder::new());
    let is_over = Arc::new(AtomicBool::new(false));
    let workers = workers(cluster, &places, &mut random, &recorder, &is_over);
    let working: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(worker.work())).collect();
    faults::play(cluster, &plan).await;
    sleep(GOES_ON).await;
    is_over.store(true, Ordering::Relaxed);
    let done: u32 =
        join_all(working).await.into_iter().map(|worker| worker.expect("a client does not panic")).sum();
    for region in REGIONS {
        cluster.wait_until_node_is_ready(region).await;
    }
    let missed = look_everywhere(cluster, &places, &recorder).await;
    let (ops, mut problems) = recorder.finish();
    problems.extend(missed);
    problems.extend(ops.iter().filter_map(|(key, ops)| judge(seed, key, ops)));
    let hits = recorder.hits();
    let unanswered = ops.values().flatten().filter(|op| op.answered.is_none()).count();
    let faults: Vec<_> = plan.iter().map(ToString::to_string).collect();
    let verdict = if problems.is_empty() { "accepted" } else { "REJECTED" };
    println!(
        "history {seed}: {verdict}, {done} requests, {hits} hits, {unanswered} writes unanswered, {:.1} s; {}",
        began.elapsed().as_secs_f64(),
        faults.join(", ")
    );
    if problems.is_empty() { Ok(()) } else { Err(format!("history {seed}: {}", problems.join("\n  "))) }
}

/// Two regions' buckets, each with keys that no other history uses.
fn places(seed: u64, random: &mut Random) -> Vec<Place> {
    let first = random.below(3) as usize;
    let regions = [REGIONS[first], REGIONS[(first + 1) % 3]];
    // A history may be run again on the same cluster.
    let prefix = format!("{seed}-{:x}/", random.draw());
    let keys: Vec<_> = (0..KEYS_PER_PLACE).map(|key| format!("{prefix}k{key}")).collect();
    let place = |region: &str| Place { bucket: bucket(region), prefix: prefix.clone(), keys: keys.clone() };
    regions.map(place).into()
}

fn workers(
    cluster: &Cluster,
    places: &[Place],
    random: &mut Random,
    recorder: &Arc<Recorder>,
    is_over: &Arc<AtomicBool>,
) -> Vec<Worker> {
    let at = |region: &str| places.iter().map(|place| doors(cluster, region, place)).collect();
    let clients = REGIONS.iter().flat_map(|region| (0..CLIENTS_PER_REGION).map(move |_| *region));
    clients
        .map(|region| Worker {
            doors: at(region),
            random: Random::new(random.draw()),
            recorder: Arc::clone(recorder),
            is_over: Arc::clone(is_over),
            last_seen: None,
        })
        .collect()
}

/// The listeners of the node at `at`, asked for `place`.
fn doors(cluster: &Cluster, at: &str, place: &Place) -> Doors {
    let owner = place.bucket.strip_prefix("of-").expect("a bucket is called after its region");
    let client = |endpoint: Endpoint| cluster.client(at, endpoint).under(endpoint.host(owner));
    Doors {
        place: place.clone(),
        standard: client(Endpoint::Standard),
        accelerated: client(Endpoint::Accelerated),
    }
}

/// Once all is well, every node answers for every key, at both endpoints. What did not, in words.
async fn look_everywhere(cluster: &Cluster, places: &[Place], recorder: &Arc<Recorder>) -> Vec<String> {
    let deadline = Instant::now() + WELL_AGAIN_WITHIN;
    let mut looks = Vec::new();
    for region in REGIONS {
        for doors in places.iter().map(|place| doors(cluster, region, place)) {
            for key in &doors.place.keys {
                for client in [&doors.standard, &doors.accelerated] {
                    let (client, recorder) = (client.clone(), Arc::clone(recorder));
                    let (bucket, key) = (doors.place.bucket.clone(), key.clone());
                    looks.push(async move {
                        while !look(client.clone(), Arc::clone(&recorder), bucket.clone(), key.clone()).await
                        {
                            if Instant::now() > deadline {
                                return Some(format!("{region} does not answer for {bucket}/{key}"));
                            }
                            sleep(Duration::from_millis(50)).await;
                        }
                        None
                    });
                }
            }
        }
    }
    join_all(looks).await.into_iter().flatten().collect()
}

/// What is wrong with the operations of `key`, which are kept in a file for whoever has to find out why.
fn judge(seed: u64, key: &str, ops: &[Op]) -> Option<String> {
    let (verdict, order) = match check(ops) {
        Verdict::Accepted => return None,
        Verdict::Rejected(order) => (NO_ORDER, order),
        Verdict::Undecided => ("too many orders might explain", Vec::new()),
    };
    let mut text = String::new();
    let mut lines: BTreeMap<_, _> =
        ops.iter().enumerate().map(|(index, op)| ((op.called, index), op)).collect();
    writeln!(text, "{key}: {verdict} these {} operations. The longest order found:", ops.len())
        .expect("text");
    for index in order {
        writeln!(text, "{}", ops[index]).expect("text");
        lines.remove(&(ops[index].called, index));
    }
    writeln!(text, "left over:").expect("text");
    for op in lines.values() {
        writeln!(text, "{op}").expect("text");
    }
    let file = dump_file(seed, key);
    fs::write(&file, &text).expect("keep a rejected history");
    Some(format!("{key}: {verdict} its {} operations; see {}", ops.len(), file.display()))
}

fn dump_file(seed: u64, key: &str) -> PathBuf {
    let dir = target_dir().join("histories");
    fs::create_dir_all(&dir).expect("make the folder for rejected histories");
    dir.join(format!("{seed}-{}.txt", key.replace('/', "-")))
}

/// Objects of every size that the store treats differently are among those that histories write.
#[test]
fn contents_are_of_all_sizes() {
    let sizes: Vec<u64> = (1..=32).map(|content| content_bytes(content).bytes).collect();
    assert!(sizes.iter().any(|bytes| *bytes < 16 << 10) && sizes.iter().any(|bytes| *bytes > 1 << 20));
}
