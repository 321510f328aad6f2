//! Fills: single flight, cut-through, windows, odd ranges, readers that leave.

use std::sync::Arc;
use std::time::Duration;

use cache::{Mode, Settings};
use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::Barrier;

use crate::origin::Origin;
use crate::{KIB, MIB, Node, drain, settings, until};

#[tokio::test]
async fn a_second_read_asks_the_origin_for_nothing() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 3 * MIB + 5);
    let first = node.read_all(&origin).await;
    assert_eq!(first.origin_bytes, origin.object_bytes);
    let second = node.read_all(&origin).await;
    assert_eq!(second.memory_bytes, origin.object_bytes);
    assert_eq!(origin.pages_given(), origin.pages_count());
}

/// 64 readers of one cold object: each has its first piece before the first block is complete, and the origin gives
/// each page once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_cold_readers_cost_the_origin_one_object() {
    const READERS: usize = 64;
    let node = Arc::new(Node::open(settings()).await);
    let origin = Origin::gated(1, 4 * MIB);
    let have_first = Arc::new(Barrier::new(READERS + 1));
    let readers = (0..READERS).map(|_| {
        let (node, origin, have_first) = (node.clone(), origin.clone(), have_first.clone());
        tokio::spawn(async move {
            let mut reader = node.reader(&origin, 0..origin.object_bytes, Mode::Fill);
            let mut bytes = reader.next().await.expect("not empty").expect("first piece").to_vec();
            have_first.wait().await;
            bytes.extend(drain(&mut reader).await.expect("the rest"));
            assert!(bytes == origin.content(0..origin.object_bytes));
            let tally = reader.tally();
            assert_eq!(tally.origin_bytes + tally.joined_bytes + tally.memory_bytes, origin.object_bytes);
        })
    });
    let readers: Vec<_> = readers.collect();
    // Three of the first block's four pages, at most: every reader must get by with what is here.
    origin.open(3);
    have_first.wait().await;
    assert!(origin.pages_given() <= 3);
    origin.open(u64::MAX);
    for reader in join_all(readers).await {
        reader.expect("no panic");
    }
    assert_eq!(origin.pages_given(), origin.pages_count());
}

/// Few readers of a block that is on its way are given each page as it comes; many wait a while for the rest of it, but
/// none for its first piece, and none for good.
#[tokio::test]
async fn a_crowd_waits_for_the_rest_of_a_block() {
    for (readers_count, waits) in [(2, false), (16, true)] {
        let node = Node::open(settings()).await;
        let origin = Origin::gated(1, MIB);
        let reader = |_| node.reader(&origin, 0..MIB, Mode::Fill);
        let mut readers: Vec<_> = (0..readers_count).map(reader).collect();
        origin.open(1);
        for reader in &mut readers {
            assert_eq!(reader.next().await.expect("a piece").expect("good").len() as u64, 64 * KIB);
        }
        origin.open(2);
        let (first, others) = readers.split_first_mut().expect("some readers");
        // The block does not come to its end, and the page that is there is given after all.
        let second = first.next().await.expect("a piece").expect("good");
        assert_eq!(second, origin.content(64 * KIB..128 * KIB));
        for other in others {
            assert_eq!(other.next().now_or_never().is_none(), waits);
        }
        origin.open(u64::MAX);
        for reader in &mut readers {
            drain(reader).await.expect("the rest");
        }
        assert_eq!(origin.pages_given(), origin.pages_count());
    }
}

/// The first page a client wants is the first that is asked for; the head of its block is brought beside it.
#[tokio::test]
async fn a_range_in_the_middle_of_a_block_starts_with_its_own_page() {
    let node = Node::open(settings()).await;
    let origin = Origin::gated(1, MIB);
    let mut reader = node.reader(&origin, 150 * KIB..151 * KIB, Mode::Fill);
    let next = reader.next();
    origin.open(3);
    assert_eq!(next.await.expect("a piece").expect("good"), origin.content(150 * KIB..151 * KIB));
    assert_eq!(origin.asked()[0], 2..4);
    origin.open(u64::MAX);
    // The whole block is kept in the end.
    let ended = || ["completed", "abandoned"].map(|end| node.metric("cache_fills_total", Some(end)));
    until("the fill is over", || ended() != [0, 0]).await;
    assert_eq!(origin.asked(), [2..4, 0..2]);
    assert_eq!(node.read(&origin, 0..256 * KIB).await.memory_bytes, 256 * KIB);
}

/// Missing blocks come in runs of one window, several at a time; what is there already is left out.
#[tokio::test]
async fn runs_of_missing_blocks_become_range_reads() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 4 * MIB);
    node.read(&origin, 1536 * KIB..1537 * KIB).await; // block 6
    node.read(&origin, 0..4 * MIB).await;
    let mut asked = origin.asked();
    asked.sort_by_key(|pages| pages.start);
    // Blocks 0-3, 4-5, then 6 alone, 7-10, 11-14, 15.
    assert_eq!(asked, [0..16, 16..24, 24..28, 28..44, 44..60, 60..64]);
}

/// A fill whose readers have left ends with the block it is in the middle of.
#[tokio::test]
async fn an_unwanted_fill_ends_with_its_block() {
    let node = Node::open(settings()).await;
    let origin = Origin::gated(1, 4 * MIB);
    let mut reader = node.reader(&origin, 0..4 * MIB, Mode::Fill);
    origin.open(1);
    reader.next().await.expect("a piece").expect("good");
    drop(reader);
    origin.open(u64::MAX);
    // The window of the demand, and three more that were read ahead, each at its first block or not yet begun.
    let started = || node.metric("cache_fills_started_total", None);
    until("every fill is over", || node.metric("cache_fills_total", Some("abandoned")) >= started()).await;
    assert!(origin.pages_given() <= 4 * 4, "{} pages", origin.pages_given());
    let before = origin.pages_given();
    assert_eq!(node.read(&origin, 0..256 * KIB).await.memory_bytes, 256 * KIB);
    assert_eq!(origin.pages_given(), before);
}

/// A fill that waits for room ends when its last reader leaves, whether one had waited for it or it ran ahead.
#[tokio::test]
async fn an_unwanted_fill_that_waits_ends_at_once() {
    // Room for three blocks of one origin.
    let wait_max = Duration::from_secs(3600);
    let node = Node::open(Settings { fill_bytes_max: MIB, wait_max, ..settings() }).await;
    let (first, second) = (Origin::gated(1, 4 * MIB), Origin::gated(2, 256 * KIB));
    let mut holds = node.reader(&first, 0..4 * MIB, Mode::Fill);
    assert!(holds.next().now_or_never().is_none(), "nothing comes");
    let started = || node.metric("cache_fills_started_total", None);
    let abandoned = || node.metric("cache_fills_total", Some("abandoned"));
    until("three windows have room", || first.asked().len() == 3).await;
    let mut waits = node.reader(&second, 0..256 * KIB, Mode::Fill);
    assert!(waits.next().now_or_never().is_none(), "there is no room");
    until("five fills have begun", || started() == 5).await;
    drop(waits);
    until("the reader's fill is over", || abandoned() == 1).await;
    drop(holds);
    until("the fill ahead that waited is over", || abandoned() == 2).await;
    assert_eq!((first.asked().len(), second.asked().len()), (3, 0));
    first.open(u64::MAX);
    until("all are over", || abandoned() == 5).await;
    assert_eq!(node.metric("cache_fill_bytes", None), 0);
}

/// A reader that joined keeps the fill going after the one that started it has left.
#[tokio::test]
async fn a_fill_outlives_its_first_reader_for_those_who_joined() {
    let node = Node::open(settings()).await;
    let origin = Origin::gated(1, MIB);
    let mut first = node.reader(&origin, 0..MIB, Mode::Fill);
    let mut second = node.reader(&origin, 0..MIB, Mode::Fill);
    origin.open(1);
    first.next().await.expect("a piece").expect("good");
    second.next().await.expect("a piece").expect("good");
    drop(first);
    origin.open(u64::MAX);
    drain(&mut second).await.expect("the rest");
    assert_eq!(second.tally().joined_bytes, MIB);
    assert_eq!(origin.pages_given(), 16);
}

/// A plan tells the tiers apart before the first byte.
#[tokio::test]
async fn a_plan_tells_where_the_bytes_would_come_from() {
    let node = Node::open(settings()).await;
    let origin = Origin::gated(1, MIB);
    origin.open(4);
    node.read(&origin, 0..256 * KIB).await;
    let mut filling = node.reader(&origin, 256 * KIB..300 * KIB, Mode::Fill);
    origin.open(5);
    filling.next().await.expect("a piece").expect("good");
    let plan = node.reader(&origin, 10..MIB, Mode::Fill).plan();
    assert_eq!(plan.memory_bytes, 256 * KIB - 10);
    assert_eq!((plan.joined_bytes, plan.origin_bytes, plan.hit), (256 * KIB, 512 * KIB, false));
    assert!(node.reader(&origin, 0..256 * KIB, Mode::Fill).plan().hit);
    assert!(!node.reader(&origin, 0..256 * KIB, Mode::Bypass).plan().hit);
}

/// The windows of a large read are asked for side by side before the first of them is there; what is filled ahead of
/// several readers is together no more than the tiers keep.
#[tokio::test]
async fn windows_run_side_by_side_from_the_first_and_are_bounded_together() {
    // A quarter of it for what is filled ahead: eight windows of 1 MiB.
    let node = Node::open(Settings { memory_bytes: 32 * MIB, ..settings() }).await;
    let origins: Vec<_> = (0..4).map(|id| Origin::gated(id, 16 * MIB)).collect();
    let asked = || origins.iter().map(|origin| origin.asked().len()).sum::<usize>();
    let mut readers = Vec::new();
    for origin in &origins {
        let mut reader = node.reader(origin, 0..16 * MIB, Mode::Fill);
        origin.open(1);
        let first = reader.next().await.expect("a piece").expect("good").to_vec();
        readers.push((reader, first));
    }
    // Each reader's own window, and of the eight three for the first and the second, two for the third.
    until("all windows there is room for", || asked() >= 4 + 8).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(origins.iter().map(|origin| origin.asked().len()).collect::<Vec<_>>(), [4, 4, 3, 1]);
    for ((reader, first), origin) in readers.iter_mut().zip(&origins) {
        origin.open(u64::MAX);
        first.extend(drain(reader).await.expect("the rest"));
        assert!(*first == origin.content(0..16 * MIB));
        assert_eq!(origin.pages_given(), origin.pages_count());
    }
}

/// Readers that stall keep others from being read ahead of for a while, not for as long as they stall.
#[tokio::test]
async fn readers_that_stall_give_up_the_room_ahead_of_them() {
    const SOON: Duration = Duration::from_millis(10);
    let is_read_ahead_of = async |node: &Node, id| {
        let origin = Origin::new(id, 16 * MIB);
        let mut reader = node.reader(&origin, 0..16 * MIB, Mode::Fill);
        reader.next().await.expect("a piece").expect("good");
        origin.asked().len() > 1
    };
    for wait_max in [Duration::from_secs(60), SOON] {
        // Room for eight windows of 1 MiB ahead of readers.
        let node = Node::open(Settings { memory_bytes: 32 * MIB, wait_max, ..settings() }).await;
        let mut stalled = Vec::new();
        for id in 0..3 {
            let mut reader = node.reader(&Origin::new(id, 16 * MIB), 0..16 * MIB, Mode::Fill);
            reader.next().await.expect("a piece").expect("good");
            stalled.push(reader);
        }
        if wait_max > SOON {
            assert!(!is_read_ahead_of(&node, 10).await, "there is room left");
            continue;
        }
        let mut ids = 10..=u8::MAX;
        while !is_read_ahead_of(&node, ids.next().expect("room within two seconds")).await {
            tokio::time::sleep(SOON).await;
        }
    }
}

/// Requests that walk an object find it on its way before they ask; requests here and there bring what they want alone.
#[tokio::test]
async fn requests_that_walk_an_object_are_read_ahead_of() {
    let node = Node::open(settings()).await;
    let (walked, jumped) = (Origin::new(1, 16 * MIB), Origin::new(2, 256 * MIB));
    let mut joined = 0;
    for start in (0..8).map(|number| number * MIB) {
        let tally = node.read(&walked, start..start + MIB).await;
        joined += u64::from(tally.origin_bytes == 0);
    }
    assert_eq!(joined, 6, "all but the first and the second");
    assert!(walked.pages_given() > 8 * 16, "nothing is read ahead of the next");
    for start in [200, 100, 0, 150, 50].map(|number| number * MIB) {
        node.read(&jumped, start..start + MIB).await;
    }
    assert_eq!(jumped.pages_given(), 5 * 16);
}

/// An object that is read whole, again, is read ahead of as the first time, where no tier kept its blocks.
#[tokio::test]
async fn an_object_read_again_is_read_ahead_of_again() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 64 * MIB);
    node.read_all(&origin).await;
    let asked_before = origin.asked().len();
    origin.open(1);
    let mut reader = node.reader(&origin, 0..origin.object_bytes, Mode::Fill);
    reader.next().await.expect("a piece").expect("good");
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    // The reader's own window, and the whole ones of the 4 MiB ahead of it.
    assert_eq!(origin.asked().len() - asked_before, 1 + 3);
    origin.open(u64::MAX);
    drain(&mut reader).await.expect("the rest");
}
