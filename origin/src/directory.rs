//! Who an account is that a list names: asked of whoever keeps the users.

use async_trait::async_trait;
use s3s::S3Result;

use crate::acl::Owner;

/// The accounts of the cluster, by what lists may name them by.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The account of this canonical id.
    ///
    /// # Errors
    /// `ServiceUnavailable` when whoever knows cannot be asked.
    async fn by_id(&self, canonical_id: &str) -> S3Result<Option<Owner>>;

    /// The accounts that use this e-mail address, each once.
    ///
    /// # Errors
    /// As [`Directory::by_id`].
    async fn by_email(&self, email: &str) -> S3Result<Vec<Owner>>;
}
