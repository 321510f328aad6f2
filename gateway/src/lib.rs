//! Penstock's S3 front door, as a library so that tests reach its parts; `main.rs` is the binary.
//!
//! Modules are listed in the order a request meets them, then what runs a node.

pub mod listen;
pub mod proxy;

pub mod client;
mod misses;
pub mod quota;
pub mod request_id;
pub mod target;
pub mod topology;

pub mod route;

pub mod identity;
pub mod permission;
pub mod sigv4;

pub mod accelerated;
pub mod bridge;
pub mod cross_origin;
mod elements;
pub mod post_form;
pub mod store_service;

pub mod coherence;
pub mod peer;

pub mod refusal;
pub mod response;
mod wait;

pub mod access_log;
pub mod audit;

pub mod metrics;

pub mod cli;
pub mod client_setup;
pub mod settings;

pub mod dev;
pub mod serve;

pub mod assemble;
pub mod clock;
pub mod cluster;
pub mod copying;
pub mod logging;
pub mod memory;
pub mod signals;
pub mod tls;
mod x509;

pub mod admin;
pub mod explain;
pub mod operator;
pub mod scrub;
pub mod status;
pub mod user_admin;

pub mod check;

#[cfg(test)]
mod test_store;
#[cfg(test)]
mod test_until;
#[cfg(test)]
mod test_user;
