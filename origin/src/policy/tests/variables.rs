//! `${…}`: where variables stand, what they are worth, and what is no variable.

use super::*;

/// Whether `StringLike` on the referer with `wanted` holds of a request with these values.
fn is_like_in(
    version: &str,
    operator: &str,
    wanted: &str,
    principal: Principal<'_>,
    said: &[(&str, &[&str])],
) -> bool {
    let about = r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*""#;
    let condition = format!(r#"{{"{operator}":{{"aws:Referer":"{wanted}"}}}}"#);
    let text = format!(
        r#"{{"Version":"{version}","Statement":{{"Effect":"Allow",{about},"Condition":{condition}}}}}"#
    );
    let policy = Policy::parse(&text, BUCKET).unwrap_or_else(|refused| panic!("{refused}: {text}"));
    let says = Says(said);
    let ask = ask(principal, Action::GetObject, &says);
    matches!(policy.decide(&ask), Verdict::Allow(_))
}

fn is_like(wanted: &str, referer: &str) -> bool {
    is_like_in(
        "2012-10-17",
        "StringLike",
        wanted,
        ALICE,
        &[("aws:Referer", &[referer]), ("s3:prefix", &["p*"])],
    )
}

#[test]
fn variables_and_their_neighbours() {
    for (wanted, matches, differs) in [
        ("${aws:username}", "alice", "${aws:username}"),
        ("${AWS:UserName}", "alice", "Alice"),
        ("${ aws:username }", "alice", " alice "),
        ("home/${aws:username}/*", "home/alice/x", "home/alice2/x"),
        ("${aws:username}${aws:username}", "alicealice", "alice"),
        ("${s3:prefix}", "p*", "pq"),
        ("${s3:prefix}*", "p*q", "pq"),
        ("${*}${?}${$}{x}", "*?${x}", "ab${x}"),
        ("a${*}b", "a*b", "axb"),
        ("$aws:username", "$aws:username", "alice"),
        ("{aws:username}", "{aws:username}", "alice"),
        ("$${aws:username}", "$alice", "alice"),
        ("${aws:username, 'nobody'}", "alice", "nobody"),
        ("${s3:delimiter, 'nobody'}", "nobody", "alice"),
        ("${s3:delimiter,'it''s'}", "it's", "it''s"),
        ("${s3:delimiter, '*'}", "*", "x"),
        ("${s3:delimiter, ''}x", "x", "xx"),
        ("${s3:delimiter, '}'}", "}", "'}"),
        ("${s3:delimiter, '${aws:username}'}", "${aws:username}", "alice"),
    ] {
        assert!(is_like(wanted, matches), "{wanted} {matches}");
        assert!(!is_like(wanted, differs), "{wanted} {differs}");
    }
}

/// Nothing equals a text with a variable that has no value.
#[test]
fn a_variable_without_a_value_matches_nothing() {
    let said: &[(&str, &[&str])] = &[("aws:Referer", &[""])];
    for operator in ["StringEquals", "StringLike", "StringEqualsIgnoreCase"] {
        assert!(is_like_in("2012-10-17", operator, "", Principal::Anonymous, said));
        assert!(
            !is_like_in("2012-10-17", operator, "${aws:username}", Principal::Anonymous, said),
            "{operator}"
        );
    }
    assert!(!is_like_in("2012-10-17", "StringLike", "*${aws:username}*", Principal::Anonymous, said));
}

/// An exception that nobody can read is none from a Deny, and no reason to allow.
#[test]
fn a_variable_without_a_value_never_opens() {
    let all = r#""Resource":"arn:aws:s3:::photos/*""#;
    let not_like = |operator: &str, wanted: &str| {
        format!(r#"{all},"Condition":{{"{operator}":{{"aws:Referer":{wanted}}}}}"#)
    };
    let own = r#""arn:aws:s3:::photos/${aws:username}/*""#;
    let own_or_nobody = r#""arn:aws:s3:::photos/${aws:username, 'nobody'}/*""#;
    // What the statement is about; whether an Allow of it applies to nobody and to alice; whether a Deny does.
    for (about, allows, denies) in [
        (format!(r#""Resource":{own}"#), [false, true], [false, true]),
        (format!(r#""Resource":[{own},"arn:aws:s3:::photos/alice/*"]"#), [true, true], [true, true]),
        (format!(r#""Resource":{own_or_nobody}"#), [false, true], [false, true]),
        (format!(r#""NotResource":{own}"#), [false, false], [true, false]),
        (format!(r#""NotResource":[{own},"arn:aws:s3:::photos/x"]"#), [false, false], [true, false]),
        (format!(r#""NotResource":[{own},"arn:aws:s3:::photos/alice/a"]"#), [false, false], [false, false]),
        (format!(r#""NotResource":{own_or_nobody}"#), [true, false], [true, false]),
        (r#""NotResource":"arn:aws:s3:::photos/x""#.to_owned(), [true, true], [true, true]),
        (not_like("StringLike", r#""${aws:username}""#), [false, true], [false, true]),
        (not_like("StringNotLike", r#""${aws:username}""#), [false, false], [true, false]),
        (not_like("StringNotEquals", r#""${aws:username}""#), [false, false], [true, false]),
        (not_like("StringNotEquals", r#"["${aws:username}","x"]"#), [false, false], [true, false]),
        (not_like("StringNotEquals", r#"["${aws:username}","alice"]"#), [false, false], [false, false]),
        (not_like("StringNotEquals", r#""${aws:username, 'nobody'}""#), [true, false], [true, false]),
        (not_like("StringNotEqualsIgnoreCase", r#""${aws:username}""#), [false, false], [true, false]),
        (not_like("ForAnyValue:StringNotEquals", r#""${aws:username}""#), [false, false], [true, false]),
        (not_like("ForAllValues:StringNotEquals", r#""${aws:username}""#), [false, false], [true, false]),
        (not_like("ArnNotLike", r#""arn:aws:iam::${aws:username}:root""#), [false, true], [true, true]),
        (not_like("StringNotEquals", r#""x""#), [true, true], [true, true]),
    ] {
        for (effect, applies) in [("Allow", allows), ("Deny", denies)] {
            let policy = policy(&format!(
                r#"{{"Effect":"{effect}","Principal":"*","Action":"s3:GetObject",{about}}}"#
            ));
            for (principal, applies) in [Principal::Anonymous, ALICE].into_iter().zip(applies) {
                let said: &[(&str, &[&str])] = &[("aws:Referer", &["alice"])];
                let verdict = policy.decide(&Ask {
                    principal,
                    action: Action::GetObject,
                    resource: "arn:aws:s3:::photos/alice/a",
                    owner: "research",
                    context: &Says(said),
                });
                assert_eq!(verdict != Verdict::Silent, applies, "{effect} {about} {}", principal.kind());
            }
        }
    }
}

#[test]
fn variables_in_every_operator_of_texts() {
    for (operator, wanted, said, is_match) in [
        ("StringEquals", "${aws:username}*", "alice*", true),
        ("StringEquals", "${aws:username}*", "alicex", false),
        ("StringEqualsIgnoreCase", "${aws:username}", "ALICE", true),
        ("StringNotEquals", "${aws:username}", "alice", false),
        (
            "ArnLike",
            "arn:aws:iam::${aws:username}:user/${aws:username, 'a:b'}",
            "arn:aws:iam::alice:user/alice",
            true,
        ),
        ("ArnLike", "arn:aws:iam::${aws:username}:user/x", "arn:aws:iam::bob:user/x", false),
        ("ArnNotEquals", "arn:aws:iam::${aws:username}:root", "arn:aws:iam::alice:root", false),
    ] {
        let said: &[(&str, &[&str])] = &[("aws:Referer", &[said])];
        assert_eq!(is_like_in("2012-10-17", operator, wanted, ALICE, said), is_match, "{operator} {wanted}");
    }
}

/// Before 2012-10-17 there were none.
#[test]
fn the_old_version_has_no_variables() {
    for (wanted, said, is_match) in [
        ("${aws:username}", "alice", false),
        ("${aws:username}", "${aws:username}", true),
        ("${*}", "${anything}", true),
        ("${", "${", true),
        ("${no:such}", "${no:such}", true),
    ] {
        let said: &[(&str, &[&str])] = &[("aws:Referer", &[said])];
        assert_eq!(is_like_in("2008-10-17", "StringLike", wanted, ALICE, said), is_match, "{wanted}");
    }
}

#[test]
fn what_is_no_variable_is_refused() {
    for (wanted, why) in [
        ("${", "a variable is not closed"),
        ("a${aws:username", "a variable is not closed"),
        ("${}", r#"no variable is called """#),
        ("${no:such}", r#"no variable is called "no:such""#),
        ("${aws:username, nobody}", "a variable's default is not in single quotes"),
        ("${aws:username, 'nobody}", "a variable's default is not closed"),
        ("${aws:username, 'no''}", "a variable's default is not closed"),
        ("${aws:username, 'nobody'", "a variable is not closed"),
        ("${aws:username, 'a' 'b'}", "a variable is not closed"),
        ("${**}", r#"no variable is called "**""#),
        (
            "${s3:RequestObjectTagKeys}",
            r#""s3:RequestObjectTagKeys" may have several values, and so is no variable"#,
        ),
    ] {
        let about = r#""Effect":"Deny","Principal":"*","Action":"s3:GetObject""#;
        let condition = format!(
            r#"{{{about},"Resource":"*","Condition":{{"StringEquals":{{"aws:Referer":["a","{wanted}"]}}}}}}"#
        );
        let place = "Statement[0].Condition.StringEquals.aws:Referer[1]";
        assert_eq!(refusal(&condition), format!("Invalid policy syntax. (at {place}: {why})"));
        let resource = format!(r#"{{{about},"Resource":"arn:aws:s3:::photos/{wanted}"}}"#);
        let place = "Statement[0].Resource";
        assert_eq!(refusal(&resource), format!("Policy has invalid resource (at {place}: {why})"));
    }
    // Elsewhere there are no variables: these are no number, date, network or truth.
    for operator in ["NumericEquals", "DateEquals", "IpAddress", "Bool", "BinaryEquals", "Null"] {
        let about = r#""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*""#;
        let told = refusal(&format!(
            r#"{{{about},"Condition":{{"{operator}":{{"aws:Referer":"${{aws:username}}"}}}}}}"#
        ));
        assert!(told.starts_with("Invalid policy syntax. (at Statement[0].Condition."), "{told}");
    }
}
