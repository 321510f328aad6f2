//! DeleteBucket.

use std::ops::Bound;

use s3s::dto::{DeleteBucketInput, DeleteBucketOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use super::expire::ABORTED_MAX;
use super::failure::Failure;
use super::rows::{Reads, Snapshot};
use super::seams::Change;
use super::versions::ReadVersions;
use crate::instance::Instance;

/// Removes an empty bucket: one without old versions and delete markers too. Its unfinished uploads are aborted before, one
/// after the other and each in a change of its own, for one may have ten thousand parts and others wait for the writer. A
/// bucket that is written to meanwhile, or whose own change fails, stays, without them. There may be many: whoever asks is
/// looked at again before some more go.
///
/// # Errors
/// `BucketNotEmpty`, `NoSuchBucket`, `AccessDenied`, and those of [`Permit::confirm_caller`](crate::permit::Permit::confirm_caller).
pub(super) async fn delete_bucket(
    store: &RegionalStore,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let DeleteBucketInput { bucket: name, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, name.clone(), expected_bucket_owner)?;
    loop {
        // Decided before anybody is told, too.
        let asked = bucket.clone();
        let look = move |rows: &Snapshot<'_>| {
            Ok((find_empty(rows, &asked)?, uploads(rows, &asked.name, ABORTED_MAX)?))
        };
        let (incarnation, uploads) = store.read_for(bucket.permit(), look).await?;
        let are_all = uploads.len() < ABORTED_MAX;
        for upload in uploads {
            abort(store, &bucket, incarnation, upload).await?;
        }
        if are_all {
            break;
        }
    }
    store
        .commit_for(bucket.permit(), Change::Bucket(name.clone()), move |txn| {
            find_empty(txn, &bucket)?;
            // Those that came since.
            for (key, upload_id) in uploads(txn, &name, usize::MAX)? {
                txn.delete_upload(&name, &key, &upload_id)?;
            }
            Ok(txn.delete_bucket(&name)?)
        })
        .await?;
    Ok(S3Response::new(DeleteBucketOutput {}))
}

/// The incarnation of the bucket, if it holds nothing but uploads.
fn find_empty(rows: &impl Reads, bucket: &AskedBucket) -> S3Result<Instance> {
    let found = bucket.find(rows)?;
    if rows.objects(&bucket.name, Bound::Unbounded)?.next().transpose()?.is_some() {
        return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
    }
    if rows.has_older_versions(&bucket.name)? {
        return Err(s3_error!(
            BucketNotEmpty,
            "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
        ));
    }
    Ok(found.facts.incarnation)
}

/// The keys and ids of unfinished uploads.
fn uploads(rows: &impl Reads, bucket: &str, uploads_max: usize) -> Result<Vec<(String, String)>, Failure> {
    let uploads = rows.uploads(bucket, Bound::Unbounded)?.take(uploads_max);
    uploads.map(|upload| upload.map(|(key, upload_id, _)| (key, upload_id))).collect()
}

async fn abort(
    store: &RegionalStore,
    bucket: &AskedBucket,
    incarnation: Instance,
    (key, upload_id): (String, String),
) -> S3Result<()> {
    let bucket = bucket.clone();
    store
        .commit_for(bucket.permit(), Change::Nothing, move |txn| {
            // One that was made anew since is another bucket.
            if bucket.find(txn)?.facts.incarnation == incarnation {
                txn.delete_upload(&bucket.name, &key, &upload_id)?;
            }
            Ok(())
        })
        .await
}
