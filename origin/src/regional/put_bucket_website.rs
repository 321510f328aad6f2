//! PutBucketWebsite.

use s3s::dto::{PutBucketWebsiteInput, PutBucketWebsiteOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use crate::website::Website;

/// Shows a bucket as a website, in place of how it was shown before.
///
/// # Errors
/// Those of [`Website::read`]; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_website(
    store: &RegionalStore,
    request: S3Request<PutBucketWebsiteInput>,
) -> S3Result<S3Response<PutBucketWebsiteOutput>> {
    let PutBucketWebsiteInput { bucket, website_configuration, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let website = Website::read(website_configuration)?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.website = Some(website);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketWebsiteOutput {}))
}
