//! Lists as tables: what is given to whom, and to whom it is not.

use super::*;
use crate::head::{Facts, Head, ObjectOwnership, PublicAccessBlock};
use crate::instance::Instance;

fn account(name: &str) -> Owner {
    Owner { id: format!("{name}-id"), display_name: name.to_owned() }
}

fn granting(grantee: Grantee, permission: Permission) -> Acl {
    Acl { owner: account("anne"), grants: vec![Grant { grantee, permission }] }
}

fn given(acl: &Acl, asker: Option<&str>) -> Vec<&'static str> {
    let given = Permission::ALL.into_iter().filter(|(permission, _)| acl.gives(asker, *permission));
    given.map(|(_, spelling)| spelling).collect()
}

#[test]
fn each_grantee_is_whom_it_names() {
    let bob = || Grantee::Canonical(account("bob"));
    for (grantee, asker, is_meant) in [
        (bob(), Some("bob-id"), true),
        (bob(), Some("bob"), false),
        (bob(), Some("Bob-id"), false),
        (bob(), Some("bob-id2"), false),
        (bob(), Some(""), false),
        (bob(), None, false),
        (Grantee::AllUsers, Some("carl-id"), true),
        (Grantee::AllUsers, None, true),
        (Grantee::AuthenticatedUsers, Some("carl-id"), true),
        (Grantee::AuthenticatedUsers, None, false),
        (Grantee::LogDelivery, Some("carl-id"), false),
        (Grantee::LogDelivery, None, false),
    ] {
        let acl = granting(grantee, Permission::Read);
        assert_eq!(acl.gives(asker, Permission::Read), is_meant, "{:?} {asker:?}", acl.grants);
    }
}

#[test]
fn a_permission_is_itself_and_full_control_is_all() {
    for (permission, spelling) in Permission::ALL {
        let given = given(&granting(Grantee::AllUsers, permission), None);
        match permission {
            Permission::FullControl => assert_eq!(given, Permission::ALL.map(|(_, spelling)| spelling)),
            _ => assert_eq!(given, [spelling]),
        }
        assert_eq!(Permission::parse(spelling), Some(permission));
        assert_eq!(permission.as_str(), spelling);
        assert_eq!(Permission::parse(&spelling.to_lowercase()), None);
    }
}

#[test]
fn an_owner_who_gave_everything_away_still_rules_the_list() {
    let nothing = Acl { owner: account("anne"), grants: Vec::new() };
    assert_eq!(given(&nothing, Some("anne-id")), ["READ_ACP", "WRITE_ACP"]);
    assert_eq!(given(&nothing, Some("bob-id")), [""; 0]);
    assert_eq!(given(&nothing, None), [""; 0]);
}

#[test]
fn canned_lists_give_what_s3_says() {
    const ALL: [&str; 5] = ["FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"];
    // To the bucket's owner, to somebody with a key, to nobody in particular.
    for (spelling, bucket_owner, somebody, anonymous) in [
        ("private", &[][..], &[][..], &[][..]),
        ("public-read", &["READ"], &["READ"], &["READ"]),
        ("public-read-write", &["READ", "WRITE"], &["READ", "WRITE"], &["READ", "WRITE"]),
        ("authenticated-read", &["READ"], &["READ"], &[]),
        ("bucket-owner-read", &["READ"], &[], &[]),
        ("bucket-owner-full-control", &ALL, &[], &[]),
        ("log-delivery-write", &[], &[], &[]),
    ] {
        let acl = Canned::parse(spelling).unwrap().acl(account("anne"), &account("bob"));
        assert_eq!(given(&acl, Some("anne-id")), ALL, "{spelling}");
        assert_eq!(given(&acl, Some("bob-id")), bucket_owner, "{spelling}");
        assert_eq!(given(&acl, Some("carl-id")), somebody, "{spelling}");
        assert_eq!(given(&acl, None), anonymous, "{spelling}");
        assert_eq!(acl.is_public(), !somebody.is_empty(), "{spelling}");
    }
    for neighbour in ["", "Private", "public-write", "aws-exec-read", "private "] {
        assert_eq!(Canned::parse(neighbour), None, "{neighbour}");
    }
}

#[test]
fn the_bucket_s_owner_is_not_named_twice_on_an_own_object() {
    for canned in [Canned::BucketOwnerRead, Canned::BucketOwnerFullControl] {
        assert_eq!(canned.acl(account("anne"), &account("anne")), Acl::private(account("anne")));
    }
}

#[test]
fn groups_are_known_by_their_uris() {
    for group in [Grantee::AllUsers, Grantee::AuthenticatedUsers, Grantee::LogDelivery] {
        assert_eq!(Grantee::group(group.uri().unwrap()), Some(group));
    }
    assert_eq!(Grantee::group("http://acs.amazonaws.com/groups/global/allusers"), None);
    assert_eq!(Grantee::Canonical(account("anne")).uri(), None);
}

fn bucket(ownership: ObjectOwnership, ignore_public_acls: bool) -> Facts {
    let id = Instance::from_bytes([1; 16]);
    let blocks = PublicAccessBlock { ignore_public_acls, ..PublicAccessBlock::default() };
    Facts {
        ownership: Some(ownership),
        public_access_block: Some(blocks),
        acl: Some(Canned::PublicReadWrite.acl(account("anne"), &account("anne"))),
        ..Facts::new(id, id, "anne", account("anne"))
    }
}

fn object(acl: Option<Acl>) -> Head {
    let id = Instance::from_bytes([2; 16]);
    Head { owner: Some(account("bob")), acl, ..Head::new(id, id) }
}

#[test]
fn a_bucket_that_enforces_its_owner_knows_no_lists() {
    let public = object(Some(Canned::PublicRead.acl(account("bob"), &account("anne"))));
    let enforced = bucket(ObjectOwnership::BucketOwnerEnforced, false);
    for asker in [None, Some("bob-id"), Some("carl-id")] {
        assert!(!enforced.acl_gives(asker, Permission::Read), "{asker:?}");
        assert!(!enforced.object_acl_gives(&public, asker, Permission::Read), "{asker:?}");
    }
    assert_eq!(enforced.object_owner(&public), account("anne"));
    assert_eq!(enforced.object_acl(&public), Acl::private(account("anne")));
    assert_eq!(enforced.acl(), Acl::private(account("anne")));
    for other in [ObjectOwnership::BucketOwnerPreferred, ObjectOwnership::ObjectWriter] {
        let bucket = bucket(other, false);
        assert!(bucket.acl_gives(None, Permission::Write));
        assert!(bucket.object_acl_gives(&public, None, Permission::Read));
        assert_eq!(bucket.object_owner(&public), account("bob"));
    }
}

#[test]
fn ignored_public_lists_keep_what_they_give_by_name() {
    let mut acl = Canned::PublicRead.acl(account("bob"), &account("anne"));
    acl.grants.push(Grant { grantee: Grantee::Canonical(account("carl")), permission: Permission::Read });
    let object = object(Some(acl));
    for (ignored, anonymous, stranger) in [(false, true, true), (true, false, false)] {
        let bucket = bucket(ObjectOwnership::ObjectWriter, ignored);
        assert_eq!(bucket.object_acl_gives(&object, None, Permission::Read), anonymous);
        assert_eq!(bucket.object_acl_gives(&object, Some("dora-id"), Permission::Read), stranger);
        assert!(bucket.object_acl_gives(&object, Some("carl-id"), Permission::Read));
        assert!(!bucket.object_acl_gives(&object, Some("carl-id"), Permission::WriteAcp));
        assert_eq!(bucket.acl_gives(None, Permission::Write), anonymous);
    }
}

#[test]
fn an_object_of_an_earlier_release_is_the_bucket_owner_s_and_private() {
    let id = Instance::from_bytes([2; 16]);
    let bucket = bucket(ObjectOwnership::ObjectWriter, false);
    let head = Head::new(id, id);
    assert_eq!(bucket.object_acl(&head), Acl::private(account("anne")));
    assert!(!bucket.object_acl_gives(&head, None, Permission::Read));
}
