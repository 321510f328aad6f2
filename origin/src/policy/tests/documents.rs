//! The document: which elements it may have, and what is refused where.

use super::*;
use crate::policy::StoredPolicy;

const STATEMENT: &str = r#"{"Sid":"s","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}"#;

/// A statement with one element changed, or added, or (`null`) left out.
fn with(element: &str, value: &str) -> String {
    let mut statement: serde_json::Map<String, serde_json::Value> = serde_json::from_str(STATEMENT).unwrap();
    match value {
        "null" => drop(statement.remove(element)),
        value => drop(statement.insert(element.into(), serde_json::from_str(value).unwrap())),
    }
    serde_json::to_string(&statement).unwrap()
}

/// The policy that every guide to S3 has.
#[test]
fn everybody_may_read_the_happy_bucket() {
    let text = r#"{
      "Version":"2012-10-17",
      "Statement":[{
        "Sid":"AddPerm", "Effect":"Allow", "Principal":"*",
        "Action":["s3:GetObject"], "Resource":["arn:aws:s3:::happybucket/*"]
      }]
    }"#;
    let policy = Policy::parse(text, "happybucket").unwrap();
    let object = "arn:aws:s3:::happybucket/a/b.jpg";
    let Verdict::Allow(statement) = decides(&policy, Principal::Anonymous, Action::GetObject, object) else {
        panic!("not allowed")
    };
    assert_eq!((statement.sid(), statement.index()), (Some("AddPerm"), 0));
    for (action, resource) in [
        (Action::PutObject, object),
        (Action::GetObjectVersion, object),
        (Action::GetObject, "arn:aws:s3:::happybucket"),
        (Action::GetObject, "arn:aws:s3:::happybuckets/a"),
    ] {
        assert_eq!(decides(&policy, ALICE, action, resource), Verdict::Silent, "{action} {resource}");
    }
}

#[test]
fn what_a_document_may_be() {
    for text in [
        format!(r#"{{"Statement":{STATEMENT}}}"#),
        format!(r#"{{"Statement":[{STATEMENT},{STATEMENT}]}}"#),
        format!(r#"{{"Version":"2008-10-17","Id":"x","Statement":[{STATEMENT}]}}"#),
        format!(r#"{{"Statement":[{STATEMENT}],"Version":"2012-10-17"}}  "#),
    ] {
        assert!(Policy::parse(&text, BUCKET).is_ok(), "{text}");
    }
    let not_json = "Policies must be valid JSON and the first byte must be '{'";
    for (text, refused) in [
        (String::new(), not_json.to_owned()),
        (format!(r#" {{"Statement":[{STATEMENT}]}}"#), not_json.to_owned()),
        (format!(r#"[{STATEMENT}]"#), not_json.to_owned()),
        (
            format!(r#"{{"Statement":[{STATEMENT}]}}x"#),
            format!("{not_json} (trailing characters at line 1 column 120)"),
        ),
        (r#"{"Statement":"#.into(), format!("{not_json} (EOF while parsing a value at line 1 column 13)")),
        ("{}".into(), "Missing required field Statement".into()),
        (r#"{"Statement":[]}"#.into(), "Invalid policy syntax. (at Statement: it is empty)".into()),
        (
            r#"{"Statement":"x"}"#.into(),
            "Invalid policy syntax. (at Statement: a string is no object)".into(),
        ),
        (
            format!(r#"{{"Version":"2012-10-18","Statement":[{STATEMENT}]}}"#),
            r#"The policy must contain a valid version string (at Version: "2012-10-18")"#.into(),
        ),
        (
            format!(r#"{{"Version":1,"Statement":[{STATEMENT}]}}"#),
            "Invalid policy syntax. (at Version: a number is no string)".into(),
        ),
        (
            format!(r#"{{"version":"2012-10-17","Statement":[{STATEMENT}]}}"#),
            r#"Unknown field ("version")"#.into(),
        ),
        (
            format!(r#"{{"Id":"a","Id":"a","Statement":[{STATEMENT}]}}"#),
            "Invalid policy syntax. (at Id: it is there twice)".into(),
        ),
        (
            format!(r#"{{"Id":"{}","Statement":[{STATEMENT}]}}"#, "x".repeat(20 * 1024)),
            "Policy exceeds the maximum allowed document size. (20607 bytes; the limit is 20480)".into(),
        ),
    ] {
        let told = Policy::parse(&text, BUCKET).expect_err(&text).to_string();
        assert_eq!(told, refused, "{}", &text[..text.len().min(100)]);
    }
}

/// Deeper than any policy: refused by serde_json's own bound, before a stack is at risk.
#[test]
fn a_deep_document_is_refused() {
    let text = format!(r#"{{"Statement":{}{}}}"#, "[".repeat(9000), "]".repeat(9000));
    let told = Policy::parse(&text, BUCKET).unwrap_err().to_string();
    assert!(told.contains("recursion limit exceeded"), "{told}");
}

#[test]
fn a_statement_has_what_it_needs_and_nothing_else() {
    for (element, value, refused) in [
        ("Effect", "null", "Missing required field Effect (at Statement[0])"),
        (
            "Effect",
            r#""allow""#,
            r#"Invalid effect (at Statement[0].Effect: "allow" is neither Allow nor Deny)"#,
        ),
        ("Principal", "null", "Missing required field Principal (at Statement[0])"),
        ("Action", "null", "Missing required field Action (at Statement[0])"),
        ("Resource", "null", "Missing required field Resource (at Statement[0])"),
        ("Resources", r#""*""#, r#"Unknown field (at Statement[0]: "Resources")"#),
        ("Sid", "7", "Invalid policy syntax. (at Statement[0].Sid: a number is no string)"),
        (
            "NotAction",
            r#""s3:PutObject""#,
            "Invalid policy syntax. (at Statement[0]: Action and NotAction exclude each other)",
        ),
        (
            "NotResource",
            r#""*""#,
            "Invalid policy syntax. (at Statement[0]: Resource and NotResource exclude each other)",
        ),
        (
            "NotPrincipal",
            r#""*""#,
            "Invalid policy syntax. (at Statement[0]: Principal and NotPrincipal exclude each other)",
        ),
    ] {
        assert_eq!(refusal(&with(element, value)), refused);
    }
    assert!(Policy::parse(&format!(r#"{{"Statement":{}}}"#, with("Sid", "null")), BUCKET).is_ok());
    let twice = STATEMENT.replace(r#""Sid":"s","#, r#""Effect":"Deny","#);
    assert_eq!(refusal(&twice), "Invalid policy syntax. (at Statement[0].Effect: it is there twice)");
    // Of one object in place of the array, the place says no index.
    let text = format!(r#"{{"Statement":{}}}"#, with("Effect", "null"));
    assert_eq!(
        Policy::parse(&text, BUCKET).unwrap_err().to_string(),
        "Missing required field Effect (at Statement)"
    );
}

#[test]
fn a_stored_policy_is_its_text() {
    let text = format!(r#"{{ "Statement" : {STATEMENT} }}"#);
    let stored = StoredPolicy::new(&text, BUCKET).unwrap();
    assert_eq!(stored.text(), text);
    let written = serde_json::to_string(&stored).unwrap();
    assert_eq!(written, serde_json::to_string(&text).unwrap());
    let read: StoredPolicy = serde_json::from_str(&written).unwrap();
    assert_eq!((read.policy(), read.text()), (stored.policy(), stored.text()));
    assert!(StoredPolicy::new(&text, "another").is_err());
}

/// As a row or an answer of a later release may have one.
#[test]
fn a_stored_policy_that_is_not_understood_is_kept_and_counts_as_public() {
    for text in ["{}", "", r#"{"Version":"2032-10-17","Statement":[]}"#] {
        let written = serde_json::to_string(text).unwrap();
        let read: StoredPolicy = serde_json::from_str(&written).unwrap();
        assert!(read.policy().is_err() && read.is_public(), "{text}");
        assert_eq!((read.text(), serde_json::to_string(&read).unwrap()), (text, written));
    }
}

/// A condition on what an action's requests never have would allow nothing, or deny everything.
#[test]
fn conditions_fit_the_actions_of_their_statement() {
    let accepts = |actions: &str, key: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*",{actions},
                "Resource":["arn:aws:s3:::{BUCKET}","arn:aws:s3:::{BUCKET}/*"],
                "Condition":{{"StringEquals":{{"{key}":"x"}}}}}}}}"#
        );
        match Policy::parse(&text, BUCKET) {
            Ok(_) => true,
            Err(refused) => {
                let what = "Conditions do not apply to combination of actions and resources in statement";
                assert!(refused.to_string().starts_with(what), "{refused}");
                false
            }
        }
    };
    let named = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!(r#""s3:{name}""#)).collect();
        format!(r#""Action":[{}]"#, names.join(","))
    };
    for (key, of, not_of) in [
        ("s3:prefix", "ListBucket", "GetObject"),
        ("s3:delimiter", "ListBucketVersions", "ListBucketMultipartUploads"),
        ("s3:VersionId", "GetObjectVersion", "GetObject"),
        ("s3:x-amz-acl", "PutObjectAcl", "GetObjectAcl"),
        ("s3:x-amz-grant-read", "PutObject", "PutObjectTagging"),
        ("s3:x-amz-copy-source", "PutObject", "GetObject"),
        ("s3:x-amz-server-side-encryption", "PutObject", "DeleteObject"),
        ("s3:RequestObjectTag/a", "PutObjectTagging", "PutObjectAcl"),
        ("s3:RequestObjectTagKeys", "PutObject", "GetObject"),
        ("s3:ExistingObjectTag/a", "GetObject", "PutObject"),
        ("s3:ExistingObjectTag/a", "PutObjectTagging", "DeleteObject"),
    ] {
        assert!(accepts(&named(&[of]), key), "{key} {of}");
        assert!(!accepts(&named(&[not_of]), key), "{key} {not_of}");
        assert!(!accepts(&named(&[of, not_of]), key), "{key} {of} {not_of}");
        for all in ["*", "s3:*"] {
            assert!(accepts(&format!(r#""Action":"{all}""#), key), "{key} {all}");
        }
        assert!(accepts(&format!(r#""NotAction":"s3:{not_of}""#), key), "{key} but {not_of}");
        // What every request may have fits every action.
        assert!(accepts(&named(&[of, not_of]), "aws:Referer"));
    }
}
