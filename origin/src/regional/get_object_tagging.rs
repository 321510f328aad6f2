//! GetObjectTagging.

use s3s::dto::{GetObjectTaggingInput, GetObjectTaggingOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use super::tagging;

/// Shows an object's tags; none are an empty set.
///
/// # Errors
/// Those of [`AskedObject::find`].
pub(super) async fn get_object_tagging(
    store: &RegionalStore,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let GetObjectTaggingInput { bucket, key, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    let (facts, head) =
        store.read_for(object.bucket.permit(), move |rows| object.find_without_parts(rows)).await?;
    let version_id = facts.shown_version(head.version_id.as_deref()).map(str::to_owned);
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set: tagging::shown(head.tags), version_id }))
}
