//! Finding a user: beside this node's own store where the region is home, under a session with home everywhere else.

use std::sync::Arc;

use async_trait::async_trait;
use origin::regional::{RegionalStore, UserRow};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::{ClusterKeys, Credential, Identities, StoredUser};
use crate::audit;
use crate::client::Client;
use crate::coherence::scope::Subject;
use crate::coherence::{Follower, Kept, KeptUser, OnHomeLoss, Own, Unanswered, Use};
use crate::metrics::Metrics;
use crate::misses::Misses;

/// Users as the home region's own node finds them: in its store, or as the store said and has not changed since.
pub struct AtHome {
    store: RegionalStore,
    kept: Arc<Own>,
    keys: Arc<ClusterKeys>,
}

/// Users as other regions' nodes find them: what home said under a session that lives, or asked of home.
pub struct FromHome {
    home: Arc<Follower>,
    keys: Arc<ClusterKeys>,
    on_home_loss: OnHomeLoss,
    /// Of keys that nobody holds. Past its limit a client is answered as before; what it asks is asked each time, and that there is
    /// no such key is not kept.
    misses: Misses,
    metrics: Metrics,
}

impl AtHome {
    /// The users in `store`, whose changes are announced to `kept`.
    #[must_use]
    pub fn new(store: RegionalStore, kept: Arc<Own>, keys: Arc<ClusterKeys>) -> Self {
        Self { store, kept, keys }
    }
}

impl FromHome {
    /// The users of the region that `home` follows.
    pub(crate) fn new(
        home: Arc<Follower>,
        keys: Arc<ClusterKeys>,
        on_home_loss: OnHomeLoss,
        metrics: Metrics,
    ) -> Self {
        Self { home, keys, on_home_loss, misses: Misses::new(), metrics }
    }

    /// The user as last known, while that is still believed although home cannot be asked.
    fn last_known(&self, subject: &Subject) -> Option<Arc<KeptUser>> {
        let OnHomeLoss::ServeKnown(at_most) = self.on_home_loss else { return None };
        let known = self.home.last_known(subject, at_most)?.into_user()?;
        self.metrics.sessions().served_known(self.home.region());
        audit::served_known(&known.row.access_key);
        Some(known)
    }
}

#[async_trait]
impl Identities for AtHome {
    async fn find(&self, access_key: &str, _client: Client) -> S3Result<Option<Credential>> {
        let found = self.kept.user(&self.store, access_key).await?;
        opened(found.value.and_then(Kept::into_user), &self.keys)
    }

    fn open(&self, row: &UserRow) -> S3Result<Option<Credential>> {
        open(row, &self.keys)
    }
}

#[async_trait]
impl Identities for FromHome {
    async fn find(&self, access_key: &str, client: Client) -> S3Result<Option<Credential>> {
        let subject = Subject::User { access_key: access_key.into() };
        if let Some(live) = self.home.look(&subject) {
            return opened(live.value.and_then(Kept::into_user), &self.keys);
        }
        // What was somebody's key when home last spoke of it is not made up, though it has to be asked about again.
        let is_made_up = !self.home.knew(&subject) && !self.misses.has_room(client).await;
        let how = if is_made_up { Use::LookOnly } else { Use::LookAndKeep };
        let mut found = self.home.find(subject.clone(), how).await;
        if is_made_up && found.as_ref().is_ok_and(|found| found.value.is_some()) {
            // It is somebody's after all, who shall be known from now on.
            found = self.home.find(subject.clone(), Use::LookAndKeep).await;
        }
        let row = match found {
            Ok(found) => {
                if !is_made_up && found.value.is_none() && !found.was_held {
                    self.misses.note(client).await;
                }
                found.value.and_then(Kept::into_user)
            }
            Err(unanswered @ Unanswered::Asking(_)) => {
                Some(self.last_known(&subject).ok_or_else(|| S3Error::from(unanswered))?)
            }
            Err(refused @ Unanswered::Refused(_)) => return Err(refused.into()),
        };
        opened(row, &self.keys)
    }

    fn open(&self, row: &UserRow) -> S3Result<Option<Credential>> {
        open(row, &self.keys)
    }
}

fn opened(user: Option<Arc<KeptUser>>, keys: &ClusterKeys) -> S3Result<Option<Credential>> {
    user.map_or(Ok(None), |user| user.opened(|row| open(row, keys)))
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
    use crate::identity::User;
    use crate::sigv4::SecretKey;
    use crate::test_user::alice;

    #[test]
    fn a_disabled_user_looks_like_no_user_and_a_broken_row_does_not() {
        let keys = ClusterKeys::parse(&ClusterKeys::generate()).expect("generated");
        let row = |is_disabled| {
            let user = User { is_disabled, ..alice() };
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
