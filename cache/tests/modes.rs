//! Looking without filling, going past the cache, pre-staging, pinning, purging.

use std::sync::Arc;
use std::time::Duration;

use cache::{Busy, Limit, Mode, PinError, Prestaged, Purged, Purpose, ReadError, Settings, Tenant};
use futures::FutureExt as _;
use tokio::time::timeout;

use crate::disk_faults::store;
use crate::origin::Origin;
use crate::{KIB, MIB, Node, drain, nvme_only, settings, until};

fn lab() -> Tenant {
    Tenant::named("lab")
}

#[tokio::test]
async fn look_only_takes_hits_fetches_the_pages_it_needs_and_keeps_nothing() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 2 * MIB);
    node.read(&origin, 0..256 * KIB).await;
    let tally = node.read_as(&origin, 100 * KIB..400 * KIB, Mode::LookOnly).await;
    assert_eq!((tally.memory_bytes, tally.bypass_bytes), (156 * KIB, 144 * KIB));
    assert_eq!(origin.asked(), [0..4, 4..7]);
    let again = node.read_as(&origin, 100 * KIB..400 * KIB, Mode::LookOnly).await;
    assert_eq!(again, tally);
}

#[tokio::test]
async fn bypass_asks_the_origin_for_what_is_there_too() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, MIB);
    node.read_all(&origin).await;
    let tally = node.read_as(&origin, 65 * KIB..66 * KIB, Mode::Bypass).await;
    assert_eq!(tally.bypass_bytes, KIB);
    assert_eq!(origin.asked(), [0..16, 1..2]);
    assert_eq!(origin.purposes(), [Purpose::Fill, Purpose::Direct]);
}

/// An origin bounds what it answers at one time; an object may be larger.
#[tokio::test]
async fn a_long_way_past_the_cache_is_asked_for_in_stretches() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 256 * MIB + 1);
    let tally = node.read_as(&origin, 0..256 * MIB + 1, Mode::Bypass).await;
    assert_eq!(tally.bypass_bytes, 256 * MIB + 1);
    assert_eq!(origin.asked(), [0..4096, 4096..4097]);
}

/// A cache without a tier is a way to the origin.
#[tokio::test]
async fn without_a_tier_everything_goes_past() {
    let node = Node::open(Settings { memory_bytes: 0, ..settings() }).await;
    let origin = Origin::new(1, MIB + 1);
    assert_eq!(node.read_all(&origin).await.bypass_bytes, MIB + 1);
    assert_eq!(node.cache.prestage(lab(), origin.instance, MIB, origin.clone()), Ok(Prestaged::TooLarge));
}

#[tokio::test]
async fn a_prestage_fills_the_whole_object_onto_nvme() {
    let folder = tempfile::tempdir().expect("folder");
    let node = Node::open(nvme_only(folder.path(), 32 * MIB)).await;
    let origin = Origin::new(1, 6 * MIB + 3);
    let started = node.cache.prestage(lab(), origin.instance, origin.object_bytes, origin.clone());
    assert_eq!(started, Ok(Prestaged::Started));
    until("the pre-stage is complete", || {
        let is_running = node.cache.is_prestaging(&origin.instance);
        let completed = node.metric("cache_prestages_total", Some("completed"));
        assert!(is_running || completed == 1);
        completed == 1
    })
    .await;
    let tally = node.read_all(&origin).await;
    assert_eq!(tally.memory_bytes + tally.nvme_bytes, origin.object_bytes);
    assert_eq!(origin.pages_given(), origin.pages_count());
}

/// A tenant's pre-stages and all of them are bounded; the same instance is staged once.
#[tokio::test]
async fn prestages_are_bounded_by_tenant_and_in_all() {
    let limits = Settings { prestages_max: 3, prestages_per_tenant_max: 2, ..settings() };
    let node = Node::open(limits).await;
    let origins: Vec<_> = (1..=4).map(|id| Origin::gated(id, MIB)).collect();
    let stage = |tenant: &str, at: usize| {
        node.cache.prestage(Tenant::named(tenant), origins[at].instance, MIB, origins[at].clone())
    };
    assert_eq!(stage("lab", 0), Ok(Prestaged::Started));
    assert_eq!(stage("lab", 0), Ok(Prestaged::Running));
    assert_eq!(stage("lab", 1), Ok(Prestaged::Started));
    assert_eq!(stage("lab", 2), Err(Busy(Limit::Prestages)));
    assert_eq!(stage("shop", 2), Ok(Prestaged::Started));
    assert_eq!(stage("farm", 3), Err(Busy(Limit::Prestages)));
    origins[0].open(u64::MAX);
    until("one is complete", || node.metric("cache_prestages_total", Some("completed")) > 0).await;
    assert_eq!(stage("farm", 3), Ok(Prestaged::Started));
}

/// A reader that joins a pre-stage which waits for its turn does not stand behind work that nobody waits for: neither
/// for a place among the fills, nor for room for the pages.
#[tokio::test]
async fn a_reader_does_not_stand_behind_prestages() {
    let one_place = Settings { fills_per_origin_max: 2, ..settings() };
    let little_room = Settings { fill_bytes_max: MIB, ..settings() };
    for (limits, held_bytes) in [(one_place, 256 * KIB), (little_room, 512 * KIB)] {
        let node = Node::open(limits).await;
        let (stuck, waiting) = (Origin::gated(1, 4 * MIB), Origin::new(2, MIB));
        let stage = |origin: &Arc<Origin>| {
            node.cache.prestage(lab(), origin.instance, origin.object_bytes, origin.clone())
        };
        assert_eq!(stage(&stuck), Ok(Prestaged::Started));
        // Half of all there is, which is what pre-stages may have.
        until("it holds what it may", || node.metric("cache_fill_bytes", None) >= held_bytes).await;
        assert_eq!(stage(&waiting), Ok(Prestaged::Started));
        let mut reader = node.reader(&waiting, 0..MIB, Mode::Fill);
        until("the reader can join all of it", || reader.plan().joined_bytes >= MIB).await;
        let read = timeout(Duration::from_secs(30), drain(&mut reader)).await;
        assert!(read.expect("waits for nobody").expect("reads") == waiting.content(0..MIB));
        assert_eq!(reader.tally().joined_bytes + reader.tally().memory_bytes, MIB);
    }
}

/// A pre-stage goes on where a reader that joined it was told that there is no room.
#[tokio::test]
async fn a_prestage_outlives_the_patience_of_its_readers() {
    let wait_max = Duration::from_millis(500);
    let node = Node::open(Settings { fills_per_origin_max: 1, wait_max, ..settings() }).await;
    let (holds, staged) = (Origin::gated(1, MIB), Origin::new(2, MIB));
    holds.open(1);
    let mut slow = node.reader(&holds, 0..MIB, Mode::Fill);
    slow.next().await.expect("a piece").expect("good");
    node.cache.prestage(lab(), staged.instance, MIB, staged.clone()).expect("room");
    let mut joined = node.reader(&staged, 0..MIB, Mode::Fill);
    until("the reader can join all of it", || joined.plan().joined_bytes >= MIB).await;
    assert!(matches!(joined.next().await, Some(Err(ReadError::Busy(Limit::Fills)))));
    holds.open(u64::MAX);
    until("the pre-stage is complete", || {
        assert_eq!(node.metric("cache_prestages_total", Some("broken")), 0);
        node.metric("cache_prestages_total", Some("completed")) > 0
    })
    .await;
    assert_eq!(node.read_all(&staged).await.memory_bytes, MIB);
}

/// A block that another reader's fill was to bring, and does not because that reader left, is brought by the pre-stage.
#[tokio::test]
async fn a_prestage_brings_what_another_fill_gives_up() {
    let node = Node::open(Settings { fills_per_origin_max: 1, ..settings() }).await;
    let (holds, staged) = (Origin::gated(1, 256 * KIB), Origin::new(2, MIB));
    holds.open(1);
    let mut slow = node.reader(&holds, 0..256 * KIB, Mode::Fill);
    slow.next().await.expect("a piece").expect("good");
    let mut leaves = node.reader(&staged, 0..MIB, Mode::Fill);
    assert!(leaves.next().now_or_never().is_none(), "there is one place");
    node.cache.prestage(lab(), staged.instance, MIB, staged.clone()).expect("room");
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    drop(leaves);
    holds.open(u64::MAX);
    until("the pre-stage is complete", || node.metric("cache_prestages_total", Some("completed")) > 0).await;
    assert_eq!(node.read_all(&staged).await.memory_bytes, MIB);
}

/// What lies in memory alone when a pre-stage comes to it is put on NVMe from there, and counts as staged from then on.
#[tokio::test]
async fn a_prestage_puts_on_nvme_what_memory_has() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = Settings { memory_bytes: 16 * MIB, ..nvme_only(folder.path(), 16 * MIB) };
    let (old, new) = (Node::open(settings.clone()).await, Node::open(settings).await);
    let origin = Origin::new(1, 2 * MIB + 5);
    new.read_all(&origin).await;
    assert_eq!(new.read_all(&origin).await.memory_bytes, origin.object_bytes);
    old.cache.close().await;
    until("the device is taken", || new.metric("cache_nvme_awaited", None) == 0).await;
    new.cache.prestage(lab(), origin.instance, origin.object_bytes, origin.clone()).expect("room");
    until("the pre-stage is complete", || new.metric("cache_prestages_total", Some("completed")) > 0).await;
    new.cache.close().await;
    let settings = nvme_only(folder.path(), 16 * MIB);
    assert_eq!(Node::open(settings).await.read_all(&origin).await.nvme_bytes, origin.object_bytes);
    assert_eq!(origin.pages_given(), origin.pages_count());
}

/// What is pinned stays while far more than fits goes through, until its time is over; more than half of the tier cannot
/// be.
#[tokio::test]
async fn what_is_pinned_stays_until_its_pin_ends() {
    let folder = tempfile::tempdir().expect("folder");
    let node = Node::open(nvme_only(folder.path(), 16 * MIB)).await;
    let (pinned, other) = (Origin::new(200, 2 * MIB), Origin::new(201, 6 * MIB));
    let hour = Duration::from_secs(3600);
    let pin =
        async |origin: &Origin, lasting| node.cache.pin(origin.instance, origin.object_bytes, lasting).await;
    pin(&pinned, hour).await.expect("room");
    assert!(matches!(pin(&other, hour).await, Err(PinError::Busy(Busy(Limit::Pins)))));
    assert_eq!(node.metric("cache_nvme_pinned_bytes", None), 2 * MIB);
    let turn_over = async |first: u8| {
        for id in first..first + 20 {
            node.read_all(&Origin::new(id, 2 * MIB)).await;
            node.settled().await;
        }
    };
    let is_here = || node.reader(&pinned, 0..pinned.object_bytes, Mode::LookOnly).plan().hit;
    turn_over(0).await;
    node.read_all(&pinned).await;
    turn_over(20).await;
    assert!(is_here());
    pin(&pinned, Duration::ZERO).await.expect("ends");
    turn_over(40).await;
    assert!(!is_here());
    assert_eq!(node.metric("cache_nvme_pinned_bytes", None), 0);
}

/// A pin whose time is over goes like any other block, without anybody's doing; one that lasts stays.
#[tokio::test]
async fn a_pin_runs_out_by_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let node = Node::open(nvme_only(folder.path(), 16 * MIB)).await;
    let (short, long) = (Origin::new(200, 2 * MIB), Origin::new(201, 2 * MIB));
    // The short one last: who pins something forgets what ran out before.
    for (origin, lasting) in [(&long, 3600), (&short, 2)] {
        let lasting = Duration::from_secs(lasting);
        node.cache.pin(origin.instance, origin.object_bytes, lasting).await.expect("room");
    }
    store(&node, &long).await;
    store(&node, &short).await;
    until("a pin of two seconds ran out", || node.metric("cache_nvme_pinned_bytes", None) == 2 * MIB).await;
    for id in 0..20 {
        node.read_all(&Origin::new(id, 2 * MIB)).await;
        until("all is on disk", || node.metric("cache_buffer_bytes", None) == 0).await;
    }
    let is_here = |origin| node.reader(origin, 0..2 * MIB, Mode::LookOnly).plan().hit;
    assert_eq!((is_here(&short), is_here(&long)), (false, true));
}

/// A pin holds in the next process too, where the settings name a file for it.
#[tokio::test]
async fn a_pin_outlives_the_process() {
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = nvme_only(folder.path(), 16 * MIB);
    settings.nvme.as_mut().expect("nvme").pins = Some(folder.path().join("pins"));
    let pinned = Origin::new(200, 2 * MIB);
    let node = Node::open(settings.clone()).await;
    node.cache.pin(pinned.instance, pinned.object_bytes, Duration::from_secs(3600)).await.expect("room");
    node.read_all(&pinned).await;
    node.cache.close().await;
    let node = Node::open(settings).await;
    assert_eq!(node.metric("cache_nvme_pinned_bytes", None), 2 * MIB);
    for id in 0..20 {
        node.read_all(&Origin::new(id, 2 * MIB)).await;
        node.settled().await;
    }
    assert_eq!(node.read_all(&pinned).await.nvme_bytes, 2 * MIB);
}

/// What is pinned at the old process of a restart, while the new one waits for its device, is pinned at the new one before it
/// gives up any block there.
#[tokio::test]
async fn a_pin_of_the_old_process_holds_in_the_one_that_overlaps() {
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = nvme_only(folder.path(), 16 * MIB);
    settings.nvme.as_mut().expect("nvme").pins = Some(folder.path().join("pins"));
    let (old, new) = (Node::open(settings.clone()).await, Node::open(settings).await);
    assert_eq!(new.metric("cache_nvme_awaited", None), 1);
    let pinned = Origin::new(200, 2 * MIB);
    old.cache.pin(pinned.instance, pinned.object_bytes, Duration::from_secs(3600)).await.expect("room");
    old.cache.close().await;
    let other = Origin::new(201, MIB);
    let taken = async {
        while new.read_all(&other).await.bypass_bytes > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), taken).await.expect("the device is taken");
    assert_eq!(new.metric("cache_nvme_pinned_bytes", None), 2 * MIB);
}

/// What is purged is in no tier any more, nor pinned, and not there again after a restart; what else there is stays, unless
/// everything goes.
#[tokio::test]
async fn what_is_purged_is_gone_and_stays_gone() {
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = Settings { memory_bytes: 8 * MIB, ..nvme_only(folder.path(), 16 * MIB) };
    settings.nvme.as_mut().expect("nvme").pins = Some(folder.path().join("pins"));
    let (goes, stays) = (Origin::new(1, 2 * MIB + 5), Origin::new(2, MIB));
    let node = Node::open(settings.clone()).await;
    node.read_all(&goes).await;
    node.read_all(&stays).await;
    node.cache.pin(goes.instance, goes.object_bytes, Duration::from_secs(3600)).await.expect("room");
    let purged = node.cache.purge(&[(goes.instance, goes.object_bytes)]).await.expect("purged");
    assert_eq!(purged, Purged { memory_blocks: 9, nvme_blocks: 9 });
    let here = |node: &Node, origin: &Arc<Origin>| {
        let plan = node.reader(origin, 0..origin.object_bytes, Mode::LookOnly).plan();
        plan.memory_bytes + plan.nvme_bytes
    };
    assert_eq!((here(&node, &goes), here(&node, &stays)), (0, MIB));
    assert_eq!(node.metric("cache_nvme_pinned_bytes", None), 0);
    node.cache.close().await;
    let node = Node::open(settings.clone()).await;
    assert_eq!((here(&node, &goes), here(&node, &stays)), (0, MIB));
    node.read_all(&goes).await;
    node.read_all(&stays).await;
    let purged = node.cache.purge_all().await.expect("purged");
    assert_eq!(purged.nvme_blocks, 13);
    assert_eq!((here(&node, &goes), here(&node, &stays)), (0, 0));
    node.cache.close().await;
    let node = Node::open(settings).await;
    assert_eq!(node.metric("cache_nvme_blocks", None), 0);
    node.read_all(&goes).await;
    assert_eq!(node.read_all(&goes).await.memory_bytes, goes.object_bytes);
}
