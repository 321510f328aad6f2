//! ListBuckets.

use s3s::dto::{Bucket, ListBucketsInput, ListBucketsOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use tracing::error;

use super::RegionalStore;
use super::answers::{owner, timestamp};
use super::failure::Failure;
use super::rows::Reads;
use crate::caller::Caller;
use crate::permit::permit_of;

/// Buckets on a page unless the client wants fewer: S3's limit.
const PAGE_BUCKETS_MAX: usize = 10_000;

/// Rows that a list may leave out because they cannot be read: with more, it is the store that is damaged.
const UNREADABLE_ROWS_MAX: usize = 16;

/// Lists the buckets of the caller's account in this region, by name.
///
/// # Errors
/// `AccessDenied` for anonymous callers; `InvalidArgument` for a page of no or of too many buckets.
pub(super) async fn list_buckets(
    store: &RegionalStore,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = Caller::user_of(&request.extensions)?.clone();
    let ListBucketsInput { bucket_region, continuation_token, max_buckets, prefix } = request.input;
    let buckets_max = match max_buckets.map(usize::try_from) {
        None => PAGE_BUCKETS_MAX,
        Some(Ok(count @ 1..=PAGE_BUCKETS_MAX)) => count,
        Some(_) => {
            return Err(s3_error!(
                InvalidArgument,
                "Argument max-buckets must be an integer between 1 and 10000"
            ));
        }
    };
    let region = store.region().to_owned();
    let elsewhere = bucket_region.is_some_and(|asked| asked != region);
    let (owner, starts_with) = (owner(caller.as_owner()), prefix.clone().unwrap_or_default());
    let mut buckets = store
        .read_for(permit_of(&request.extensions)?, move |rows| {
            let (mut buckets, mut unreadable_count) = (Vec::new(), 0);
            for row in rows.buckets_of(&caller.account, continuation_token.as_deref())? {
                let (name, bucket) = match row {
                    // Whose it is cannot be known: it is closed, and others' lists are not.
                    Err(Failure::Corrupt(what)) if unreadable_count < UNREADABLE_ROWS_MAX => {
                        unreadable_count += 1;
                        error!(what, "a bucket's row cannot be read: no list shows the bucket");
                        continue;
                    }
                    row => row?,
                };
                if elsewhere || buckets.len() > buckets_max {
                    break;
                }
                if name.starts_with(&starts_with) {
                    let creation_date = Some(timestamp(bucket.created_millis));
                    buckets.push(Bucket {
                        bucket_region: Some(region.clone()),
                        creation_date,
                        name: Some(name),
                    });
                }
            }
            Ok(buckets)
        })
        .await?;
    let is_truncated = buckets.len() > buckets_max;
    buckets.truncate(buckets_max);
    // Bucket names are no secret from their owner, so the last one serves as the token.
    let continuation_token = buckets.last().filter(|_| is_truncated).and_then(|bucket| bucket.name.clone());
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token,
        owner: Some(owner),
        prefix,
    }))
}
