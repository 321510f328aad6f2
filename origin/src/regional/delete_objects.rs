//! DeleteObjects.

use s3s::dto::{self, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ObjectIdentifier};
use s3s::path::check_key;
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::delete_object::{Deleted, decide, delete};
use super::seams::Change;
use super::txn::Txn;
use super::unsupported::{READS_NONE, refuse_unsupported};
use super::write_condition::DeleteCondition;
use crate::head::Facts;

/// S3's limit on keys in one request.
const KEYS_MAX: usize = 1000;

/// Removes many objects in one commit. A key that is refused, for want of permission too, is reported and does not
/// keep the others.
///
/// # Errors
/// `MalformedXML` for no key or too many, and for an empty one, which no object has; `NoSuchBucket`; `AccessDenied` when the bucket is not the expected account's.
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
    bucket.confirm_caller().await?;
    let is_quiet = delete.quiet.unwrap_or(false);
    let keys = delete.objects.iter().map(|object| object.key.clone()).collect();
    let change = Change::Keys { bucket: bucket.name.clone(), keys };
    let (deleted, errors) = store
        .commit(change, move |txn| {
            let facts = bucket.look_up(txn)?.facts;
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in delete.objects {
                let (key, version_id) = (object.key.clone(), object.version_id.clone());
                match delete_one(txn, &bucket, &facts, object)? {
                    Ok(Deleted { is_marker, version_id: deleted_version_id }) => {
                        deleted.push(DeletedObject {
                            key: Some(key),
                            version_id,
                            delete_marker: is_marker.then_some(true),
                            delete_marker_version_id: deleted_version_id.filter(|_| is_marker),
                        });
                    }
                    Err(refused) => errors.push(dto::Error {
                        code: Some(refused.code().as_str().to_owned()),
                        key: Some(key),
                        message: refused.message().map(str::to_owned),
                        version_id,
                    }),
                }
            }
            Ok((deleted, errors))
        })
        .await?;
    let deleted = (!is_quiet).then_some(deleted);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted,
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

/// Inner: this key is refused. Outer: the whole change fails.
fn delete_one(
    txn: &mut Txn<'_>,
    bucket: &AskedBucket,
    facts: &Facts,
    object: ObjectIdentifier,
) -> S3Result<Result<Deleted, S3Error>> {
    let ObjectIdentifier { key, version_id, e_tag, size, last_modified_time } = object;
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
    let found = object.version(txn)?;
    if let Err(refused) = decide(&object, facts, found.as_ref(), &condition) {
        return Ok(Err(refused));
    }
    let is_done = found.is_none() && condition.is_any();
    Ok(Ok(if is_done { Deleted::default() } else { delete(txn, &object, facts)? }))
}
