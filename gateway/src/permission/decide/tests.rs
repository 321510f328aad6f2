//! The decision by example, each with its nearest wrong neighbours.

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
        display_name: String::new(),
        email: String::new(),
        level,
        access_key: "PKSOMEBODY".into(),
        default_region: None,
        is_disabled: false,
        grants: Vec::new(),
        revision: Instance::from_bytes([0; 16]),
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
fn the_owners_account_has_everything_within_its_level() {
    let facts = bucket();
    let all = [
        Op::GetObject,
        Op::ListObjectsV2,
        Op::PutObject,
        Op::DeleteObject,
        Op::PutBucketPolicy,
        Op::DeleteBucket,
    ];
    for (level, allowed) in [
        (Level::Read, [true, true, false, false, false, false]),
        (Level::Write, [false, false, true, true, false, false]),
        (Level::ReadWrite, [true, true, true, true, false, false]),
        (Level::Full, [true; 6]),
    ] {
        let caller = user("research", level);
        for (operation, allowed) in all.into_iter().zip(allowed) {
            match decide(&facts, Some(&caller), operation) {
                Ok(because) => {
                    assert!(allowed && because == "BucketOwner", "{level:?} {operation} {because}");
                }
                Err(denied) => {
                    assert!(!allowed, "{level:?} {operation}");
                    assert_eq!(denied.reason, Reason::Level(level));
                }
            }
        }
    }
}

/// Whose a bucket is, is a matter of the account's whole name.
#[test]
fn nobody_else_has_anything_by_itself() {
    let facts = bucket();
    for &operation in Op::ALL {
        if matches!(operation, Op::ListBuckets | Op::CreateBucket | Op::PreflightRequest) {
            continue;
        }
        for account in ["Research", "researc", "research2", "", "visitors"] {
            let caller = user(account, Level::Full);
            assert_eq!(reason(&facts, Some(&caller), operation), Reason::NoAllow, "{operation} {account:?}");
        }
        assert_eq!(reason(&facts, None, operation), Reason::NoAllow, "{operation}");
    }
}

#[test]
fn an_account_lists_and_makes_its_own_buckets_and_nobody_has_no_account() {
    let facts = bucket();
    for operation in [Op::ListBuckets, Op::CreateBucket] {
        assert_eq!(decide(&facts, Some(&user("visitors", Level::Full)), operation).as_deref(), Ok("Account"));
        assert_eq!(reason(&facts, None, operation), Reason::NoAllow);
    }
    let reader = user("research", Level::Read);
    assert!(decide(&facts, Some(&reader), Op::ListBuckets).is_ok());
    assert_eq!(reason(&facts, Some(&reader), Op::CreateBucket), Reason::Level(Level::Read));
    assert_eq!(
        reason(&facts, Some(&user("research", Level::Write)), Op::ListBuckets),
        Reason::Level(Level::Write)
    );
    assert_eq!(
        reason(&facts, Some(&user("research", Level::ReadWrite)), Op::CreateBucket),
        Reason::Level(Level::ReadWrite)
    );
}

#[test]
fn a_deny_goes_before_ownership_lists_grants_and_other_allows() {
    let allow = statement("Allow", r#""*""#, r#""s3:*""#);
    let deny = statement("Deny", r#""*""#, r#""s3:GetObject""#);
    let denied = Reason::ExplicitDeny("DenyIt".into());
    for statements in [deny.clone(), format!("{allow},{deny}"), format!("{deny},{allow}")] {
        let facts = with_policy(&statements);
        let head = Head { acl: Some(acl("research", Grantee::AllUsers, Permission::Read)), ..object() };
        for caller in [
            None,
            Some(user("research", Level::Full)),
            Some(user("visitors", Level::Full)),
            Some(granted(Level::Full, grant(Access::Read))),
        ] {
            assert_eq!(decide_on(&facts, &head, caller.as_ref(), Op::GetObject), Err(denied.clone()));
        }
    }
    // It is about its action alone.
    let facts = with_policy(&deny);
    assert!(decide(&facts, Some(&user("research", Level::Full)), Op::PutObject).is_ok());
}

/// Nobody locks the owner out of the policy itself, but the owner's lesser users are not the owner.
#[test]
fn the_owner_can_always_put_read_and_remove_the_policy() {
    let facts = with_policy(&statement("Deny", r#""*""#, r#""s3:*""#));
    let full = user("research", Level::Full);
    for operation in [Op::GetBucketPolicy, Op::PutBucketPolicy, Op::DeleteBucketPolicy] {
        assert_eq!(decide(&facts, Some(&full), operation).as_deref(), Ok("BucketOwner"), "{operation}");
        for other in [user("research", Level::ReadWrite), user("visitors", Level::Full)] {
            assert!(
                matches!(reason(&facts, Some(&other), operation), Reason::ExplicitDeny(_)),
                "{operation}"
            );
        }
        assert!(matches!(reason(&facts, None, operation), Reason::ExplicitDeny(_)), "{operation}");
    }
    for operation in [Op::GetBucketPolicyStatus, Op::PutBucketAcl, Op::DeleteBucket, Op::GetObject] {
        assert!(matches!(reason(&facts, Some(&full), operation), Reason::ExplicitDeny(_)), "{operation}");
    }
}

/// Within the bucket's account the policy is a matter of level; outside, of nothing that the policy says.
#[test]
fn no_policy_gives_itself_to_another_account() {
    let to_all = with_policy(&statement("Allow", r#""*""#, r#""s3:*""#));
    let to_one = with_policy(&statement("Allow", r#"{"AWS":"visitors"}"#, r#""s3:*""#));
    let visitor = user("visitors", Level::Full);
    let code = |denied: Denied| S3Error::from(denied).code().as_str().to_owned();
    for operation in [Op::GetBucketPolicy, Op::PutBucketPolicy, Op::DeleteBucketPolicy] {
        for facts in [&to_all, &to_one] {
            let denied = decide(facts, Some(&visitor), operation).expect_err("denied");
            assert_eq!(denied.reason, Reason::OtherAccount, "{operation}");
            assert_eq!(code(denied), "MethodNotAllowed", "{operation}");
            let denied = decide(facts, None, operation).expect_err("denied");
            assert_eq!((denied.reason.clone(), code(denied)), (Reason::NoAllow, "AccessDenied".into()));
            let full = user("research", Level::Full);
            assert_eq!(decide(facts, Some(&full), operation).as_deref(), Ok("BucketOwner"), "{operation}");
        }
        // Where the policy would not let them anyway, they are told what everybody is told.
        let denied = decide(&to_one, Some(&user("visitors2", Level::Full)), operation).expect_err("denied");
        assert_eq!((denied.reason.clone(), code(denied)), (Reason::NoAllow, "AccessDenied".into()));
        let blocks = PublicAccessBlock { restrict_public_buckets: true, ..PublicAccessBlock::default() };
        let restricted = Facts { public_access_block: Some(blocks), ..to_all.clone() };
        assert_eq!(reason(&restricted, Some(&visitor), operation), Reason::PublicAccessBlock);
    }
    // The nearest others are the policy's to give.
    for operation in [Op::GetBucketPolicyStatus, Op::GetBucketAcl, Op::PutBucketAcl, Op::DeleteBucketCors] {
        assert_eq!(
            decide(&to_one, Some(&visitor), operation).as_deref(),
            Ok("Policy(AllowIt)"),
            "{operation}"
        );
    }
}

#[test]
fn who_has_no_account_sets_up_no_bucket() {
    let facts = Facts {
        acl: with_acl(Grantee::AllUsers, Permission::FullControl).acl,
        ..with_policy(&statement("Allow", r#""*""#, r#""s3:*""#))
    };
    let visitor = user("visitors", Level::Full);
    for operation in [Op::DeleteBucket, Op::PutBucketAcl, Op::PutBucketCors, Op::PutPublicAccessBlock] {
        assert_eq!(reason(&facts, None, operation), Reason::NoAllow, "{operation}");
        assert!(decide(&facts, Some(&visitor), operation).is_ok(), "{operation}");
    }
    for operation in [Op::GetObject, Op::PutObject, Op::DeleteObject, Op::ListObjects, Op::GetBucketCors] {
        assert!(decide(&facts, None, operation).is_ok(), "{operation}");
    }
}

#[test]
fn a_policy_gives_to_whom_it_names() {
    let facts = with_policy(&statement("Allow", r#"{"AWS":"visitors"}"#, r#""s3:GetObject""#));
    let visitor = user("visitors", Level::Full);
    assert_eq!(decide(&facts, Some(&visitor), Op::GetObject).as_deref(), Ok("Policy(AllowIt)"));
    assert_eq!(reason(&facts, Some(&visitor), Op::PutObject), Reason::NoAllow);
    assert_eq!(reason(&facts, Some(&visitor), Op::ListObjects), Reason::NoAllow);
    assert_eq!(reason(&facts, Some(&user("visitor", Level::Full)), Op::GetObject), Reason::NoAllow);
    assert_eq!(reason(&facts, None, Op::GetObject), Reason::NoAllow);
    // The version that is named has its own action.
    let versioned = Question { version: Some("null"), ..Question::of(&facts) };
    assert_eq!(versioned.decide(Some(&visitor), Op::GetObject).expect_err("denied").reason, Reason::NoAllow);
}

#[test]
fn what_everybody_is_given_anonymous_callers_have() {
    let facts = with_policy(&statement("Allow", r#""*""#, r#""s3:GetObject""#));
    assert_eq!(decide(&facts, None, Op::GetObject).as_deref(), Ok("Policy(AllowIt)"));
    assert_eq!(decide(&facts, None, Op::HeadObject).as_deref(), Ok("Policy(AllowIt)"));
    for operation in
        [Op::ListObjects, Op::PutObject, Op::GetObjectAcl, Op::GetObjectTagging, Op::GetObjectAttributes]
    {
        assert_eq!(reason(&facts, None, operation), Reason::NoAllow, "{operation}");
    }
}

/// A ceiling holds for what others give, too.
#[test]
fn no_policy_list_or_grant_lifts_a_level() {
    let by_policy = with_policy(&statement("Allow", r#""*""#, r#""s3:*""#));
    let by_acl = with_acl(Grantee::AllUsers, Permission::FullControl);
    for account in ["visitors", "research"] {
        for facts in [&by_policy, &by_acl] {
            let reader = user(account, Level::Read);
            assert_eq!(reason(facts, Some(&reader), Op::PutObject), Reason::Level(Level::Read));
            assert!(decide(facts, Some(&reader), Op::ListObjects).is_ok());
            let writer = user(account, Level::Write);
            assert_eq!(reason(facts, Some(&writer), Op::ListObjects), Reason::Level(Level::Write));
            assert!(decide(facts, Some(&writer), Op::PutObject).is_ok());
            let both = user(account, Level::ReadWrite);
            assert_eq!(reason(facts, Some(&both), Op::PutBucketAcl), Reason::Level(Level::ReadWrite));
        }
    }
    let reader = granted(Level::Read, grant(Access::ReadWrite));
    assert_eq!(reason(&bucket(), Some(&reader), Op::PutObject), Reason::Level(Level::Read));
    assert_eq!(decide(&bucket(), Some(&reader), Op::ListObjects).as_deref(), Ok("Grant(ReadWrite)"));
}

/// Amazon S3 User Guide, "Mapping of ACL permissions and access policy permissions", the bucket's half.
#[test]
fn a_buckets_list_gives_what_its_permission_stands_for() {
    let read = [
        Op::HeadBucket,
        Op::ListObjects,
        Op::ListObjectsV2,
        Op::ListObjectVersions,
        Op::ListMultipartUploads,
    ];
    let write = [
        Op::PutObject,
        Op::CopyObject,
        Op::CreateMultipartUpload,
        Op::UploadPart,
        Op::CompleteMultipartUpload,
        Op::AbortMultipartUpload,
        Op::ListParts,
        Op::DeleteObject,
        Op::DeleteObjects,
        Op::UploadPartCopy,
        Op::PostObject,
    ];
    for (permission, gives) in [
        (Permission::Read, &read[..]),
        (Permission::Write, &write[..]),
        (Permission::ReadAcp, &[Op::GetBucketAcl]),
        (Permission::WriteAcp, &[Op::PutBucketAcl]),
    ] {
        let to_all = with_acl(Grantee::AllUsers, permission);
        let to_signed = with_acl(Grantee::AuthenticatedUsers, permission);
        let to_visitors = with_acl(Grantee::Canonical(owner("visitors")), permission);
        let visitor = user("visitors", Level::Full);
        let stranger = user("strangers", Level::Full);
        for &operation in Op::ALL {
            if matches!(operation, Op::ListBuckets | Op::CreateBucket | Op::PreflightRequest) {
                continue;
            }
            let given = gives.contains(&operation);
            let is_given = |facts, caller| decide(facts, caller, operation).is_ok();
            // Who has not said who they are sets up no bucket.
            let anonymously = given && operation != Op::PutBucketAcl;
            assert_eq!(is_given(&to_all, None), anonymously, "{permission:?} {operation}");
            assert_eq!(is_given(&to_all, Some(&stranger)), given, "{permission:?} {operation}");
            assert_eq!(is_given(&to_signed, Some(&stranger)), given, "{permission:?} {operation}");
            assert!(!is_given(&to_signed, None), "{permission:?} {operation}");
            assert_eq!(is_given(&to_visitors, Some(&visitor)), given, "{permission:?} {operation}");
            assert!(!is_given(&to_visitors, Some(&stranger)), "{permission:?} {operation}");
        }
    }
}

/// The object's half: the bucket's list gives nothing of it.
#[test]
fn an_objects_list_gives_what_its_permission_stands_for() {
    for (permission, gives) in [
        (Permission::Read, &[Op::GetObject, Op::HeadObject, Op::SelectObjectContent][..]),
        (Permission::Write, &[]),
        (Permission::ReadAcp, &[Op::GetObjectAcl]),
        (Permission::WriteAcp, &[Op::PutObjectAcl]),
    ] {
        let head = Head { acl: Some(acl("research", Grantee::AllUsers, permission)), ..object() };
        for &operation in Op::ALL {
            if matches!(operation, Op::ListBuckets | Op::CreateBucket | Op::PreflightRequest) {
                continue;
            }
            let decided = decide_on(&bucket(), &head, None, operation);
            assert_eq!(decided.is_ok(), gives.contains(&operation), "{permission:?} {operation}");
        }
    }
    let open_bucket = with_acl(Grantee::AllUsers, Permission::FullControl);
    assert_eq!(decide_on(&open_bucket, &object(), None, Op::GetObject), Err(Reason::NoAllow));
}

/// What another account has put into the bucket is that account's to give, and the bucket owner's to remove.
#[test]
fn an_object_of_another_account_is_read_by_its_owners_word() {
    let head = object_of("writers");
    let (research, writer) = (user("research", Level::Full), user("writers", Level::Full));
    let allowing = with_policy(&statement("Allow", r#""*""#, r#""s3:*""#));
    let read = [Op::GetObject, Op::HeadObject, Op::GetObjectAcl, Op::PutObjectAcl, Op::GetObjectAttributes];
    for facts in [bucket(), allowing] {
        for operation in read {
            assert_eq!(
                decide_on(&facts, &head, Some(&research), operation),
                Err(Reason::NoAllow),
                "{operation}"
            );
            assert_eq!(
                decide_on(&facts, &head, Some(&writer), operation).as_deref(),
                Ok("ObjectOwner"),
                "{operation}"
            );
            assert_eq!(decide_on(&facts, &head, None, operation), Err(Reason::NoAllow), "{operation}");
        }
        for operation in
            [Op::DeleteObject, Op::PutObject, Op::GetObjectTagging, Op::PutObjectTagging, Op::ListObjects]
        {
            let decided = decide_on(&facts, &head, Some(&research), operation);
            assert_eq!(decided.as_deref(), Ok("BucketOwner"), "{operation}");
        }
    }
    // Its writer has no more of the bucket than before, nor of the tags that its policy may decide by.
    for operation in [
        Op::DeleteObject,
        Op::PutObject,
        Op::ListObjects,
        Op::GetObjectTagging,
        Op::PutObjectTagging,
        Op::DeleteObjectTagging,
    ] {
        assert_eq!(
            decide_on(&bucket(), &head, Some(&writer), operation),
            Err(Reason::NoAllow),
            "{operation}"
        );
    }
    let shared = Head {
        acl: Some(acl("writers", Grantee::Canonical(owner("research")), Permission::Read)),
        ..head.clone()
    };
    assert_eq!(
        decide_on(&bucket(), &shared, Some(&research), Op::GetObject).as_deref(),
        Ok("ObjectAcl(Read)")
    );
    assert_eq!(decide_on(&bucket(), &shared, Some(&research), Op::GetObjectAcl), Err(Reason::NoAllow));
    // The bucket's policy may take away what it may not give.
    let denying = with_policy(&statement("Deny", r#""*""#, r#""s3:GetObject""#));
    assert!(matches!(decide_on(&denying, &head, Some(&writer), Op::GetObject), Err(Reason::ExplicitDeny(_))));
}

#[test]
fn where_ownership_is_enforced_lists_and_writers_count_for_nothing() {
    let enforced = Facts {
        ownership: Some(ObjectOwnership::BucketOwnerEnforced),
        ..with_acl(Grantee::AllUsers, Permission::FullControl)
    };
    let head = Head {
        acl: Some(acl("writers", Grantee::AllUsers, Permission::FullControl)),
        ..object_of("writers")
    };
    for operation in [Op::GetObject, Op::ListObjects, Op::PutObject, Op::GetObjectAcl, Op::GetBucketAcl] {
        assert_eq!(decide_on(&enforced, &head, None, operation), Err(Reason::NoAllow), "{operation}");
        let writer = user("writers", Level::Full);
        assert_eq!(
            decide_on(&enforced, &head, Some(&writer), operation),
            Err(Reason::NoAllow),
            "{operation}"
        );
        let research = user("research", Level::Full);
        let decided = decide_on(&enforced, &head, Some(&research), operation);
        assert_eq!(decided.as_deref(), Ok("BucketOwner"), "{operation}");
    }
}

#[test]
fn a_public_access_block_sets_public_lists_aside() {
    let blocks = PublicAccessBlock { ignore_public_acls: true, ..PublicAccessBlock::default() };
    let visitor = user("visitors", Level::Full);
    for grantee in [Grantee::AllUsers, Grantee::AuthenticatedUsers] {
        let facts =
            Facts { public_access_block: Some(blocks), ..with_acl(grantee.clone(), Permission::Read) };
        assert_eq!(reason(&facts, Some(&visitor), Op::ListObjects), Reason::PublicAccessBlock);
        let head = Head { acl: Some(acl("research", grantee, Permission::Read)), ..object() };
        assert_eq!(decide_on(&facts, &head, Some(&visitor), Op::GetObject), Err(Reason::PublicAccessBlock));
        assert_eq!(decide_on(&facts, &head, Some(&visitor), Op::PutObject), Err(Reason::NoAllow));
    }
    // What is given to one account is not public, and the other switches leave lists alone.
    let to_visitors = with_acl(Grantee::Canonical(owner("visitors")), Permission::Read);
    let facts = Facts { public_access_block: Some(blocks), ..to_visitors };
    assert!(decide(&facts, Some(&visitor), Op::ListObjects).is_ok());
    let others = PublicAccessBlock {
        ignore_public_acls: false,
        block_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
    let facts = Facts { public_access_block: Some(others), ..with_acl(Grantee::AllUsers, Permission::Read) };
    assert!(decide(&facts, None, Op::ListObjects).is_ok());
}

/// "Public and cross-account access within any public bucket policy, including non-public delegation to specific
/// accounts, is blocked": Amazon S3 User Guide, "Blocking public access".
#[test]
fn a_restricted_public_bucket_is_its_own_accounts_alone() {
    let restricted = |statements: &str| Facts {
        public_access_block: Some(PublicAccessBlock {
            restrict_public_buckets: true,
            ..PublicAccessBlock::default()
        }),
        ..with_policy(statements)
    };
    let to_all = statement("Allow", r#""*""#, r#""s3:GetObject""#);
    let to_visitors = statement("Allow", r#"{"AWS":"visitors"}"#, r#""s3:GetObject""#);
    let visitor = user("visitors", Level::Full);
    for statements in [to_all.clone(), format!("{to_all},{to_visitors}")] {
        let facts = restricted(&statements);
        assert_eq!(reason(&facts, None, Op::GetObject), Reason::PublicAccessBlock);
        assert_eq!(reason(&facts, Some(&visitor), Op::GetObject), Reason::PublicAccessBlock);
        assert_eq!(reason(&facts, Some(&visitor), Op::PutObject), Reason::NoAllow);
        assert!(decide(&facts, Some(&user("research", Level::Read)), Op::GetObject).is_ok());
    }
    assert!(decide(&restricted(&to_visitors), Some(&visitor), Op::GetObject).is_ok());
}

#[test]
fn a_grant_gives_objects_and_their_list_and_nothing_of_the_bucket_itself() {
    let read = [
        Op::GetObject,
        Op::HeadObject,
        Op::ListObjectsV2,
        Op::HeadBucket,
        Op::GetObjectTagging,
        Op::GetBucketLocation,
    ];
    let write =
        [Op::PutObject, Op::DeleteObject, Op::UploadPart, Op::AbortMultipartUpload, Op::PutObjectTagging];
    let neither = [
        Op::GetBucketPolicy,
        Op::GetBucketAcl,
        Op::PutBucketPolicy,
        Op::PutBucketAcl,
        Op::DeleteBucket,
        Op::GetObjectAcl,
        Op::PutObjectAcl,
        Op::PutObjectRetention,
    ];
    for (access, reads, writes) in
        [(Access::Read, true, false), (Access::Write, false, true), (Access::ReadWrite, true, true)]
    {
        let caller = granted(Level::Full, grant(access));
        let is_given = |operation| decide_on(&bucket(), &object(), Some(&caller), operation).is_ok();
        assert_eq!(read.map(is_given), [reads; 6], "{access:?}");
        assert_eq!(write.map(is_given), [writes; 5], "{access:?}");
        assert_eq!(neither.map(is_given), [false; 8], "{access:?}");
    }
}

/// Deleted and made again under its name, by whomever, a bucket is another one.
#[test]
fn a_grant_is_of_one_bucket() {
    let good = grant(Access::ReadWrite);
    for wrong in [
        BucketGrant { incarnation: id(9), ..good.clone() },
        BucketGrant { bucket: "model".into(), ..good.clone() },
        BucketGrant { bucket: "models2".into(), ..good.clone() },
    ] {
        let caller = granted(Level::Full, wrong);
        assert_eq!(reason(&bucket(), Some(&caller), Op::GetObject), Reason::NoAllow);
    }
    assert!(decide(&bucket(), Some(&granted(Level::Full, good)), Op::GetObject).is_ok());
}

/// In a bucket of one's own account a grant says what one may do there at most.
#[test]
fn a_grant_narrows_in_a_bucket_of_the_same_account() {
    let narrowed = |access| User { grants: vec![grant(access)], ..user("research", Level::Full) };
    let reader = narrowed(Access::Read);
    assert!(decide(&bucket(), Some(&reader), Op::GetObject).is_ok());
    for operation in [Op::PutObject, Op::PutBucketPolicy, Op::DeleteBucket] {
        assert_eq!(
            reason(&bucket(), Some(&reader), operation),
            Reason::NarrowedByGrant(Access::Read),
            "{operation}"
        );
    }
    let writer = narrowed(Access::Write);
    assert!(decide(&bucket(), Some(&writer), Op::PutObject).is_ok());
    assert_eq!(reason(&bucket(), Some(&writer), Op::GetObject), Reason::NarrowedByGrant(Access::Write));
    // Made again under its name, the bucket is narrowed as the one before it was.
    let before = BucketGrant { incarnation: id(9), ..grant(Access::Read) };
    let caller = User { grants: vec![before], ..user("research", Level::Full) };
    assert!(decide(&bucket(), Some(&caller), Op::GetObject).is_ok());
    assert_eq!(reason(&bucket(), Some(&caller), Op::PutObject), Reason::NarrowedByGrant(Access::Read));
    // A grant elsewhere narrows nothing here.
    for elsewhere in [
        BucketGrant { region: "las1".into(), ..grant(Access::Read) },
        BucketGrant { bucket: "models2".into(), ..grant(Access::Read) },
    ] {
        let caller = User { grants: vec![elsewhere], ..user("research", Level::Full) };
        assert!(decide(&bucket(), Some(&caller), Op::DeleteBucket).is_ok());
    }
}

/// Who writes without reading publishes nothing that is there, or they would read it without their key; what they make
/// is theirs to publish.
#[test]
fn who_only_writes_publishes_only_what_they_make() {
    let public: &[_] = &[("x-amz-acl", "public-read")];
    let own = |level| user("research", level);
    let narrowed = |access| User { grants: vec![grant(access)], ..own(Level::Full) };
    let head = object();
    for version in [None, Some("null")] {
        let facts = bucket();
        let there = Question { facts: &facts, head: Some(&head), headers: public, version };
        let published = |caller: &User| there.decide(Some(caller), Op::PutObjectAcl).map_err(|d| d.reason);
        for level in [Level::Read, Level::Write] {
            assert_eq!(published(&own(level)), Err(Reason::Level(level)), "{version:?}");
        }
        for access in [Access::Read, Access::Write] {
            assert_eq!(published(&narrowed(access)), Err(Reason::NarrowedByGrant(access)), "{version:?}");
        }
        for caller in [own(Level::ReadWrite), own(Level::Full), narrowed(Access::ReadWrite)] {
            assert_eq!(published(&caller).as_deref(), Ok("BucketOwner"), "{version:?}");
        }
    }
    // Nor what they wrote when they could still read, nor where a list or policy of another account gives it.
    let facts = with_policy(&statement("Allow", r#""*""#, r#""s3:PutObjectAcl""#));
    let writer = user("writers", Level::Write);
    let given = Head { acl: Some(acl("research", Grantee::AllUsers, Permission::WriteAcp)), ..object() };
    for head in [object_of("writers"), given] {
        let decided = decide_on(&facts, &head, Some(&writer), Op::PutObjectAcl);
        assert_eq!(decided, Err(Reason::Level(Level::Write)));
    }
    let facts = bucket();
    let made = Question { headers: public, head: Some(&head), ..Question::of(&facts) };
    for operation in [Op::PutObject, Op::CreateMultipartUpload, Op::CopyObject] {
        for caller in [own(Level::Write), narrowed(Access::Write)] {
            assert_eq!(made.decide(Some(&caller), operation).as_deref(), Ok("BucketOwner"), "{operation}");
        }
    }
}

/// A grant is the bucket owner's to give: it does not open what a third account has put there.
#[test]
fn a_grant_gives_nothing_of_other_accounts_objects() {
    let caller = granted(Level::Full, grant(Access::ReadWrite));
    assert_eq!(
        decide_on(&bucket(), &object_of("writers"), Some(&caller), Op::GetObject),
        Err(Reason::NoAllow)
    );
    assert!(decide_on(&bucket(), &object_of("writers"), Some(&caller), Op::DeleteObject).is_ok());
}

/// Whoever may put an object owns it, and needs nobody's word to say who else may have it; tags are the bucket's.
#[test]
fn a_new_objects_list_is_its_writers() {
    let facts = with_policy(&statement("Allow", r#""*""#, r#""s3:PutObject""#));
    let visitor = user("visitors", Level::Full);
    fn with<'a>(facts: &'a Facts, headers: &'a [(&'static str, &'static str)]) -> Question<'a> {
        Question { headers, ..Question::of(facts) }
    }
    let acl = &[("x-amz-acl", "bucket-owner-full-control")];
    assert!(with(&facts, acl).decide(Some(&visitor), Op::PutObject).is_ok());
    // The head is that of the object which is replaced: it says nothing of the new one.
    let replaced = object_of("writers");
    let over = Question { headers: acl, head: Some(&replaced), ..Question::of(&facts) };
    assert!(over.decide(Some(&visitor), Op::PutObject).is_ok());
    // Nobody owns nothing: an anonymous caller has what everybody is given.
    assert_eq!(with(&facts, acl).decide(None, Op::PutObject).expect_err("denied").reason, Reason::NoAllow);
    let both = with_policy(&statement("Allow", r#""*""#, r#""s3:PutObject","s3:PutObjectAcl""#));
    assert!(with(&both, acl).decide(None, Op::PutObject).is_ok());
    let denying = format!(
        "{},{}",
        statement("Allow", r#""*""#, r#""s3:PutObject""#),
        statement("Deny", r#""*""#, r#""s3:PutObjectAcl""#)
    );
    let denying = with_policy(&denying);
    assert!(with(&denying, acl).decide(Some(&visitor), Op::PutObject).is_err());
    assert!(with(&denying, &[]).decide(Some(&visitor), Op::PutObject).is_ok());
    let tags = &[("x-amz-tagging", "a=b")];
    assert_eq!(
        with(&facts, tags).decide(Some(&visitor), Op::PutObject).expect_err("denied").reason,
        Reason::NoAllow
    );
    // The right to put alone: without it the list helps nothing.
    assert!(with(&bucket(), acl).decide(Some(&visitor), Op::PutObject).is_err());
    let enforced = Facts { ownership: Some(ObjectOwnership::BucketOwnerEnforced), ..facts.clone() };
    assert!(with(&enforced, acl).decide(Some(&visitor), Op::PutObject).is_err());
}

/// Tags that come along with a copy are put on it as others are, whatever a header says that is ignored.
#[test]
fn a_copy_with_tags_needs_to_put_them_and_is_known_by_them() {
    fn copy(facts: &Facts, headers: &[(&'static str, &'static str)], tags: &[&str]) -> Result<(), Reason> {
        let named = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers: HeaderMap = headers.iter().map(named).collect();
        let tags: Vec<_> = tags.iter().map(|value| ("class".to_owned(), (*value).to_owned())).collect();
        let query = Query::default();
        let now = OffsetDateTime::UNIX_EPOCH;
        let request = RequestContext {
            region: REGION,
            query: &query,
            headers: &headers,
            client: Client::default(),
            now,
        };
        let visitor = user("visitors", Level::Full);
        let asking = Asking { caller: Some(&visitor), operation: Op::CopyObject, request };
        let on = On { request_tags: Some(&tags), ..On::bucket(BUCKET, facts).object(KEY, None, None) };
        asking.decide(Role::Target, &on).map(|_| ()).map_err(|denied| denied.reason)
    }
    let pretended: &[_] = &[("x-amz-tagging", "class=public")];
    let puts = with_policy(&statement("Allow", r#""*""#, r#""s3:PutObject""#));
    assert_eq!(copy(&puts, &[], &[]), Ok(()));
    assert_eq!(copy(&puts, pretended, &[]), Ok(()));
    assert_eq!(copy(&puts, &[], &["public"]), Err(Reason::NoAllow));
    let tags_too = with_policy(&statement("Allow", r#""*""#, r#""s3:PutObject","s3:PutObjectTagging""#));
    assert_eq!(copy(&tags_too, &[], &["secret"]), Ok(()));
    let public_only = with_policy(
        r#"{"Effect":"Allow","Principal":"*","Action":["s3:PutObject","s3:PutObjectTagging"],
            "Resource":"arn:aws:s3:::models/*",
            "Condition":{"StringEquals":{"s3:RequestObjectTag/class":"public"}}}"#,
    );
    assert_eq!(copy(&public_only, &[], &["public"]), Ok(()));
    for tags in [&[][..], &["secret"]] {
        assert_eq!(copy(&public_only, pretended, tags), Err(Reason::NoAllow), "{tags:?}");
    }
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

#[test]
fn tags_of_the_object_that_is_there_decide_where_a_policy_asks_for_them() {
    let facts = with_policy(
        r#"{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:GetObjectTagging"],
            "Resource":"arn:aws:s3:::models/*",
            "Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"public"}}}"#,
    );
    let tagged = |key: &str, value: &str| {
        let mut head = object();
        head.tags.insert(key.into(), value.into());
        head
    };
    for operation in [Op::GetObject, Op::GetObjectTagging] {
        assert!(decide_on(&facts, &tagged("class", "public"), None, operation).is_ok());
        for head in [object(), tagged("class", "Public"), tagged("class2", "public")] {
            assert_eq!(decide_on(&facts, &head, None, operation), Err(Reason::NoAllow));
        }
    }
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

/// Whoever began an upload sees it and gives it up within their level, unless the policy denies it; nobody else by that.
#[test]
fn an_upload_is_its_initiators_to_see_and_to_give_up() {
    let of_upload = |facts: &Facts, initiator: Option<&str>, caller: Option<&User>, operation| {
        let on = On { initiator, ..On::bucket(BUCKET, facts).object(KEY, None, None) };
        let (query, headers, now) = (Query::default(), HeaderMap::new(), OffsetDateTime::UNIX_EPOCH);
        let client = Client::default();
        let request = RequestContext { region: REGION, query: &query, headers: &headers, client, now };
        let decided = Asking { caller, operation, request }.decide(Role::Target, &on);
        decided.map(|because| format!("{because:?}")).map_err(|denied| denied.reason)
    };
    let (bob, id) = (user("visitors", Level::Full), canonical_id("visitors"));
    for operation in [Op::ListParts, Op::AbortMultipartUpload] {
        let given = of_upload(&bucket(), Some(&id), Some(&bob), operation);
        assert_eq!(given, Ok("Initiator".to_owned()), "{operation}");
        for (initiator, caller) in [
            (None, Some(&bob)),
            (Some(canonical_id("others").as_str()), Some(&bob)),
            (Some(""), None),
            (Some(id.as_str()), None),
        ] {
            assert_eq!(of_upload(&bucket(), initiator, caller, operation), Err(Reason::NoAllow));
        }
        let denied = with_policy(&statement("Deny", r#""*""#, r#""s3:*""#));
        let refused = of_upload(&denied, Some(&id), Some(&bob), operation);
        assert!(matches!(refused, Err(Reason::ExplicitDeny(_))), "{operation}");
    }
    for operation in [Op::UploadPart, Op::CompleteMultipartUpload, Op::GetObject, Op::PutObject] {
        assert_eq!(of_upload(&bucket(), Some(&id), Some(&bob), operation), Err(Reason::NoAllow));
    }
    let reader = user("visitors", Level::Read);
    let refused = of_upload(&bucket(), Some(&id), Some(&reader), Op::AbortMultipartUpload);
    assert_eq!(refused, Err(Reason::Level(Level::Read)));
}

/// How many tags an object has is told to whoever may read them.
#[test]
fn tags_are_shown_to_whom_they_are_given() {
    let head = object();
    let shows = |facts: &Facts, caller: Option<&User>, version: Option<&str>| {
        let on = On::bucket(BUCKET, facts).object(KEY, version, Some(&head));
        let (query, headers, now) = (Query::default(), HeaderMap::new(), OffsetDateTime::UNIX_EPOCH);
        let client = Client::default();
        let request = RequestContext { region: REGION, query: &query, headers: &headers, client, now };
        Asking { caller, operation: Op::GetObject, request }.may_read_tags(&on)
    };
    let public = |actions: &str| with_policy(&statement("Allow", r#""*""#, actions));
    for (actions, plain, of_version) in [
        (r#""s3:GetObject""#, false, false),
        (r#""s3:GetObject","s3:GetObjectTagging""#, true, false),
        (r#""s3:GetObject","s3:GetObjectVersionTagging""#, false, true),
    ] {
        let facts = public(actions);
        assert_eq!((shows(&facts, None, None), shows(&facts, None, Some("null"))), (plain, of_version));
    }
    assert!(shows(&bucket(), Some(&user("research", Level::Read)), None));
    assert!(!shows(&bucket(), Some(&user("research", Level::Write)), None));
}

/// A policy of a later release closes its bucket to everybody, but for who may put another in its place.
#[test]
fn a_policy_that_is_not_understood_closes_its_bucket() {
    let unreadable =
        serde_json::from_str(r#""{\"Version\":\"2032-10-17\"}""#).expect("a policy is kept as text");
    let facts = Facts { policy: Some(unreadable), ..bucket() };
    let (full, visitor) = (user("research", Level::Full), granted(Level::Full, grant(Access::ReadWrite)));
    for caller in [Some(&full), Some(&visitor), None] {
        for operation in [Op::GetObject, Op::PutObject, Op::ListObjectsV2, Op::DeleteBucket] {
            assert_eq!(reason(&facts, caller, operation), Reason::UnreadablePolicy, "{operation}");
        }
        assert_eq!(Question::of(&facts).missing(caller, Op::GetObject), "AccessDenied");
    }
    for operation in [Op::GetBucketPolicy, Op::PutBucketPolicy, Op::DeleteBucketPolicy] {
        assert!(decide(&facts, Some(&full), operation).is_ok(), "{operation}");
        assert_eq!(reason(&facts, Some(&visitor), operation), Reason::UnreadablePolicy, "{operation}");
        let both = user("research", Level::ReadWrite);
        assert_eq!(reason(&facts, Some(&both), operation), Reason::UnreadablePolicy, "{operation}");
    }
}
