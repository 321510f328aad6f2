//! The NVMe tier: found again after a restart, damaged in every region, of another shape, in use.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use cache::{Cache, Engine, Mode, Nvme, OpenError, Settings, Tenant};
use prometheus::Registry;

use crate::disk_faults::store;
use crate::origin::Origin;
use crate::{KIB, MIB, Node, drain, nvme_only, until};

const SLAB_BYTES: u64 = 16 * MIB;

/// Fills a slab with one object and closes it.
async fn filled(folder: &Path, origin: &std::sync::Arc<Origin>) {
    let node = Node::open(nvme_only(folder, SLAB_BYTES)).await;
    node.read_all(origin).await;
    node.cache.close().await;
    assert_eq!(node.metric("cache_blocks_not_kept_total", None), 0);
}

async fn open_error(settings: Settings) -> OpenError {
    match Cache::open(settings, &Registry::new()).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_restart_finds_the_blocks() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, 3 * MIB + 77);
    filled(folder.path(), &origin).await;
    let given = origin.pages_given();
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    assert!(node.reader(&origin, 0..origin.object_bytes, Mode::Fill).plan().hit);
    assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes);
    assert_eq!(origin.pages_given(), given);
    // Blocks written after a restart do not fall on those from before.
    let other = Origin::new(2, 2 * MIB);
    node.read_all(&other).await;
    node.cache.close().await;
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes);
    assert_eq!(node.read_all(&other).await.nvme_bytes, other.object_bytes);
}

/// What is set is taken at once: a disk that fills up later is somebody else's trouble.
#[tokio::test]
async fn a_file_is_allocated_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let _node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let slab = fs::metadata(folder.path().join("slab")).expect("there");
    assert_eq!(slab.len(), SLAB_BYTES);
    assert!(slab.blocks() * 512 >= SLAB_BYTES, "{} bytes of {SLAB_BYTES}", slab.blocks() * 512);
}

/// A slab may be put where everybody looks, and holds every tenant's bytes: its owner alone can open it, also one that others
/// could read until now. What turns out to be somebody else's keeps its mode.
#[tokio::test]
async fn nobody_else_reads_a_slab() {
    let folder = tempfile::tempdir().expect("folder");
    let slab = folder.path().join("slab");
    let mode = || fs::metadata(&slab).expect("there").permissions().mode() & 0o777;
    let set = |mode| fs::set_permissions(&slab, fs::Permissions::from_mode(mode)).expect("set");
    let origin = Origin::new(1, 3 * MIB);
    filled(folder.path(), &origin).await;
    assert_eq!(mode(), 0o600, "made");
    for readable in [0o644, 0o640, 0o604, 0o620] {
        set(readable);
        let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
        assert_eq!(mode(), 0o600, "it was {readable:o}");
        assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes, "and holds what it held");
        node.cache.close().await;
    }
    set(0o400);
    // Whoever runs the tests as root may write what nobody may.
    if let Ok(cache) = Cache::open(nvme_only(folder.path(), SLAB_BYTES), &Registry::new()).await {
        cache.close().await;
    }
    assert_eq!(mode(), 0o400, "less than it needs is not more than others may");

    fs::remove_file(&slab).expect("removed");
    fs::write(&slab, "somebody's letters").expect("written");
    set(0o644);
    let error = open_error(nvme_only(folder.path(), SLAB_BYTES)).await;
    assert!(matches!(error, OpenError::NotASlab(_)), "{error}");
    assert_eq!(mode(), 0o644, "a file that is not ours");
    fs::write(&slab, "").expect("written");
    Node::open(nvme_only(folder.path(), SLAB_BYTES)).await.cache.close().await;
    assert_eq!(mode(), 0o600, "an empty file that becomes ours");
}

/// However fast an origin is and however short the queue of writes: the reader gets every byte, and each block is on disk in the
/// end or counted as not kept.
#[tokio::test]
async fn every_block_is_kept_or_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = nvme_only(folder.path(), 64 * MIB);
    settings.nvme.as_mut().expect("nvme").write_queue_bytes = settings.block_bytes;
    let (node, origin) = (Node::open(settings).await, Origin::new(1, 32 * MIB));
    node.read_all(&origin).await; // compares every byte
    node.settled().await;
    let (kept, lost) =
        (node.metric("cache_nvme_blocks", None), node.metric("cache_blocks_not_kept_total", None));
    assert_eq!(kept + lost, origin.pages_given() / 4, "{kept} kept, {lost} not");
    assert_eq!(node.metric("cache_blocks_not_kept_total", Some("queue_full")), lost);
    assert_eq!(
        node.read_as(&origin, 0..origin.object_bytes, Mode::LookOnly).await.nvme_bytes,
        kept * 256 * KIB
    );
}

/// The slab is the same whichever engine moves its bytes.
#[tokio::test]
async fn either_engine_reads_what_the_other_wrote() {
    for (writes, reads) in [(Engine::Threads, Engine::IoUring), (Engine::IoUring, Engine::Threads)] {
        let folder = tempfile::tempdir().expect("folder");
        let with = |engine| {
            let mut settings = nvme_only(folder.path(), SLAB_BYTES);
            settings.nvme.as_mut().expect("nvme").engine = engine;
            settings
        };
        let origin = Origin::new(1, 3 * MIB + 77);
        let node = Node::open(with(writes)).await;
        node.read_all(&origin).await;
        node.cache.close().await;
        let node = Node::open(with(reads)).await;
        assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes);
        assert_eq!(node.read(&origin, 70 * KIB..71 * KIB).await.nvme_bytes, KIB);
    }
}

/// A process that dies without closing loses at most what was queued, and what is found is right.
#[tokio::test]
async fn a_slab_that_was_not_closed_is_opened_all_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, 3 * MIB);
    filled(folder.path(), &origin).await;
    let copy = tempfile::tempdir().expect("folder");
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    node.read_all(&Origin::new(2, 2 * MIB)).await;
    fs::copy(folder.path().join("slab"), copy.path().join("slab")).expect("copy");
    let found = Node::open(nvme_only(copy.path(), SLAB_BYTES)).await;
    assert_eq!(found.read_all(&origin).await.nvme_bytes, origin.object_bytes);
    found.read_all(&Origin::new(2, 2 * MIB)).await;
}

/// A hit from either tier goes out a mebibyte at a time, out of the memory that the block lies in: readers that come later
/// are lent the same.
#[tokio::test]
async fn hits_are_lent_whole_mebibytes_and_not_copied() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = Settings { block_bytes: MIB, ..nvme_only(folder.path(), 64 * MIB) };
    let origin = Origin::new(1, 6 * MIB);
    let node = Node::open(settings.clone()).await;
    store(&node, &origin).await;
    node.cache.close().await;
    let node = Node::open(Settings { memory_bytes: 16 * MIB, working_bytes: 16 * MIB, ..settings }).await;
    let mut lent = Vec::new();
    for _ in 0..2 {
        let mut reader = node.reader(&origin, MIB..6 * MIB, Mode::Fill);
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next().await {
            let piece = piece.expect("reads");
            assert_eq!(piece.len() as u64, MIB);
            pieces.push(piece.as_ptr());
        }
        lent.push(pieces);
        let tally = reader.tally();
        let from = if lent.len() == 1 { tally.nvme_bytes } else { tally.memory_bytes };
        assert_eq!(from, 5 * MIB);
    }
    assert_eq!(lent[0], lent[1]);
}

/// A few blocks are on their way from disk before their reader gets there, and no more than a few.
#[tokio::test]
async fn a_few_blocks_are_loaded_ahead_of_a_reader() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, 3 * MIB);
    filled(folder.path(), &origin).await;
    let node = Node::open(Settings { memory_bytes: 16 * MIB, ..nvme_only(folder.path(), SLAB_BYTES) }).await;
    let mut reader = node.reader(&origin, 0..origin.object_bytes, Mode::Fill);
    assert_eq!(reader.next().await.expect("a piece").expect("good").len() as u64, 256 * KIB);
    // Its own, and four.
    let read_bytes = || node.metric("cache_nvme_read_bytes_total", None);
    until("four blocks ahead of the reader", || read_bytes() >= 5 * 256 * KIB).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read_bytes(), 5 * 256 * KIB);
    drain(&mut reader).await.expect("the rest");
    assert_eq!(reader.tally().nvme_bytes, origin.object_bytes);
}

/// A small range moves its pages alone; the second time the whole block is worth it.
#[tokio::test]
async fn a_range_within_a_block_reads_its_pages_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, MIB);
    filled(folder.path(), &origin).await;
    let node = Node::open(Settings { memory_bytes: 16 * MIB, ..nvme_only(folder.path(), SLAB_BYTES) }).await;
    node.read(&origin, 70 * KIB..71 * KIB).await;
    assert_eq!(node.metric("cache_nvme_read_bytes_total", None), 64 * KIB);
    node.read(&origin, 0..KIB).await;
    assert_eq!(node.metric("cache_nvme_read_bytes_total", None), 64 * KIB + 256 * KIB);
    assert_eq!(node.read(&origin, 200 * KIB..201 * KIB).await.memory_bytes, KIB);
}

/// What is read from disk for a byte served, out of more than the memory tier holds: in ranges of 8 MiB hardly more than
/// that, and in ranges of 1 MiB that start anywhere less than half as much again.
#[tokio::test]
async fn little_more_is_read_from_disk_than_is_served() {
    let folder = tempfile::tempdir().expect("folder");
    let large = Settings { block_bytes: MIB, memory_bytes: 4 * MIB, ..nvme_only(folder.path(), 64 * MIB) };
    let origin = Origin::new(1, 32 * MIB);
    let node = Node::open(large.clone()).await;
    node.cache
        .prestage(Tenant::named("lab"), origin.instance, origin.object_bytes, origin.clone())
        .expect("there is room for a pre-stage");
    until("every block is on disk", || node.metric("cache_nvme_blocks", None) >= 32).await;
    node.cache.close().await;
    for (range_bytes, at_most) in [(8 * MIB, 1.05), (MIB, 1.5)] {
        let node = Node::open(large.clone()).await;
        let mut place = 1_u64;
        for _ in 0..64 * MIB / range_bytes {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = (place >> 33) % (origin.object_bytes - range_bytes);
            let mut reader = node.reader(&origin, start..start + range_bytes, Mode::Fill);
            assert_eq!(drain(&mut reader).await.expect("reads").len() as u64, range_bytes);
        }
        let read = node.metric("cache_nvme_read_bytes_total", None) as f64 / (64 * MIB) as f64;
        assert!(read > 0.5 && read <= at_most, "{read} in ranges of {range_bytes}");
        assert_eq!(origin.pages_given(), origin.pages_count());
        node.cache.close().await;
    }
}

/// More blocks than slots: the oldest go, what is found is right.
#[tokio::test]
async fn a_full_slab_gives_blocks_up() {
    let folder = tempfile::tempdir().expect("folder");
    let node = Node::open(nvme_only(folder.path(), 5 * MIB)).await;
    for id in 0..8 {
        node.read_all(&Origin::new(id, MIB)).await;
        node.settled().await;
    }
    assert!(node.metric("cache_nvme_evictions_total", None) > 0);
    assert_eq!(node.metric("cache_nvme_blocks", None), node.metric("cache_nvme_slots", None));
    for id in 0..8 {
        node.read_all(&Origin::new(id, MIB)).await;
    }
}

/// One pass over seven times what NVMe holds, block by block: what was read over and over before is still there, most of the pass
/// was not written, and each block of it that was not is counted.
#[tokio::test]
async fn one_pass_over_a_dataset_spares_the_disk_and_what_is_hot() {
    const BLOCK_BYTES: u64 = 64 * KIB;
    let folder = tempfile::tempdir().expect("folder");
    // Some 250 blocks on NVMe; in memory hardly a third of what is hot, which is therefore read from NVMe.
    let settings =
        Settings { block_bytes: BLOCK_BYTES, memory_bytes: 2 * MIB, ..nvme_only(folder.path(), SLAB_BYTES) };
    let node = Node::open(settings).await;
    let hot = Origin::new(1, 100 * BLOCK_BYTES);
    store(&node, &hot).await;
    for id in 10..15 {
        node.read_all(&hot).await;
        node.read_all(&Origin::new(id, 32 * BLOCK_BYTES)).await;
    }
    let slots = node.metric("cache_nvme_slots", None);
    let dataset = Origin::new(2, 7 * slots * BLOCK_BYTES);
    let blocks_count = 7 * slots;
    let counted =
        || ["cache_nvme_write_bytes_total", "cache_read_bytes_total"].map(|name| node.metric(name, None));
    let before = counted();
    // Far enough from one to the next that nothing is read ahead of it: ahead of a reader everything is written.
    for number in 0..blocks_count {
        let start = number * 101 % blocks_count * BLOCK_BYTES;
        node.read(&dataset, start..start + BLOCK_BYTES).await;
    }
    let after = counted();
    let [written, served] = [0, 1].map(|at| after[at] - before[at]);
    let spared = node.metric("cache_blocks_not_kept_total", Some("spared"));
    assert_eq!((dataset.pages_given(), served), (dataset.pages_count(), blocks_count * BLOCK_BYTES));
    assert!(written * 2 < served, "{written} bytes written of {served}");
    assert!(spared * 2 > blocks_count, "{spared} blocks spared of {blocks_count}");
    let plan = node.reader(&hot, 0..hot.object_bytes, Mode::LookOnly).plan();
    let here = (plan.memory_bytes + plan.nvme_bytes) / BLOCK_BYTES;
    assert!(here >= 90, "{here} of 100 blocks are left");
}

/// Flipped bits in pages and headers, under a running node and before a start: a refetch, never a wrong byte.
#[tokio::test]
async fn flipped_bits_are_refetched() {
    for while_running in [true, false] {
        // From the first sector after the superblock to the end, at steps that hit headers and every block's pages.
        for (from, to, step) in [(4096, 8192, 40), (1 << 20, SLAB_BYTES, 100 * KIB + 1)] {
            let folder = tempfile::tempdir().expect("folder");
            let origin = Origin::new(1, 3 * MIB + 77);
            filled(folder.path(), &origin).await;
            let damage = || flip_bits(&folder.path().join("slab"), (from..to).step_by(step as usize));
            let settings = nvme_only(folder.path(), SLAB_BYTES);
            let node = if while_running {
                let node = Node::open(settings).await;
                damage();
                node
            } else {
                damage();
                Node::open(settings).await
            };
            let given = origin.pages_given();
            node.read_all(&origin).await; // compares every byte
            assert!(origin.pages_given() > given, "nothing was hit");
            node.cache.close().await;
            let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
            assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes);
        }
    }
}

/// A flipped bit anywhere in the superblock, also in what says that it is one: the slab is reset, and never half trusted; the node
/// starts.
#[tokio::test]
async fn a_damaged_superblock_is_reset() {
    let folder = tempfile::tempdir().expect("folder");
    let slab = folder.path().join("slab");
    let origin = Origin::new(1, MIB);
    filled(folder.path(), &origin).await;
    let whole = fs::read(&slab).expect("read");
    for at in [0, 3, 7, 8, 12, 20, 28, 36, 37, 40, 2000, 4095] {
        fs::write(&slab, &whole).expect("write");
        flip_bits(&slab, [at]);
        let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
        let gauges = ["cache_nvme_in_use", "cache_nvme_out", "cache_nvme_blocks"];
        assert_eq!(gauges.map(|name| node.metric(name, None)), [1, 0, 0], "byte {at}");
        assert_eq!(node.read_all(&origin).await.origin_bytes, MIB, "byte {at}");
        node.cache.close().await;
    }
}

fn flip_bits(path: &Path, places: impl IntoIterator<Item = u64>) {
    let file = File::options().read(true).write(true).open(path).expect("open");
    for at in places {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("read");
        file.write_all_at(&[byte[0] ^ 0x10], at).expect("write");
    }
    file.sync_all().expect("sync");
}

#[tokio::test]
async fn a_slab_of_another_shape_starts_empty() {
    let origin = Origin::new(1, MIB);
    let shapes: [fn(&mut Settings); 2] = [
        |settings| settings.block_bytes = 128 * KIB,
        |settings| settings.nvme.as_mut().expect("nvme").devices[0].bytes = 2 * SLAB_BYTES,
    ];
    for reshape in shapes {
        let folder = tempfile::tempdir().expect("folder");
        filled(folder.path(), &origin).await;
        let mut other = nvme_only(folder.path(), SLAB_BYTES);
        reshape(&mut other);
        let node = Node::open(other).await;
        assert_eq!(node.metric("cache_nvme_blocks", None), 0);
        assert_eq!(node.read_all(&origin).await.origin_bytes, MIB);
        node.cache.close().await;
    }
}

/// A superblock that is whole and of another version: what the version says of the rest is not guessed at.
#[tokio::test]
async fn a_slab_of_another_version_starts_empty() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, MIB);
    filled(folder.path(), &origin).await;
    let slab = File::options().read(true).write(true).open(folder.path().join("slab")).expect("opens");
    let mut sector = [0; 4096];
    slab.read_exact_at(&mut sector, 0).expect("read");
    sector[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc32c = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &sector[..4092]) as u32;
    sector[4092..].copy_from_slice(&crc32c.to_le_bytes());
    slab.write_all_at(&sector, 0).expect("written");
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    assert_eq!(node.metric("cache_nvme_blocks", None), 0);
    assert_eq!(node.read_all(&origin).await.origin_bytes, MIB);
    node.cache.close().await;
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    assert_eq!(node.read_all(&origin).await.nvme_bytes, MIB);
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let slab = folder.path().join("slab");
    fs::write(&slab, "somebody's thesis").expect("write");
    assert!(matches!(open_error(nvme_only(folder.path(), SLAB_BYTES)).await, OpenError::NotASlab(_)));
    assert_eq!(fs::read_to_string(&slab).expect("read"), "somebody's thesis");
}

/// What begins with zeros may be somebody's all the same, as an image of a disk is: refused like a device that holds something. A
/// file of zeros alone, however short, is what a reset that was cut off leaves: it is made a slab.
#[tokio::test]
async fn a_file_that_only_begins_with_zeros_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let slab = folder.path().join("slab");
    for (len, mark) in [(8192, 4096), (SLAB_BYTES, 64 * KIB), (2 * SLAB_BYTES, MIB - 1)] {
        let mut image = vec![0; len as usize];
        image[mark as usize] = 0x53;
        fs::write(&slab, &image).expect("written");
        let error = open_error(nvme_only(folder.path(), SLAB_BYTES)).await;
        assert!(matches!(error, OpenError::NotASlab(_)), "{error}");
        assert!(fs::read(&slab).expect("read") == image, "it was written to");
    }
    for len in [1, 4096, 64 * KIB, SLAB_BYTES] {
        fs::write(&slab, vec![0; len as usize]).expect("written");
        let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
        assert_eq!(node.metric("cache_nvme_in_use", None), 1, "{len} zeros");
        node.cache.close().await;
    }
}

/// A node whose slab another process holds starts without it, and takes it, with what is in it, once it is free. Until
/// then it does not write to it.
#[tokio::test]
async fn a_slab_in_use_is_done_without_until_it_is_free() {
    let folder = tempfile::tempdir().expect("folder");
    let (kept, other) = (Origin::new(1, MIB), Origin::new(2, MIB));
    filled(folder.path(), &kept).await;
    let old = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let new = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let gauges = |node: &Node| {
        ["cache_nvme_in_use", "cache_nvme_awaited", "cache_nvme_out"].map(|name| node.metric(name, None))
    };
    assert_eq!((gauges(&old), gauges(&new)), ([1, 0, 0], [0, 1, 0]));
    assert_eq!(new.read_all(&other).await.bypass_bytes, MIB);
    assert_eq!(old.read_all(&kept).await.nvme_bytes, MIB);
    old.cache.close().await;
    until("the slab is taken", || gauges(&new) == [1, 0, 0]).await;
    assert_eq!(new.read_all(&kept).await.nvme_bytes, MIB);
    assert_eq!(new.read_all(&other).await.origin_bytes, MIB);
    // The closed one goes on without the tier.
    assert_eq!(old.read_all(&kept).await.bypass_bytes, MIB);
}

/// A node that is closed while it waits for its slab does not take it afterwards.
#[tokio::test]
async fn a_node_that_is_closed_waits_for_no_slab() {
    let folder = tempfile::tempdir().expect("folder");
    let old = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let closed = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    closed.cache.close().await;
    old.cache.close().await;
    let next = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    assert_eq!((next.metric("cache_nvme_in_use", None), closed.metric("cache_nvme_in_use", None)), (1, 0));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_one_clear_error() {
    let nvme = Nvme::new("/nowhere/slab", SLAB_BYTES);
    let error = open_error(Settings { nvme: Some(nvme), ..Settings::default() }).await.to_string();
    assert_eq!(error, "slab /nowhere/slab: open: No such file or directory (os error 2)");
}
