//! The one door to the store: an s3s service that checks who asks and whether they may, for every operation.
//!
//! A service is built for one request, because signature check and permission then share one lookup of the user.
//! Whatever reaches the store comes through [`StoreService::for_request`]: nothing else in the gateway makes an s3s
//! service. What s3s reads from the request must be what admission read: a difference is refused, so that no trick
//! in a request's spelling makes one of them decide and the other act.

mod bucket_encryption;
mod characters_by_number;
mod expires_as_sent;
mod known;
mod read_again;
mod refused_by_s3s;
mod rename_object;
mod route;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use futures::future::{BoxFuture, TryFutureExt};
use http::{Extensions, HeaderMap};
use origin::head::Facts;
use origin::permit::{On, Role};
use origin::regional::{RegionalStore, RenameObjectInput, Resolved};
use origin::website::Website;
use origin::{Caller, Permit, Place};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::{CopySource, ServerSideEncryption};
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

pub use self::known::{BesideStore, Known};
use self::route::Route;
use crate::client::Client;
use crate::identity::{Credential, Identities, User};
use crate::permission::table::Rule;
use crate::permission::{Asker, DeniedSlot, Held};
use crate::post_form::Claim;
use crate::quota::{Charged, Gate};
use crate::refusal::Refusal;
use crate::target::{Hosts, Operation, Target};
use crate::topology::Topology;

/// Largest XML request body: DeleteObjects with 1000 keys of 1024 bytes, escaped, is S3's own limit of 2 MB;
/// CompleteMultipartUpload with 10,000 parts and their checksums is a little more.
pub(crate) const XML_BYTES_MAX: usize = 4 << 20;

/// 15 minutes: S3's own limit on clock skew.
const CLOCK_SKEW_SECONDS_MAX: u32 = 15 * 60;

/// A place among the uploads, waited for by a request that was let in.
pub type WaitsForPlace = BoxFuture<'static, Result<OwnedSemaphorePermit, Refusal>>;

/// A store that renames objects: an operation that s3s does not know.
#[async_trait]
pub trait Renames: Send + Sync {
    /// RenameObject.
    async fn rename_object(&self, request: S3Request<RenameObjectInput>) -> S3Result<S3Response<()>>;
}

#[async_trait]
impl Renames for RegionalStore {
    async fn rename_object(&self, request: S3Request<RenameObjectInput>) -> S3Result<S3Response<()>> {
        self.rename_object(request).await
    }
}

/// Makes the services of one region's own store.
pub struct StoreService {
    identities: Arc<dyn Identities>,
    known: Arc<dyn Known>,
    make: Box<dyn Fn(Asked) -> S3Service + Send + Sync>,
}

/// One request as the hub hands it on.
struct Asked {
    target: Arc<Target>,
    client: Client,
    denied: DeniedSlot,
    /// Who signed it, where that was shown by something that s3s does not see.
    signer: Option<Credential>,
    place: Option<WaitsForPlace>,
}

impl StoreService {
    /// Services of `store`, of which the door knows what is `known`, for the users of `identities`, each of whose keys may ask
    /// what `per_key` says.
    pub fn new<S>(
        store: S,
        known: Arc<dyn Known>,
        identities: Arc<dyn Identities>,
        topology: Arc<Topology>,
        per_key: Arc<Gate<String>>,
    ) -> Self
    where
        S: S3 + Renames + Clone,
    {
        let config = s3s_settings();
        let (users, at_door) = (identities.clone(), known.clone());
        let make = move |asked| {
            let Asked { target, client, denied, signer, place } = asked;
            let mut builder = S3ServiceBuilder::new(store.clone());
            let (store, known, identities) = (store.clone(), at_door.clone(), users.clone());
            let (found, charged, per_key) = (OnceLock::new(), OnceLock::new(), per_key.clone());
            let place = Mutex::new(place);
            let request = Request {
                target,
                client,
                store,
                known,
                identities,
                signer,
                found,
                per_key,
                charged,
                denied,
                place,
            };
            let door = Door(Arc::new(request));
            builder.set_config(config.clone());
            builder.set_host(Hosts(topology.clone()));
            builder.set_auth(door.clone());
            builder.set_route(Route(door.clone()));
            builder.set_access(door);
            builder.build()
        };
        Self { identities, known, make: Box::new(make) }
    }

    /// The service for one request of `client`, which admission has found to be about `target`. Why it is denied, if
    /// it is, is left in `denied`. An upload is given its `place` once it is let in, and a copy once the store has to read for
    /// it: nobody waits in line who may not upload.
    #[must_use]
    pub fn for_request(
        &self,
        target: Arc<Target>,
        client: Client,
        denied: DeniedSlot,
        place: Option<WaitsForPlace>,
    ) -> S3Service {
        (self.make)(Asked { target, client, denied, signer: None, place })
    }

    /// The same for the PUT that a browser's form stands for: `target` is about that. `signer` is whoever
    /// [signed](Self::signer_of) the form.
    #[must_use]
    pub fn for_form(
        &self,
        target: Arc<Target>,
        client: Client,
        denied: DeniedSlot,
        signer: Option<Credential>,
        place: WaitsForPlace,
    ) -> S3Service {
        (self.make)(Asked { target, client, denied, signer, place: Some(place) })
    }

    /// The website that `bucket` is shown as, for whoever asks: it says where visitors are sent. The objects that it leads
    /// to are read through [`Self::for_request`], as all are.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchWebsiteConfiguration`; `InternalError`.
    pub async fn website(&self, bucket: &str) -> S3Result<Website> {
        self.known.website(bucket).await
    }

    /// Whoever signed the policy of a form that `client` has sent, proven.
    ///
    /// # Errors
    /// `InvalidAccessKeyId`, `SignatureDoesNotMatch`, and those of [`Identities::find`].
    pub async fn signer_of(&self, claim: &Claim<'_>, client: Client) -> Result<Credential, Refusal> {
        let found = self.identities.find(claim.access_key(), client).await?;
        let credential = found.ok_or_else(|| Refusal::from(S3ErrorCode::InvalidAccessKeyId))?;
        claim.verify(&credential.secret)?;
        Ok(credential)
    }
}

/// What s3s is told of requests in general.
fn s3s_settings() -> Arc<StaticConfigProvider> {
    Arc::new(StaticConfigProvider::new(Arc::new(config())))
}

fn config() -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    config.presigned_url_max_skew_time_secs = CLOCK_SKEW_SECONDS_MAX;
    // `a//b` and `a/b` are two keys.
    config.normalize_forward_slash_path = false;
    // Forms come to s3s as the PUTs that they stand for; should one come as it is, nothing of it is kept.
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
    client: Client,
    store: S,
    known: Arc<dyn Known>,
    identities: Arc<dyn Identities>,
    /// Who signed the request, where s3s does not see it.
    signer: Option<Credential>,
    /// Whose secret was handed to the signature check.
    found: OnceLock<Credential>,
    per_key: Arc<Gate<String>>,
    /// The key's place, kept for as long as the service is.
    charged: OnceLock<Charged>,
    denied: DeniedSlot,
    /// Of an upload, until it is let in.
    place: Mutex<Option<WaitsForPlace>>,
}

/// A bucket, or an object in it, as a request names it.
#[derive(Clone, Copy)]
struct Subject<'a> {
    bucket: &'a str,
    key: Option<&'a str>,
    version: Option<&'a str>,
}

#[async_trait]
impl<S: Send + Sync + 'static> S3Auth for Door<S> {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let found = self.0.identities.find(access_key, self.0.client).await?;
        let found = found.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        Ok(self.0.found.get_or_init(|| found).secret.to_s3s())
    }
}

#[async_trait]
impl<S: Send + Sync + 'static> S3Access for Door<S> {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let target = &self.0.target;
        if !is_same(target, cx.s3_op().name(), cx.s3_path()) {
            error!(admitted = %target.operation, s3s = cx.s3_op().name(), "a request was read in two ways");
            return Err(s3_error!(InternalError));
        }
        let access_key = cx.credentials().map(|credentials| credentials.access_key.clone());
        let headers = cx.headers().clone();
        self.admit(access_key, headers, cx.extensions_mut()).await
    }
}

impl<S> Door<S> {
    /// Lets the request in, or not. `access_key` is whose signature s3s has verified; with `headers` it came. What the
    /// operation asks of its caller goes into `extensions`.
    async fn admit(
        &self,
        access_key: Option<String>,
        headers: HeaderMap,
        extensions: &mut Extensions,
    ) -> S3Result<()> {
        let Request { target, client, signer, found, denied, .. } = &*self.0;
        if target.brings_customer_key {
            client.verify_may_bring_key()?;
        }
        let source = match target.operation {
            Operation::CopyObject | Operation::UploadPartCopy => Some(copy_source(&headers)?),
            Operation::RenameObject => {
                let rename = rename_object::parse(target, &headers)?;
                Some((rename.bucket().to_owned(), rename.source().to_owned(), None))
            }
            _ => None,
        };
        // An access key is there only when the signature was verified with what `found` holds.
        let credential = access_key.and(found.get()).or(signer.as_ref()).cloned();
        if let Some(credential) = &credential {
            let charged = self.0.per_key.enter(credential.user.access_key.clone(), Instant::now()).await;
            // s3s asks once a request.
            let _ = self.0.charged.set(charged.map_err(Refusal::into_s3_error)?);
        }
        let asker = credential.map(|credential| Asker::new(credential, *client, self.0.identities.clone()));
        let held = Held {
            asker,
            target: target.clone(),
            headers,
            client: *client,
            now: OffsetDateTime::now_utc(),
            denied: denied.clone(),
        };
        let version = target.query.get("versionId");
        let subject = target.bucket().map(|bucket| Subject { bucket, key: target.key(), version });
        self.let_in(&held, Role::Target, subject).await?;
        if let Some((bucket, key, version)) = &source {
            let subject = Subject { bucket, key: Some(key), version: version.as_deref() };
            self.let_in(&held, Role::Source, Some(subject)).await?;
        }
        extensions.insert(held.caller().as_deref().map_or_else(Caller::anonymous, caller_of));
        extensions.insert::<Arc<dyn Permit>>(Arc::new(held));
        let place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            let place = place.map_err(Refusal::into_s3_error);
            extensions.insert(match target.operation {
                // Whether they may is decided for good by the store, and most have nothing to read.
                Operation::CopyObject | Operation::UploadPartCopy => Place::awaited(place),
                _ => Place::of(place.await?),
            });
        }
        Ok(())
    }

    /// Decides on what is known before the operation: it will decide again on what it finds. Most are let in, or not,
    /// by their bucket alone; the object is looked at only for those who have nothing there but perhaps by its own list.
    async fn let_in(&self, held: &Held, role: Role, subject: Option<Subject<'_>>) -> S3Result<()> {
        let caller = held.caller();
        let asking = held.asking(caller.as_deref());
        let unbound = || {
            let decided = asking.decide_without_bucket(role);
            decided.map(|_| ()).map_err(|denied| held.refusal(denied))
        };
        let Some(Subject { bucket, key, version }) = subject else { return unbound() };
        let Some(facts) = self.0.known.facts(bucket).await? else { return unbound() };
        let on = On { key, version, ..On::bucket(bucket, &facts) };
        let Err(denied) = asking.decide(role, &on) else { return Ok(()) };
        if denied.reason.rests_on_caller() {
            return Err(held.refusal(denied));
        }
        if role == Role::Target && is_told_later(held.target.operation, caller.as_deref(), &facts) {
            return Ok(());
        }
        // Nor is it known yet how their upload is encrypted, where that is all that stands against them.
        if role == Role::Target && is_of_upload(held.target.operation) {
            let encrypted = On { upload_encryption: Some(ServerSideEncryption::AES256), ..on };
            if asking.decide(role, &encrypted).is_ok() {
                return Ok(());
            }
        }
        let rule = Rule::of(held.target.operation);
        let Some(key) = key.filter(|_| rule.reads_object(role, &held.headers)) else {
            return Err(held.refusal(denied));
        };
        let Resolved { facts, head, .. } = self.0.known.object(bucket, key, version).await?;
        let Some(facts) = facts else { return unbound() };
        let on = On::bucket(bucket, &facts).object(key, version, head.as_ref());
        let decided = match head {
            Some(_) => asking.decide(role, &on).map(|_| ()),
            None => asking.may_know_it_is_missing(role, &on),
        };
        decided.map_err(|denied| held.refusal(denied))
    }
}

/// Whether the decision rests on what is known after the door, so that the operation has to ask its permit: whose an
/// upload is, or for what the policy says the keys to delete or the tags to put, which are in the body, or the tags of
/// what is copied or renamed.
fn is_told_later(operation: Operation, caller: Option<&User>, facts: &Facts) -> bool {
    match operation {
        Operation::AbortMultipartUpload | Operation::ListParts => caller.is_some(),
        Operation::DeleteObjects
        | Operation::PutObjectTagging
        | Operation::CopyObject
        | Operation::RenameObject => facts.policy.is_some(),
        _ => false,
    }
}

/// Whether it adds to an upload, or ends one, that was told how to encrypt when it began.
fn is_of_upload(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::UploadPart | Operation::UploadPartCopy | Operation::CompleteMultipartUpload
    )
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

/// The bucket, the key and the version that a copy reads from.
fn copy_source(headers: &HeaderMap) -> S3Result<(String, String, Option<String>)> {
    let header = headers.get("x-amz-copy-source").and_then(|source| source.to_str().ok());
    match header.map(CopySource::parse) {
        Some(Ok(CopySource::Bucket { bucket, key, version_id })) => {
            Ok((bucket.into(), key.into(), version_id.map(Into::into)))
        }
        _ => Err(s3_error!(
            InvalidArgument,
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        )),
    }
}

fn caller_of(user: &User) -> Caller {
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
