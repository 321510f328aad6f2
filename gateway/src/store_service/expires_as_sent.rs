//! Writes of an object whose `Expires` is no date: S3 keeps the text and gives it back, as browsers take `0` or `-1` for a
//! time that is over.
//!
//! s3s refuses them when it parses an operation's input. So s3s [reads them again](super::read_again), without the header;
//! before the store sees such a write, it has its own headers back.

use async_trait::async_trait;
use http::HeaderMap;
use http::header::EXPIRES;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    PutObjectInput, PutObjectOutput, Timestamp, TimestampFormat,
};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders};

use super::read_again;
use crate::target::{Operation, Target};

/// Whether a request for `operation` with `headers` is such a write.
pub(super) fn is_match(operation: Operation, headers: &HeaderMap) -> bool {
    let makes_object =
        matches!(operation, Operation::PutObject | Operation::CopyObject | Operation::CreateMultipartUpload);
    makes_object
        && headers.get(EXPIRES).is_some_and(|value| !value.is_empty() && !value.to_str().is_ok_and(is_date))
}

/// Whether s3s takes `value` for a date.
pub(super) fn is_date(value: &str) -> bool {
    Timestamp::parse(TimestampFormat::HttpDate, value).is_ok()
}

/// Does what `target` says in `store`.
pub(super) async fn call(
    store: &(impl S3 + Clone),
    target: &Target,
    mut request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let query = if target.operation == Operation::CreateMultipartUpload { "?uploads" } else { "" };
    let sent = Sent { headers: request.headers.clone(), trailing_headers: request.trailing_headers.take() };
    request.extensions.insert(sent);
    request.headers.remove(EXPIRES);
    read_again::call(AsSent(store.clone()), target, query, request).await
}

/// What the request has that s3s does not read again.
#[derive(Clone)]
struct Sent {
    headers: HeaderMap,
    trailing_headers: Option<TrailingHeaders>,
}

/// The store, which is asked with the headers that a request came with.
struct AsSent<S>(S);

fn as_sent<T>(mut request: S3Request<T>) -> S3Result<S3Request<T>> {
    let sent: Sent = request.extensions.remove().ok_or_else(|| S3Error::from(S3ErrorCode::InternalError))?;
    request.headers = sent.headers;
    request.trailing_headers = sent.trailing_headers;
    Ok(request)
}

#[async_trait]
impl<S: S3> S3 for AsSent<S> {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.0.put_object(as_sent(request)?).await
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        self.0.copy_object(as_sent(request)?).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.0.create_multipart_upload(as_sent(request)?).await
    }
}
