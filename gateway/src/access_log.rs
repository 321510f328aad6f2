//! The access log: one line for every request, and one for every cause that a client must not see.
//!
//! A line names the request and what it was about, never its query (a presigned URL's signature is in there), its
//! `Authorization` or its body. Access keys are names, not secrets. Client text is quoted, so that it cannot forge a
//! line.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use cache::Tally;
use http::StatusCode;
use tracing::level_filters::LevelFilter;
use tracing::{error, info};

use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::route::Arrival;
use crate::target::{EndpointKind, SignatureForm, Target};

/// What access lines are told from all others by.
pub const TARGET: &str = "access";

/// Libraries' own logs, and how much of them may be shown whatever the operator asks for. s3s writes signatures and
/// whole requests, and an ERROR for each 404; pingora an ERROR for each client that goes away. What matters in them is
/// logged here, once.
pub const LIBRARIES: &[(&str, LevelFilter)] = &[
    ("s3s", LevelFilter::OFF),
    ("pingora_core", LevelFilter::OFF),
    ("pingora_proxy", LevelFilter::OFF),
    ("pingora_http", LevelFilter::OFF),
    ("h2", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
];

/// What a browser's form says in its fields, and other requests in their heads.
#[derive(Clone, Debug)]
pub struct SaidByForm {
    /// The key of the object to be.
    pub key: Option<String>,
    /// Who the form says it is signed by.
    pub access_key: Option<String>,
}

/// One request that has ended.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The request's id; the same on both nodes when one forwarded it to the other.
    pub id: RequestId,
    /// How it came here.
    pub arrival: Arrival,
    /// The client's address, where it is known.
    pub client: Option<IpAddr>,
    /// What it asked for; `None` when it was refused before that was known.
    pub target: Option<&'a Target>,
    /// What it said of that in its body, if it is a form that was read here.
    pub form: Option<&'a SaidByForm>,
    /// The endpoint it came to.
    pub endpoint: EndpointKind,
    /// The status that was sent; `None` when the client left before.
    pub status: Option<StatusCode>,
    /// Bytes of the request's body that were read.
    pub received_bytes: u64,
    /// Bytes of the response's body that were sent.
    pub sent_bytes: u64,
    /// Where the bytes of a cached read came from.
    pub tally: Option<&'a Tally>,
    /// From the complete head of the request to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// From the complete head of the request to the end of the response.
    pub total: Duration,
    /// Why the response broke off.
    pub broken: Option<&'a pingora::Error>,
}

impl Line<'_> {
    /// Writes the line.
    pub fn write(&self) {
        let target = self.target;
        let tally = self.tally.copied().unwrap_or_default();
        info!(
            target: TARGET,
            request_id = %self.id,
            from = match self.arrival {
                Arrival::FromClient => "client",
                Arrival::FromPeer => "peer",
            },
            client = self.client.map(tracing::field::display),
            endpoint = self.endpoint.as_str(),
            region = target.map(|target| target.region.as_str()),
            operation = target.map(|target| target.operation.as_str()),
            access_key = access_key(target, self.form),
            bucket = target.and_then(Target::bucket),
            key = key(target, self.form).map(tracing::field::display),
            status = self.status.map(|status| status.as_u16()),
            received_bytes = self.received_bytes,
            sent_bytes = self.sent_bytes,
            memory_bytes = tally.memory_bytes,
            nvme_bytes = tally.nvme_bytes,
            origin_bytes = tally.origin_bytes + tally.joined_bytes + tally.bypass_bytes,
            first_byte_micros = self.first_byte.map(micros),
            total_micros = micros(self.total),
            broken = self.broken.map(tracing::field::display),
        );
    }
}

/// Writes why a request was refused, where the client is told no more than that something failed here.
pub fn explain(id: RequestId, target: Option<&Target>, refusal: &Refusal) {
    if refusal.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return;
    }
    error!(
        request_id = %id,
        operation = target.map(|target| target.operation.as_str()),
        bucket = target.and_then(Target::bucket),
        key = target.and_then(Target::key).map(tracing::field::display),
        message = refusal.message(),
        cause = refusal.source().map(tracing::field::display),
        "a request failed"
    );
}

/// Who the request says it is from.
pub(crate) fn access_key<'a>(target: Option<&'a Target>, form: Option<&'a SaidByForm>) -> Option<&'a str> {
    match target.map(|target| &target.signature)? {
        SignatureForm::Header(signature) | SignatureForm::Presigned { signature, .. } => {
            Some(&signature.access_key)
        }
        SignatureForm::PostForm => form?.access_key.as_deref(),
        SignatureForm::Anonymous => None,
    }
}

/// The key that the request is about.
pub(crate) fn key<'a>(target: Option<&'a Target>, form: Option<&'a SaidByForm>) -> Option<&'a str> {
    target.and_then(Target::key).or_else(|| form?.key.as_deref())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
