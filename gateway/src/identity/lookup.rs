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
        opened(self.store.user(access_key).await?, &self.keys)
    }

    fn open(&self, row: &UserRow) -> S3Result<Option<Credential>> {
        open(row, &self.keys)
    }
}

#[async_trait]
impl Identities for FromHome {
    async fn find(&self, access_key: &str) -> S3Result<Option<Credential>> {
        let ask = Ask::User { access_key: access_key.to_owned() };
        match self.home.ask(vec![ask]).await?.pop() {
            Some(Answer::User(row)) => opened(row, &self.keys),
            Some(Answer::Failed { code, message }) => Err(failure(&code, message)),
            Some(Answer::Object { .. } | Answer::Facts(_) | Answer::Accounts(_)) | None => {
                Err(AskError::Malformed("no user in the answer about one".to_owned()).into())
            }
        }
    }

    fn open(&self, row: &UserRow) -> S3Result<Option<Credential>> {
        open(row, &self.keys)
    }
}

fn opened(row: Option<UserRow>, keys: &ClusterKeys) -> S3Result<Option<Credential>> {
    row.map_or(Ok(None), |row| open(&row, keys))
}

/// A row that does not open is our fault, not the caller's: it must not look like an unknown key. That of a disabled
/// user does look like one.
fn open(row: &UserRow, keys: &ClusterKeys) -> S3Result<Option<Credential>> {
    let ours = |cause| S3Error::with_source(S3ErrorCode::InternalError, Box::new(cause));
    let stored = StoredUser::from_bytes(&row.access_key, &row.value).map_err(ours)?;
    if stored.user.is_disabled {
        return Ok(None);
    }
    stored.open(keys).map(Some).map_err(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Account, Level, User};
    use crate::sigv4::SecretKey;

    #[test]
    fn a_disabled_user_looks_like_no_user_and_a_broken_row_does_not() {
        let keys = ClusterKeys::parse(&ClusterKeys::generate()).expect("generated");
        let row = |is_disabled| {
            let account = Account {
                name: "research".into(),
                canonical_id: "ab".repeat(32),
                display_name: "Research".into(),
            };
            let user = User {
                name: "alice".into(),
                account,
                display_name: "Alice".into(),
                email: String::new(),
                level: Level::Full,
                access_key: "PKALICE".into(),
                default_region: None,
                is_disabled,
                grants: Vec::new(),
                revision: origin::instance::Instance::from_bytes([0; 16]),
            };
            let value = StoredUser::seal(user, 1, &SecretKey::new("s3cret"), &keys).to_bytes();
            UserRow { access_key: "PKALICE".into(), value }
        };
        assert!(open(&row(false), &keys).expect("opens").is_some());
        assert!(open(&row(true), &keys).expect("is read").is_none());
        let mut broken = row(true);
        broken.value.truncate(10);
        assert_eq!(open(&broken, &keys).expect_err("broken").code(), &S3ErrorCode::InternalError);
    }
}
