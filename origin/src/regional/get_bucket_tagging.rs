//! GetBucketTagging.

use s3s::dto::{GetBucketTaggingInput, GetBucketTaggingOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use super::tagging;

/// Shows a bucket's tags.
///
/// # Errors
/// `NoSuchTagSet` where there are none; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_tagging(
    store: &RegionalStore,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let GetBucketTaggingInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let tags = store.read_for(bucket.permit(), move |rows| Ok(bucket.find(rows)?.tags)).await?;
    if tags.is_empty() {
        return Err(s3_error!(NoSuchTagSet, "The TagSet does not exist"));
    }
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: tagging::shown(tags) }))
}
