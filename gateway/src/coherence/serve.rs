//! The owner's end of all streams to this process's store: sockets, clocks and the store around [`Owner`].
//!
//! Each stream has a task with three parts that never wait for each other: one reads messages and hands them to the
//! machine, one reads the store for questions whose turn has come, one writes what the machine wants sent. Changes are
//! announced here ([`Announcer`]) before the store commits them; whoever waits for that is the change's own task, not
//! the store's writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};
use origin::regional::{Announced, Announcer, Change, LeaseClass, RegionalStore};
use pingora::protocols::Stream;
use rustls_pki_types::CertificateDer;
use s3s::{S3Error, S3Result, s3_error};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::sync::{Notify, OnceCell, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::clocks::boottime;
use super::kept;
use super::numbers::{ChangeNo, StreamNo};
use super::own::Own;
use super::owner::{Owner, OwnerSettings, OwnerStatus, Todo};
use super::scope::Scope;
use super::settings::{OnHomeLoss, Settings};
use super::wire::{self, Class, FromNode, FromOwner, WireError};
use crate::identity::Accounts;
use crate::listen::OtherProtocol;
use crate::metrics::{Metrics, OwnerGauges};
use crate::peer::messages::{ASKS_MAX, Answer, Ask};
use crate::peer::peer_name;
use crate::topology::{Region, RegionName, Topology};
use crate::x509::Said;

mod conversation;

use conversation::Conversation;

/// Sessions of one class: a cluster has fewer nodes than this.
const SESSIONS_MAX: usize = 4096;

/// Buckets that one session may be interested in. Past them it asks each time: a caller that probes names of buckets
/// takes no more than this.
const AREAS_MAX: usize = 10_000;

/// Resolves that a stream may have unanswered.
const RESOLVES_MAX: usize = 16;

/// Bytes of answers that wait for one stream before no further question of it is read.
const UNSENT_BYTES_MAX: usize = 8 << 20;

/// How long at most a node that kept changes waiting again and again goes without a session, in times of what one wait
/// takes; the first time it is one.
const VALIDATE_LONGEST: u32 = 64;

/// For the first message of a stream.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// How often the metrics of an owner are brought up to date while it has sessions.
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// The owner's end of every session with this process's store.
pub struct Sessions {
    settings: Settings,
    topology: Arc<Topology>,
    metrics: Metrics,
    /// What this process itself keeps of the store.
    own: Arc<Own>,
    opened: OnceLock<Opened>,
}

/// What there is once the store is open.
struct Opened {
    objects: Arc<End>,
    /// Where the region is home.
    users: Option<Arc<End>>,
    accounts: Option<Arc<Accounts>>,
    store: RegionalStore,
    _ticking: Vec<AbortOnDropHandle<()>>,
}

/// The sessions of one class.
struct End {
    class: LeaseClass,
    lease: Duration,
    /// Done once the store has noted that leases are granted: nothing is granted before.
    noted: OnceCell<()>,
    state: Mutex<State>,
    /// The machine's deadline has come nearer, or is to be looked at.
    due: Notify,
    metrics: Metrics,
}

struct State {
    owner: Owner<Ask, Answer>,
    streams: HashMap<StreamNo, Arc<Stir>>,
    /// Changes that wait for other nodes.
    waiting: HashMap<ChangeNo, oneshot::Sender<()>>,
    last_stream: u64,
    /// When the ticking task will look by itself.
    armed: Option<Duration>,
}

/// Wakes the parts of a stream's task.
#[derive(Default)]
struct Stir {
    writing: Notify,
    reading_store: Notify,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the node took nothing for too long")]
    Stalled,
    #[error("the node broke the protocol: {0}")]
    Violation(String),
    #[error("the node closed it")]
    Closed,
    #[error("the store cannot be read: {0}")]
    Store(String),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Wire(error.into())
    }
}

impl Sessions {
    /// Of a store that is not open yet, and announces its changes here; `own` is told first of all.
    #[must_use]
    pub fn new(settings: Settings, topology: Arc<Topology>, metrics: Metrics, own: Arc<Own>) -> Arc<Self> {
        Arc::new(Self { settings, topology, metrics, own, opened: OnceLock::new() })
    }

    /// The store is open: from here on sessions are granted, and changes announced. `accounts` are there where the region
    /// is home.
    ///
    /// # Errors
    /// `InternalError` when the store does not say what was granted on it before.
    pub async fn begin(&self, store: &RegionalStore, accounts: Option<Arc<Accounts>>) -> S3Result<()> {
        let objects = self.end(store, LeaseClass::Objects).await?;
        let users = match &accounts {
            Some(_) => Some(self.end(store, LeaseClass::Users).await?),
            None => None,
        };
        let ticking = [Some(&objects), users.as_ref()].into_iter().flatten();
        let ticking = ticking.map(|end| AbortOnDropHandle::new(tokio::spawn(end.clone().tick()))).collect();
        let opened = Opened { objects, users, accounts, store: store.clone(), _ticking: ticking };
        // Called once; a second call would find everything as it is.
        let _ = self.opened.set(opened);
        Ok(())
    }

    async fn end(&self, store: &RegionalStore, class: LeaseClass) -> S3Result<Arc<End>> {
        let granted_before = store.longest_lease(class).await?;
        let lease = self.settings.lease_of(class);
        let waited_out = lease + self.settings.margin;
        let settings = OwnerSettings {
            lease,
            margin: self.settings.margin,
            max_ack_wait: self.settings.max_ack_wait,
            sessions_max: SESSIONS_MAX,
            areas_max: AREAS_MAX,
            resolves_max: RESOLVES_MAX,
            asks_max: ASKS_MAX,
            unsent_bytes_max: UNSENT_BYTES_MAX,
            validate_first: waited_out,
            validate_longest: waited_out * VALIDATE_LONGEST,
        };
        if !granted_before.is_zero() {
            info!(class = class.as_str(), longest = ?granted_before, "changes wait for the leases of the process before");
        }
        Ok(Arc::new(End {
            class,
            lease,
            noted: OnceCell::new(),
            state: Mutex::new(State {
                owner: Owner::new(settings, granted_before, boottime()),
                streams: HashMap::new(),
                waiting: HashMap::new(),
                last_stream: 0,
                armed: None,
            }),
            due: Notify::new(),
            metrics: self.metrics.clone(),
        }))
    }

    fn ends(&self) -> impl Iterator<Item = &Arc<End>> {
        self.opened
            .get()
            .into_iter()
            .flat_map(|opened| [Some(&opened.objects), opened.users.as_ref()])
            .flatten()
    }

    /// How the sessions of each class stand.
    #[must_use]
    pub fn status(&self) -> Vec<(LeaseClass, OwnerStatus)> {
        self.ends().map(|end| (end.class, end.lock().owner.status(boottime()))).collect()
    }

    /// Regions whose node may go on for a while with users as they were before a change that was just made: where it is to
    /// serve those it knew, and has no session under which it has heard of every change. One that was granted and that the
    /// node has not taken up counts for nothing: its welcome may be lost on the way.
    #[must_use]
    pub fn users_unreached(&self) -> Vec<String> {
        let (OnHomeLoss::ServeKnown(_), Some(end)) =
            (self.settings.on_home_loss, self.ends().find(|end| end.class == LeaseClass::Users))
        else {
            return Vec::new();
        };
        let status = end.lock().owner.status(boottime());
        let heard = |name: &str| {
            let mut sessions = status.sessions.iter();
            sessions.any(|session| {
                &*session.node == name
                    && session.is_connected
                    && session.is_taken_up
                    && session.unacknowledged_count == 0
            })
        };
        let others = self
            .topology
            .regions()
            .iter()
            .map(Region::name)
            .filter(|name| *name != self.topology.home().name());
        others.map(RegionName::as_str).filter(|name| !heard(name)).map(str::to_owned).collect()
    }

    /// Until changes of `class` may be committed, after a start; `None` when they may.
    #[must_use]
    pub fn withheld(&self, class: LeaseClass) -> Option<Duration> {
        let end = self.ends().find(|end| end.class == class)?;
        end.withheld()
    }

    /// Ends all sessions, waits at most `patience` until no node answers alone any more, and if so has the store note it:
    /// who starts on it next has nothing to wait for.
    pub async fn close(&self, patience: Duration) {
        let Some(opened) = self.opened.get() else { return };
        for end in self.ends() {
            end.act(|owner, now| owner.close(now));
        }
        let deadline = Instant::now() + patience;
        for end in self.ends() {
            while !end.lock().owner.is_idle(boottime()) && Instant::now() < deadline {
                sleep(Duration::from_millis(5)).await;
                end.act(|owner, now| owner.tick(now));
            }
            let is_idle = end.lock().owner.is_idle(boottime());
            if !is_idle {
                continue;
            }
            if let Err(error) = opened.store.note_longest_lease(end.class, Duration::ZERO).await {
                warn!(%error, class = end.class.as_str(), "the end of all leases was not noted");
            }
        }
    }

    async fn converse_until_stopped(&self, stream: Stream, mut stop: watch::Receiver<bool>) {
        let certificate = stream.get_ssl().and_then(|tls| tls.peer_certificate_der());
        let certificate = certificate.and_then(|certificate| Said::by(&CertificateDer::from(certificate)));
        let (reader, writer) = tokio::io::split(stream);
        let conversing = self.open(certificate, BufReader::new(reader), BufWriter::new(writer));
        tokio::select! {
            ended = conversing => match ended {
                Ok(()) | Err(Ended::Closed) => {}
                Err(error @ Ended::Violation(_)) => warn!(%error, "session's stream dropped"),
                Err(error) => debug!(%error, "session's stream ended"),
            },
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// `certificate` is what the node has shown: it opens its own region's sessions and nobody else's, whose node would be
    /// taken to have heard what it was told.
    async fn open(
        &self,
        certificate: Option<Said>,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<(), Ended> {
        let opening = timeout(OPEN_PATIENCE, wire::read::<FromNode>(&mut reader));
        let Some(message) = opening.await.map_err(|_| Ended::Stalled)?? else { return Ok(()) };
        let FromNode::Open { newest, oldest, class, node } = message else {
            return Err(Ended::Violation("it did not open the stream".to_owned()));
        };
        let protocol = wire::common_protocol(newest, oldest)
            .ok_or_else(|| Ended::Violation(format!("it speaks versions {oldest} to {newest}")))?;
        let region = self.topology.region(&node);
        let unknown = || Ended::Violation(format!("its region {node:?} is not in this node's regions.toml"));
        let region = region.ok_or_else(unknown)?.name();
        let name = peer_name(region, self.topology.domain());
        if !certificate.is_some_and(|certificate| certificate.is_for(&name)) {
            return Err(Ended::Violation(format!("its certificate is not that of {region}'s node")));
        }
        let opened = self.opened.get().ok_or(Ended::Closed)?;
        let end = match class {
            Class::Objects => &opened.objects,
            Class::Users => opened
                .users
                .as_ref()
                .ok_or_else(|| Ended::Violation("it asks for users, and this is not home".to_owned()))?,
        };
        writer.write_all(&wire::encode(&FromOwner::Opened { protocol })).await?;
        let conversation = end.connect(region, protocol);
        tokio::select! {
            ended = conversation.hear(&opened.store, reader) => ended,
            ended = conversation.read_store(opened) => ended,
            ended = conversation.write(writer) => ended,
        }
    }
}

impl OtherProtocol for Sessions {
    fn name(&self) -> &'static [u8] {
        wire::ALPN
    }

    fn converse(&self, stream: Stream, stop: watch::Receiver<bool>) -> BoxFuture<'_, ()> {
        self.converse_until_stopped(stream, stop).boxed()
    }
}

impl Announcer for Sessions {
    fn announce(&self, change: &Change) -> BoxFuture<'_, S3Result<Announced>> {
        let Some((class, scope)) = kept::scope(change) else {
            return std::future::ready(Ok(Announced::NOBODY)).boxed();
        };
        async move {
            // Between the store's opening and this only the store itself asks, for what has expired; it tries again.
            self.opened.get().ok_or_else(|| held_back(Duration::from_secs(1)))?;
            let changing = self.own.announced(&scope);
            let announced = match self.ends().find(|end| end.class == class) {
                Some(end) => Some(end.announce(scope, self.settings.hold_wait).await?),
                // Users are written at home alone, and this is not home.
                None => None,
            };
            Ok(Announced::during((announced, changing)))
        }
        .boxed()
    }
}

/// A change that comes too early after a start.
fn held_back(left: Duration) -> S3Error {
    let message = "The region has just started and takes changes in a moment. Please try again.";
    let mut refused = S3Error::with_message(s3s::S3ErrorCode::ServiceUnavailable, message);
    let seconds = left.as_millis().div_ceil(1000).max(1) as u64;
    refused.set_headers(HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(seconds))]));
    refused
}

/// A change that was announced and is not over.
struct Interval {
    end: Arc<End>,
    change: ChangeNo,
}

impl Drop for Interval {
    fn drop(&mut self) {
        let mut state = self.end.lock();
        state.waiting.remove(&self.change);
        state.owner.finish(self.change);
    }
}

impl End {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the machine do something, and does what it then wants done.
    fn act(&self, action: impl FnOnce(&mut Owner<Ask, Answer>, Duration) -> Todo) {
        let mut state = self.lock();
        let todo = action(&mut state.owner, boottime());
        self.obey(&mut state, todo);
    }

    fn obey(&self, state: &mut State, todo: Todo) {
        for change in todo.settled {
            if let Some(waiting) = state.waiting.remove(&change) {
                // Whoever waited may have been given up.
                let _ = waiting.send(());
            }
        }
        for stream in todo.stir {
            if let Some(stir) = state.streams.get(&stream) {
                stir.writing.notify_one();
            }
        }
        let deadline = state.owner.deadline();
        if deadline.is_some_and(|deadline| state.armed.is_none_or(|armed| deadline < armed)) {
            self.due.notify_one();
        }
    }

    /// Lets the machine's deadlines pass when they come.
    async fn tick(self: Arc<Self>) {
        loop {
            let wait = {
                let mut state = self.lock();
                let now = boottime();
                let todo = state.owner.tick(now);
                state.armed = state.owner.deadline();
                self.obey(&mut state, todo);
                self.show(now, &state);
                let is_quiet = state.streams.is_empty() && state.owner.withheld_until(now).is_none();
                let show = (!is_quiet).then_some(SHOW_INTERVAL);
                state.armed.map(|at| at.saturating_sub(now)).into_iter().chain(show).min()
            };
            let sleeping = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleeping => {}
                () = self.due.notified() => {}
            }
        }
    }

    fn show(&self, now: Duration, state: &State) {
        let status = state.owner.status(now);
        let gauges = OwnerGauges {
            sessions: status.sessions.len(),
            interest: status.sessions.iter().map(|session| session.areas_count).sum(),
            quarantined: status.validating.len(),
            waited_out: status.waited_out_count,
            unapplied: status.sessions.iter().map(|session| session.unacknowledged_count).sum(),
            hold: status.withheld_until.map_or(Duration::ZERO, |until| until.saturating_sub(now)),
        };
        self.metrics.sessions().owner(self.class, gauges);
    }

    fn withheld(&self) -> Option<Duration> {
        let now = boottime();
        self.lock().owner.withheld_until(now).map(|until| until.saturating_sub(now))
    }

    /// Returns once no node answers from what a change of `scope` makes old.
    async fn announce(self: &Arc<Self>, scope: Scope, hold_wait: Duration) -> S3Result<Interval> {
        while let Some(left) = self.withheld() {
            if left > hold_wait {
                self.metrics.sessions().held_back(self.class);
                return Err(held_back(left));
            }
            sleep(left).await;
        }
        let began = boottime();
        let (interval, settled) = {
            let mut state = self.lock();
            let (change, todo) = state.owner.announce(boottime(), scope);
            let settled = (!todo.settled.contains(&change)).then(|| {
                let (wake, settled) = oneshot::channel();
                state.waiting.insert(change, wake);
                settled
            });
            self.obey(&mut state, todo);
            (Interval { end: self.clone(), change }, settled)
        };
        if let Some(settled) = settled {
            settled.await.map_err(|_| s3_error!(InternalError, "an announced change was forgotten"))?;
            self.show(boottime(), &self.lock());
        }
        self.metrics.sessions().change_waited(self.class, boottime().saturating_sub(began));
        Ok(interval)
    }

    /// A stream of a node of `region` begins, which speaks version `protocol`.
    fn connect(self: &Arc<Self>, region: &RegionName, protocol: u16) -> Conversation {
        let mut state = self.lock();
        state.last_stream += 1;
        let (no, stir) = (StreamNo(state.last_stream), Arc::<Stir>::default());
        state.streams.insert(no, stir.clone());
        state.owner.connected(no, region.as_str().into());
        drop(state);
        self.due.notify_one();
        Conversation { end: self.clone(), no, stir, region: region.clone(), protocol }
    }

    /// Has the store note that leases as long as these are granted from now on.
    async fn note(&self, store: &RegionalStore) -> Result<(), Ended> {
        let noting = async || {
            let longest = store.longest_lease(self.class).await?.max(self.lease);
            store.note_longest_lease(self.class, longest).await
        };
        self.noted.get_or_try_init(noting).await.map(drop).map_err(|e: S3Error| Ended::Store(e.to_string()))
    }
}
