//! What the operations on unfinished uploads share: part numbers, checksum algorithms, how uploads are shown.

use s3s::dto::{AbortDate, AbortRuleId, Initiator, Owner, StorageClass};
use s3s::{S3Result, s3_error};

use super::answers;
use super::rows::UploadRow;
use crate::checksums::Algorithm;
use crate::customer_key::CustomerKey;
use crate::encryption::{Encryption, ObjectKeys, StoreKey};
use crate::head::{ChecksumKind, Facts};
use crate::lifecycle::Day;
use crate::read_request::http_date;

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

impl UploadRow {
    /// The keys to the upload's parts with the `key` that a request for one brings, or with that `of_store`; `None` of an
    /// upload that is not encrypted.
    ///
    /// # Errors
    /// `InvalidRequest` unless it is the key that the upload was started with; those of [`Encryption::keys_of_store`].
    pub(super) fn unlock(
        &self,
        key: Option<&CustomerKey>,
        of_store: &StoreKey,
    ) -> S3Result<Option<ObjectKeys>> {
        match (&self.encryption, key) {
            (None, None) => Ok(None),
            (Some(encryption), None) if encryption.is_by_store() => {
                encryption.keys_of_store(of_store).map(Some)
            }
            (Some(_), None) => Err(s3_error!(
                InvalidRequest,
                "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate \
                 encryption parameters."
            )),
            (encryption, Some(key)) => verify_key(encryption.as_ref(), key).map(Some),
        }
    }
}

/// The keys to what its client has encrypted so, for a `key` that should be the one it was started with.
///
/// # Errors
/// `InvalidRequest`.
pub(super) fn verify_key(encryption: Option<&Encryption>, key: &CustomerKey) -> S3Result<ObjectKeys> {
    let encryption = encryption.filter(|encryption| encryption.is_by_client()).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "The multipart upload initiate did not request encryption. Please resend the request without sending encryption \
             parameters."
        )
    })?;
    encryption.keys(key).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "The provided encryption parameters did not match the ones used originally."
        )
    })
}

/// Whoever started an upload.
pub(super) fn initiator(upload: &UploadRow, facts: &Facts) -> Initiator {
    let display_name = match upload.initiator_display.as_str() {
        "" => facts.owner().display_name,
        shown => shown.to_owned(),
    };
    Initiator { display_name: Some(display_name), id: Some(upload.initiator.clone()) }
}

/// Whose the object of an upload will be.
pub(super) fn upload_owner(upload: &UploadRow, facts: &Facts) -> Owner {
    answers::owner(upload.owner.clone().unwrap_or_else(|| facts.owner()))
}

/// When a rule of its bucket aborts an upload, and that rule's id; neither if none does.
pub(super) fn abortion(
    facts: &Facts,
    key: &str,
    upload: &UploadRow,
    day: Day,
) -> (Option<AbortDate>, Option<AbortRuleId>) {
    let due = facts.lifecycle.as_ref().and_then(|rules| rules.abortion(key, upload.initiated_millis, day));
    // Past the year 9999 there is no date to tell.
    let due = due.filter(|due| http_date(due.millis).is_some());
    due.map(|due| (answers::timestamp(due.millis), due.rule_id.to_owned())).unzip()
}

/// The one storage class.
pub(super) fn standard() -> Option<StorageClass> {
    Some(StorageClass::from_static(StorageClass::STANDARD))
}
