//! The harness of the end-to-end tests and benches: real `penstock` processes on free ports in fresh folders, and
//! a small S3 client of our own, so that what a test sends is what it says and not what an SDK made of it.

pub mod client;
pub mod cluster;
pub mod content;
pub mod disk;
pub mod form;
pub mod metrics;
pub mod ports;
pub mod process;
pub mod random;
pub mod raw;
pub mod sign;
pub mod tls;
pub mod until;
pub mod wan;

pub use client::{Answer, Client, Request, Signed};
pub use cluster::{Cluster, Endpoint, Options};
pub use content::Content;
pub use until::{eventually, until, until_some};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
