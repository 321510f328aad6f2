//! Values of the store as S3's answers show them.

use std::time::{Duration, SystemTime};

use s3s::dto::{ChecksumAlgorithm, ChecksumType, ETag, Owner, Timestamp};

use crate::caller::Caller;
use crate::checksums::Algorithm;
use crate::head::ChecksumKind;

/// A point in time from milliseconds since 1970.
pub(super) fn timestamp(millis: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}

/// The caller's account as the owner of what it sees: only the owner's users come this far.
pub(super) fn owner(caller: &Caller) -> Owner {
    Owner { display_name: Some(caller.display_name.clone()), id: Some(caller.canonical_id.clone()) }
}

/// A stored ETag, which has no quotes.
pub(super) fn etag(etag: String) -> Option<ETag> {
    Some(ETag::Strong(etag))
}

/// `x-amz-checksum-type`.
pub(super) fn checksum_type(kind: Option<ChecksumKind>) -> Option<ChecksumType> {
    kind.map(|kind| ChecksumType::from_static(kind.as_str()))
}

/// `x-amz-checksum-algorithm`.
pub(super) fn checksum_algorithm(algorithm: Algorithm) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(algorithm.as_str())
}
