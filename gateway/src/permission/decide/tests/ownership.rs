//! What one's own account has, of buckets, objects and uploads, and what others have not.

use super::*;

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
