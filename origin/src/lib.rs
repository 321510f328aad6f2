//! Where objects live. Today: the embedded regional store, one directory and one process a region.
//!
//! The gateway reaches a store in three ways and no other: S3 operations through `impl S3`,
//! [`resolve`](regional::RegionalStore::resolve) for a head and its bucket's facts in one snapshot, and
//! [`read_pages`](regional::RegionalStore::read_pages) for the checked bytes of one instance. Knows nothing
//! of pingora, of caches or of other regions.
//!
//! Modules are listed in the order a request meets them: who asks, whether they may, what for, and where it lies.

pub mod caller;
pub mod permit;

pub mod acl;
pub mod cors;
pub mod lifecycle;
pub mod policy;
pub mod tags;
pub mod website;

mod checksums;
pub mod customer_key;
mod object_url;
pub mod read_request;
mod trailers;
pub mod version_id;
mod wanted_encryption;

mod encryption;
mod place;
pub mod regional;

pub mod head;
pub mod instance;

mod directory;

#[cfg(test)]
mod test_until;

pub use caller::Caller;
pub use checksums::{Algorithm, DocumentDigests};
pub use directory::Directory;
pub use encryption::Encryption;
pub use object_url::ObjectUrl;
pub use permit::{On, Permit, Role};
pub use place::Place;
pub use trailers::Trailers;
pub use version_id::{NamedVersion, VersionId};
