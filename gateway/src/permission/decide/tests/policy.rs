//! What a policy gives and takes, and where it is not asked.

use super::*;

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
