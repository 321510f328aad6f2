//! One bit flipped at a time, in each region of a slab, under a running node and before a start: what it belongs to is fetched
//! again and nothing else is; never a wrong byte, and the device stays in use.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cache::Mode;

use crate::disk_faults::store;
use crate::origin::Origin;
use crate::{KIB, MIB, Node, nvme_only};

/// Twenty slots, of which the object's blocks take thirteen.
const SLAB_BYTES: u64 = 6 * MIB;
const OBJECT_BYTES: u64 = 3 * MIB + SHORT_BYTES;
const SHORT_BYTES: u64 = 77;

/// Where things lie: behind the superblock's sector a header a slot, from the first mebibyte on a block a slot.
const HEADERS: u64 = 4096;
const HEADER_BYTES: u64 = 128;
const BLOCKS: u64 = MIB;
const SLOT_BYTES: u64 = 256 * KIB;
const SLOTS: u64 = 20;

/// Where in a header a block's length is.
const LENGTH_AT: usize = 48;

/// Bytes of a slab, and which of its slots hold what.
struct Slab {
    bytes: Vec<u8>,
    /// Has a whole block, of four pages.
    full: u64,
    /// Has the object's last block.
    short: u64,
    /// Has none.
    free: u64,
}

impl Slab {
    /// One that holds `origin`'s object.
    async fn with(origin: &std::sync::Arc<Origin>, folder: &Path) -> Self {
        let node = Node::open(nvme_only(folder, SLAB_BYTES)).await;
        store(&node, origin).await;
        node.cache.close().await;
        let bytes = fs::read(folder.join("slab")).expect("read");
        let length = |slot: u64| {
            let at = (HEADERS + slot * HEADER_BYTES) as usize + LENGTH_AT;
            u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]))
        };
        let with = |wanted: u64| (0..SLOTS).find(|slot| u64::from(length(*slot)) == wanted).expect("a slot");
        Self { full: with(SLOT_BYTES), short: with(SHORT_BYTES), free: with(0), bytes }
    }

    /// Each region: what it is, bytes of it, and how many pages each of them costs.
    fn regions(&self) -> [(&'static str, Vec<u64>, u64); 12] {
        let in_header = |slot: u64, places: &[u64]| {
            places.iter().map(|at| HEADERS + slot * HEADER_BYTES + at).collect::<Vec<_>>()
        };
        let in_block =
            |slot: u64, places: &[u64]| places.iter().map(|at| BLOCKS + slot * SLOT_BYTES + at).collect();
        [
            ("a header's own sum", in_header(self.full, &[0]), 4),
            ("its slot, slab and generation", in_header(self.full, &[4, 8, 16]), 4),
            ("its key", in_header(self.full, &[24, 40]), 4),
            ("its length and tenant", in_header(self.full, &[48, 52]), 4),
            ("the sums of its pages", in_header(self.full, &[56, 71]), 4),
            ("what follows them", in_header(self.full, &[127]), 4),
            ("the first page of a block", in_block(self.full, &[0, 64 * KIB - 1]), 4),
            ("its last page", in_block(self.full, &[SLOT_BYTES - 1]), 4),
            ("a short block", in_block(self.short, &[SHORT_BYTES - 1]), 1),
            ("behind a short block", in_block(self.short, &[SHORT_BYTES, 64 * KIB]), 0),
            ("a slot without a block", in_header(self.free, &[1, 60]), 0),
            ("between the headers and the blocks", vec![HEADERS + SLOTS * HEADER_BYTES, BLOCKS - 1], 0),
        ]
    }
}

fn flip_bit(slab: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(slab).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).expect("written");
}

#[tokio::test]
async fn one_flipped_bit_costs_what_it_belongs_to_and_no_more() {
    let folder = tempfile::tempdir().expect("folder");
    let (origin, path) = (Origin::new(1, OBJECT_BYTES), folder.path().join("slab"));
    let slab = Slab::with(&origin, folder.path()).await;
    for (region, places, pages_count) in slab.regions() {
        for (at, while_running) in places.iter().flat_map(|at| [(*at, true), (*at, false)]) {
            fs::write(&path, &slab.bytes).expect("written");
            let open = || Node::open(nvme_only(folder.path(), SLAB_BYTES));
            let node = if while_running {
                let node = open().await;
                flip_bit(&path, at);
                node
            } else {
                flip_bit(&path, at);
                open().await
            };
            let given = origin.pages_given();
            node.read_all(&origin).await; // compares every byte
            let what = format!("byte {at}, {region}, while running: {while_running}");
            assert_eq!(origin.pages_given() - given, pages_count, "{what}");
            let now = ["cache_nvme_in_use", "cache_nvme_device_errors_total"];
            assert_eq!(now.map(|name| node.metric(name, None)), [1, 0], "{what}");
            node.cache.close().await;
        }
    }
}

/// Of what a small range does not touch nothing is read or verified: pages are good or bad by themselves.
#[tokio::test]
async fn a_bad_page_costs_only_those_who_read_it() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, OBJECT_BYTES);
    let slab = Slab::with(&origin, folder.path()).await;
    flip_bit(&folder.path().join("slab"), BLOCKS + slab.full * SLOT_BYTES + 130 * KIB);
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let given = origin.pages_given();
    let read = async |pages: std::ops::Range<u64>| {
        for block in (0..12).map(|index| index * SLOT_BYTES) {
            let range = block + pages.start * 64 * KIB..block + pages.end * 64 * KIB;
            node.read_as(&origin, range, Mode::LookOnly).await; // compares every byte
        }
        (origin.pages_given() - given, node.metric("cache_nvme_corrupt_total", None))
    };
    assert_eq!(read(0..2).await, (0, 0));
    assert_eq!(read(3..4).await, (0, 0));
    assert_eq!(read(1..3).await, (2, 1));
}
