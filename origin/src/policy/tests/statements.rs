//! Effect, principal, action and resource: whom and what a statement is about.

use super::*;

const OBJECT: &str = "arn:aws:s3:::photos/2026/cat.jpg";
const ROOT: &str = "arn:aws:s3:::photos";

/// A statement about GetObject by everybody, with `rest` in place of the named elements.
fn statement(effect: &str, principal: &str, action: &str, resource: &str) -> String {
    let key = |name: &str, text: &str| match text.strip_prefix('!') {
        Some(text) => format!(r#""Not{name}":{text}"#),
        None => format!(r#""{name}":{text}"#),
    };
    let (principal, action, resource) =
        (key("Principal", principal), key("Action", action), key("Resource", resource));
    format!(r#"{{"Effect":"{effect}",{principal},{action},{resource}}}"#)
}

fn is_allowed(policy: &Policy, principal: Principal<'_>, action: Action, resource: &str) -> bool {
    matches!(decides(policy, principal, action, resource), Verdict::Allow(_))
}

const ALL: &str = r#"["arn:aws:s3:::photos","arn:aws:s3:::photos/*"]"#;

/// An explicit deny counts wherever it stands; a deny about something else does not.
#[test]
fn a_deny_counts_before_any_allow() {
    let allow = statement("Allow", r#""*""#, r#""s3:*""#, ALL);
    let deny = statement("Deny", r#""*""#, r#""s3:DeleteObject""#, r#""arn:aws:s3:::photos/2026/*""#);
    for statements in [format!("{allow},{deny}"), format!("{deny},{allow}")] {
        let policy = policy(&statements);
        assert!(matches!(decides(&policy, ALICE, Action::DeleteObject, OBJECT), Verdict::Deny(_)));
        assert!(is_allowed(&policy, ALICE, Action::GetObject, OBJECT));
        assert!(is_allowed(&policy, ALICE, Action::DeleteObject, "arn:aws:s3:::photos/2025/cat.jpg"));
    }
    let policy = policy(&deny);
    assert_eq!(decides(&policy, ALICE, Action::GetObject, OBJECT), Verdict::Silent);
}

/// The first of two that both apply is named.
#[test]
fn the_first_statement_is_named() {
    let allow =
        statement("Allow", r#""*""#, r#""s3:GetObject""#, ALL.replace("photos\"", "photos*\"").as_str());
    let policy = policy(&format!("{allow},{allow}"));
    let Verdict::Allow(statement) = decides(&policy, ALICE, Action::GetObject, OBJECT) else { panic!() };
    assert_eq!(statement.index(), 0);
}

#[test]
fn whom_a_principal_names() {
    let bob = Principal::User { account: "sales", account_id: &"2".repeat(64), name: "bob" };
    let other_alice = Principal::User { account: "sales", account_id: &"2".repeat(64), name: "alice" };
    let research_user = Principal::User { account: "x", account_id: &"3".repeat(64), name: "research" };
    let id = RESEARCH_ID;
    for (principal, named, not_named) in [
        (r#""*""#.to_owned(), vec![Principal::Anonymous, ALICE, bob], vec![]),
        (r#"{"AWS":"*"}"#.into(), vec![Principal::Anonymous, ALICE, bob], vec![]),
        (r#"{"AWS":"research"}"#.into(), vec![ALICE], vec![Principal::Anonymous, bob, research_user]),
        (format!(r#"{{"AWS":"{id}"}}"#), vec![ALICE], vec![Principal::Anonymous, bob]),
        (format!(r#"{{"CanonicalUser":"{id}"}}"#), vec![ALICE], vec![Principal::Anonymous, bob]),
        (format!(r#"{{"CanonicalUser":["{id}"],"AWS":["sales"]}}"#), vec![ALICE, bob], vec![research_user]),
        (
            r#"{"AWS":"arn:aws:iam::research:root"}"#.into(),
            vec![ALICE],
            vec![bob, research_user, Principal::Anonymous],
        ),
        (format!(r#"{{"AWS":"arn:aws:iam::{id}:root"}}"#), vec![ALICE], vec![bob]),
        (
            r#"{"AWS":"arn:aws:iam::research:user/alice"}"#.into(),
            vec![ALICE],
            vec![other_alice, bob, Principal::Anonymous],
        ),
        (format!(r#"{{"AWS":["arn:aws:iam::{id}:user/alice"]}}"#), vec![ALICE], vec![other_alice]),
        (
            r#"{"AWS":"arn:aws:iam:::user/alice"}"#.into(),
            vec![ALICE],
            vec![other_alice, bob, Principal::Anonymous],
        ),
        (
            r#"{"AWS":"arn:aws:iam:::user/research"}"#.into(),
            vec![ALICE],
            vec![research_user, bob, other_alice],
        ),
        (format!(r#"{{"AWS":"arn:aws:iam:::user/{id}"}}"#), vec![ALICE], vec![bob]),
    ] {
        let allow = policy(&statement(
            "Allow",
            &principal,
            r#""s3:GetObject""#,
            ALL.split(',').nth(1).map(|s| format!("[{s}")).unwrap().as_str(),
        ));
        let deny = policy(&statement("Deny", &format!("!{principal}"), r#""s3:*""#, ALL));
        for (caller, is_named) in
            named.iter().map(|caller| (*caller, true)).chain(not_named.iter().map(|caller| (*caller, false)))
        {
            assert_eq!(
                is_allowed(&allow, caller, Action::GetObject, OBJECT),
                is_named,
                "{principal} {caller:?}"
            );
            let is_denied = matches!(decides(&deny, caller, Action::GetObject, OBJECT), Verdict::Deny(_));
            assert_eq!(is_denied, !is_named, "not {principal} {caller:?}");
        }
    }
}

#[test]
fn principals_that_name_nobody_are_refused() {
    for (principal, why) in [
        (r#""alice""#, r#"at Statement[0].Principal: it is neither "*" nor an object"#),
        ("{}", "at Statement[0].Principal: it names nobody"),
        (r#"{"AWS":[]}"#, "at Statement[0].Principal: it names nobody"),
        (r#"{"AWS":["*",""]}"#, r#"at Statement[0].Principal.AWS[1]: "" names nobody"#),
        (r#"{"AWS":"a b"}"#, r#"at Statement[0].Principal.AWS: "a b" names nobody"#),
        (r#"{"AWS":"alic*"}"#, r#"at Statement[0].Principal.AWS: "alic*" names nobody"#),
        (
            r#"{"AWS":"arn:aws:iam::research:user/*"}"#,
            r#"at Statement[0].Principal.AWS: "arn:aws:iam::research:user/*" names nobody"#,
        ),
        (
            r#"{"AWS":"arn:aws:iam::*:root"}"#,
            r#"at Statement[0].Principal.AWS: "arn:aws:iam::*:root" names nobody"#,
        ),
        (
            r#"{"AWS":"arn:aws:iam:::root"}"#,
            r#"at Statement[0].Principal.AWS: "arn:aws:iam:::root" names nobody"#,
        ),
        (
            r#"{"AWS":"arn:aws:iam::research:role/x"}"#,
            r#"at Statement[0].Principal.AWS: "arn:aws:iam::research:role/x" names nobody"#,
        ),
        (
            r#"{"AWS":"arn:aws:sts::research:user/x"}"#,
            r#"at Statement[0].Principal.AWS: "arn:aws:sts::research:user/x" names nobody"#,
        ),
        (
            r#"{"AWS":"arn:aws:iam::research:user/"}"#,
            r#"at Statement[0].Principal.AWS: "arn:aws:iam::research:user/" names nobody"#,
        ),
        (r#"{"CanonicalUser":"*"}"#, r#"at Statement[0].Principal.CanonicalUser: "*" names nobody"#),
        (r#"{"CanonicalUser":"alice"}"#, r#"at Statement[0].Principal.CanonicalUser: "alice" names nobody"#),
        (
            r#"{"Service":"s3.amazonaws.com"}"#,
            "at Statement[0].Principal.Service: only AWS and CanonicalUser are known here",
        ),
    ] {
        let told = refusal(&statement("Allow", principal, r#""s3:GetObject""#, r#""arn:aws:s3:::photos/*""#));
        assert_eq!(told, format!("Invalid principal in policy ({why})"));
    }
    let told = refusal(&statement(
        "Allow",
        r#"!{"AWS":"research"}"#,
        r#""s3:GetObject""#,
        r#""arn:aws:s3:::photos/*""#,
    ));
    assert_eq!(told, "Invalid policy syntax. (at Statement[0].NotPrincipal: an Allow names whom it is for)");
}

#[test]
fn which_actions_a_pattern_names() {
    for (action, named, not_named) in [
        (r#""s3:GetObject""#, vec![Action::GetObject], vec![Action::GetObjectVersion, Action::GetObjectAcl]),
        (r#""S3:gETOBJECT""#, vec![Action::GetObject], vec![Action::PutObject]),
        (
            r#"["s3:GetObject","s3:PutObject"]"#,
            vec![Action::GetObject, Action::PutObject],
            vec![Action::DeleteObject],
        ),
        (
            r#""s3:Get*""#,
            vec![Action::GetObject, Action::GetBucketAcl],
            vec![Action::PutObject, Action::ListBucket],
        ),
        (r#""s3:?etObject""#, vec![Action::GetObject], vec![Action::PutObject, Action::GetObjectAcl]),
        (r#""s3:*""#, vec![Action::GetObject, Action::PutBucketPolicy], vec![]),
        (r#""*""#, vec![Action::GetObject, Action::PutBucketPolicy], vec![]),
        (r#"!"s3:Get*""#, vec![Action::PutObject, Action::ListBucket], vec![Action::GetObject]),
        (
            r#"!["s3:Get*","s3:PutObject"]"#,
            vec![Action::DeleteObject],
            vec![Action::GetBucketCors, Action::PutObject],
        ),
        (r#""s3:getbucketcors""#, vec![Action::GetBucketCors], vec![Action::PutBucketCors]),
    ] {
        let policy = policy(&statement("Allow", r#""*""#, action, ALL));
        for (asked, is_named) in
            named.iter().map(|asked| (*asked, true)).chain(not_named.iter().map(|asked| (*asked, false)))
        {
            let resource = if asked.applies_to() == crate::policy::AppliesTo::Object { OBJECT } else { ROOT };
            assert_eq!(is_allowed(&policy, ALICE, asked, resource), is_named, "{action} {asked}");
        }
    }
    for (action, why) in [
        (r#""s3:GetObjekt""#, r#"at Statement[0].Action: no action of S3 is called "s3:GetObjekt""#),
        (
            r#"["s3:GetObject","GetObject"]"#,
            r#"at Statement[0].Action[1]: no action of S3 is called "GetObject""#,
        ),
        (r#""iam:*""#, r#"at Statement[0].Action: no action of S3 is called "iam:*""#),
        (r#""s*""#, r#"at Statement[0].Action: no action of S3 is called "s*""#),
        (r#""s3:Fetch*""#, r#"at Statement[0].Action: no action of S3 is called "s3:Fetch*""#),
        ("[]", "at Statement[0].Action: it names none"),
    ] {
        assert_eq!(
            refusal(&statement("Allow", r#""*""#, action, ALL)),
            format!("Policy has invalid action ({why})")
        );
    }
}

/// The names that users of S3 and of services like it write.
#[test]
fn every_listed_action_is_known() {
    let listed = "AbortMultipartUpload CreateBucket DeleteBucketPolicy DeleteBucket DeleteBucketWebsite DeleteObject \
        DeleteObjectVersion DeleteReplicationConfiguration GetAccelerateConfiguration GetBucketACL GetBucketCORS \
        GetBucketLocation GetBucketLogging GetBucketNotification GetBucketPolicy GetBucketRequestPayment \
        GetBucketTagging GetBucketVersioning GetBucketWebsite GetLifecycleConfiguration GetObjectAcl GetObject \
        GetObjectTorrent GetObjectVersionAcl GetObjectVersion GetObjectVersionTorrent GetReplicationConfiguration \
        ListAllMyBuckets ListBucketMultipartUploads ListBucket ListBucketVersions ListMultipartUploadParts \
        PutAccelerateConfiguration PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification PutBucketPolicy \
        PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite PutLifecycleConfiguration \
        PutObjectAcl PutObject PutObjectVersionAcl PutReplicationConfiguration RestoreObject GetObjectTagging \
        PutObjectTagging DeleteObjectTagging GetObjectVersionTagging PutObjectVersionTagging \
        DeleteObjectVersionTagging DeleteBucketTagging DeleteLifecycleConfiguration GetObjectAttributes";
    for name in listed.split_whitespace() {
        let action = Action::named(&format!("s3:{name}")).unwrap_or_else(|| panic!("{name}"));
        assert!(action.as_str().eq_ignore_ascii_case(&format!("s3:{name}")));
    }
    let list = listed.split_whitespace().map(|name| format!(r#""s3:{name}""#)).collect::<Vec<_>>().join(",");
    policy(&statement("Allow", r#""*""#, &format!("[{list}]"), ALL));
    assert_eq!(Action::named("s3:GetObjectX"), None);
    assert_eq!(Action::named("GetObject"), None);
}

#[test]
fn which_resources_a_pattern_names() {
    for (resource, named, not_named) in [
        (
            r#""arn:aws:s3:::photos/*""#,
            vec!["photos/a", "photos/a/b", "photos/"],
            vec!["photos", "photosa/b"],
        ),
        (r#""arn:aws:s3:::photos/a*""#, vec!["photos/a", "photos/ab/c"], vec!["photos/b", "photos/A"]),
        (r#""arn:aws:s3:::photos/a?c""#, vec!["photos/abc", "photos/a/c"], vec!["photos/ac", "photos/abbc"]),
        (r#""arn:aws:s3:::photos/a""#, vec!["photos/a"], vec!["photos/a/", "photos/aa"]),
        (r#""arn:aws:s3:::*""#, vec!["photos/a"], vec![]),
        (r#""arn:aws:s3:::*/raw/*""#, vec!["photos/raw/a"], vec!["photos/cooked/a"]),
        (r#""*""#, vec!["photos/a"], vec![]),
        (r#""arn:aws:s3::*:photos/*""#, vec!["photos/a"], vec!["photos"]),
        (r#""arn:aws:s3:::ph?tos/*""#, vec!["photos/a"], vec!["phtos/a"]),
        (
            r#"["arn:aws:s3:::photos/a","arn:aws:s3:::photos/b"]"#,
            vec!["photos/a", "photos/b"],
            vec!["photos/c"],
        ),
        (r#"!"arn:aws:s3:::photos/a*""#, vec!["photos/b"], vec!["photos/a", "photos/ab"]),
        (r#""arn:aws:s3:::photos/a:b""#, vec!["photos/a:b"], vec!["photos/a"]),
    ] {
        let policy = policy(&statement("Allow", r#""*""#, r#""s3:GetObject""#, resource));
        for (asked, is_named) in
            named.iter().map(|asked| (*asked, true)).chain(not_named.iter().map(|asked| (*asked, false)))
        {
            let name = format!("arn:aws:s3:::{asked}");
            assert_eq!(is_allowed(&policy, ALICE, Action::GetObject, &name), is_named, "{resource} {asked}");
        }
    }
}

#[test]
fn resources_that_are_none_of_this_bucket_are_refused() {
    for (resource, why) in [
        (r#""arn:aws:s3:::other/*""#, r#"at Statement[0].Resource: it is not about the bucket "photos""#),
        (r#""arn:aws:s3:::photos2""#, r#"at Statement[0].Resource: it is not about the bucket "photos""#),
        (
            r#"["*","arn:aws:s3:::phot"]"#,
            r#"at Statement[0].Resource[1]: it is not about the bucket "photos""#,
        ),
        (r#""photos/*""#, r#"at Statement[0].Resource: "photos/*" is no bucket or object"#),
        (r#""arn:aws:s3:::""#, r#"at Statement[0].Resource: "arn:aws:s3:::" is no bucket or object"#),
        (
            r#""arn:aws:s3:us-east-1::photos""#,
            r#"at Statement[0].Resource: "arn:aws:s3:us-east-1::photos" is no bucket or object"#,
        ),
        (
            r#""arn:aws:s3::1234:photos""#,
            r#"at Statement[0].Resource: "arn:aws:s3::1234:photos" is no bucket or object"#,
        ),
        (
            r#""arn:aws:sqs:::photos""#,
            r#"at Statement[0].Resource: "arn:aws:sqs:::photos" is no bucket or object"#,
        ),
        ("[]", "at Statement[0].Resource: it names none"),
    ] {
        let told = refusal(&statement("Deny", r#""*""#, r#""s3:*""#, resource));
        assert_eq!(told, format!("Policy has invalid resource ({why})"));
    }
}

#[test]
fn an_action_that_is_denied_needs_a_resource_that_it_can_meet() {
    let (bucket, objects) = (r#""arn:aws:s3:::photos""#, r#""arn:aws:s3:::photos/*""#);
    for (action, resource, place) in [
        (r#""s3:GetObject""#, bucket, "Action"),
        (r#""s3:ListBucket""#, objects, "Action"),
        (r#"["s3:GetObject","s3:ListBucket"]"#, objects, "Action[1]"),
        (r#"["s3:GetObject","s3:PutBucket*"]"#, objects, "Action[1]"),
    ] {
        assert_eq!(
            refusal(&statement("Deny", r#""*""#, action, resource)),
            format!("Action does not apply to any resource(s) in statement (at Statement[0].{place})")
        );
    }
    for (action, resource) in [
        (r#""s3:GetObject""#, objects),
        (r#""s3:ListBucket""#, bucket),
        (r#""s3:*""#, objects),
        (r#""s3:List*""#, objects),
        (r#"["s3:GetObject","s3:ListBucket"]"#, r#""arn:aws:s3:::photos*""#),
        (r#"!"s3:GetObject""#, objects),
        (r#""s3:GetObject""#, r#"!"arn:aws:s3:::photos""#),
    ] {
        policy(&statement("Deny", r#""*""#, action, resource));
    }
    policy(&statement("Allow", r#""*""#, r#""s3:GetObject""#, bucket));
}

/// A name stands for the user who asks, and for nobody where nobody in particular asks.
#[test]
fn a_resource_may_have_variables() {
    let home = policy(&statement(
        "Allow",
        r#""*""#,
        r#""s3:GetObject""#,
        r#""arn:aws:s3:::photos/${aws:username}/*""#,
    ));
    assert!(is_allowed(&home, ALICE, Action::GetObject, "arn:aws:s3:::photos/alice/a"));
    assert!(!is_allowed(&home, ALICE, Action::GetObject, "arn:aws:s3:::photos/bob/a"));
    assert!(!is_allowed(&home, Principal::Anonymous, Action::GetObject, "arn:aws:s3:::photos//a"));
    let old = Policy::parse(
        &format!(
            r#"{{"Version":"2008-10-17","Statement":{}}}"#,
            statement("Allow", r#""*""#, r#""s3:GetObject""#, r#""arn:aws:s3:::photos/${aws:username}/*""#)
        ),
        BUCKET,
    )
    .unwrap();
    assert!(!is_allowed(&old, ALICE, Action::GetObject, "arn:aws:s3:::photos/alice/a"));
    assert!(is_allowed(&old, ALICE, Action::GetObject, "arn:aws:s3:::photos/${aws:username}/a"));
}
