//! kill -9 at random moments under a mixed load: whatever was answered is there, nothing else is half there.
//!
//! The load runs in a child process, this test binary started anew. It says on its output what it begins and what
//! was answered; the parent kills it in the middle, opens the directory and compares.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const ROUNDS: u64 = 8;
const WORKERS: u64 = 6;
const DIR_VARIABLE: &str = "PENSTOCK_TEST_CRASH_DIR";
/// What the child says before it opens the store.
const OPENING: &str = "opening";
const ROUND_VARIABLE: &str = "PENSTOCK_TEST_CRASH_ROUND";

/// What a key may hold: the seed of its bytes, or nothing.
type Content = Option<u64>;

#[derive(Default)]
struct Expected {
    answered: Content,
    begun: Option<Content>,
}

#[tokio::test]
async fn killed_at_random_moments_it_keeps_what_it_answered_and_nothing_by_halves() {
    let dir = TempDir::new().unwrap();
    let mut expected: BTreeMap<String, Expected> = BTreeMap::new();
    for round in 0..ROUNDS {
        run_and_kill(dir.path(), round, &mut expected);
        let registry = Registry::new();
        let store = RegionalStore::open(settings(dir.path()), Seams::default(), &registry).await.unwrap();
        for (key, expected) in &mut expected {
            let read = store.test_object(key).await.unwrap();
            let found = [Some(expected.answered), expected.begun.take()]
                .into_iter()
                .flatten()
                .find(|content| read == content.map(object));
            expected.answered = found.unwrap_or_else(|| {
                panic!(
                    "round {round}: {key} holds {:?} bytes, neither old nor new",
                    read.map(|read| read.len())
                )
            });
        }
        store.close().await;
        let report = RegionalStore::check_deep(dir.path()).await.unwrap();
        assert_eq!(report.faults, Vec::<String>::new(), "round {round}");
    }
    assert!(expected.len() > WORKERS as usize, "the load hardly ran: {} keys", expected.len());

    // Once every grace has passed, the disk holds what live objects need and no more.
    let clock = Arc::new(ManualClock::default());
    let seams = Seams { clock: Arc::<ManualClock>::clone(&clock), ..Seams::default() };
    let store = RegionalStore::open(settings(dir.path()), seams, &Registry::new()).await.unwrap();
    let region = Region { store, clock, dir };
    abort_uploads(&region.store).await;
    region.let_grace_pass().await;
    let live: u64 = expected
        .values()
        .filter_map(|expected| expected.answered)
        .map(|seed| object(seed).len() as u64)
        .sum();
    let used: u64 = region.data_files().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(used <= live, "{used} bytes of data files for {live} bytes of objects");
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// Opening is killed too: the first of a directory, and the next, which finds what the first left.
#[tokio::test]
async fn killed_while_it_opens_it_opens_the_next_time() {
    for round in 0..12 {
        let dir = TempDir::new().unwrap();
        for start in 0..2 {
            let mut child = start_child(dir.path(), round);
            let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(said.any(|line| line == OPENING));
            let random = bytes((round * 2 + start) ^ u64::from(std::process::id()) << 8, 2);
            // Within the opening or soon after it, which takes some milliseconds.
            std::thread::sleep(Duration::from_micros(
                u64::from(u16::from_be_bytes([random[0], random[1]])) / 4,
            ));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let region = Region::open(dir, Seams::default()).await;
        assert_eq!(region.check().await.faults, Vec::<String>::new(), "round {round}");
    }
}

fn start_child(dir: &Path, round: u64) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "regional::tests::crash::child_under_load", "--ignored", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .env(ROUND_VARIABLE, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads what the child says until it is killed, a random while after it began.
fn run_and_kill(dir: &Path, round: u64, expected: &mut BTreeMap<String, Expected>) {
    let mut child = start_child(dir, round);
    let said = BufReader::new(child.stdout.take().unwrap());
    let kill_after = 20 + bytes(round ^ std::process::id() as u64, 1)[0] as usize * 2;
    let mut said_count = 0;
    for line in said.lines().map_while(Result::ok) {
        let Some(said) = line.strip_prefix("crash ") else { continue };
        let words: Vec<_> = said.split(' ').collect();
        let [what, key, seed] = words[..] else { panic!("{line}") };
        let expected = expected.entry(key.to_owned()).or_default();
        let content = seed.parse().ok();
        match what {
            "begin" => expected.begun = Some(content),
            "done" => (expected.answered, expected.begun) = (content, None),
            _ => panic!("{line}"),
        }
        said_count += 1;
        if said_count == kill_after {
            // The pipe is read to its end all the same: what was answered before the kill counts.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(said_count >= kill_after, "round {round}: the child has ended by itself");
}

fn object(seed: u64) -> Vec<u8> {
    let size = match seed % 4 {
        0 => 100,
        1 => 30_000 + seed as usize % 1000,
        2 => 200_000 + seed as usize % 70_000,
        _ => 600_000,
    };
    bytes(seed, size)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the load of the crash test, which starts it"]
async fn child_under_load() {
    let dir = PathBuf::from(std::env::var_os(DIR_VARIABLE).unwrap());
    let round: u64 = std::env::var(ROUND_VARIABLE).unwrap().parse().unwrap();
    // No grace: removal, too, is under way when the kill comes.
    let settings = Settings { grace: Duration::ZERO, ..settings(&dir) };
    println!("{OPENING}");
    let store = RegionalStore::open(settings, Seams::default(), &Registry::new()).await.unwrap();
    store.test_bucket().await;
    let workers = (0..WORKERS).map(|worker| tokio::spawn(work(store.clone(), round, worker)));
    futures::future::join_all(workers).await;
}

async fn work(store: RegionalStore, round: u64, worker: u64) {
    for step in 0.. {
        let seed = (round * 1_000_000 + step) * WORKERS + worker;
        let key = format!("w{worker}/{}", seed / WORKERS % 5);
        match step % 7 {
            5 => {
                say("begin", &key, None);
                store.test_delete(&key).await.unwrap();
                say("done", &key, None);
            }
            6 => {
                let source = format!("w{worker}/source");
                say("begin", &source, Some(seed));
                store.test_put(&source, &object(seed)).await.unwrap();
                say("done", &source, Some(seed));
                say("begin", &key, Some(seed));
                store.test_copy(&source, &key).await.unwrap();
                say("done", &key, Some(seed));
            }
            // In a file, where it can be cut to pieces.
            4 if !seed.is_multiple_of(4) => {
                say("begin", &key, Some(seed));
                store.test_put_in_slices(&key, &object(seed)).await.unwrap();
                say("done", &key, Some(seed));
            }
            2 | 3 => {
                let (upload_id, object) = (format!("u{seed}"), object(seed));
                for (number, part) in (1..).zip(object.chunks(140_001)) {
                    store.test_put_part(&upload_id, number, part).await.unwrap();
                }
                say("begin", &key, Some(seed));
                store.test_complete(&key, &upload_id).await.unwrap();
                say("done", &key, Some(seed));
            }
            _ => {
                say("begin", &key, Some(seed));
                store.test_put(&key, &object(seed)).await.unwrap();
                say("done", &key, Some(seed));
            }
        }
    }
}

/// One line, whole, before the work goes on.
fn say(what: &str, key: &str, content: Content) {
    let content = content.map_or("none".to_owned(), |seed| seed.to_string());
    let mut out = std::io::stdout().lock();
    out.write_all(format!("crash {what} {key} {content}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Parts of uploads that a kill interrupted live until their upload is aborted.
async fn abort_uploads(store: &RegionalStore) {
    let aborted = store.commit(Change::Nothing, |txn| {
        let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        let mut uploads = std::collections::BTreeSet::new();
        for row in db::ReadRows::rows(txn, table::Table::Parts, all)? {
            let (key, _) = row?;
            uploads.insert(String::from_utf8(key[..key.len() - 5].to_vec()).unwrap());
        }
        Ok(uploads.iter().try_for_each(|upload_id| txn.delete_upload(BUCKET, "k", upload_id))?)
    });
    aborted.await.unwrap();
}
