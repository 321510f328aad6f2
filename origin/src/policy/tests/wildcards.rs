//! `*` and `?`.

use proptest::prelude::*;

use crate::policy::pattern::Glob;
use crate::policy::steps::{STEPS_MAX, Steps};
use crate::policy::tests::*;

#[test]
fn wildcards_and_their_neighbours() {
    for (pattern, matches, differs) in [
        ("", "", "a"),
        ("abc", "abc", "abcd"),
        ("abc", "abc", "ABC"),
        ("a?c", "abc", "ac"),
        ("a?c", "aéc", "abbc"),
        ("?", "a", ""),
        ("*", "", "\u{0}never"),
        ("a*", "a", "ba"),
        ("*a", "a", "ab"),
        ("a*c", "ac", "acb"),
        ("a*c", "abcbc", "a"),
        ("a*b*c", "axbxc", "axcxb"),
        ("a**c", "ac", "a"),
        ("a?*c", "abc", "ac"),
        ("*?", "a", ""),
        ("ab*ba", "abba", "aba"),
        ("*ab?d*", "xxabxabcd!", "xxabxabc"),
        ("*.jpg", "a/b/c.jpg", "a/b/c.jpg/"),
        ("photos/*/raw", "photos/a/b/raw", "photos/raw"),
        ("é*", "éa", "e"),
    ] {
        let (glob, steps) = (Glob::with_wildcards(pattern), Steps::of_decision());
        assert!(glob.matches(matches, &steps), "{pattern} {matches}");
        if pattern != "*" {
            assert!(!glob.matches(differs, &steps), "{pattern} {differs}");
        }
    }
}

/// The definition: a star is nothing, or a character and a star.
fn is_of(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        (['*', rest @ ..], _) => is_of(rest, text) || (!text.is_empty() && is_of(pattern, &text[1..])),
        (['?', rest @ ..], [_, after @ ..]) => is_of(rest, after),
        ([char, rest @ ..], [first, after @ ..]) => char == first && is_of(rest, after),
        (_, []) => false,
    }
}

proptest! {
    #[test]
    fn wildcards_are_as_defined(pattern in "[ab?*é]{0,8}", text in "[abé]{0,10}") {
        let (pattern_chars, text_chars): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(
            Glob::with_wildcards(&pattern).matches(&text, &Steps::of_decision()),
            is_of(&pattern_chars, &text_chars),
            "{} {}", pattern, text
        );
    }

    /// A start is possible exactly if some text with it matches; of so small patterns, one not much longer does.
    #[test]
    fn possible_starts_are_as_defined(pattern in "[ab?*]{0,4}", start in "[ab]{0,3}") {
        let glob = Glob::with_wildcards(&pattern);
        let tails = (0..=5_usize).flat_map(|length| (0..1_u32 << length).map(move |bits| {
            (0..length).map(|index| if bits & (1 << index) == 0 { 'a' } else { 'b' }).collect::<String>()
        }));
        let some = tails.map(|tail| format!("{start}{tail}")).any(|text| glob.matches(&text, &Steps::of_decision()));
        prop_assert_eq!(glob.may_begin_with(&start), some, "{} {}", pattern, start);
    }
}

/// Pieces with `?` of more than one machine word, wherever they are, and with one character wrong.
#[test]
fn long_pieces_with_holes_are_found() {
    for length in [1, 2, 63, 64, 65, 127, 128, 129, 200] {
        let piece: String = (0..length).map(|index| if index % 3 == 1 { '?' } else { 'x' }).collect();
        let glob = Glob::with_wildcards(&format!("*{piece}?!*"));
        let steps = Steps::of_decision();
        for before in ["", "x", "éx", "xéx", &"xé".repeat(70)] {
            let text = format!("{before}{}é!.", piece.replace('?', "é"));
            assert!(glob.matches(&text, &steps), "{length} {before}");
            let wrong = text.replacen("é!", "é?", 1);
            assert!(!glob.matches(&wrong, &steps), "{length} {before}");
            let wrong = format!("{before}y{}é!.", piece[1..].replace('?', "é"));
            assert!(!glob.matches(&wrong, &steps), "{length} {before}");
        }
    }
}

/// What makes backtracking matchers exponential: many stars, and a text that almost matches.
#[test]
fn stars_are_linear() {
    let (text, steps) = ("a".repeat(8192), Steps::of_decision());
    let pattern = "*a".repeat(5000) + "b";
    assert!(!Glob::with_wildcards(&pattern).matches(&text, &steps));
    let pattern = "*a".repeat(5000) + "*b*";
    assert!(!Glob::with_wildcards(&pattern).matches(&text, &steps));
    let taken = STEPS_MAX - steps.left();
    assert!(taken < 3 * (text.len() + pattern.len()) && !steps.ran_out(), "{taken}");
}

/// The longest texts that a request brings.
const TEXT_BYTES: usize = 16 * 1024;

/// A policy that allows, or denies, where the referer is `wanted`.
fn on_referer(effect: &str, operator: &str, wanted: &[String]) -> Policy {
    let about = r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*""#;
    let wanted = wanted.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",");
    policy(&format!(
        r#"{{"Effect":"{effect}",{about},"Condition":{{"{operator}":{{"aws:Referer":[{wanted}]}}}}}}"#
    ))
}

/// The verdict on a read with that referer, and the steps that it took.
fn verdict_and_steps<'p>(policy: &'p Policy, referer: &str) -> (Verdict<'p>, usize) {
    let said: &[&str] = &[referer];
    let says = Says(&[("aws:Referer", said)]);
    let ask = ask(ALICE, Action::GetObject, &says);
    let steps = Steps::of_decision();
    let verdict = policy.decide_within(&ask, &steps);
    (verdict, STEPS_MAX - steps.left())
}

/// Whatever a policy and a request come to, a decision ends, and not with what it did not look at.
#[test]
fn a_hostile_policy_costs_no_more_than_the_bound() {
    let filled = |text: &str| vec![text.to_owned(); 18 * 1024 / (text.len() + 3)];
    let holed = |literal: usize| format!("*{}{}b*", "a".repeat(literal), "?".repeat(64));
    let long = "a".repeat(TEXT_BYTES);
    for (operator, wanted, referer) in [
        ("StringLike", filled(&holed(0)), &long),
        ("StringLike", filled(&holed(3000)), &long),
        ("StringLike", filled("*a?b*"), &long),
        ("StringLike", filled("*b*"), &long),
        ("StringLike", filled(&"${aws:Referer}".repeat(16)), &long),
        ("StringLike", filled("*${aws:Referer}b"), &long),
        ("StringLike", filled("*?${aws:username}?b*"), &long),
        ("StringEquals", filled("${aws:Referer}b"), &long),
        ("StringEqualsIgnoreCase", filled("b"), &long),
        ("StringEqualsIgnoreCase", filled("${aws:Referer}${aws:Referer}${aws:Referer}b"), &long),
        ("ArnLike", filled("arn:aws:s3:::*b*"), &format!("arn:aws:s3:::{long}")),
    ] {
        let allows = on_referer("Allow", operator, &wanted);
        let (verdict, taken) = verdict_and_steps(&allows, referer);
        assert_eq!(verdict, Verdict::Silent, "{operator} {}", wanted[0]);
        assert!((STEPS_MAX / 2..=STEPS_MAX).contains(&taken), "{operator} {}: {taken}", wanted[0]);
        let denies = on_referer("Deny", operator, &wanted);
        let (verdict, _) = verdict_and_steps(&denies, referer);
        assert!(matches!(verdict, Verdict::Deny(_)), "{operator} {}", wanted[0]);
        // The same of a request as people make them is looked at to its end.
        let (verdict, taken) = verdict_and_steps(&denies, "https://example.org/");
        assert_eq!(verdict, Verdict::Silent, "{operator} {}: {taken}", wanted[0]);
    }
    // An allow that would hold is none when a deny before it has left nothing to look with.
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"*","Condition":{{"StringLike":{{"aws:Referer":["{}"]}}}}}},
            {{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}}]}}"#,
        filled("*a?b*").join("\",\"")
    );
    let policy = Policy::parse(&text, BUCKET).expect("a policy");
    assert!(matches!(verdict_and_steps(&policy, &long).0, Verdict::Deny(_)));
    assert!(matches!(verdict_and_steps(&policy, "https://example.org/").0, Verdict::Allow(_)));
}

/// Many patterns, none of them hostile, and a long header: far from the bound.
#[test]
fn what_people_write_is_far_from_the_bound() {
    let wanted: Vec<_> = (0..100).map(|number| format!("*bot?{number}*")).collect();
    let denies = on_referer("Deny", "StringLike", &wanted);
    let (verdict, taken) = verdict_and_steps(&denies, &"Mozilla ".repeat(25));
    assert_eq!(verdict, Verdict::Silent);
    assert!(taken < STEPS_MAX / 4, "{taken}");
}

#[test]
fn a_text_has_a_limit_of_wildcards_and_of_variables() {
    let statement = |operator: &str, wanted: &str| {
        format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"*","Condition":{{"{operator}":{{"aws:Referer":"{wanted}"}}}}}}"#
        )
    };
    for (operator, part, most, why) in [
        ("StringLike", "?", 64, r#"a text has at most 64 wildcards "?""#),
        ("StringLike", "a?", 64, r#"a text has at most 64 wildcards "?""#),
        ("StringLike", "${aws:username}", 16, "a text has at most 16 variables"),
        ("StringEquals", "${aws:username}", 16, "a text has at most 16 variables"),
    ] {
        policy(&statement(operator, &part.repeat(most)));
        let told = refusal(&statement(operator, &part.repeat(most + 1)));
        let place = format!("Statement[0].Condition.{operator}.aws:Referer");
        assert_eq!(told, format!("Invalid policy syntax. (at {place}: {why})"));
    }
    // Where they are characters, and not wildcards, there may be any number.
    policy(&statement("StringEquals", &"?".repeat(65)));
    policy(&statement("StringLike", &"${?}".repeat(65)));
}

/// Values that are too long to be the text end the comparison, not the match of one that is just as long.
#[test]
fn a_resolved_text_may_be_as_long_as_what_it_is_held_against() {
    for (operator, wanted, said, is_match) in [
        ("StringEquals", "${aws:username}", "alice", true),
        ("StringEquals", "${aws:username}", "alic", false),
        ("StringLike", "${aws:username}?", "alicex", true),
        ("StringLike", "${aws:username}?", "alice", false),
        ("StringLike", "*${aws:username}*", "alice", true),
        ("StringLike", "*${aws:username}*", "lice", false),
        ("StringEqualsIgnoreCase", "${aws:username, 'x'}\u{212A}", "alicek", true),
        ("StringEqualsIgnoreCase", "\u{212A}\u{212A}\u{212A}", "kkk", true),
        ("StringEqualsIgnoreCase", "\u{212A}\u{212A}\u{212A}", "kk", false),
    ] {
        let allows = on_referer("Allow", operator, &[wanted.to_owned()]);
        let is_allowed = matches!(verdict_and_steps(&allows, said).0, Verdict::Allow(_));
        assert_eq!(is_allowed, is_match, "{operator} {wanted} {said}");
    }
}
