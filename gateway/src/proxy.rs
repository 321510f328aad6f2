//! The hub: the life of a request, each step a file.
//!
//! One [`Proxy`] stands behind each listener, public or peer. It strips what only nodes may say, gives the request an
//! id, has it admitted, routes it, and hands it to the cache, to this region's store, or to the node that owns another
//! region. Refusals become S3 error documents here, and every request is recorded here once.

mod exchange;
mod forwarding;
mod hooks;
mod pace;
mod record;
mod turned_away;
mod watchdog;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use http::header::{CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode, Version};
use origin::head::Facts;
use pingora::http::RequestHeader;
use pingora::proxy::{HttpProxy, Session};
use pingora::server::configuration::ServerConf;
use s3s::S3ErrorCode;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::accelerated::{Accelerated, Read};
use crate::access_log;
use crate::audit;
use crate::bridge::{self, Named, form, website};
use crate::client::{Client, TrustedProxies};
use crate::cross_origin::{self, Beside};
use crate::listen;
use crate::metrics::{DropReason, Metrics};
use crate::peer::Peers;
use crate::post_form::Rules;
use crate::quota::Gate;
use crate::refusal::Refusal;
use crate::response::{Failed, Place, Sent};
use crate::route::{Arrival, Route};
use crate::sigv4::Claim;
use crate::store_service::{StoreService, WaitsForPlace};
use crate::target::{self, EndpointKind, Listener, Operation, Target};
use crate::topology::{RegionName, Topology};
pub use exchange::Exchange;
use pace::Pace;
use watchdog::{Application, Deadline};

/// When a client should come again after this node had too much to do, or could not reach another.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much longer than the owner this node waits for a body that it forwards: the owner's limit is the exact one, and
/// its refusal says why.
const OWNER_FIRST: Duration = Duration::from_secs(2);

/// How long a request waits for a place on the way to another region, or among uploads, before it is told to slow down.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Requests that wait for a place on the way to another region, and that may be anybody's.
pub const FORWARD_STRANGERS_MAX: usize = 16;

/// What all listeners of one node share.
pub struct Node {
    /// The regions of the cluster.
    pub topology: Arc<Topology>,
    /// The region of this node.
    pub region: RegionName,
    /// Reads of any region's objects out of the cache.
    pub accelerated: Accelerated,
    /// The way into this region's store.
    pub store: StoreService,
    /// The way to other regions.
    pub peers: Arc<Peers>,
    /// Whose word about their clients is believed.
    pub trusted_proxies: TrustedProxies,
    /// What the two sides of a transfer may take.
    pub limits: bridge::Limits,
    /// How long the owner of another region may be silent about a request that was forwarded to it.
    pub silent_owner: Duration,
    /// Requests being answered at once, on all listeners together, other nodes' own aside; one more is told to slow down.
    pub places: Arc<Semaphore>,
    /// How many there are.
    pub places_count: usize,
    /// Requests on their way to other regions at once; one more waits for [`PLACE_WAIT_MAX`].
    pub forward_places: Arc<Semaphore>,
    /// How many there are.
    pub forward_places_count: usize,
    /// Of those that wait, requests of which it is not known here whether a user has signed them.
    pub forward_strangers: Arc<Semaphore>,
    /// Uploads into this region's store at once; one more waits as long.
    pub upload_places: Arc<Semaphore>,
    /// What each client address may ask.
    pub per_address: Gate<IpAddr>,
    /// Whether a signed request over plain HTTP may have a body that its signature does not cover.
    pub allow_unsigned_payload_over_http: bool,
    /// Whether a browser's form may be signed with Signature V2.
    pub allow_form_signature_v2: bool,
    /// The node's series.
    pub metrics: Metrics,
}

/// Who connects to a listener.
#[derive(Clone, Debug)]
pub enum Role {
    /// Clients.
    Public(Listener),
    /// Other nodes of the cluster.
    Peer,
}

/// What stands behind one listener.
pub struct Proxy {
    node: Arc<Node>,
    role: Role,
}

/// The application behind a listener of `node`, for [`crate::listen::Front::serve`].
#[must_use]
pub fn application(node: Arc<Node>, role: Role) -> Arc<Application> {
    let proxy = Proxy { node: node.clone(), role: role.clone() };
    let mut proxy = HttpProxy::new(proxy, Arc::new(ServerConf::default()));
    proxy.handle_init_modules();
    Arc::new(Application::new(proxy, node, role))
}

/// How a request leaves the hub.
enum Answer {
    /// It was answered.
    Given(Sent),
    /// The upstream in the exchange answers it.
    ByPeer,
}

impl Node {
    /// One of `places`, of which there are few because each may hold much.
    async fn narrow_place(
        &self,
        places: &Arc<Semaphore>,
        missing: DropReason,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        match timeout(PLACE_WAIT_MAX, places.clone().acquire_owned()).await {
            Ok(place) => Ok(place.expect("semaphores are never closed")),
            Err(_) => Err(self.too_many(missing)),
        }
    }

    /// A place among the uploads into this region's store.
    fn upload_place(self: &Arc<Self>) -> WaitsForPlace {
        let node = self.clone();
        Box::pin(async move { node.narrow_place(&node.upload_places, DropReason::Uploads).await })
    }

    /// Whether so few of `places`, of which there are `count`, are taken that some may be kept for nothing but the rest of a body
    /// that is thrown away. Anybody may send one slowly; others are not to wait for that.
    fn are_plenty(places: &Semaphore, count: usize) -> bool {
        2 * places.available_permits() >= count
    }

    fn too_many(&self, of: DropReason) -> Refusal {
        self.metrics.dropped(of);
        Refusal::slow_down(RETRY_AFTER)
    }
}

impl Proxy {
    /// The life of a request: each line is a file, in this order.
    async fn answer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Answer, Failed> {
        let arrival = self.receive(session, exchange).await?;
        let target = self.admit(session, exchange)?;
        let route = Route::of(&target, &self.node.region, arrival)?;
        self.tell_pages(session, exchange, &target, &route).await;
        match route {
            Route::Preflight => self.answer_preflight(session, exchange, &target).await,
            Route::CachedRead => self.read_cached(session, exchange, target).await,
            Route::OwnStore => self.ask_store(session, exchange, target).await,
            Route::Website => self.show_page(session, exchange, &target).await,
            Route::Forward => self.forward(session, exchange, &target).await,
        }
    }

    /// Takes from the head what only nodes may say, and believes it where a node said it.
    async fn receive(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Arrival, Refusal> {
        put_authority_into_host(session.req_header_mut());
        put_framing_into_head(session);
        let connection = connection_of(session);
        let told = forwarding::take(session.req_header_mut());
        match self.role {
            Role::Public(_) => {
                exchange.arrival = Some(Arrival::FromClient);
                exchange.client =
                    self.node.trusted_proxies.client_behind(connection, &session.req_header().headers);
                exchange.charge().await?;
                exchange.place = Some(self.place(session)?);
                exchange._counted = Some(self.node.metrics.request_arrived(exchange.endpoint));
                Ok(Arrival::FromClient)
            }
            Role::Peer => {
                exchange.arrival = Some(Arrival::FromPeer);
                exchange.id = told.request_id.unwrap_or(exchange.id);
                exchange.client = told.client;
                exchange.place = Some(self.place(session)?);
                Ok(Arrival::FromPeer)
            }
        }
    }

    /// A place among the requests that are answered at once. Over HTTP/2 it takes those of two: a page that waits, and what h2
    /// keeps of the one before it, are 216 KiB, as a node with 512 readers who take nothing grows by.
    fn place(&self, session: &mut Session) -> Result<Place, Refusal> {
        let count = if session.is_http2() { 2 } else { 1 };
        let place = self.node.places.clone().try_acquire_many_owned(count);
        let place = Place::new(place.map_err(|_| self.node.too_many(DropReason::InFlight))?);
        if session.is_http2() {
            session.req_header_mut().extensions_mut().insert(place.clone());
        }
        Ok(place)
    }

    fn admit(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Arc<Target>, Refusal> {
        let listener = match &self.role {
            Role::Public(listener) => listener.clone(),
            Role::Peer => Listener { region: self.node.region.clone(), endpoint: EndpointKind::Standard },
        };
        let head = session.req_header();
        let target =
            target::parse(&self.node.topology, &listener, &head.method, head.raw_path(), &head.headers)?;
        exchange.endpoint = target.endpoint;
        if matches!(self.role, Role::Public(_)) {
            // A signature's time is judged here for every path, so that each says the same about it.
            Claim::of(&target.query, &target.signature, OffsetDateTime::now_utc())?;
        }
        let is_exposed = !exchange.client.is_tls && !session.is_body_empty();
        if is_exposed && !self.node.allow_unsigned_payload_over_http && leaves_body_open(&target) {
            let message =
                "Over plain HTTP a request's signature must cover its body: UNSIGNED-PAYLOAD is for HTTPS.";
            return Err(Refusal::new(S3ErrorCode::AccessDenied, message));
        }
        Ok(exchange.target.insert(Arc::new(target)).clone())
    }

    /// Sees to it that whatever is answered here to a page of another site says whether that page may see it. The owner
    /// of a request that is forwarded says so itself. An owner that cannot be asked says nothing: the page sees nothing.
    async fn tell_pages(&self, session: &mut Session, exchange: &Exchange, target: &Target, route: &Route) {
        let is_answered_here = matches!(route, Route::CachedRead | Route::OwnStore | Route::Website);
        let Some(bucket) = target.bucket().filter(|_| is_answered_here) else { return };
        let head = session.req_header();
        if !head.headers.contains_key(ORIGIN) {
            return;
        }
        let Ok(Some(Facts { cors: Some(cors), .. })) =
            self.node.accelerated.facts(&target.region, bucket, exchange.client).await
        else {
            return;
        };
        let beside = cross_origin::beside(&cors, &head.method, &head.headers);
        session.req_header_mut().extensions_mut().insert(Beside(beside));
    }

    async fn answer_preflight(
        &self,
        session: &mut Session,
        exchange: &Exchange,
        target: &Target,
    ) -> Result<Answer, Failed> {
        let facts = match target.bucket() {
            Some(bucket) => {
                let finding = self.node.accelerated.facts(&target.region, bucket, exchange.client);
                finding.await.map_err(Refusal::from)?
            }
            None => None,
        };
        let cors = facts.and_then(|facts| facts.cors);
        let headers = cross_origin::preflight(cors.as_ref(), &session.req_header().headers)?;
        let (named, limits) = (self.named(exchange), &self.node.limits.response);
        Ok(Answer::Given(bridge::say(session, StatusCode::OK, headers, named, limits).await?))
    }

    async fn read_cached(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        target: Arc<Target>,
    ) -> Result<Answer, Failed> {
        let read = {
            let denied = exchange.denied.clone();
            self.node.accelerated.serve(session, &target, exchange.client, exchange.id, denied).await?
        };
        match read {
            Read::Served(served) => Ok(Answer::Given(exchange.read.insert(served).sent)),
            Read::OfOwner if target.region == self.node.region => {
                self.ask_store(session, exchange, target).await
            }
            Read::OfOwner => self.forward(session, exchange, &target).await,
        }
    }

    async fn ask_store(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        target: Arc<Target>,
    ) -> Result<Answer, Failed> {
        let (store, limits) = (&self.node.store, &self.node.limits);
        if target.operation == Operation::PostObject {
            let (client, said, denied) = (exchange.client, &exchange.form, &exchange.denied);
            let rules = Rules {
                allow_v2: self.node.allow_form_signature_v2,
                allow_uncovered_file: client.is_tls || self.node.allow_unsigned_payload_over_http,
            };
            let door = form::Door { store, rules, client, said, denied, place: self.node.upload_place() };
            let sent = form::serve(session, &target, door, self.named(exchange), limits).await?;
            return Ok(Answer::Given(sent));
        }
        let place = target.operation.is_upload().then(|| self.node.upload_place());
        let client = exchange.client;
        let service = store.for_request(target.clone(), client, exchange.denied.clone(), place);
        let sent = bridge::serve(session, &target, client, service, self.named(exchange), limits).await?;
        Ok(Answer::Given(sent))
    }

    async fn show_page(
        &self,
        session: &mut Session,
        exchange: &Exchange,
        target: &Target,
    ) -> Result<Answer, Failed> {
        let (client, denied) = (exchange.client, &exchange.denied);
        let door = website::Door { store: &self.node.store, client, denied };
        let sent = website::serve(session, target, door, self.named(exchange), &self.node.limits).await?;
        Ok(Answer::Given(sent))
    }

    async fn forward(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        target: &Target,
    ) -> Result<Answer, Failed> {
        exchange._forward_place = Some(self.forward_place(session.req_header(), exchange, target).await?);
        let owner = self.node.peers.peer(target.region.as_str()).ok_or_else(unreachable)?;
        let mut upstream = owner.upstream().await.map_err(|_| unreachable())?;
        // Starts anew with every piece of the client's body, whose silence is not the owner's.
        let silence = self.patience() + self.node.silent_owner;
        (upstream.options.read_timeout, upstream.options.write_timeout) = (Some(silence), Some(silence));
        exchange.upstream = Some(upstream);
        bridge::keep_open(session);
        session.set_write_timeout(Some(self.node.limits.response.stalled_reader));
        exchange.pace = Some(Pace::new(session, self.node.limits.response.clone(), exchange.place.clone()));
        exchange.deadline = Deadline::own();
        match session.is_body_done() {
            true => listen::keep_for_later(session),
            false => {
                listen::want_body();
                self.wait_for_body(session, exchange, self.patience());
            }
        }
        Ok(Answer::ByPeer)
    }

    /// A place on the way to another region, whose owner decides about the request. Where none is free this node looks first
    /// whether it is a user who would wait for one; of those who nobody here can tell about, few wait.
    async fn forward_place(
        &self,
        head: &RequestHeader,
        exchange: &Exchange,
        target: &Target,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let (node, places) = (&self.node, &self.node.forward_places);
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let looking = node.accelerated.is_of_user(head, target, exchange.client);
        let is_known = timeout(PLACE_WAIT_MAX, looking).await.unwrap_or(Ok(false))?;
        let _stranger = match is_known {
            true => None,
            false => {
                let stranger = node.forward_strangers.clone().try_acquire_owned();
                Some(stranger.map_err(|_| node.too_many(DropReason::Forwards))?)
            }
        };
        node.narrow_place(places, DropReason::Forwards).await
    }

    /// How long a client may send nothing of a body that is forwarded.
    fn patience(&self) -> Duration {
        self.node.limits.upload.stalled_upload + OWNER_FIRST
    }

    /// Gives the client `patience` for the next piece of its request's body.
    fn wait_for_body(&self, session: &mut Session, exchange: &Exchange, patience: Duration) {
        session.set_read_timeout(Some(patience));
        if let Some(deadline) = &exchange.deadline {
            deadline.set(Some(tokio::time::Instant::now() + patience));
        }
    }

    async fn refuse(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        refusal: &Refusal,
    ) -> pingora::Result<Sent> {
        if exchange.target.is_none()
            && let Some(endpoint) = target::endpoint(&self.node.topology, &session.req_header().headers)
        {
            // What was not admitted is told as the endpoint tells it that it asked.
            exchange.endpoint = endpoint;
        }
        access_log::explain(exchange.id, exchange.target.as_deref(), refusal);
        if exchange.denied.get().is_none() {
            audit::signature_refused(exchange.asked(), refusal);
        }
        if *refusal.code() == S3ErrorCode::RequestTimeout {
            self.node.metrics.dropped(DropReason::StalledUpload);
        }
        let (named, limits) = (self.named(exchange), &self.node.limits.response);
        if exchange.place.is_none() && session.is_http2() {
            // Nothing counts it, and its client may give a document no window: the head alone leaves at once.
            let (status, headers) = (refusal.status(), refusal.headers().clone());
            return bridge::say(session, status, headers, named, limits).await;
        }
        bridge::refuse(session, refusal, named, limits).await
    }

    /// Sees a request that was answered to the end of its body, where there are places to keep one for that.
    async fn see_to_end(&self, session: &mut Session) {
        if Node::are_plenty(&self.node.places, self.node.places_count) {
            return bridge::drain(session).await;
        }
        // What has come already is waited for by nobody.
        if bridge::drain(session).now_or_never().is_none() {
            session.set_keepalive(None);
        }
    }

    fn named(&self, exchange: &Exchange) -> Named<'_> {
        Named { request_id: exchange.id, region: &self.node.region, endpoint: exchange.endpoint }
    }
}

/// Whether the request is signed and its body is not.
fn leaves_body_open(target: &Target) -> bool {
    target.signature.signature().is_some() && !target.payload.is_signed()
}

/// Who is at the other end of the connection.
fn connection_of(session: &Session) -> Client {
    let address = session.client_addr().and_then(|address| address.as_inet());
    Client {
        address: address.map(|address| address.ip().to_canonical()),
        is_tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
    }
}

/// HTTP/2 says the host in `:authority`; everything behind this line reads it from `Host`.
fn put_authority_into_host(head: &mut RequestHeader) {
    if head.version != Version::HTTP_2 || head.headers.contains_key(HOST) {
        return;
    }
    if let Some(authority) = head.uri.authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
        // A `HeaderValue` is a valid value, so there is nothing to fail.
        let _ = head.insert_header(HOST, authority);
    }
}

/// HTTP/2 says by its frames where a body ends, and may say nothing of it in the head; everything behind this line reads there
/// whether there is one. A read has none that anybody wants.
fn put_framing_into_head(session: &mut Session) {
    let head = session.req_header();
    let is_told = head.version != Version::HTTP_2 || head.headers.contains_key(CONTENT_LENGTH);
    if is_told || head.method.is_safe() || session.is_body_empty() {
        return;
    }
    // The same words as HTTP/1.1 has for it.
    let _ = session.req_header_mut().insert_header(TRANSFER_ENCODING, "chunked");
}

fn unreachable() -> Refusal {
    Refusal::new(S3ErrorCode::ServiceUnavailable, "The bucket's region cannot be reached. Please try again.")
        .with_header(http::header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()))
}
