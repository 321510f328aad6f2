//! A small S3 client for tests: signed requests to one listener, answers kept whole or streamed.

use std::convert::Infallible;
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use reqwest::Body;
use reqwest::header::HeaderMap;
use sha2::{Digest, Sha256};

use crate::content::Content;
use crate::sign::{Keys, Signing, UNSIGNED_PAYLOAD, amz_date};

/// Parts of one upload sent at a time.
const PARTS_AT_ONCE: usize = 4;

/// One user at one listener, under one host name.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    origin: String,
    host: String,
    keys: Keys,
}

/// A request to be signed and sent.
pub struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Body,
    body_bytes: u64,
    payload_hash: String,
}

/// A request as it is sent.
pub struct Signed {
    /// The method.
    pub method: &'static str,
    /// Path and query, percent-encoded.
    pub target: String,
    /// All headers but those that the HTTP client makes; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// Its size, as `Content-Length` says it.
    pub body_bytes: u64,
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A request without a body. `target` is path and query as they are to be sent, percent-encoded.
    pub fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Body::default(),
            body_bytes: 0,
            payload_hash: hex::encode(Sha256::digest(b"")),
        }
    }

    /// With a header, which is signed; `name` in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body whose hash is signed.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.body_bytes = body.len() as u64;
        self.payload_hash = hex::encode(Sha256::digest(&body));
        self.body = Body::from(body);
        self
    }

    /// With a body that is not signed.
    #[must_use]
    pub fn unsigned_body(mut self, body: impl Into<Bytes>) -> Self {
        self = self.body(body);
        self.payload_hash = UNSIGNED_PAYLOAD.to_owned();
        self
    }

    /// With a body of `bytes` bytes as they come out of `pieces`, unsigned.
    #[must_use]
    pub fn streamed_body(
        mut self,
        bytes: u64,
        pieces: impl stream::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    ) -> Self {
        self.body_bytes = bytes;
        self.payload_hash = UNSIGNED_PAYLOAD.to_owned();
        self.body = Body::wrap_stream(pieces);
        self
    }

    /// With `hash` signed in place of the body's own.
    #[must_use]
    pub fn payload_hash(mut self, hash: &str) -> Self {
        hash.clone_into(&mut self.payload_hash);
        self
    }

    /// With generated content as its body, made as it is sent, unsigned.
    #[must_use]
    pub fn content(mut self, content: Content) -> Self {
        self.body_bytes = content.bytes;
        self.payload_hash = UNSIGNED_PAYLOAD.to_owned();
        self.body = Body::wrap_stream(stream::iter(content.pieces().map(Ok::<_, Infallible>)));
        self
    }
}

impl Answer {
    /// A header's value, or the empty string.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of visible characters"))
    }

    /// This answer, which must be a success.
    #[must_use]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "status {}: {}", self.status, self.text());
        self
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content of the first XML element called `name` in the body, or the empty string.
    #[must_use]
    pub fn element(&self, name: &str) -> String {
        let text = self.text();
        let inner = text.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
        inner.map_or_else(String::new, |(inner, _)| inner.to_owned())
    }

    /// Status and S3 error code: what a refusal is told by.
    #[must_use]
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.element("Code"))
    }
}

impl Client {
    /// A client of the listener at `origin` (`http://127.0.0.1:9000`), addressing it as `host`.
    #[must_use]
    pub fn new(
        http: reqwest::Client,
        origin: impl Into<String>,
        host: impl Into<String>,
        keys: Keys,
    ) -> Self {
        Self { http, origin: origin.into(), host: host.into(), keys }
    }

    /// The same, under another host name: another region's endpoint, or a bucket's.
    #[must_use]
    pub fn under(&self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self.clone() }
    }

    /// The same, as another user.
    #[must_use]
    pub fn with_keys(&self, keys: Keys) -> Self {
        Self { keys, ..self.clone() }
    }

    /// The user's keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The `Host` it sends.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Scheme, address and port it connects to.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The query of a presigned request for `target`, whose own it begins with, good for `expires` seconds and signed for
    /// this client's host.
    #[must_use]
    pub fn presigned(&self, method: &str, target: &str, expires: i64) -> String {
        let headers = [("host".to_owned(), self.host.clone())];
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Signing {
            method,
            path,
            query,
            headers: &headers,
            payload_hash: UNSIGNED_PAYLOAD,
            at: SystemTime::now(),
            region: "us-east-1",
        }
        .presigned_query(&self.keys, expires)
    }

    /// `request` as it is to be sent, signed at `at`. A test may then change what it likes.
    #[must_use]
    pub fn sign(&self, request: Request, at: SystemTime) -> Signed {
        let mut headers = request.headers;
        headers.push(("host".into(), self.host.clone()));
        headers.push(("x-amz-date".into(), amz_date(at)));
        headers.push(("x-amz-content-sha256".into(), request.payload_hash.clone()));
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let signing = Signing {
            method: request.method,
            path,
            query,
            headers: &headers,
            payload_hash: &request.payload_hash,
            at,
            region: "us-east-1",
        };
        let authorization = signing.authorization(&self.keys);
        headers.push(("authorization".into(), authorization));
        let Request { method, target, body, body_bytes, .. } = request;
        Signed { method, target, headers, body, body_bytes }
    }

    /// `request` as somebody sends it who has no keys.
    #[must_use]
    pub fn unsigned(&self, request: Request) -> Signed {
        let Request { method, target, mut headers, body, body_bytes, .. } = request;
        headers.push(("host".into(), self.host.clone()));
        Signed { method, target, headers, body, body_bytes }
    }

    /// Signs and sends `request`; the body is still to be read. An error is a broken connection.
    pub async fn open(&self, request: Request) -> reqwest::Result<reqwest::Response> {
        self.open_signed(self.sign(request, SystemTime::now())).await
    }

    /// Sends `signed` as it stands, and reads its whole answer.
    pub async fn send_signed(&self, signed: Signed) -> Answer {
        let response = self.open_signed(signed).await.expect("an unbroken exchange");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("an unbroken exchange") }
    }

    async fn open_signed(&self, signed: Signed) -> reqwest::Result<reqwest::Response> {
        let method = reqwest::Method::from_bytes(signed.method.as_bytes()).expect("a method");
        let mut sending =
            self.http.request(method, format!("{}{}", self.origin, signed.target)).body(signed.body);
        for (name, value) in &signed.headers {
            sending = sending.header(name, value);
        }
        if signed.body_bytes > 0 || matches!(signed.method, "PUT" | "POST") {
            sending = sending.header("content-length", signed.body_bytes);
        }
        sending.send().await
    }

    /// Signs and sends `request` and reads its whole answer.
    pub async fn send(&self, request: Request) -> Answer {
        self.try_send(request).await.expect("an unbroken exchange")
    }

    /// As [`send`](Self::send); a connection that breaks is an error.
    pub async fn try_send(&self, request: Request) -> reqwest::Result<Answer> {
        let response = self.open(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    /// PutBucket, which must succeed.
    pub async fn create_bucket(&self, bucket: &str) {
        let _ = self.send(Request::new("PUT", format!("/{bucket}"))).await.ok();
    }

    /// PutObject of a whole body.
    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::new("PUT", format!("/{bucket}/{key}")).body(body)).await
    }

    /// GetObject.
    pub async fn get(&self, bucket: &str, key: &str) -> Answer {
        self.send(Request::new("GET", format!("/{bucket}/{key}"))).await
    }

    /// GetObject of the bytes `start..end`.
    pub async fn get_range(&self, bucket: &str, key: &str, start: u64, end: u64) -> Answer {
        let request = Request::new("GET", format!("/{bucket}/{key}"));
        self.send(request.header("range", format!("bytes={start}-{}", end - 1))).await
    }

    /// HeadObject.
    pub async fn head(&self, bucket: &str, key: &str) -> Answer {
        self.send(Request::new("HEAD", format!("/{bucket}/{key}"))).await
    }

    /// DeleteObject.
    pub async fn delete(&self, bucket: &str, key: &str) -> Answer {
        self.send(Request::new("DELETE", format!("/{bucket}/{key}"))).await
    }

    /// CopyObject from `source` (`bucket/key`).
    pub async fn copy(&self, source: &str, bucket: &str, key: &str) -> Answer {
        let request = Request::new("PUT", format!("/{bucket}/{key}"));
        self.send(request.header("x-amz-copy-source", format!("/{source}"))).await
    }

    /// Uploads generated content in parts of `part_bytes`, several at a time, and completes.
    pub async fn put_multipart(&self, bucket: &str, key: &str, content: Content, part_bytes: u64) -> Answer {
        let upload_id = self.create_multipart_upload(bucket, key).await;
        let parts = stream::iter(0..content.bytes.div_ceil(part_bytes))
            .map(|index| {
                let (start, end) = (index * part_bytes, ((index + 1) * part_bytes).min(content.bytes));
                self.upload_part(bucket, key, &upload_id, index + 1, content.range(start, end))
            })
            .buffered(PARTS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        self.complete_multipart_upload(bucket, key, &upload_id, &parts).await.ok()
    }

    /// CreateMultipartUpload: the upload's id.
    pub async fn create_multipart_upload(&self, bucket: &str, key: &str) -> String {
        self.send(Request::new("POST", format!("/{bucket}/{key}?uploads"))).await.ok().element("UploadId")
    }

    /// UploadPart, which must succeed: the part's number and ETag. The body is not signed.
    pub async fn upload_part(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        number: u64,
        body: Bytes,
    ) -> (u64, String) {
        let mut request = Request::new("PUT", format!("/{bucket}/{key}?partNumber={number}&uploadId={id}"));
        request.body_bytes = body.len() as u64;
        request.payload_hash = UNSIGNED_PAYLOAD.to_owned();
        request.body = Body::from(body);
        (number, self.send(request).await.ok().header("etag").to_owned())
    }

    /// CompleteMultipartUpload of `parts`, each a number and an ETag.
    pub async fn complete_multipart_upload(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[(u64, String)],
    ) -> Answer {
        let list: String = parts
            .iter()
            .map(|(number, etag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            })
            .collect();
        let document = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        self.send(Request::new("POST", format!("/{bucket}/{key}?uploadId={upload_id}")).body(document)).await
    }
}
