//! Requests that s3s reads once more. What a signature covers cannot be changed before s3s sees it; so the request comes to
//! s3s as it is, and after the signature is checked and the door has let it in, to a route of ours. That changes what s3s
//! would not understand, and has it read as a request that nobody signed, so that everything else about it is read as of
//! other requests.

use http::header::AUTHORIZATION;
use http::{Request, Uri};
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::s3s_settings;
use crate::post_form::escaped;
use crate::target::Target;

/// Has `store` do what `request` says, as s3s reads it: for the bucket and the key of `target`, with `query`. Nobody is asked
/// who sent it.
pub(super) async fn call(
    store: impl S3,
    target: &Target,
    query: &str,
    request: S3Request<Body>,
) -> S3Result<S3Response<Body>> {
    let S3Request { input, method, mut headers, extensions, .. } = request;
    headers.remove(AUTHORIZATION);
    let mut again = Request::new(input);
    *again.method_mut() = method;
    *again.uri_mut() = uri(target, query)?;
    *again.headers_mut() = headers;
    *again.extensions_mut() = extensions;
    let mut builder = S3ServiceBuilder::new(store);
    builder.set_config(s3s_settings());
    let answer = builder.build().call(again).await;
    let (parts, body) =
        answer.map_err(|cause| S3Error::with_source(S3ErrorCode::InternalError, cause.into()))?.into_parts();
    let mut response = S3Response::with_headers(body, parts.headers);
    response.status = Some(parts.status);
    response.extensions = parts.extensions;
    Ok(response)
}

fn uri(target: &Target, query: &str) -> S3Result<Uri> {
    let bucket = target.bucket().ok_or_else(|| S3Error::from(S3ErrorCode::InvalidRequest))?;
    let key = target.key().map(|key| format!("/{}", escaped(key))).unwrap_or_default();
    let uri = format!("/{bucket}{key}{query}");
    Uri::try_from(uri).map_err(|_| S3ErrorCode::InvalidURI.into())
}
