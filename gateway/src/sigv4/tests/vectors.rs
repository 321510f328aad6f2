//! The requests in `botocore.json`, as whoever wrote that file laid them down. Included by the unit tests, by the fuzz
//! targets and by a bench, which cannot see one another's modules.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Requests that botocore signed at one moment.
#[derive(Deserialize)]
pub(crate) struct Vectors {
    /// As `x-amz-date` has it.
    pub(crate) signed_at: String,
    pub(crate) requests: Vec<Vector>,
}

/// The head of one request.
#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Vectors {
    /// All of them.
    pub(crate) fn read() -> Self {
        serde_json::from_str(include_str!("botocore.json")).expect("our own file")
    }
}
