//! A request of which every part can be set apart from the others, wrong ones too, as the bytes that are sent.

use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tests::sign::{Keys, Signing, UNSIGNED_PAYLOAD, amz_date};

/// Where the signature goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Header,
    Presigned { seconds: i64 },
    None,
}

/// A request to be signed, for one host, when it is written.
#[derive(Clone)]
pub(super) struct Raw {
    method: &'static str,
    target: String,
    keys: Keys,
    form: Form,
    at: SystemTime,
    signed: Vec<(String, String)>,
    unsigned: Vec<(String, String)>,
    payload_hash: String,
    body: Vec<u8>,
    content_length: Option<u64>,
}

impl Raw {
    pub(super) fn new(method: &'static str, target: impl Into<String>, keys: Keys) -> Self {
        Self {
            method,
            target: target.into(),
            keys,
            form: Form::Header,
            at: SystemTime::now(),
            signed: Vec::new(),
            unsigned: Vec::new(),
            payload_hash: hex::encode(Sha256::digest(b"")),
            body: Vec::new(),
            content_length: None,
        }
    }

    /// Path and query.
    pub(super) fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// A body, its hash and its length.
    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.payload_hash = hex::encode(Sha256::digest(&self.body));
        self.content_length = Some(self.body.len() as u64);
        self
    }

    /// A body and its length; its hash stays what it was.
    pub(super) fn body_as_sent(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.content_length = Some(self.body.len() as u64);
        self
    }

    /// Another `x-amz-content-sha256` than the body's.
    pub(super) fn payload_hash(mut self, hash: impl Into<String>) -> Self {
        self.payload_hash = hash.into();
        self
    }

    /// Another `Content-Length` than the body's, or none.
    pub(super) fn content_length(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.content_length = bytes.into();
        self
    }

    /// A header that is signed; `name` in lower case.
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.signed.push((name.to_owned(), value.into()));
        self
    }

    /// A header that the signature leaves out.
    pub(super) fn unsigned_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.unsigned.push((name.to_owned(), value.into()));
        self
    }

    /// Signed by somebody else.
    pub(super) fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// The keys that it is signed with.
    pub(super) fn own_keys(&self) -> &Keys {
        &self.keys
    }

    /// Signed `seconds` from now, or before now when negative.
    pub(super) fn signed_at(mut self, seconds: i64) -> Self {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        self.at = if seconds < 0 { self.at - distance } else { self.at + distance };
        self
    }

    /// Signed in the query, good for `seconds`.
    pub(super) fn presigned(mut self, seconds: i64) -> Self {
        self.form = Form::Presigned { seconds };
        self
    }

    /// Not signed.
    pub(super) fn anonymous(mut self) -> Self {
        self.form = Form::None;
        self
    }

    /// The signature of the head: what the first chunk's signature stands on.
    pub(super) fn seed_signature(&self, host: &str) -> String {
        let head = String::from_utf8_lossy(&self.bytes(host)).into_owned();
        let (_, rest) = head.split_once("Signature=").expect("a header signature");
        rest[..64].to_owned()
    }

    /// The key and scope that chunks are signed with.
    pub(super) fn chunk_scope(&self) -> (Vec<u8>, String, String) {
        let signing = self.signing("/", "", &[]);
        (signing.signing_key(&self.keys), amz_date(self.at), signing.scope())
    }

    /// The same head, and no more than the first `bytes` of the body.
    pub(super) fn cut_body(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// Whether the body is as long as the head says.
    pub(super) fn is_complete(&self) -> bool {
        self.content_length.is_none_or(|bytes| bytes == self.body.len() as u64)
    }

    /// Head and body as HTTP/1.1 sends them to `host`.
    pub(super) fn bytes(&self, host: &str) -> Vec<u8> {
        let (target, headers) = self.head(host);
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!(
            "{} {target} HTTP/1.1\r\n{}connection: close\r\n\r\n",
            self.method,
            lines.collect::<String>()
        );
        [head.into_bytes(), self.body.clone()].concat()
    }

    /// Head and body as HTTP/2 sends them to `host`. That is no header there, and frames do what chunks do.
    pub(super) fn message(&self, host: &str) -> (http::Request<()>, Vec<u8>) {
        let (target, headers) = self.head(host);
        let mut head = http::Request::builder().method(self.method).uri(format!("https://{host}{target}"));
        let not_there = |name: &str| ["host", "transfer-encoding"].contains(&name);
        for (name, value) in headers.iter().filter(|(name, _)| !not_there(name)) {
            head = head.header(name, value);
        }
        (head.body(()).expect("a request that HTTP/2 can carry"), self.body.clone())
    }

    /// The target, and every header that both versions send.
    fn head(&self, host: &str) -> (String, Vec<(String, String)>) {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut headers = self.signed.clone();
        headers.push(("host".into(), host.into()));
        if self.form == Form::Header {
            headers.push(("x-amz-date".into(), amz_date(self.at)));
            headers.push(("x-amz-content-sha256".into(), self.payload_hash.clone()));
        }
        let signing = self.signing(path, query, &headers);
        let mut target = self.target.clone();
        let mut unsigned = self.unsigned.clone();
        match self.form {
            Form::Header => unsigned.push(("authorization".into(), signing.authorization(&self.keys))),
            Form::Presigned { seconds } => {
                target = format!("{path}?{}", signing.presigned_query(&self.keys, seconds));
            }
            Form::None => {}
        }
        if let Some(bytes) = self.content_length {
            unsigned.push(("content-length".into(), bytes.to_string()));
        }
        headers.extend(unsigned);
        (target, headers)
    }

    fn signing<'a>(&'a self, path: &'a str, query: &'a str, headers: &'a [(String, String)]) -> Signing<'a> {
        let payload_hash = match self.form {
            Form::Header | Form::None => &self.payload_hash,
            Form::Presigned { .. } => UNSIGNED_PAYLOAD,
        };
        Signing { method: self.method, path, query, headers, payload_hash, at: self.at, region: "us-east-1" }
    }
}
