//! A node's end of one stream to an owner: sockets, clocks and waiters around [`Node`].
//!
//! A stream is opened when something is asked, and again when it breaks while its session lives. One task writes what
//! the machine wants sent, another reads; the reader alone keeps and forgets (rule 3), and neither waits for the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use origin::regional::LeaseClass;
use s3s::S3Error;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::clocks::boottime;
use super::kept::{Failure, Kept};
use super::node::{Found, Keeping, Node, NodeSettings, NodeStatus};
use super::numbers::Waiter;
use super::room::{Keeper, Room};
use super::scope::Subject;
use crate::metrics::{Metrics, OriginChannel, OriginOutcome, SessionMetrics};
use crate::peer::messages::{ASKS_MAX, BATCH_BYTES_MAX, failure};
use crate::peer::{AskError, Peer};
use crate::topology::RegionName;

mod stream;

use stream::Ended;

/// Between a stream that broke and the next one.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// The same after streams that the owner would not speak on, longer with each of them: it notes every one.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Bytes that a question takes beside its names: the field names of the longest kind and two revisions.
const ASK_ENVELOPE_BYTES: usize = 160;

/// Whether what is kept may answer, and whether what comes may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Both.
    LookAndKeep,
    /// What is kept may answer; what comes is not kept.
    LookOnly,
    /// Neither.
    AskOnly,
}

/// What a node's end is made of.
pub(crate) struct Parts {
    pub(crate) peer: Arc<Peer>,
    pub(crate) class: LeaseClass,
    /// The region that this node serves in.
    pub(crate) here: RegionName,
    /// For what is kept, and what others keep.
    pub(crate) room: Arc<Room>,
    /// Without a request for this long the session is given back.
    pub(crate) idle_after: Option<Duration>,
    pub(crate) metrics: Metrics,
}

/// This process's end of its streams to one owner, of one class.
pub struct Follower {
    parts: Parts,
    state: Mutex<State>,
    /// There may be something to send.
    stir: Notify,
    closed: CancellationToken,
    runtime: Handle,
}

struct State {
    node: Node<Kept>,
    waiters: HashMap<Waiter, Reply>,
    last_waiter: u64,
    /// A task sees to the stream.
    is_running: bool,
    is_draining: bool,
    /// As the metrics show it.
    shows_live: bool,
    /// Until when, on CLOCK_BOOTTIME, a session was or will be live.
    last_live: Option<Duration>,
    /// The owner speaks on the stream that there is, or was.
    is_opened: bool,
    /// Why the last way to the owner led nowhere, for people.
    trouble: Option<String>,
    /// Since when the owner, which has something to answer, has said nothing.
    unheard_since: Option<Instant>,
    /// Renewals and resolves under way, by their numbers.
    renewals: HashMap<u64, Duration>,
    resolves: HashMap<u64, Sent>,
}

/// A resolve that has left.
struct Sent {
    at: Duration,
    /// Which of its questions named something that is kept.
    named: Vec<bool>,
}

type Reply = oneshot::Sender<Result<Found<Kept>, Unanswered>>;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Unanswered {
    /// The owner cannot be asked.
    Asking(AskError),
    /// The owner says why not.
    Refused(Failure),
}

impl From<Unanswered> for S3Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Asking(error) => error.into(),
            Unanswered::Refused(Failure { code, message }) => failure(&code, message),
        }
    }
}

impl Follower {
    /// An end without a stream. Its tasks run on the calling runtime.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let settings = NodeSettings {
            weight_max: parts.room.bytes_max(),
            asks_max: ASKS_MAX,
            ask_bytes_max: BATCH_BYTES_MAX - ASKS_MAX * ASK_ENVELOPE_BYTES,
            waiting_max: parts.peer.limits().waiting_max,
            idle_after: parts.idle_after,
        };
        let room = parts.room.clone();
        let follower = Arc::new(Self {
            parts,
            state: Mutex::new(State {
                node: Node::new(settings),
                waiters: HashMap::new(),
                last_waiter: 0,
                is_running: false,
                is_draining: false,
                shows_live: false,
                last_live: None,
                is_opened: false,
                trouble: None,
                unheard_since: None,
                renewals: HashMap::new(),
                resolves: HashMap::new(),
            }),
            stir: Notify::new(),
            closed: CancellationToken::new(),
            runtime: Handle::current(),
        });
        let keeper: Weak<Self> = Arc::downgrade(&follower);
        room.join(keeper);
        follower
    }

    /// What `subject` is at a moment after this call: out of what is kept under a live session, or asked.
    ///
    /// # Errors
    /// When the owner cannot be asked, or does not say.
    pub(crate) async fn find(
        self: &Arc<Self>,
        subject: Subject,
        how: Use,
    ) -> Result<Found<Kept>, Unanswered> {
        if subject.name_bytes() > BATCH_BYTES_MAX / 2 {
            return Err(Unanswered::Asking(AskError::TooLong(subject.name_bytes())));
        }
        let (answer, _waiting) = {
            let mut state = self.lock();
            if how != Use::AskOnly
                && let Some(found) = state.node.look(boottime(), &subject)
            {
                return Ok(found);
            }
            state.last_waiter += 1;
            let waiter = Waiter(state.last_waiter);
            let keeping = if how == Use::LookAndKeep { Keeping::IfAllowed } else { Keeping::Never };
            state.node.ask(subject, waiter, keeping).map_err(|_| Unanswered::Asking(AskError::Busy))?;
            let (reply, answer) = oneshot::channel();
            state.waiters.insert(waiter, reply);
            if !state.is_running && !self.closed.is_cancelled() {
                state.is_running = true;
                self.runtime.spawn(self.clone().run());
            }
            (answer, Waiting { follower: self.clone(), waiter })
        };
        self.stir.notify_one();
        let answered = timeout(self.parts.peer.limits().ask_timeout, answer).await;
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                Err(Unanswered::Asking(AskError::Unreachable("no answer in time".to_owned())))
            }
        }
    }

    /// What is kept of `subject` under a live session; asks nobody.
    pub(crate) fn look(&self, subject: &Subject) -> Option<Found<Kept>> {
        self.lock().node.look(boottime(), subject)
    }

    /// Whether something is kept of `subject`, live or not: be it that there is no such thing.
    pub(crate) fn holds(&self, subject: &Subject) -> bool {
        self.lock().node.holds(subject)
    }

    /// Whether there was such a thing as `subject` when its owner last spoke of it, be that live or not.
    pub(crate) fn knew(&self, subject: &Subject) -> bool {
        self.lock().node.knew(subject)
    }

    /// The region whose owner this follows.
    pub(crate) fn region(&self) -> &RegionName {
        self.parts.peer.region()
    }

    /// What kind of session this is.
    pub(crate) fn class(&self) -> LeaseClass {
        self.parts.class
    }

    /// What is kept answers alone.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().node.is_live(boottime())
    }

    /// `subject` as it was last known under a session that ended no more than `at_most` ago, because the owner went out of
    /// reach; `None` while a session lives. Not the truth: only who has chosen to go on without it may use it.
    pub(crate) fn last_known(&self, subject: &Subject, at_most: Duration) -> Option<Kept> {
        let now = boottime();
        let (known, until) = self.lock().node.last_known(now, subject)?;
        (now <= until + at_most).then_some(known)
    }

    /// When a session was last live, if that is no more than `at_most` ago.
    pub(crate) fn was_live_within(&self, at_most: Duration) -> bool {
        self.lock().last_live.is_some_and(|was_live| boottime() <= was_live + at_most)
    }

    /// For operators.
    pub(crate) fn status(&self) -> NodeStatus {
        self.lock().node.status()
    }

    /// For operators: why the last way to the owner led nowhere; `None` where it did not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Gives the session back, for no writer shall wait for a node that goes away; what is asked from here on is asked
    /// each time.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.is_draining = true;
        state.node.drain();
        drop(state);
        self.stir.notify_one();
    }

    /// Ends the stream for good.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Whoever asks about objects will ask for their pages.
    fn keep_pages_coming(&self) {
        if self.class() == LeaseClass::Objects {
            self.parts.peer.keep_connected();
        }
    }

    /// Who does not ask about objects any more will not ask for their pages; unless somebody has begun to ask again.
    fn let_pages_rest(&self) {
        let state = self.lock();
        if self.class() == LeaseClass::Objects && !state.is_running {
            self.parts.peer.rest();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> &SessionMetrics {
        self.parts.metrics.sessions()
    }

    /// Sees to the stream for as long as somebody waits, or a session lives.
    async fn run(self: Arc<Self>) {
        let mut pause = RECONNECT_PAUSE;
        loop {
            self.keep_pages_coming();
            let connected = tokio::select! {
                connected = self.parts.peer.connect_for_session() => connected,
                () = self.closed.cancelled() => Err(AskError::Unreachable("this node is shutting down".into())),
            };
            match connected {
                Ok(stream) => {
                    let ended = tokio::select! {
                        ended = self.converse(stream) => ended,
                        () = self.closed.cancelled() => Ended::Closed,
                    };
                    debug!(region = %self.region(), class = self.class().as_str(), %ended, "session's stream ended");
                    pause = match self.lock().is_opened {
                        true => RECONNECT_PAUSE,
                        false => (2 * pause).min(RECONNECT_PAUSE_MAX),
                    };
                    self.note_unopened(&ended);
                }
                Err(error) => return self.give_up(&error).await,
            }
            if !self.goes_on() {
                return self.let_pages_rest();
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The owner took the connection: where it would not speak on it, its log says why.
    fn note_unopened(&self, ended: &Ended) {
        if !self.lock().is_opened {
            self.note_trouble(format!("the owner ends the stream at once ({ended}): its log says why"));
        }
    }

    /// Keeps what is in the way for operators, and says so once: whoever asks meets it again and again.
    fn note_trouble(&self, trouble: String) {
        if self.closed.is_cancelled() {
            return;
        }
        if self.lock().trouble.replace(trouble.clone()).is_none() {
            warn!(region = %self.region(), class = self.class().as_str(), %trouble, "no session with the owner");
        }
    }

    /// There is no way to the owner: whoever waits is told, and the next one tries again.
    async fn give_up(&self, error: &AskError) {
        self.note_trouble(error.to_string());
        let lease_left = self.tell_that_nobody_answers(error);
        // Nobody else would notice that the lease runs out.
        tokio::select! {
            () = tokio::time::sleep(lease_left) => self.show(&mut self.lock()),
            () = self.closed.cancelled() => {}
        }
        self.let_pages_rest();
    }

    /// Returns how long the session still lives.
    fn tell_that_nobody_answers(&self, error: &AskError) -> Duration {
        let mut state = self.lock();
        state.is_running = false;
        for (waiter, reply) in std::mem::take(&mut state.waiters) {
            state.node.forget(waiter);
            // Whoever asked may have gone.
            let _ = reply.send(Err(Unanswered::Asking(error.clone())));
            self.parts.metrics.origin_request(
                self.region(),
                OriginChannel::Resolve,
                OriginOutcome::Failed,
                Duration::ZERO,
            );
        }
        self.show(&mut state);
        let live_until = state.node.status().live_until.unwrap_or_default();
        live_until.saturating_sub(boottime())
    }

    /// The stream is over; whether there is to be another one.
    fn goes_on(&self) -> bool {
        let mut state = self.lock();
        state.node.lost();
        state.unheard_since = None;
        state.renewals.clear();
        let failed = std::mem::take(&mut state.resolves);
        for sent in failed.into_values() {
            let took = boottime().saturating_sub(sent.at);
            self.parts.metrics.origin_request(
                self.region(),
                OriginChannel::Resolve,
                OriginOutcome::Failed,
                took,
            );
        }
        self.show(&mut state);
        let is_wanted = !state.waiters.is_empty() || (state.node.is_live(boottime()) && !state.is_draining);
        state.is_running = is_wanted && !self.closed.is_cancelled();
        state.is_running
    }

    /// Brings the metrics up to date.
    fn show(&self, state: &mut State) {
        let is_live = state.node.is_live(boottime());
        state.last_live = state.node.status().live_until.or(state.last_live);
        if is_live == state.shows_live {
            return;
        }
        state.shows_live = is_live;
        self.sessions().live(self.region(), self.class(), is_live);
        if !is_live && !state.is_draining {
            self.sessions().lapsed(self.region(), self.class());
        }
    }
}

impl Keeper for Follower {
    fn kept_bytes(&self) -> usize {
        self.lock().node.kept_weight()
    }

    fn keep_at_most(&self, bytes: usize) {
        self.lock().node.keep_at_most(bytes);
        // What nothing is kept of any more is to be released.
        self.stir.notify_one();
    }
}

/// Somebody who waits for an answer, until they have it or go.
struct Waiting {
    follower: Arc<Follower>,
    waiter: Waiter,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.follower.lock();
        if state.waiters.remove(&self.waiter).is_some() {
            state.node.forget(self.waiter);
        }
    }
}

#[cfg(test)]
mod tests;
