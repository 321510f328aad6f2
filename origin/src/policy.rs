//! Bucket policies: the language, parsed whole and decided without asking anybody.
//!
//! [`Policy::parse`] takes a document only if it understands all of it, and says of any other where it stopped: a
//! policy half understood would let through what its writer meant to stop. [`Policy::decide`] is pure: the same policy
//! and the same [`Ask`] have the same [`Verdict`] on every node. An explicit deny counts before any allow; what
//! nothing speaks of is [`Verdict::Silent`], and what that means is for others to say, as are levels, ACLs and owners.
//! The language is that of the "IAM JSON policy elements reference" and of "Policies and permissions in Amazon S3".

mod action;
mod condition;
mod document;
mod json;
mod key;
mod malformed;
mod pattern;
mod principal;
mod public;
mod resource;
mod steps;
mod stored;
mod template;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use self::action::{Action, AppliesTo};
pub use self::malformed::Malformed;
pub use self::principal::Principal;
pub use self::stored::StoredPolicy;

use self::action::ActionSet;
use self::condition::Condition;
use self::key::Key;
use self::principal::Principals;
use self::resource::Resources;
use self::steps::Steps;
use self::template::Resolve;

/// Most bytes of a policy's text: S3's own limit.
pub const TEXT_BYTES_MAX: usize = 20 * 1024;

/// A bucket policy understood in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    index: usize,
    sid: Option<String>,
    effect: Effect,
    principals: Principals,
    actions: ActionSet,
    resources: Resources,
    conditions: Vec<Condition>,
}

/// What a statement does to what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// What a policy is asked: may this principal do this to that, in this request?
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// What they want to do.
    pub action: Action,
    /// To what: `arn:aws:s3:::<bucket>`, with `/<key>` for an object.
    pub resource: &'a str,
    /// The account that owns the bucket.
    pub owner: &'a str,
    /// What else the request says.
    pub context: &'a dyn Lookup,
}

/// What a request says of a condition key.
pub trait Lookup {
    /// The values of `key` as text: none where the request has no such thing, several where it has several.
    ///
    /// `key` is spelled as AWS documents it, whatever the policy wrote: `aws:SourceIp`, `s3:prefix`. After
    /// `s3:ExistingObjectTag/` and `s3:RequestObjectTag/` the tag's key is as the policy wrote it; AWS compares it
    /// without case. `aws:username`, `aws:userid` and `aws:PrincipalType` follow from the principal and are not asked
    /// for. Times are in ISO 8601 (`aws:CurrentTime`) or whole seconds since 1970 (`aws:EpochTime`), truth is `true`
    /// or `false`.
    fn values(&self, key: &str) -> Vec<Cow<'_, str>>;
}

/// What a policy says to an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'p> {
    /// This statement denies it, whatever others allow.
    Deny(&'p Statement),
    /// This statement allows it, and none denies it.
    Allow(&'p Statement),
    /// No statement is about it.
    Silent,
}

impl Policy {
    /// The policy that `text` writes for `bucket`.
    ///
    /// # Errors
    /// [`Malformed`], S3's `MalformedPolicy`, when any of it is not understood: what S3 says, and the place.
    pub fn parse(text: &str, bucket: &str) -> Result<Self, Malformed> {
        document::parse(text, Some(bucket))
    }

    /// What the policy says to `ask`: the first statement that denies it, or else the first that allows it.
    ///
    /// Deciding takes a bounded number of steps, whatever the policy and the request. Where they run out, a statement
    /// that denies is taken to be about what is asked, and one that allows not to be.
    #[must_use]
    pub fn decide(&self, ask: &Ask<'_>) -> Verdict<'_> {
        self.decide_within(ask, &Steps::of_decision())
    }

    fn decide_within(&self, ask: &Ask<'_>, steps: &Steps) -> Verdict<'_> {
        let says = |effect| {
            let mut of_effect = self.statements.iter().filter(|statement| statement.effect == effect);
            of_effect.find(|statement| statement.is_about(ask, steps))
        };
        match (says(Effect::Deny), || says(Effect::Allow)) {
            (Some(denies), _) => Verdict::Deny(denies),
            (None, allows) => allows().map_or(Verdict::Silent, Verdict::Allow),
        }
    }

    /// Whether it says anything about the tags of the object that is there, so that deciding takes its head.
    #[must_use]
    pub fn reads_object_tags(&self) -> bool {
        self.statements.iter().flat_map(Statement::keys).any(Key::is_of_existing_tags)
    }
}

impl Statement {
    /// Its `Sid`, if it has one.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Its place among the policy's statements, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    fn is_about(&self, ask: &Ask<'_>, steps: &Steps) -> bool {
        if !self.actions.has(ask.action) || !self.principals.include(ask.principal, ask.owner) {
            return false;
        }
        let value = |key: &Key| ask.values(key).into_iter().next().map(Cow::into_owned);
        let resolve = Resolve { value: &value, steps };
        let holds = |condition: &Condition| {
            let said = ask.values(condition.key());
            steps.take(1 + said.iter().map(|text| text.len()).sum::<usize>())
                && condition.holds(&said, self.effect, &resolve)
        };
        let is_about =
            self.resources.include(ask.resource, self.effect, &resolve) && self.conditions.iter().all(holds);
        // What has not been looked at to its end is decided as a refusal.
        if steps.ran_out() { self.effect == Effect::Deny } else { is_about }
    }

    /// Every key it asks for.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.resources.keys().chain(self.conditions.iter().flat_map(Condition::keys))
    }
}

impl<'a> Ask<'a> {
    /// The request's values of `key`.
    fn values(&self, key: &Key) -> Vec<Cow<'a, str>> {
        match key.as_str() {
            "aws:PrincipalType" => vec![Cow::Borrowed(self.principal.kind())],
            "aws:userid" => vec![self.principal.user_id()],
            "aws:username" => self.principal.user_name().map(Cow::Borrowed).into_iter().collect(),
            name => self.context.values(name),
        }
    }
}
