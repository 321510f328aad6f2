//! DeleteBucket.

use std::ops::Bound;

use s3s::dto::{DeleteBucketInput, DeleteBucketOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use super::rows::Reads;
use super::seams::Change;
use super::versions::ReadVersions;

/// Removes an empty bucket: one without old versions and delete markers too. Its unfinished uploads are aborted in the same commit.
///
/// # Errors
/// `BucketNotEmpty`, `NoSuchBucket`, `AccessDenied`.
pub(super) async fn delete_bucket(
    store: &RegionalStore,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let DeleteBucketInput { bucket: name, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, name.clone(), expected_bucket_owner)?;
    store
        .commit(Change::Bucket(name.clone()), move |txn| {
            bucket.find(txn)?;
            if txn.objects(&name, Bound::Unbounded)?.next().transpose()?.is_some() {
                return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
            }
            if txn.has_older_versions(&name)? {
                return Err(s3_error!(
                    BucketNotEmpty,
                    "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
                ));
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
