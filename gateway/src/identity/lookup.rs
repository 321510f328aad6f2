//! Finding a user: in this node's own store where the region is home, by asking home everywhere else.

use std::sync::Arc;

use async_trait::async_trait;
use origin::regional::{RegionalStore, UserRow};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::{ClusterKeys, Credential, Identities, StoredUser};

/// Users as the home region's own node finds them: in its store.
pub struct AtHome {
    store: RegionalStore,
    keys: Arc<ClusterKeys>,
}

impl AtHome {
    /// The users in `store`.
    #[must_use]
    pub fn new(store: RegionalStore, keys: Arc<ClusterKeys>) -> Self {
        Self { store, keys }
    }
}

#[async_trait]
impl Identities for AtHome {
    async fn find(&self, access_key: &str) -> S3Result<Option<Credential>> {
        self.store.user(access_key).await?.map(|row| self.open(&row)).transpose()
    }

    fn open(&self, row: &UserRow) -> S3Result<Credential> {
        open(row, &self.keys)
    }
}

/// A row that does not open is our fault, not the caller's: it must not look like an unknown key.
fn open(row: &UserRow, keys: &ClusterKeys) -> S3Result<Credential> {
    StoredUser::from_bytes(&row.access_key, &row.value)
        .and_then(|stored| stored.open(keys))
        .map_err(|cause| S3Error::with_source(S3ErrorCode::InternalError, Box::new(cause)))
}
