//! Whether a caller may do what they ask: one pure decision, made in the same place for every path.
//!
//! [`table`] says what each operation needs, [`decide`] decides about one such need, and [`Asking`] puts the two
//! together for one request. Everything that a decision depends on is handed in: the user, the bucket's facts, the
//! object's head, the request, the clock. So a hit in a cache is decided exactly as the owning region would, without
//! asking it, and nothing of a decision is kept for another caller or another request.
//!
//! A request is decided about twice where it reaches a store: at the door, on facts read before the operation, and
//! through its [`Permit`](origin::Permit) in the operation's own snapshot or transaction.

mod decide;
mod permit;
mod request;
pub mod table;

use origin::permit::{On, Role};
use origin::policy::Action;
use s3s::{S3Error, s3_error};

pub use decide::{Because, Denied, Reason, name_of};
pub use permit::{Asker, DeniedSlot, Held, Refused};
pub use request::RequestContext;

use self::request::Circumstances;
use self::table::{About, LIST_BUCKET, Needed, Rule};
use crate::identity::User;
use crate::target::Operation;

/// One request that wants to be let in.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Who asks; `None` for somebody who has not said.
    pub caller: Option<&'a User>,
    /// What they want to do.
    pub operation: Operation,
    /// What conditions may read of the request.
    pub request: RequestContext<'a>,
}

impl<'a> Asking<'a> {
    /// Decides about what the request does to `on`, or takes from it. With the object's head in `on` the answer is
    /// final; without it an object's own list and tags give nothing, and it may be worth asking again with it.
    ///
    /// # Errors
    /// [`Denied`], for the first thing needed that is not allowed.
    pub fn decide<'f>(&self, role: Role, on: &'f On<'f>) -> Result<Because<'f>, Denied>
    where
        'a: 'f,
    {
        let at = Circumstances { request: self.request, on, prefix: None };
        self.for_all_needed(role, on, |needed| match needed.about {
            About::Service => decide::decide_without_bucket(self.caller, needed),
            About::Bucket | About::Object | About::Source => decide::decide(self.caller, needed, &at),
        })
    }

    /// Decides about what stands on no bucket: the caller's own account, and a bucket that is not there, of which
    /// everybody within their level is told so.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn decide_without_bucket(&self, role: Role) -> Result<Because<'static>, Denied> {
        match Rule::of(self.operation) {
            Rule::Open => Ok(Because::Open),
            Rule::Closed => Err(NOBODY),
            Rule::Needs(all) => {
                let needed = all.iter().filter(|needed| needed.is_in(role));
                first_of(needed.map(|needed| decide::decide_without_bucket(self.caller, needed)))
            }
        }
    }

    /// What the caller is told of an object that `on` names and that is not there: `NoSuchKey` if they may list the
    /// bucket, where they would see as much; otherwise the same as of an object that they may not read.
    #[must_use]
    pub fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        self.may_know_it_is_missing(role, on).map_or_else(S3Error::from, |()| no_such_key())
    }

    /// Whether the caller may learn that the object that `on` names is not there.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_know_it_is_missing(&self, role: Role, on: &On<'_>) -> Result<(), Denied> {
        let on = On { head: None, ..*on };
        match self.decide(role, &on) {
            // Nothing that the object could say would lift these.
            Err(denied)
                if matches!(denied.reason, Reason::ExplicitDeny(_)) || denied.reason.rests_on_caller() =>
            {
                return Err(denied);
            }
            // What is not there has no list that could give it: that nothing allows it says nothing.
            Err(_) | Ok(_) => {}
        }
        let bucket = On::bucket(on.bucket, on.facts);
        let at = Circumstances { request: self.request, on: &bucket, prefix: on.key };
        decide::decide(self.caller, &LIST_BUCKET, &at).map(|_| ())
    }

    /// Whether the caller may read the tags of the object in `on`, and so be told how many there are (GetObject page of
    /// the S3 API reference, `x-amz-tagging-count`).
    #[must_use]
    pub fn may_read_tags(&self, on: &On<'_>) -> bool {
        let action = match on.version {
            Some(_) => Action::GetObjectVersionTagging,
            None => Action::GetObjectTagging,
        };
        decide_action(self.caller, action, on, self.request).is_some_and(|decided| decided.is_ok())
    }

    fn for_all_needed<'f>(
        &self,
        role: Role,
        on: &On<'_>,
        decide: impl Fn(&Needed) -> Result<Because<'f>, Denied>,
    ) -> Result<Because<'f>, Denied> {
        match Rule::of(self.operation) {
            Rule::Open => Ok(Because::Open),
            Rule::Closed => Err(NOBODY),
            Rule::Needs(all) => {
                let needed = all.iter().filter(|needed| needed.is_in(role));
                let needed = needed.filter(|needed| needed.is_needed_on(self.request.headers, on));
                first_of(needed.map(decide))
            }
        }
    }
}

/// Decides about `action` alone, whatever operation wants it, on `on`; `None` for an action that no operation needs.
#[must_use]
pub fn decide_action<'f>(
    caller: Option<&User>,
    action: Action,
    on: &'f On<'f>,
    request: RequestContext<'f>,
) -> Option<Result<Because<'f>, Denied>> {
    let needed = Needed::of(action)?;
    let at = Circumstances { request, on, prefix: None };
    Some(match needed.about {
        About::Service => decide::decide_without_bucket(caller, &needed),
        About::Bucket | About::Object | About::Source => decide::decide(caller, &needed, &at),
    })
}

/// What whoever may list the bucket is told of an object that is not there.
fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// The refusal of what nobody may ask for.
const NOBODY: Denied = Denied { action: None, reason: Reason::NoAllow };

/// The first refusal, or else why the first of them is allowed: refused where there is nothing to decide about, so that
/// what the table forgets is closed.
fn first_of<'f>(
    mut decisions: impl Iterator<Item = Result<Because<'f>, Denied>>,
) -> Result<Because<'f>, Denied> {
    let first = decisions.next().unwrap_or(Err(NOBODY))?;
    decisions.try_for_each(|decision| decision.map(|_| ()))?;
    Ok(first)
}
