//! Why somebody may or may not do something: the very decision that requests get, told to operators in words.
//!
//! The user is read at home, the bucket's facts and the object's head at its owner, and then
//! [`permission`](crate::permission) decides as it would for a request that says no more than it must: without headers,
//! from nowhere in particular, over TLS. Conditions on more than that are decided so.

use std::fmt;

use http::HeaderMap;
use origin::head::{Facts, Head};
use origin::permit::On;
use origin::policy::{Action, AppliesTo};
use s3s::S3Error;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::client::Client;
use crate::identity::{User, UserName, UsersError};
use crate::permission::{Because, Denied, Reason, RequestContext, decide_action, name_of};
use crate::target::Query;
use crate::topology::RegionName;
use crate::user_admin::UserAdmin;

/// What an operator wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who would ask; `None` for somebody without credentials.
    pub user: Option<UserName>,
    /// As policies spell it: `s3:GetObject`.
    pub action: String,
    /// The bucket.
    pub bucket: String,
    /// The object in it, for an action on one.
    pub key: Option<String>,
    /// The bucket's region; where it is `None` the one region that has such a bucket.
    pub region: Option<String>,
}

/// The decision, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether it would be allowed.
    pub is_allowed: bool,
    /// What class of reason decides, as the audit log names refusals.
    pub reason: String,
    /// What decides, in a sentence.
    pub because: String,
    /// The statement that decides, by its Sid or its place.
    pub statement: Option<String>,
    /// Who would ask.
    pub principal: String,
    /// What they would do.
    pub action: String,
    /// To what.
    pub resource: String,
    /// Where it is.
    pub region: String,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No such user.
    #[error(transparent)]
    User(#[from] UsersError),
    /// Not an action.
    #[error("{0:?} is no action of S3: s3:GetObject, s3:ListBucket, …")]
    Action(String),
    /// An action that no operation needs, so that nobody is ever asked about it.
    #[error("no operation needs {0}: nothing is ever decided about it")]
    NotNeeded(Action),
    /// The action is about an object and none is named, or about a bucket and an object is named.
    #[error("{action} is about {about}: {shape}")]
    Resource {
        /// The action.
        action: Action,
        /// What it is about.
        about: &'static str,
        /// How such a resource is named.
        shape: &'static str,
    },
    /// There is no such region.
    #[error("there is no region {0}")]
    Region(String),
    /// There is no such bucket.
    #[error("there is no bucket {0}")]
    Bucket(String),
    /// Several regions have a bucket of this name.
    #[error("there is a bucket {bucket} in {}: say which with --region", regions.join(" and in "))]
    Ambiguous {
        /// The bucket.
        bucket: String,
        /// The regions.
        regions: Vec<String>,
    },
    /// A region cannot be asked.
    #[error("region {region} cannot be asked: {}", .cause.message().unwrap_or(.cause.code().as_str()))]
    OutOfReach {
        /// The region.
        region: RegionName,
        /// Why.
        cause: S3Error,
    },
}

/// What is known of what is asked about.
struct Found {
    region: RegionName,
    facts: Facts,
    head: Option<Head>,
}

/// Answers `question`, at home.
///
/// # Errors
/// [`ExplainError`].
pub async fn explain(admin: &UserAdmin, question: Question) -> Result<Explanation, ExplainError> {
    let action = Action::named(&question.action).ok_or(ExplainError::Action(question.action))?;
    let key = question.key.as_deref();
    verify_resource(action, key)?;
    let user = match &question.user {
        Some(name) => Some(admin.users().find(name).await?.user),
        None => None,
    };
    let found = find(admin, question.region.as_deref(), &question.bucket, key).await?;
    let on = On { key, head: found.head.as_ref(), ..On::bucket(&question.bucket, &found.facts) };
    let (query, headers) = (Query::default(), HeaderMap::new());
    let client = Client { address: None, is_tls: true };
    let (region, now) = (found.region.as_str(), OffsetDateTime::now_utc());
    let request = RequestContext { region, query: &query, headers: &headers, client, now };
    let decided =
        decide_action(user.as_ref(), action, &on, request).ok_or(ExplainError::NotNeeded(action))?;
    let path = key.map_or_else(String::new, |key| format!("/{key}"));
    Ok(Explanation {
        is_allowed: decided.is_ok() && user.as_ref().is_none_or(|user| !user.is_disabled),
        reason: class(&decided, user.as_ref()).to_owned(),
        because: sentence(&decided, user.as_ref(), &found),
        statement: statement(&decided),
        principal: user.as_ref().map_or_else(|| "anybody without credentials".to_owned(), described),
        action: action.to_string(),
        resource: format!("arn:aws:s3:::{}{path}", question.bucket),
        region: found.region.to_string(),
    })
}

fn verify_resource(action: Action, key: Option<&str>) -> Result<(), ExplainError> {
    let (about, shape) = match (action.applies_to(), key) {
        (AppliesTo::Object, None) => ("an object", "s3://BUCKET/KEY"),
        (AppliesTo::Bucket | AppliesTo::Service, Some(_)) => ("a bucket", "s3://BUCKET"),
        (AppliesTo::Object, Some(_)) | (AppliesTo::Bucket | AppliesTo::Service, None) => return Ok(()),
    };
    Err(ExplainError::Resource { action, about, shape })
}

async fn find(
    admin: &UserAdmin,
    region: Option<&str>,
    bucket: &str,
    key: Option<&str>,
) -> Result<Found, ExplainError> {
    let buckets = admin.buckets();
    let regions = buckets.regions().filter(|name| region.is_none_or(|wanted| name.as_str() == wanted));
    let mut found = Vec::new();
    let mut is_known = false;
    for name in regions {
        is_known = true;
        let asked = buckets.object(name, bucket, key.unwrap_or_default()).await;
        let (facts, head) =
            asked.map_err(|cause| ExplainError::OutOfReach { region: name.clone(), cause })?;
        found.extend(facts.map(|facts| Found { region: name.clone(), facts, head }));
    }
    if !is_known {
        return Err(ExplainError::Region(region.unwrap_or_default().to_owned()));
    }
    let regions = || found.iter().map(|found| found.region.to_string()).collect();
    if found.len() > 1 {
        return Err(ExplainError::Ambiguous { bucket: bucket.to_owned(), regions: regions() });
    }
    found.pop().ok_or_else(|| ExplainError::Bucket(bucket.to_owned()))
}

fn described(user: &User) -> String {
    format!("user {} of account {}, level {}", user.name, user.account.name, user.level.as_str())
}

fn class(decided: &Result<Because<'_>, Denied>, user: Option<&User>) -> &'static str {
    match decided {
        Err(denied) => denied.reason.class(),
        Ok(_) if user.is_some_and(|user| user.is_disabled) => "disabled",
        Ok(because) => match because {
            Because::Open => "open",
            Because::Account => "account",
            Because::NoSuchBucket => "no_such_bucket",
            Because::BucketOwner => "bucket_owner",
            Because::ObjectOwner => "object_owner",
            Because::NewObject => "new_object",
            Because::Policy(_) => "policy",
            Because::BucketAcl(_) => "bucket_acl",
            Because::ObjectAcl(_) => "object_acl",
            Because::Grant(_) => "grant",
            Because::Initiator => "initiator",
        },
    }
}

fn statement(decided: &Result<Because<'_>, Denied>) -> Option<String> {
    match decided {
        Ok(Because::Policy(statement)) => Some(name_of(statement)),
        Err(Denied { reason: Reason::ExplicitDeny(statement), .. }) => Some(statement.clone()),
        Ok(_) | Err(_) => None,
    }
}

fn sentence(decided: &Result<Because<'_>, Denied>, user: Option<&User>, found: &Found) -> String {
    let owner = &found.facts.owner;
    let sentence = match decided {
        Ok(_) if user.is_some_and(|user| user.is_disabled) => return "the user is disabled".to_owned(),
        Ok(Because::Open) => "everybody may".to_owned(),
        Ok(Because::Account) => "it is about the user's own account".to_owned(),
        Ok(Because::NoSuchBucket) => "there is no such bucket, which anybody may know".to_owned(),
        Ok(Because::BucketOwner) => format!("the bucket is of the user's account, {owner}"),
        Ok(Because::ObjectOwner) => "the object was written by the user's account, and is its own".to_owned(),
        Ok(Because::NewObject) => "whoever makes an object owns it".to_owned(),
        Ok(Because::Policy(statement)) => {
            format!("statement {} of the bucket's policy allows it", name_of(statement))
        }
        Ok(Because::BucketAcl(permission)) => {
            format!("the bucket's access control list gives {}", permission.as_str())
        }
        Ok(Because::ObjectAcl(permission)) => {
            format!("the object's access control list gives {}", permission.as_str())
        }
        Ok(Because::Grant(access)) => {
            format!("the user has a grant in this bucket: {}", access.as_str())
        }
        Ok(Because::Initiator) => "the upload was begun by the user's account".to_owned(),
        Err(Denied { reason, .. }) => match reason {
            Reason::NoAllow => {
                format!("nothing allows it: no policy, list or grant, and the bucket is of account {owner}")
            }
            Reason::ExplicitDeny(statement) => {
                format!("statement {statement} of the bucket's policy denies it")
            }
            Reason::OtherAccount => {
                format!("a bucket's policy is for its own account alone, {owner}, whatever the policy allows")
            }
            Reason::UnreadablePolicy => {
                "the bucket's policy is not understood here, and might deny it".to_owned()
            }
            Reason::Level(user) => format!("the user's level, {}, does not reach so far", user.as_str()),
            Reason::NarrowedByGrant(granted) => format!(
                "the user's grant in this bucket of their own account, {}, does not reach so far",
                granted.as_str()
            ),
            Reason::PublicAccessBlock => {
                "what would allow it is public, and the bucket's public access block sets it aside".to_owned()
            }
        },
    };
    match (decided.as_ref().is_err_and(|denied| denied.reason == Reason::NoAllow), &found.head) {
        (true, Some(head)) if found.facts.object_owner(head).id != found.facts.owner().id => {
            format!("{sentence}; the object is of account {}", found.facts.object_owner(head).display_name)
        }
        _ => sentence,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_allowed { "allowed" } else { "denied" };
        let Self { because, principal, action, resource, region, .. } = self;
        write!(f, "{verdict}: {because}\n{action} on {resource} in {region}, by {principal}")
    }
}
