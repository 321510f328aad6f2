//! The peer channel: how the nodes of one cluster talk to each other.
//!
//! Each node has one more listener for it, with TLS in both directions: every node holds a certificate of the
//! cluster's own authority that names its region, and neither side talks to anything else. Sessions have a protocol of
//! their own there, chosen in the TLS handshake: questions about objects, buckets and users ([`messages`]) travel on
//! their streams, which are [`coherence`](crate::coherence)'s. The rest is HTTP, and what a request wants is said by its
//! `x-penstock-channel` header:
//!
//! - `blob`: checked pages of one instance, streamed ([`frames`]);
//! - `forward`: a client's request as it came, to be answered by the owner of the bucket's region. That one is
//!   served by the bridge; only the connection for it is made here ([`Peers::upstream`]).
//!
//! The node that asks is [`client`]; the node that answers is [`server`], with [`answers`] out of its store. Not here:
//! what an answer may be used for.

mod answers;
mod ask_error;
mod client;
mod credentials;
mod frames;
pub mod messages;
mod server;

use cache::Purpose;
use http::HeaderMap;
use http::header::HeaderName;

pub(crate) use answers::{answer_one, estimated_bytes};
pub use ask_error::AskError;
pub use client::{Limits, Peer, Peers};
pub use credentials::{Credentials, CredentialsError};
pub use server::{STREAMS_BYTES_MAX, Server};

use crate::topology::RegionName;

/// The header by which a request on the peer listener says what it wants.
pub const CHANNEL_HEADER: HeaderName = HeaderName::from_static("x-penstock-channel");

/// What a request on the peer listener wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Pages of one instance.
    Blob,
    /// A client's request, to be answered by this node's own store and never sent onward.
    Forward,
}

impl Channel {
    /// What a request with these headers wants; `None` when it does not say, or says it twice.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(CHANNEL_HEADER).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        [Self::Blob, Self::Forward].into_iter().find(|channel| value == channel.as_str())
    }

    /// The channel's name in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Forward => "forward",
        }
    }
}

/// The name that a region's peer certificate carries and that its peers check: `<region>.peer.<domain>`.
#[must_use]
pub fn peer_name(region: &RegionName, domain: &str) -> String {
    format!("{region}.peer.{domain}")
}

/// How a request for pages says what they are for.
const fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Fill => "fill",
        Purpose::Direct => "direct",
    }
}

#[cfg(test)]
mod tests;
