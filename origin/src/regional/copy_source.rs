//! The source of a copy: which object, on what conditions, and what its bytes add up to.

use std::ops::Range;

use futures::StreamExt;
use s3s::dto::{CopySource, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::RegionalStore;
use super::bucket_access::own_bucket;
use super::object_body::ObjectBody;
use super::rows::Reads;
use crate::caller::Caller;
use crate::checksums::{Algorithm, Digested, Digests};
use crate::head::Head;
use crate::instance::Instance;
use crate::read_request::{Conditions, Verdict, precondition_failed, seconds, verify_null_version};

/// How often a copy begins anew because its source was replaced while it was read.
pub(super) const ATTEMPTS_MAX: usize = 3;

/// An object to copy from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) key: String,
    conditions: Conditions,
    expected_owner: Option<String>,
}

/// `x-amz-copy-source-if-…`, as s3s has read them.
pub(super) struct SourceConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl Source {
    /// # Errors
    /// `NotImplemented` for access points and outposts, `InvalidArgument` for a version that cannot be.
    pub(super) fn new(
        source: CopySource,
        conditions: SourceConditions,
        expected_owner: Option<String>,
    ) -> S3Result<Self> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "A copy source is named by bucket and key."));
        };
        verify_null_version(version_id.as_deref())?;
        let conditions = Conditions {
            if_match: conditions.if_match.map(Into::into),
            if_none_match: conditions.if_none_match.map(Into::into),
            if_modified_since: conditions.if_modified_since.map(seconds),
            if_unmodified_since: conditions.if_unmodified_since.map(seconds),
        };
        Ok(Self { bucket: bucket.into(), key: key.into(), conditions, expected_owner })
    }

    /// The source as it is now, if the caller may read it and the conditions hold.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`, `NoSuchKey`; `PreconditionFailed` for every condition, as S3 has it.
    pub(super) fn find(&self, rows: &impl Reads, caller: &Caller) -> S3Result<Head> {
        own_bucket(rows, &self.bucket, caller, self.expected_owner.as_deref())?;
        let head = rows.head(&self.bucket, &self.key)?;
        let head = head.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?;
        match self.conditions.evaluate(&head) {
            Verdict::Proceed => Ok(head),
            Verdict::NotModified | Verdict::Failed => Err(precondition_failed()),
        }
    }
}

/// Reads bytes of an instance for what they add up to.
///
/// # Errors
/// Those of [`ObjectBody::open`].
pub(super) async fn digest(
    store: &RegionalStore,
    instance: Instance,
    range: Range<u64>,
    algorithm: Algorithm,
) -> S3Result<Digested> {
    let mut body = ObjectBody::open(store, instance, None, range).await?;
    let mut digests = Digests::new(&[algorithm]);
    while let Some(piece) = body.next().await {
        digests
            .update(piece.map_err(|cause| s3s::S3Error::with_source(s3s::S3ErrorCode::InternalError, cause))?)
            .await?;
    }
    digests.finish().await
}

/// The answer when the source was replaced each time.
pub(super) fn keeps_changing() -> s3s::S3Error {
    s3_error!(OperationAborted, "The copy source is being replaced all the time. Please try again.")
}
