//! What becomes of a cache's memory when a device falls silent.

use std::ops::Range;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::stream;

use super::*;
use crate::page;
use crate::settings::Nvme;
use crate::slab::faulty::Faults;
use crate::source::{PAGE_BYTES, Page, Pages, Purpose, SourceError};
use crate::sync::lock;
use crate::test_until::until;

const MIB: u64 = 1024 * 1024;
const BLOCK_BYTES: u64 = 256 * 1024;

/// An origin of objects of whole pages, each of which holds its number throughout.
struct Origin;

impl Source for Origin {
    fn origin(&self) -> &str {
        "ord1"
    }

    fn pages(
        &self,
        _instance: Instance,
        pages: Range<u64>,
        _purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        let page = |number: u64| {
            let bytes = Bytes::from(vec![number as u8; PAGE_BYTES as usize]);
            Ok(Page { crc32c: page::checksum(&bytes), bytes })
        };
        let pages: Pages = Box::pin(stream::iter(pages.map(page)));
        Box::pin(async move { Ok(pages) })
    }
}

/// Reads what an object of `object_bytes` bytes has of `range`, to its end.
async fn read(cache: &Cache, id: u8, object_bytes: u64, range: Range<u64>) -> Result<(), ReadError> {
    let (tenant, instance) = (Tenant::named("lab"), Instance([id; 16]));
    let mut at = range.start;
    let mut reader = cache.read(tenant, instance, object_bytes, range.clone(), Mode::Fill, Arc::new(Origin));
    while let Some(piece) = reader.next().await {
        for byte in &piece? {
            assert_eq!(*byte, (at / PAGE_BYTES) as u8);
            at += 1;
        }
    }
    assert_eq!(at, range.end);
    Ok(())
}

/// A device that falls silent keeps the buffers of its reads, all that there are beside the memory tier. That makes up for them: what
/// others read is kept as before, and within the same memory. What comes back is memory's again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_makes_up_for_what_a_silent_device_keeps() {
    let folder = tempfile::tempdir().expect("folder");
    let nvme = Nvme { write_queue_bytes: 4 * MIB, ..Nvme::new(folder.path().join("slab"), 64 * MIB) };
    let settings = Settings {
        memory_bytes: 16 * MIB,
        working_bytes: 8 * MIB,
        block_bytes: BLOCK_BYTES,
        fill_bytes_max: 4 * MIB,
        fill_window_bytes: MIB,
        fill_ahead_bytes: 4 * MIB,
        nvme: Some(nvme),
        ..Settings::default()
    };
    let bound = 24 * MIB as usize;
    let faults = Arc::<Faults>::default();
    let patience = Duration::from_millis(500);
    let handling = Handling { patience, before: Some(faults.before()), ..Handling::default() };
    let cache = Cache::open_handling(settings, &Registry::new(), handling).await.expect("opens");
    let shared = &cache.0;
    let used = || (shared.memory.used_bytes() as u64 / MIB, shared.pool.used_bytes() as u64 / MIB);

    cache
        .prestage(Tenant::named("lab"), Instance([1; 16]), 12 * MIB, Arc::new(Origin))
        .expect("there is room for a pre-stage");
    let on_disk = (0..48).map(|index| BlockKey { instance: Instance([1; 16]), index });
    until("the first object is on disk", || on_disk.clone().all(|key| shared.has_staged(&key))).await;
    read(&cache, 2, 16 * MIB, 0..16 * MIB).await.expect("reads");
    until("the second is in memory, and nothing else", || used() == (16, 16)).await;

    faults.reads_wait.store(true, Ordering::SeqCst);
    // As many as there are buffers: one more would have the first that memory makes up for, and the device that one too.
    let blocks = (0..8 * MIB).step_by(BLOCK_BYTES as usize);
    let reads = blocks.map(|start| read(&cache, 1, 12 * MIB, start..start + BLOCK_BYTES));
    assert!(join_all(reads).await.iter().all(Result::is_ok), "they come from their origin");
    let slab = shared.slab.as_ref().expect("there is one");
    assert!(!slab.in_use());
    until("memory makes up for it", || shared.memory.used_bytes() + slab.withheld().bytes() <= 16 << 20)
        .await;
    assert_eq!(slab.withheld().bytes(), 8 << 20);
    assert_eq!(lock(&faults.waiting_reads).len(), 32);

    read(&cache, 3, 4 * MIB, 0..4 * MIB).await.expect("reads");
    let kept = (0..16).map(|index| BlockKey { instance: Instance([3; 16]), index });
    until("it is kept", || kept.clone().all(|key| shared.memory.contains(&key))).await;
    until("nothing is on its way", || used() == (8, 16)).await;
    assert!(shared.pool.mapped_bytes() <= bound);

    for read in std::mem::take(&mut *lock(&faults.waiting_reads)) {
        (read.done)(Err(rustix::io::Errno::IO.into()));
    }
    until("nothing is withheld", || slab.withheld().bytes() == 0).await;
    // What has room by now is not told of; it is seen once that much is kept.
    let mut all_are_kept = false;
    while !all_are_kept {
        read(&cache, 2, 16 * MIB, 0..16 * MIB).await.expect("reads");
        all_are_kept = used().0 == 16;
    }
    assert!(shared.pool.mapped_bytes() <= bound);
}
