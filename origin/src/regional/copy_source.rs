//! The source of a copy: which object, on what conditions, and what its bytes add up to.

use std::ops::Range;

use futures::StreamExt;
use s3s::dto::{CopySource, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::object_body::ObjectBody;
use super::rows::Reads;
use crate::checksums::{Algorithm, Digested, Digests};
use crate::head::Head;
use crate::instance::Instance;
use crate::read_request::{Conditions, Verdict, precondition_failed, seconds};

/// How often a copy begins anew because its source was replaced while it was read.
pub(super) const ATTEMPTS_MAX: usize = 3;

/// An object to copy from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) object: AskedObject,
    conditions: Conditions,
}

/// A source as it is now.
pub(super) struct FoundSource {
    pub(super) head: Head,
    /// What answers call its version.
    pub(super) version_id: Option<String>,
}

/// `x-amz-copy-source-if-…`, as s3s has read them.
pub(super) struct SourceConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl Source {
    /// The source that the caller of `destination` names.
    ///
    /// # Errors
    /// `NotImplemented` for access points and outposts, `InvalidArgument` for a version that cannot be.
    pub(super) fn new(
        destination: &AskedBucket,
        source: CopySource,
        expected_owner: Option<String>,
        conditions: SourceConditions,
    ) -> S3Result<Self> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "A copy source is named by bucket and key."));
        };
        let bucket = destination.copy_source(bucket.into(), expected_owner);
        let object = AskedObject::new(bucket, key.into(), version_id.map(Into::into))?;
        let conditions = Conditions {
            if_match: conditions.if_match.map(Into::into),
            if_none_match: conditions.if_none_match.map(Into::into),
            if_modified_since: conditions.if_modified_since.map(seconds),
            if_unmodified_since: conditions.if_unmodified_since.map(seconds),
        };
        Ok(Self { object, conditions })
    }

    /// The source as it is now, if the caller may read it and the conditions hold.
    ///
    /// # Errors
    /// Those of [`AskedObject::find`]; `InvalidRequest` for a delete marker that is named; `PreconditionFailed` for every condition, as S3 has it.
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<FoundSource> {
        let (facts, head) = self.object.find(rows)?;
        let version_id = facts.shown_version(head.version_id.as_deref()).map(str::to_owned);
        match self.conditions.evaluate(&head) {
            Verdict::Proceed => Ok(FoundSource { head, version_id }),
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
