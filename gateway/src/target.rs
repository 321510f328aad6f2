//! Admission: one strict, pure parse of a request's head, in front of everything else.
//!
//! In order: sizes, repeated headers, the host name, the path, the query, how it is signed, what it asks for, how its
//! body is framed. Whatever is left open by s3s is closed here, with S3's own error codes; whatever passes means the
//! same to s3s, to routing and to permission, because all of them use this one parse or are tested against it.
//! Nothing is looked up and nothing is believed: whether the signature is right is for [`sigv4`](crate::sigv4) or s3s.

mod dispatch;
mod hoisted;
mod host;
mod limits;
mod operation;
mod path;
mod payload;
mod percent;
mod query;
mod signature;
mod website;

use http::{HeaderMap, Method};
use origin::customer_key::brings_key;
use s3s::{S3Error, S3ErrorCode};

use crate::refusal::Refusal;
use crate::topology::{RegionName, Topology};

pub use host::{Host, Hosts};
pub use operation::Operation;
pub use payload::Payload;
pub use query::Query;
pub use signature::{AmzDate, Signature, SignatureForm};

/// What a request asks for, from its head alone. `raw_target` is the request target as it was sent, in origin form
/// (`/path?query`); with HTTP/2 the `:authority` stands in `headers` as `host`.
///
/// # Errors
/// S3's own code for the first thing that is wrong with it; each step's `# Errors` names its codes.
pub fn parse(
    topology: &Topology,
    listener: &Listener,
    method: &Method,
    raw_target: &[u8],
    headers: &HeaderMap,
) -> Result<Target, Refusal> {
    limits::check(raw_target, headers)?;
    let (region, endpoint, bucket) = match Host::parse(topology, host_name(headers)?)? {
        Host::OfListener => (listener.region.clone(), listener.endpoint, None),
        Host::Endpoint { region, kind, bucket } => (region, kind, bucket),
    };
    let (raw_path, raw_query) = split_target(raw_target);
    if endpoint == EndpointKind::Website {
        return website::visit(region, bucket, method, raw_path, headers);
    }
    let resource = path::resource(bucket, raw_path)?;
    let query = Query::parse(raw_query)?;
    let (operation, signature, payload, hoisted) = if method == Method::OPTIONS {
        verify_preflight(headers)?;
        // A browser asks before it sends a request, with that request's query and without its signature.
        (Operation::PreflightRequest, SignatureForm::Anonymous, Payload::Unstated, HeaderMap::new())
    } else {
        let is_post_form = payload::is_post_form(method, headers);
        let signature = match is_post_form {
            true => SignatureForm::of_post_form(&query, headers)?,
            false => SignatureForm::parse(&query, headers)?,
        };
        let operation = by_headers(dispatch::operation(method, &resource, &query)?, is_post_form, headers)?;
        refuse_unsigned_overrides(operation, &signature, &query)?;
        let payload = payload::check(operation, &signature, headers)?;
        let hoisted = hoisted::headers(operation, &signature, &query, headers)?;
        (operation, signature, payload, hoisted)
    };
    let brings_customer_key = brings_key(headers);
    Ok(Target {
        region,
        endpoint,
        resource,
        operation,
        query,
        signature,
        payload,
        hoisted,
        brings_customer_key,
    })
}

/// The kind of endpoint that a request names, whatever else is wrong with it; `None` where it names none.
#[must_use]
pub fn endpoint(topology: &Topology, headers: &HeaderMap) -> Option<EndpointKind> {
    match Host::parse(topology, host_name(headers).ok()?) {
        Ok(Host::Endpoint { kind, .. }) => Some(kind),
        Ok(Host::OfListener) | Err(_) => None,
    }
}

/// Browsers say from where they ask.
fn verify_preflight(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(http::header::ORIGIN) {
        return Ok(());
    }
    let code = S3ErrorCode::Custom("BadRequest".into());
    let mut error = S3Error::with_message(code, "Insufficient information. Origin request header needed.");
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    Err(error.into())
}

/// Query and signature of a request that is not S3's, under the same rules: what the admin listener takes.
///
/// # Errors
/// As [`parse`], as far as it is about sizes, the query and the signature.
pub(crate) fn parse_signed(
    raw_target: &[u8],
    headers: &HeaderMap,
) -> Result<(Query, SignatureForm), Refusal> {
    limits::check(raw_target, headers)?;
    let query = Query::parse(split_target(raw_target).1)?;
    let signature = SignatureForm::parse(&query, headers)?;
    Ok((query, signature))
}

fn host_name(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| Refusal::new(S3ErrorCode::InvalidHostHeader, "The request has no Host header."))
}

/// Path and query of a target; the query is empty when there is no `?`.
fn split_target(raw_target: &[u8]) -> (&[u8], &[u8]) {
    match raw_target.iter().position(|&byte| byte == b'?') {
        Some(mark) => (&raw_target[..mark], &raw_target[mark + 1..]),
        None => (raw_target, &[]),
    }
}

/// The operation once the headers have their say: a copy source turns a PUT into a copy, and a POST to a bucket must be
/// a form.
fn by_headers(operation: Operation, is_post_form: bool, headers: &HeaderMap) -> Result<Operation, Refusal> {
    let is_copy = headers.contains_key("x-amz-copy-source");
    match operation {
        Operation::PutObject if is_copy => Ok(Operation::CopyObject),
        Operation::UploadPart if is_copy => Ok(Operation::UploadPartCopy),
        Operation::PostObject if !is_post_form => Err(Refusal::new(
            S3ErrorCode::PreconditionFailed,
            "Bucket POST must be of the enclosure-type multipart/form-data",
        )),
        Operation::PostObject => Ok(Operation::PostObject),
        // s3s would take the body for a form and never look at the operation or the Authorization header.
        _ if is_post_form => Err(Refusal::new(
            S3ErrorCode::InvalidRequest,
            "A multipart/form-data body is for a POST to a bucket.",
        )),
        _ => Ok(operation),
    }
}

/// Refuses a read that nobody signed and that says which headers its answer shall have: with a link to somebody's public
/// object anybody could show it as something else, a page for instance.
fn refuse_unsigned_overrides(
    operation: Operation,
    signature: &SignatureForm,
    query: &Query,
) -> Result<(), Refusal> {
    let is_read = matches!(operation, Operation::GetObject | Operation::HeadObject);
    let overrides = || query.iter().any(|(name, _)| name.starts_with("response-"));
    if is_read && *signature == SignatureForm::Anonymous && overrides() {
        let message = "Request specific response headers cannot be used for anonymous GET requests.";
        return Err(Refusal::new(S3ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// The kinds of endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// `object.<region>.<domain>`: everything is answered by the owning region's store.
    Standard,
    /// `accel-object.<region>.<domain>`: object reads are answered by the node that the client reached.
    Accelerated,
    /// `website.<region>.<domain>`: buckets as websites, answered by the owning region's store.
    Website,
}

impl EndpointKind {
    /// Those that have listeners of their own; any listener answers for all three.
    pub const LISTENING: [Self; 2] = [Self::Standard, Self::Accelerated];

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Accelerated, Self::Website];

    /// The kind as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Accelerated => "accelerated",
            Self::Website => "website",
        }
    }
}

/// The public listener that a request came in on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The region whose node listens.
    pub region: RegionName,
    /// The kind meant by requests that name no endpoint.
    pub endpoint: EndpointKind,
}

/// What a request is about: where, what, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The region whose store owns the resource.
    pub region: RegionName,
    /// The endpoint kind that the host name, or else the listener, stands for.
    pub endpoint: EndpointKind,
    /// The service, a bucket or an object.
    pub resource: Resource,
    /// What is to be done with it.
    pub operation: Operation,
    /// The decoded query; every parameter in it is one that the operation knows.
    pub query: Query,
    /// Who signed it, as the request says.
    pub signature: SignatureForm,
    /// How its body is hashed and framed.
    pub payload: Payload,
    /// What its query says in place of headers, which it does not have: of an upload by a link.
    pub hoisted: HeaderMap,
    /// Whether any part of a customer's key (SSE-C) is among its headers.
    pub brings_customer_key: bool,
}

impl Target {
    /// The bucket, unless the request is about the service.
    #[must_use]
    pub fn bucket(&self) -> Option<&str> {
        match &self.resource {
            Resource::Service => None,
            Resource::Bucket { bucket } | Resource::Object { bucket, .. } => Some(bucket),
        }
    }

    /// What the PUT of the object at `raw_path` with `headers` is about, which this request, a browser's form, stands for.
    ///
    /// # Errors
    /// As [`parse`], as far as it is about sizes and the path.
    pub(crate) fn put_by_form(&self, raw_path: &[u8], headers: &HeaderMap) -> Result<Self, Refusal> {
        limits::check(raw_path, headers)?;
        Ok(Self {
            resource: path::resource(None, raw_path)?,
            operation: Operation::PutObject,
            query: Query::default(),
            hoisted: HeaderMap::new(),
            brings_customer_key: brings_key(headers),
            ..self.clone()
        })
    }

    /// The key, when the request is about an object.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.resource {
            Resource::Service | Resource::Bucket { .. } => None,
            Resource::Object { key, .. } => Some(key),
        }
    }
}

/// What a path names. A bucket's name follows S3's rules; a key is 1 to 1024 bytes of UTF-8, kept as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// No bucket: the list of buckets.
    Service,
    /// A bucket.
    Bucket {
        /// Its name.
        bucket: String,
    },
    /// An object.
    Object {
        /// Its bucket's name.
        bucket: String,
        /// Its key.
        key: String,
    },
}

#[cfg(test)]
pub(crate) mod tests;
