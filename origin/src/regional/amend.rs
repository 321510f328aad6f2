//! Changes of what is said of a bucket or an object, its bytes left alone: under a new revision, so that nobody who
//! holds the facts or the head from before takes them for the same.
//!
//! Whether it may be done is decided on a snapshot first, and in the transaction once more: whoever may not has nothing
//! announced, and so empties nobody's cache. The bucket is the same then, or it is not there: one that was made anew under
//! its name is somebody's who was not asked.

use s3s::S3Result;

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::rows::Bucket;
use super::seams::Change;
use crate::head::{Facts, Head};

/// Changes a bucket, or refuses to. What to change came in the request's body.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`; those of [`AskedBucket::confirm_caller`] and of `amend`.
pub(super) async fn amend_bucket(
    store: &RegionalStore,
    bucket: AskedBucket,
    amend: impl FnOnce(&mut Bucket) -> S3Result<()> + Send + 'static,
) -> S3Result<()> {
    bucket.confirm_caller().await?;
    let asked = bucket.clone();
    let found = store.read_few(move |rows| asked.find(rows)).await?;
    let bucket = bucket.kept_to(&found.facts);
    store
        .commit(Change::Bucket(bucket.name.clone()), move |txn| {
            let mut amended = bucket.find(txn)?;
            amend(&mut amended)?;
            amended.facts.revision = txn.random_id();
            Ok(txn.put_bucket(&bucket.name, &amended)?)
        })
        .await
}

/// Changes the head of an object, or of the version that is named, or refuses to; returns what answers call that
/// version. When it was written stays as it was.
///
/// # Errors
/// Those of [`AskedObject::find`], of [`AskedBucket::confirm_caller`] and of `amend`.
pub(super) async fn amend_object(
    store: &RegionalStore,
    object: AskedObject,
    amend: impl FnOnce(&Facts, &mut Head) -> S3Result<()> + Send + 'static,
) -> S3Result<Option<String>> {
    object.bucket.confirm_caller().await?;
    let asked = object.clone();
    let (facts, _) = store.read_few(move |rows| asked.find_without_parts(rows)).await?;
    let object = object.kept_to(&facts);
    store
        .commit(object.change(), move |txn| {
            let (facts, mut head) = object.find_without_parts(txn)?;
            amend(&facts, &mut head)?;
            head.revision = txn.random_id();
            txn.amend_version(&object.bucket.name, &object.key, &head)?;
            Ok(facts.shown_version(head.version_id.as_deref()).map(str::to_owned))
        })
        .await
}
