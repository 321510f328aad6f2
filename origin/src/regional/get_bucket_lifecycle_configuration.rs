//! GetBucketLifecycleConfiguration.

use s3s::dto::{
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    TransitionDefaultMinimumObjectSize,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use super::put_bucket_lifecycle_configuration::MINIMUM_SIZE;

/// Shows what becomes of a bucket's objects with time.
///
/// # Errors
/// `NoSuchLifecycleConfiguration`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn get_bucket_lifecycle_configuration(
    store: &RegionalStore,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let GetBucketLifecycleConfigurationInput { bucket, expected_bucket_owner } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let found = store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await?;
    let Some(lifecycle) = found.facts.lifecycle else {
        return Err(s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist"));
    };
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.shown()),
        transition_default_minimum_object_size: Some(TransitionDefaultMinimumObjectSize::from_static(
            MINIMUM_SIZE,
        )),
    }))
}
