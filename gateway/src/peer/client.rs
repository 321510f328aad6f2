//! The node that asks: connections to every other region's owner, and what travels over them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache::{Instance, Page, Pages, Purpose, Source, SourceError};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use pingora::protocols::TcpKeepalive;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::CertKey;
use reqwest::StatusCode;
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ask_error::AskError;
use super::frames::Decoder;
use super::{CHANNEL_HEADER, Channel, Credentials, CredentialsError, peer_name, purpose_name};
use crate::coherence::SESSION_ALPN;
use crate::metrics::{Metrics, OriginChannel, OriginOutcome};
use crate::topology::{PeerAddress, Region, RegionName, Topology};

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
    /// Idle connections kept to one region.
    pub idle_connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            ask_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            waiting_max: 4096,
            idle_connections_max: 64,
        }
    }
}

/// Below the 60 s for which a peer listener keeps an idle connection: whoever closes first should be the client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the other machine may leave what was sent unacknowledged, or a question whether it is still there, before a
/// connection counts as broken. A region that nobody can reach any more would else be waited for as long as TCP tries. The
/// kernel counts an owner that has no room for what is sent in the same way, so this is longer than a slow disk takes.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// How long nothing is heard on a connection before that question, and between two of them.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_AGAIN_AFTER: Duration = Duration::from_secs(5);
const PROBES_MAX: usize = 3;

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
        let unusable = |e: reqwest::Error| CredentialsError::Unusable(e.to_string());
        let names: HashMap<_, _> = topology
            .regions()
            .iter()
            .map(|region| (peer_name(region.name(), topology.domain()), region.peer().clone()))
            .collect();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(credentials.client_config()?)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .tcp_keepalive(PROBE_AFTER)
            .tcp_keepalive_interval(PROBE_AGAIN_AFTER)
            .tcp_keepalive_retries(PROBES_MAX as u32)
            .connect_timeout(limits.connect_timeout)
            .read_timeout(limits.read_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits.idle_connections_max)
            .dns_resolver(PeerNames(Arc::new(names)))
            .build()
            .map_err(unusable)?;
        let (client_cert_key, authority) = credentials.upstream();
        let mut session_tls = credentials.client_config()?;
        session_tls.alpn_protocols = vec![SESSION_ALPN.to_vec()];
        let session_tls = TlsConnector::from(Arc::new(session_tls));
        let peer = |region: &Region| {
            let name = peer_name(region.name(), topology.domain());
            let line = Line {
                client: client.clone(),
                base: format!("https://{name}:{}", region.peer().port()),
                region: region.name().clone(),
                metrics: metrics.clone(),
            };
            Arc::new(Peer {
                name,
                address: region.peer().clone(),
                session_tls: session_tls.clone(),
                line,
                limits,
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
    name: String,
    address: PeerAddress,
    session_tls: TlsConnector,
    line: Line,
    limits: Limits,
    client_cert_key: Arc<CertKey>,
    authority: Arc<CaType>,
}

impl Peer {
    /// The region that it owns.
    #[must_use]
    pub fn region(&self) -> &RegionName {
        &self.line.region
    }

    /// How long to wait for it.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A connection to the owner for a session: TLS in both directions like everything on this channel.
    ///
    /// # Errors
    /// When there is none within the limit, or the owner does not speak of sessions.
    pub(crate) async fn connect_for_session(&self) -> Result<TlsStream<TcpStream>, AskError> {
        let connecting = async {
            let address = lookup(&self.address).await?.next().ok_or(io::ErrorKind::NotFound)?;
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            sockopt::set_tcp_user_timeout(&tcp, UNACKNOWLEDGED_MAX.as_millis() as u32)?;
            let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
            self.session_tls.connect(name, tcp).await
        };
        let connected = tokio::time::timeout(self.limits.connect_timeout, connecting);
        let stream = connected
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|e: io::Error| AskError::Unreachable(format!("{}: {e}", self.address)))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(SESSION_ALPN) => Ok(stream),
            _ => Err(AskError::Malformed("another protocol than that of sessions".to_owned())),
        }
    }

    /// A pingora upstream for a request to be forwarded to the owner: TLS with this node's certificate, and no
    /// certificate accepted but the region's own of the cluster's authority.
    ///
    /// # Errors
    /// When the owner's address cannot be looked up.
    pub async fn upstream(&self) -> Result<Box<HttpPeer>, AskError> {
        let address = lookup(&self.address)
            .await
            .map_err(|e| AskError::Unreachable(format!("{}: {e}", self.address)))?
            .next()
            .ok_or_else(|| AskError::Unreachable(format!("{}: no address", self.address)))?;
        // An empty name would switch verification off in pingora's connector; this one is never empty.
        let mut peer = HttpPeer::new_mtls(address, self.name.clone(), self.client_cert_key.clone());
        peer.options.ca = Some(self.authority.clone());
        peer.options.connection_timeout = Some(self.limits.connect_timeout);
        peer.options.total_connection_timeout = Some(self.limits.connect_timeout);
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

/// Fills read from an owner: pages of an instance over the `blob` channel.
impl Source for Peer {
    fn origin(&self) -> &str {
        self.line.region.as_str()
    }

    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        Box::pin(self.line.pages(instance, pages, purpose))
    }
}

/// How one owner is reached.
struct Line {
    client: reqwest::Client,
    base: String,
    region: RegionName,
    metrics: Metrics,
}

impl Line {
    async fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> Result<Pages, SourceError> {
        let sent = Instant::now();
        let answer = self.blob(instance, pages, purpose).await;
        let outcome = match &answer {
            Ok(_) => OriginOutcome::Answered,
            Err(SourceError::Gone) => OriginOutcome::Gone,
            Err(SourceError::Busy) => OriginOutcome::Busy,
            Err(SourceError::Broken(_)) => OriginOutcome::Failed,
        };
        self.metrics.origin_request(&self.region, OriginChannel::Blob, outcome, sent.elapsed());
        let (region, metrics) = (self.region.clone(), self.metrics.clone());
        let counted = move |page: &Page| {
            metrics.origin_bytes(&region, OriginChannel::Blob, page.bytes.len() as u64);
        };
        Ok(decoded(answer?).inspect_ok(counted).boxed())
    }

    async fn blob(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> Result<Pieces, SourceError> {
        let Range { start, end } = pages;
        let (count, purpose) = (end.saturating_sub(start), purpose_name(purpose));
        let request = self
            .client
            .get(format!("{}/blob/{instance}/{start}/{count}/{purpose}", self.base))
            .header(CHANNEL_HEADER, Channel::Blob.as_str());
        let response = request.send().await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => Ok(response.bytes_stream().map_err(broken).boxed()),
            StatusCode::NOT_FOUND => Err(SourceError::Gone),
            StatusCode::SERVICE_UNAVAILABLE => Err(SourceError::Busy),
            other => Err(SourceError::broken(format!("status {other}"))),
        }
    }
}

/// The body of an answer, as it arrives.
type Pieces = BoxStream<'static, Result<Bytes, SourceError>>;

/// The pages in a stream of frames; ends with an error when the stream ends inside a page.
fn decoded(pieces: Pieces) -> Pages {
    let state = (pieces, Decoder::default(), Bytes::new());
    futures::stream::try_unfold(state, |(mut pieces, mut decoder, mut piece)| async move {
        loop {
            if let Some((bytes, crc32c)) = decoder.next(&mut piece).map_err(broken)? {
                return Ok(Some((Page { bytes, crc32c }, (pieces, decoder, piece))));
            }
            match pieces.try_next().await? {
                Some(more) => piece = more,
                None => return decoder.finish().map(|()| None).map_err(broken),
            }
        }
    })
    .boxed()
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError::broken(with_causes(&error))
}

/// reqwest's own text stops at "error sending request"; the reason is further down.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Looks a peer's certificate name up as the address that the topology gives for it.
struct PeerNames(Arc<HashMap<String, PeerAddress>>);

impl reqwest::dns::Resolve for PeerNames {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let address = self.0.get(name.as_str()).cloned();
        Box::pin(async move {
            let address = address.ok_or("not the name of a peer")?;
            Ok(Box::new(lookup(&address).await?) as reqwest::dns::Addrs)
        })
    }
}

async fn lookup(address: &PeerAddress) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    if let Ok(ip) = address.host().parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, address.port())].into_iter());
    }
    let found: Vec<_> = tokio::net::lookup_host((address.host(), address.port())).await?.collect();
    Ok(found.into_iter())
}
