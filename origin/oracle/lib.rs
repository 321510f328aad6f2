//! Decisions are held against an independent evaluator, iam-rs, over random policies and requests.
//!
//! What the two see differently is in ops/decisions/2026-11-22-policy-oracle.md; the random policies leave it out,
//! and [`known_disagreements`] has one case of each, so that the note stays true.

#![cfg(test)]

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use iam_rs::{Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, Principal as Theirs, PrincipalId};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use origin::policy::{Action, Ask, Lookup, Policy, Principal, StoredPolicy, Verdict};

const ACCOUNT: &str = "123456789012";
const ACCOUNT_ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// Random policies, each asked one to three times.
const CASES_COUNT: u32 = 500;

/// One request; every value is text, several are a list.
#[derive(Clone, Debug)]
struct Request {
    user: &'static str,
    action: Action,
    resource: String,
    says: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Lookup for Request {
    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        self.says.get(key).into_iter().flatten().map(|value| Cow::Borrowed(*value)).collect()
    }
}

fn ours(policy: &Policy, request: &Request) -> &'static str {
    let principal = Principal::User { account: ACCOUNT, account_id: ACCOUNT_ID, name: request.user };
    let ask = Ask {
        principal,
        action: request.action,
        resource: &request.resource,
        owner: ACCOUNT,
        context: request,
    };
    match policy.decide(&ask) {
        Verdict::Allow(_) => "Allow",
        Verdict::Deny(_) => "Deny",
        Verdict::Silent => "Silent",
    }
}

/// A policy as it is kept, not as it is put: which keys an action can meet is S3's own rule, which the other does not have.
fn as_kept(text: &str) -> StoredPolicy {
    serde_json::from_value(json!(text)).expect("a policy is kept as its text")
}

fn parsed(stored: &StoredPolicy) -> &Policy {
    stored.policy().unwrap_or_else(|refused| panic!("{refused}"))
}

fn theirs(text: &str, request: &Request) -> &'static str {
    let policy: IAMPolicy = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let mut context = Context::new().with_string("aws:username", request.user);
    for (key, values) in &request.says {
        let value = match (*key, values.as_slice()) {
            ("aws:SecureTransport", [truth]) => ContextValue::Boolean(*truth == "true"),
            ("s3:RequestObjectTagKeys", values) => {
                ContextValue::StringList(values.iter().map(|value| (*value).to_owned()).collect())
            }
            (_, values) => ContextValue::String(values[0].to_owned()),
        };
        context.insert((*key).to_owned(), value);
    }
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/{}", request.user);
    let asked = IAMRequest::new_with_context(
        Theirs::Aws(PrincipalId::String(arn)),
        request.action.as_str(),
        Arn::parse(&request.resource).expect("a good ARN"),
        context,
    );
    match iam_rs::evaluate_policy(&policy, &asked).unwrap_or_else(|e| panic!("{e}: {text}")) {
        Decision::Allow => "Allow",
        Decision::Deny => "Deny",
        Decision::NotApplicable => "Silent",
    }
}

fn requests() -> impl Strategy<Value = Request> {
    let key = "(home/)?(alice|bob|a|)(/|x|\\.jpg){0,2}";
    let resource = prop_oneof![
        1 => Just("arn:aws:s3:::photos".to_owned()),
        3 => key.prop_map(|key| format!("arn:aws:s3:::photos/{key}z")),
    ];
    let says = (
        proptest::option::of(select(vec!["a", "A", "ab", "abc", "b/c", "", "7"])),
        proptest::option::of(select(vec!["home/", "home/alice/", "", "a", "10"])),
        proptest::option::of(select(vec!["10.0.0.1", "10.1.2.3", "192.0.2.7", "2001:db8::1", "nowhere"])),
        proptest::option::of(select(vec!["true", "false"])),
        proptest::option::of(select(vec![
            "2026-11-22T10:00:00Z",
            "2026-01-01T00:00:00+02:00",
            "1795341600",
            "soon",
        ])),
        proptest::option::of(select(vec!["0", "1", "10", "10.0", "-3", "1000", "many"])),
        proptest::option::of(subsequence(vec!["a", "ab", "b/c", "x"], 1..=3)),
        proptest::option::of(select(vec!["arn:aws:iam::1:user/alice", "arn:aws:s3:::a:b", "no-arn"])),
    );
    (select(vec!["alice", "bob"]), select(actions()), resource, says).prop_map(
        |(user, action, resource, (agent, prefix, address, tls, time, count, tags, referer))| {
            let one = |value: Option<&'static str>| value.map(|value| vec![value]);
            let says = [
                ("aws:UserAgent", one(agent)),
                ("s3:prefix", one(prefix)),
                ("aws:SourceIp", one(address)),
                ("aws:SecureTransport", one(tls)),
                ("aws:CurrentTime", one(time)),
                ("s3:max-keys", one(count)),
                ("s3:RequestObjectTagKeys", tags),
                ("aws:Referer", one(referer)),
            ];
            let says = says.into_iter().filter_map(|(key, values)| Some((key, values?))).collect();
            Request { user, action, resource, says }
        },
    )
}

fn actions() -> Vec<Action> {
    vec![
        Action::GetObject,
        Action::PutObject,
        Action::GetObjectTagging,
        Action::ListBucket,
        Action::GetBucketAcl,
    ]
}

/// One or several, as a value or as an array.
fn some_of(values: &[&'static str]) -> impl Strategy<Value = Value> + use<> {
    let count = values.len().min(3);
    (subsequence(values.to_vec(), 1..=count), any::<bool>()).prop_map(|(values, as_array)| {
        match values.as_slice() {
            [one] if !as_array => json!(one),
            several => json!(several),
        }
    })
}

/// Operators of one kind, in every form that both know; the keys and values that suit them.
fn conditions() -> impl Strategy<Value = (String, &'static str, Value)> {
    let forms = |operators: &[&'static str]| {
        (select(operators.to_vec()), select(vec!["", "IfExists"]))
            .prop_map(|(name, end)| format!("{name}{end}"))
    };
    let quantified = |operators: &[&'static str]| {
        (select(vec!["ForAnyValue:", "ForAllValues:"]), select(operators.to_vec()))
            .prop_map(|(quantifier, name)| format!("{quantifier}{name}"))
    };
    const TEXTS: [&str; 6] = [
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
    ];
    let texts = ["a", "A", "ab", "a*", "?", "*c", "", "home/*", "b/c", "7", "*"];
    let dates = ["2026-11-22T10:00:00Z", "2026-01-01T00:00:00Z", "1795341600", "2030-01-01T00:00:00+05:00"];
    let networks =
        ["10.0.0.0/8", "10.0.0.1", "10.1.2.9/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "192.0.2.0/25"];
    let arns = ["arn:aws:iam::1:user/*", "arn:aws:s3:::a:?", "arn:aws:iam::1:user/alice"];
    let text_keys = || select(vec!["aws:UserAgent", "s3:prefix"]);
    let tag_keys = || Just("s3:RequestObjectTagKeys");
    prop_oneof![
        6 => (forms(&TEXTS), text_keys(), some_of(&texts)),
        3 => (quantified(&TEXTS), prop_oneof![text_keys(), tag_keys()], some_of(&texts)),
        3 => (
            forms(&[
                "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals",
                "NumericGreaterThan", "NumericGreaterThanEquals",
            ]),
            select(vec!["s3:max-keys", "s3:prefix"]),
            some_of(&["0", "1", "10", "10.5", "-3", "1000"]),
        ),
        3 => (
            forms(&[
                "DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan",
                "DateGreaterThanEquals",
            ]),
            Just("aws:CurrentTime"),
            some_of(&dates),
        ),
        2 => (forms(&["Bool"]), Just("aws:SecureTransport"), some_of(&["true", "false"])),
        3 => (
            forms(&["IpAddress", "NotIpAddress"]),
            select(vec!["aws:SourceIp", "aws:UserAgent"]),
            some_of(&networks),
        ),
        2 => (forms(&["ArnLike", "ArnNotLike"]), Just("aws:Referer"), some_of(&arns)),
        1 => (forms(&["ArnEquals", "ArnNotEquals"]), Just("aws:Referer"), some_of(&arns[2..])),
        1 => (forms(&["BinaryEquals"]), Just("aws:UserAgent"), some_of(&["QQ==", "Qkc="])),
        2 => (
            Just("Null".to_owned()),
            select(vec!["s3:prefix", "aws:SourceIp", "s3:RequestObjectTagKeys"]),
            select(vec![json!("true"), json!("false"), json!(true), json!(false)]),
        ),
    ]
}

fn statements() -> impl Strategy<Value = Value> {
    let users = [
        "arn:aws:iam::123456789012:user/alice",
        "arn:aws:iam::123456789012:user/bob",
        "arn:aws:iam::210987654321:user/alice",
    ];
    let principal = prop_oneof![
        2 => Just(json!("*")),
        1 => Just(json!({"AWS": "*"})),
        2 => some_of(&users).prop_map(|users| json!({"AWS": users})),
    ];
    let action = some_of(&[
        "s3:GetObject",
        "s3:getobject",
        "s3:Get*",
        "s3:?etObject",
        "s3:PutObject",
        "s3:ListBucket",
        "s3:*",
        "*",
        "s3:GetBucket*",
        "s3:*Object",
    ]);
    let resource = some_of(&[
        "*",
        "arn:aws:s3:::photos",
        "arn:aws:s3:::photos/*",
        "arn:aws:s3:::photos/home/${aws:username}/*",
        "arn:aws:s3:::photos/${s3:delimiter, 'home'}/*",
        "arn:aws:s3:::photos/*.jpg?",
        "arn:aws:s3:::photos/?lice*z",
        "arn:aws:s3:::*/home/*",
        "arn:aws:s3:::photos/home/alice/z",
        "arn:aws:s3::*:photos/*x*",
    ]);
    let condition = proptest::collection::vec(conditions(), 0..3);
    (any::<bool>(), any::<[bool; 3]>(), principal, action, resource, condition).prop_map(
        |(allows, [not_principal, not_action, not_resource], principal, action, resource, conditions)| {
            let name =
                |name: &str, is_negated: bool| if is_negated { format!("Not{name}") } else { name.into() };
            let mut statement = Map::new();
            statement.insert("Effect".into(), json!(if allows { "Allow" } else { "Deny" }));
            statement.insert(name("Principal", not_principal && !allows), principal);
            statement.insert(name("Action", not_action && not_principal), action);
            statement.insert(name("Resource", not_resource && not_principal), resource);
            let mut block: BTreeMap<String, BTreeMap<&str, Value>> = BTreeMap::new();
            for (operator, key, values) in conditions {
                block.entry(operator).or_default().insert(key, values);
            }
            if !block.is_empty() {
                statement.insert("Condition".into(), json!(block));
            }
            Value::Object(statement)
        },
    )
}

/// Of random policies and requests both decide the same; each answer comes often enough to mean something.
#[test]
fn decisions_agree_with_an_independent_evaluator() {
    let counts = RefCell::new(BTreeMap::<&str, u32>::new());
    let strategy =
        (proptest::collection::vec(statements(), 1..4), proptest::collection::vec(requests(), 1..4));
    // PROPTEST_CASES asks for more.
    let cases = Config::default().cases.max(CASES_COUNT);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&strategy, |(statements, requests)| {
        let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let stored = as_kept(&text);
        for request in requests {
            let (ours, theirs) = (ours(parsed(&stored), &request), theirs(&text, &request));
            prop_assert_eq!(ours, theirs, "{} {:?}", text, request);
            *counts.borrow_mut().entry(ours).or_default() += 1;
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
    let counts = counts.into_inner();
    for answer in ["Allow", "Deny", "Silent"] {
        assert!(counts.get(answer).is_some_and(|count| *count >= CASES_COUNT / 10), "{counts:?}");
    }
}

/// Where the other differs from AWS's documentation, or we differ on purpose: the decision note's table, line by line.
#[test]
fn known_disagreements() {
    let about = r#""Effect":"Allow","Action":"s3:GetObject""#;
    let anyone = format!(r#"{about},"Principal":"*""#);
    let whole = format!(r#"{anyone},"Resource":"arn:aws:s3:::photos/*""#);
    let when = |condition: &str| format!(r#"{{{whole},"Condition":{condition}}}"#);
    let cases: [(String, &'static str, Vec<&'static str>, &str, &str); 11] = [
        // An account names its users.
        (
            format!(r#"{{{about},"Principal":{{"AWS":"{ACCOUNT}"}},"Resource":"arn:aws:s3:::photos/*"}}"#),
            "aws:UserAgent",
            vec![],
            "Allow",
            "Silent",
        ),
        // A variable may stand in a condition.
        (
            when(r#"{"StringEquals":{"aws:UserAgent":"${aws:username}"}}"#),
            "aws:UserAgent",
            vec!["alice"],
            "Allow",
            "Silent",
        ),
        // A variable without a value is no text, not an empty one.
        (
            format!(r#"{{{anyone},"Resource":"arn:aws:s3:::photos/${{s3:delimiter}}a"}}"#),
            "aws:UserAgent",
            vec![],
            "Silent",
            "Allow",
        ),
        // What a variable brings is no wildcard.
        (
            format!(r#"{{{anyone},"Resource":"arn:aws:s3:::photos/${{s3:prefix}}"}}"#),
            "s3:prefix",
            vec!["*"],
            "Silent",
            "Allow",
        ),
        // `${*}` is a star.
        (
            format!(r#"{{{anyone},"Resource":"arn:aws:s3:::photos/a${{*}}"}}"#),
            "aws:UserAgent",
            vec![],
            "Silent",
            "Allow",
        ),
        // ArnEquals knows wildcards, as ArnLike does.
        (
            when(r#"{"ArnEquals":{"aws:Referer":"arn:aws:s3:::*"}}"#),
            "aws:Referer",
            vec!["arn:aws:s3:::a"],
            "Allow",
            "Silent",
        ),
        // A wildcard in an ARN does not reach over a colon.
        (
            when(r#"{"ArnLike":{"aws:Referer":"arn:*:s3:::a"}}"#),
            "aws:Referer",
            vec!["arn:x:y:s3:::a"],
            "Silent",
            "Allow",
        ),
        // Base64 has cases.
        (
            when(r#"{"BinaryEquals":{"aws:UserAgent":"QQ=="}}"#),
            "aws:UserAgent",
            vec!["qq=="],
            "Silent",
            "Allow",
        ),
        // A negation of several values holds if none of them matches.
        (
            when(r#"{"StringNotEquals":{"s3:RequestObjectTagKeys":"a"}}"#),
            "s3:RequestObjectTagKeys",
            vec!["a", "b"],
            "Silent",
            "Allow",
        ),
        // Four digits are a year.
        (
            when(r#"{"DateGreaterThan":{"aws:CurrentTime":"2027"}}"#),
            "aws:CurrentTime",
            vec!["2026-11-22T10:00:00Z"],
            "Silent",
            "Allow",
        ),
        // IPv4 in IPv6's clothes is IPv4.
        (
            when(r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#),
            "aws:SourceIp",
            vec!["::ffff:10.0.0.1"],
            "Allow",
            "Silent",
        ),
    ];
    for (statement, key, said, expected_ours, expected_theirs) in cases {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        let stored = as_kept(&text);
        let says = if said.is_empty() { BTreeMap::new() } else { BTreeMap::from([(key, said)]) };
        let resource = "arn:aws:s3:::photos/a".to_owned();
        let request = Request { user: "alice", action: Action::GetObject, resource, says };
        assert_eq!(
            (ours(parsed(&stored), &request), theirs(&text, &request)),
            (expected_ours, expected_theirs),
            "{text}"
        );
    }
}
