//! What a user's grants give in others' buckets and leave in one's own.

use super::*;

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
