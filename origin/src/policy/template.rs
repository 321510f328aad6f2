//! A text of a policy in which parts may stand for what the request brings: `${aws:username}` and friends.
//!
//! Variables exist since version 2012-10-17; before it, `${` is text. What a variable brings is only ever text: a `*`
//! in a client's header is no wildcard. A variable without a value and without a default makes a text that nothing
//! equals ("IAM policy elements: variables and tags" in the IAM user guide). What follows from that:
//!
//! | where the variable stands | Allow | Deny |
//! |---|---|---|
//! | `Resource`, or a condition that is not negated | that text names nothing: others may | that text names nothing |
//! | `NotResource`, or a negated condition | the statement does not apply | that text excepts nothing: it applies |
//!
//! An exception that cannot be read would otherwise allow what its writer meant to leave out. A Deny on a `Resource` is
//! about the things of that name, and there are none: a request without a user name is not in anybody's folder.

use super::key::Key;
use super::pattern::Glob;
use super::steps::Steps;

/// Most variables of one text.
const VARIABLES_MAX: usize = 16;
/// Most `?` of one text.
const ONES_MAX: usize = 64;
/// Most bytes of characters whose lower case is one byte: U+212A, the sign of the kelvin, is `k`.
const BYTES_PER_LOWERED_BYTE: usize = 3;

/// How the texts of one policy are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variables {
    /// `${…}` is a variable, or one of `${*}`, `${?}` and `${$}`.
    Known,
    /// `${` is text.
    Unknown,
}

/// Whether `*` and `?` mean more than themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wildcards {
    /// `*` and `?` are wildcards.
    Yes,
    /// They are characters.
    No,
}

/// A text of a policy, ready to be held against a request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// The whole, when no part is a variable.
    fixed: Option<Glob>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `?`
    One,
    /// `*`
    Any,
    Variable {
        key: Key,
        default: Option<String>,
    },
}

/// What a template is held against a text with.
#[derive(Clone, Copy)]
pub(super) struct Resolve<'r> {
    /// The value of a key that a variable names.
    pub(super) value: &'r dyn Fn(&Key) -> Option<String>,
    /// What the decision has left.
    pub(super) steps: &'r Steps,
}

impl Template {
    /// The template that `text` writes.
    ///
    /// # Errors
    /// A sentence about the variable that is not understood.
    pub(super) fn parse(text: &str, variables: Variables, wildcards: Wildcards) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let is_special = |char: char| match char {
                '*' | '?' => wildcards == Wildcards::Yes,
                '$' => variables == Variables::Known,
                _ => false,
            };
            let (part, after) = match rest.find(is_special) {
                Some(0) if rest.starts_with('*') => (Part::Any, &rest[1..]),
                Some(0) if rest.starts_with('?') => (Part::One, &rest[1..]),
                Some(0) if rest.starts_with("${") => variable(rest)?,
                // A dollar sign that begins no variable.
                Some(0) => (Part::Text("$".to_owned()), &rest[1..]),
                end => {
                    let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
                    (Part::Text(text.to_owned()), after)
                }
            };
            push(&mut parts, part);
            rest = after;
        }
        let count = |is: fn(&Part) -> bool| parts.iter().filter(|part| is(part)).count();
        if count(|part| matches!(part, Part::Variable { .. })) > VARIABLES_MAX {
            return Err(format!("a text has at most {VARIABLES_MAX} variables"));
        }
        if count(|part| matches!(part, Part::One)) > ONES_MAX {
            return Err(format!("a text has at most {ONES_MAX} wildcards \"?\""));
        }
        let mut template = Self { parts, fixed: None };
        if template.keys().next().is_none() {
            template.fixed = Some(template.outline());
        }
        Ok(template)
    }

    /// Whether `text` is of this template, with the variables that `resolve` knows.
    pub(super) fn matches(&self, text: &str, resolve: &Resolve<'_>) -> bool {
        match &self.fixed {
            Some(glob) => glob.matches(text, resolve.steps),
            None => self.resolved(resolve, text.len()).is_some_and(|glob| glob.matches(text, resolve.steps)),
        }
    }

    /// Whether `text` is this template's text, whatever the case; wildcards are not for this.
    pub(super) fn matches_ignoring_case(&self, text: &str, resolve: &Resolve<'_>) -> bool {
        if !resolve.steps.take(1 + text.len()) {
            return false;
        }
        let lowered = text.to_lowercase();
        let mut own = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => own.push_str(text),
                Part::One => own.push('?'),
                Part::Any => own.push('*'),
                Part::Variable { key, default } => match value(key, default.as_ref(), resolve) {
                    Some(value) => own.push_str(&value),
                    None => return false,
                },
            }
            if own.len() > BYTES_PER_LOWERED_BYTE * lowered.len() {
                return false;
            }
        }
        resolve.steps.take(own.len()) && own.to_lowercase() == lowered
    }

    /// Whether each of its variables has a value or a default.
    pub(super) fn is_resolved(&self, resolve: &Resolve<'_>) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Variable { key, default } => value(key, default.as_ref(), resolve).is_some(),
            Part::Text(_) | Part::One | Part::Any => true,
        })
    }

    /// The one text that it is; `None` with wildcards or variables.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The keys of its variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { key, .. } => Some(key),
            Part::Text(_) | Part::One | Part::Any => None,
        })
    }

    /// Everything that it could be: any text in place of each variable.
    pub(super) fn outline(&self) -> Glob {
        let mut glob = Glob::default();
        for part in &self.parts {
            match part {
                Part::Text(text) => glob.push_text(text),
                Part::One => glob.push_one(),
                Part::Any | Part::Variable { .. } => glob.push_any(),
            }
        }
        glob
    }

    /// With values for variables; `None` when one has none, or what has come together takes more than `bytes_max`
    /// of a text: each character does a byte at least.
    fn resolved(&self, resolve: &Resolve<'_>, bytes_max: usize) -> Option<Glob> {
        let mut glob = Glob::default();
        let mut bytes = 0_usize;
        for part in &self.parts {
            let value;
            let text = match part {
                Part::Text(text) => text.as_str(),
                Part::One => "?",
                Part::Any => "",
                Part::Variable { key, default } => {
                    value = self::value(key, default.as_ref(), resolve)?;
                    &value
                }
            };
            bytes += text.len();
            if bytes > bytes_max || !resolve.steps.take(1 + text.len()) {
                return None;
            }
            match part {
                Part::One => glob.push_one(),
                Part::Any => glob.push_any(),
                Part::Text(_) | Part::Variable { .. } => glob.push_text(text),
            }
        }
        Some(glob)
    }
}

fn value(key: &Key, default: Option<&String>, resolve: &Resolve<'_>) -> Option<String> {
    let value = (resolve.value)(key).or_else(|| default.cloned());
    value.filter(|value| resolve.steps.take(1 + value.len()))
}

fn push(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (Some(Part::Text(text)), Part::Text(more)) => text.push_str(&more),
        (_, part) => parts.push(part),
    }
}

/// The variable at the start of `text`, and what follows it.
fn variable(text: &str) -> Result<(Part, &str), String> {
    let inner = text.strip_prefix("${").expect("called at a variable");
    for char in ['*', '?', '$'] {
        if let Some(after) = inner.strip_prefix(char).and_then(|after| after.strip_prefix('}')) {
            return Ok((Part::Text(char.into()), after));
        }
    }
    let name_end = inner.find(['}', ',']).ok_or("a variable is not closed")?;
    let (name, rest) = inner.split_at(name_end);
    let key = Key::parse(name.trim()).ok_or_else(|| format!("no variable is called {name:?}"))?;
    if key.is_multivalued() {
        return Err(format!("{name:?} may have several values, and so is no variable"));
    }
    let (default, after) = match rest.strip_prefix(',') {
        None => (None, rest),
        Some(rest) => {
            let (default, after) = quoted(rest.trim_start())?;
            (Some(default), after.trim_start())
        }
    };
    let after = after.strip_prefix('}').ok_or("a variable is not closed")?;
    Ok((Part::Variable { key, default }, after))
}

/// The text between single quotes, in which two stand for one, and what follows.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut rest = text.strip_prefix('\'').ok_or("a variable's default is not in single quotes")?;
    let mut value = String::new();
    loop {
        let (before, after) = rest.split_once('\'').ok_or("a variable's default is not closed")?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            None => return Ok((value, after)),
            Some(after) => {
                value.push('\'');
                rest = after;
            }
        }
    }
}
