//! Every operator with values that match and their nearest neighbours that do not; every key; what is not said.

use super::*;

/// Every operator that compares values, and whether it is a negation.
const OPERATORS: [(&str, bool); 26] = [
    ("StringEquals", false),
    ("StringNotEquals", true),
    ("StringEqualsIgnoreCase", false),
    ("StringNotEqualsIgnoreCase", true),
    ("StringLike", false),
    ("StringNotLike", true),
    ("NumericEquals", false),
    ("NumericNotEquals", true),
    ("NumericLessThan", false),
    ("NumericLessThanEquals", false),
    ("NumericGreaterThan", false),
    ("NumericGreaterThanEquals", false),
    ("DateEquals", false),
    ("DateNotEquals", true),
    ("DateLessThan", false),
    ("DateLessThanEquals", false),
    ("DateGreaterThan", false),
    ("DateGreaterThanEquals", false),
    ("Bool", false),
    ("BinaryEquals", false),
    ("IpAddress", false),
    ("NotIpAddress", true),
    ("ArnEquals", false),
    ("ArnLike", false),
    ("ArnNotEquals", true),
    ("ArnNotLike", true),
];

/// A value that is of the operator's kind.
fn good_value(operator: &str) -> &'static str {
    match operator {
        _ if operator.starts_with("Arn") => r#""arn:aws:s3:::a""#,
        _ if operator.ends_with("IpAddress") => r#""10.0.0.1""#,
        "Bool" => "true",
        "BinaryEquals" => r#""AAAA""#,
        _ => r#""2026""#,
    }
}

fn conditional(condition: &str) -> String {
    let about = r#""Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::photos/*""#;
    format!(r#"{{"Effect":"Allow",{about},"Condition":{condition}}}"#)
}

/// Whether a condition holds of a request that says `said`.
fn holds(condition: &str, said: &[(&str, &[&str])]) -> bool {
    let policy = policy(&conditional(condition));
    let says = Says(said);
    let ask = ask(ALICE, Action::GetObject, &says);
    matches!(policy.decide(&ask), Verdict::Allow(_))
}

/// Whether `operator` with `wanted` holds of a request whose `aws:UserAgent` is `said`.
fn compares(operator: &str, wanted: &str, said: &str) -> bool {
    holds(&format!(r#"{{"{operator}":{{"aws:UserAgent":{wanted}}}}}"#), &[("aws:UserAgent", &[said])])
}

/// Each line: an operator and its opposite, the policy's values, what matches, what does not.
#[test]
fn what_each_operator_matches() {
    for (operator, opposite, wanted, matches, differs) in [
        ("StringEquals", "StringNotEquals", r#""abc""#, vec!["abc"], vec!["Abc", "abcd", "", " abc"]),
        ("StringEquals", "StringNotEquals", r#""a*c""#, vec!["a*c"], vec!["abc"]),
        ("StringEquals", "StringNotEquals", r#"["a","b"]"#, vec!["a", "b"], vec!["ab", "c"]),
        ("StringEquals", "StringNotEquals", r#""""#, vec![""], vec!["a"]),
        ("StringEquals", "StringNotEquals", "7", vec!["7"], vec!["7.0"]),
        ("StringEquals", "StringNotEquals", "false", vec!["false"], vec!["False"]),
        (
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            r#""Abc?""#,
            vec!["aBC?", "Abc?"],
            vec!["Abcd", "Abc"],
        ),
        ("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", r#""É""#, vec!["é"], vec!["e"]),
        ("StringLike", "StringNotLike", r#""a*""#, vec!["a", "abc"], vec!["A", "ba"]),
        ("StringLike", "StringNotLike", r#"["?b","*z"]"#, vec!["ab", "bz", "z"], vec!["b", "abb"]),
        (
            "NumericEquals",
            "NumericNotEquals",
            "10",
            vec!["10", "10.0", "+010"],
            vec!["10.1", "-10", "1", "ten", ""],
        ),
        ("NumericEquals", "NumericNotEquals", r#"["1","0.10"]"#, vec!["1", "0.1"], vec!["0.11", "0.01"]),
        (
            "NumericEquals",
            "NumericNotEquals",
            r#""18446744073709551616""#,
            vec!["18446744073709551616"],
            vec!["18446744073709551617", "1.8446744073709551616e19"],
        ),
        ("NumericEquals", "NumericNotEquals", "-0", vec!["0", "-0.0"], vec!["-1"]),
        (
            "DateEquals",
            "DateNotEquals",
            r#""2026-11-22T10:00:00Z""#,
            vec!["2026-11-22T10:00:00Z", "2026-11-22T11:00:00+01:00", "1795341600"],
            vec!["2026-11-22T10:00:01Z", "now"],
        ),
        ("DateEquals", "DateNotEquals", "1795341600", vec!["2026-11-22T10:00Z"], vec!["2026-11-22"]),
        (
            "DateEquals",
            "DateNotEquals",
            r#""2026""#,
            vec!["2026-01-01T00:00:00Z", "2026-01"],
            vec!["2026-01-02"],
        ),
        (
            "IpAddress",
            "NotIpAddress",
            r#""10.1.2.3""#,
            vec!["10.1.2.3", "::ffff:10.1.2.3"],
            vec!["10.1.2.4", "::10.1.2.3"],
        ),
        (
            "IpAddress",
            "NotIpAddress",
            r#""10.1.0.0/16""#,
            vec!["10.1.0.0", "10.1.255.255"],
            vec!["10.0.255.255", "10.2.0.0", "10.1", "here"],
        ),
        ("IpAddress", "NotIpAddress", r#""10.1.2.3/16""#, vec!["10.1.0.0"], vec!["10.2.2.3"]),
        ("IpAddress", "NotIpAddress", r#""10.0.0.0/31""#, vec!["10.0.0.1"], vec!["10.0.0.2"]),
        ("IpAddress", "NotIpAddress", r#""0.0.0.0/0""#, vec!["1.2.3.4"], vec!["::1"]),
        (
            "IpAddress",
            "NotIpAddress",
            r#""2001:db8::/33""#,
            vec!["2001:db8::1", "2001:db8:7fff::"],
            vec!["2001:db8:8000::", "10.0.0.1"],
        ),
        ("IpAddress", "NotIpAddress", r#""::/0""#, vec!["2001:db8::1"], vec!["10.0.0.1", "::ffff:10.0.0.1"]),
        (
            "IpAddress",
            "NotIpAddress",
            r#""::ffff:10.1.0.0/112""#,
            vec!["10.1.2.3", "::ffff:10.1.2.3"],
            vec!["10.2.0.0"],
        ),
        (
            "IpAddress",
            "NotIpAddress",
            r#"["10.0.0.1","2001:db8::1"]"#,
            vec!["10.0.0.1", "2001:db8:0::1"],
            vec!["10.0.0.2"],
        ),
        (
            "ArnEquals",
            "ArnNotEquals",
            r#""arn:aws:s3:::b/k:1""#,
            vec!["arn:aws:s3:::b/k:1"],
            vec!["arn:aws:s3:::b/k", "arn:aws:s3::1:b/k:1"],
        ),
        (
            "ArnEquals",
            "ArnNotEquals",
            r#""arn:aws:s3:::b*""#,
            vec!["arn:aws:s3:::b/k"],
            vec!["arn:aws:s3:::a"],
        ),
        (
            "ArnLike",
            "ArnNotLike",
            r#""arn:aws:iam::*:user/?""#,
            vec!["arn:aws:iam::1:user/a", "arn:aws:iam:::user/a"],
            vec!["arn:aws:iam::1:2:user/a", "arn:aws:iam::1:user/ab"],
        ),
        (
            "ArnLike",
            "ArnNotLike",
            r#""arn:aws:s*:::b""#,
            vec!["arn:aws:s3:::b"],
            vec!["arn:aws:s3:x::b", "arn:aws:s3", "b"],
        ),
        (
            "ArnLike",
            "ArnNotLike",
            r#"["arn:aws:s3:::a","arn:aws:s3:::*:b"]"#,
            vec!["arn:aws:s3:::a", "arn:aws:s3:::a:b:b"],
            vec!["arn:aws:s3:::b"],
        ),
    ] {
        for (said, is_match) in
            matches.iter().map(|said| (said, true)).chain(differs.iter().map(|said| (said, false)))
        {
            assert_eq!(compares(operator, wanted, said), is_match, "{operator} {wanted} {said:?}");
            assert_eq!(compares(opposite, wanted, said), !is_match, "{opposite} {wanted} {said:?}");
        }
    }
    for (operator, wanted, matches, differs) in [
        ("Bool", "true", vec!["true", "True"], vec!["false", "1", ""]),
        ("Bool", r#""FALSE""#, vec!["false"], vec!["true"]),
        ("Bool", r#"["true","false"]"#, vec!["true", "false"], vec!["maybe"]),
        ("BinaryEquals", r#""QmluYXJ5""#, vec!["QmluYXJ5"], vec!["qmluyxj5", "Binary", "QmluYXJ5QQ=="]),
        ("BinaryEquals", r#"["QQ==","Qg=="]"#, vec!["QQ==", "Qg=="], vec!["QQ", "Qw=="]),
    ] {
        for (said, is_match) in
            matches.iter().map(|said| (said, true)).chain(differs.iter().map(|said| (said, false)))
        {
            assert_eq!(compares(operator, wanted, said), is_match, "{operator} {wanted} {said:?}");
        }
    }
}

/// The orders, at the border and one step to either side. Of several values, one suffices.
#[test]
fn how_numbers_and_dates_are_ordered() {
    let kinds = [
        ("Numeric", ["-3", "9.99", "10", "10.01", "200"], r#""10""#, r#"["10","100"]"#),
        (
            "Date",
            ["-1", "2026-11-22T09:59:59.999999999Z", "1795341600", "2026-11-22T10:00:00.000000001Z", "2027"],
            r#""2026-11-22T10:00:00Z""#,
            r#"["2026-11-22T10:00:00Z","2026-12-01"]"#,
        ),
    ];
    for (kind, said, one, two) in kinds {
        for (order, expected, expected_of_two) in [
            ("Equals", [false, false, true, false, false], [false, false, true, false, false]),
            ("NotEquals", [true, true, false, true, true], [true, true, false, true, true]),
            ("LessThan", [true, true, false, false, false], [true, true, true, true, false]),
            ("LessThanEquals", [true, true, true, false, false], [true, true, true, true, false]),
            ("GreaterThan", [false, false, false, true, true], [false, false, false, true, true]),
            ("GreaterThanEquals", [false, false, true, true, true], [false, false, true, true, true]),
        ] {
            let operator = format!("{kind}{order}");
            assert_eq!(said.map(|said| compares(&operator, one, said)), expected, "{operator}");
            assert_eq!(said.map(|said| compares(&operator, two, said)), expected_of_two, "{operator} of two");
        }
    }
}

#[test]
fn dates_are_read_strictly() {
    let equals = |wanted: &str, said: &str| compares("DateEquals", &format!(r#""{wanted}""#), said);
    for (date, seconds) in [
        ("1970", "0"),
        ("1970-01-02", "86400"),
        ("1970-01-01T00:01Z", "60"),
        ("1970-01-01T00:00:01Z", "1"),
        ("1970-01-01T00:00:01.000Z", "1"),
        ("1969-12-31T23:59:59Z", "-1"),
        ("1970-01-01T02:30:00+02:30", "0"),
        ("1969-12-31T19:00:00-05:00", "0"),
    ] {
        assert!(equals(date, seconds), "{date} {seconds}");
    }
    for bad in [
        "",
        "-",
        "now",
        "26-01-01",
        "2026-1-1",
        "2026-02-30",
        "2026-13-01",
        "2026-01-01-01",
        "2026-01-01T",
        "2026-01-01T00:00:00",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00.5Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00 01:00",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00Z",
        "20260101T000000Z",
        "9999999999999999999",
        "1.5",
        "+1",
        "é2026",
        "2026-01-01T00:00é:00",
    ] {
        let told = refusal(&conditional(&format!(r#"{{"DateEquals":{{"aws:CurrentTime":"{bad}"}}}}"#)));
        let place = "Statement[0].Condition.DateEquals.aws:CurrentTime";
        assert_eq!(told, format!("Invalid policy syntax. (at {place}: {bad:?} is no date)"));
    }
}

/// What the request does not say: false, true of a negation, true with IfExists; of all of nothing, of any of nothing.
#[test]
fn what_is_not_said_matches_nothing() {
    for (operator, is_negated) in OPERATORS {
        let value = good_value(operator);
        let holds_of_nothing = |name: &str| {
            holds(&format!(r#"{{"{name}":{{"aws:UserAgent":{value}}}}}"#), &[("aws:Referer", &["x"])])
        };
        assert_eq!(holds_of_nothing(operator), is_negated, "{operator}");
        assert!(holds_of_nothing(&format!("{operator}IfExists")), "{operator}IfExists");
        assert!(holds_of_nothing(&format!("ForAllValues:{operator}")), "{operator} of all");
        assert!(!holds_of_nothing(&format!("ForAnyValue:{operator}")), "{operator} of any");
        assert!(holds_of_nothing(&format!("ForAllValues:{operator}IfExists")));
        assert!(holds_of_nothing(&format!("ForAnyValue:{operator}IfExists")));

        // Something that is said, and is of no kind that matches: IfExists changes nothing then.
        let differs = |name: &str| compares(name, value, "neither");
        assert_eq!(differs(operator), is_negated, "{operator}");
        assert_eq!(differs(&format!("{operator}IfExists")), is_negated, "{operator}IfExists");
        assert_eq!(differs(&format!("ForAllValues:{operator}")), is_negated);
        assert_eq!(differs(&format!("ForAnyValue:{operator}")), is_negated);
    }
}

#[test]
fn null_asks_whether_anything_is_said() {
    let null = |value: &str| {
        let condition = format!(r#"{{"Null":{{"s3:x-amz-server-side-encryption":{value}}}}}"#);
        (
            holds(&condition, &[]),
            holds(&condition, &[("s3:x-amz-server-side-encryption", &[""])]),
            holds(&condition, &[("s3:x-amz-server-side-encryption-aws-kms-key-id", &["k"])]),
        )
    };
    assert_eq!(null("true"), (true, false, true));
    assert_eq!(null(r#""false""#), (false, true, false));
    assert_eq!(null(r#"["true","false"]"#), (true, true, true));
}

/// Tables of "Conditions with multiple context keys or values": each value of the request, or any.
#[test]
fn several_values_are_quantified() {
    let tags = |operator: &str, said: &[&str]| {
        let condition = format!(r#"{{"{operator}":{{"s3:RequestObjectTagKeys":["environment","cost*"]}}}}"#);
        holds(&condition, &[("s3:RequestObjectTagKeys", said)])
    };
    for (operator, both, one, none) in [
        ("ForAllValues:StringEquals", true, false, false),
        ("ForAnyValue:StringEquals", true, true, false),
        ("ForAllValues:StringNotEquals", false, false, true),
        ("ForAnyValue:StringNotEquals", false, true, true),
        ("StringEquals", true, true, false),
        ("StringNotEquals", false, false, true),
    ] {
        assert_eq!(tags(operator, &["environment", "cost*"]), both, "{operator}");
        assert_eq!(tags(operator, &["environment", "team"]), one, "{operator}");
        assert_eq!(tags(operator, &["team", "costs"]), none, "{operator}");
    }
    assert!(tags("ForAllValues:StringLike", &["environment", "costs"]));
    assert!(!tags("ForAllValues:StringLike", &["environment", "costs", "team"]));
}

/// Every operator and every key must hold; of the values, one.
#[test]
fn all_conditions_must_hold() {
    let condition = r#"{"StringLike":{"aws:Referer":["https://a/*","https://b/*"],"aws:UserAgent":"curl/*"},
        "Bool":{"aws:SecureTransport":true}}"#;
    let says: [(&str, &[&str]); 3] = [
        ("aws:Referer", &["https://b/x"]),
        ("aws:UserAgent", &["curl/8"]),
        ("aws:SecureTransport", &["true"]),
    ];
    assert!(holds(condition, &says));
    for index in 0..says.len() {
        let mut wrong = says;
        wrong[index].1 = &["false"];
        assert!(!holds(condition, &wrong), "{index}");
    }
    assert!(holds("{}", &[]));
}

#[test]
fn every_key_is_known_in_any_case_and_no_other() {
    for key in [
        "aws:CurrentTime",
        "aws:EpochTime",
        "aws:Referer",
        "aws:SecureTransport",
        "aws:SourceIp",
        "aws:UserAgent",
        "s3:x-amz-acl",
        "s3:x-amz-grant-read",
        "s3:x-amz-grant-write",
        "s3:x-amz-grant-read-acp",
        "s3:x-amz-grant-write-acp",
        "s3:x-amz-grant-full-control",
        "s3:prefix",
        "s3:delimiter",
        "s3:max-keys",
        "s3:x-amz-copy-source",
        "s3:x-amz-server-side-encryption",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:x-amz-server-side-encryption-customer-algorithm",
        "s3:x-amz-metadata-directive",
        "s3:RequestObjectTag/team",
        "s3:RequestObjectTagKeys",
        "s3:ExistingObjectTag/a/b c",
        "s3:VersionId",
    ] {
        for spelled in [key.to_owned(), key.to_uppercase(), key.to_lowercase()] {
            let condition = format!(r#"{{"StringEquals":{{"{spelled}":"yes"}}}}"#);
            assert!(holds(&condition, &[(key, &["yes"])]), "{spelled}");
            assert!(!holds(&condition, &[(key, &["no"])]), "{spelled}");
            assert!(!holds(&condition, &[("aws:Other", &["yes"])]), "{spelled}");
        }
    }
    let long = format!("s3:ExistingObjectTag/{}", "k".repeat(129));
    for key in [
        "",
        "aws:PrincipalArn",
        "aws:SourceVpce",
        "s3:prefixes",
        "prefix",
        "s3:ExistingObjectTag",
        "s3:ExistingObjectTag/",
        "s3:x-amz-grant-all",
        "aws:SourceIp/x",
        long.as_str(),
    ] {
        let told = refusal(&conditional(&format!(r#"{{"StringEquals":{{"{key}":"x"}}}}"#)));
        let place = format!("Statement[0].Condition.StringEquals.{key}");
        assert_eq!(told, format!("Policy has an invalid condition key (at {place}: it is not known here)"));
    }
}

/// What follows from the principal is not asked of the request, which might claim it.
#[test]
fn who_asks_is_told_by_the_principal() {
    let claims: &[(&str, &[&str])] =
        &[("aws:username", &["root"]), ("aws:userid", &["root"]), ("aws:PrincipalType", &["Root"])];
    let holds_of = |key: &str, wanted: &str, principal| {
        let policy = policy(&conditional(&format!(r#"{{"StringEquals":{{"{key}":"{wanted}"}}}}"#)));
        let says = Says(claims);
        let ask = ask(principal, Action::GetObject, &says);
        matches!(policy.decide(&ask), Verdict::Allow(_))
    };
    let user_id = format!("{RESEARCH_ID}:alice");
    for (key, of_alice, of_nobody) in [
        ("aws:username", Some("alice"), None),
        ("aws:userid", Some(user_id.as_str()), Some("anonymous")),
        ("aws:PrincipalType", Some("User"), Some("Anonymous")),
    ] {
        for wanted in ["alice", &user_id, "anonymous", "User", "Anonymous", "root", "Root", ""] {
            assert_eq!(holds_of(key, wanted, ALICE), of_alice == Some(wanted), "{key} {wanted}");
            assert_eq!(
                holds_of(key, wanted, Principal::Anonymous),
                of_nobody == Some(wanted),
                "{key} {wanted}"
            );
        }
    }
}

#[test]
fn conditions_that_are_not_understood_are_refused() {
    for (condition, refused) in [
        (r#""x""#, "Invalid policy syntax. (at Statement[0].Condition: a string is no object)"),
        (
            r#"{"StringEqual":{"s3:prefix":"a"}}"#,
            r#"Invalid Condition type (at Statement[0].Condition.StringEqual: no operator is called "StringEqual")"#,
        ),
        (
            r#"{"stringequals":{"s3:prefix":"a"}}"#,
            r#"Invalid Condition type (at Statement[0].Condition.stringequals: no operator is called "stringequals")"#,
        ),
        (
            r#"{"ForSomeValues:StringEquals":{"s3:prefix":"a"}}"#,
            "Invalid Condition type (at Statement[0].Condition.ForSomeValues:StringEquals: no operator is called \
             \"ForSomeValues:StringEquals\")",
        ),
        (
            r#"{"NullIfExists":{"s3:prefix":"true"}}"#,
            r#"Invalid Condition type (at Statement[0].Condition.NullIfExists: no operator is called "NullIfExists")"#,
        ),
        (
            r#"{"ForAnyValue:Null":{"s3:prefix":"true"}}"#,
            "Invalid Condition type (at Statement[0].Condition.ForAnyValue:Null: no operator is called \
             \"ForAnyValue:Null\")",
        ),
        (
            r#"{"StringEqualsIfExistsIfExists":{"s3:prefix":"a"}}"#,
            "Invalid Condition type (at Statement[0].Condition.StringEqualsIfExistsIfExists: no operator is called \
             \"StringEqualsIfExistsIfExists\")",
        ),
        (
            r#"{"StringEquals":{}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals: it names no key)",
        ),
        (
            r#"{"StringEquals":"x"}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals: a string is no object)",
        ),
        (
            r#"{"StringEquals":{"s3:prefix":[]}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals.s3:prefix: it has no value)",
        ),
        (
            r#"{"StringEquals":{"s3:prefix":["a",null]}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals.s3:prefix[1]: null is no value)",
        ),
        (
            r#"{"StringEquals":{"s3:prefix":{"a":"b"}}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals.s3:prefix: an object is no value)",
        ),
        (
            r#"{"StringEquals":{"s3:prefix":"a","s3:prefix":"b"}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals.s3:prefix: it is there twice)",
        ),
        (
            r#"{"StringEquals":{"s3:prefix":"a"},"StringEquals":{"s3:delimiter":"b"}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.StringEquals: it is there twice)",
        ),
        (
            r#"{"NumericEquals":{"s3:max-keys":["1","1e3"]}}"#,
            r#"Invalid policy syntax. (at Statement[0].Condition.NumericEquals.s3:max-keys[1]: "1e3" is no number)"#,
        ),
        (
            r#"{"Bool":{"aws:SecureTransport":"yes"}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.Bool.aws:SecureTransport: \"yes\" is neither true nor false)",
        ),
        (
            r#"{"Null":{"s3:prefix":"yes"}}"#,
            "Invalid policy syntax. (at Statement[0].Condition.Null.s3:prefix: \"yes\" is neither true nor false)",
        ),
        (
            r#"{"BinaryEquals":{"aws:Referer":"?"}}"#,
            r#"Invalid policy syntax. (at Statement[0].Condition.BinaryEquals.aws:Referer: "?" is no base64)"#,
        ),
        (
            r#"{"ArnLike":{"aws:Referer":"arn:aws:s3"}}"#,
            r#"Invalid policy syntax. (at Statement[0].Condition.ArnLike.aws:Referer: "arn:aws:s3" is no ARN)"#,
        ),
        (
            r#"{"ArnLike":{"aws:Referer":"*:*:*:*:*:*"}}"#,
            r#"Invalid policy syntax. (at Statement[0].Condition.ArnLike.aws:Referer: "*:*:*:*:*:*" is no ARN)"#,
        ),
    ] {
        assert_eq!(refusal(&conditional(condition)), refused);
    }
    for network in [
        "",
        "10.0.0",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.256",
        "::/129",
        "::1%lo",
        "/8",
        "10.0.0.0/0008",
    ] {
        let told = refusal(&conditional(&format!(r#"{{"IpAddress":{{"aws:SourceIp":"{network}"}}}}"#)));
        let place = "Statement[0].Condition.IpAddress.aws:SourceIp";
        assert_eq!(told, format!("Invalid policy syntax. (at {place}: {network:?} is no network)"));
    }
    for number in ["", ".5", "5.", "1.2.3", "--1", "0x10", "1 ", "٣"] {
        let told = refusal(&conditional(&format!(r#"{{"NumericEquals":{{"s3:max-keys":"{number}"}}}}"#)));
        let place = "Statement[0].Condition.NumericEquals.s3:max-keys";
        assert_eq!(told, format!("Invalid policy syntax. (at {place}: {number:?} is no number)"));
    }
}

/// A deny with a negated operator also meets who says nothing: "no upload without encryption".
#[test]
fn a_negated_deny_meets_silence() {
    let about = r#""Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::photos/*""#;
    let deny = |condition: &str| policy(&format!(r#"{{"Effect":"Deny",{about},"Condition":{condition}}}"#));
    let is_denied = |policy: &Policy, said: &[(&str, &[&str])]| {
        let says = Says(said);
        let ask = ask(ALICE, Action::PutObject, &says);
        matches!(policy.decide(&ask), Verdict::Deny(_))
    };
    let strict = deny(r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}"#);
    assert!(is_denied(&strict, &[]));
    assert!(is_denied(&strict, &[("s3:x-amz-server-side-encryption", &["aws:kms"])]));
    assert!(!is_denied(&strict, &[("s3:x-amz-server-side-encryption", &["AES256"])]));
    let both = deny(
        r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"},
            "Null":{"s3:x-amz-server-side-encryption":"false"}}"#,
    );
    assert!(!is_denied(&both, &[]));
    assert!(is_denied(&both, &[("s3:x-amz-server-side-encryption", &["aws:kms"])]));
}

#[test]
fn policies_that_read_object_tags_say_so() {
    for (element, reads) in [
        (r#""Condition":{"StringEquals":{"s3:ExistingObjectTag/team":"a"}}"#, true),
        (r#""Condition":{"Null":{"S3:EXISTINGOBJECTTAG/team":"true"}}"#, true),
        (r#""Condition":{"StringEquals":{"aws:Referer":"${s3:ExistingObjectTag/team}"}}"#, true),
        (r#""Condition":{"ArnLike":{"aws:Referer":"arn:aws:s3:::${s3:ExistingObjectTag/team}"}}"#, true),
        (r#""Condition":{"StringEquals":{"s3:RequestObjectTag/team":"a"}}"#, false),
        (r#""Condition":{"StringEquals":{"aws:Referer":"s3:ExistingObjectTag/team"}}"#, false),
        (r#""Sid":"s3:ExistingObjectTag/team""#, false),
    ] {
        let about = r#""Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::photos/*""#;
        assert_eq!(
            policy(&format!(r#"{{"Effect":"Deny",{about},{element}}}"#)).reads_object_tags(),
            reads,
            "{element}"
        );
    }
    let resource = r#""Resource":"arn:aws:s3:::photos/${s3:ExistingObjectTag/team}/*""#;
    let statement = format!(r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject",{resource}}}"#);
    assert!(policy(&statement).reads_object_tags());
}
