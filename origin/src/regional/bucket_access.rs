//! The bucket an operation is about, as the operation's own snapshot or transaction sees it.

use s3s::{S3Result, s3_error};

use super::rows::{Bucket, Reads};
use crate::caller::Caller;

/// The bucket, if it is there and the caller's account owns it.
///
/// Permission was decided on the bucket's facts before the operation began. The bucket may have gone since, and
/// have come back as somebody else's: whoever owns it now is asked again, where the operation happens.
///
/// # Errors
/// `NoSuchBucket`; `AccessDenied` when it is another account's, or not owned by `expected_owner`.
pub(super) fn own_bucket(
    rows: &impl Reads,
    name: &str,
    caller: &Caller,
    expected_owner: Option<&str>,
) -> S3Result<Bucket> {
    let bucket =
        rows.bucket(name)?.ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))?;
    bucket.facts.verify_owner(expected_owner)?;
    if bucket.facts.owner != caller.account {
        return Err(s3_error!(AccessDenied, "Access Denied"));
    }
    Ok(bucket)
}
