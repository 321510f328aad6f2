//! PutBucketTagging.

use s3s::dto::{PutBucketTaggingInput, PutBucketTaggingOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use super::tagging;
use crate::tags::BUCKET_TAGS_MAX;

/// Gives a bucket these tags in place of those it had.
///
/// # Errors
/// Those of [`tagging::from_body`]; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_tagging(
    store: &RegionalStore,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let PutBucketTaggingInput { bucket, tagging, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let tags = tagging::from_body(tagging.tag_set, BUCKET_TAGS_MAX)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.tags = tags;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketTaggingOutput {}))
}
