//! What the operations on unfinished uploads share: part numbers, checksum algorithms, how uploads are shown.

use s3s::dto::{Initiator, StorageClass};
use s3s::{S3Result, s3_error};

use super::rows::UploadRow;
use crate::caller::Caller;
use crate::checksums::Algorithm;
use crate::head::ChecksumKind;

/// S3's limit on parts of an upload.
pub(super) const PARTS_MAX: u32 = 10_000;

/// # Errors
/// `InvalidArgument` for a number that no part can have.
pub(super) fn part_number(number: i32) -> S3Result<u32> {
    u32::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number)).ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
    })
}

impl UploadRow {
    /// The checksum algorithm that the upload was started with.
    ///
    /// # Errors
    /// `InvalidRequest` for one that this release does not know.
    pub(super) fn algorithm(&self) -> S3Result<Option<Algorithm>> {
        self.checksum_algorithm.as_deref().map(Algorithm::parse).transpose()
    }

    /// The algorithm and kind of the finished object's checksum.
    ///
    /// # Errors
    /// As [`UploadRow::algorithm`].
    pub(super) fn checksum(&self) -> S3Result<(Algorithm, ChecksumKind)> {
        let algorithm = self.algorithm()?.unwrap_or(Algorithm::DEFAULT);
        Ok((algorithm, self.checksum_kind.unwrap_or(algorithm.default_kind())))
    }
}

/// Whoever started an upload: a user of the caller's account, for others do not see it.
pub(super) fn initiator(upload: &UploadRow, caller: &Caller) -> Initiator {
    Initiator { display_name: Some(caller.display_name.clone()), id: Some(upload.initiator.clone()) }
}

/// The one storage class.
pub(super) fn standard() -> Option<StorageClass> {
    Some(StorageClass::from_static(StorageClass::STANDARD))
}
