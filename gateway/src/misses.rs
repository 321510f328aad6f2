//! How much of what is not there one client may have a node keep: a caller that tries names shall not push out what others
//! read, nor have owners tell this node of buckets that nobody has.
//!
//! "No such key" and "no such bucket" are kept like anything else, and each new one is charged to the client's address: a
//! signature is verified later, and says little of who tries names. Past the limit a client is answered as before; what
//! it asks is asked each time, and nothing of it is kept.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::client::Client;
use crate::quota::{self, Quota, Quotas};

/// What one client may have kept: enough for a listing that is compared with another store, key by key.
const MISSES_KEPT: Quota = Quota { requests_per_second: 10, burst: 1000, in_flight_max: 0 };

/// Clients remembered; of more, those that missed something longest ago begin anew.
const CLIENTS_MAX: u64 = 5_000;

/// What it takes to remember them.
pub(crate) const MISSES_BYTES_MAX: u64 = CLIENTS_MAX * quota::KEY_BYTES;

/// What clients have had kept.
pub(super) struct Misses(Quotas<IpAddr>);

impl Misses {
    pub(super) fn new() -> Self {
        Self(Quotas::remembering(CLIENTS_MAX, MISSES_KEPT))
    }

    /// Whether `client` may have one more kept.
    pub(super) async fn may_be_kept(&self, client: Client) -> bool {
        self.0.has_room(&charged_to(client), Instant::now()).await
    }

    /// One that `client` asked for is kept.
    pub(super) async fn note(&self, client: Client) {
        // It was let in before; of several that were at once, all count.
        let _ = self.0.charge(charged_to(client), Instant::now()).await;
    }
}

fn charged_to(client: Client) -> IpAddr {
    client.address.map_or(Ipv6Addr::UNSPECIFIED.into(), quota::of_address)
}
