//! The node that asks: connections to every other region's owner, and what travels over them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::{Instance, Page, Pages, Purpose, Source, SourceError};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use pingora::protocols::TcpKeepalive;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::CertKey;

use super::ask_error::AskError;
use super::frames::{self, Name, Of, Question, Spare};
use super::lines::{Answer, Lines};
use super::way::{Protocol, Way, Wire, lookup};
use super::{Credentials, CredentialsError, peer_name};
use crate::coherence::SESSION_ALPN;
use crate::metrics::{Metrics, OriginChannel, OriginOutcome};
use crate::topology::{Region, RegionName, Topology};

/// How long to wait for another region, and how much to ask of it at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For the answers to a batch of questions, connection included.
    pub ask_timeout: Duration,
    /// Between two pieces of a stream of pages.
    pub read_timeout: Duration,
    /// Questions waiting for one region; past it they are refused with `SlowDown`.
    pub waiting_max: usize,
    /// Idle connections for pages kept to one region.
    pub idle_connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            ask_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            waiting_max: 4096,
            idle_connections_max: IDLE_CONNECTIONS_MAX,
        }
    }
}

/// As many as one owner answers at one time for fills.
const IDLE_CONNECTIONS_MAX: usize = 32;

/// Of connections for forwarded requests. Below the 60 s for which a peer listener keeps an idle connection: whoever
/// closes first should be the client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the other machine may leave what was sent unacknowledged, or a question whether it is still there, before a
/// connection counts as broken. A region that nobody can reach any more would else be waited for as long as TCP tries. The
/// kernel counts an owner that has no room for what is sent in the same way, so this is longer than a slow disk takes.
pub(super) const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// How long nothing is heard on a connection before that question, and between two of them.
pub(super) const PROBE_AFTER: Duration = Duration::from_secs(10);
pub(super) const PROBE_AGAIN_AFTER: Duration = Duration::from_secs(5);
pub(super) const PROBES_MAX: usize = 3;

/// What is read at one time: two TLS records of pages, and little of a session.
const PAGES_BUFFER_BYTES: usize = 32 * 1024;
const SESSION_BUFFER_BYTES: usize = 8 * 1024;

/// What pages from so many owners take beside those of a cache's fills: buffers for pages to come, and those of idle
/// connections.
#[must_use]
pub const fn pages_bytes_max(owners_count: usize) -> usize {
    frames::SPARE_BYTES_MAX + owners_count * IDLE_CONNECTIONS_MAX * PAGES_BUFFER_BYTES
}

/// The owners of all regions, as this node reaches them. One for a process.
pub struct Peers {
    peers: HashMap<RegionName, Arc<Peer>>,
}

impl Peers {
    /// Connections are made when needed; they and everything that travels on them run on the tokio runtime that this
    /// is called in.
    ///
    /// # Errors
    /// When the credentials do not work for a TLS client.
    pub fn new(
        topology: &Topology,
        credentials: &Credentials,
        limits: Limits,
        metrics: &Metrics,
    ) -> Result<Self, CredentialsError> {
        let (client_cert_key, authority) = credentials.upstream();
        let sessions = Protocol::new(SESSION_ALPN, credentials, SESSION_BUFFER_BYTES)?;
        let pages = Protocol::new(frames::ALPN, credentials, PAGES_BUFFER_BYTES)?;
        let spare = Arc::<Spare>::default();
        let peer = |region: &Region| {
            let name = peer_name(region.name(), topology.domain());
            let way = Way { name, address: region.peer().clone(), limits };
            Arc::new(Peer {
                region: region.name().clone(),
                lines: Arc::new(Lines::new(way.clone(), pages.clone(), spare.clone())),
                way,
                sessions: sessions.clone(),
                metrics: metrics.clone(),
                client_cert_key: client_cert_key.clone(),
                authority: authority.clone(),
            })
        };
        let peers = topology.regions().iter().map(|region| (region.name().clone(), peer(region))).collect();
        Ok(Self { peers })
    }

    /// The owner of `region`; every region of the topology has one.
    #[must_use]
    pub fn peer(&self, region: &str) -> Option<&Arc<Peer>> {
        self.peers.get(region)
    }
}

/// The owner of one region.
pub struct Peer {
    region: RegionName,
    way: Way,
    sessions: Protocol,
    lines: Arc<Lines>,
    metrics: Metrics,
    client_cert_key: Arc<CertKey>,
    authority: Arc<CaType>,
}

impl Peer {
    /// The region that it owns.
    #[must_use]
    pub fn region(&self) -> &RegionName {
        &self.region
    }

    /// How long to wait for it.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.way.limits
    }

    /// A connection to the owner for a session: TLS in both directions like everything on this channel.
    ///
    /// # Errors
    /// When there is none within the limit, or the owner does not speak of sessions.
    pub(crate) async fn connect_for_session(&self) -> Result<Wire, AskError> {
        self.way.connect(&self.sessions).await
    }

    /// Sees to it that some connections for pages are open, and stay so. To be called now and then while the owner may
    /// be asked for some: what is to be filled is then not held up by handshakes.
    pub(crate) fn keep_connected(&self) {
        self.lines.tend();
    }

    /// The owner will not be asked for a while: lets go of connections that wait.
    pub(crate) fn rest(&self) {
        self.lines.rest();
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.lines.idle_count()
    }

    #[cfg(test)]
    pub(super) async fn break_next(&self) {
        self.lines.break_next().await;
    }

    #[cfg(test)]
    pub(super) async fn break_idle(&self) {
        self.lines.break_idle().await;
    }

    /// Pages of whatever instance `name` stands for when the owner reads this, and which that is; `None` where there is
    /// nothing to send. To be had at the same time as the object's head: which alone says whether they may be used.
    ///
    /// # Errors
    /// As those of [`Source::pages`].
    pub(crate) async fn pages_of(
        &self,
        name: Name,
        pages: Range<u64>,
    ) -> Result<Option<(Instance, Pages)>, SourceError> {
        match self.ask(Of::Object(name), pages, Purpose::Fill).await? {
            Answer::Pages(instance, pages) => Ok(Some((Instance(*instance.as_bytes()), pages))),
            Answer::Nothing => Ok(None),
        }
    }

    async fn ask(&self, of: Of, pages: Range<u64>, purpose: Purpose) -> Result<Answer, SourceError> {
        let Range { start: first, end } = pages;
        let question = Question { of, first, count: end.saturating_sub(first), purpose: purpose.into() };
        let sent = Instant::now();
        let answer = self.lines.ask(&question).await;
        let outcome = match &answer {
            Ok(_) => OriginOutcome::Answered,
            Err(SourceError::Gone) => OriginOutcome::Gone,
            Err(SourceError::Busy) => OriginOutcome::Busy,
            Err(SourceError::Broken(_)) => OriginOutcome::Failed,
        };
        self.metrics.origin_request(&self.region, OriginChannel::Blob, outcome, sent.elapsed());
        let Answer::Pages(instance, pages) = answer? else { return Ok(Answer::Nothing) };
        let (region, metrics) = (self.region.clone(), self.metrics.clone());
        let counted = move |page: &Page| {
            metrics.origin_bytes(&region, OriginChannel::Blob, page.bytes.len() as u64);
        };
        Ok(Answer::Pages(instance, pages.inspect_ok(counted).boxed()))
    }

    /// A pingora upstream for a request to be forwarded to the owner: TLS with this node's certificate, and no
    /// certificate accepted but the region's own of the cluster's authority.
    ///
    /// # Errors
    /// When the owner's address cannot be looked up.
    pub async fn upstream(&self) -> Result<Box<HttpPeer>, AskError> {
        let address = lookup(&self.way.address)
            .await
            .map_err(|e| AskError::Unreachable(format!("{}: {e}", self.way.address)))?
            .next()
            .ok_or_else(|| AskError::Unreachable(format!("{}: no address", self.way.address)))?;
        // An empty name would switch verification off in pingora's connector; this one is never empty.
        let mut peer = HttpPeer::new_mtls(address, self.way.name.clone(), self.client_cert_key.clone());
        peer.options.ca = Some(self.authority.clone());
        peer.options.connection_timeout = Some(self.way.limits.connect_timeout);
        peer.options.total_connection_timeout = Some(self.way.limits.connect_timeout);
        peer.options.idle_timeout = Some(IDLE_TIMEOUT);
        peer.options.tcp_keepalive = Some(TcpKeepalive {
            idle: PROBE_AFTER,
            interval: PROBE_AGAIN_AFTER,
            count: PROBES_MAX,
            user_timeout: UNACKNOWLEDGED_MAX,
        });
        Ok(Box::new(peer))
    }
}

/// Fills read from an owner: pages of an instance.
impl Source for Peer {
    fn origin(&self) -> &str {
        self.region.as_str()
    }

    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        let of = Of::Instance(origin::instance::Instance::from_bytes(instance.0));
        Box::pin(async move {
            match self.ask(of, pages, purpose).await? {
                Answer::Pages(_, pages) => Ok(pages),
                Answer::Nothing => Err(SourceError::broken("the owner sends no pages of an instance")),
            }
        })
    }
}
