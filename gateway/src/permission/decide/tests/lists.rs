//! What access control lists give, and what sets them aside.

use super::*;

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
        Op::RenameObject,
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

/// Who writes by the bucket's list says who else may have what they write, and tags it unless tags are what a policy goes
/// by. They say nothing of a lock, nor of the list and the tags of what is there.
#[test]
fn what_the_buckets_list_lets_write_may_have_a_list_and_tags() {
    let open = with_acl(Grantee::AllUsers, Permission::Write);
    let by_tags = r#"{"Effect":"Deny","Principal":{"AWS":"nobody"},"Action":"s3:GetObject",
        "Resource":"arn:aws:s3:::models/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"b"}}}"#;
    let by_tags = Facts { policy: with_policy(by_tags).policy, ..open.clone() };
    let tags: &[_] = &[("x-amz-tagging", "a=b")];
    let acl: &[_] = &[("x-amz-acl", "public-read")];
    let lock: &[_] = &[("x-amz-object-lock-legal-hold", "ON")];
    let readable = with_acl(Grantee::AllUsers, Permission::Read);
    for caller in [None, Some(user("strangers", Level::Full))] {
        for (facts, headers, operation, is_given) in [
            (&open, acl, Op::PutObject, true),
            (&open, acl, Op::PostObject, true),
            (&open, tags, Op::PutObject, true),
            (&open, lock, Op::PutObject, false),
            (&by_tags, acl, Op::PutObject, true),
            (&by_tags, tags, Op::PutObject, false),
            (&open, acl, Op::PutObjectAcl, false),
            (&open, tags, Op::PutObjectTagging, false),
            (&readable, acl, Op::PutObject, false),
        ] {
            let decided = Question { headers, ..Question::of(facts) }.decide(caller.as_ref(), operation);
            assert_eq!(decided.is_ok(), is_given, "{headers:?} {operation}");
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
