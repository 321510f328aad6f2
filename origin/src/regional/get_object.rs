//! GetObject.

use http::header::CONTENT_RANGE;
use s3s::dto::{GetObjectInput, GetObjectOutput, StreamingBlob};
use s3s::{S3Request, S3Response, S3Result};

use super::asked::{AskedBucket, AskedObject};
use super::object_body::ObjectBody;
use super::object_read::Found;
use super::{RegionalStore, object_read};
use crate::read_request::{decide, insert_expiration, object_headers};

/// Sends an object, a range or a part of it. What is sent and said is decided by [`decide`] and
/// [`object_headers`], as in every cache.
///
/// # Errors
/// Those of [`object_read`], [`decide`] and [`ObjectBody::open`].
pub(super) async fn get_object(
    store: &RegionalStore,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let GetObjectInput { bucket, key, version_id, expected_bucket_owner, .. } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, version_id)?;
    let asked = object_read::asked(&request.headers, &request.uri)?;
    let Found { facts, head, inline, expiration } = object_read::find(store, &object, &asked).await?;
    let reading = decide(&head, &asked)?;
    let mut headers = object_headers(&facts, &head, &asked, &reading);
    insert_expiration(&mut headers, expiration.as_deref());
    let keys = head.unlock(asked.customer_key(), store.key())?;
    let body = ObjectBody::open(store, &head, inline, reading.bytes(), keys).await?;
    // s3s answers 206 when the output has a range; every other value is among the headers.
    let content_range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    let output =
        GetObjectOutput { body: Some(StreamingBlob::new(body)), content_range, ..GetObjectOutput::default() };
    Ok(S3Response::with_headers(output, headers))
}
