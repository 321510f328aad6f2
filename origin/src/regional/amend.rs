//! Changes of what is said of a bucket or an object, its bytes left alone: under a new revision, so that nobody who
//! holds the facts or the head from before takes them for the same.
//!
//! It is tried on a snapshot first, and done in the transaction: whoever may not, or asks for what cannot be, has nothing
//! announced, and so empties nobody's cache. The bucket is the same then, or it is not there: one that was made anew under
//! its name is somebody's who was not asked.

use s3s::S3Result;

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::rows::{Bucket, Snapshot};
use super::seams::Change;
use crate::head::{Facts, Head};

/// Changes a bucket, or refuses to. What to change came in the request's body.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`; those of [`Permit::confirm_caller`](crate::permit::Permit::confirm_caller) and of
/// `amend`.
pub(super) async fn amend_bucket(
    store: &RegionalStore,
    bucket: AskedBucket,
    amend: impl FnOnce(&mut Bucket) -> S3Result<()> + Clone + Send + 'static,
) -> S3Result<()> {
    let (asked, trying) = (bucket.clone(), amend.clone());
    let find = move |rows: &Snapshot<'_>| {
        let mut found = asked.find(rows)?;
        trying(&mut found)?;
        Ok(found)
    };
    let found = store.read_few_for(bucket.permit(), find).await?;
    let bucket = bucket.kept_to(&found.facts);
    store
        .commit_for(bucket.permit(), Change::Bucket(bucket.name.clone()), move |txn| {
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
/// Those of [`AskedObject::find`], of [`Permit::confirm_caller`](crate::permit::Permit::confirm_caller) and of `amend`.
pub(super) async fn amend_object(
    store: &RegionalStore,
    object: AskedObject,
    amend: impl FnOnce(&Facts, &mut Head) -> S3Result<()> + Clone + Send + 'static,
) -> S3Result<Option<String>> {
    let (asked, trying) = (object.clone(), amend.clone());
    let find = move |rows: &Snapshot<'_>| {
        let (facts, mut head) = asked.find_without_parts(rows)?;
        trying(&facts, &mut head)?;
        Ok(facts)
    };
    let facts = store.read_few_for(object.bucket.permit(), find).await?;
    let object = object.kept_to(&facts);
    store
        .commit_for(object.bucket.permit(), object.change(), move |txn| {
            let (facts, mut head) = object.find_without_parts(txn)?;
            amend(&facts, &mut head)?;
            head.revision = txn.random_id();
            txn.amend_version(&object.bucket.name, &object.key, &head)?;
            Ok(facts.shown_version(head.version_id.as_deref()).map(str::to_owned))
        })
        .await
}
