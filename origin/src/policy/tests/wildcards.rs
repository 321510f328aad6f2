//! `*` and `?`.

use proptest::prelude::*;

use crate::policy::pattern::Glob;

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
        let glob = Glob::with_wildcards(pattern);
        assert!(glob.matches(matches), "{pattern} {matches}");
        if pattern != "*" {
            assert!(!glob.matches(differs), "{pattern} {differs}");
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
            Glob::with_wildcards(&pattern).matches(&text),
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
        let some = tails.map(|tail| format!("{start}{tail}")).any(|text| glob.matches(&text));
        prop_assert_eq!(glob.may_begin_with(&start), some, "{} {}", pattern, start);
    }
}

/// Pieces with `?` of more than one machine word, wherever they are, and with one character wrong.
#[test]
fn long_pieces_with_holes_are_found() {
    for length in [1, 2, 63, 64, 65, 127, 128, 129, 200] {
        let piece: String = (0..length).map(|index| if index % 3 == 1 { '?' } else { 'x' }).collect();
        let glob = Glob::with_wildcards(&format!("*{piece}?!*"));
        for before in ["", "x", "éx", "xéx", &"xé".repeat(70)] {
            let text = format!("{before}{}é!.", piece.replace('?', "é"));
            assert!(glob.matches(&text), "{length} {before}");
            let wrong = text.replacen("é!", "é?", 1);
            assert!(!glob.matches(&wrong), "{length} {before}");
            let wrong = format!("{before}y{}é!.", piece[1..].replace('?', "é"));
            assert!(!glob.matches(&wrong), "{length} {before}");
        }
    }
}

/// What makes backtracking matchers exponential: many stars, and a text that almost matches.
#[test]
fn a_hostile_pattern_is_cheap() {
    let started = std::time::Instant::now();
    let pattern = "*a".repeat(5000) + "b";
    assert!(!Glob::with_wildcards(&pattern).matches(&"a".repeat(8192)));
    let holed = format!("*{}b*", "a?".repeat(250));
    assert!(!Glob::with_wildcards(&holed).matches(&"a".repeat(1024)));
    let long = format!("*{}b*", "a?".repeat(10_000));
    assert!(!Glob::with_wildcards(&long).matches(&"a".repeat(30_000)));
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}
