//! Any range of any object, against the bytes in a plain vector.

use std::sync::OnceLock;

use cache::Mode;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use tokio::runtime::Runtime;

use crate::origin::Origin;
use crate::{KIB, MIB, Node, drain, nvme_only, settings};

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("runtime"))
}

/// Sizes near page and block borders, and any other.
fn object_bytes() -> impl Strategy<Value = u64> {
    let borders = prop_oneof![Just(64 * KIB), Just(256 * KIB), Just(MIB)];
    prop_oneof![(borders, 0..3_u64).prop_map(|(border, more)| border + more - 1), 1..3 * MIB]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![4 => Just(Mode::Fill), 1 => Just(Mode::LookOnly), 1 => Just(Mode::Bypass)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Reads of random ranges one after another, out of memory, NVMe and the origin, give exactly these ranges; what
    /// the reader tallied is what it gave.
    #[test]
    fn every_range_is_the_range(
        size in object_bytes(),
        on_nvme: bool,
        reads in proptest::collection::vec((0.0..1.0, 0.0..1.0, mode()), 1..8),
    ) {
        runtime().block_on(async {
            let folder = tempfile::tempdir().expect("folder");
            let settings = if on_nvme { nvme_only(folder.path(), 8 * MIB) } else { settings() };
            let node = Node::open(settings).await;
            let origin = Origin::new(1, size);
            for (from, to, mode) in reads {
                let (from, to) = ((from * size as f64) as u64, (to * size as f64) as u64 + 1);
                let range = from.min(to)..from.max(to);
                let tally = node.read_as(&origin, range.clone(), mode).await;
                let tallied = tally.memory_bytes + tally.nvme_bytes + tally.origin_bytes + tally.joined_bytes
                    + tally.bypass_bytes;
                assert_eq!(tallied, range.end - range.start);
            }
            node.cache.close().await;
        });
    }
}

#[tokio::test]
async fn a_range_past_the_end_is_cut_and_an_empty_one_is_empty() {
    let node = Node::open(settings()).await;
    let origin = Origin::new(1, 100);
    for (range, len) in [(0..200, 100), (99..u64::MAX, 1), (100..200, 0), (7..7, 0)] {
        let mut reader = node.reader(&origin, range, Mode::Fill);
        assert_eq!(drain(&mut reader).await.expect("reads").len(), len);
    }
    let nothing = Origin::new(2, 0);
    assert!(node.reader(&nothing, 0..10, Mode::Fill).next().await.is_none());
}
