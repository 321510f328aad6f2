//! An origin that breaks, lies or falls silent: resumed where it broke, or an error; never a wrong or a missing byte.

use std::time::{Duration, Instant};

use cache::{Limit, Mode, ReadError, Settings};
use futures::FutureExt as _;

use crate::origin::{Fault, Origin};
use crate::{KIB, MIB, Node, drain, settings, until};

/// Short enough for a test to wait out, and far longer than anything takes that nobody waits for.
const SHORT: Duration = Duration::from_secs(1);

/// Each fault costs one more request, from the first missing page, and not a byte.
#[tokio::test]
async fn a_broken_answer_is_resumed_from_the_missing_page() {
    let faults = [
        (Fault::BreaksAfter(6), 6),
        (Fault::EndsAfter(3), 3),
        (Fault::FlipsAfter(5), 5),
        (Fault::ShortensAfter(9), 9),
        (Fault::SilentAfter(1), 1),
        (Fault::Refuses, 0),
        (Fault::Busy, 0),
    ];
    for (fault, resumed_from) in faults {
        let node = Node::open(Settings { origin_silence_max: SHORT, ..settings() }).await;
        let origin = Origin::faulty(1, MIB - 3, &[fault]);
        let tally = node.read_all(&origin).await;
        assert_eq!(tally.origin_bytes, MIB - 3, "{fault:?}");
        assert_eq!(origin.asked(), [0..16, resumed_from..16], "{fault:?}");
        assert_eq!(node.metric("cache_fills_resumed_total", None), 1, "{fault:?}");
    }
}

/// A reader gets what arrived, then the error, and the error again; another reader starts anew.
#[tokio::test]
async fn an_origin_that_stays_broken_is_an_error_and_not_a_short_success() {
    let node = Node::open(settings()).await;
    let origin = Origin::faulty(
        1,
        MIB,
        &[Fault::BreaksAfter(2), Fault::Refuses, Fault::Refuses, Fault::Refuses, Fault::Refuses],
    );
    let mut reader = node.reader(&origin, 0..MIB, Mode::Fill);
    assert!(matches!(drain(&mut reader).await, Err(ReadError::Broken(_))));
    assert!(matches!(reader.next().await, Some(Err(ReadError::Broken(_)))));
    assert_eq!(node.metric("cache_fills_total", Some("broken")), 1);
    assert_eq!(node.metric("cache_fill_bytes", None), 0);
    node.read_all(&origin).await;
}

/// A page that is always bad is never given out, whichever way it is read.
#[tokio::test]
async fn a_page_that_is_always_bad_is_an_error() {
    for mode in [Mode::Fill, Mode::LookOnly, Mode::Bypass] {
        let node = Node::open(settings()).await;
        let mut faults = vec![Fault::FlipsAfter(3)];
        faults.extend([Fault::FlipsAfter(0); 4]);
        let origin = Origin::faulty(1, MIB, &faults);
        let mut reader = node.reader(&origin, 0..MIB, mode);
        let mut bytes = Vec::new();
        let error = loop {
            match reader.next().await.expect("not the end") {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::Broken(_)));
        assert!(bytes.len() as u64 <= 192 * KIB);
        assert!(bytes == origin.content(0..bytes.len() as u64));
        assert_eq!(node.metric("cache_origin_errors_total", Some("corrupt")), 5);
    }
}

#[tokio::test]
async fn an_instance_that_is_gone_is_not_asked_for_twice() {
    let node = Node::open(settings()).await;
    let origin = Origin::faulty(1, MIB, &[Fault::Gone]);
    let mut reader = node.reader(&origin, 0..MIB, Mode::Fill);
    assert!(matches!(reader.next().await, Some(Err(ReadError::Gone))));
    assert_eq!(origin.asked().len(), 1);
}

/// An origin that sheds load is asked for as long as a reader waits for a place, however often that is; then the
/// reader is told, so that its client comes back.
#[tokio::test]
async fn a_busy_origin_is_waited_for_as_long_as_a_place() {
    let node = Node::open(settings()).await;
    let origin = Origin::faulty(1, MIB, &[Fault::Busy; 5]);
    assert_eq!(node.read_all(&origin).await.origin_bytes, MIB);
    assert_eq!(origin.asked().len(), 6);

    let node = Node::open(Settings { wait_max: SHORT, ..settings() }).await;
    let origin = Origin::faulty(1, MIB, &[Fault::Busy; 100]);
    let begun = Instant::now();
    let mut reader = node.reader(&origin, 0..MIB, Mode::Fill);
    assert!(matches!(reader.next().await, Some(Err(ReadError::Busy(Limit::Origin)))));
    assert!(begun.elapsed() >= SHORT);
}

/// Past the fills of an origin a reader waits, and is told so when that takes too long.
#[tokio::test]
async fn too_many_fills_of_an_origin_make_readers_wait_and_then_busy() {
    for (wait_max, served) in [(SHORT, false), (Duration::from_secs(60), true)] {
        let limits = Settings { fills_per_origin_max: 1, fill_ahead_bytes: 0, wait_max, ..settings() };
        let node = Node::open(limits).await;
        let (slow, quick) = (Origin::gated(1, 256 * KIB), Origin::new(2, 256 * KIB));
        slow.open(1);
        let mut holds = node.reader(&slow, 0..256 * KIB, Mode::Fill);
        holds.next().await.expect("a piece").expect("good");
        let mut waits = node.reader(&quick, 0..256 * KIB, Mode::Fill);
        if served {
            let (first, rest) = tokio::join!(waits.next(), async {
                slow.open(u64::MAX);
                drain(&mut holds).await
            });
            assert!(matches!(first, Some(Ok(_))) && rest.is_ok());
        } else {
            assert!(matches!(waits.next().await, Some(Err(ReadError::Busy(Limit::Fills)))));
        }
    }
}

/// A reader that goes past the cache does not take the place of a fill.
#[tokio::test]
async fn direct_reads_have_a_limit_of_their_own() {
    let limits =
        Settings { fills_per_origin_max: 1, direct_reads_per_origin_max: 1, wait_max: SHORT, ..settings() };
    let node = Node::open(limits).await;
    let origin = Origin::new(1, MIB);
    let mut holds = node.reader(&origin, 0..MIB, Mode::Bypass);
    holds.next().await.expect("a piece").expect("good");
    let mut refused = node.reader(&origin, 0..MIB, Mode::Bypass);
    assert!(matches!(refused.next().await, Some(Err(ReadError::Busy(Limit::DirectReads)))));
    node.read_all(&origin).await;
    drop(holds);
    node.read_as(&origin, 0..MIB, Mode::Bypass).await;
}

/// An origin that falls silent takes three quarters of the room for fills, and what is read of others has the rest.
#[tokio::test]
async fn a_silent_origin_leaves_room_to_others() {
    // Room for sixteen blocks.
    let node = Node::open(settings()).await;
    let silent: Vec<_> = (0..16).map(|id| Origin::gated(id, 256 * KIB)).collect();
    let mut readers: Vec<_> =
        silent.iter().map(|origin| node.reader(origin, 0..256 * KIB, Mode::Fill)).collect();
    for reader in &mut readers {
        assert!(reader.next().now_or_never().is_none(), "nothing comes");
    }
    let asked = || silent.iter().filter(|origin| !origin.asked().is_empty()).count();
    until("three quarters of the room are taken", || asked() >= 12).await;
    node.read_all(&Origin::elsewhere(100, MIB)).await;
    assert_eq!(asked(), 12);
}

/// A question whose answer is later than nearly all were is asked once more, and the reader gets that answer; while there
/// is nothing to compare with, and past the budget, an answer is waited for until it counts as broken off.
#[tokio::test]
async fn a_late_answer_is_asked_for_once_more_within_a_budget() {
    let node = Node::open(Settings { origin_silence_max: 2 * SHORT, ..settings() }).await;
    let warm_up = |ids: std::ops::Range<u8>| ids.map(|id| Origin::new(id, 64 * KIB)).collect::<Vec<_>>();
    let late = |id| Origin::faulty(id, 64 * KIB, &[Fault::NeverAnswers]);
    let counts = |node: &Node| {
        ["cache_origin_hedges_total", "cache_fills_resumed_total"].map(|name| node.metric(name, None))
    };
    node.read_all(&late(100)).await;
    assert_eq!(counts(&node), [0, 1]);
    // With the one above as many as it takes: none of these can be late.
    for origin in warm_up(0..31) {
        node.read_all(&origin).await;
    }
    // One is saved up by now.
    for (id, expected) in [(101, [1, 1]), (102, [1, 2])] {
        let origin = late(id);
        node.read_all(&origin).await;
        assert_eq!((counts(&node), origin.asked()), (expected, vec![0..1, 0..1]));
    }
}
