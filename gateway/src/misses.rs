//! How often one client may ask for what is not there and have others pay for it: a caller that tries names shall not push out
//! what others read, nor users that others are, nor have owners tell this node of buckets that nobody has.
//!
//! Each new "there is none" is charged to the client's address: a signature is verified later, and says little of who tries
//! names. What becomes of a client past its limit is for whoever asks.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::client::Client;
use crate::quota::{self, Quota, Quotas};

/// What one client may miss: enough for a listing that is compared with another store, key by key.
const MISSES: Quota = Quota { requests_per_second: 10, burst: 1000, in_flight_max: 0 };

/// Clients remembered; of more, those that missed something longest ago begin anew.
const CLIENTS_MAX: u64 = 5_000;

/// What it takes to remember them.
pub(crate) const MISSES_BYTES_MAX: u64 = CLIENTS_MAX * quota::KEY_BYTES;

/// What clients have asked for that was not there.
pub(crate) struct Misses(Quotas<IpAddr>);

impl Misses {
    /// Nobody has missed anything yet.
    pub(crate) fn new() -> Self {
        Self(Quotas::remembering(CLIENTS_MAX, MISSES))
    }

    /// Whether `client` may miss one more.
    pub(crate) async fn has_room(&self, client: Client) -> bool {
        self.0.has_room(&charged_to(client), Instant::now()).await
    }

    /// One that `client` asked for was not there, as nobody knew here before.
    pub(crate) async fn note(&self, client: Client) {
        // It was let in before; of several that were at once, all count.
        let _ = self.0.charge(charged_to(client), Instant::now()).await;
    }
}

fn charged_to(client: Client) -> IpAddr {
    client.address.map_or(Ipv6Addr::UNSPECIFIED.into(), quota::of_address)
}
