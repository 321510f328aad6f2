//! What s3s has no operation for, or does not know all of: it checks the signature, and hands the request to the one route
//! that it knows.

use async_trait::async_trait;
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::route::S3Route;
use s3s::{Body, S3, S3Request, S3Response, S3Result};

use super::{
    Door, Renames, bucket_encryption, characters_by_number, expires_as_sent, refused_by_s3s, rename_object,
};
use crate::target::Operation;

/// Requests as admission has read them; the same door lets them in, and the same store answers.
pub(super) struct Route<S>(pub(super) Door<S>);

#[async_trait]
impl<S: S3 + Renames + Clone> S3Route for Route<S> {
    fn is_match(&self, _: &Method, _: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        let target = &self.0.0.target;
        match target.operation {
            Operation::RenameObject | Operation::GetBucketEncryption | Operation::PutBucketEncryption => true,
            operation => {
                refused_by_s3s::is_match(target, headers)
                    || expires_as_sent::is_match(operation, headers)
                    || characters_by_number::is_match(target)
            }
        }
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let access_key = request.credentials.as_ref().map(|credentials| credentials.access_key.clone());
        self.0.admit(access_key, request.headers.clone(), &mut request.extensions).await
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let (store, target) = (&self.0.0.store, &self.0.0.target);
        match target.operation {
            Operation::RenameObject => rename_object::call(store, target, request).await,
            Operation::GetBucketEncryption => bucket_encryption::get(store, target, request).await,
            Operation::PutBucketEncryption => bucket_encryption::put(store, target, request).await,
            Operation::PutObject | Operation::CopyObject | Operation::CreateMultipartUpload => {
                expires_as_sent::call(store, target, request).await
            }
            _ if characters_by_number::is_match(target) => {
                characters_by_number::call(store, target, request).await
            }
            _ => refused_by_s3s::call(store, target, request).await,
        }
    }
}
