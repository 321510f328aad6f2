//! Configurations that no bucket here has: replication, logging, notifications and others that only a larger system could
//! honour. Asked for one, a bucket answers as one of S3 does to which nobody gave it. To set one is `NotImplemented`,
//! which is s3s's answer for every operation that a store does not have, unless it asks for what is so anyway.

use http::{Extensions, HeaderMap, StatusCode};
use s3s::dto::{
    self, BucketAccelerateStatus, BucketLoggingStatus, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectRetentionInput, GetObjectRetentionOutput, NotificationConfiguration, Payer,
    PutBucketAccelerateConfigurationInput, PutBucketAccelerateConfigurationOutput, PutBucketLoggingInput,
    PutBucketLoggingOutput, PutBucketNotificationConfigurationInput,
    PutBucketNotificationConfigurationOutput, PutBucketRequestPaymentInput, PutBucketRequestPaymentOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::{AskedBucket, AskedObject};
use crate::read_request::expected_bucket_owner;

// A macro, because each input is a type of its own, and all that differs beside it is the answer.
macro_rules! unset {
    ($($operation:ident($input:ident) -> $output:ident = $answer:expr;)+) => {
        $(
            pub(super) async fn $operation(
                store: &RegionalStore,
                request: S3Request<dto::$input>,
            ) -> S3Result<S3Response<dto::$output>> {
                verify_bucket(store, &request.extensions, &request.headers, request.input.bucket).await?;
                let answer: S3Result<dto::$output> = $answer;
                answer.map(S3Response::new)
            }
        )+
    };
}

unset! {
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput)
        -> GetBucketAccelerateConfigurationOutput = Ok(Default::default());
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = Ok(Default::default());
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
        -> GetBucketNotificationConfigurationOutput = Ok(Default::default());
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput =
        Ok(dto::GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) });

    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput =
        Err(not_found("ReplicationConfigurationNotFoundError", "The replication configuration was not found"));
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput =
        Err(not_found("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"));

    delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput = Ok(Default::default());

    get_bucket_analytics_configuration(GetBucketAnalyticsConfigurationInput)
        -> GetBucketAnalyticsConfigurationOutput = Err(no_such_configuration());
    get_bucket_intelligent_tiering_configuration(GetBucketIntelligentTieringConfigurationInput)
        -> GetBucketIntelligentTieringConfigurationOutput = Err(no_such_configuration());
    get_bucket_inventory_configuration(GetBucketInventoryConfigurationInput)
        -> GetBucketInventoryConfigurationOutput = Err(no_such_configuration());
    get_bucket_metrics_configuration(GetBucketMetricsConfigurationInput)
        -> GetBucketMetricsConfigurationOutput = Err(no_such_configuration());
    delete_bucket_analytics_configuration(DeleteBucketAnalyticsConfigurationInput)
        -> DeleteBucketAnalyticsConfigurationOutput = Err(no_such_configuration());
    delete_bucket_intelligent_tiering_configuration(DeleteBucketIntelligentTieringConfigurationInput)
        -> DeleteBucketIntelligentTieringConfigurationOutput = Err(no_such_configuration());
    delete_bucket_inventory_configuration(DeleteBucketInventoryConfigurationInput)
        -> DeleteBucketInventoryConfigurationOutput = Err(no_such_configuration());
    delete_bucket_metrics_configuration(DeleteBucketMetricsConfigurationInput)
        -> DeleteBucketMetricsConfigurationOutput = Err(no_such_configuration());

    list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput)
        -> ListBucketAnalyticsConfigurationsOutput =
        Ok(dto::ListBucketAnalyticsConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    list_bucket_intelligent_tiering_configurations(ListBucketIntelligentTieringConfigurationsInput)
        -> ListBucketIntelligentTieringConfigurationsOutput =
        Ok(dto::ListBucketIntelligentTieringConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput)
        -> ListBucketInventoryConfigurationsOutput =
        Ok(dto::ListBucketInventoryConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput)
        -> ListBucketMetricsConfigurationsOutput =
        Ok(dto::ListBucketMetricsConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
}

/// Says once more that uploads take no detour through AWS's edge: that is what accelerates them there, and reads go to an
/// accelerated endpoint here whatever a bucket says.
pub(super) async fn put_bucket_accelerate_configuration(
    store: &RegionalStore,
    request: S3Request<PutBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<PutBucketAccelerateConfigurationOutput>> {
    let PutBucketAccelerateConfigurationInput { bucket, accelerate_configuration, .. } = request.input;
    verify_bucket(store, &request.extensions, &request.headers, bucket).await?;
    match accelerate_configuration.status.as_ref().map(BucketAccelerateStatus::as_str) {
        Some(BucketAccelerateStatus::SUSPENDED) => {
            Ok(S3Response::new(PutBucketAccelerateConfigurationOutput::default()))
        }
        Some(BucketAccelerateStatus::ENABLED) => {
            Err(s3_error!(NotImplemented, "Transfers to a bucket are not accelerated by AWS's edge here."))
        }
        _ => Err(s3_error!(MalformedXML, "The status is Enabled or Suspended.")),
    }
}

/// Says once more that nothing is logged.
pub(super) async fn put_bucket_logging(
    store: &RegionalStore,
    request: S3Request<PutBucketLoggingInput>,
) -> S3Result<S3Response<PutBucketLoggingOutput>> {
    let PutBucketLoggingInput { bucket, bucket_logging_status, .. } = request.input;
    verify_bucket(store, &request.extensions, &request.headers, bucket).await?;
    if bucket_logging_status != BucketLoggingStatus::default() {
        return Err(s3_error!(NotImplemented, "Access to a bucket is not logged to another bucket here."));
    }
    Ok(S3Response::new(PutBucketLoggingOutput::default()))
}

/// Says once more that nobody is notified.
pub(super) async fn put_bucket_notification_configuration(
    store: &RegionalStore,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
    let PutBucketNotificationConfigurationInput { bucket, notification_configuration, .. } = request.input;
    verify_bucket(store, &request.extensions, &request.headers, bucket).await?;
    if notification_configuration != NotificationConfiguration::default() {
        return Err(s3_error!(NotImplemented, "Nobody is notified of what happens in a bucket here."));
    }
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
}

/// Says once more that the bucket's owner pays.
pub(super) async fn put_bucket_request_payment(
    store: &RegionalStore,
    request: S3Request<PutBucketRequestPaymentInput>,
) -> S3Result<S3Response<PutBucketRequestPaymentOutput>> {
    let PutBucketRequestPaymentInput { bucket, request_payment_configuration, .. } = request.input;
    verify_bucket(store, &request.extensions, &request.headers, bucket).await?;
    match request_payment_configuration.payer.as_str() {
        Payer::BUCKET_OWNER => Ok(S3Response::new(PutBucketRequestPaymentOutput::default())),
        Payer::REQUESTER => Err(s3_error!(NotImplemented, "Requests are not billed to who makes them here.")),
        _ => Err(s3_error!(MalformedXML, "The payer is BucketOwner or Requester.")),
    }
}

/// No object is under legal hold.
pub(super) async fn get_object_legal_hold(
    store: &RegionalStore,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let GetObjectLegalHoldInput { bucket, key, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    verify_unlocked(store, AskedObject::new(bucket, key, version_id)?).await
}

/// No object is locked for a time.
pub(super) async fn get_object_retention(
    store: &RegionalStore,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let GetObjectRetentionInput { bucket, key, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    verify_unlocked(store, AskedObject::new(bucket, key, version_id)?).await
}

/// The answer about a lock of an object whose bucket has none.
async fn verify_unlocked<T>(store: &RegionalStore, object: AskedObject) -> S3Result<T> {
    store.read_for(object.bucket.permit(), move |rows| object.find(rows)).await?;
    Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"))
}

/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
async fn verify_bucket(
    store: &RegionalStore,
    extensions: &Extensions,
    headers: &HeaderMap,
    bucket: String,
) -> S3Result<()> {
    // Some of the inputs leave it out.
    let bucket = AskedBucket::of(extensions, bucket, expected_bucket_owner(headers)?)?;
    store.read_for(bucket.permit(), move |rows| bucket.find(rows)).await.map(|_| ())
}

fn no_such_configuration() -> S3Error {
    not_found("NoSuchConfiguration", "The specified configuration does not exist.")
}

fn not_found(code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(StatusCode::NOT_FOUND);
    error
}
