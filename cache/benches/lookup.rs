//! What does it take to find a block: in memory, in the index of the NVMe tier, and to find that it is nowhere?
//!
//! Two parts. First the cache through its own front, with an object of 64 KiB blocks in memory: to make a reader and
//! let it go, to ask where its one block is, and to take the first 4 KiB of it, which is what a hit does. Then the very
//! files of the slab's index, with as many blocks as a terabyte has in blocks of 1 MiB, asked in no order, so that what
//! is looked at is seldom in the processor's caches. Printed: nanoseconds of CPU a lookup, the median of nine rounds
//! that take turns.
//!
//! `cargo bench -p cache --bench lookup`.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Instance, Mode, PAGE_BYTES, Page, Pages, Purpose, Reader, Settings, Source, SourceError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use prometheus::Registry;
use rustix::time::{ClockId, clock_gettime};

use layout::BlockKey;
use slab::index::Index;
use tenant::{Tenant, Weights};

// The index is no part of the cache's front: these are its files, with what they stand on.
mod instance {
    pub(crate) use cache::Instance;
}
mod source {
    pub(crate) use cache::PAGE_BYTES;
}
#[allow(dead_code, unused_imports, reason = "a cache also cuts objects into blocks, and tests that")]
#[path = "../src/layout.rs"]
mod layout;
#[allow(dead_code, reason = "a cache also verifies pages")]
#[path = "../src/page.rs"]
mod page;
#[allow(dead_code, unreachable_pub, reason = "a slab also writes tenants down")]
#[path = "../src/tenant.rs"]
mod tenant;
#[allow(dead_code, unused_imports, reason = "a slab also stores and forgets, and tests that")]
#[path = "../src/slab"]
mod slab {
    mod eviction;
    pub(crate) mod index;
}

/// How long each case is measured in each round, at least.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS_COUNT: usize = 9;

const BLOCK_BYTES: u64 = PAGE_BYTES;
const MEMORY_BLOCKS: u64 = 2048;
const INDEX_BLOCKS: u32 = 1 << 20;
const READ_BYTES: u64 = 4096;
const THERE: Instance = Instance([7; 16]);
const NOWHERE: Instance = Instance([8; 16]);

/// One case, by its name.
type Case<'a> = (&'a str, Box<dyn FnMut(u64) + 'a>);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cache = runtime.block_on(filled());
    let _entered = runtime.enter();
    let source: Arc<dyn Source> = Arc::new(Content);
    let reader = |instance: Instance, number: u64| reader(&cache, instance, number, &source);
    let index = std::cell::RefCell::new(index());
    let cases: Vec<Case<'_>> = vec![
        ("a reader, made and let go", Box::new(|number| _ = black_box(reader(THERE, number)))),
        (
            "the same, and where its block is: in memory",
            Box::new(|number| {
                assert!(black_box(reader(THERE, number).plan()).hit);
            }),
        ),
        ("the same: nowhere", Box::new(|number| assert!(!black_box(reader(NOWHERE, number).plan()).hit))),
        (
            "a reader, and its 4 KiB from memory",
            Box::new(|number| {
                let mut reader = reader(THERE, number);
                let piece = reader.next().now_or_never().expect("in memory").expect("a piece");
                assert_eq!(piece.expect("read").len() as u64, READ_BYTES);
            }),
        ),
        (
            "the index of a million blocks: there",
            Box::new(|number| {
                assert!(index.borrow().contains(&key(number % u64::from(INDEX_BLOCKS))));
            }),
        ),
        (
            "the same, to be read, and done with",
            Box::new(|number| {
                let mut index = index.borrow_mut();
                let pinned = index.pin(&key(number % u64::from(INDEX_BLOCKS))).expect("there");
                index.unpin(pinned.slot);
            }),
        ),
        (
            "the same: not there",
            Box::new(|number| {
                assert!(!index.borrow().contains(&key(number | u64::from(INDEX_BLOCKS))));
            }),
        ),
    ];
    measure(cases);
}

fn measure(mut cases: Vec<Case<'_>>) {
    let mut taken = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS_COUNT {
        for ((_, look_up), taken) in cases.iter_mut().zip(&mut taken) {
            taken.push(nanos(look_up));
        }
    }
    for ((name, _), mut taken) in cases.iter().zip(taken) {
        taken.sort_by(f64::total_cmp);
        println!("{:>8.0} ns  {name}", taken[taken.len() / 2]);
    }
}

/// A cache with all blocks of an object in memory.
async fn filled() -> Cache {
    let settings = Settings { block_bytes: BLOCK_BYTES, ..Settings::default() };
    let cache = Cache::open(settings, &Registry::new()).await.expect("opens");
    let tenant = cache::Tenant::named("bench");
    let object_bytes = MEMORY_BLOCKS * BLOCK_BYTES;
    let all = 0..object_bytes;
    let mut reader = cache.read(tenant, THERE, object_bytes, all, Mode::Fill, Arc::new(Content));
    while let Some(piece) = reader.next().await {
        piece.expect("filled");
    }
    cache
}

/// Of the first bytes of a block: one after the other, in no order.
fn reader(cache: &Cache, instance: Instance, number: u64, source: &Arc<dyn Source>) -> Reader {
    let start = number % MEMORY_BLOCKS * BLOCK_BYTES;
    let tenant = cache::Tenant::named("bench");
    let object_bytes = MEMORY_BLOCKS * BLOCK_BYTES;
    cache.read(tenant, instance, object_bytes, start..start + READ_BYTES, Mode::Fill, source.clone())
}

fn index() -> Index {
    let weights = Arc::new(Weights::default());
    let tenant = Tenant::named("bench");
    let blocks = (0..INDEX_BLOCKS).map(|slot| (key(u64::from(slot)), slot, tenant));
    Index::rebuilt(INDEX_BLOCKS, weights, blocks)
}

/// Blocks of objects of 64 each.
fn key(number: u64) -> BlockKey {
    let (low, high) = (layout::mix(number / 64), layout::mix(!(number / 64)));
    let mut instance = [0; 16];
    instance[..8].copy_from_slice(&low.to_le_bytes());
    instance[8..].copy_from_slice(&high.to_le_bytes());
    BlockKey { instance: Instance(instance), index: (number % 64) as u32 }
}

/// CPU time of one lookup, over as many as fit into a round.
fn nanos(look_up: &mut dyn FnMut(u64)) -> f64 {
    let (started, mut count) = (cpu_time(), 0_u64);
    loop {
        for number in count..count + 256 {
            // Spreads the numbers, each different from all others.
            look_up(black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20));
        }
        count += 256;
        let taken = cpu_time() - started;
        if taken >= ROUND {
            return taken.as_secs_f64() * 1e9 / count as f64;
        }
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .expect("a thread's time does not run backwards from nothing")
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
        let crc32c = page::checksum(&bytes);
        let page = move |_| Ok(Page { bytes: bytes.clone(), crc32c });
        Box::pin(async move { Ok(stream::iter(pages.map(page)).boxed()) })
    }
}
