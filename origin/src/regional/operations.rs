//! The S3 operations of the store: s3s's trait, one line and one file an operation.
//!
//! Whatever s3s knows and is not listed here answers `NotImplemented` by itself.

use async_trait::async_trait;
use s3s::dto;
use s3s::{S3, S3Request, S3Response, S3Result};

use super::{
    RegionalStore, abort_multipart_upload, complete_multipart_upload, copy_object, create_bucket,
    create_multipart_upload, delete_bucket, delete_object, delete_objects, get_bucket_location, get_object,
    head_bucket, head_object, list_buckets, list_multipart_uploads, list_objects, list_objects_v2,
    list_parts, put_object, upload_part, upload_part_copy,
};

/// `operation(Input) -> Output in file;` for each operation.
macro_rules! operations {
    ($($operation:ident($input:ident) -> $output:ident;)+) => {
        #[async_trait]
        impl S3 for RegionalStore {
            $(async fn $operation(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                $operation::$operation(self, request).await
            })+
        }
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput;
    create_bucket(CreateBucketInput) -> CreateBucketOutput;
    head_bucket(HeadBucketInput) -> HeadBucketOutput;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    list_objects(ListObjectsInput) -> ListObjectsOutput;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    put_object(PutObjectInput) -> PutObjectOutput;
    get_object(GetObjectInput) -> GetObjectOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
    copy_object(CopyObjectInput) -> CopyObjectOutput;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    upload_part(UploadPartInput) -> UploadPartOutput;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    list_parts(ListPartsInput) -> ListPartsOutput;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
}
