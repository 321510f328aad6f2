//! What a node may take beyond its cache's memory: each part with its limit, added up in one place.
//!
//! A part that grows with the number of clients has a place count here, times what one place holds. Requests for bytes
//! out of the cache hold blocks, which `cache.working_bytes` and `cache.fill_bytes_max` bound; they belong to the
//! cache's memory.

use origin::regional::{GATHERED_BYTES_MAX, READ_AHEAD_BYTES_MAX};

use crate::assemble::USERS_BYTES_MAX;
use crate::listen::{LENT_BYTES_MAX, TAKEN_BY_BYTE};
use crate::misses::MISSES_BYTES_MAX;
use crate::peer::{STREAMS_BYTES_MAX, pages_bytes_max};
use crate::settings::Settings;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What a node's peak may be beyond the memory of its cache, by the settings that Penstock comes with.
pub const ALLOWANCE_BYTES: u64 = 256 * MIB;

/// The program, its threads and tables, and what the allocator keeps for itself.
const PROCESS_BYTES: u64 = 24 * MIB;

/// A request in the middle of its body: one page of 64 KiB on its way, the futures that serve it, and its connection. As
/// counted at the allocator with a thousand readers of the store standing still.
pub(crate) const REQUEST_BYTES: u64 = 112 * KIB;

/// A client's connection on which no request is: its task, TLS, and as much of a head as each may hold. As a node with 1400
/// such connections grows by.
const CONNECTION_BYTES: u64 = 26 * KIB;

/// Longer heads that are not whole: a buffer that grows has room for as much again.
const HEADS_BEGUN_BYTES: u64 = 2 * LENT_BYTES_MAX as u64;

/// A request on its way to another region: pingora's queues in both directions, and TLS.
const FORWARD_BYTES: u64 = 512 * KIB;

/// An upload in the middle of its body, beyond what the store lends it: a piece that has come, one that is being hashed or
/// written, and pingora's own buffer for a body.
const UPLOAD_BYTES: u64 = 256 * KIB;

/// Users as home knows them, and clients who asked for objects and users that are not there.
const KNOWN_BYTES_MAX: u64 = USERS_BYTES_MAX as u64 + 2 * MISSES_BYTES_MAX;

/// One part of a node's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub name: &'static str,
    /// The most it takes.
    pub bytes_max: u64,
}

/// All parts of a node's memory beyond its cache's.
#[must_use]
pub fn parts(settings: &Settings) -> [Part; 13] {
    let part = |name, bytes_max| Part { name, bytes_max };
    let limits = &settings.limits;
    let forwards = limits.forwards_in_flight_max as u64;
    let uploads = limits.uploads_in_flight_max as u64;
    let requests = (limits.requests_in_flight_max as u64).saturating_sub(forwards + uploads);
    // Either of the two may have it: windows are lent for places of requests.
    let windows_or_requests = requests * REQUEST_BYTES;
    let windows = (limits.http2_windows_bytes * TAKEN_BY_BYTE).min(windows_or_requests);
    let without_request =
        limits.connection.connections_max.saturating_sub(limits.requests_in_flight_max) as u64;
    let other_owners_count = settings.topology.regions().len() - 1;
    [
        part("process", PROCESS_BYTES),
        part("connections without a request", without_request * CONNECTION_BYTES + HEADS_BEGUN_BYTES),
        part("metadata", settings.store.metadata_cache_bytes as u64),
        part("heads", settings.heads_bytes_max),
        part("users, and clients", KNOWN_BYTES_MAX),
        part("read-ahead of the store", READ_AHEAD_BYTES_MAX as u64),
        part("lent to uploads", GATHERED_BYTES_MAX as u64),
        part("pages for other nodes", STREAMS_BYTES_MAX as u64),
        part("pages from other nodes", pages_bytes_max(other_owners_count) as u64),
        part("forwarded requests", forwards * FORWARD_BYTES),
        part("uploads into the store", uploads * UPLOAD_BYTES),
        part("windows of HTTP/2", windows),
        part("other requests", windows_or_requests - windows),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn shipped() -> Settings {
        Settings::parse(include_str!("../../regions.toml")).expect("the shipped file is good")
    }

    fn sum(settings: &Settings) -> u64 {
        parts(settings).iter().map(|part| part.bytes_max).sum()
    }

    /// The promise of the README, for the settings that Penstock comes with.
    #[test]
    fn the_parts_fit_into_what_a_node_may_take() {
        let settings = shipped();
        assert!(sum(&settings) <= ALLOWANCE_BYTES, "{} MiB: {:?}", sum(&settings) / MIB, parts(&settings));
    }

    /// However much HTTP/2 is lent, it is taken from requests.
    #[test]
    fn windows_of_http2_take_the_place_of_requests() {
        let shipped = shipped();
        let shares = [0, MIB, 8 * MIB, 1 << 40].map(|http2_windows_bytes| {
            let mut settings = shipped.clone();
            settings.limits.http2_windows_bytes = http2_windows_bytes;
            assert_eq!(sum(&settings), sum(&shipped));
            parts(&settings).iter().find(|part| part.name == "windows of HTTP/2").map(|part| part.bytes_max)
        });
        let requests = 912 * REQUEST_BYTES;
        assert_eq!(shares, [0, TAKEN_BY_BYTE * MIB, TAKEN_BY_BYTE * 8 * MIB, requests].map(Some));
    }

    /// Each region more is an owner more, with connections of its own.
    #[test]
    fn every_region_counts() {
        let shipped = shipped();
        let regions: Vec<_> = (1..10).map(|at| (format!("reg{at}"), format!("127.0.0.1:{at}"))).collect();
        let regions = regions.iter().map(|(name, peer)| (name.as_str(), peer.as_str()));
        let topology = Topology::new("penstock.localhost", "reg1", regions).expect("a topology");
        let more_count = (topology.regions().len() - shipped.topology.regions().len()) as u64;
        let larger = Settings { topology, ..shipped.clone() };
        assert_eq!(sum(&larger) - sum(&shipped), more_count * MIB);
    }
}
