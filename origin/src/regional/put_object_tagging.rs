//! PutObjectTagging.

use s3s::dto::{PutObjectTaggingInput, PutObjectTaggingOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_object;
use super::asked::{AskedBucket, AskedObject};
use super::tagging;
use crate::tags::OBJECT_TAGS_MAX;

/// Gives an object these tags in place of those it had.
///
/// # Errors
/// Those of [`tagging::from_body`] and of [`AskedObject::find`].
pub(super) async fn put_object_tagging(
    store: &RegionalStore,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let PutObjectTaggingInput { bucket, key, tagging, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let tags = tagging::from_body(tagging.tag_set, OBJECT_TAGS_MAX)?;
    let object = AskedObject::new(bucket, key, version_id)?.with_request_tags(&tags);
    let version_id = amend_object(store, object, move |_, head| {
        head.tags = tags;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}
