//! The one door to the store: an s3s service that checks who asks and whether they may, for every operation.
//!
//! A service is built for one request, because signature check and permission then share one lookup of the user.
//! Whatever reaches the store comes through [`StoreService::for_request`]: nothing else in the gateway makes an s3s
//! service. What s3s reads from the request must be what admission read: a difference is refused, so that no trick
//! in a request's spelling makes one of them decide and the other act.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use origin::head::Facts;
use origin::regional::RegionalStore;
use origin::{Caller, On, Permit, Role};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::CopySource;
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3Result, s3_error};
use tracing::error;

use crate::identity::{Credential, Identities, User};
use crate::permission::authorize;
use crate::target::{Hosts, Operation, Target};
use crate::topology::Topology;

/// Largest XML request body: DeleteObjects with 1000 keys of 1024 bytes, escaped, is S3's own limit of 2 MB;
/// CompleteMultipartUpload with 10,000 parts and their checksums is a little more.
const XML_BYTES_MAX: usize = 4 << 20;

/// 15 minutes: S3's own limit on clock skew.
const CLOCK_SKEW_SECONDS_MAX: u32 = 15 * 60;

/// What the door asks a store before it lets a request through.
#[async_trait]
pub trait BucketFacts: Send + Sync {
    /// What deciding about `bucket` needs; `None` when there is no such bucket.
    async fn facts(&self, bucket: &str) -> S3Result<Option<Facts>>;
}

#[async_trait]
impl BucketFacts for RegionalStore {
    async fn facts(&self, bucket: &str) -> S3Result<Option<Facts>> {
        self.facts(bucket).await
    }
}

/// Makes the services of one region's own store.
pub struct StoreService {
    make: Box<dyn Fn(Arc<Target>) -> S3Service + Send + Sync>,
}

impl StoreService {
    /// Services of `store`, for the users of `identities`.
    pub fn new<S>(store: S, identities: Arc<dyn Identities>, topology: Arc<Topology>) -> Self
    where
        S: S3 + BucketFacts + Clone,
    {
        let config = Arc::new(StaticConfigProvider::new(Arc::new(config())));
        let make = move |target| {
            let mut builder = S3ServiceBuilder::new(store.clone());
            let identities = identities.clone();
            let door =
                Door(Arc::new(Request { target, store: store.clone(), identities, found: OnceLock::new() }));
            builder.set_config(config.clone());
            builder.set_host(Hosts(topology.clone()));
            builder.set_auth(door.clone());
            builder.set_access(door);
            builder.build()
        };
        Self { make: Box::new(make) }
    }

    /// The service for one request, which admission has found to be about `target`.
    #[must_use]
    pub fn for_request(&self, target: Arc<Target>) -> S3Service {
        (self.make)(target)
    }
}

fn config() -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    config.presigned_url_max_skew_time_secs = CLOCK_SKEW_SECONDS_MAX;
    // `a//b` and `a/b` are two keys.
    config.normalize_forward_slash_path = false;
    // Forms are refused before s3s sees them; should one come through, nothing of it is kept.
    config.post_object_max_file_size = 0;
    config.form_max_fields_size = 0;
    config
}

/// Authentication and permission of one request.
struct Door<S>(Arc<Request<S>>);

impl<S> Clone for Door<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Request<S> {
    target: Arc<Target>,
    store: S,
    identities: Arc<dyn Identities>,
    /// Whose secret was handed to the signature check.
    found: OnceLock<Credential>,
}

#[async_trait]
impl<S: Send + Sync + 'static> S3Auth for Door<S> {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let found = self.0.identities.find(access_key).await?.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        Ok(self.0.found.get_or_init(|| found).secret.to_s3s())
    }
}

#[async_trait]
impl<S: BucketFacts + 'static> S3Access for Door<S> {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Request { target, found, .. } = &*self.0;
        if !is_same(target, cx.s3_op().name(), cx.s3_path()) {
            error!(admitted = %target.operation, s3s = cx.s3_op().name(), "a request was read in two ways");
            return Err(s3_error!(InternalError));
        }
        // Credentials are there only when the signature was verified with what `found` holds.
        let user = cx.credentials().and(found.get()).map(|credential| &*credential.user);
        self.authorize(user, target.operation, target.bucket()).await?;
        if matches!(target.operation, Operation::CopyObject | Operation::UploadPartCopy) {
            let source = copy_source(cx)?;
            self.authorize(user, Operation::GetObject, Some(&source)).await?;
        }
        if let Some(user) = user {
            let owner_only = OwnerOnly { account: user.account.name.clone() };
            cx.extensions_mut().insert::<Arc<dyn Permit>>(Arc::new(owner_only));
            cx.extensions_mut().insert(caller(user));
        }
        Ok(())
    }
}

impl<S: BucketFacts> Door<S> {
    async fn authorize(
        &self,
        user: Option<&User>,
        operation: Operation,
        bucket: Option<&str>,
    ) -> S3Result<()> {
        let facts = match bucket {
            Some(bucket) => self.0.store.facts(bucket).await?,
            None => None,
        };
        authorize(user, operation, facts.as_ref())
    }
}

/// Decides once more where the operation happens: the bucket may have gone since and come back as somebody else's.
struct OwnerOnly {
    account: String,
}

impl Permit for OwnerOnly {
    fn decide(&self, _role: Role, on: &On<'_>) -> S3Result<()> {
        on.facts.verify_owner(Some(&self.account))
    }

    fn missing(&self, role: Role, on: &On<'_>) -> S3Error {
        let missing = || s3_error!(NoSuchKey, "The specified key does not exist.");
        self.decide(role, on).err().unwrap_or_else(missing)
    }
}

/// Whether s3s is about to do what was admitted, to what was admitted.
fn is_same(target: &Target, operation: &str, path: &S3Path) -> bool {
    let (bucket, key) = match path {
        S3Path::Root => (None, None),
        S3Path::Bucket { bucket } => (Some(&**bucket), None),
        S3Path::Object { bucket, key } => (Some(&**bucket), Some(&**key)),
    };
    target.operation.as_str() == operation && target.bucket() == bucket && target.key() == key
}

/// The bucket that a copy reads from.
fn copy_source(cx: &S3AccessContext<'_>) -> S3Result<String> {
    let header = cx.headers().get("x-amz-copy-source").and_then(|source| source.to_str().ok());
    match header.map(CopySource::parse) {
        Some(Ok(CopySource::Bucket { bucket, .. })) => Ok(bucket.into()),
        _ => Err(s3_error!(
            InvalidArgument,
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        )),
    }
}

fn caller(user: &User) -> Caller {
    Caller {
        account: user.account.name.clone(),
        canonical_id: user.account.canonical_id.clone(),
        display_name: user.account.display_name.clone(),
        email: user.email.clone(),
        name: user.name.clone(),
    }
}

#[cfg(test)]
mod tests;
