//! What does a byte off NVMe cost, by io_uring and by threads, whole blocks and single pages? And what by block size?
//!
//! One slab file, filled once, is read through the cache's own reader, without a memory tier, so that every read comes
//! from disk past the page cache and has its sums verified. The two engines take turns, round by round, over the same
//! reads. Printed is the median round: CPU seconds a GiB (all threads of the process), and MB/s. Then the same by
//! io_uring for slabs of several block sizes, with what it took to fill them, and with a memory tier: how much is read from
//! disk for each byte of ranges of 1 MiB that begin anywhere. Last, what a node that nobody asks anything costs.
//!
//! `cargo bench -p cache --bench slab [-- [--sizes] [FOLDER]]`: the slab lies in FOLDER, or below the target folder; of block
//! sizes alone.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache::{
    Cache, Engine, Instance, Mode, Nvme, PAGE_BYTES, Page, Pages, Purpose, Settings, Source, SourceError,
    Tenant,
};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use prometheus::Registry;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const OBJECT_BYTES: u64 = 512 * MIB;
const ROUNDS: usize = 7;
const INSTANCE: Instance = Instance([7; 16]);

/// What is read in one round.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    read_bytes: u64,
    at_once: usize,
    /// Of all reads that the object has, one in so many: small reads would take long.
    one_in: u64,
}

const WORK: [Work; 4] = [
    Work { name: "1 MiB, 1 at a time", read_bytes: MIB, at_once: 1, one_in: 1 },
    Work { name: "1 MiB, 8 at a time", read_bytes: MIB, at_once: 8, one_in: 1 },
    Work { name: "64 KiB, 8 at a time, random", read_bytes: 64 * KIB, at_once: 8, one_in: 2 },
    Work { name: "64 KiB, 8 at a time, in order", read_bytes: 64 * KIB, at_once: 8, one_in: 1 },
];

const BLOCK_SIZES: [u64; 5] = [256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB];

/// Of each block size.
const SIZE_ROUNDS: usize = 5;

/// An eighth of the object.
const MEMORY_BYTES: u64 = 64 * MIB;

const ENGINES: [(&str, Engine); 2] = [("threads", Engine::Threads), ("io_uring", Engine::IoUring)];

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let slab = folder.join("bench.slab");
    let _ = std::fs::remove_file(&slab);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    match std::env::args().any(|argument| argument == "--sizes") {
        true => runtime.block_on(block_sizes(&slab, &Arc::new(Content))),
        false => runtime.block_on(run(&slab)),
    }
    let _ = std::fs::remove_file(&slab);
}

async fn run(slab: &Path) {
    let source = Arc::new(Content);
    fill(slab, MIB, &source).await;
    println!("{:<32} {:>22} {:>22}", "CPU-s/GiB, MB/s", ENGINES[0].0, ENGINES[1].0);
    for work in WORK {
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            for (at, (_, engine)) in ENGINES.iter().enumerate() {
                let (cache, _) = open(slab, MIB, *engine, 0).await;
                let took = pass(&cache, &source, work).await;
                cache.close().await;
                if round > 0 {
                    rounds[at].push(took);
                }
            }
        }
        print!("{:<32}", work.name);
        for rounds in rounds {
            let cpu = median(rounds.iter().map(|(cpu, _)| *cpu).collect());
            let speed = median(rounds.iter().map(|(_, speed)| *speed).collect());
            print!(" {cpu:>12.3}, {speed:>7.0}");
        }
        println!();
    }
    block_sizes(slab, &source).await;
    for (name, engine) in ENGINES {
        let (cache, _) = open(slab, MIB, engine, 0).await;
        let before = cpu();
        tokio::time::sleep(Duration::from_secs(3)).await;
        println!("idle for 3 s, {name}: {:.1} ms of CPU", (cpu() - before).as_secs_f64() * 1e3);
        cache.close().await;
    }
}

fn tenant() -> Tenant {
    Tenant::named("bench")
}

/// The same reads out of slabs of several block sizes, which take turns.
async fn block_sizes(beside: &Path, source: &Arc<Content>) {
    let slabs = BLOCK_SIZES.map(|bytes| (bytes, beside.with_extension(format!("{}", bytes / KIB))));
    print!("\n{:<32}", "CPU-s/GiB, MB/s by block size");
    slabs.iter().for_each(|(bytes, _)| print!(" {:>18} KiB", bytes / KIB));
    print!("\n{:<32}", "fill");
    for (block_bytes, slab) in &slabs {
        let (cpu_before, begun) = (cpu(), Instant::now());
        fill(slab, *block_bytes, source).await;
        let gib = OBJECT_BYTES as f64 / (1_u64 << 30) as f64;
        let (cpu, wall) = ((cpu() - cpu_before).as_secs_f64() / gib, begun.elapsed().as_secs_f64());
        print!(" {cpu:>12.3}, {:>7.0}", OBJECT_BYTES as f64 / 1e6 / wall);
    }
    println!();
    for work in WORK {
        let mut rounds = BLOCK_SIZES.map(|_| Vec::new());
        for _ in 0..SIZE_ROUNDS {
            for (at, (block_bytes, slab)) in slabs.iter().enumerate() {
                let (cache, _) = open(slab, *block_bytes, Engine::IoUring, 0).await;
                rounds[at].push(pass(&cache, source, work).await);
                cache.close().await;
            }
        }
        print!("{:<32}", work.name);
        for rounds in rounds {
            let cpu = median(rounds.iter().map(|(cpu, _)| *cpu).collect());
            let speed = median(rounds.iter().map(|(_, speed)| *speed).collect());
            print!(" {cpu:>12.3}, {speed:>7.0}");
        }
        println!();
    }
    print!("{:<32}", "1 MiB from anywhere: disk a byte");
    for (block_bytes, slab) in &slabs {
        print!(" {:>22.3}", read_for_each_byte(slab, *block_bytes, source).await);
    }
    println!();
    slabs.iter().for_each(|(_, slab)| _ = std::fs::remove_file(slab));
}

/// Bytes read from disk for each byte of ranges of 1 MiB that begin anywhere, 8 at a time and as many bytes as the object has,
/// with a memory tier.
async fn read_for_each_byte(slab: &Path, block_bytes: u64, source: &Arc<Content>) -> f64 {
    let (cache, registry) = open(slab, block_bytes, Engine::IoUring, MEMORY_BYTES).await;
    let place = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (OBJECT_BYTES - MIB);
    stream::iter((0..OBJECT_BYTES / MIB).map(place))
        .for_each_concurrent(8, |start| {
            let range = start..start + MIB;
            let mut reader = cache.read(tenant(), INSTANCE, OBJECT_BYTES, range, Mode::Fill, source.clone());
            async move {
                while let Some(piece) = reader.next().await {
                    piece.expect("read");
                }
                assert_eq!(reader.tally().origin_bytes, 0);
            }
        })
        .await;
    let read = registry
        .gather()
        .iter()
        .find(|family| family.name() == "cache_nvme_read_bytes_total")
        .map(|family| family.get_metric()[0].get_counter().get_value());
    cache.close().await;
    read.expect("it is counted") / OBJECT_BYTES as f64
}

/// Makes a slab that holds every block of the object.
async fn fill(slab: &Path, block_bytes: u64, source: &Arc<Content>) {
    let (cache, _) = open(slab, block_bytes, Engine::IoUring, 0).await;
    // A pre-stage waits for the queue of writes, so every block is kept.
    cache.prestage(tenant(), INSTANCE, OBJECT_BYTES, source.clone()).expect("starts");
    let whole = cache.read(tenant(), INSTANCE, OBJECT_BYTES, 0..OBJECT_BYTES, Mode::LookOnly, source.clone());
    while !whole.plan().hit {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cache.close().await;
}

async fn open(slab: &Path, block_bytes: u64, engine: Engine, memory_bytes: u64) -> (Cache, Registry) {
    let nvme = Nvme { engine, ..Nvme::new(slab, OBJECT_BYTES + 64 * MIB) };
    let settings = Settings { memory_bytes, block_bytes, nvme: Some(nvme), ..Settings::default() };
    let registry = Registry::new();
    (Cache::open(settings, &registry).await.expect("opens"), registry)
}

/// Reads what `work` says, once; CPU seconds a GiB, and MB/s.
async fn pass(cache: &Cache, source: &Arc<Content>, work: Work) -> (f64, f64) {
    let reads_count = OBJECT_BYTES / work.read_bytes / work.one_in;
    let (cpu_before, begun) = (cpu(), Instant::now());
    stream::iter(0..reads_count)
        .for_each_concurrent(work.at_once, |number| async move {
            // An odd factor goes over all of them, once each, where they are to come in no order.
            let place =
                if work.one_in > 1 { number * 2_654_435_761 % (reads_count * work.one_in) } else { number };
            let start = place * work.read_bytes;
            let range = start..start + work.read_bytes;
            let mut reader =
                cache.read(tenant(), INSTANCE, OBJECT_BYTES, range, Mode::LookOnly, source.clone());
            let mut read = 0;
            while let Some(piece) = reader.next().await {
                read += piece.expect("read").len() as u64;
            }
            assert_eq!((read, reader.tally().nvme_bytes), (work.read_bytes, work.read_bytes));
        })
        .await;
    let (cpu, wall) = ((cpu() - cpu_before).as_secs_f64(), begun.elapsed().as_secs_f64());
    let bytes = (reads_count * work.read_bytes) as f64;
    (cpu / (bytes / (1_u64 << 30) as f64), bytes / 1e6 / wall)
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

/// An object whose every page is the same.
struct Content;

impl Source for Content {
    fn origin(&self) -> &str {
        "bench"
    }

    fn pages(
        &self,
        _instance: Instance,
        pages: Range<u64>,
        _purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        let bytes = Bytes::from(vec![0x5a; PAGE_BYTES as usize]);
        // The 32-bit sum comes in a u64.
        let crc32c = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
        let page = move |_| Ok(Page { bytes: bytes.clone(), crc32c });
        Box::pin(async move { Ok(stream::iter(pages.map(page)).boxed()) })
    }
}
