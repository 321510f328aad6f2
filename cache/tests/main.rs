//! The cache through its public face, over an origin in memory and a slab in a fresh folder.

mod disk_faults;
mod distance;
mod faults;
mod fills;
mod memory_bound;
mod modes;
mod origin;
mod ranges;
mod raw_devices;
mod slab;
mod spoilt;
mod tenants;
#[path = "../src/test_until.rs"]
mod test_until;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cache::{Cache, Mode, Nvme, ReadError, Reader, Settings, Tally, Tenant};
use origin::Origin;
use prometheus::Registry;
pub(crate) use test_until::until;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Blocks of 256 KiB (four pages), 16 MiB of memory, no NVMe, fills of up to 1 MiB.
pub(crate) fn settings() -> Settings {
    Settings {
        memory_bytes: 16 * MIB,
        working_bytes: 8 * MIB,
        block_bytes: 256 * KIB,
        fill_bytes_max: 4 * MIB,
        fill_window_bytes: MIB,
        fill_ahead_bytes: 4 * MIB,
        ..Settings::default()
    }
}

/// The same with a slab of `bytes` in `folder`, and no memory tier.
pub(crate) fn nvme_only(folder: &Path, bytes: u64) -> Settings {
    let nvme =
        Nvme { node: "las1".into(), write_queue_bytes: 4 * MIB, ..Nvme::new(folder.join("slab"), bytes) };
    Settings { memory_bytes: 0, nvme: Some(nvme), ..settings() }
}

/// An open cache and its metrics.
pub(crate) struct Node {
    pub(crate) cache: Cache,
    pub(crate) registry: Registry,
}

impl Node {
    pub(crate) async fn open(settings: Settings) -> Self {
        let registry = Registry::new();
        Self { cache: Cache::open(settings, &registry).await.expect("opens"), registry }
    }

    pub(crate) fn reader(&self, origin: &Arc<Origin>, range: Range<u64>, mode: Mode) -> Reader {
        self.reader_of("lab", origin, range, mode)
    }

    /// One whose fills count for `tenant`.
    pub(crate) fn reader_of(
        &self,
        tenant: &str,
        origin: &Arc<Origin>,
        range: Range<u64>,
        mode: Mode,
    ) -> Reader {
        let tenant = Tenant::named(tenant);
        self.cache.read(tenant, origin.instance, origin.object_bytes, range, mode, origin.clone())
    }

    /// Reads a range to its end, which must hold what the origin has.
    pub(crate) async fn read(&self, origin: &Arc<Origin>, range: Range<u64>) -> Tally {
        self.read_as(origin, range, Mode::Fill).await
    }

    pub(crate) async fn read_as(&self, origin: &Arc<Origin>, range: Range<u64>, mode: Mode) -> Tally {
        let mut reader = self.reader(origin, range.clone(), mode);
        let bytes = drain(&mut reader).await.expect("reads");
        assert!(bytes == origin.content(range), "wrong bytes");
        reader.tally()
    }

    /// Reads the whole object.
    pub(crate) async fn read_all(&self, origin: &Arc<Origin>) -> Tally {
        self.read(origin, 0..origin.object_bytes).await
    }

    /// Waits until every block that was read is where it stays.
    pub(crate) async fn settled(&self) {
        until("nothing is on its way to the disk", || self.metric("cache_buffer_bytes", None) == 0).await;
    }

    /// The sum of a series over its labels, or of the one with this label value.
    pub(crate) fn metric(&self, name: &str, label: Option<&str>) -> u64 {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"));
        let chosen = |labels: &[prometheus::proto::LabelPair]| {
            label.is_none_or(|value| labels.iter().any(|pair| pair.value() == value))
        };
        let series = family.get_metric().iter().filter(|metric| chosen(metric.get_label()));
        series.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum::<f64>()
            as u64
    }
}

/// Everything that is left of a read.
pub(crate) async fn drain(reader: &mut Reader) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    loop {
        let is_done = reader.is_done();
        let Some(piece) = reader.next().await else {
            assert!(is_done);
            return Ok(bytes);
        };
        let piece = piece?;
        assert!(!piece.is_empty() && piece.len() as u64 <= MIB, "a piece of {} bytes", piece.len());
        assert!(!is_done);
        bytes.extend_from_slice(&piece);
    }
}
