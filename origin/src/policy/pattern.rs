//! Wildcards: `*` is any run of characters, none too, and `?` is any one; everything else is itself.
//!
//! A pattern is cut at its stars. The first piece must begin the text, the last must end it, and each between is
//! taken where it first occurs: the leftmost place leaves the most text for the rest, so nothing is ever tried
//! again. A piece without `?` is found in steps linear in the text, one with it in a step for each character of the
//! text and 64 of the piece; what is compared stops where the decision's [`Steps`] run out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::steps::Steps;

/// A pattern without variables, ready to be held against texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// What stands between the stars; at least one, empty ones too.
    pieces: Vec<Piece>,
}

/// A run without a star.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// Characters, and `None` for each `?`.
    Holed(Vec<Option<char>>),
}

impl Default for Glob {
    fn default() -> Self {
        Self { pieces: vec![Piece::Literal(String::new())] }
    }
}

impl Glob {
    /// The pattern that `text` writes, every `*` and `?` a wildcard.
    pub(super) fn with_wildcards(text: &str) -> Self {
        let mut glob = Self::default();
        for char in text.chars() {
            match char {
                '*' => glob.push_any(),
                '?' => glob.push_one(),
                _ => glob.push(char),
            }
        }
        glob
    }

    /// Adds a character that stands for itself.
    pub(super) fn push(&mut self, char: char) {
        match self.last() {
            Piece::Literal(text) => text.push(char),
            Piece::Holed(chars) => chars.push(Some(char)),
        }
    }

    /// Adds a text that stands for itself.
    pub(super) fn push_text(&mut self, text: &str) {
        text.chars().for_each(|char| self.push(char));
    }

    /// Adds a `?`.
    pub(super) fn push_one(&mut self) {
        match self.last() {
            Piece::Holed(chars) => chars.push(None),
            Piece::Literal(text) => {
                let chars = text.chars().map(Some).chain([None]).collect();
                *self.last() = Piece::Holed(chars);
            }
        }
    }

    /// Adds a `*`.
    pub(super) fn push_any(&mut self) {
        self.pieces.push(Piece::Literal(String::new()));
    }

    /// Whether all of `text` is of this pattern; where the steps run out, it is taken not to be.
    pub(super) fn matches(&self, text: &str, steps: &Steps) -> bool {
        let (first, rest) = self.pieces.split_first().expect("a pattern has a piece");
        let Some((last, between)) = rest.split_last() else {
            return first.strip_prefix(text, steps).is_some_and(str::is_empty);
        };
        let inner = first.strip_prefix(text, steps).and_then(|text| last.strip_suffix(text, steps));
        inner.is_some_and(|text| {
            between.iter().try_fold(text, |text, piece| piece.strip_through(text, steps)).is_some()
        })
    }

    /// Whether some text that begins with `start` is of this pattern.
    pub(super) fn may_begin_with(&self, start: &str) -> bool {
        let (first, others) = self.pieces.split_first().expect("a pattern has a piece");
        // After a star anything may come: only what stands before it is held against the start.
        let is_long_enough = !others.is_empty() || first.chars().count() >= start.chars().count();
        is_long_enough
            && first.chars().zip(start.chars()).all(|(expected, char)| expected.is_none_or(|one| one == char))
    }

    fn last(&mut self) -> &mut Piece {
        self.pieces.last_mut().expect("a pattern has a piece")
    }
}

impl Piece {
    /// Each character, `None` for any one.
    fn chars(&self) -> Box<dyn Iterator<Item = Option<char>> + '_> {
        match self {
            Self::Literal(text) => Box::new(text.chars().map(Some)),
            Self::Holed(chars) => Box::new(chars.iter().copied()),
        }
    }

    /// What follows this piece in a text that it begins.
    fn strip_prefix<'t>(&self, text: &'t str, steps: &Steps) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => compare(literal, text, steps)?.strip_prefix(literal.as_str()),
            Self::Holed(chars) => {
                let mut rest = text.chars();
                let begins = chars.iter().all(|expected| {
                    steps.take(1)
                        && rest.next().is_some_and(|char| expected.is_none_or(|expected| expected == char))
                });
                begins.then_some(rest.as_str())
            }
        }
    }

    /// What stands before this piece in a text that it ends.
    fn strip_suffix<'t>(&self, text: &'t str, steps: &Steps) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => compare(literal, text, steps)?.strip_suffix(literal.as_str()),
            Self::Holed(chars) => {
                let mut rest = text.chars();
                let ends = chars.iter().rev().all(|expected| {
                    steps.take(1)
                        && rest
                            .next_back()
                            .is_some_and(|char| expected.is_none_or(|expected| expected == char))
                });
                ends.then_some(rest.as_str())
            }
        }
    }

    /// What follows the first place in `text` where this piece occurs.
    fn strip_through<'t>(&self, text: &'t str, steps: &Steps) -> Option<&'t str> {
        match self {
            Self::Literal(literal) if literal.len() > text.len() => compare(literal, text, steps).and(None),
            Self::Literal(literal) => {
                let after = text.find(literal.as_str()).map(|at| &text[at + literal.len()..]);
                // What a search reads: the literal, to prepare, and the text as far as it went.
                let read = literal.len() + text.len() - after.map_or(0, str::len);
                if steps.take(1 + read) { after } else { None }
            }
            Self::Holed(chars) => after_first(chars, text, steps),
        }
    }
}

/// What follows the first place in `text` where `chars` occur, `None` for any one: all places are tried at once, a
/// bit each for how many of the characters agree so far ("shift and", Baeza-Yates and Gonnet 1992). Trying one place
/// after the other would take (length × length) steps of a hostile pattern, 20 times as many as this.
fn after_first<'t>(chars: &[Option<char>], text: &'t str, steps: &Steps) -> Option<&'t str> {
    // A character is a byte at least: what is shorter than the piece cannot hold it.
    if chars.len() > text.len() || !steps.take(chars.len()) {
        return None;
    }
    let words_count = chars.len().div_ceil(64);
    let bit = |index: usize| 1_u64 << (index % 64);
    let mut holes = vec![0; words_count];
    let mut places: HashMap<char, Vec<u64>> = HashMap::new();
    for (index, expected) in chars.iter().enumerate() {
        let words = match expected {
            None => &mut holes,
            Some(char) => match places.entry(*char) {
                Entry::Occupied(words) => words.into_mut(),
                Entry::Vacant(_) if !steps.take(words_count) => return None,
                Entry::Vacant(none) => none.insert(vec![0; words_count]),
            },
        };
        words[index / 64] |= bit(index);
    }
    let mut agreeing = vec![0_u64; words_count];
    for (at, char) in text.char_indices() {
        if !steps.take(words_count) {
            return None;
        }
        let here = places.get(&char);
        let mut carry = 1;
        for (index, word) in agreeing.iter_mut().enumerate() {
            let allowed = holes[index] | here.map_or(0, |here| here[index]);
            let shifted = *word << 1 | carry;
            carry = *word >> 63;
            *word = shifted & allowed;
        }
        let last = chars.len() - 1;
        if agreeing[last / 64] & bit(last) != 0 {
            return Some(&text[at + char.len_utf8()..]);
        }
    }
    None
}

/// `text`, with the steps taken for comparing it with `literal` once.
fn compare<'t>(literal: &str, text: &'t str, steps: &Steps) -> Option<&'t str> {
    steps.take(1 + literal.len().min(text.len())).then_some(text)
}
