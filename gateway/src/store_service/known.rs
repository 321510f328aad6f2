//! What the door knows of a store before it lets a request through.

use std::sync::Arc;

use async_trait::async_trait;
use origin::head::Facts;
use origin::regional::{RegionalStore, Resolved};
use origin::website::Website;
use s3s::S3Result;

use crate::coherence::Own;

/// What the door asks about a store.
#[async_trait]
pub trait Known: Send + Sync {
    /// What deciding about `bucket` needs; `None` when there is no such bucket.
    async fn facts(&self, bucket: &str) -> S3Result<Option<Arc<Facts>>>;

    /// The same with the head of an object in it, from one snapshot.
    async fn object(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Resolved>;

    /// The website that `bucket` is shown as.
    async fn website(&self, bucket: &str) -> S3Result<Website>;
}

/// This process's own store, and what it said and has not changed since.
pub struct BesideStore {
    store: RegionalStore,
    kept: Arc<Own>,
}

impl BesideStore {
    /// What `store` says, whose changes are announced to `kept`.
    #[must_use]
    pub fn new(store: RegionalStore, kept: Arc<Own>) -> Self {
        Self { store, kept }
    }
}

#[async_trait]
impl Known for BesideStore {
    async fn facts(&self, bucket: &str) -> S3Result<Option<Arc<Facts>>> {
        self.kept.facts_at_door(&self.store, bucket).await
    }

    async fn object(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Resolved> {
        self.store.resolve(bucket, key, version).await
    }

    async fn website(&self, bucket: &str) -> S3Result<Website> {
        self.store.website(bucket).await
    }
}
