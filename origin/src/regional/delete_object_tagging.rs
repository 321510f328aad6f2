//! DeleteObjectTagging.

use s3s::dto::{DeleteObjectTaggingInput, DeleteObjectTaggingOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_object;
use super::asked::{AskedBucket, AskedObject};
use crate::tags::Tags;

/// Takes an object's tags away.
///
/// # Errors
/// Those of [`AskedObject::find`].
pub(super) async fn delete_object_tagging(
    store: &RegionalStore,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let DeleteObjectTaggingInput { bucket, key, version_id, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    let version_id = amend_object(store, object, |_, head| {
        head.tags = Tags::new();
        Ok(())
    })
    .await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}
