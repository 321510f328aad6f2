//! Why a policy was refused: what S3 says, and the place in the document with the reason.

use std::fmt;

use s3s::{S3Error, S3ErrorCode};

/// A policy that is not understood in full, and so is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    what: &'static str,
    /// Outermost last, as the error collects them on its way up.
    place: Vec<String>,
    why: String,
}

impl Malformed {
    /// `what` in S3's own words, and `why` in ours.
    pub(super) fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, place: Vec::new(), why: why.into() }
    }

    /// The same, found inside the element called `name`.
    pub(super) fn inside(mut self, name: &str) -> Self {
        self.place.push(format!(".{name}"));
        self
    }

    /// The same, found at `index` of an array.
    pub(super) fn at(mut self, index: usize) -> Self {
        self.place.push(format!("[{index}]"));
        self
    }

    /// Where in the document, as `Statement[0].Action[1]`; empty for the document itself.
    #[must_use]
    pub fn place(&self) -> String {
        let path: String = self.place.iter().rev().map(String::as_str).collect();
        path.strip_prefix('.').map(str::to_owned).unwrap_or(path)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        match (place.as_str(), self.why.as_str()) {
            ("", "") => f.write_str(self.what),
            ("", why) => write!(f, "{} ({why})", self.what),
            (place, "") => write!(f, "{} (at {place})", self.what),
            (place, why) => write!(f, "{} (at {place}: {why})", self.what),
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for S3Error {
    fn from(malformed: Malformed) -> Self {
        Self::with_message(S3ErrorCode::MalformedPolicy, malformed.to_string())
    }
}
