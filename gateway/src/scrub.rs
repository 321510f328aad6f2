//! A scrub of this node's store, step by step as an operator asks for it: what each step reads is bounded, and so is how fast.

use std::ops::RangeInclusive;

use origin::regional::{self, RegionalStore, Scrubbed};
use serde::{Deserialize, Serialize};

/// Bytes a second of a scrub, where nothing else is said. A terabyte takes nine hours, and a disk that reads a gigabyte a second
/// has more than nine tenths of that left.
pub const BYTES_PER_SECOND_DEFAULT: u64 = 32 << 20;

/// Bytes a second that a scrub may read. With fewer a step would take longer than whoever asked for it waits.
pub const BYTES_PER_SECOND: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// A step to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToScrub {
    /// Where it begins, or goes on.
    pub from: regional::ToScrub,
    /// How fast: one of [`BYTES_PER_SECOND`].
    pub bytes_per_second: u64,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubStep {
    /// The node's region.
    pub node: String,
    /// `None` where the store has no such bucket.
    pub scrubbed: Option<Scrubbed>,
}

/// Makes a step.
///
/// # Errors
/// One line for the operator.
pub async fn scrub(store: &RegionalStore, wanted: ToScrub) -> Result<ScrubStep, String> {
    let ToScrub { from, bytes_per_second } = wanted;
    if !BYTES_PER_SECOND.contains(&bytes_per_second) {
        return Err(format!("{bytes_per_second} bytes a second: too few or too many"));
    }
    let scrubbed = store.scrub(from, bytes_per_second).await;
    let scrubbed = scrubbed.map_err(|error| error.message().unwrap_or(error.code().as_str()).to_owned())?;
    Ok(ScrubStep { node: store.region().to_owned(), scrubbed })
}
