//! Wildcards: `*` is any run of characters, none too, and `?` is any one; everything else is itself.
//!
//! A pattern is cut at its stars. The first piece must begin the text, the last must end it, and each between is
//! taken where it first occurs: the leftmost place leaves the most text for the rest, so nothing is ever tried
//! again, and no pattern takes more than (its length × the text's) steps.

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

    /// Whether all of `text` is of this pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (first, rest) = self.pieces.split_first().expect("a pattern has a piece");
        let Some((last, between)) = rest.split_last() else {
            return first.strip_prefix(text).is_some_and(str::is_empty);
        };
        let inner = first.strip_prefix(text).and_then(|text| last.strip_suffix(text));
        inner.is_some_and(|text| {
            between.iter().try_fold(text, |text, piece| piece.strip_through(text)).is_some()
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
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.strip_prefix(literal.as_str()),
            Self::Holed(chars) => {
                let mut rest = text.chars();
                let begins = chars.iter().all(|expected| {
                    rest.next().is_some_and(|char| expected.is_none_or(|expected| expected == char))
                });
                begins.then_some(rest.as_str())
            }
        }
    }

    /// What stands before this piece in a text that it ends.
    fn strip_suffix<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.strip_suffix(literal.as_str()),
            Self::Holed(chars) => {
                let mut rest = text.chars();
                let ends = chars.iter().rev().all(|expected| {
                    rest.next_back().is_some_and(|char| expected.is_none_or(|expected| expected == char))
                });
                ends.then_some(rest.as_str())
            }
        }
    }

    /// What follows the first place in `text` where this piece occurs.
    fn strip_through<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.find(literal.as_str()).map(|at| &text[at + literal.len()..]),
            Self::Holed(chars) => {
                let mut rest = text;
                // A character is a byte at least: what is shorter than the piece cannot hold it.
                while rest.len() >= chars.len() {
                    if let Some(after) = self.strip_prefix(rest) {
                        return Some(after);
                    }
                    let mut next = rest.chars();
                    next.next();
                    rest = next.as_str();
                }
                None
            }
        }
    }
}
