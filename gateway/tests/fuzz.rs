//! Fuzzing of what outside bytes reach first: policies, signatures, chunk framing and forms. On stable Rust, without tools.
//!
//! Each test mutates a corpus (`tests/fuzz/<name>/`, and the requests that botocore signed) for `FUZZ_SECONDS`, two
//! when not said, from the seed `FUZZ_SEED`, or else the clock's. An input whose outcome is new joins the corpus of
//! that run: outcomes stand in for coverage. Beside panics, each target holds something to be true of every input.
//! An input that fails, takes longer than [`STUCK`] or more memory than [`RESIDENT_BYTES_MAX`] is written to
//! `target/fuzz/`; put into the corpus, it is run by every test run from then on. README says how to run it for long.

#[path = "fuzz/mutation.rs"]
mod mutation;
#[path = "fuzz/targets.rs"]
mod targets;
#[path = "../src/sigv4/tests/vectors.rs"]
mod vectors;

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, process, thread};

use mutation::Mutator;
use targets::Target;

/// Largest input, in bytes: a little more than each parser takes.
const INPUT_BYTES_MAX: usize = 24 * 1024;

/// Longest that one input may take: thousands of times what it should, on a busy machine without optimisation.
const STUCK: Duration = Duration::from_secs(20);

/// Most memory of the whole process.
const RESIDENT_BYTES_MAX: u64 = 512 << 20;

/// Inputs with outcomes of their own that are kept beside the corpus.
const KEPT_COUNT_MAX: usize = 4000;

#[test]
fn policies() {
    fuzz(&targets::Policies);
}

#[test]
fn signatures() {
    fuzz(&targets::Signatures::new());
}

#[test]
fn chunks() {
    fuzz(&targets::Chunks);
}

#[test]
fn forms() {
    fuzz(&targets::Forms);
}

/// Runs every input of the corpus, and then mutations of it until the time is over.
fn fuzz(target: &dyn Target) {
    let budget = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(2));
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    let seed = number("FUZZ_SEED").unwrap_or(u64::try_from(since_1970).expect("before 2554"));
    let watched = Watched::default();
    let mut corpus = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(target.name()));
    corpus.extend(target.more_inputs());
    let seeds_count = corpus.len();
    let executions = thread::scope(|scope| {
        scope.spawn(|| watched.guard(target.name()));
        let run = |input: &[u8]| {
            watched.begin(input);
            let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
            watched.end();
            outcome.unwrap_or_else(|panic| {
                watched.is_over.store(true, Ordering::Relaxed);
                eprintln!("{}: seed {seed}: see {}", target.name(), keep(target.name(), input).display());
                resume_unwind(panic)
            })
        };
        let mut outcomes: HashSet<String> = corpus.iter().map(|input| run(input)).collect();
        let mut mutator = Mutator::new(seed, target.tokens());
        let mut executions = corpus.len() as u64;
        // The corpus alone may take as long as the budget, on a busy machine.
        let started = Instant::now();
        while started.elapsed() < budget {
            let input = mutator.mutation(&corpus, INPUT_BYTES_MAX);
            executions += 1;
            if outcomes.insert(run(&input)) && corpus.len() < seeds_count + KEPT_COUNT_MAX {
                corpus.push(input);
            }
        }
        watched.is_over.store(true, Ordering::Relaxed);
        eprintln!(
            "{}: {executions} executions from {seeds_count} inputs, the last in {:?}, {} outcomes, seed {seed}",
            target.name(),
            started.elapsed(),
            outcomes.len(),
        );
        executions
    });
    assert!(executions > seeds_count as u64, "not one mutation was run");
}

/// The input that is being run, for who watches over its time and memory.
#[derive(Default)]
struct Watched {
    running: Mutex<Option<(Instant, Vec<u8>)>>,
    is_over: AtomicBool,
}

impl Watched {
    fn begin(&self, input: &[u8]) {
        *self.running.lock().expect("no panic while locked") = Some((Instant::now(), input.to_vec()));
    }

    fn end(&self) {
        *self.running.lock().expect("no panic while locked") = None;
    }

    /// Ends the process, from which no test returns, when an input takes too long or too much.
    fn guard(&self, name: &str) {
        while !self.is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
            let running = self.running.lock().expect("no panic while locked");
            let Some((since, input)) = running.as_ref() else { continue };
            let resident_bytes = resident_bytes();
            if since.elapsed() > STUCK || resident_bytes > RESIDENT_BYTES_MAX {
                let kept = keep(name, input);
                // Not `eprintln!`, of which nothing is left when the process aborts.
                let said = format!("{name}: {:?}, {resident_bytes} bytes", since.elapsed());
                let _ = writeln!(io::stderr(), "{said}: see {}", kept.display());
                process::abort();
            }
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the corpus is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Writes a bad input where it is found again.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz");
    fs::create_dir_all(&folder).expect("a folder for bad inputs");
    let path = folder.join(format!("{name}-{}", process::id()));
    fs::write(&path, input).expect("written");
    path
}

/// By the kernel's count, in pages of 4 KiB.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
