//! The decision by example, each with its nearest wrong neighbours.

mod grants;
mod lists;
mod ownership;
mod policy;

use http::{HeaderMap, HeaderName, HeaderValue};
use origin::acl::{Acl, Grant, Grantee, Owner, Permission};
use origin::head::{Facts, Head, ObjectOwnership, PublicAccessBlock};
use origin::instance::Instance;
use origin::permit::{On, Role};
use origin::policy::StoredPolicy;
use s3s::S3Error;
use time::OffsetDateTime;

use crate::client::Client;
use crate::identity::{Access, Account, BucketGrant, Level, User};
use crate::permission::{Asking, Because, Denied, Reason, RequestContext};
use crate::target::{Operation as Op, Query};
use crate::test_user::alice;

const REGION: &str = "ord1";
const BUCKET: &str = "models";
const KEY: &str = "weights/llama.bin";

fn owner(account: &str) -> Owner {
    Owner { id: canonical_id(account), display_name: account.to_uppercase() }
}

fn canonical_id(account: &str) -> String {
    format!("{account:0<64}")
}

fn user(account: &str, level: Level) -> User {
    User {
        name: format!("{account}-user"),
        account: Account {
            name: account.into(),
            canonical_id: canonical_id(account),
            display_name: account.into(),
        },
        level,
        ..alice()
    }
}

fn id(byte: u8) -> Instance {
    Instance::from_bytes([byte; 16])
}

/// A bucket of the account `research`.
fn bucket() -> Facts {
    Facts::new(id(7), id(8), "research", owner("research"))
}

fn with_policy(statements: &str) -> Facts {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Facts { policy: Some(StoredPolicy::new(&text, BUCKET).expect("a policy")), ..bucket() }
}

fn statement(effect: &str, principal: &str, actions: &str) -> String {
    format!(
        r#"{{"Sid":"{effect}It","Effect":"{effect}","Principal":{principal},"Action":[{actions}],
            "Resource":["arn:aws:s3:::models","arn:aws:s3:::models/*"]}}"#
    )
}

fn with_acl(grantee: Grantee, permission: Permission) -> Facts {
    Facts { acl: Some(acl("research", grantee, permission)), ..bucket() }
}

fn acl(of: &str, grantee: Grantee, permission: Permission) -> Acl {
    let mut acl = Acl::private(owner(of));
    acl.grants.push(Grant { grantee, permission });
    acl
}

/// An object of the bucket's owner.
fn object() -> Head {
    Head::new(id(1), id(2))
}

fn object_of(account: &str) -> Head {
    Head { owner: Some(owner(account)), ..object() }
}

fn granted(level: Level, grant: BucketGrant) -> User {
    User { grants: vec![grant], ..user("visitors", level) }
}

fn grant(access: Access) -> BucketGrant {
    BucketGrant { region: REGION.into(), bucket: BUCKET.into(), incarnation: id(7), access }
}

/// A question with everything that most tests leave alone.
struct Question<'a> {
    facts: &'a Facts,
    head: Option<&'a Head>,
    headers: &'a [(&'static str, &'static str)],
    version: Option<&'a str>,
}

impl<'a> Question<'a> {
    fn of(facts: &'a Facts) -> Self {
        Self { facts, head: None, headers: &[], version: None }
    }

    fn decide(&self, caller: Option<&User>, operation: Op) -> Result<String, Denied> {
        let headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let query = Query::default();
        let now = OffsetDateTime::UNIX_EPOCH;
        let request = RequestContext {
            region: REGION,
            query: &query,
            headers: &headers,
            client: Client::default(),
            now,
        };
        let asking = Asking { caller, operation, request };
        let on = On::bucket(BUCKET, self.facts).object(KEY, self.version, self.head);
        asking.decide(Role::Target, &on).map(|because| match because {
            Because::Policy(statement) => format!("Policy({})", super::name_of(statement)),
            other => format!("{other:?}"),
        })
    }

    fn missing(&self, caller: Option<&User>, operation: Op) -> String {
        let (query, headers) = (Query::default(), HeaderMap::new());
        let now = OffsetDateTime::UNIX_EPOCH;
        let request = RequestContext {
            region: REGION,
            query: &query,
            headers: &headers,
            client: Client::default(),
            now,
        };
        let asking = Asking { caller, operation, request };
        let on = On::bucket(BUCKET, self.facts).object(KEY, self.version, None);
        asking.missing(Role::Target, &on).code().as_str().to_owned()
    }
}

fn decide(facts: &Facts, caller: Option<&User>, operation: Op) -> Result<String, Denied> {
    Question::of(facts).decide(caller, operation)
}

fn reason(facts: &Facts, caller: Option<&User>, operation: Op) -> Reason {
    decide(facts, caller, operation).expect_err("denied").reason
}

fn decide_on(facts: &Facts, head: &Head, caller: Option<&User>, operation: Op) -> Result<String, Reason> {
    Question { head: Some(head), ..Question::of(facts) }
        .decide(caller, operation)
        .map_err(|denied| denied.reason)
}

#[test]
fn who_may_not_list_is_not_told_what_is_missing() {
    fn missing(facts: &Facts, caller: Option<&User>) -> String {
        Question::of(facts).missing(caller, Op::GetObject)
    }
    assert_eq!(missing(&bucket(), Some(&user("research", Level::Read))), "NoSuchKey");
    assert_eq!(missing(&bucket(), Some(&user("research", Level::Write))), "AccessDenied");
    assert_eq!(missing(&bucket(), Some(&user("visitors", Level::Full))), "AccessDenied");
    assert_eq!(missing(&bucket(), None), "AccessDenied");
    // To read objects is not to list them; to list them is enough, as S3 has it.
    let reads = with_policy(&statement("Allow", r#""*""#, r#""s3:GetObject""#));
    assert_eq!(missing(&reads, None), "AccessDenied");
    let lists = with_policy(&statement("Allow", r#""*""#, r#""s3:ListBucket""#));
    assert_eq!(missing(&lists, None), "NoSuchKey");
    assert_eq!(missing(&with_acl(Grantee::AllUsers, Permission::Read), None), "NoSuchKey");
    // Denied outright, nothing is told.
    let denied = format!(
        "{},{}",
        statement("Allow", r#""*""#, r#""s3:ListBucket""#),
        statement("Deny", r#""*""#, r#""s3:GetObject""#)
    );
    assert_eq!(missing(&with_policy(&denied), None), "AccessDenied");
    assert_eq!(missing(&with_policy(&denied), Some(&user("research", Level::Full))), "AccessDenied");
}

/// Who may list some names is told of those: the key stands for the prefix that they would ask for.
#[test]
fn who_may_list_a_prefix_is_told_what_is_missing_there() {
    let listing = |prefix: &str| {
        with_policy(&format!(
            r#"{{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::models",
                "Condition":{{"StringLike":{{"s3:prefix":"{prefix}"}}}}}}"#
        ))
    };
    let missing = |facts: &Facts| Question::of(facts).missing(None, Op::HeadObject);
    assert_eq!(missing(&listing("weights/*")), "NoSuchKey");
    assert_eq!(missing(&listing("weight")), "AccessDenied");
    assert_eq!(missing(&listing("private/*")), "AccessDenied");
}

/// The audit log names what was wanted and what stands against it.
#[test]
fn a_refusal_says_what_it_rests_on() {
    let visitor = user("visitors", Level::Read);
    let said =
        |facts: &Facts, operation| decide(facts, Some(&visitor), operation).expect_err("denied").to_string();
    assert_eq!(said(&bucket(), Op::GetObject), "no_allow s3:GetObject");
    assert_eq!(said(&bucket(), Op::DeleteBucket), "level s3:DeleteBucket");
    let named = with_policy(&statement("Deny", r#""*""#, r#""s3:*""#));
    assert_eq!(said(&named, Op::GetObject), "explicit_deny(DenyIt) s3:GetObject");
    let unnamed = with_policy(
        r#"{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::models/*"},
           {"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*"}"#,
    );
    assert_eq!(said(&unnamed, Op::GetObject), "explicit_deny(#2) s3:GetObject");
    assert_eq!(said(&bucket(), Op::CreateSession), "no_allow");
}
