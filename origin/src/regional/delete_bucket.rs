//! DeleteBucket.

use std::ops::Bound;

use s3s::dto::{DeleteBucketInput, DeleteBucketOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::bucket_access::own_bucket;
use super::rows::Reads;
use super::seams::Change;
use crate::caller::Caller;

/// Removes an empty bucket. Its unfinished uploads are aborted in the same commit.
///
/// # Errors
/// `BucketNotEmpty`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_bucket(
    store: &RegionalStore,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let caller = Caller::of(&request.extensions)?.clone();
    let DeleteBucketInput { bucket: name, expected_bucket_owner, .. } = request.input;
    store
        .commit(Change::Bucket(name.clone()), move |txn| {
            own_bucket(txn, &name, &caller, expected_bucket_owner.as_deref())?;
            if txn.objects(&name, Bound::Unbounded)?.next().transpose()?.is_some() {
                return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
            }
            let uploads = txn.uploads(&name, Bound::Unbounded)?.collect::<Result<Vec<_>, _>>()?;
            for (key, upload_id, _) in uploads {
                txn.delete_upload(&name, &key, &upload_id)?;
            }
            Ok(txn.delete_bucket(&name)?)
        })
        .await?;
    Ok(S3Response::new(DeleteBucketOutput {}))
}
