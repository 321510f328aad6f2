//! The same with kill -9 in between: what was answered is there, and what was not is there whole or not at all.
//!
//! The steps are taken in a child process, this test binary started anew, which says after each what the map is. The
//! parent kills it in the middle of one, opens the directory itself and reads what it holds: the last map, or what the
//! step after it makes of that.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::*;

/// How often a store is killed before another one is begun: in one that has kept versions nothing is renamed.
const KILLS: u64 = 4;

/// Steps that a child takes before it is killed.
const STEPS_MAX: u64 = 40;

/// Longer than a region is open, and short enough that the last opening of a day is before its midnight.
const OPENING_MAX: Duration = Duration::from_secs(3600);

const ORDERS: &str = "PENSTOCK_TEST_ORDERS";
/// What lines of the child's begin with: the test runner says something as well.
const SAID: &str = "map ";

/// What a child is to do.
#[derive(Serialize, Deserialize)]
struct Orders {
    dir: PathBuf,
    opening: u32,
    seed: u64,
    map: Map,
}

/// As many kills as there are cases of the other.
#[tokio::test]
async fn a_killed_store_holds_what_it_answered_and_nothing_by_halves() {
    let first = u64::from(std::process::id()) << 32;
    for seed in (first..first + u64::from(config().cases)).step_by(KILLS as usize) {
        let dir = Region::start().await.close().await;
        let mut map = Map::default();
        let mut openings = 1..;
        let mut opening = || openings.next().expect("openings without end");
        for seed in seed..seed + KILLS {
            let orders = Orders { dir: dir.path().to_owned(), opening: opening(), seed, map };
            let (taken, answered) = run_and_kill(&orders);
            let unanswered = steps(seed).nth(taken).expect("steps without end");
            let day = after(&answered, &unanswered, &answered).day;
            let region = open_on(dir.path(), opening(), day).await;
            let found = read(&region).await;
            let possible = possible(&answered, &unanswered, &found);
            map = possible.into_iter().find(|map| map.shown() == found).unwrap_or_else(|| {
                panic!("seed {seed}: {found:?} is neither {answered:?} nor that after {unanswered:?}")
            });
            region.store.close().await;
            let report = RegionalStore::check_deep(dir.path()).await.expect("checked");
            assert_eq!(report.faults, Vec::<String>::new(), "seed {seed}");
        }
    }
}

/// The region in `dir` on `day`, with nothing left to do of what its rules say by then. Each opening has a later time than
/// the ones before: a region that opens knows nothing of how long others have run.
async fn open_on(dir: &Path, opening: u32, day: u64) -> Region {
    let time = DAY * u32::try_from(day).expect("few days") + OPENING_MAX * opening;
    let region = Region::open_after(dir, time).await;
    apply_rules(&region).await;
    region
}

/// What there may be where `step` was not answered: as if it was not taken, as if it was, and of an object in parts an upload
/// that did not come to its end. A day goes by whatever the store does.
fn possible(answered: &Map, step: &Step, found: &Map) -> Vec<Map> {
    let mut possible = vec![after(answered, step, found)];
    if let Step::PutInParts { key, body, .. } = *step {
        let begun = after(answered, &Step::StartUpload { key }, found);
        let mut sent = begun.clone();
        let new = sent.uploads.iter_mut().find(|(id, _)| !answered.uploads.contains_key(*id));
        if let Some((_, upload)) = new {
            upload.parts.insert(1, Part { body, etag: md5(&body.all()) });
        }
        possible.extend([begun, sent]);
    }
    if !matches!(step, Step::Days { .. }) {
        possible.push(answered.clone());
    }
    possible
}

/// What `step` and the time make of `before`, with the ids that `found` has of what was made.
fn after(before: &Map, step: &Step, found: &Map) -> Map {
    let is_object = matches!(
        step,
        Step::Put { .. } | Step::PutInParts { .. } | Step::Copy { .. } | Step::Complete { .. }
    );
    // A rule may have put a marker over the object at once.
    let is_new =
        |entry: &&Entry| entry.body.is_some() == is_object && entry.id != "null" && !before.has(&entry.id);
    let made = found.keys.values().flatten().find(is_new).map(|entry| &entry.id);
    let started = found.uploads.keys().find(|id| !before.uploads.contains_key(*id));
    let id = if matches!(step, Step::StartUpload { .. }) { started } else { made };
    let mut after = before.clone();
    after.apply(step, id.map_or("", String::as_str));
    after.age();
    after.told_by(found);
    after
}

/// The steps of this seed, without end.
fn steps(seed: u64) -> impl Iterator<Item = Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
    std::iter::from_fn(move || Some(step().new_tree(&mut runner).expect("a step").current()))
}

/// Has a child take steps until it is killed. How many were answered, and the map then.
fn run_and_kill(orders: &Orders) -> (usize, Map) {
    let Orders { seed, ref map, .. } = *orders;
    let complaints = NamedTempFile::new().expect("a file");
    let mut child = start_child(orders, &complaints);
    let said = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let kill_after = 1 + seed % STEPS_MAX;
    let mut answered = (0, map.clone());
    // The pipe is read to its end also after the kill: what was answered before it counts. The last line may be cut off;
    // nothing else was begun then.
    let maps = said.filter_map(|line| line.strip_prefix(SAID).map(|map| serde_json::from_str(map).ok()));
    for map in maps.map_while(|map: Option<Map>| map) {
        answered = (answered.0 + 1, map);
        if answered.0 as u64 == kill_after {
            // Somewhere in the next step, or in one soon after.
            std::thread::sleep(Duration::from_micros(seed.wrapping_mul(7919) % 3000));
            child.kill().expect("a child that runs until it is killed");
        }
    }
    child.wait().expect("a child");
    let was_killed = answered.0 as u64 >= kill_after;
    assert!(
        was_killed,
        "seed {seed}: the child has ended by itself: {}",
        std::fs::read_to_string(&complaints).expect("text")
    );
    answered
}

fn start_child(orders: &Orders, complaints: &NamedTempFile) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "model::killed::child_taking_steps", "--ignored", "--nocapture"])
        .env(ORDERS, serde_json::to_string(orders).expect("plain data"))
        .stdout(Stdio::piped())
        .stderr(complaints.reopen().expect("the file"))
        .spawn()
        .expect("a child")
}

#[tokio::test]
#[ignore = "takes the steps of the test above, which starts and kills it"]
async fn child_taking_steps() {
    let orders = std::env::var(ORDERS).expect("orders");
    let Orders { dir, opening, seed, mut map } = serde_json::from_str(&orders).expect("orders");
    let mut region = open_on(&dir, opening, map.day).await;
    for step in steps(seed) {
        take(&mut region, &mut map, &step).await;
        // A line begins where the test runner may not have ended its own.
        println!("\n{SAID}{}", serde_json::to_string(&map).expect("plain data"));
    }
}
