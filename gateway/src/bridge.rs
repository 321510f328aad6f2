//! The bridge between pingora and s3s: a client's request in, the store's response out, both streamed.
//!
//! Order of events: the request's head becomes an [`http::Request`]; s3s checks signature and permission before it
//! asks for the body; only then is a waiting client told to continue, and the body flows as fast as the store takes
//! it. The response's head and body flow back as fast as the client takes them. What is left of an unread body is
//! drained when it is short, and the connection closed after the response when it is not.
//!
//! An error before the response's head becomes an S3 error document, in the one shape of [`Refusal::document`]. An
//! error after it can only be told by a reset: [`Failed::Broken`].

pub mod aws_chunked;
mod controls;
mod document;
pub mod form;
pub mod upload;
pub mod website;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use origin::{ObjectUrl, Trailers};
use percent_encoding::percent_decode;
use pingora::proxy::Session;
use s3s::S3ErrorCode;
use s3s::service::S3Service;
use tokio::time::timeout;

use self::aws_chunked::Framing;
use self::document::Document;
use self::upload::{Decoding, Feed, Source, UploadBody};
use crate::accelerated::{CACHE_STATUS, passed_by};
use crate::client::Client;
use crate::listen::LINGER;
use crate::post_form::escaped;
use crate::refusal::{Refusal, Subject, read_document};
use crate::request_id::RequestId;
use crate::response::{self, Failed, Sender, Sent};
use crate::target::{EndpointKind, Operation, SignatureForm, Target};
use crate::topology::RegionName;

/// Bytes of an unread body that are drained so that the connection can serve the next request.
const DRAIN_BYTES_MAX: u64 = 256 * 1024;

/// How long draining may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest error document taken from s3s.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// Largest document of an object's attributes: a thousand parts with five checksums each are half of it.
const ATTRIBUTES_BYTES_MAX: usize = 1 << 20;

/// What the two sides of a transfer may take.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of a client that sends.
    pub upload: upload::Limits,
    /// Of a client that reads.
    pub response: response::Limits,
}

/// What names a request in its response, and whoever answers it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The request's id.
    pub request_id: RequestId,
    /// The region that answers.
    pub region: &'a RegionName,
    /// The kind of endpoint that was asked.
    pub endpoint: EndpointKind,
}

/// Answers the request of `session`, which `client` has sent, with `service`.
///
/// # Errors
/// [`Failed`]: the caller tells the refusal, or resets the connection.
pub async fn serve(
    session: &mut Session,
    target: &Target,
    client: Client,
    service: S3Service,
    named: Named<'_>,
    limits: &Limits,
) -> Result<Sent, Failed> {
    let mut request = request_head(session)?;
    request.headers_mut().extend(target.hoisted.clone());
    if target.operation == Operation::CompleteMultipartUpload {
        request.extensions_mut().insert(ObjectUrl(address(session, client)));
    }
    keep_open(session);
    let decoding = decoding(target, &mut request)?;
    let length = if session.is_body_empty() { Some(0) } else { upload::length(request.headers()) };
    let (feed, body) = upload::pipe(Source::of(session), decoding, length);
    let response = call(session, service, request, feed, body, &limits.upload).await?;
    answer(session, target, accepted(response).await?, named, limits).await
}

/// How the body of `request`, which is for `target`, is decoded; `request` then says what comes out.
fn decoding(target: &Target, request: &mut http::Request<()>) -> Result<Decoding, Refusal> {
    let Some(framing) = Framing::of(target.payload, request.headers()) else {
        let document = Document::of(target.operation, request.headers())?;
        return Ok(document.map_or(Decoding::None, |document| Decoding::Document(Box::new(document))));
    };
    if target.signature != SignatureForm::Anonymous {
        return Ok(Decoding::Chunked(framing));
    }
    let trailers = Trailers::default();
    request.extensions_mut().insert(trailers.clone());
    let headers = request.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    if let Some(decoded) = headers.get("x-amz-decoded-content-length").cloned() {
        headers.insert(CONTENT_LENGTH, decoded);
    }
    Ok(Decoding::Chunked(framing.decoded(trailers)))
}

/// What `service` says to `request`, whose `body` is fed by `feed` meanwhile.
async fn call(
    session: &mut Session,
    service: S3Service,
    request: http::Request<()>,
    feed: Feed,
    body: UploadBody,
    limits: &upload::Limits,
) -> Result<s3s::HttpResponse, Refusal> {
    let request = request.map(|()| s3s::Body::http_body(body));
    let answering = service.call(request);
    let feeding = feed.run(session, limits);
    tokio::pin!(answering, feeding);
    let response = tokio::select! {
        biased;
        response = &mut answering => response,
        fed = &mut feeding => {
            // s3s has been told that the body is over or broken, and finishes whatever it was doing. What it has
            // done is done: the fault came after the last byte that counted, and the client is told of success.
            let response = answering.await;
            if !response.as_ref().is_ok_and(|response| response.status().is_success()) {
                fed?;
            }
            response
        }
    };
    response.map_err(not_answered)
}

/// What a client is told of a request that s3s has no answer to.
fn not_answered(error: s3s::HttpError) -> Refusal {
    s3s::S3Error::with_source(S3ErrorCode::InternalError, error.into()).into()
}

/// The request without its body. The target and the signed headers go to s3s byte for byte.
fn request_head(session: &Session) -> Result<http::Request<()>, Refusal> {
    let head = session.req_header();
    if !head.raw_path_is_utf8() {
        return Err(S3ErrorCode::InvalidURI.into());
    }
    let mut request = http::Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    Ok(request)
}

/// The URL that a client has asked for, without its query: every character escaped that is not plain in a path.
fn address(session: &Session, client: Client) -> String {
    let head = session.req_header();
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = head.raw_path().split(|&byte| byte == b'?').next().unwrap_or_default();
    let path = percent_decode(path).decode_utf8_lossy();
    let scheme = if client.is_tls { "https" } else { "http" };
    format!("{scheme}://{host}{}", escaped(&path))
}

/// `response`, if it says yes.
async fn accepted(response: s3s::HttpResponse) -> Result<s3s::HttpResponse, Refusal> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() && status != StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    Err(refused(parts.status, parts.headers, body).await)
}

/// Sends s3s's `response`, which says yes, to the client.
async fn answer(
    session: &mut Session,
    target: &Target,
    response: s3s::HttpResponse,
    named: Named<'_>,
    limits: &Limits,
) -> Result<Sent, Failed> {
    let (mut parts, body) = response.into_parts();
    name(&mut parts.headers, named, &session.req_header().method);
    let body = match target.operation {
        Operation::GetObjectAttributes => unquote_etag(body).await.map_err(Failed::Refused)?,
        // What an object says of itself is its own.
        Operation::GetObject | Operation::HeadObject => body,
        _ => readable(&mut parts.headers, body),
    };
    if session.req_header().method == Method::HEAD && parts.headers.contains_key(CONTENT_RANGE) {
        parts.status = StatusCode::PARTIAL_CONTENT;
    }
    let may_have_body = session.req_header().method != Method::HEAD && parts.status != StatusCode::NO_CONTENT;
    if let Some(length) = http_body::Body::size_hint(&body).exact()
        && may_have_body
        && !parts.headers.contains_key(CONTENT_LENGTH)
    {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    settle_unread_body(session);
    Ok(stream(session, parts, body, &limits.response).await?)
}

/// s3s writes the characters of names as they are, also where they would not be read as what they are.
fn readable(headers: &mut HeaderMap, body: s3s::Body) -> s3s::Body {
    let is_document = headers.get(CONTENT_TYPE).is_some_and(|of| of == "application/xml");
    let Some(document) = body.bytes().filter(|_| is_document) else { return body };
    headers.remove(CONTENT_LENGTH);
    s3s::Body::from(controls::by_number(document))
}

/// s3s writes every entity tag in quotes. Of this operation's S3 does not, and clients compare it as it is.
async fn unquote_etag(body: s3s::Body) -> Result<s3s::Body, Refusal> {
    let collected = Limited::new(body, ATTRIBUTES_BYTES_MAX).collect().await;
    let document = collected.map_err(|_| Refusal::from(S3ErrorCode::InternalError))?.to_bytes();
    let document = String::from_utf8_lossy(&document);
    let unquoted = document.replacen("<ETag>\"", "<ETag>", 1).replacen("\"</ETag>", "</ETag>", 1);
    Ok(s3s::Body::from(unquoted))
}

async fn stream(
    session: &mut Session,
    parts: http::response::Parts,
    mut body: s3s::Body,
    limits: &response::Limits,
) -> pingora::Result<Sent> {
    let mut sender = Sender::begin(session, parts.status, parts.headers, limits).await?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            pingora::Error::because(
                pingora::ErrorType::InternalError,
                "the store's response broke off",
                error,
            )
        })?;
        if let Ok(bytes) = frame.into_data() {
            sender.write(bytes).await?;
        }
    }
    sender.finish().await
}

/// The refusal in an error response of s3s.
async fn refused(status: StatusCode, mut headers: HeaderMap, body: s3s::Body) -> Refusal {
    // The document that is written in the end brings its own, or there is none.
    headers.remove(CONTENT_TYPE);
    let document = match Limited::new(body, DOCUMENT_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => Bytes::new(),
    };
    read_document(status, &headers, &document).unwrap_or_else(|| S3ErrorCode::InternalError.into())
}

/// Says yes, where else to go, or no to whom nothing more can be told, in nothing but `status` and `headers`.
///
/// # Errors
/// The client is gone.
pub async fn say(
    session: &mut Session,
    status: StatusCode,
    mut headers: HeaderMap,
    named: Named<'_>,
    limits: &response::Limits,
) -> pingora::Result<Sent> {
    name(&mut headers, named, &session.req_header().method);
    if status.is_client_error() || status.is_server_error() {
        headers.remove(CACHE_STATUS);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    settle_unread_body(session);
    Sender::begin(session, status, headers, limits).await?.finish().await
}

/// Tells `refusal` to the client, a website's visitor by a page, and what becomes of a body that it may still be sending.
///
/// # Errors
/// The client is gone.
pub async fn refuse(
    session: &mut Session,
    refusal: &Refusal,
    named: Named<'_>,
    limits: &response::Limits,
) -> pingora::Result<Sent> {
    let head = session.req_header();
    let path = head.raw_path().split(|&byte| byte == b'?').next().unwrap_or_default();
    let (resource, request_id) = (String::from_utf8_lossy(path), named.request_id.to_string());
    let host_id = named.region.as_str();
    let subject = Subject { method: &head.method, resource: &resource, request_id: &request_id, host_id };
    let document = match named.endpoint {
        EndpointKind::Website => refusal.page(subject),
        EndpointKind::Standard | EndpointKind::Accelerated => refusal.document(subject),
    };
    settle_unread_body(session);
    let mut sender = Sender::begin(session, document.status, document.headers, limits).await?;
    sender.write(document.body).await?;
    sender.finish().await
}

/// Names an answer to a request by `method` that says yes.
fn name(headers: &mut HeaderMap, named: Named<'_>, method: &Method) {
    let ids = [("x-amz-request-id", named.request_id.to_string()), ("x-amz-id-2", named.region.to_string())];
    for (name, value) in ids {
        headers.insert(name, HeaderValue::try_from(value).expect("ids and names of regions are header text"));
    }
    if named.endpoint == EndpointKind::Accelerated {
        headers.insert(CACHE_STATUS, passed_by(named.region, method));
    }
}

/// pingora would close the connection after every `100 Continue`, and after every response to a body it has not read:
/// [`settle_unread_body`] decides about that.
pub fn keep_open(session: &mut Session) {
    session.set_close_on_response_before_downstream_finish(false);
}

/// What becomes of a connection whose request has a body that was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Little or nothing is left: it may be [drained](drain), and the connection lives on.
    Drained,
    /// The client may still be sending, or was never told to continue and may send its body or not: what comes could be
    /// taken for a request. It is thrown away for a while, and the connection closes.
    Closes,
}

impl Unread {
    /// How long a body that is still coming may take for its next piece, once the response was given.
    #[must_use]
    pub fn patience(self) -> Duration {
        match self {
            Self::Drained => DRAIN_TIMEOUT,
            Self::Closes => LINGER,
        }
    }
}

/// Decides about an unread body before the response's head says whether the connection closes.
pub fn settle_unread_body(session: &mut Session) -> Unread {
    keep_open(session);
    session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
    if session.is_body_done() {
        return Unread::Drained;
    }
    let head = session.req_header();
    let length =
        head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let left = length.map(|length| length.saturating_sub(session.body_bytes_read() as u64));
    let waits_to_continue = head.headers.contains_key(EXPECT) && session.body_bytes_read() == 0;
    if left.is_some_and(|left| left <= DRAIN_BYTES_MAX) && !waits_to_continue {
        return Unread::Drained;
    }
    session.set_keepalive(None);
    Unread::Closes
}

/// Throws away the rest of a short body, once the response was given, if its connection is to live on. A stream of HTTP/2 that
/// ends before its request has is reset, and curl then takes the reset for the answer. A connection of HTTP/1 whose rest does
/// not come in time has to close as others do: pingora, which would drain it too, lets go of it, and it is reset.
pub async fn drain(session: &mut Session) {
    let closes = !session.is_http2() && session.get_keepalive().is_none();
    if closes || session.is_body_done() {
        return;
    }
    let draining = async {
        let mut left = DRAIN_BYTES_MAX;
        while !session.is_body_done()
            && let Ok(Some(piece)) = session.read_request_body().await
            && let Some(less) = left.checked_sub(piece.len() as u64)
        {
            left = less;
        }
    };
    // A client that sends nothing more has its stream reset, which says that nothing was wrong.
    let _ = timeout(DRAIN_TIMEOUT, draining).await;
    if !session.is_body_done() {
        session.set_keepalive(None);
    }
}

#[cfg(test)]
mod tests;
