//! The table, walked from end to end, and the rows that depend on the request.

use http::{HeaderName, HeaderValue};
use origin::instance::Instance;
use origin::policy::AppliesTo;

use super::*;

fn headers(names: &[&'static str]) -> HeaderMap {
    names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("REPLACE"))).collect()
}

/// The actions of a request, those on its source after the others.
fn actions(operation: Operation, version: Option<&str>, names: &[&'static str]) -> Vec<&'static str> {
    let headers = headers(names);
    let needed = Rule::of(operation).all().iter().filter(|needed| needed.is_needed(&headers, version, None));
    needed.map(|needed| needed.action.as_str()).collect()
}

/// The plainest request for any operation needs something on what it names, but for the four that are known.
#[test]
fn every_operation_needs_something() {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for &operation in Operation::ALL {
        match Rule::of(operation) {
            Rule::Open => open.push(operation),
            Rule::Closed => closed.push(operation),
            Rule::Needs(all) => {
                let plain = HeaderMap::new();
                for version in [None, Some("null")] {
                    let is_about_target = |needed: &&Needed| {
                        needed.is_in(Role::Target) && needed.is_needed(&plain, version, None)
                    };
                    assert!(all.iter().any(|needed| is_about_target(&needed)), "{operation} {version:?}");
                }
            }
        }
    }
    assert_eq!(open, [Operation::PreflightRequest]);
    assert_eq!(
        closed,
        [Operation::CreateSession, Operation::ListDirectoryBuckets, Operation::WriteGetObjectResponse]
    );
}

#[test]
fn copies_and_renames_alone_need_something_on_a_source() {
    let copies = |operation: &&Operation| Rule::of(**operation).all().iter().any(|n| n.is_in(Role::Source));
    let found: Vec<_> = Operation::ALL.iter().filter(copies).collect();
    use Operation::{CopyObject, RenameObject, UploadPartCopy};
    assert_eq!(found, [&CopyObject, &RenameObject, &UploadPartCopy]);
}

/// S3's own reference says what each action applies to, and by its name whether it reads; the levels follow from both.
#[test]
fn every_row_is_about_what_its_action_applies_to_and_reaches_as_far_as_its_name_says() {
    for &operation in Operation::ALL {
        for needed in Rule::of(operation).all() {
            let place = format!("{} of {operation}", needed.action);
            let applies = match needed.about {
                About::Object | About::Source => AppliesTo::Object,
                About::Bucket => AppliesTo::Bucket,
                // A bucket that is to be made stands in no bucket yet.
                About::Service if operation == Operation::CreateBucket => AppliesTo::Bucket,
                About::Service => AppliesTo::Service,
            };
            assert_eq!(needed.action.applies_to(), applies, "{place}");
            let name = needed.action.as_str().trim_start_matches("s3:");
            let publishes = matches!(name, "PutObjectAcl" | "PutObjectVersionAcl");
            let reach = match (name.starts_with("Get") || name.starts_with("List"), needed.about) {
                (true, _) => Reach::Read,
                (false, About::Object) if publishes && !needed.is_of_new_object() => Reach::ReadWrite,
                (false, About::Object | About::Source) => Reach::Write,
                (false, About::Bucket | About::Service) => Reach::Full,
            };
            assert_eq!(needed.reach, reach, "{place}");
        }
    }
}

#[test]
fn a_version_has_actions_of_its_own_where_it_is_named() {
    use Operation as Op;
    for (operation, plain, versioned) in [
        (Op::GetObject, "s3:GetObject", "s3:GetObjectVersion"),
        (Op::HeadObject, "s3:GetObject", "s3:GetObjectVersion"),
        (Op::DeleteObject, "s3:DeleteObject", "s3:DeleteObjectVersion"),
        (Op::DeleteObjects, "s3:DeleteObject", "s3:DeleteObjectVersion"),
        (Op::GetObjectAcl, "s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
        (Op::PutObjectAcl, "s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
        (Op::GetObjectTagging, "s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
        (Op::PutObjectTagging, "s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
        (Op::DeleteObjectTagging, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
    ] {
        assert_eq!(actions(operation, None, &[]), [plain], "{operation}");
        for version in ["null", "", "3HL4kqtJlcpXroDTDmJ"] {
            assert_eq!(actions(operation, Some(version), &[]), [versioned], "{operation} {version:?}");
        }
    }
    assert_eq!(actions(Op::GetObjectAttributes, None, &[]), ["s3:GetObject", "s3:GetObjectAttributes"]);
    assert_eq!(
        actions(Op::GetObjectAttributes, Some("null"), &[]),
        ["s3:GetObjectVersion", "s3:GetObjectVersionAttributes"]
    );
}

#[test]
fn what_a_new_object_is_given_needs_its_own_action() {
    use Operation as Op;
    let cases: [(&[&str], &[&str]); 12] = [
        (&[], &[]),
        (&["x-amz-acl"], &["s3:PutObjectAcl"]),
        (&["x-amz-grant-read"], &["s3:PutObjectAcl"]),
        (&["x-amz-grant-write"], &["s3:PutObjectAcl"]),
        (&["x-amz-grant-read-acp", "x-amz-grant-full-control"], &["s3:PutObjectAcl"]),
        (&["x-amz-grant-write-acp"], &["s3:PutObjectAcl"]),
        (&["x-amz-tagging"], &["s3:PutObjectTagging"]),
        (&["x-amz-acl", "x-amz-tagging"], &["s3:PutObjectAcl", "s3:PutObjectTagging"]),
        (&["x-amz-object-lock-mode"], &["s3:PutObjectRetention"]),
        (&["x-amz-object-lock-legal-hold"], &["s3:PutObjectLegalHold"]),
        // The nearest neighbours, which give nothing.
        (&["x-amz-tagging-directive", "x-amz-tagging-count"], &[]),
        (&["x-amz-meta-acl", "x-amz-storage-class"], &[]),
    ];
    for (sent, more) in cases {
        let sent: Vec<&'static str> = sent.to_vec();
        let needed = [&["s3:PutObject"], more].concat();
        assert_eq!(actions(Op::PutObject, None, &sent), needed, "{sent:?}");
        assert_eq!(actions(Op::CreateMultipartUpload, None, &sent), needed, "{sent:?}");
        // A copy has its source's tags unless it is to have others.
        let sent_with_directive = [&sent[..], &["x-amz-tagging-directive"]].concat();
        assert_eq!(
            actions(Op::CopyObject, None, &sent_with_directive),
            [&needed[..], &["s3:GetObject"]].concat(),
            "{sent:?}"
        );
        let without_tags = needed.iter().copied().filter(|action| *action != "s3:PutObjectTagging");
        let without_tags: Vec<_> = without_tags.chain(["s3:GetObject"]).collect();
        assert_eq!(actions(Op::CopyObject, None, &sent), without_tags, "{sent:?}");
        // Said once, as the upload begins.
        assert_eq!(actions(Op::UploadPart, None, &sent), ["s3:PutObject"], "{sent:?}");
        assert_eq!(actions(Op::CompleteMultipartUpload, None, &sent), ["s3:PutObject"], "{sent:?}");
    }
}

#[test]
fn a_lock_is_got_past_by_whoever_may() {
    use Operation as Op;
    let bypass = ["x-amz-bypass-governance-retention"];
    for (operation, first) in [
        (Op::DeleteObject, "s3:DeleteObject"),
        (Op::DeleteObjects, "s3:DeleteObject"),
        (Op::PutObjectRetention, "s3:PutObjectRetention"),
    ] {
        assert_eq!(actions(operation, None, &bypass), [first, "s3:BypassGovernanceRetention"], "{operation}");
        assert_eq!(actions(operation, None, &[]), [first], "{operation}");
    }
}

#[test]
fn a_bucket_with_more_than_a_name_needs_more() {
    let create = |names: &[&'static str]| actions(Operation::CreateBucket, None, names);
    assert_eq!(create(&[]), ["s3:CreateBucket"]);
    assert_eq!(create(&["x-amz-acl"]), ["s3:CreateBucket", "s3:PutBucketAcl"]);
    assert_eq!(create(&["x-amz-object-ownership"]), ["s3:CreateBucket", "s3:PutBucketOwnershipControls"]);
    assert_eq!(
        create(&["x-amz-bucket-object-lock-enabled"]),
        ["s3:CreateBucket", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
    );
}

#[test]
fn what_is_renamed_is_read_and_removed() {
    let renaming = |names: &[&'static str]| actions(Operation::RenameObject, None, names);
    assert_eq!(renaming(&[]), ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]);
    for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
        assert_eq!(renaming(&[name])[..2], ["s3:PutObject", "s3:GetObject"], "{name}");
        assert_eq!(renaming(&[name]).len(), 4, "{name}");
    }
}

/// Who may read an object but not its tags does not get them by copying it.
#[test]
fn copying_tags_along_needs_reading_them() {
    let id = Instance::from_bytes([1; 16]);
    let bare = Head::new(id, id);
    let mut tagged = Head::new(id, id);
    tagged.tags.insert("secret".into(), "yes".into());
    let on_source = |version: Option<&str>, directive: Option<&'static str>, head: &Head| {
        let mut headers = HeaderMap::new();
        if let Some(directive) = directive {
            headers.insert("x-amz-tagging-directive", HeaderValue::from_static(directive));
        }
        let all = Rule::of(Operation::CopyObject).all().iter();
        let needed = all.filter(|needed| needed.is_in(Role::Source));
        let needed = needed.filter(|needed| needed.is_needed(&headers, version, Some(head)));
        needed.map(|needed| needed.action.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(on_source(None, None, &bare), ["s3:GetObject"]);
    assert_eq!(on_source(None, Some("REPLACE"), &tagged), ["s3:GetObject"]);
    for directive in [None, Some("COPY"), Some("replace")] {
        assert_eq!(on_source(None, directive, &tagged), ["s3:GetObject", "s3:GetObjectTagging"]);
        assert_eq!(
            on_source(Some("null"), directive, &tagged),
            ["s3:GetObjectVersion", "s3:GetObjectVersionTagging"]
        );
    }
}

#[test]
fn levels_are_ceilings() {
    let within = |reach: Reach| {
        [Level::Read, Level::Write, Level::ReadWrite, Level::Full].map(|level| reach.is_within(level))
    };
    assert_eq!(within(Reach::Read), [true, false, true, true]);
    assert_eq!(within(Reach::Write), [false, true, true, true]);
    assert_eq!(within(Reach::ReadWrite), [false, false, true, true]);
    assert_eq!(within(Reach::Full), [false, false, false, true]);
    let granted =
        |reach: Reach| [Access::Read, Access::Write, Access::ReadWrite].map(|a| reach.is_granted_by(a));
    assert_eq!(granted(Reach::Read), [true, false, true]);
    assert_eq!(granted(Reach::Write), [false, true, true]);
    assert_eq!(granted(Reach::ReadWrite), [false, false, true]);
    assert_eq!(granted(Reach::Full), [false, false, false]);
}

/// Who may write and not read would learn entity tags by guessing them.
#[test]
fn comparing_an_entity_tag_needs_reading() {
    use Operation as Op;
    let needs = |operation: Operation, name: &'static str, value: &'static str| {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        let of_target = Rule::of(operation).all().iter().filter(|needed| needed.is_in(Role::Target));
        let mut needed = of_target.filter(|needed| needed.is_needed(&headers, None, None));
        needed.any(|needed| needed.action.as_str() == "s3:GetObject")
    };
    for operation in
        [Op::PutObject, Op::CopyObject, Op::CompleteMultipartUpload, Op::DeleteObject, Op::DeleteObjects]
    {
        for name in ["if-match", "if-none-match"] {
            for tag in ["\"abc\"", "abc", "W/\"abc\""] {
                assert!(needs(operation, name, tag), "{operation} {name} {tag}");
            }
            // Whether there is anything takes no more than writing, in S3 too.
            for tag in ["*", " * ", ""] {
                assert!(!needs(operation, name, tag), "{operation} {name} {tag}");
            }
        }
        assert!(
            !needs(operation, "if-range", "abc") && !needs(operation, "x-amz-copy-source-if-match", "abc")
        );
    }
    assert!(!needs(Op::UploadPart, "if-match", "abc"));
    // Each of these is a condition of some operations, and of others nothing at all.
    let (deletes, renames) = ([Op::DeleteObject, Op::DeleteObjects], [Op::RenameObject]);
    for operation in
        [Op::PutObject, Op::CopyObject, Op::CompleteMultipartUpload].into_iter().chain(deletes).chain(renames)
    {
        for (name, is_a_condition) in [
            ("x-amz-if-match-size", deletes.contains(&operation)),
            ("x-amz-if-match-last-modified-time", deletes.contains(&operation)),
            ("if-modified-since", renames.contains(&operation)),
            ("if-unmodified-since", renames.contains(&operation)),
        ] {
            assert_eq!(needs(operation, name, "7"), is_a_condition, "{operation} {name}");
        }
    }
}
