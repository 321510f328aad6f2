//! PutBucketLifecycleConfiguration.

use s3s::dto::{
    PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
    TransitionDefaultMinimumObjectSize,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::amend::amend_bucket;
use super::asked::AskedBucket;
use crate::lifecycle::Lifecycle;

/// What nothing is moved by: S3's default, and the one value that is true where nothing is ever moved.
pub(super) const MINIMUM_SIZE: &str = TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K;

/// Says what becomes of a bucket's objects with time, in place of what was said before.
///
/// # Errors
/// Those of [`Lifecycle::read`]; `NotImplemented` for a size that transitions start at; `NoSuchBucket`, `AccessDenied`.
pub(super) async fn put_bucket_lifecycle_configuration(
    store: &RegionalStore,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let PutBucketLifecycleConfigurationInput {
        bucket,
        lifecycle_configuration,
        transition_default_minimum_object_size: minimum_size,
        expected_bucket_owner,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    if minimum_size.is_some_and(|size| size.as_str() != MINIMUM_SIZE) {
        return Err(s3_error!(NotImplemented, "There are no transitions here, from no size on."));
    }
    let configuration = lifecycle_configuration.ok_or_else(|| {
        s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        )
    })?;
    let lifecycle = Lifecycle::read(configuration, || store.random_id().to_string())?;
    amend_bucket(store, bucket, move |bucket| {
        bucket.facts.lifecycle = Some(lifecycle);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(TransitionDefaultMinimumObjectSize::from_static(
            MINIMUM_SIZE,
        )),
    }))
}
