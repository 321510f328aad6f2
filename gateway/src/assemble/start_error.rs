//! Why a node did not start: one line for the operator.

use std::io;
use std::path::PathBuf;

use crate::clock::ClockError;
use crate::cluster::ClusterError;
use crate::identity::UsersError;
use crate::listen::BindError;
use crate::operator::SocketError;
use crate::peer::CredentialsError;

/// Why a node did not start. Each prints as one line that says what is in the way, and where.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The node's directory cannot be made.
    #[error("{}: {cause}", path.display())]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The clock is not believed.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The cluster's sealing key cannot be used, or the node's peers will refuse its certificate.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The node's certificate cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The store does not open.
    #[error("store: {0}")]
    Store(#[from] origin::regional::OpenError),
    /// The store does not say which leases were granted on it.
    #[error("leases: {0}")]
    Leases(s3s::S3Error),
    /// The users cannot be read.
    #[error("users: {0}")]
    Users(#[from] UsersError),
    /// The cache does not open.
    #[error("cache: {0}")]
    Cache(#[from] cache::OpenError),
    /// The operators' socket cannot be made.
    #[error(transparent)]
    Operators(#[from] SocketError),
}
