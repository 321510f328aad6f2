//! Finding a user: in this node's own store where the region is home, by asking home everywhere else.

use std::sync::Arc;

use async_trait::async_trait;
use origin::regional::{RegionalStore, UserRow};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::{ClusterKeys, Credential, Identities, StoredUser};
use crate::peer::messages::{Answer, Ask, failure};
use crate::peer::{AskError, Peer};

/// Users as the home region's own node finds them: in its store.
pub struct AtHome {
    store: RegionalStore,
    keys: Arc<ClusterKeys>,
}

/// Users as other regions' nodes find them: by asking home, each time.
pub struct FromHome {
    home: Arc<Peer>,
    keys: Arc<ClusterKeys>,
}

impl AtHome {
    /// The users in `store`.
    #[must_use]
    pub fn new(store: RegionalStore, keys: Arc<ClusterKeys>) -> Self {
        Self { store, keys }
    }
}

impl FromHome {
    /// The users of the region that `home` owns.
    #[must_use]
    pub fn new(home: Arc<Peer>, keys: Arc<ClusterKeys>) -> Self {
        Self { home, keys }
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

#[async_trait]
impl Identities for FromHome {
    async fn find(&self, access_key: &str) -> S3Result<Option<Credential>> {
        let ask = Ask::User { access_key: access_key.to_owned() };
        match self.home.ask(vec![ask]).await?.pop() {
            Some(Answer::User(row)) => row.map(|row| self.open(&row)).transpose(),
            Some(Answer::Failed { code, message }) => Err(failure(&code, message)),
            Some(Answer::Object { .. }) | None => {
                Err(AskError::Malformed("no user in the answer about one".to_owned()).into())
            }
        }
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
