//! Object reads at the accelerated endpoint, answered here: any region's objects out of this node's cache.
//!
//! The order of events: the signature's claim is read; the object (and whoever claims to ask) is looked up at its
//! owner by a question that leaves after the request came; signature, permission, conditions and range are decided on
//! those answers; then bytes come from the cache, which fills what it lacks from the owner. The head of the answer
//! waits for the first bytes, so that what goes wrong before them is still an honest error document.
//!
//! What an answer says is decided by the same code as at the store (`origin::read_request`), and a test holds the two
//! paths together. Deliberately not here: s3s. Freshness lives behind [`Heads::current`].

mod body;
mod cache_status;
mod directives;
mod head_start;
mod heads;
mod owner;
mod purge;
mod renewal;
mod warm;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::{Busy, Cache, Mode, Plan, ReadError, Source, Tally, Tenant};
use http::{HeaderMap, HeaderValue, Method};
use origin::NamedVersion;
use origin::head::{Facts, Head};
use origin::lifecycle::{Day, expiration_header};
use origin::permit::{On, Role};
use origin::read_request::{ReadRequest, Reading, absent, decide, insert_expiration, object_headers};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use s3s::header::X_AMZ_TAGGING_COUNT;
use s3s::{S3Error, S3ErrorCode, S3Result};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use self::body::Body;
use self::cache_status::cache_status;
pub use self::cache_status::{CACHE_STATUS, passed_by};
pub use self::head_start::HeadStarts;
use self::head_start::{Beside, Started, first_pages};
use self::heads::{Found, Heads, ObjectName};
pub use self::owner::Owner;
pub use self::purge::{ToPurge, WasPurged};
use self::renewal::Renewal;
pub use self::warm::{ToWarm, Warmed};
use crate::client::Client;
use crate::identity::{Credential, Identities, User};
use crate::metrics::{Metrics, ReadSource};
use crate::peer::messages::FullHead;
use crate::permission::{Asking, Denied, DeniedSlot, Refused, RequestContext};
use crate::quota::{Charged, Gate};
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::response::{self, Failed, Sender, Sent};
use crate::sigv4::{Claim, Keys};
use crate::target::{EndpointKind, Target};
use crate::topology::RegionName;

/// Signing keys kept: one for each user, day and region name that requests are signed for.
const SIGNING_KEYS_MAX: usize = 10_000;

/// Users remembered, to see whether they have changed; one that is not costs its next request a second look.
const USERS_SEEN_MAX: u64 = 10_000;

/// How often an object and a user are looked at for one request, because the user was changed in between.
const LOOKS_MAX: usize = 4;

/// When a client should come back after a limit was reached or an owner could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an accelerated endpoint is made of.
pub struct Parts {
    /// The region that this node serves in.
    pub region: RegionName,
    /// The owner of every region, by its name.
    pub owners: HashMap<RegionName, Arc<Owner>>,
    /// This node's blocks.
    pub cache: Cache,
    /// How long the store of every region keeps a superseded instance for readers that have begun.
    pub grace: Duration,
    /// Finds users.
    pub identities: Arc<dyn Identities>,
    /// What each access key may ask.
    pub per_key: Arc<Gate<String>>,
    /// What a client that reads may take.
    pub limits: response::Limits,
    /// How long a day of lifecycle rules lasts, at every owner.
    pub lifecycle_day: Day,
    /// Counts reads and bytes by source.
    pub metrics: Metrics,
}

/// The accelerated endpoint of one node.
pub struct Accelerated {
    parts: Parts,
    heads: Heads,
    keys: Keys,
    /// By access key, each user as last seen; never believed, only compared.
    seen: moka::future::Cache<String, Arc<User>>,
}

/// How a read was taken.
#[derive(Clone, Debug)]
pub enum Read {
    /// It was answered here.
    Served(Served),
    /// Nothing was said: the object's owner alone opens it, and decides about everything.
    OfOwner,
}

/// A read that was answered.
#[derive(Clone, Debug)]
pub struct Served {
    /// What was sent.
    pub sent: Sent,
    /// Where the bytes came from.
    pub tally: Tally,
    /// Who asked.
    pub caller: Option<Arc<User>>,
}

/// A read that may be answered: everything but the bytes.
struct Granted {
    owner: Arc<Owner>,
    name: ObjectName,
    /// Whose share of the cache it takes: the caller's account, or for anonymous callers that of the bucket's owner.
    tenant: Tenant,
    object: Arc<FullHead>,
    was_known: bool,
    /// What may have come of its first pages beside its head.
    beside: Option<Beside>,
    reading: Reading,
    headers: HeaderMap,
    caller: Option<Arc<User>>,
}

/// What a request says, as far as its object is looked up by it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    head: &'a RequestHeader,
    target: &'a Target,
    claim: Option<&'a Claim<'a>>,
    mode: Mode,
    client: Client,
}

/// What a request takes with it on its way through here.
#[derive(Default)]
struct Kept {
    /// Its key's place, once its signature was verified.
    charged: Option<Charged>,
    /// Where a refusal by permission is left for the audit log.
    denied: DeniedSlot,
}

impl Accelerated {
    /// The endpoint of `parts`.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            heads: Heads::new(),
            keys: Keys::new(SIGNING_KEYS_MAX),
            seen: moka::future::Cache::new(USERS_SEEN_MAX),
            parts,
        }
    }

    /// Answers `target`, which must be a GetObject or HeadObject, to `client`, unless its object is one that the owner alone
    /// can answer. Why it is denied, if it is, is left in `denied`.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn serve(
        &self,
        session: &mut Session,
        target: &Target,
        client: Client,
        request_id: RequestId,
        denied: DeniedSlot,
    ) -> Result<Read, Failed> {
        let mode = directives::mode(&session.req_header().method, &session.req_header().headers);
        let mut kept = Kept { charged: None, denied };
        let prepared = self.prepare(session, target, client, mode, &mut kept).await;
        let Some((granted, body)) = prepared.map_err(Failed::Refused)? else { return Ok(Read::OfOwner) };
        let renewing = body.goes_on().then(|| Renewal::new(&granted, self.parts.grace));
        let mut headers = granted.headers;
        let plan = body.plan();
        headers.insert(CACHE_STATUS, cache_status(&self.parts.region, &plan, mode));
        identify(&mut headers, request_id, &self.parts.region);
        let mut tally = Tally::default();
        let status = granted.reading.status();
        let sent = match Sender::begin(session, status, headers, &self.parts.limits).await {
            Ok(sender) => renewal::during(renewing, body.send(sender, &mut tally)).await,
            Err(error) => Err(error),
        };
        // Of an answer that broke off before its first byte nothing came from anywhere.
        if sent.is_ok() || tally != Tally::default() {
            self.record(session, target, &plan, &tally);
        }
        Ok(Read::Served(Served { sent: sent.map_err(Failed::Broken)?, tally, caller: granted.caller }))
    }

    /// The facts of a bucket of any region, as its owner has them after this call; `None` if there is no such bucket. It is
    /// `client` who asks.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the owner cannot be asked.
    pub async fn facts(&self, region: &RegionName, bucket: &str, client: Client) -> S3Result<Option<Facts>> {
        let owner = self.parts.owners.get(region).ok_or(S3ErrorCode::ServiceUnavailable)?;
        Ok(self.heads.facts(owner, bucket, client).await?.map(Arc::unwrap_or_clone))
    }

    /// Whether a request with this head is signed by a user; `false` where nobody has signed its head, and where home cannot be
    /// asked who did. It is `client` who asks.
    ///
    /// # Errors
    /// `InvalidAccessKeyId`, `SignatureDoesNotMatch`, and those of [`Identities::find`] but that.
    pub async fn is_of_user(
        &self,
        head: &RequestHeader,
        target: &Target,
        client: Client,
    ) -> Result<bool, Refusal> {
        let claim = Claim::of(&target.query, &target.signature, OffsetDateTime::now_utc())?;
        let Some(claim) = claim else { return Ok(false) };
        let credential = match self.parts.identities.find(claim.access_key(), client).await {
            Ok(found) => found.ok_or(S3ErrorCode::InvalidAccessKeyId)?,
            Err(unknown) if *unknown.code() == S3ErrorCode::ServiceUnavailable => return Ok(false),
            Err(refused) => return Err(refused.into()),
        };
        claim.verify(&self.keys, &credential.secret, &head.method, head.raw_path(), &head.headers)?;
        Ok(true)
    }

    /// Everything up to the first byte: what is granted, and its body with the first bytes in hand; `None` where that is the
    /// owner's to grant.
    async fn prepare(
        &self,
        session: &mut Session,
        target: &Target,
        client: Client,
        mode: Mode,
        kept: &mut Kept,
    ) -> Result<Option<(Granted, Body)>, Refusal> {
        let Some(mut granted) = self.grant(session, target, client, mode, kept).await? else {
            return Ok(None);
        };
        let method = session.req_header().method.clone();
        let mut opened = self.open(&method, &granted, mode).await;
        if matches!(opened, Err(ReadError::Gone)) {
            // The instance's grace ran out between the owner's answer and the read: there is a newer one.
            granted = match self.grant(session, target, client, mode, kept).await? {
                Some(granted) => granted,
                None => return Ok(None),
            };
            opened = self.open(&method, &granted, mode).await;
        }
        let body = opened.map_err(unreadable)?;
        if directives::wants_prestage(&method, &session.req_header().headers) {
            self.prestage(&granted)?;
        }
        Ok(Some((granted, body)))
    }

    /// Decides whether the request may have the object, and what of it; `None` where that is for the owner to decide.
    async fn grant(
        &self,
        session: &mut Session,
        target: &Target,
        client: Client,
        mode: Mode,
        kept: &mut Kept,
    ) -> Result<Option<Granted>, Refusal> {
        let now = OffsetDateTime::now_utc();
        let claim = Claim::of(&target.query, &target.signature, now)?;
        let name = object_name(target)?;
        let owner = self.parts.owners.get(&target.region).ok_or(S3ErrorCode::ServiceUnavailable)?.clone();
        let head = session.req_header();
        let asked = Asked { head, target, claim: claim.as_ref(), mode, client };
        let (found, beside) = match self.pages_beside(asked, &owner, &name) {
            None => (self.look_up(asked, &owner, &name, None).await, None),
            // Seldom: what it takes is no part of other requests.
            Some(pages) => Box::pin(self.look_up_beside(asked, &owner, &name, pages)).await,
        };
        let (found, credential) = found?;
        let object = found.as_ref().ok().and_then(|found| found.object.as_ref());
        if object.is_some_and(|object| object.head.is_under_store_key()) {
            return Ok(None);
        }
        if let Some(claim) = claim {
            let secret = &credential.as_ref().ok_or(S3ErrorCode::InvalidAccessKeyId)?.secret;
            claim.verify(&self.keys, secret, &head.method, head.raw_path(), &head.headers)?;
            if kept.charged.is_none() {
                let access_key = claim.access_key().to_owned();
                kept.charged = Some(self.parts.per_key.enter(access_key, Instant::now()).await?);
            }
        }
        let caller = credential.map(|credential| credential.user);
        let region = target.region.as_str();
        let request = RequestContext { region, query: &target.query, headers: &head.headers, client, now };
        let asking = Asking { caller: caller.as_deref(), operation: target.operation, request };
        if let Ok(found) = &found {
            authorize(&asking, target, &name, found).map_err(|refused| {
                // Nothing was refused before: this is the first.
                let _ = kept.denied.set(Refused { denied: refused.clone(), caller: caller.clone() });
                S3Error::from(refused)
            })?;
        }
        let request = ReadRequest::parse(&head.headers, target.query.iter())?;
        let Found { facts, object, marker, was_known } = found?;
        let facts = facts.ok_or(S3ErrorCode::NoSuchBucket)?;
        facts.verify_owner(request.expected_bucket_owner())?;
        let version = target.query.get("versionId");
        let object = object.ok_or_else(|| absent(version, marker.as_ref()))?;
        let reading = decide(&object.head, &request).map_err(|refused| match refused.code() {
            // It says no, and is an answer: the client's own copy is what the head says.
            S3ErrorCode::NotModified => {
                let status = cache_status(&self.parts.region, &Body::empty(was_known).plan(), mode);
                Refusal::from(refused).with_header(CACHE_STATUS, status)
            }
            _ => refused.into(),
        })?;
        if object.head.encryption.is_some() {
            // Nothing here opens it: a request that brings its key goes to its owner.
            return Err(S3ErrorCode::InternalError.into());
        }
        let mut headers = object_headers(&facts, &object.head, &request, &reading);
        if !object.head.tags.is_empty()
            && !asking.may_read_tags(&on(target, &name, &facts, Some(&object.head)))
        {
            headers.remove(X_AMZ_TAGGING_COUNT);
        }
        if version.is_none() {
            let expiration = expiration_header(&facts, &name.key, &object.head, self.parts.lifecycle_day);
            insert_expiration(&mut headers, expiration.as_deref());
        }
        let tenant = caller.as_ref().map_or(facts.owner.as_str(), |caller| caller.account.name.as_str());
        let tenant = Tenant::named(tenant);
        Ok(Some(Granted { owner, name, tenant, object, was_known, beside, reading, headers, caller }))
    }

    /// The pages to ask for at the same time as for the object's head, where nothing is known of it here.
    fn pages_beside(&self, asked: Asked<'_>, owner: &Owner, name: &ObjectName) -> Option<Range<u64>> {
        let Asked { head, target, claim, mode, .. } = asked;
        // Where a part begins is in the head.
        let is_of_part = target.query.has("partNumber");
        let may_fill = claim.is_some() && head.method == Method::GET && mode == Mode::Fill && !is_of_part;
        if !may_fill || !owner.knows_nothing_of(name) {
            return None;
        }
        first_pages(&head.headers, self.parts.cache.block_bytes())
    }

    /// Asks for `pages` at the same time as it [looks up](Self::look_up) the object.
    async fn look_up_beside(
        &self,
        asked: Asked<'_>,
        owner: &Arc<Owner>,
        name: &ObjectName,
        pages: Range<u64>,
    ) -> (Result<(S3Result<Found>, Option<Credential>), Refusal>, Option<Beside>) {
        let (tell, told) = oneshot::channel();
        futures::join!(
            self.look_up(asked, owner, name, Some(tell)),
            self.begin_first_pages(asked, owner, name, pages, told),
        )
    }

    /// Asks for `pages`, for a caller whose signature holds. Who that is, [`look_up`](Self::look_up) tells where it asks: a key
    /// that nobody holds is looked for, and charged for, once.
    async fn begin_first_pages(
        &self,
        asked: Asked<'_>,
        owner: &Arc<Owner>,
        name: &ObjectName,
        pages: Range<u64>,
        told: oneshot::Receiver<Option<Credential>>,
    ) -> Option<Beside> {
        let Asked { head, claim, client, .. } = asked;
        let claim = claim?;
        let credential = match told.await {
            Ok(first_seen) => first_seen?,
            Err(_) => self.parts.identities.find(claim.access_key(), client).await.ok()??,
        };
        let signed =
            claim.verify(&self.keys, &credential.secret, &head.method, head.raw_path(), &head.headers);
        signed.is_ok().then(|| Beside::new(owner.clone(), owner.begin(name, pages)))
    }

    /// The object and, where the request claims to be somebody's, who that is: both as they were at one moment after the
    /// request came (rule 6).
    ///
    /// The user is looked at after the object. Who was the same before and after was so in between; who was not may have
    /// been somebody else when the object was read, so that the two together would allow what no moment allowed: then
    /// both are looked at once more. Under live sessions neither look is a message to anybody.
    ///
    /// Of somebody who has not been seen here before, the first look is told as soon as it is over; of anybody else nothing.
    async fn look_up(
        &self,
        asked: Asked<'_>,
        owner: &Owner,
        name: &ObjectName,
        tell: Option<oneshot::Sender<Option<Credential>>>,
    ) -> Result<(S3Result<Found>, Option<Credential>), Refusal> {
        let Asked { claim, mode, client, .. } = asked;
        let Some(access_key) = claim.map(Claim::access_key) else {
            return Ok((self.heads.current(owner, name, mode, client).await?, None));
        };
        let identities = &self.parts.identities;
        let mut was_known = true;
        let seen = self.seen.get(access_key).await;
        let mut is_new = seen.is_none();
        let mut before = match seen {
            Some(seen) => {
                drop(tell);
                Some(seen)
            }
            None => {
                // A first look at both, side by side: each may be a round trip.
                let finding = self.heads.current(owner, name, mode, client);
                let first_seen = async {
                    let first_seen = identities.find(access_key, client).await;
                    if let Some(tell) = tell {
                        // Who wanted to know may have gone.
                        let _ = tell.send(first_seen.as_ref().ok().cloned().flatten());
                    }
                    first_seen
                };
                let (found, credential) = futures::join!(finding, first_seen);
                let (found, credential) = (found?, credential?);
                was_known = found.as_ref().is_ok_and(|found| found.was_known);
                let Some(credential) = credential else { return Ok((found, None)) };
                Some(credential.user)
            }
        };
        for _ in 0..LOOKS_MAX {
            let mut found = self.heads.current(owner, name, mode, client).await?;
            if let Ok(found) = &mut found {
                // What the first look brought here is no hit of the second.
                was_known &= found.was_known;
                found.was_known = was_known;
            }
            let Some(credential) = identities.find(access_key, client).await? else {
                return Ok((found, None));
            };
            let user = credential.user.clone();
            if before.is_some_and(|before| before == user) {
                if is_new {
                    self.seen.insert(access_key.to_owned(), user).await;
                }
                return Ok((found, Some(credential)));
            }
            (before, is_new) = (Some(user), true);
        }
        Err(Refusal::slow_down(RETRY_AFTER))
    }

    /// Finds the bytes to send, and waits for the first of them.
    async fn open(&self, method: &Method, granted: &Granted, mode: Mode) -> Result<Body, ReadError> {
        let FullHead { head, inline } = &*granted.object;
        let range = granted.reading.bytes();
        if method == Method::HEAD || range.is_empty() {
            return Ok(Body::empty(granted.was_known));
        }
        let body = match inline {
            Some(page) => Body::inline(&page.bytes, range, granted.was_known, mode),
            None => {
                let instance = cache::Instance(*head.instance.as_bytes());
                let owner = granted.owner.clone();
                let begun = granted.beside.as_ref().and_then(|beside| beside.begun.clone());
                let source: Arc<dyn Source> = match begun {
                    Some(head_start) => Arc::new(Started { owner, head_start }),
                    None => owner,
                };
                let cache = &self.parts.cache;
                Body::blocks(cache.read(granted.tenant, instance, head.bytes, range, mode, source)).await
            }
        }?;
        if let Some(beside) = &granted.beside {
            beside.note(body.began_at_origin());
            if let Some(begun) = &beside.begun {
                begun.give_up();
            }
        }
        Ok(body)
    }

    /// Starts to bring the whole object here, unless it came with its head.
    fn prestage(&self, granted: &Granted) -> Result<(), Refusal> {
        let FullHead { head, inline } = &*granted.object;
        if inline.is_some() || head.bytes == 0 {
            return Ok(());
        }
        let instance = cache::Instance(*head.instance.as_bytes());
        match self.parts.cache.prestage(granted.tenant, instance, head.bytes, granted.owner.clone()) {
            Ok(_) => Ok(()),
            Err(Busy(_)) => Err(Refusal::slow_down(RETRY_AFTER)),
        }
    }

    fn record(&self, session: &Session, target: &Target, plan: &Plan, tally: &Tally) {
        let sources = body::sources(tally);
        for (source, bytes) in sources.into_iter().filter(|(_, bytes)| *bytes > 0) {
            self.parts.metrics.cached_bytes(EndpointKind::Accelerated, &target.region, source, bytes);
        }
        let slowest = sources.into_iter().rev().find(|(_, bytes)| *bytes > 0).map(|(source, _)| source);
        // Of an object without bytes it is the head that was here or was not.
        let source = slowest.unwrap_or(if plan.hit { ReadSource::Memory } else { ReadSource::Origin });
        if session.req_header().method == Method::GET {
            self.parts.metrics.cached_read(EndpointKind::Accelerated, &target.region, source);
        }
    }
}

/// Decides whether the caller may have what was found. Who may not read an object is told the same as of one that is not
/// there, unless they may list the bucket.
fn authorize(asking: &Asking<'_>, target: &Target, name: &ObjectName, found: &Found) -> Result<(), Denied> {
    let Some(facts) = &found.facts else {
        return asking.decide_without_bucket(Role::Target).map(|_| ());
    };
    let head = found.object.as_ref().map(|object| &object.head);
    let on = on(target, name, facts, head);
    match head {
        Some(_) => asking.decide(Role::Target, &on).map(|_| ()),
        None => asking.may_know_it_is_missing(Role::Target, &on),
    }
}

/// What `target` is about, as it was found.
fn on<'a>(target: &'a Target, name: &'a ObjectName, facts: &'a Facts, head: Option<&'a Head>) -> On<'a> {
    On::bucket(&name.bucket, facts).object(&name.key, target.query.get("versionId"), head)
}

/// Which object `target` names.
fn object_name(target: &Target) -> Result<ObjectName, Refusal> {
    let (Some(bucket), Some(key)) = (target.bucket(), target.key()) else {
        return Err(S3ErrorCode::InvalidRequest.into());
    };
    Ok(ObjectName {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: target.query.get("versionId").map(named_version),
    })
}

/// The version that its owner is asked for. There is none of a name that is none, of whatever length: the request is
/// refused for it when the rest of it is read, if its caller may know so much.
fn named_version(text: &str) -> String {
    NamedVersion::parse(text).map(|version| version.as_str().to_owned()).unwrap_or_default()
}

/// The headers by which a client names this answer to an operator.
fn identify(headers: &mut HeaderMap, request_id: RequestId, region: &RegionName) {
    let named = [("x-amz-request-id", request_id.to_string()), ("x-amz-id-2", region.to_string())];
    for (name, value) in named {
        headers.insert(name, HeaderValue::try_from(value).expect("ids and region names are header text"));
    }
}

/// What a client sees of a read that failed before its first byte.
fn unreadable(error: ReadError) -> Refusal {
    if let ReadError::Busy(_) = error {
        return Refusal::slow_down(RETRY_AFTER);
    }
    let message = "The object's region cannot be read now.";
    let mut refused = S3Error::with_message(S3ErrorCode::ServiceUnavailable, message);
    refused.set_source(Box::new(error));
    Refusal::from(refused).with_header(http::header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()))
}
