//! One region's node: where settings meet concrete types, and the order in which a node starts and stops.
//!
//! A node is [opened](Node::open) (its store, its cache, its users) and then [serves](Node::serve); so whatever must be
//! there before the first request, such as the first user, can be made in between. It [stops](stop) in the opposite
//! order: no new clients, transfers finish, then the peers' requests, then metrics and files.

mod lineage;
mod start_error;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache::Cache;
use futures::FutureExt;
use futures::future::{Shared, join_all};
use origin::Directory;
use origin::regional::{LeaseClass, RegionalStore, Seams};
use pingora::listeners::tls::Acceptor;
use prometheus::Registry;
use rustls::crypto::ring;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

pub use start_error::StartError;

use crate::accelerated::{self, Accelerated, HeadStarts, Owner, ToPurge, ToWarm, Warmed, WasPurged};
use crate::admin::{Admin, Readiness, UsersApi};
use crate::client_setup::ClientEndpoint;
use crate::cluster::{ClusterDir, make_private_directory};
use crate::coherence::{Follower, FollowerParts, OnHomeLoss, Own, Room, Sessions};
use crate::identity::{Accounts, AccountsFromHome, AtHome, FromHome, Identities, Users};
use crate::listen::{Bound, Front, OtherProtocol, Transport, Windows};
use crate::metrics::{self, CertificateFor, DropReason, Metrics};
use crate::operator::{Cached, OperatorSocket};
use crate::peer::{self, Credentials, Peers};
use crate::proxy::{self, Role};
use crate::quota::Gate;
use crate::settings::{Listen, Settings};
use crate::status::Standing;
use crate::store_service::{BesideStore, StoreService};
use crate::target::{EndpointKind, Listener};
use crate::tls::Certificate;
use crate::topology::{Region, RegionName, Topology};
use crate::user_admin::{Buckets, UserAdmin};
use crate::{clock, listen};

/// What one node is made from.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// The settings, the same on every node.
    pub settings: &'a Settings,
    /// The regions with the addresses that are in use.
    pub topology: &'a Arc<Topology>,
    /// The node's region.
    pub region: &'a RegionName,
    /// Where everything on disk is, under `cluster/` and `<region>/`.
    pub data: &'a Path,
    /// Where systemd has put credentials, if it runs the node.
    pub credentials: Option<&'a Path>,
    /// Where clients reach each region, as far as it is known.
    pub endpoints: &'a [ClientEndpoint],
}

impl Plan<'_> {
    /// The directory of what is this region's alone.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.data.join(self.region.as_str())
    }

    fn is_home(&self) -> bool {
        self.topology.home().name() == self.region
    }
}

/// Most bytes of users that a node keeps: some thousands of them.
pub(crate) const USERS_BYTES_MAX: usize = 2 << 20;

/// Connections of other nodes: what they have at one time is bounded by their own places, a few dozen each.
pub(crate) const PEER_CONNECTIONS_MAX: usize = 512;

/// Connections to the metrics and the users' interface.
pub(crate) const ADMIN_CONNECTIONS_MAX: usize = 64;

/// How long whoever asked there may take nothing of the answer: who reads neither may not keep `/readyz` from others.
const ADMIN_STALLED_WRITE: Duration = Duration::from_secs(10);

/// A node gives a session back that nobody has asked anything under for this long.
const SESSION_IDLE_AFTER: Duration = Duration::from_secs(60);

/// How long a node that stops waits for others to give their sessions up: a round trip, for those that are there.
const LAST_SESSIONS_PATIENCE: Duration = Duration::from_secs(1);

/// The operators' socket of a node, in its directory.
const OPERATOR_SOCKET: &str = "admin.sock";

/// The operators' sockets of all nodes with their data in `data`, running or not, by region; none where `data` is not there.
///
/// # Errors
/// When `data` cannot be listed.
pub fn operator_sockets(data: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?.collect::<Result<Vec<_>, _>>()?,
    };
    let mut sockets: Vec<_> = entries.iter().map(|entry| entry.path().join(OPERATOR_SOCKET)).collect();
    sockets.retain(|socket| socket.exists());
    sockets.sort();
    Ok(sockets)
}

#[async_trait]
impl Cached for proxy::Node {
    async fn warm(&self, wanted: ToWarm) -> Result<Warmed, String> {
        self.accelerated.warm(wanted).await
    }

    async fn purge(&self, wanted: ToPurge) -> Result<WasPurged, String> {
        self.accelerated.purge(wanted).await
    }
}

/// A node's addresses, bound before anything is opened: a busy port must not leave anything behind.
pub struct Sockets {
    standard: Bound,
    accelerated: Bound,
    admin: Bound,
    peer: Bound,
}

impl Sockets {
    /// Binds all of `listen`.
    ///
    /// # Errors
    /// When one of them is taken.
    pub fn bind(listen: &Listen) -> Result<Self, StartError> {
        Ok(Self {
            standard: Bound::bind(listen.standard)?,
            accelerated: Bound::bind(listen.accelerated)?,
            admin: Bound::bind(listen.admin)?,
            peer: Bound::bind(listen.peer)?,
        })
    }

    fn addresses(&self) -> Listen {
        let Self { standard, accelerated, admin, peer } = self;
        Listen {
            standard: standard.address(),
            accelerated: accelerated.address(),
            admin: admin.address(),
            peer: peer.address(),
        }
    }
}

/// A node that is open and does not listen yet.
pub struct Node {
    region: RegionName,
    directory: PathBuf,
    store: RegionalStore,
    cache: Cache,
    identities: Arc<dyn Identities>,
    users: Option<Arc<UserAdmin>>,
    registry: Registry,
    readiness: Arc<Readiness>,
    topology: Arc<Topology>,
    shared: Arc<proxy::Node>,
    connection: listen::Limits,
    windows: Windows,
    peer_transport: Transport,
    sessions: Arc<Sessions>,
    followers: Followers,
}

impl Node {
    /// Opens the node of `plan`: takes its data directory, recovers its store and its cache.
    ///
    /// # Errors
    /// [`StartError`], one line that says what is in the way; nothing is damaged then.
    pub async fn open(plan: Plan<'_>) -> Result<Self, StartError> {
        let directory = plan.directory();
        let cluster = ClusterDir::under(plan.data);
        cluster.look_for_node(plan.region, plan.credentials)?;
        make_private_directory(&directory)
            .map_err(|cause| StartError::Directory { path: directory.clone(), cause })?;
        clock::check(clock::now_seconds(), &directory)?;
        let keys = Arc::new(cluster.read_cluster_keys(plan.credentials)?);
        cluster.examine_node(plan.region, plan.topology, clock::now_seconds())?;
        let credentials = Credentials::load(cluster.path(), plan.region)?;

        let registry = metrics::registry(plan.region);
        let metrics = Metrics::new(&registry);
        metrics.begin(plan.topology);
        if let Some(last_second) = credentials.last_second() {
            metrics.certificate_expiry(CertificateFor::Nodes).set(last_second);
        }
        let peers = Peers::new(plan.topology, &credentials, peer::Limits::default(), &metrics)?;
        let peers = Arc::new(peers);
        let heads = Room::new(usize::try_from(plan.settings.heads_bytes_max).unwrap_or(usize::MAX));
        let followers = Followers::new(&plan, &peers, &heads, &metrics);
        let accounts = Arc::new(Accounts::default());
        let directory_of_accounts: Arc<dyn Directory> = match &followers.users {
            None => accounts.clone(),
            Some(home) => Arc::new(AccountsFromHome::new(home.clone())),
        };
        let coherence = &plan.settings.coherence;
        let own = Own::new(&heads);
        let sessions = Sessions::new(coherence.clone(), plan.topology.clone(), metrics.clone(), own.clone());
        let seams = Seams {
            directory: directory_of_accounts,
            announcer: sessions.clone(),
            sealing: Some(keys.clone()),
            ..Seams::default()
        };
        let store = open_store(&plan, &directory, seams, &registry).await?;
        lineage::settle(&directory, &store, coherence).await.map_err(StartError::Leases)?;
        let accounts_at_home = plan.is_home().then(|| accounts.clone());
        sessions.begin(&store, accounts_at_home).await.map_err(StartError::Leases)?;
        let cache = open_cache(&plan, &directory, &registry).await?;

        let known = Arc::new(BesideStore::new(store.clone(), own.clone()));
        let owners = owners(&plan, &store, &own, &peers, &followers, cache.has_blocks(), &metrics);
        let (identities, users, readiness): (Arc<dyn Identities>, _, _) = match &followers.users {
            None => {
                let users = Users::open(store.clone(), keys.clone(), accounts).await?;
                let buckets = Buckets::new(owners.clone());
                let admin = UserAdmin::new(users, buckets, plan.region.clone(), plan.endpoints.to_vec())
                    .reaching(sessions.clone());
                (Arc::new(AtHome::new(store.clone(), own, keys)), Some(Arc::new(admin)), Readiness::default())
            }
            Some(home) => {
                let on_loss = coherence.on_home_loss;
                let identities = FromHome::new(home.clone(), keys, on_loss, metrics.clone());
                (Arc::new(identities), None, Readiness::away_from(home.clone(), on_loss))
            }
        };
        let readiness = readiness.of_owner(sessions.clone());
        let limits = &plan.settings.limits;
        let per_key = Arc::new(Gate::new(
            limits.per_key,
            DropReason::KeyRate,
            DropReason::KeyInFlight,
            metrics.clone(),
        ));
        let accelerated = Accelerated::new(accelerated::Parts {
            region: plan.region.clone(),
            owners,
            cache: cache.clone(),
            grace: plan.settings.store.grace,
            identities: identities.clone(),
            per_key: per_key.clone(),
            limits: limits.transfer.response.clone(),
            lifecycle_day: plan.settings.store.lifecycle_day,
            metrics: metrics.clone(),
        });
        let pages = peer::Server::new(store.clone());
        let peer_transport = mutual_tls(&credentials, plan.topology, [sessions.clone(), Arc::new(pages)])?;
        let places = Arc::new(Semaphore::new(limits.requests_in_flight_max));
        let windows = Windows::new(limits.http2_windows_bytes, places.clone());
        let shared = proxy::Node {
            topology: plan.topology.clone(),
            region: plan.region.clone(),
            accelerated,
            store: StoreService::new(
                store.clone(),
                known,
                identities.clone(),
                plan.topology.clone(),
                per_key,
            ),
            peers,
            trusted_proxies: plan.settings.front.trusted_proxies.clone(),
            limits: limits.transfer.clone(),
            silent_owner: limits.silent_owner,
            places,
            places_count: limits.requests_in_flight_max,
            forward_places: Semaphore::new(limits.forwards_in_flight_max).into(),
            forward_places_count: limits.forwards_in_flight_max,
            forward_strangers: Semaphore::new(proxy::FORWARD_STRANGERS_MAX).into(),
            upload_places: Semaphore::new(limits.uploads_in_flight_max).into(),
            per_address: Gate::new(
                limits.per_address,
                DropReason::AddressRate,
                DropReason::AddressInFlight,
                metrics.clone(),
            ),
            allow_unsigned_payload_over_http: plan.settings.front.allow_unsigned_payload_over_http,
            allow_form_signature_v2: plan.settings.front.allow_form_signature_v2,
            metrics,
        };
        Ok(Self {
            region: plan.region.clone(),
            directory,
            store,
            cache,
            identities,
            users,
            registry,
            readiness: Arc::new(readiness),
            topology: plan.topology.clone(),
            shared: Arc::new(shared),
            connection: limits.connection.clone(),
            windows,
            peer_transport,
            sessions,
            followers,
        })
    }

    /// The table of users, where this region is home.
    #[must_use]
    pub fn users(&self) -> Option<&Users> {
        self.users.as_deref().map(UserAdmin::users)
    }

    /// How this node finds users.
    #[must_use]
    pub fn identities(&self) -> &dyn Identities {
        &*self.identities
    }

    /// Starts to answer on `sockets`, over TLS with `certificate` where there is one.
    ///
    /// # Errors
    /// When the operators' socket cannot be made.
    pub fn serve(
        self,
        sockets: Sockets,
        certificate: Option<&Arc<Certificate>>,
    ) -> Result<Running, StartError> {
        let users = self.users.ok_or_else(|| self.topology.home().name().clone());
        let users_api = UsersApi::new(users.clone(), self.identities.clone(), self.topology.clone());
        let standing = Standing::new(self.region.clone(), self.sessions.clone(), self.followers.all.clone())
            .with_cache(self.cache.clone());
        let operators = self.directory.join(OPERATOR_SOCKET);
        let operators =
            OperatorSocket::open(&operators, users, standing, self.shared.clone(), self.store.clone())?;
        let metrics = self.shared.metrics.clone();
        let of = |connections_max, stalled_write| {
            let all = self.connection.clone();
            let connections_max = all.connections_max.min(connections_max);
            Front::new(self.region.as_str(), listen::Limits { connections_max, stalled_write, ..all })
        };
        let clients = Front::new(self.region.as_str(), self.connection.clone());
        let peers = of(PEER_CONNECTIONS_MAX, self.connection.stalled_write);
        let admin = of(ADMIN_CONNECTIONS_MAX, ADMIN_STALLED_WRITE);
        let listen = sockets.addresses();
        let public = match certificate {
            Some(certificate) => {
                certificate.show_expiry(metrics.certificate_expiry(CertificateFor::Clients));
                Transport::tls(certificate.server_config(), self.windows)
            }
            None => Transport::Plain,
        };
        for (bound, endpoint) in
            [(sockets.standard, EndpointKind::Standard), (sockets.accelerated, EndpointKind::Accelerated)]
        {
            let listener = Listener { region: self.region.clone(), endpoint };
            let application = proxy::application(self.shared.clone(), Role::Public(listener));
            clients.serve(bound, public.clone(), metrics.clone(), application);
        }
        let application = proxy::application(self.shared, Role::Peer);
        peers.serve(sockets.peer, self.peer_transport, metrics.clone(), application);
        let application = Admin::new(self.registry, self.readiness.clone(), self.topology, users_api);
        admin.serve(sockets.admin, Transport::Plain, metrics, Arc::new(application));
        info!(
            region = %self.region,
            standard = %listen.standard,
            accelerated = %listen.accelerated,
            admin = %listen.admin,
            peer = %listen.peer,
            "node serves"
        );
        let files = Files {
            note_taking: tokio::spawn(note_the_time(self.directory.clone())),
            region: self.region,
            directory: self.directory,
            store: self.store,
            cache: self.cache,
            operators,
        };
        let (sessions, followers) = (self.sessions, self.followers);
        Ok(Running { readiness: self.readiness, clients, peers, admin, files, sessions, followers })
    }

    /// Closes a node that never served.
    pub async fn close(self) {
        self.followers.close();
        self.cache.close().await;
        self.store.close().await;
    }
}

/// A node that answers.
pub struct Running {
    readiness: Arc<Readiness>,
    clients: Front,
    peers: Front,
    admin: Front,
    files: Files,
    sessions: Arc<Sessions>,
    followers: Followers,
}

/// This node's sessions with other regions' owners.
struct Followers {
    /// About objects, by region.
    objects: HashMap<RegionName, Arc<Follower>>,
    /// About users, with home; `None` where this region is home.
    users: Option<Arc<Follower>>,
    all: Vec<Arc<Follower>>,
}

impl Followers {
    fn new(plan: &Plan<'_>, peers: &Peers, heads: &Arc<Room>, metrics: &Metrics) -> Self {
        let others: Vec<_> =
            plan.topology.regions().iter().map(Region::name).filter(|name| *name != plan.region).collect();
        let on_home_loss = plan.settings.coherence.on_home_loss;
        let follower = |region: &RegionName, class: LeaseClass| {
            Follower::new(FollowerParts {
                peer: peers.peer(region.as_str()).expect("every region has an owner").clone(),
                class,
                here: plan.region.clone(),
                room: match class {
                    LeaseClass::Objects => heads.clone(),
                    LeaseClass::Users => Room::new(USERS_BYTES_MAX),
                },
                idle_after: match (class, on_home_loss) {
                    // Who would go on without home has to know its users when that happens.
                    (LeaseClass::Users, OnHomeLoss::ServeKnown(_)) => None,
                    (LeaseClass::Users | LeaseClass::Objects, _) => Some(SESSION_IDLE_AFTER),
                },
                metrics: metrics.clone(),
            })
        };
        let objects: HashMap<_, _> =
            others.iter().map(|region| ((*region).clone(), follower(region, LeaseClass::Objects))).collect();
        let home = plan.topology.home().name();
        let users = (!plan.is_home()).then(|| follower(home, LeaseClass::Users));
        let all = objects.values().chain(&users).cloned().collect();
        Self { objects, users, all }
    }

    fn drain(&self) {
        self.all.iter().for_each(|follower| follower.drain());
    }

    fn close(&self) {
        self.all.iter().for_each(|follower| follower.close());
    }
}

/// What a node holds on disk, closed last.
struct Files {
    region: RegionName,
    directory: PathBuf,
    store: RegionalStore,
    cache: Cache,
    note_taking: JoinHandle<()>,
    operators: OperatorSocket,
}

impl Files {
    async fn close(self) {
        drop(self.operators);
        self.note_taking.abort();
        note(&self.directory);
        self.cache.close().await;
        self.store.close().await;
        info!(region = %self.region, "node closed");
    }
}

/// Stops `nodes`. Transfers may go on for `patience` altogether, or until `hurry`; then they are cut. Clients go first: those of
/// one node may need the peer listener of another one in this process. Everything is on disk when this returns.
pub async fn stop(nodes: Vec<Running>, patience: Duration, hurry: impl Future<Output = ()>) {
    info!("draining");
    let patience = sleep(patience);
    let enough = async {
        tokio::select! { () = patience => {}, () = hurry => {} }
    }
    .shared();
    let (mut clients, mut peers, mut admin, mut files) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut sessions, mut followers) = (Vec::new(), Vec::new());
    for node in nodes {
        node.readiness.begin_draining();
        // First of all: from here on no change anywhere waits for this node.
        node.followers.drain();
        clients.push(node.clients);
        peers.push(node.peers);
        admin.push(node.admin);
        files.push(node.files);
        sessions.push(node.sessions);
        followers.push(node.followers);
    }
    drain(clients, "clients", &enough).await;
    join_all(sessions.iter().map(|sessions| sessions.close(LAST_SESSIONS_PATIENCE))).await;
    drain(peers, "peers", &enough).await;
    drain(admin, "operators", &enough).await;
    followers.iter().for_each(Followers::close);
    join_all(files.into_iter().map(Files::close)).await;
}

async fn drain(fronts: Vec<Front>, of: &str, enough: &Shared<impl Future<Output = ()>>) {
    let draining = fronts.into_iter().map(|front| front.drain(enough.clone()));
    let cut: usize = join_all(draining).await.into_iter().sum();
    if cut > 0 {
        warn!(connections = cut, of, "connections cut: they did not end within the drain limit");
    }
}

async fn open_store(
    plan: &Plan<'_>,
    directory: &Path,
    seams: Seams,
    registry: &Registry,
) -> Result<RegionalStore, StartError> {
    let chosen = &plan.settings.store;
    let mut settings = origin::regional::Settings::new(directory.join("store"), plan.region.as_str());
    settings.grace = chosen.grace;
    settings.inline_bytes_max = chosen.inline_bytes_max;
    settings.metadata_cache_bytes = chosen.metadata_cache_bytes;
    settings.lifecycle_day = chosen.lifecycle_day;
    settings.account_quota_bytes = Some(chosen.account_quota_bytes).filter(|bytes| *bytes > 0);
    settings.account_buckets_max = Some(chosen.account_buckets_max).filter(|buckets| *buckets > 0);
    settings.reserved_names = chosen.reserved_names.clone();
    settings.is_location_required = chosen.require_location;
    Ok(RegionalStore::open(settings, seams, registry).await?)
}

async fn open_cache(plan: &Plan<'_>, directory: &Path, registry: &Registry) -> Result<Cache, StartError> {
    let mut settings = plan.settings.cache.clone();
    if let Some(nvme) = &mut settings.nvme {
        nvme.node = plan.region.to_string();
        nvme.pins = Some(directory.join("cache.pins"));
        for device in &mut nvme.devices {
            let unnamed = device.path.as_os_str().is_empty();
            // One that is not absolute lies in the node's own folder.
            device.path = directory.join(if unnamed { Path::new("cache.slab") } else { &device.path });
        }
    }
    Ok(Cache::open(settings, registry).await?)
}

/// The owner of each region: this process's own store, and the other regions' over the peer channel.
fn owners(
    plan: &Plan<'_>,
    store: &RegionalStore,
    own: &Arc<Own>,
    peers: &Peers,
    followers: &Followers,
    has_blocks: bool,
    metrics: &Metrics,
) -> HashMap<RegionName, Arc<Owner>> {
    let owner = |region: &RegionName| match region == plan.region {
        true => Owner::Own {
            region: region.clone(),
            store: store.clone(),
            kept: own.clone(),
            metrics: metrics.clone(),
        },
        false => Owner::Peer {
            peer: peers.peer(region.as_str()).expect("every region has an owner").clone(),
            objects: followers.objects.get(region).expect("every other region is followed").clone(),
            head_starts: HeadStarts::new(has_blocks, metrics.head_starts(region)),
        },
    };
    let regions = plan.topology.regions().iter().map(Region::name);
    regions.map(|region| (region.clone(), Arc::new(owner(region)))).collect()
}

/// TLS of the peer listener: nobody connects without the certificate of a node of the cluster.
fn mutual_tls(
    credentials: &Credentials,
    topology: &Topology,
    beside: [Arc<dyn OtherProtocol>; 2],
) -> Result<Transport, StartError> {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_client_cert_verifier(credentials.client_verifier(topology)?)
        .with_cert_resolver(credentials.server_certificate()?);
    let names = beside.iter().map(|protocol| protocol.name().to_vec());
    config.alpn_protocols = names.chain([b"http/1.1".to_vec()]).collect();
    let acceptor = Arc::new(Acceptor::from_server_config(Arc::new(config)));
    Ok(Transport::TlsBeside(acceptor, Arc::new(beside)))
}

/// Notes the time now and then, so that a start under a clock that was set back is refused.
async fn note_the_time(directory: PathBuf) {
    let mut tick = tokio::time::interval(clock::NOTE_INTERVAL);
    loop {
        tick.tick().await;
        note(&directory);
    }
}

fn note(directory: &Path) {
    if let Err(error) = clock::note(clock::now_seconds(), directory) {
        warn!(%error, "the time could not be noted");
    }
}
