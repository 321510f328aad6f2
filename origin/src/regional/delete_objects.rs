//! DeleteObjects.

use std::collections::BTreeSet;

use s3s::dto::{self, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ObjectIdentifier};
use s3s::path::check_key;
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::delete_object::{Deleted, decide, delete, makes_marker};
use super::rows::{Reads, Snapshot};
use super::seams::Change;
use super::txn::Txn;
use super::unsupported::{READS_NONE, refuse_unsupported};
use super::write_condition::DeleteCondition;
use crate::head::Facts;

/// S3's limit on keys in one request.
const KEYS_MAX: usize = 1000;
/// Keys in one change: each is decided about by the bucket's policy, and others wait for the writer meanwhile.
const CHANGE_KEYS_MAX: usize = 100;

/// Removes many objects, some in each commit. A key that is refused, for want of permission too, is reported and does not
/// keep the others. Once some are removed that is told, whatever becomes of the rest.
///
/// # Errors
/// Those of [`Permit::confirm_caller`](crate::permit::Permit::confirm_caller) and of the first commit; what fails later is the error of each key that is left.
/// `MalformedXML` for no key or too many, and for an empty one, which no object has; `NoSuchBucket`; `AccessDenied` when the
/// bucket is not the expected account's.
pub(super) async fn delete_objects(
    store: &RegionalStore,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let DeleteObjectsInput { bucket, delete, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    refuse_unsupported(&request.headers, READS_NONE)?;
    let is_of_keys = delete.objects.iter().all(|object| !object.key.is_empty());
    if delete.objects.is_empty() || delete.objects.len() > KEYS_MAX || !is_of_keys {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    let is_quiet = delete.quiet.unwrap_or(false);
    let asked = bucket.clone();
    let look = move |rows: &Snapshot<'_>| look_at_all(rows, &asked, delete.objects);
    let (facts, looked) = store.read_for(bucket.permit(), look).await?;
    let bucket = bucket.kept_to(&facts);
    let keys: BTreeSet<String> = looked
        .iter()
        .filter(|(_, settled)| settled.is_none())
        .map(|(object, _)| object.key.clone())
        .collect();
    let settled = settle_all(store, &bucket, &keys, looked).await?;
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (ObjectIdentifier { key, version_id, .. }, settled) in settled {
        match settled {
            Ok(Deleted { is_marker, version_id: deleted_version_id }) => deleted.push(DeletedObject {
                key: Some(key),
                version_id,
                delete_marker: is_marker.then_some(true),
                delete_marker_version_id: deleted_version_id.filter(|_| is_marker),
            }),
            Err(refused) => errors.push(dto::Error {
                code: Some(refused.code().as_str().to_owned()),
                key: Some(key),
                message: refused.message().map(str::to_owned),
                version_id,
            }),
        }
    }
    let deleted = (!is_quiet).then_some(deleted);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted,
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

/// What has become of a key: it is deleted, or refused.
type Settled = Result<Deleted, S3Error>;

/// A key as it was looked at: `None` for what is to be deleted.
type Looked = (ObjectIdentifier, Option<Settled>);

/// Decides about every key before anybody is told of a change: what is refused, or not there, empties nobody's cache.
/// With the bucket's facts.
fn look_at_all(
    rows: &impl Reads,
    bucket: &AskedBucket,
    objects: Vec<ObjectIdentifier>,
) -> S3Result<(Facts, Vec<Looked>)> {
    let facts = bucket.look_up(rows)?.facts;
    let look = |object: ObjectIdentifier| {
        let settled = match find_deletable(rows, bucket, &facts, &object)? {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(Deleted::default())),
            Err(refused) => Some(Err(refused)),
        };
        Ok((object, settled))
    };
    let looked = objects.into_iter().map(look).collect::<S3Result<_>>()?;
    Ok((facts, looked))
}

/// Settles the objects, some at a time. What was done by the time that something fails is told, and nothing more is tried.
async fn settle_all(
    store: &RegionalStore,
    bucket: &AskedBucket,
    keys: &BTreeSet<String>,
    looked: Vec<Looked>,
) -> S3Result<Vec<(ObjectIdentifier, Settled)>> {
    let mut settled = Vec::with_capacity(looked.len());
    let mut has_changed = false;
    let mut looked = looked.into_iter().peekable();
    while looked.peek().is_some() {
        let some: Vec<_> = looked.by_ref().take(CHANGE_KEYS_MAX).collect();
        let changes = some.iter().any(|(object, _)| keys.contains(&object.key));
        let named: Vec<_> = some.iter().map(|(object, _)| object.clone()).collect();
        match settle_some(store, bucket, keys, some).await {
            Ok(some) => settled.extend(some),
            Err(failed) if has_changed => {
                if failed.status_code().is_some_and(|status| status.is_server_error()) {
                    tracing::warn!(bucket = bucket.name, error = %failed, "a list of keys is not deleted to its end");
                }
                let left = named.into_iter().chain(looked.map(|(object, _)| object));
                settled.extend(left.map(|object| (object, Err(again(&failed)))));
                return Ok(settled);
            }
            Err(failed) => return Err(failed),
        }
        has_changed |= changes;
    }
    Ok(settled)
}

/// The same error, as a key of many is told it.
fn again(error: &S3Error) -> S3Error {
    let mut again = S3Error::new(error.code().clone());
    if let Some(message) = error.message() {
        again.set_message(message.to_owned());
    }
    again
}

/// Settles some of the objects. Nobody is told where none of them is of `keys`.
async fn settle_some(
    store: &RegionalStore,
    bucket: &AskedBucket,
    keys: &BTreeSet<String>,
    looked: Vec<Looked>,
) -> S3Result<Vec<(ObjectIdentifier, Settled)>> {
    let changing: BTreeSet<_> =
        looked.iter().map(|(object, _)| &object.key).filter(|key| keys.contains(*key)).cloned().collect();
    if changing.is_empty() {
        return Ok(looked.into_iter().filter_map(|(object, settled)| Some((object, settled?))).collect());
    }
    let change = Change::Keys { bucket: bucket.name.clone(), keys: changing.iter().cloned().collect() };
    let bucket = bucket.clone();
    store.commit_for(bucket.permit(), change, move |txn| delete_some(txn, &bucket, &changing, looked)).await
}

/// Deletes the objects of `keys`, which are decided about once more; the others were settled by the snapshot.
fn delete_some(
    txn: &mut Txn<'_>,
    bucket: &AskedBucket,
    keys: &BTreeSet<String>,
    looked: Vec<Looked>,
) -> S3Result<Vec<(ObjectIdentifier, Settled)>> {
    let facts = bucket.look_up(txn)?.facts;
    let settle = |(object, settled): Looked| {
        let settled = match settled {
            // One key may be named with many versions.
            Some(settled) if !keys.contains(&object.key) => settled,
            _ => match find_deletable(txn, bucket, &facts, &object)? {
                Ok(Some(deletable)) => Ok(delete(txn, &deletable, &facts)?),
                Ok(None) => Ok(Deleted::default()),
                Err(refused) => Err(refused),
            },
        };
        Ok((object, settled))
    };
    looked.into_iter().map(settle).collect()
}

/// The object, if there is something to delete, or a marker to be made. Inner error: this key is refused. Outer: nothing
/// can be decided.
fn find_deletable(
    rows: &impl Reads,
    bucket: &AskedBucket,
    facts: &Facts,
    object: &ObjectIdentifier,
) -> S3Result<Result<Option<AskedObject>, S3Error>> {
    let ObjectIdentifier { key, version_id, e_tag, size, last_modified_time } = object.clone();
    if !check_key(&key) {
        return Ok(Err(s3_error!(KeyTooLongError, "Your key is too long")));
    }
    let object = match AskedObject::new(bucket.clone(), key, version_id) {
        Ok(object) => object,
        Err(refused) => return Ok(Err(refused)),
    };
    let compares = e_tag.is_some() || size.is_some() || last_modified_time.is_some();
    let object = if compares { object.comparing_etag() } else { object };
    let condition = DeleteCondition::of_key(e_tag, size, last_modified_time);
    let found = object.version(rows)?;
    if let Err(refused) = decide(&object, facts, found.as_ref(), &condition) {
        return Ok(Err(refused));
    }
    let is_done = found.is_none() && !makes_marker(&object, facts, &condition);
    Ok(Ok((!is_done).then_some(object)))
}
