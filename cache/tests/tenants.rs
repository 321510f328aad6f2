//! Tenants share a cache by the weights in its settings: what is being filled, and the slots of NVMe.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache::{Limit, Mode, ReadError, Settings};
use futures::FutureExt as _;

use crate::origin::Origin;
use crate::{KIB, MIB, Node, drain, nvme_only, settings, until};

const BLOCK_BYTES: u64 = 256 * KIB;

/// `farm` weighs three times what any other does.
fn weighed(settings: Settings) -> Settings {
    Settings {
        tenant_weights: BTreeMap::from([("farm".to_owned(), 3)]),
        // Nobody is told that it takes too long.
        wait_max: Duration::from_secs(3600),
        ..settings
    }
}

/// One tenant has all the room for fills of an origin. What it gives back goes to two others that both want more than there
/// is, three to one, although the heavier one came last.
#[tokio::test]
async fn room_for_fills_is_shared_by_the_weights_that_are_set() {
    let node = Node::open(weighed(settings())).await;
    // Room for sixteen blocks, of which one origin has three quarters.
    let first_page = |tenant: &str, ids: std::ops::Range<u8>| -> Vec<_> {
        let origins = ids.map(|id| Origin::gated(id, BLOCK_BYTES));
        let read = |origin: Arc<Origin>| {
            let mut reader = node.reader_of(tenant, &origin, 0..BLOCK_BYTES, Mode::Fill);
            assert!(reader.next().now_or_never().is_none(), "nothing comes");
            (origin, reader)
        };
        origins.map(read).collect()
    };
    let asked =
        |reads: &[(Arc<Origin>, _)]| reads.iter().filter(|(origin, _)| !origin.asked().is_empty()).count();
    let mut held = first_page("lab", 0..12);
    until("all its room is taken", || asked(&held) == 12).await;
    let (shop, farm) = (first_page("shop", 20..40), first_page("farm", 40..60));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((asked(&shop), asked(&farm)), (0, 0));
    for (origin, reader) in &mut held {
        origin.open(u64::MAX);
        assert!(drain(reader).await.expect("reads") == origin.content(0..BLOCK_BYTES));
    }
    until("the room is taken again", || asked(&shop) + asked(&farm) >= 12).await;
    assert_eq!((asked(&shop), asked(&farm)), (3, 9));
    // All are served in the end.
    for (origin, mut reader) in shop.into_iter().chain(farm) {
        origin.open(u64::MAX);
        assert!(drain(&mut reader).await.expect("reads") == origin.content(0..BLOCK_BYTES));
    }
}

/// Slow readers past the cache, however many one tenant has, leave others a place at their origin.
#[tokio::test]
async fn slow_direct_readers_of_a_tenant_leave_places_to_others() {
    let wait_max = Duration::from_millis(500);
    let node = Node::open(Settings { direct_reads_per_origin_max: 4, wait_max, ..settings() }).await;
    let origin = Origin::new(1, MIB);
    let begun = async |tenant: &str| {
        let mut reader = node.reader_of(tenant, &origin, 0..MIB, Mode::Bypass);
        reader.next().await.expect("a piece").map(|piece| (reader, piece))
    };
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(begun("lab").await.expect("a place"));
    }
    assert!(matches!(begun("lab").await, Err(ReadError::Busy(Limit::DirectReads))));
    // One that waits for its own part stands in nobody's way.
    let mut waits = node.reader_of("lab", &origin, 0..MIB, Mode::Bypass);
    {
        let mut next = pin!(waits.next());
        assert!(next.as_mut().now_or_never().is_none(), "lab has its part");
        begun("shop").await.expect("a place");
    }
    slow.clear();
    assert!(drain(&mut waits).await.expect("reads") == origin.content(0..MIB));
}

/// Two tenants that each read far more than fits have slots three to one; alone, one has them all.
#[tokio::test]
async fn slots_are_shared_by_the_weights_that_are_set() {
    let folder = tempfile::tempdir().expect("folder");
    let node = Node::open(weighed(nvme_only(folder.path(), 16 * MIB))).await;
    let slots = node.metric("cache_nvme_slots", None);
    let origins = |first: u8| (first..first + 40).map(|id| Origin::new(id, MIB)).collect::<Vec<_>>();
    let (of_shop, of_farm) = (origins(0), origins(100));
    let read = async |tenant: &str, origin: &Arc<Origin>| {
        let mut reader = node.reader_of(tenant, origin, 0..MIB, Mode::Fill);
        assert!(drain(&mut reader).await.expect("reads") == origin.content(0..MIB));
        until("all is on disk", || node.metric("cache_buffer_bytes", None) == 0).await;
    };
    let kept = |origins: &[Arc<Origin>]| {
        let on_nvme = |origin| node.reader(origin, 0..MIB, Mode::LookOnly).plan().nvme_bytes / BLOCK_BYTES;
        origins.iter().map(on_nvme).sum::<u64>()
    };
    for origin in &of_shop {
        read("shop", origin).await;
    }
    assert_eq!(kept(&of_shop), slots, "nobody else wants any");
    for (shop, farm) in of_shop.iter().zip(&of_farm) {
        read("shop", shop).await;
        read("farm", farm).await;
    }
    let (shop, farm) = (kept(&of_shop), kept(&of_farm));
    assert_eq!(shop + farm, slots);
    assert!((slots / 4).abs_diff(shop) <= 2, "{shop} and {farm} of {slots}");
}
