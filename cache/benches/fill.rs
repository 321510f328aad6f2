//! How long does a cold read take over a long line, beside going to the origin directly, and what does it cost?
//!
//! The origin is in this process: it answers after 40 ms and gives 60 MiB/s a connection, as a region on the other coast
//! does. The cache is as it comes, without NVMe. Printed, medians of interleaved rounds: time to the first piece and to
//! the last, as milliseconds and as parts of the direct ones; bytes that the origin gave for each byte served; CPU seconds
//! a GiB, all of this process, the origin's own making of pages (one that is cloned) included.
//!
//! `cargo bench -p cache --bench fill`

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Instance, Mode, PAGE_BYTES, Page, Pages, Purpose, Settings, Source, SourceError, Tenant};
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, StreamExt as _};
use prometheus::Registry;
use tokio::time::{Instant, sleep, sleep_until};

const MIB: u64 = 1024 * 1024;
const ROUNDS: usize = 5;
const ROUND_TRIP: Duration = Duration::from_millis(40);
const STREAM_RATE: f64 = 60.0 * MIB as f64;

/// What is read in one round.
struct Work {
    name: &'static str,
    object_bytes: u64,
    /// So many ranges, one after another in the object, read at the same time.
    ranges_count: u64,
    /// So many readers of each.
    readers_count: usize,
}

const WORK: [Work; 3] = [
    Work { name: "64 MiB, one reader", object_bytes: 64 * MIB, ranges_count: 1, readers_count: 1 },
    Work { name: "256 MiB, 8 ranges at once", object_bytes: 256 * MIB, ranges_count: 8, readers_count: 1 },
    Work { name: "256 MiB, 64 readers", object_bytes: 256 * MIB, ranges_count: 1, readers_count: 64 },
];

struct Took {
    first: f64,
    all: f64,
    given: f64,
    cpu: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    println!(
        "{:<28} {:>22} {:>30} {:>8} {:>8}",
        "", "direct: first, all ms", "filled: first, all (of direct)", "origin", "CPU"
    );
    for work in WORK {
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (at, mode) in [Mode::Bypass, Mode::Fill].into_iter().enumerate() {
                rounds[at].push(pass(&work, mode).await);
            }
        }
        let [direct, filled] = rounds.map(|rounds| {
            let middle = |of: fn(&Took) -> f64| median(rounds.iter().map(of).collect());
            Took {
                first: middle(|t| t.first),
                all: middle(|t| t.all),
                given: middle(|t| t.given),
                cpu: middle(|t| t.cpu),
            }
        });
        println!(
            "{:<28} {:>10.0}, {:>9.0} {:>8.0}, {:>8.0} ({:.2}x) {:>10.2} {:>8.2}",
            work.name,
            direct.first,
            direct.all,
            filled.first,
            filled.all,
            filled.all / direct.all,
            filled.given,
            filled.cpu
        );
    }
}

/// Reads an object that nobody has read before, by a cache that is empty.
async fn pass(work: &Work, mode: Mode) -> Took {
    let settings = Settings { direct_reads_per_origin_max: 64, ..Settings::default() };
    let cache = Cache::open(settings, &Registry::new()).await.expect("opens");
    let origin = Arc::new(Line::default());
    let (begun, cpu_before) = (Instant::now(), cpu());
    let ranges = (0..work.ranges_count).map(|number| {
        let bytes = work.object_bytes / work.ranges_count;
        number * bytes..(number + 1) * bytes
    });
    let readers = ranges.flat_map(|range| (0..work.readers_count).map(move |_| range.clone())).map(|range| {
        let mut reader = cache.read(
            Tenant::named("bench"),
            Instance([7; 16]),
            work.object_bytes,
            range,
            mode,
            origin.clone(),
        );
        tokio::spawn(async move {
            let mut first = None;
            while let Some(piece) = reader.next().await {
                piece.expect("read");
                first.get_or_insert_with(|| begun.elapsed());
            }
            (first.expect("a piece"), begun.elapsed())
        })
    });
    let took = join_all(readers.collect::<Vec<_>>()).await;
    let (first, all): (Vec<_>, Vec<_>) = took.into_iter().map(|took| took.expect("no panic")).unzip();
    let ms = |times: Vec<Duration>| times.into_iter().max().expect("readers").as_secs_f64() * 1e3;
    let served = (work.object_bytes * work.readers_count as u64) as f64;
    Took {
        first: ms(first),
        all: ms(all),
        given: origin.given.load(Ordering::Relaxed) as f64 / work.object_bytes as f64,
        cpu: (cpu() - cpu_before).as_secs_f64() / (served / (1_u64 << 30) as f64),
    }
}

/// CPU time of this process so far, all threads, user and system.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("less than a second"))
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// A long line to an object whose every page is the same.
#[derive(Default)]
struct Line {
    given: Arc<AtomicU64>,
}

impl Source for Line {
    fn origin(&self) -> &str {
        "far"
    }

    fn pages(
        &self,
        _instance: Instance,
        pages: Range<u64>,
        _purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        let given = self.given.clone();
        Box::pin(async move {
            sleep(ROUND_TRIP).await;
            let bytes = Bytes::from(vec![0x5a; PAGE_BYTES as usize]);
            // The 32-bit sum comes in a u64.
            let crc32c = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
            let begun = Instant::now();
            let pages = stream::iter(0..pages.end - pages.start).then(move |number| {
                let page = Page { bytes: bytes.clone(), crc32c };
                given.fetch_add(PAGE_BYTES, Ordering::Relaxed);
                async move {
                    let due = (number * PAGE_BYTES) as f64 / STREAM_RATE;
                    sleep_until(begun + Duration::from_secs_f64(due)).await;
                    Ok(page)
                }
            });
            Ok(pages.boxed())
        })
    }
}
