//! A request's permission as it travels with it into the store, to be decided again there.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use async_trait::async_trait;
use http::HeaderMap;
use origin::Permit;
use origin::permit::{On, Role};
use s3s::{S3Error, S3Result, s3_error};
use time::OffsetDateTime;

use super::{Asking, Denied, RequestContext};
use crate::client::Client;
use crate::identity::{Credential, Identities, User};
use crate::sigv4::SecretKey;
use crate::target::Target;

/// Where the first refusal of a request is left for the audit log: s3s passes on no more than `AccessDenied`.
pub type DeniedSlot = Arc<OnceLock<Refused>>;

/// A refusal, and to whom.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What was refused and why.
    pub denied: Denied,
    /// Who asked; `None` for somebody who has not said.
    pub caller: Option<Arc<User>>,
}

/// Who asks, shown by a signature, and where to look whether they still may.
pub struct Asker {
    /// As last looked at.
    user: RwLock<Arc<User>>,
    secret: SecretKey,
    /// Where the request came from.
    client: Client,
    identities: Arc<dyn Identities>,
}

impl Asker {
    /// Whoever signed a request of `client` with what `credential` holds, which was found among `identities`.
    #[must_use]
    pub fn new(credential: Credential, client: Client, identities: Arc<dyn Identities>) -> Self {
        let Credential { user, secret } = credential;
        Self { user: RwLock::new(user), secret, client, identities }
    }

    /// The user as last looked at.
    #[must_use]
    pub fn user(&self) -> Arc<User> {
        self.user.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the user once more, and says whether nothing of them has changed. A key that now is another's, or has another
    /// secret, is not the one that signed.
    async fn confirm(&self) -> S3Result<bool> {
        let before = self.user();
        let found = self.identities.find(&before.access_key, self.client).await?;
        let same = found.filter(|now| {
            let is_named = now.user.account.name == before.account.name && now.user.name == before.name;
            is_named && now.secret == self.secret
        });
        let now = same.ok_or_else(|| s3_error!(InvalidAccessKeyId))?.user;
        let is_unchanged = now.revision == before.revision;
        *self.user.write().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(is_unchanged)
    }
}

/// A request and who asks, owned.
pub struct Held {
    /// Who asks; `None` for somebody who has not said.
    pub asker: Option<Asker>,
    /// What for.
    pub target: Arc<Target>,
    /// With these headers.
    pub headers: HeaderMap,
    /// From where.
    pub client: Client,
    /// When it was let in: a condition on the time holds for the whole request.
    pub now: OffsetDateTime,
    /// Takes the first refusal.
    pub denied: DeniedSlot,
}

impl Held {
    /// Decides about the request, as its caller was last looked at.
    ///
    /// # Errors
    /// What `decide` refuses with, noted for the audit log.
    pub fn ask<T>(&self, decide: impl FnOnce(&Asking<'_>) -> Result<T, Denied>) -> S3Result<T> {
        let caller = self.caller();
        decide(&self.asking(caller.as_deref())).map_err(|denied| self.refusal(denied))
    }

    /// Who asks, as last looked at.
    #[must_use]
    pub fn caller(&self) -> Option<Arc<User>> {
        self.asker.as_ref().map(Asker::user)
    }

    /// The request of `caller`, to be decided about.
    #[must_use]
    pub fn asking<'a>(&'a self, caller: Option<&'a User>) -> Asking<'a> {
        Asking {
            caller,
            operation: self.target.operation,
            request: RequestContext {
                region: self.target.region.as_str(),
                query: &self.target.query,
                headers: &self.headers,
                client: self.client,
                now: self.now,
            },
        }
    }

    /// `denied` as the client sees it, noted for the audit log.
    #[must_use]
    pub fn refusal(&self, denied: Denied) -> S3Error {
        // Only the first: what comes after it follows from it, or is one more key of many.
        let _ = self.denied.set(Refused { denied: denied.clone(), caller: self.caller() });
        denied.into()
    }
}

#[async_trait]
impl Permit for Held {
    fn decide(&self, role: Role, on: &On<'_>) -> S3Result<()> {
        self.ask(|asking| asking.decide(role, on).map(|_| ()))
    }

    fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        match self.ask(|asking| asking.may_know_it_is_missing(role, on)) {
            Ok(()) => super::no_such_key(),
            Err(refusal) => refusal,
        }
    }

    fn shows_tags(&self, on: &On<'_>) -> bool {
        self.asking(self.caller().as_deref()).may_read_tags(on)
    }

    async fn confirm_caller(&self) -> S3Result<bool> {
        match &self.asker {
            Some(asker) => asker.confirm().await,
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use origin::instance::Instance;
    use origin::regional::UserRow;
    use s3s::S3ErrorCode;

    use super::*;
    use crate::identity::{Account, Level};
    use crate::test_user;

    /// One user at a time, or none.
    struct Home(Mutex<Option<Credential>>);

    #[async_trait]
    impl Identities for Home {
        async fn find(&self, access_key: &str, _client: Client) -> S3Result<Option<Credential>> {
            let found = self.0.lock().expect("no test panics in it").clone();
            Ok(found.filter(|credential| credential.user.access_key == access_key))
        }

        fn open(&self, _row: &UserRow) -> S3Result<Option<Credential>> {
            Err(s3_error!(InternalError))
        }
    }

    fn alice(account: &str, level: Level, secret: &str) -> Credential {
        let account =
            Account { name: account.into(), canonical_id: "ab".repeat(32), display_name: account.into() };
        let revision = Instance::from_bytes([level as u8; 16]);
        let user = User { account, level, revision, ..test_user::alice() };
        Credential { user: Arc::new(user), secret: SecretKey::new(secret) }
    }

    #[tokio::test]
    async fn a_caller_is_who_signed_or_nobody() {
        let home = Arc::new(Home(Mutex::new(None)));
        let asker = Asker::new(alice("research", Level::Full, "s3cret"), Client::default(), home.clone());
        for (now, expected) in [
            (Some(alice("research", Level::Full, "s3cret")), Ok((true, Level::Full))),
            (Some(alice("research", Level::Read, "s3cret")), Ok((false, Level::Read))),
            (Some(alice("research", Level::Read, "s3cret")), Ok((true, Level::Read))),
            (Some(alice("research", Level::Full, "another")), Err(S3ErrorCode::InvalidAccessKeyId)),
            (Some(alice("video", Level::Full, "s3cret")), Err(S3ErrorCode::InvalidAccessKeyId)),
            (None, Err(S3ErrorCode::InvalidAccessKeyId)),
        ] {
            home.0.lock().expect("no test panics in it").clone_from(&now);
            let confirmed = asker.confirm().await.map(|is_unchanged| (is_unchanged, asker.user().level));
            assert_eq!(confirmed.map_err(|refused| refused.code().clone()), expected, "{now:?}");
        }
    }
}
