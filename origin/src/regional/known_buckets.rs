//! Buckets that the writer has decoded: every change asks for its bucket, whose documents may be some hundred KiB long, and
//! nobody else writes meanwhile.
//!
//! A bucket is found by its row as it is now, byte for byte, so that whatever was written since is another one.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::failure::Failure;
use super::rows::{Bucket, decode};

/// Bytes of rows that are kept, decoded, beside the last one; decoded they take several times as many.
const KEPT_BYTES_MAX: usize = 512 * 1024;

/// The buckets that were asked for last, the latest first.
#[derive(Default)]
pub(crate) struct KnownBuckets(RefCell<VecDeque<(Vec<u8>, Bucket)>>);

impl KnownBuckets {
    /// The bucket of a row. What its policy says is parsed once for all who are given it.
    pub(super) fn decoded(&self, row: Vec<u8>) -> Result<Bucket, Failure> {
        let mut kept = self.0.borrow_mut();
        let place = kept.iter().position(|(of, _)| *of == row);
        let (row, bucket) = match place.and_then(|place| kept.remove(place)) {
            Some(known) => known,
            None => {
                let bucket = decode(&row)?;
                (row, bucket)
            }
        };
        let asked = bucket.clone();
        let mut left_bytes = KEPT_BYTES_MAX;
        kept.retain(|(of, _)| {
            left_bytes = left_bytes.saturating_sub(of.len());
            left_bytes > 0
        });
        kept.push_front((row, bucket));
        Ok(asked)
    }
}
