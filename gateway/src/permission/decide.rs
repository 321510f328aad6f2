//! One decision: whether one caller may do one thing, and why. Pure: it depends on its arguments alone, so that a hit
//! in a cache is decided exactly as the owning region would.
//!
//! The order (DESIGN §7): an explicit deny of the bucket's policy; the ceiling of the caller's level, which nothing
//! lifts; then whatever allows it first: ownership, the policy, an access control list, a grant. Otherwise no. What sets
//! up a bucket nothing gives to somebody without an account, and its policy nothing gives to another account.
//!
//! Objects of another account than the bucket's (`ObjectWriter`, `BucketOwnerPreferred`) are S3's special case (Amazon
//! S3 User Guide, "Access control list overview" and "How Amazon S3 authorizes a request for an object operation"): to
//! read such an object, or its list, takes its owner's word, which is the object's own list; the bucket's policy may
//! deny it and cannot allow it. To overwrite and to delete it, and its tags, to read them too, stay with the bucket's owner.

use std::fmt;

use origin::acl::Permission;
use origin::head::{Facts, ObjectOwnership};
use origin::permit::On;
use origin::policy::{Action, Ask, Policy, Principal, Statement, Verdict};
use s3s::{S3Error, S3ErrorCode};

use super::request::Circumstances;
use super::table::{About, Needed, Reach};
use crate::identity::{Access, BucketGrant, Level, User};

/// Why something is allowed.
#[derive(Clone, Copy, Debug)]
pub enum Because<'f> {
    /// Everybody may.
    Open,
    /// It is about the caller's own account, within their level.
    Account,
    /// There is no such bucket, which anybody may know.
    NoSuchBucket,
    /// The bucket is of the caller's account.
    BucketOwner,
    /// The object is of the caller's account.
    ObjectOwner,
    /// It is about an object that the caller is making, and will own.
    NewObject,
    /// A statement of the bucket's policy allows it.
    Policy(&'f Statement),
    /// The bucket's access control list gives it.
    BucketAcl(Permission),
    /// The object's access control list gives it.
    ObjectAcl(Permission),
    /// The caller has a grant in this bucket.
    Grant(Access),
    /// The upload is of the caller's account.
    Initiator,
}

/// A refusal, and what it rests on: for the audit log and for `penstock explain`. Clients see `AccessDenied`,
/// or `MethodNotAllowed` where S3 says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// What was not allowed; `None` for what nobody may ask for.
    pub action: Option<Action>,
    /// Why.
    pub reason: Reason,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing allows it.
    NoAllow,
    /// A statement of the bucket's policy denies it: its Sid, or `#` and its place.
    ExplicitDeny(String),
    /// The caller's level does not reach so far.
    Level(Level),
    /// The caller's grant in this bucket of their own account does not reach so far.
    NarrowedByGrant(Access),
    /// What would allow it is public, and the bucket's public access block sets it aside.
    PublicAccessBlock,
    /// It would be allowed, did the caller belong to the bucket's account.
    OtherAccount,
    /// The bucket's policy is not understood, and might deny it.
    UnreadablePolicy,
}

impl Reason {
    /// The reason's class, as the audit log and metrics name it.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::NoAllow => "no_allow",
            Self::ExplicitDeny(_) => "explicit_deny",
            Self::Level(_) => "level",
            Self::NarrowedByGrant(_) => "grant",
            Self::PublicAccessBlock => "public_access_block",
            Self::OtherAccount => "other_account",
            Self::UnreadablePolicy => "unreadable_policy",
        }
    }

    /// Whether it rests on who asks alone: no bucket, object or request of theirs changes it.
    #[must_use]
    pub const fn rests_on_caller(&self) -> bool {
        matches!(self, Self::Level(_) | Self::NarrowedByGrant(_))
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.class())?;
        if let Reason::ExplicitDeny(statement) = &self.reason {
            write!(f, "({statement})")?;
        }
        match self.action {
            Some(action) => write!(f, " {action}"),
            None => Ok(()),
        }
    }
}

impl From<Denied> for S3Error {
    fn from(denied: Denied) -> Self {
        let mut error = match denied.reason {
            // As the pages of GetBucketPolicy, PutBucketPolicy and DeleteBucketPolicy have it.
            Reason::OtherAccount => {
                let message = "The specified method is not allowed against this resource.";
                Self::with_message(S3ErrorCode::MethodNotAllowed, message)
            }
            _ => Self::with_message(S3ErrorCode::AccessDenied, "Access Denied"),
        };
        error.set_source(Box::new(denied));
        error
    }
}

/// A statement by what its author called it, or its place in the policy, from 1.
#[must_use]
pub fn name_of(statement: &Statement) -> String {
    statement.sid().map_or_else(|| format!("#{}", statement.index() + 1), str::to_owned)
}

/// Decides about `needed` on `at.on`, a bucket that is there.
///
/// # Errors
/// [`Denied`].
pub(super) fn decide<'f>(
    caller: Option<&User>,
    needed: &Needed,
    at: &Circumstances<'f>,
) -> Result<Because<'f>, Denied> {
    let on = at.on;
    let verdict = match ask_policy(caller, needed, at) {
        Err(_) if may_not_be_locked_out(caller, needed, on.facts) => Verdict::Silent,
        Err(unreadable) => return Err(needed.denied(unreadable)),
        Ok(verdict) => verdict,
    };
    if let Verdict::Deny(statement) = verdict
        && !may_not_be_locked_out(caller, needed, on.facts)
    {
        return Err(needed.denied(Reason::ExplicitDeny(name_of(statement))));
    }
    within_ceiling(caller, needed, at)?;
    if caller.is_none() && is_never_anonymous(needed) {
        return Err(needed.denied(Reason::NoAllow));
    }
    let is_of_bucket = is_bucket_owners(needed, on);
    let is_restricted = !owns_bucket(caller, on.facts) && on.facts.policy_is_restricted();
    let by_policy = match verdict {
        Verdict::Allow(statement) if is_of_bucket => Some(Because::Policy(statement)),
        Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Silent => None,
    };
    let allowed = by_ownership(caller, needed, on, is_of_bucket)
        .or(by_policy.filter(|_| !is_restricted))
        .or_else(|| by_acl(caller, needed, on))
        .or_else(|| by_grant(caller, needed, on).filter(|_| is_of_bucket))
        .or_else(|| by_initiator(caller, needed, on));
    if allowed.is_some() && is_own_accounts(needed.action) && !owns_bucket(caller, on.facts) {
        return Err(needed.denied(Reason::OtherAccount));
    }
    allowed.ok_or_else(|| {
        let is_blocked = by_policy.is_some() || is_given_to_strangers(caller, needed, on);
        needed.denied(if is_blocked { Reason::PublicAccessBlock } else { Reason::NoAllow })
    })
}

/// Decides about `needed` where there is no bucket whose word counts: about the caller's own account, and about a bucket
/// that is not there, which anybody may know (S3 answers `NoSuchBucket` to strangers too).
///
/// # Errors
/// [`Denied`]: by the caller's level, or because nobody has no account.
pub(super) fn decide_without_bucket<'f>(
    caller: Option<&User>,
    needed: &Needed,
) -> Result<Because<'f>, Denied> {
    within_level(caller, needed)?;
    match (needed.about, caller) {
        (About::Service, Some(_)) => Ok(Because::Account),
        (About::Service, None) => Err(needed.denied(Reason::NoAllow)),
        (About::Bucket | About::Object | About::Source, _) => Ok(Because::NoSuchBucket),
    }
}

impl Needed {
    fn denied(&self, reason: Reason) -> Denied {
        Denied { action: Some(self.action), reason }
    }
}

/// What the bucket's policy says. A policy is not asked about an object that is not named yet: see `DeleteObjects`.
///
/// # Errors
/// [`Reason::UnreadablePolicy`]: what it might deny is not known.
fn ask_policy<'f>(
    caller: Option<&User>,
    needed: &Needed,
    at: &Circumstances<'f>,
) -> Result<Verdict<'f>, Reason> {
    let Some(policy) = &at.on.facts.policy else { return Ok(Verdict::Silent) };
    let policy = policy.policy().map_err(|_| Reason::UnreadablePolicy)?;
    let resource = match (needed.about, at.on.key) {
        (About::Object | About::Source, None) | (About::Service, _) => return Ok(Verdict::Silent),
        (About::Object | About::Source, Some(key)) => format!("arn:aws:s3:::{}/{key}", at.on.bucket),
        (About::Bucket, _) => format!("arn:aws:s3:::{}", at.on.bucket),
    };
    let principal = match caller {
        None => Principal::Anonymous,
        Some(User { account, name, .. }) => {
            Principal::User { account: &account.name, account_id: &account.canonical_id, name }
        }
    };
    let owner = at.on.facts.owner.as_str();
    let ask = Ask { principal, owner, action: needed.action, resource: &resource, context: at };
    Ok(policy.decide(&ask))
}

/// Whether a policy's deny does not count: S3 lets the owner of a bucket out of every policy that they put.
fn may_not_be_locked_out(caller: Option<&User>, needed: &Needed, facts: &Facts) -> bool {
    is_own_accounts(needed.action)
        && owns_bucket(caller, facts)
        && caller.is_some_and(|caller| caller.level == Level::Full)
}

/// Whether an action is for users of the bucket's own account alone, whatever a policy gives to others: whoever may write
/// the policy may give themselves all the rest.
fn is_own_accounts(action: Action) -> bool {
    use Action::{DeleteBucketPolicy, GetBucketPolicy, PutBucketPolicy};
    matches!(action, GetBucketPolicy | PutBucketPolicy | DeleteBucketPolicy)
}

/// Whether nothing gives it to somebody who has not said who they are. A policy of `s3:*` for everybody is meant for
/// objects: that everybody could then remove the bucket, or set it up otherwise, nobody means.
fn is_never_anonymous(needed: &Needed) -> bool {
    needed.reach == Reach::Full || is_own_accounts(needed.action)
}

/// Holds the caller's level, and their grant in a bucket of their own account, against what is needed: neither policy
/// nor list gives more than these let through.
///
/// What narrows is not bound to the bucket's incarnation, as what extends is: a bucket that its account removes and makes
/// again under its name would otherwise be all open to whoever was kept from it.
fn within_ceiling(caller: Option<&User>, needed: &Needed, at: &Circumstances<'_>) -> Result<(), Denied> {
    within_level(caller, needed)?;
    let Some(caller) = caller.filter(|caller| owns_bucket(Some(caller), at.on.facts)) else { return Ok(()) };
    let here = |grant: &&BucketGrant| grant.bucket == at.on.bucket && grant.region == at.request.region;
    let mut narrows = caller.grants.iter().filter(here).map(|grant| grant.access);
    match narrows.find(|access| !needed.reach.is_granted_by(*access)) {
        Some(access) => Err(needed.denied(Reason::NarrowedByGrant(access))),
        None => Ok(()),
    }
}

fn within_level(caller: Option<&User>, needed: &Needed) -> Result<(), Denied> {
    match caller {
        Some(caller) if !needed.reach.is_within(caller.level) => {
            Err(needed.denied(Reason::Level(caller.level)))
        }
        Some(_) | None => Ok(()),
    }
}

fn owns_bucket(caller: Option<&User>, facts: &Facts) -> bool {
    caller.is_some_and(|caller| caller.account.name == facts.owner)
}

/// Whether what is needed is for the bucket's owner to give: everything, but for reading what another account has put
/// there.
fn is_bucket_owners(needed: &Needed, on: &On<'_>) -> bool {
    let other_owner = on.head.filter(|_| !needed.is_of_new_object() && is_object_owners(needed.action));
    other_owner.is_none_or(|head| on.facts.object_owner(head).id == on.facts.owner().id)
}

/// Whether an action is for the object's owner to give, whosever bucket it lies in.
fn is_object_owners(action: Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::GetObject
            | A::GetObjectVersion
            | A::GetObjectTorrent
            | A::GetObjectVersionTorrent
            | A::GetObjectAttributes
            | A::GetObjectVersionAttributes
            | A::GetObjectAcl
            | A::GetObjectVersionAcl
            | A::PutObjectAcl
            | A::PutObjectVersionAcl
    )
}

/// Whether an action is about an object's tags: the bucket owner's to give, as policies decide by them. An object's
/// owner who may put it and no tags with it does not put them afterwards either.
fn is_of_tags(action: Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::GetObjectTagging
            | A::GetObjectVersionTagging
            | A::PutObjectTagging
            | A::PutObjectVersionTagging
            | A::DeleteObjectTagging
            | A::DeleteObjectVersionTagging
    )
}

/// Whether an action is done to an object that is there, so that the object may have a say in it.
pub(super) fn is_about_what_is_there(action: Action) -> bool {
    is_object_owners(action) || is_of_tags(action)
}

fn by_ownership<'f>(
    caller: Option<&User>,
    needed: &Needed,
    on: &On<'_>,
    is_of_bucket: bool,
) -> Option<Because<'f>> {
    let caller = caller?;
    if is_of_bucket && owns_bucket(Some(caller), on.facts) {
        return Some(Because::BucketOwner);
    }
    if needed.is_of_new_object() {
        // Whoever makes an object owns it, where objects are their writers', and says who else may have it.
        let will_own = on.facts.object_ownership() != ObjectOwnership::BucketOwnerEnforced;
        return (needed.action == Action::PutObjectAcl && will_own).then_some(Because::NewObject);
    }
    let head = on.head.filter(|_| is_object_owners(needed.action))?;
    let owns_object = on.facts.object_owner(head).id == caller.account.canonical_id;
    owns_object.then_some(Because::ObjectOwner)
}

fn by_acl<'f>(caller: Option<&User>, needed: &Needed, on: &On<'_>) -> Option<Because<'f>> {
    let asker = canonical_id(caller);
    match listed(needed, on.facts)? {
        Listed::Bucket(permission) => {
            on.facts.acl_gives(asker, permission).then_some(Because::BucketAcl(permission))
        }
        Listed::Object(permission) => {
            let gives = on.facts.object_acl_gives(on.head?, asker, permission);
            gives.then_some(Because::ObjectAcl(permission))
        }
    }
}

/// Whether a list would give it, did strangers' grants count.
fn is_given_to_strangers(caller: Option<&User>, needed: &Needed, on: &On<'_>) -> bool {
    if !on.facts.blocks().ignore_public_acls {
        return false;
    }
    let asker = canonical_id(caller);
    match (listed(needed, on.facts), on.head) {
        (Some(Listed::Bucket(permission)), _) => on.facts.acl().gives(asker, permission),
        (Some(Listed::Object(permission)), Some(head)) => on.facts.object_acl(head).gives(asker, permission),
        (Some(Listed::Object(_)), None) | (None, _) => false,
    }
}

/// The permission in an access control list that stands for an action.
enum Listed {
    Bucket(Permission),
    Object(Permission),
}

/// Amazon S3 User Guide, "Mapping of ACL permissions and access policy permissions". Whoever may write to a bucket may
/// delete there as well and finish or give up an upload, as every service has it that still has lists. What they write
/// they may give a list, as it is theirs, and tags where no policy goes by those.
fn listed(needed: &Needed, facts: &Facts) -> Option<Listed> {
    use Action as A;
    use Permission::{Read, ReadAcp, Write, WriteAcp};
    match needed.action {
        A::PutObjectAcl if needed.is_of_new_object() => Some(Listed::Bucket(Write)),
        A::PutObjectTagging if needed.is_of_new_object() && !goes_by_tags(facts) => {
            Some(Listed::Bucket(Write))
        }
        _ if needed.is_of_new_object() => None,
        A::ListBucket | A::ListBucketVersions | A::ListBucketMultipartUploads => Some(Listed::Bucket(Read)),
        A::PutObject | A::DeleteObject | A::AbortMultipartUpload | A::ListMultipartUploadParts => {
            Some(Listed::Bucket(Write))
        }
        A::GetBucketAcl => Some(Listed::Bucket(ReadAcp)),
        A::PutBucketAcl => Some(Listed::Bucket(WriteAcp)),
        A::GetObject | A::GetObjectVersion => Some(Listed::Object(Read)),
        A::GetObjectAcl | A::GetObjectVersionAcl => Some(Listed::Object(ReadAcp)),
        A::PutObjectAcl | A::PutObjectVersionAcl => Some(Listed::Object(WriteAcp)),
        _ => None,
    }
}

/// Whether the bucket's policy asks for tags, or may do so for all that can be read of it.
fn goes_by_tags(facts: &Facts) -> bool {
    let policy = facts.policy.as_ref();
    policy.is_some_and(|policy| policy.policy().map_or(true, Policy::reads_object_tags))
}

/// A grant in another account's bucket gives what its access covers of the bucket's objects and of their list, and
/// nothing of how the bucket is set up or who else may have it.
fn by_grant<'f>(caller: Option<&User>, needed: &Needed, on: &On<'_>) -> Option<Because<'f>> {
    let access = grant_in(caller, on)?;
    (is_grantable(needed.action) && needed.reach.is_granted_by(access)).then_some(Because::Grant(access))
}

/// Whoever began an upload may see what has come of it and give it up (Amazon S3 User Guide, "Multipart upload API and
/// permissions"), whatever else they may do in the bucket.
fn by_initiator<'f>(caller: Option<&User>, needed: &Needed, on: &On<'_>) -> Option<Because<'f>> {
    let is_of_upload =
        matches!(needed.action, Action::AbortMultipartUpload | Action::ListMultipartUploadParts);
    let is_theirs = on.initiator.is_some_and(|initiator| canonical_id(caller) == Some(initiator));
    (is_of_upload && is_theirs).then_some(Because::Initiator)
}

fn is_grantable(action: Action) -> bool {
    use Action as A;
    is_of_tags(action)
        || matches!(
            action,
            A::ListBucket
                | A::ListBucketVersions
                | A::ListBucketMultipartUploads
                | A::GetBucketLocation
                | A::GetObject
                | A::GetObjectVersion
                | A::GetObjectAttributes
                | A::GetObjectVersionAttributes
                | A::ListMultipartUploadParts
                | A::PutObject
                | A::DeleteObject
                | A::DeleteObjectVersion
                | A::AbortMultipartUpload
        )
}

/// What the caller has been granted in this very bucket: not in another of the same name, made before or after it.
fn grant_in(caller: Option<&User>, on: &On<'_>) -> Option<Access> {
    let grants = &caller?.grants;
    grants
        .iter()
        .find(|grant| grant.bucket == on.bucket && grant.incarnation == on.facts.incarnation)
        .map(|grant| grant.access)
}

fn canonical_id(caller: Option<&User>) -> Option<&str> {
    caller.map(|caller| caller.account.canonical_id.as_str())
}

#[cfg(test)]
mod tests;
