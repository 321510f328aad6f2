//! DeleteObject, and what it shares with DeleteObjects.

use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::failure::Failure;
use super::rows::{Reads, Snapshot};
use super::txn::Txn;
use super::unsupported::{READS_NONE, refuse_unsupported};
use super::versions::Version;
use super::write_condition::DeleteCondition;
use crate::head::{Facts, Versioning};

/// Removes an object: for good, or under a delete marker where its bucket keeps versions; a version that is named is
/// removed for good. What is not there is removed already, whatever a condition says of it.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`, those of the condition, and `InvalidArgument` for a version that cannot be.
pub(super) async fn delete_object(
    store: &RegionalStore,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let DeleteObjectInput {
        bucket,
        key,
        version_id,
        expected_bucket_owner,
        if_match_size,
        if_match_last_modified_time,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    refuse_unsupported(&request.headers, READS_NONE)?;
    let condition = DeleteCondition::parse(&request.headers, if_match_size, if_match_last_modified_time)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    // Decided before anybody is told: what is refused, or not there, empties nobody's cache.
    let (asked, expected) = (object.clone(), condition.clone());
    let looking = move |rows: &Snapshot<'_>| find(rows, &asked, &expected);
    let (facts, is_done) = store.read_few_for(object.bucket.permit(), looking).await?;
    let object = object.kept_to(&facts);
    let deleted = if is_done {
        nothing_deleted(&object, &condition)
    } else {
        store
            .commit_for(object.bucket.permit(), object.change(), move |txn| {
                let (facts, is_done) = find(txn, &object, &condition)?;
                Ok(match is_done {
                    true => nothing_deleted(&object, &condition),
                    false => delete(txn, &object, &facts)?,
                })
            })
            .await?
    };
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: deleted.is_marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    }))
}

/// What deleting has done; nothing where something was expected of what is not there.
#[derive(Default)]
pub(super) struct Deleted {
    /// A delete marker was made, or what was removed was one.
    pub(super) is_marker: bool,
    /// The version that was removed or made, as answers call it.
    pub(super) version_id: Option<String>,
}

/// The bucket, and whether all is done: there is nothing to delete, and no marker to be made.
fn find(rows: &impl Reads, object: &AskedObject, condition: &DeleteCondition) -> S3Result<(Facts, bool)> {
    let facts = object.bucket.look_up(rows)?.facts;
    let found = object.version(rows)?;
    decide(object, &facts, found.as_ref(), condition)?;
    let is_done = found.is_none() && !makes_marker(object, &facts, condition);
    Ok((facts, is_done))
}

/// Whether deleting makes a delete marker, be there an object or not.
pub(super) fn makes_marker(object: &AskedObject, facts: &Facts, condition: &DeleteCondition) -> bool {
    object.version.is_none() && facts.versioning != Versioning::Never && !condition.is_any()
}

/// What is told of what is not there: a version is removed already, whatever was expected of it.
fn nothing_deleted(object: &AskedObject, condition: &DeleteCondition) -> Deleted {
    let removed = object.version.as_ref().filter(|_| !condition.is_any());
    Deleted { is_marker: false, version_id: removed.map(|named| named.as_str().to_owned()) }
}

/// Decides whether what was found may be deleted.
///
/// # Errors
/// `AccessDenied`; those of the condition.
pub(super) fn decide(
    object: &AskedObject,
    facts: &Facts,
    found: Option<&Version>,
    condition: &DeleteCondition,
) -> S3Result<()> {
    object.decide(facts, found.and_then(Version::object))?;
    condition.decide(found)
}

/// Deletes what the request names.
pub(super) fn delete(txn: &mut Txn<'_>, object: &AskedObject, facts: &Facts) -> Result<Deleted, Failure> {
    let (bucket, key) = (&object.bucket.name, &object.key);
    match (&object.version, facts.versioning) {
        (Some(named), _) => {
            let removed = txn.remove_version(bucket, key, named)?;
            let is_marker = matches!(removed, Some(Version::Marker(_)));
            Ok(Deleted { is_marker, version_id: Some(named.as_str().to_owned()) })
        }
        (None, Versioning::Never) => {
            txn.delete_object(bucket, key)?;
            Ok(Deleted { is_marker: false, version_id: None })
        }
        (None, versioning @ (Versioning::Enabled | Versioning::Suspended)) => {
            let caller = object.bucket.caller.as_owner();
            let owner = Some(caller).filter(|caller| caller.id != facts.owner_id);
            let marker = txn.put_marker(bucket, key, versioning, owner)?;
            let version_id = facts.shown_version(marker.version_id.as_deref()).map(str::to_owned);
            Ok(Deleted { is_marker: true, version_id })
        }
    }
}
