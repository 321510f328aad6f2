//! HeadObject.

use s3s::dto::{HeadObjectInput, HeadObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::asked::{AskedBucket, AskedObject};
use super::object_read::Found;
use super::{RegionalStore, object_read};
use crate::read_request::{decide, insert_expiration, object_headers};

/// Says of an object, a range or a part of it what GetObject would say. A range is told by `Content-Range`: s3s
/// has no other status than 200 for this operation, so whoever writes the response makes it a 206.
///
/// # Errors
/// Those of [`object_read`] and [`decide`]; clients see their status alone.
pub(super) async fn head_object(
    store: &RegionalStore,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let HeadObjectInput { bucket, key, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    let asked = object_read::asked(&request.headers, &request.uri)?;
    let Found { facts, head, expiration, .. } = object_read::find(store, &object, &asked).await?;
    let reading = decide(&head, &asked)?;
    let mut headers = object_headers(&facts, &head, &asked, &reading);
    insert_expiration(&mut headers, expiration.as_deref());
    Ok(S3Response::with_headers(HeadObjectOutput::default(), headers))
}
