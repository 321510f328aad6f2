//! How far fills run ahead, and in which pieces: as bandwidth, delay and the reader ask for.

use std::time::Duration;

use cache::{Mode, Settings};

use crate::origin::{Origin, Way};
use crate::{KIB, MIB, Node, settings};

/// Blocks of 64 KiB, fills of four, a MiB of them ahead to begin with, and room for more.
fn small_windows() -> Settings {
    Settings {
        memory_bytes: 64 * MIB,
        block_bytes: 64 * KIB,
        fill_window_bytes: 256 * KIB,
        fill_ahead_bytes: MIB,
        ..settings()
    }
}

/// While a long way holds the reader up, fills come to reach further ahead and are asked for in longer runs: as far as they may,
/// here four times as far, in eight runs. From an origin that is near, a client that takes its time has no more brought
/// than it will take: what was far ahead to begin with is waited for, and from then on a run at a time is asked for.
#[tokio::test]
async fn fills_run_as_far_ahead_as_bandwidth_and_delay_ask_for() {
    let node = Node::open(small_windows()).await;
    let far = Way { round_trip: Duration::from_millis(200), page: Duration::from_millis(16) };
    let far = Origin::distant(1, 24 * MIB, far);
    let mut reader = node.reader(&far, 0..far.object_bytes, Mode::Fill);
    let (mut read, mut most_ahead) = (0, 0);
    while let Some(piece) = reader.next().await {
        read += piece.expect("reads").len() as u64;
        let asked_to = far.asked().iter().map(|pages| pages.end).max().expect("something") * 64 * KIB;
        most_ahead = most_ahead.max(asked_to - read);
    }
    assert_eq!((read, far.pages_given()), (far.object_bytes, far.pages_count()));
    let runs: Vec<_> = far.asked().iter().map(|pages| (pages.end - pages.start) * 64 * KIB).collect();
    assert_eq!(runs[..4], [256 * KIB; 4], "a window each, side by side from the first");
    assert_eq!(runs.iter().max(), Some(&(512 * KIB)), "{runs:?}");
    assert!((3 * MIB..=4 * MIB + 512 * KIB).contains(&most_ahead), "{most_ahead} bytes ahead");

    let near = Origin::new(2, 8 * MIB);
    let mut reader = node.reader(&near, 0..near.object_bytes, Mode::Fill);
    let (mut read, mut most_ahead) = (0, 0);
    while let Some(piece) = reader.next().await {
        read += piece.expect("reads").len() as u64;
        let ahead = near.pages_given() * 64 * KIB - read;
        if read > 4 * MIB {
            most_ahead = most_ahead.max(ahead);
        }
        // A window takes 120 ms at least, a hundred times as long as its origin does.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(near.pages_given(), near.pages_count());
    let runs = near.asked().iter().map(|pages| (pages.end - pages.start) * 64 * KIB).max();
    assert_eq!(runs, Some(256 * KIB));
    assert!(most_ahead <= 512 * KIB, "{most_ahead} bytes ahead");
}
