//! Many slow readers: memory stays within what is configured, and quick readers get through.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Limit, Mode, ReadError, Settings};

use crate::origin::Origin;
use crate::{KIB, MIB, Node, drain, nvme_only, settings, until};

/// 64 readers of different objects stop after their first piece and hold it; then all go on. Block buffers and fills
/// never take more than their settings, and every byte is right in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_many_objects_stay_within_the_budget() {
    let folder = tempfile::tempdir().expect("folder");
    let small = Settings { memory_bytes: 2 * MIB, ..nvme_only(folder.path(), 256 * MIB) };
    let bound = small.memory_bytes + small.working_bytes;
    let fill_bytes_max = small.fill_bytes_max;
    let node = Arc::new(Node::open(small).await);
    let origins: Vec<_> = (0..64).map(|id| Origin::new(id, 2 * MIB)).collect();
    let mut readers = Vec::new();
    for origin in &origins {
        let mut reader = node.reader(origin, 0..origin.object_bytes, Mode::Fill);
        let first = reader.next().await.expect("a piece").expect("good");
        readers.push((reader, first));
        let (buffers, fills) =
            (node.metric("cache_buffer_bytes", None), node.metric("cache_fill_bytes", None));
        assert!(buffers <= bound && fills <= fill_bytes_max, "{buffers} {fills}");
    }
    for ((mut reader, first), origin) in readers.into_iter().zip(&origins) {
        let mut bytes = first.to_vec();
        drop(first);
        bytes.extend(drain(&mut reader).await.expect("the rest"));
        assert!(bytes == origin.content(0..origin.object_bytes));
        assert!(node.metric("cache_buffer_bytes", None) <= bound);
    }
}

/// Stalled clients get smaller pieces, then they use up every buffer and the next one is turned away; once a piece
/// is let go of, it is served.
#[tokio::test]
async fn when_every_buffer_is_held_a_reader_is_told_busy() {
    let folder = tempfile::tempdir().expect("folder");
    let wait_max = Duration::from_millis(500);
    let node = Node::open(Settings { wait_max, ..nvme_only(folder.path(), 32 * MIB) }).await;
    let origin = Origin::new(1, MIB);
    node.read_all(&origin).await;
    node.settled().await;
    // Of 8 MiB, less than half goes out as whole blocks, and the rest as pages.
    let (mut held, busy) = hold_every_buffer(&node, &origin).await;
    assert!(matches!(busy, ReadError::Busy(Limit::Buffers)));
    let of_size = |bytes: u64| held.iter().filter(|piece| piece.len() as u64 == bytes).count();
    assert_eq!((of_size(256 * KIB), of_size(64 * KIB)), (13, 76));
    assert_eq!(node.metric("cache_buffer_bytes", None), 8 * MIB);
    held.clear();
    assert_eq!(node.read_all(&origin).await.nvme_bytes, MIB);
}

/// Clients that hold parts of the same block hold one buffer: each is lent the whole of it, however many they are.
#[tokio::test]
async fn a_block_is_lent_whole_to_everyone_who_reads_it() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 256 * KIB);
    node.read_all(&origin).await;
    // Four times what is lent of blocks in all.
    let mut held = Vec::new();
    for _ in 0..64 {
        let piece = node.reader(&origin, 0..256 * KIB, Mode::Fill).next().await;
        held.push(piece.expect("a piece").expect("good"));
    }
    assert!(held.iter().all(|piece| piece.len() as u64 == 256 * KIB));
    assert_eq!(node.metric("cache_buffer_bytes", None), 256 * KIB);
}

/// What is in memory is given out although every buffer is in somebody's hands: to as many as ask, a page at a time, and
/// within the same memory.
#[tokio::test]
async fn a_hit_in_memory_needs_no_buffer() {
    let settings = Settings {
        memory_bytes: 32 * MIB,
        working_bytes: 4 * MIB,
        wait_max: Duration::from_millis(500),
        ..settings()
    };
    let bound = settings.memory_bytes + settings.working_bytes;
    let node = Node::open(settings).await;
    let (lent, resident) = (Origin::new(1, 2 * MIB), Origin::new(2, 32 * MIB));
    let piece = async |origin: &Arc<Origin>, block: u64| {
        let range = block * 256 * KIB..(block + 1) * 256 * KIB;
        let mut reader = node.reader(origin, range.clone(), Mode::Fill);
        let piece = reader.next().await.expect("a piece").expect("no buffer is needed");
        assert!(piece == origin.content(range)[..piece.len()]);
        (reader, piece)
    };
    node.read_all(&lent).await;
    let mut stalled = Vec::new();
    for block in 0..8 {
        stalled.push(piece(&lent, block).await);
    }
    // The tier turns over, and what clients hold of it stays where it is.
    node.read_all(&resident).await;
    until("the tier is full", || node.metric("cache_memory_bytes", None) == 32 * MIB).await;
    for block in 0..128 {
        stalled.push(piece(&resident, block).await);
    }
    let of_size = |bytes: u64| stalled.iter().filter(|(_, piece)| piece.len() as u64 == bytes).count();
    assert_eq!((of_size(256 * KIB), of_size(64 * KIB)), (8, 128));
    assert_eq!(node.metric("cache_buffer_bytes", None), bound);
    stalled.clear();
    assert_eq!(node.metric("cache_buffer_bytes", None), 32 * MIB);
    assert_eq!(node.read_all(&resident).await.memory_bytes, 32 * MIB);
}

/// What is in memory is given without waiting, every byte of it; what is not there is not asked for, and what goes past the
/// cache is never at hand.
#[tokio::test]
async fn what_is_at_hand_is_in_memory() {
    let node = Node::open(settings()).await;
    let (known, unknown) = (Origin::new(1, MIB), Origin::new(2, MIB));
    node.read_all(&known).await;
    until("all of it is in memory", || node.metric("cache_memory_bytes", None) == MIB).await;
    let mut reader = node.reader(&known, 5..MIB - 5, Mode::Fill);
    let mut got = Vec::new();
    while let Some(piece) = reader.next_at_hand() {
        got.extend_from_slice(&piece);
    }
    assert!(reader.is_done() && got == known.content(5..MIB - 5));
    assert_eq!(reader.tally().memory_bytes, MIB - 10);
    for (origin, mode) in [(&unknown, Mode::LookOnly), (&unknown, Mode::Fill), (&known, Mode::Bypass)] {
        let mut reader = node.reader(origin, 0..MIB, mode);
        let asked = origin.asked();
        assert!(reader.next_at_hand().is_none());
        tokio::task::yield_now().await;
        assert_eq!(origin.asked(), asked, "nothing is asked for");
        assert!(drain(&mut reader).await.expect("reads") == origin.content(0..MIB));
    }
}

/// Once clients hold half of what is lent, each has a piece at a time.
#[tokio::test]
async fn little_is_at_hand_when_much_is_lent() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 4 * MIB);
    node.read_all(&origin).await;
    until("all of it is in memory", || node.metric("cache_memory_bytes", None) == 4 * MIB).await;
    let mut held = Vec::new();
    let mut reader = node.reader(&origin, 0..4 * MIB, Mode::Fill);
    while let Some(piece) = reader.next_at_hand() {
        held.push(piece);
    }
    // Of 4 MiB.
    assert_eq!(held.iter().map(|piece| piece.len() as u64).sum::<u64>(), 2 * MIB + 256 * KIB);
    held.push(reader.next().await.expect("a piece").expect("good"));
    assert!(reader.next_at_hand().is_none());
    held.clear();
    assert!(reader.next_at_hand().is_some());
}

/// Takes pieces of the first block of `origin`, which is on NVMe, until there is no buffer for one more.
async fn hold_every_buffer(node: &Node, origin: &Arc<Origin>) -> (Vec<Bytes>, ReadError) {
    let mut held = Vec::new();
    loop {
        let mut reader = node.reader(origin, 0..256 * KIB, Mode::LookOnly);
        match reader.next().await.expect("not the end") {
            Ok(piece) => held.push(piece),
            Err(error) => return (held, error),
        }
    }
}

/// Where no tier has room for what was filled, readers that stop in the middle of it hold a quarter of the room for
/// fills and no more: the next reader is served, and in the end all are.
#[tokio::test]
async fn readers_that_stop_leave_room_for_fills() {
    let folder = tempfile::tempdir().expect("folder");
    let wait_max = Duration::from_millis(500);
    let node = Node::open(Settings { wait_max, ..nvme_only(folder.path(), 32 * MIB) }).await;
    let kept = Origin::new(200, 256 * KIB);
    node.read_all(&kept).await;
    node.settled().await;
    let (held, _) = hold_every_buffer(&node, &kept).await;
    // Twice as many blocks as all the room has.
    let origins: Vec<_> = (0..32).map(|id| Origin::gated(id, 256 * KIB)).collect();
    let mut stopped = Vec::new();
    for origin in &origins {
        let mut reader = node.reader(origin, 0..origin.object_bytes, Mode::Fill);
        origin.open(1);
        let first = reader.next().await.expect("a piece").expect("there is room");
        stopped.push((reader, first.to_vec()));
        origin.open(u64::MAX);
        let not_kept = || node.metric("cache_blocks_not_kept_total", Some("no_buffer"));
        until("the block is not kept", || not_kept() >= stopped.len() as u64).await;
    }
    assert_eq!(node.metric("cache_fill_bytes", None), MIB);
    for ((mut reader, mut bytes), origin) in stopped.into_iter().zip(&origins) {
        bytes.extend(drain(&mut reader).await.expect("the rest"));
        assert!(bytes == origin.content(0..origin.object_bytes));
    }
    assert_eq!(node.metric("cache_fill_bytes", None), 0);
    drop(held);
}

/// A fill does not run ahead of a slow reader further than the tiers keep.
#[tokio::test]
async fn fills_stay_near_a_slow_reader() {
    let node = Node::open(Settings { memory_bytes: 4 * MIB, ..settings() }).await;
    let origin = Origin::new(1, 64 * MIB);
    let mut reader = node.reader(&origin, 0..origin.object_bytes, Mode::Fill);
    reader.next().await.expect("a piece").expect("good");
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    // A window of the demand, and a quarter of the memory tier ahead.
    assert!(origin.pages_given() * 64 * KIB <= 3 * MIB, "{} pages", origin.pages_given());
    drain(&mut reader).await.expect("the rest");
    assert_eq!(origin.pages_given(), origin.pages_count());
}
