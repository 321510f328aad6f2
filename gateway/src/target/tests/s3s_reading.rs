//! How s3s reads a request: the oracle that our own parse and our own signature check are held to.

use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use http::{HeaderMap, Method, Request, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Result, s3_error};

use super::super::{Hosts, Operation};
use super::topology;
use crate::refusal::read_document;

/// The key pair that the oracle knows.
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
/// Its secret.
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// What s3s had made of a request by the time it asked for access: everything in its head was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) operation: String,
    pub(crate) bucket: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) access_key: Option<String>,
}

/// What s3s takes `operation` for: it does not know that an object can be renamed.
pub(crate) fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::RenameObject => "PutObject",
        known => known.as_str(),
    }
}

/// How s3s reads the head of a request without a body, or the code it refuses it with; `None` for a target that
/// `http::Uri` has no place for.
pub(crate) fn read(method: &Method, raw_target: &[u8], headers: &HeaderMap) -> Option<Result<Seen, String>> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::try_from(raw_target).ok()?;
    *request.headers_mut() = headers.clone();
    let seen = Arc::new(Mutex::new(None));
    let mut builder = S3ServiceBuilder::new(NoStore);
    builder.set_auth(OneUser);
    builder.set_access(Stop { seen: Arc::clone(&seen) });
    builder.set_host(Hosts(Arc::new(topology())));
    let response = block_on(builder.build().call(request)).expect("s3s answers");
    if let Some(seen) = seen.lock().expect("lock").take() {
        return Some(Ok(seen));
    }
    let (parts, mut body) = response.into_parts();
    let body = block_on(body.store_all_limited(1 << 20)).expect("a short body");
    let refusal = read_document(parts.status, &parts.headers, &body).expect("an error document");
    Some(Err(refusal.code().as_str().to_owned()))
}

struct NoStore;

impl S3 for NoStore {}

struct OneUser;

#[async_trait::async_trait]
impl S3Auth for OneUser {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match access_key {
            ACCESS_KEY => Ok(SECRET_KEY.into()),
            _ => Err(s3_error!(InvalidAccessKeyId)),
        }
    }
}

/// Writes down what s3s understood and lets nobody in.
struct Stop {
    seen: Arc<Mutex<Option<Seen>>>,
}

#[async_trait::async_trait]
impl S3Access for Stop {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let path = context.s3_path();
        *self.seen.lock().expect("lock") = Some(Seen {
            operation: context.s3_op().name().to_owned(),
            bucket: path.get_bucket_name().map(str::to_owned),
            key: path.get_object_key().map(str::to_owned),
            access_key: context.credentials().map(|credentials| credentials.access_key.clone()),
        });
        Err(s3_error!(AccessDenied))
    }
}
