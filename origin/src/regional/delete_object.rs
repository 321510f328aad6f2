//! DeleteObject, and what it shares with DeleteObjects.

use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::failure::Failure;
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
    let deleted = store
        .commit(object.change(), move |txn| {
            let facts = object.bucket.look_up(txn)?.facts;
            let found = object.version(txn)?;
            decide(&object, &facts, found.as_ref(), &condition)?;
            let is_done = found.is_none() && condition.is_any();
            Ok(if is_done { Deleted::default() } else { delete(txn, &object, &facts)? })
        })
        .await?;
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
