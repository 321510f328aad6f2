//! How a cluster differs from what `penstock dev` does by itself, and the `regions.toml` that says so.

use std::fs;
use std::time::Duration;

use toml::{Table, Value};

use super::{index_of, repository};

/// Caches small enough that starting a cluster does not allocate gigabytes of disk.
const SMALL_CACHES: &str = "[cache]\nmemory_bytes = \"64 MiB\"\n[cache.nvme]\nbytes = \"128 MiB\"\n";

/// Leases that no pause of a busy machine outlasts, with changes that are in no hurry: for promises that hold while sessions
/// live.
pub const LONG_LEASES: &str = "[coherence]\nlease = \"30s\"\nusers_lease = \"60s\"\nmax_ack_wait = \"30s\"\n";

/// Leases that a slow and busy machine renews in time, and that a test can wait out; owners that start again wait for them.
pub const SHORT_LEASES: &str =
    "[coherence]\nlease = \"8s\"\nusers_lease = \"8s\"\nmax_ack_wait = \"8s\"\nhold_wait = \"30s\"\n";

/// What a test wants different.
#[derive(Clone, Default)]
pub struct Options {
    settings: String,
    node_settings: Option<(&'static str, String)>,
    serves: bool,
    tls: bool,
    gated: Option<&'static str>,
    one_way: Option<Duration>,
    preallocated: bool,
}

impl Options {
    /// Settings, as TOML laid over the shipped `regions.toml` key by key.
    #[must_use]
    pub fn settings(settings: &str) -> Self {
        Self { settings: settings.to_owned(), ..Self::default() }
    }

    /// The cache's tiers: `memory` and `nvme` are sizes as `regions.toml` has them.
    #[must_use]
    pub fn cache(memory: &str, nvme: &str) -> Self {
        Self::settings(&format!("[cache]\nmemory_bytes = {memory:?}\n[cache.nvme]\nbytes = {nvme:?}\n"))
    }

    /// With more settings, in tables that were not named before.
    #[must_use]
    pub fn and(mut self, settings: &str) -> Self {
        self.settings += settings;
        self
    }

    /// With settings that only `region`'s node has; for served clusters.
    #[must_use]
    pub fn and_at(mut self, region: &'static str, other: Self) -> Self {
        self.node_settings = Some((region, other.settings));
        self
    }

    /// One `penstock serve` process for each region, instead of one `penstock dev`.
    #[must_use]
    pub fn served(mut self) -> Self {
        self.serves = true;
        self
    }

    /// With a [`Gate`](super::Gate) between the other nodes and the peer listener of `region`; for served clusters.
    #[must_use]
    pub fn gated(mut self, region: &'static str) -> Self {
        self.gated = Some(region);
        self
    }

    /// With every other region `one_way` away: each node reaches each other region over a
    /// [`Link`](crate::wan::Link) of its own; for served clusters.
    #[must_use]
    pub fn distant(mut self, one_way: Duration) -> Self {
        self.one_way = Some(one_way);
        self
    }

    /// With the caches' memory allocated at the start, as shipped; other clusters, of which many run side by side, take
    /// what they need. For served clusters.
    #[must_use]
    pub fn preallocated(mut self) -> Self {
        self.preallocated = true;
        self
    }

    /// With HTTPS on the public listeners, where clients may speak HTTP/2; for `penstock dev`.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Bytes of blocks that `node` keeps in memory.
    pub(super) fn memory_bytes(&self, node: &str) -> u64 {
        let file: Table = self.regions_toml(node, 0).parse().expect("it was written as TOML");
        let size = file["cache"]["memory_bytes"].as_str().expect("tests write sizes as text").to_owned();
        // Nothing needs no unit.
        let (number, unit) = size.split_once(' ').unwrap_or((&size, "B"));
        let number: u64 = number.parse().expect("a number");
        let thousands = ["B", "KiB", "MiB", "GiB"].iter().position(|known| *known == unit).expect("a unit");
        number << (10 * thousands)
    }

    /// Whether the public listeners speak HTTPS.
    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether each region has a process of its own.
    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    /// The region behind a gate.
    pub(super) fn gated_region(&self) -> Option<&'static str> {
        self.gated
    }

    /// How far away other regions are, where they are behind links.
    pub(super) fn one_way(&self) -> Option<Duration> {
        self.one_way
    }

    /// The whole `regions.toml` of `node` in a cluster whose first port is `port_base`.
    pub(super) fn regions_toml(&self, node: &str, port_base: u16) -> String {
        let shipped =
            fs::read_to_string(repository().join("regions.toml")).expect("read the shipped regions.toml");
        let mut file: Table = shipped.parse().expect("the shipped regions.toml is TOML");
        let own = self
            .node_settings
            .iter()
            .find(|(region, _)| *region == node)
            .map(|(_, settings)| settings.as_str());
        let preallocate = format!("[cache]\npreallocate_memory = {}\n", self.preallocated);
        for over in [Some(SMALL_CACHES), Some(&preallocate), Some(&self.settings), own].into_iter().flatten()
        {
            lay_over(&mut file, over.parse().expect("a test's settings are TOML"));
        }
        let regions = file["region"].as_array_mut().expect("regions.toml lists regions");
        for (index, region) in regions.iter_mut().enumerate() {
            let address = |offset: u16| format!("127.0.0.1:{}", port_base + 10 * index as u16 + offset);
            let listen = [("standard", 0), ("accelerated", 1), ("admin", 2), ("peer", 3)];
            let region = region.as_table_mut().expect("a region is a table");
            let name = region["name"].as_str().expect("a region has a name");
            let reached_at = match name {
                name if self.gated == Some(name) => GATE_PORT_OFFSET,
                name if name != node && self.one_way.is_some() => link_port_offset(node),
                _ => 3,
            };
            region.insert("peer".into(), address(reached_at).into());
            let listen = listen.map(|(name, offset)| (name.to_owned(), Value::from(address(offset))));
            region.insert("listen".into(), Table::from_iter(listen).into());
        }
        file.to_string()
    }
}

/// A gate's place in its region's ports.
pub(super) const GATE_PORT_OFFSET: u16 = 4;

/// The place of the link from the node of `from` in the ports of the region it leads to.
pub(super) fn link_port_offset(from: &str) -> u16 {
    GATE_PORT_OFFSET + 1 + index_of(from) as u16
}

/// Puts every value of `over` into `table`, tables key by key.
fn lay_over(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => lay_over(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
