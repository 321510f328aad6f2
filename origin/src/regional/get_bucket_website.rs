//! GetBucketWebsite, and how a bucket is shown to a website's visitors.

use s3s::dto::{GetBucketWebsiteInput, GetBucketWebsiteOutput};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, no_such_bucket};
use super::rows::Reads;
use crate::website::Website;

/// Shows a bucket's configuration as a website.
///
/// # Errors
/// `NoSuchWebsiteConfiguration`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_website(
    store: &RegionalStore,
    request: S3Request<GetBucketWebsiteInput>,
) -> S3Result<S3Response<GetBucketWebsiteOutput>> {
    let GetBucketWebsiteInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let website = found.website.ok_or_else(no_website)?;
    Ok(S3Response::new(website.shown()))
}

impl RegionalStore {
    /// The website that `bucket` is shown as. Whoever asks may know: a site's redirects are for everybody, and what it
    /// leads to is read as any object is.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchWebsiteConfiguration`; `InternalError` when the disk fails.
    pub async fn website(&self, bucket: &str) -> Result<Website, S3Error> {
        let bucket = bucket.to_owned();
        self.read_few(move |rows| {
            let found = rows.bucket(&bucket)?.ok_or_else(no_such_bucket)?;
            found.website.ok_or_else(no_website)
        })
        .await
    }
}

fn no_website() -> S3Error {
    s3_error!(NoSuchWebsiteConfiguration, "The specified bucket does not have a website configuration")
}
