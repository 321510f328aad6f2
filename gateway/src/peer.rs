//! The peer channel: how the nodes of one cluster talk to each other.
//!
//! Each node has one more listener for it, with TLS in both directions: every node holds a certificate of the
//! cluster's own authority that names its region, and neither side talks to anything else. What is spoken on a connection
//! is chosen in the TLS handshake:
//!
//! - sessions: questions about objects, buckets and users ([`messages`]) travel on their streams, which are
//!   [`coherence`](crate::coherence)'s;
//! - pages: checked pages of one instance, streamed ([`frames`]);
//! - HTTP, for a client's request as it came, to be answered by the owner of the bucket's region. That one is served by the
//!   bridge; only the connection for it is made here ([`Peer::upstream`]).
//!
//! The node that asks is [`client`], over a [`way`] to each owner and the connections that [`lines`] keeps; the node that
//! answers is [`server`], and [`answers`] out of its store. Not here: what an answer may be used for.

mod answers;
mod ask_error;
mod client;
mod credentials;
mod frames;
mod lines;
pub mod messages;
mod server;
mod way;

use http::HeaderMap;
use http::header::HeaderName;

pub(crate) use answers::{answer_one, estimated_bytes};
pub use ask_error::AskError;
pub use client::{Limits, Peer, Peers, pages_bytes_max};
pub use credentials::{Credentials, CredentialsError};
pub(crate) use frames::Name;
pub use server::{STREAMS_BYTES_MAX, Server};

use crate::topology::RegionName;

/// The header by which a request on the peer listener says what it is.
pub const CHANNEL_HEADER: HeaderName = HeaderName::from_static("x-penstock-channel");

/// What it says of a client's request, to be answered by this node's own store and never sent onward.
pub const FORWARD: &str = "forward";

/// Whether a request with these headers is a client's that another node forwards: it says so, and nothing else.
#[must_use]
pub fn is_forward(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CHANNEL_HEADER).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value == FORWARD)
}

/// The name that a region's peer certificate carries and that its peers check: `<region>.peer.<domain>`.
#[must_use]
pub fn peer_name(region: &RegionName, domain: &str) -> String {
    format!("{region}.peer.{domain}")
}

#[cfg(test)]
mod tests;
