//! What does it cost to find a block, in memory, on NVMe, and nowhere?
//!
//! Beside each other, in turns: foyer's own `get` out of a cache as the memory tier has it, which is the floor; a *plan* of a
//! range within one block, which is a look without a use, of a block in memory, on NVMe and nowhere; and a whole read of
//! 4 KiB and of 1 MiB out of memory, from making the reader to its last piece. Printed is the median round, in nanoseconds of
//! CPU for each.
//!
//! `cargo bench -p cache --bench lookup`

use std::hint::black_box;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{
    Cache, Instance, Mode, Nvme, PAGE_BYTES, Page, Pages, Purpose, Settings, Source, SourceError, Tenant,
};
use foyer::{CacheBuilder, LruConfig};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use prometheus::Registry;

const MIB: u64 = 1024 * 1024;

/// In memory; each of them is looked for in turn.
const BLOCKS: u32 = 192;

/// Blocks on NVMe.
const NVME_BLOCKS: u32 = 1024;

const ROUNDS: usize = 9;

/// How often in a round.
const TIMES: u32 = 200_000;

const HOT: Instance = Instance([1; 16]);
const COLD: Instance = Instance([2; 16]);
const ABSENT: Instance = Instance([3; 16]);

type Case<'c> = (&'static str, Box<dyn Fn(u32) + 'c>);

fn main() {
    let slab = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lookup.slab");
    let _ = std::fs::remove_file(&slab);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let cache = runtime.block_on(filled(slab.clone()));
    let _in_runtime = runtime.enter();
    compare(&cache);
    runtime.block_on(cache.close());
    let _ = std::fs::remove_file(&slab);
}

fn compare(cache: &Cache) {
    let floor: foyer::Cache<([u8; 16], u32), Bytes> = CacheBuilder::new(256 * MIB as usize)
        .with_shards(2)
        .with_eviction_config(LruConfig::default())
        .with_weighter(|_: &([u8; 16], u32), block: &Bytes| block.len())
        .build();
    let block = Bytes::from(vec![0; MIB as usize]);
    (0..BLOCKS).for_each(|index| _ = floor.insert((HOT.0, index), block.clone()));
    let plan = |instance: Instance, index: u32| {
        black_box(reader(cache, instance, index, 4096).plan());
    };
    let read = |index: u32, bytes: u64| {
        let mut reader = reader(cache, HOT, index, bytes);
        let mut read = 0;
        while let Some(piece) = reader.next().now_or_never().expect("it is in memory") {
            read += piece.expect("read").len() as u64;
        }
        assert_eq!((read, reader.tally().memory_bytes), (bytes, bytes));
    };
    let cases: [Case<'_>; 6] = [
        ("foyer's get", Box::new(|index| assert!(floor.get(&(HOT.0, index % BLOCKS)).is_some()))),
        ("plan, in memory", Box::new(|index| plan(HOT, index % BLOCKS))),
        ("plan, on NVMe", Box::new(|index| plan(COLD, index % NVME_BLOCKS))),
        ("plan, nowhere", Box::new(|index| plan(ABSENT, index % NVME_BLOCKS))),
        ("read of 4 KiB from memory", Box::new(|index| read(index % BLOCKS, 4096))),
        ("read of 1 MiB from memory", Box::new(|index| read(index % BLOCKS, MIB))),
    ];
    let mut rounds = cases.each_ref().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (at, (_, case)) in cases.iter().enumerate() {
            let before = cpu();
            (0..TIMES).for_each(case);
            rounds[at].push((cpu() - before).as_secs_f64() / f64::from(TIMES));
        }
    }
    for ((name, _), mut rounds) in cases.iter().zip(rounds) {
        rounds.sort_by(f64::total_cmp);
        println!("{name:<28} {:>8.0} ns", rounds[ROUNDS / 2] * 1e9);
    }
}

/// A cache with the blocks of one object in memory, and those of another on NVMe alone.
async fn filled(slab: PathBuf) -> Cache {
    let settings = Settings {
        memory_bytes: 256 * MIB,
        nvme: Some(Nvme::new(slab, (u64::from(NVME_BLOCKS + BLOCKS) + 64) * MIB)),
        ..Settings::default()
    };
    let cache = Cache::open(settings, &Registry::new()).await.expect("opens");
    // A pre-stage spares the memory tier.
    cache.prestage(tenant(), COLD, object_bytes(COLD), Arc::new(Content)).expect("starts");
    while !cache
        .read(tenant(), COLD, object_bytes(COLD), 0..u64::MAX, Mode::LookOnly, Arc::new(Content))
        .plan()
        .hit
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut hot = cache.read(tenant(), HOT, object_bytes(HOT), 0..u64::MAX, Mode::Fill, Arc::new(Content));
    while let Some(piece) = hot.next().await {
        piece.expect("read");
    }
    cache
}

fn reader(cache: &Cache, instance: Instance, index: u32, bytes: u64) -> cache::Reader {
    let start = u64::from(index) * MIB;
    cache.read(
        tenant(),
        instance,
        object_bytes(instance),
        start..start + bytes,
        Mode::Fill,
        Arc::new(Content),
    )
}

fn object_bytes(instance: Instance) -> u64 {
    u64::from(if instance == HOT { BLOCKS } else { NVME_BLOCKS }) * MIB
}

fn tenant() -> Tenant {
    Tenant::named("bench")
}

/// CPU time of this thread so far, user and system.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("less than a second"))
}

/// Objects whose every page is the same.
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
