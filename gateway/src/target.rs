//! Admission: one strict, pure parse of a request's head, in front of everything else.

mod host;
mod operation;
mod percent;
mod query;
mod signature;

use crate::topology::RegionName;

pub use host::{Host, Hosts};
pub use operation::Operation;
pub use query::Query;
pub use signature::{AmzDate, Signature, SignatureForm};

/// The two kinds of endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// `object.<region>.<domain>`: everything is answered by the owning region's store.
    Standard,
    /// `accel-object.<region>.<domain>`: object reads are answered by the node that the client reached.
    Accelerated,
}

impl EndpointKind {
    /// The kind as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Accelerated => "accelerated",
        }
    }
}

/// The public listener that a request came in on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The region whose node listens.
    pub region: RegionName,
    /// The kind meant by requests that name no endpoint.
    pub endpoint: EndpointKind,
}

/// What a request is about: where, what, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The region whose store owns the resource.
    pub region: RegionName,
    /// The endpoint kind that the host name, or else the listener, stands for.
    pub endpoint: EndpointKind,
    /// The service, a bucket or an object.
    pub resource: Resource,
    /// What is to be done with it.
    pub operation: Operation,
    /// The decoded query; every parameter in it is one that the operation knows.
    pub query: Query,
    /// Who signed it, as the request says.
    pub signature: SignatureForm,
}

impl Target {
    /// The bucket, unless the request is about the service.
    #[must_use]
    pub fn bucket(&self) -> Option<&str> {
        match &self.resource {
            Resource::Service => None,
            Resource::Bucket { bucket } | Resource::Object { bucket, .. } => Some(bucket),
        }
    }

    /// The key, when the request is about an object.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.resource {
            Resource::Service | Resource::Bucket { .. } => None,
            Resource::Object { key, .. } => Some(key),
        }
    }
}

/// What a path names. A bucket's name follows S3's rules; a key is 1 to 1024 bytes of UTF-8, kept as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// No bucket: the list of buckets.
    Service,
    /// A bucket.
    Bucket {
        /// Its name.
        bucket: String,
    },
    /// An object.
    Object {
        /// Its bucket's name.
        bucket: String,
        /// Its key.
        key: String,
    },
}
