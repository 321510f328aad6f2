//! Writes of an object whose `Expires` is no date: S3 keeps the text and gives it back, as browsers take `0` or `-1` for a
//! time that is over.
//!
//! s3s refuses them when it parses an operation's input. A signature may cover the header, so such a write comes to s3s as it
//! is, and after the signature is checked to a route of ours; the same door lets it in. Then s3s reads it once more, without
//! the header and without asking who sent it, so that everything else about it is read as of other writes; before the store
//! sees it, it has its own headers back.

use async_trait::async_trait;
use http::header::{AUTHORIZATION, EXPIRES};
use http::{HeaderMap, Request, Uri};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    PutObjectInput, PutObjectOutput, Timestamp, TimestampFormat,
};
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders};

use super::s3s_settings;
use crate::post_form::escaped;
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
    request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let again = read_again(target, request)?;
    let mut builder = S3ServiceBuilder::new(AsSent(store.clone()));
    builder.set_config(s3s_settings());
    let answer = builder.build().call(again).await;
    let (parts, body) =
        answer.map_err(|cause| S3Error::with_source(S3ErrorCode::InternalError, cause.into()))?.into_parts();
    let mut response = S3Response::with_headers(body, parts.headers);
    response.status = Some(parts.status);
    response.extensions = parts.extensions;
    Ok(response)
}

/// What the request has that s3s does not read again.
#[derive(Clone)]
struct Sent {
    headers: HeaderMap,
    trailing_headers: Option<TrailingHeaders>,
}

/// `request` as one that nobody signed and that says nothing of `Expires`.
fn read_again(target: &Target, request: S3Request<Body>) -> S3Result<Request<Body>> {
    let (Some(bucket), Some(key)) = (target.bucket(), target.key()) else {
        return Err(S3ErrorCode::InvalidRequest.into());
    };
    let query = if target.operation == Operation::CreateMultipartUpload { "?uploads" } else { "" };
    let uri = format!("/{bucket}/{}{query}", escaped(key));
    let S3Request { input, method, headers, mut extensions, trailing_headers, .. } = request;
    let mut read = headers.clone();
    read.remove(EXPIRES);
    read.remove(AUTHORIZATION);
    extensions.insert(Sent { headers, trailing_headers });
    let mut again = Request::new(input);
    *again.method_mut() = method;
    *again.uri_mut() = Uri::try_from(uri).map_err(|_| S3Error::from(S3ErrorCode::InvalidURI))?;
    *again.headers_mut() = read;
    *again.extensions_mut() = extensions;
    Ok(again)
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
