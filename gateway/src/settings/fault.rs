//! One thing wrong with the configuration, and the key it is wrong at.

use std::fmt;

/// What is wrong and where: `key` is the dotted path in `regions.toml`, such as `region[1].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The dotted path of the key in the file.
    pub key: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl Fault {
    /// `problem` at `key`.
    #[must_use]
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}
