//! What an operator chooses of a store.

use std::path::PathBuf;
use std::time::Duration;

use super::bucket_name::ReservedNames;
use crate::lifecycle::Day;

/// How a store is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's directory; made if it is not there.
    pub dir: PathBuf,
    /// The region whose objects it holds. A directory belongs to one region for ever.
    pub region: String,
    /// Objects of up to this many bytes are kept in their row and travel with `resolve`; at most one page.
    pub inline_bytes_max: u64,
    /// How long the bytes of an overwritten or deleted object can still be read, from the last time they were.
    pub grace: Duration,
    /// Memory for pages of the metadata file, in bytes.
    pub metadata_cache_bytes: usize,
    /// How long a day of the buckets' lifecycle rules lasts.
    pub lifecycle_day: Day,
    /// Most bytes that an account may keep in its buckets; `None` is no limit.
    pub account_quota_bytes: Option<u64>,
    /// Most buckets that an account may have; `None` is no limit.
    pub account_buckets_max: Option<u64>,
    /// Names that no new bucket is given.
    pub reserved_names: ReservedNames,
    /// Whether a request for a new bucket has to say in which region.
    pub is_location_required: bool,
}

impl Settings {
    /// The defaults, for the store of `region` in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, region: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            region: region.into(),
            inline_bytes_max: 16 * 1024,
            grace: Duration::from_secs(300),
            metadata_cache_bytes: 16 * 1024 * 1024,
            lifecycle_day: Day::S3,
            account_quota_bytes: Some(30_000_000_000_000),
            account_buckets_max: Some(10_000),
            reserved_names: ReservedNames::default(),
            is_location_required: false,
        }
    }
}
