//! The S3 operations of the store: s3s's trait, one line and one file an operation.
//!
//! Whatever s3s knows and is not listed here answers `NotImplemented` by itself.

use async_trait::async_trait;
use s3s::dto;
use s3s::{S3, S3Request, S3Response, S3Result};

use super::{
    RegionalStore, abort_multipart_upload, complete_multipart_upload, copy_object, create_bucket,
    create_multipart_upload, delete_bucket, delete_bucket_cors, delete_bucket_encryption,
    delete_bucket_lifecycle, delete_bucket_ownership_controls, delete_bucket_policy, delete_bucket_tagging,
    delete_bucket_website, delete_object, delete_object_tagging, delete_objects, delete_public_access_block,
    get_bucket_acl, get_bucket_cors, get_bucket_encryption, get_bucket_lifecycle_configuration,
    get_bucket_location, get_bucket_ownership_controls, get_bucket_policy, get_bucket_policy_status,
    get_bucket_tagging, get_bucket_versioning, get_bucket_website, get_object, get_object_acl,
    get_object_attributes, get_object_tagging, get_public_access_block, head_bucket, head_object,
    list_buckets, list_multipart_uploads, list_object_versions, list_objects, list_objects_v2, list_parts,
    put_bucket_acl, put_bucket_cors, put_bucket_encryption, put_bucket_lifecycle_configuration,
    put_bucket_ownership_controls, put_bucket_policy, put_bucket_tagging, put_bucket_versioning,
    put_bucket_website, put_object, put_object_acl, put_object_tagging, put_public_access_block,
    unset_configurations, upload_part, upload_part_copy,
};

/// `operation(Input) -> Output;` for each operation, with the file that it is in where that has not its name.
macro_rules! operations {
    ($($operation:ident($input:ident) -> $output:ident $(in $file:ident)?;)+) => {
        #[async_trait]
        impl S3 for RegionalStore {
            $(async fn $operation(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                operations!(@of $operation $($file)?)(self, request).await
            })+
        }
    };
    (@of $operation:ident) => { $operation::$operation };
    (@of $operation:ident $file:ident) => { $file::$operation };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput;
    create_bucket(CreateBucketInput) -> CreateBucketOutput;
    head_bucket(HeadBucketInput) -> HeadBucketOutput;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput;
    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput;
    put_bucket_website(PutBucketWebsiteInput) -> PutBucketWebsiteOutput;
    delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput;
    list_objects(ListObjectsInput) -> ListObjectsOutput;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput;
    put_object(PutObjectInput) -> PutObjectOutput;
    get_object(GetObjectInput) -> GetObjectOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
    copy_object(CopyObjectInput) -> CopyObjectOutput;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    upload_part(UploadPartInput) -> UploadPartOutput;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    list_parts(ListPartsInput) -> ListPartsOutput;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput in unset_configurations;
    get_bucket_analytics_configuration(GetBucketAnalyticsConfigurationInput) -> GetBucketAnalyticsConfigurationOutput in unset_configurations;
    get_bucket_intelligent_tiering_configuration(GetBucketIntelligentTieringConfigurationInput) -> GetBucketIntelligentTieringConfigurationOutput in unset_configurations;
    get_bucket_inventory_configuration(GetBucketInventoryConfigurationInput) -> GetBucketInventoryConfigurationOutput in unset_configurations;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput in unset_configurations;
    get_bucket_metrics_configuration(GetBucketMetricsConfigurationInput) -> GetBucketMetricsConfigurationOutput in unset_configurations;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput in unset_configurations;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput in unset_configurations;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput in unset_configurations;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput in unset_configurations;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput in unset_configurations;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput in unset_configurations;
    put_bucket_accelerate_configuration(PutBucketAccelerateConfigurationInput) -> PutBucketAccelerateConfigurationOutput in unset_configurations;
    put_bucket_logging(PutBucketLoggingInput) -> PutBucketLoggingOutput in unset_configurations;
    put_bucket_notification_configuration(PutBucketNotificationConfigurationInput) -> PutBucketNotificationConfigurationOutput in unset_configurations;
    put_bucket_request_payment(PutBucketRequestPaymentInput) -> PutBucketRequestPaymentOutput in unset_configurations;
    delete_bucket_analytics_configuration(DeleteBucketAnalyticsConfigurationInput) -> DeleteBucketAnalyticsConfigurationOutput in unset_configurations;
    delete_bucket_intelligent_tiering_configuration(DeleteBucketIntelligentTieringConfigurationInput) -> DeleteBucketIntelligentTieringConfigurationOutput in unset_configurations;
    delete_bucket_inventory_configuration(DeleteBucketInventoryConfigurationInput) -> DeleteBucketInventoryConfigurationOutput in unset_configurations;
    delete_bucket_metrics_configuration(DeleteBucketMetricsConfigurationInput) -> DeleteBucketMetricsConfigurationOutput in unset_configurations;
    delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput in unset_configurations;
    list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput in unset_configurations;
    list_bucket_intelligent_tiering_configurations(ListBucketIntelligentTieringConfigurationsInput) -> ListBucketIntelligentTieringConfigurationsOutput in unset_configurations;
    list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput in unset_configurations;
    list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput in unset_configurations;
}
