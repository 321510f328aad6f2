//! A request's permission as it travels with it into the store, to be decided again there.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use origin::Permit;
use origin::permit::{On, Role};
use s3s::{S3Error, S3Result};
use time::OffsetDateTime;

use super::{Asking, Denied, RequestContext};
use crate::client::Client;
use crate::identity::User;
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

/// A request and who asks, owned.
pub struct Held {
    /// Who asks.
    pub caller: Option<Arc<User>>,
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
    /// The request, to be decided about.
    #[must_use]
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            caller: self.caller.as_deref(),
            operation: self.target.operation,
            request: RequestContext {
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
        let _ = self.denied.set(Refused { denied: denied.clone(), caller: self.caller.clone() });
        denied.into()
    }
}

impl Permit for Held {
    fn decide(&self, role: Role, on: &On<'_>) -> S3Result<()> {
        self.asking().decide(role, on).map(|_| ()).map_err(|denied| self.refusal(denied))
    }

    fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        match self.asking().may_know_it_is_missing(role, on) {
            Ok(()) => super::no_such_key(),
            Err(denied) => self.refusal(denied),
        }
    }
}
