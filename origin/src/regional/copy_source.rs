//! The source of a copy: which object, on what conditions, and what its bytes add up to.

use futures::{StreamExt, try_join};
use http::HeaderMap;
use s3s::dto::{CopySource, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::object_body::ObjectBody;
use super::receive::Received;
use super::rows::Reads;
use super::upload::{UPLOAD_BYTES_MAX, Upload};
use crate::checksums::{Algorithm, Digested, Digests};
use crate::customer_key::CustomerKey;
use crate::encryption::{ObjectKeys, StoreKey};
use crate::head::{Facts, Head};
use crate::read_request::{Conditions, Verdict, precondition_failed, seconds};

/// How often a copy begins anew because its source was replaced while it was read.
pub(super) const ATTEMPTS_MAX: usize = 3;

/// An object to copy from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) object: AskedObject,
    conditions: Conditions,
    /// The key that the source is encrypted with, as the request says.
    pub(super) key: Option<CustomerKey>,
    /// The store's.
    of_store: StoreKey,
}

/// A source as it is now.
pub(super) struct FoundSource {
    pub(super) head: Head,
    /// What answers call its version.
    pub(super) version_id: Option<String>,
    /// The keys to its bytes, if it is encrypted.
    pub(super) keys: Option<ObjectKeys>,
}

/// `x-amz-copy-source-if-…`, as s3s has read them.
pub(super) struct SourceConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl Source {
    /// The source in `store` that the caller of `destination` names; `headers` bring its key.
    ///
    /// # Errors
    /// `NotImplemented` for access points and outposts, `InvalidArgument` for a version that cannot be; those of
    /// [`CustomerKey::of_copy_source`].
    pub(super) fn new(
        store: &RegionalStore,
        destination: &AskedBucket,
        headers: &HeaderMap,
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
        let key = CustomerKey::of_copy_source(headers)?;
        Ok(Self { object, conditions, key, of_store: store.key().clone() })
    }

    /// The source as it is now, if the caller may read it and the conditions hold.
    ///
    /// # Errors
    /// Those of [`AskedObject::find`] and [`Head::unlock`]; `InvalidRequest` for a delete marker that is named; `PreconditionFailed` for every condition, as S3 has it.
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<FoundSource> {
        self.found(self.object.find(rows)?)
    }

    /// The same with the parts of an encrypted object alone, which cannot be opened without them.
    ///
    /// # Errors
    /// As [`Source::find`].
    pub(super) fn find_to_open(&self, rows: &impl Reads) -> S3Result<FoundSource> {
        self.found(self.object.find_to_open(rows)?)
    }

    /// The same without parts.
    ///
    /// # Errors
    /// As [`Source::find`].
    pub(super) fn find_without_parts(&self, rows: &impl Reads) -> S3Result<FoundSource> {
        self.found(self.object.find_without_parts(rows)?)
    }

    fn found(&self, (facts, head): (Facts, Head)) -> S3Result<FoundSource> {
        let version_id = facts.shown_version(head.version_id.as_deref()).map(str::to_owned);
        let keys = head.unlock(self.key.as_ref(), &self.of_store)?;
        match self.conditions.evaluate(&head) {
            Verdict::Proceed => Ok(FoundSource { head, version_id, keys }),
            Verdict::NotModified | Verdict::Failed => Err(precondition_failed()),
        }
    }
}

/// Reads `body` for what it adds up to.
///
/// # Errors
/// `InternalError` when the disk fails.
pub(super) async fn digest(mut body: ObjectBody, algorithm: Algorithm) -> S3Result<Digested> {
    let mut digests = Digests::new(&[algorithm]);
    while let Some(piece) = body.next().await {
        digests.update(piece.map_err(broken)?).await?;
    }
    digests.finish().await
}

/// Moves `body` into `upload`, and says what it adds up to.
///
/// # Errors
/// `InternalError` when the disk fails; those of [`Upload::write`].
pub(super) async fn rewrite(
    mut body: ObjectBody,
    mut upload: Upload,
    algorithm: Algorithm,
) -> S3Result<Received> {
    let mut digests = Digests::new(&[algorithm]);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(broken)?;
        digests.update(piece.clone()).await?;
        upload.write(piece).await?;
        if upload.is_short_of_memory() {
            digests.let_go().await?;
        }
    }
    let (digested, staged) = try_join!(digests.finish(), upload.finish())?;
    Ok(Received { staged, digested })
}

fn broken(cause: StdError) -> S3Error {
    S3Error::with_source(S3ErrorCode::InternalError, cause)
}

/// Whether one request may move so many bytes.
///
/// # Errors
/// `InvalidRequest`.
pub(super) fn verify_moves(bytes: u64) -> S3Result<()> {
    if bytes > UPLOAD_BYTES_MAX {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: {UPLOAD_BYTES_MAX}"
        ));
    }
    Ok(())
}

/// The answer when the source was replaced each time.
pub(super) fn keeps_changing() -> S3Error {
    s3_error!(OperationAborted, "The copy source is being replaced all the time. Please try again.")
}
