//! A node's end of its session with one owner: what is kept, what may be believed, and who waits for what.
//!
//! In the order of events: a stream [connects](Node::connected), says hello and is [welcomed](Node::welcomed) with a session,
//! or [refused](Node::refused) one. A request [looks](Node::look); what is kept under a live session answers it alone. Else it
//! [asks](Node::ask) and waits: questions gather until the next resolve can leave, and what [`answers`](Node::answers) brings
//! is kept if its mark says so. A [`clear`](Node::clear) takes away what it names before it is acknowledged.
//!
//! What was kept under an earlier session stays, unverified: the next question about it names its revision, and "same" makes
//! it live again (rule 9). Heads that are no longer asked for go when others need their room.
//!
//! What is to be sent is pulled by [`next_outgoing`](Node::next_outgoing), and pulled is sent: a lease is counted from there, and
//! whoever asks afterwards was not there when the resolve left. [`deadline`](Node::deadline) says when to pull again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::aside::Aside;
use super::numbers::{ClearNo, Mark, RenewalNo, ResolveNo, Revision, SessionId, Waiter};
use super::plant::{Fault, Plant, Sound};
use super::scope::{Area, Scope, Subject};

mod flight;
mod kept;
mod lease;
mod messages;
mod saying;
mod status;

use flight::{Ask, Flight, Flying};
pub use kept::Kept;
use lease::Lease;
pub use messages::{Answered, Message, Question, Told};
pub use status::NodeStatus;

/// What a node keeps: cheap to clone.
pub trait Value: Clone {
    /// Its random revision: two values with the same one are the same.
    fn revision(&self) -> Revision;
    /// Bytes that it takes.
    fn weight(&self) -> usize;
}

/// Limits of one node's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeSettings {
    /// Most bytes of what is kept, names included.
    pub weight_max: usize,
    /// Most questions of one resolve.
    pub asks_max: usize,
    /// Most bytes of names in one resolve.
    pub ask_bytes_max: usize,
    /// Most questions that wait for a resolve to leave.
    pub waiting_max: usize,
    /// Without a request for this long, the session is given back; `None` keeps it.
    pub idle_after: Option<Duration>,
}

/// What is true, at one instant between the call that asked for it and its return.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found<V> {
    /// The bucket's facts, where they come along; `None` when there is no such bucket.
    pub facts: Option<V>,
    /// What was asked about; `None` when there is no such thing.
    pub value: Option<V>,
    /// It was held here already.
    pub was_held: bool,
}

/// Whether what an answer brings shall be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeping {
    /// If the owner allows it.
    IfAllowed,
    /// Not on this request's account.
    Never,
}

/// Too many questions wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Busy;

/// An owner did what no owner does; its stream is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// An answer to a resolve that is not under way.
    NobodyAsked,
    /// More answers than questions, or none.
    AnswerCount,
    /// An answer of another kind than its question.
    AnswerKind,
    /// "Same" to a question that named nothing.
    SameAsNothing,
}

/// Whom an answer serves, and with what.
pub type Served<V, E> = Vec<(Waiter, Result<Found<V>, E>)>;

/// Rule 6, for whoever reads with a user and an object from two owners: if the user seen before the object was looked at and
/// the user seen after it have the same random revision, then the user was this one throughout, and so at the instant at
/// which the object was as found. Otherwise both are to be looked at again.
#[must_use]
pub fn unchanged(before: Option<Revision>, after: Option<Revision>) -> bool {
    before.is_some() && before == after
}

/// A node's end of its session with one owner. `V` is what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node<V, P = Sound> {
    settings: NodeSettings,
    line: Line,
    lease: Option<Lease>,
    /// To be named in every hello until one is answered.
    dropped: Option<SessionId>,
    /// The session that is over and that no other has followed, and until when it was live: for [`Node::last_known`].
    over: Aside<Option<(SessionId, Duration)>>,
    lapses_count: Aside<u64>,
    is_draining: bool,
    /// When something was last looked for.
    last_look: Duration,
    kept: Kept<V>,
    /// Areas in which the owner has registered this session's interest.
    registered: BTreeSet<Area>,
    /// Of these, where nothing is kept, as far as has been noticed.
    unused: BTreeSet<Area>,
    acknowledge: Option<ClearNo>,
    /// Has not left.
    waiting: VecDeque<Ask>,
    flights: BTreeMap<ResolveNo, Flight<V>>,
    last_resolve: Aside<u64>,
    /// CLOCK_BOOTTIME ahead of CLOCK_MONOTONIC, when last looked at.
    suspended: Option<Duration>,
    plant: P,
}

/// The stream, as far as asking for a session on it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Line {
    Down,
    /// A session is to be asked for.
    Silent,
    /// It was asked for at this time.
    Greeted(Duration),
    Open {
        resolves_max: usize,
    },
    /// Open, and without a session until this time.
    Refused {
        resolves_max: usize,
        until: Duration,
    },
}

impl<V: Value> Node<V> {
    /// A node's end without a stream.
    #[must_use]
    pub fn new(settings: NodeSettings) -> Self {
        Self::planted(settings, Sound)
    }
}

impl<V: Value, P: Plant> Node<V, P> {
    /// As [`Node::new`], with rules broken on purpose.
    #[must_use]
    pub fn planted(settings: NodeSettings, plant: P) -> Self {
        Self {
            kept: Kept::new(settings.weight_max),
            settings,
            line: Line::Down,
            lease: None,
            dropped: None,
            over: Aside::default(),
            lapses_count: Aside::default(),
            is_draining: false,
            last_look: Duration::ZERO,
            registered: BTreeSet::new(),
            unused: BTreeSet::new(),
            acknowledge: None,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            last_resolve: Aside::default(),
            suspended: None,
            plant,
        }
    }

    /// A stream is open. The session of the one before it, if it is still live, goes on until hello is said on this one.
    pub fn connected(&mut self) {
        self.lost();
        self.line = Line::Silent;
    }

    /// The stream is gone, and what was asked on it is asked again on the next. The session goes on until its lease has run
    /// out, and cannot be renewed.
    pub fn lost(&mut self) {
        self.line = Line::Down;
        self.acknowledge = None;
        let flights = std::mem::take(&mut self.flights);
        let unanswered: Vec<_> = flights.into_values().flat_map(|flight| flight.asks).collect();
        unanswered.into_iter().rev().for_each(|flying| self.ask_again(flying));
    }

    /// The owner has given this stream a session, asked for by the last hello.
    pub fn welcomed(&mut self, now: Duration, session: SessionId, lease: Duration, resolves_max: usize) {
        let Line::Greeted(said) = self.line else { return };
        let counted_from = self.counted_from(said, now);
        self.lease = Some(Lease::new(session, lease, counted_from));
        self.dropped = None;
        // What changed between that session and this one was told to neither.
        self.over = Aside(None);
        self.line = Line::Open { resolves_max };
        if self.settings.idle_after.is_some() {
            self.last_look = self.last_look.max(now);
        }
    }

    /// The owner gives this stream no session for now: every answer will be serve-once.
    pub fn refused(&mut self, now: Duration, again_after: Duration, resolves_max: usize) {
        self.dropped = None;
        self.line = Line::Refused { resolves_max, until: now + again_after };
    }

    /// The renewal of this number counts, from when it was sent.
    pub fn renewed(&mut self, now: Duration, no: RenewalNo) {
        let Some(lease) = &mut self.lease else { return };
        self.lapses_count.0 += u64::from(!lease.is_live(now));
        let sent = match self.plant.broken(Fault::StaleRenewalCounts) {
            false => lease.sent(no),
            true => lease.sent_last(),
        };
        let from_receipt = self.plant.broken(Fault::LeaseFromReceipt);
        if let Some(sent) = sent {
            lease.extend(if from_receipt { now } else { sent });
        }
    }

    /// The owner has ended the session. While hello is said it means the one that hello has dropped: what ends comes
    /// before what begins.
    pub fn ended(&mut self, now: Duration) {
        if matches!(self.line, Line::Open { .. }) {
            self.tear(now);
        }
    }

    /// Forgets what the clear names, and lets it be acknowledged: rule 3, in this order and in the stream's. Rule 2: who asked
    /// after a resolve about it had left waits for another one. Never waits for anything (rule 10).
    pub fn clear(&mut self, no: ClearNo, scope: &Scope) {
        let spared = self.plant.broken(Fault::NegativeSurvivesClear);
        self.kept.remove(scope, spared);
        self.note_unused(&scope.area());
        self.acknowledge = self.acknowledge.max(Some(no));
        for flight in self.flights.values_mut() {
            for flying in flight.asks.iter_mut().filter(|flying| scope.touches(&flying.ask.subject)) {
                flying.is_detached = true;
            }
        }
        self.detached().into_iter().for_each(|ask| self.enqueue(ask));
    }

    /// Takes the answers to the first questions of a resolve, or to all; the rest is asked again. Returns whom they serve.
    ///
    /// Rule 3: this is where things are kept, in stream order, and nowhere else. Rule 2: everybody who was there when the
    /// resolve left is served; those who came later only if the answer is kept and live, and otherwise they ask anew.
    ///
    /// # Errors
    /// What no owner does; whoever waited for these answers asks again.
    pub fn answers<E: Clone>(
        &mut self,
        now: Duration,
        no: ResolveNo,
        answers: Vec<(Answered<V, E>, Mark)>,
    ) -> Result<Served<V, E>, Violation> {
        let Some(flight) = self.flights.remove(&no) else { return Err(Violation::NobodyAsked) };
        let session = flight.session.filter(|asked_under| self.session() == Some(*asked_under));
        let mut asks = flight.asks.into_iter();
        let mut fault = (answers.is_empty() || answers.len() > asks.len()).then_some(Violation::AnswerCount);
        let mut served = Vec::new();
        for (answer, mark) in answers {
            if fault.is_some() {
                break;
            }
            let Some(flying) = asks.next() else { break };
            let session = session.filter(|_| mark == Mark::Keep && flying.ask.keeping == Keeping::IfAllowed);
            match flying.found(answer) {
                Ok(Ok(found)) => self.serve(now, flying, &found, session, &mut served),
                Ok(Err(failure)) => {
                    let waiters = flying.ask.waiters.iter().chain(&flying.joiners);
                    served.extend(waiters.map(|waiter| (*waiter, Err(failure.clone()))));
                    self.note_unused_by(&flying.ask.subject);
                }
                Err(violation) => {
                    fault = Some(violation);
                    self.ask_again(flying);
                }
            }
        }
        let rest: Vec<_> = asks.collect();
        rest.into_iter().rev().for_each(|flying| self.ask_again(flying));
        fault.map_or(Ok(served), Err)
    }

    /// What is kept of `subject` under a live session; `None`: ask. Rule 5: what another session's stream brought, or one
    /// whose lease has run out, is not live.
    pub fn look(&mut self, now: Duration, subject: &Subject) -> Option<Found<V>> {
        if self.settings.idle_after.is_some() {
            self.last_look = now;
        }
        let session = self.lease.as_ref().filter(|lease| lease.is_live(now))?.session();
        let session = (!self.plant.broken(Fault::AnySessionServes)).then_some(session);
        self.kept.found(subject, session)
    }

    /// Has `waiter` wait for an answer about `subject`: with others whose question has not left, or joining one that has.
    ///
    /// # Errors
    /// When too many questions wait already.
    pub fn ask(&mut self, subject: Subject, waiter: Waiter, keeping: Keeping) -> Result<(), Busy> {
        if let Some(waits) = self.waiting.iter_mut().find(|ask| ask.subject == subject) {
            waits.waiters.push(waiter);
            waits.keeping = waits.keeping.min(keeping);
            return Ok(());
        }
        let session = self.session();
        let flights =
            self.flights.values_mut().filter(|flight| flight.session.is_some() && flight.session == session);
        let mut flying = flights.flat_map(|flight| &mut flight.asks);
        if let Some(joined) = flying.find(|flying| flying.may_be_joined(&subject)) {
            joined.joiners.push(waiter);
            return Ok(());
        }
        if self.waiting.len() >= self.settings.waiting_max {
            return Err(Busy);
        }
        self.waiting.push_back(Ask { subject, keeping, waiters: vec![waiter] });
        Ok(())
    }

    /// `waiter` waits no longer. A question that nobody waits for does not leave.
    pub fn forget(&mut self, waiter: Waiter) {
        for ask in &mut self.waiting {
            ask.waiters.retain(|waits| *waits != waiter);
        }
        self.waiting.retain(|ask| !ask.waiters.is_empty());
        for flying in self.flights.values_mut().flat_map(|flight| &mut flight.asks) {
            flying.ask.waiters.retain(|waits| *waits != waiter);
            flying.joiners.retain(|waits| *waits != waiter);
        }
    }

    /// What goes out next; pulled is sent. A lease is counted from the time that is given here, and a question that has been
    /// pulled has left.
    pub fn next_outgoing(&mut self, now: Duration) -> Option<Message> {
        self.hello(now)
            .or_else(|| self.acknowledgement())
            .or_else(|| self.goodbye(now))
            .or_else(|| self.renewal(now))
            .or_else(|| self.release())
            .or_else(|| self.resolve(now))
    }

    /// Compares the two clocks: one that jumped by more than a quarter of the lease against the other has been suspended, or
    /// is not to be trusted, and drops the session. Returns whether it did.
    pub fn tick(&mut self, boottime: Duration, monotonic: Duration) -> bool {
        let suspended = boottime.saturating_sub(monotonic);
        let jumped =
            self.suspended.replace(suspended).map_or(Duration::ZERO, |before| suspended.abs_diff(before));
        let is_torn = self.lease.as_ref().is_some_and(|lease| jumped > lease.lease() / 4);
        if is_torn {
            self.tear(boottime);
        }
        is_torn
    }

    /// When to pull again although nothing has come or been asked.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match self.line {
            Line::Down | Line::Silent | Line::Greeted(_) => None,
            // It asks for no other.
            Line::Refused { .. } if self.is_draining => None,
            Line::Refused { until, .. } => Some(until).filter(|until| *until < Duration::MAX),
            Line::Open { .. } => self.lease.as_ref().map(Lease::renew_at),
        }
    }

    /// A session was asked for, and the owner has not said whether it gives one.
    #[must_use]
    pub fn is_greeting(&self) -> bool {
        matches!(self.line, Line::Greeted(_))
    }

    /// What is kept under the session answers alone.
    #[must_use]
    pub fn is_live(&self, now: Duration) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_live(now))
    }

    /// The session, live or not.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.lease.as_ref().map(Lease::session)
    }

    /// Something is kept of `subject`, live or not: be it that there is no such thing.
    #[must_use]
    pub fn holds(&self, subject: &Subject) -> bool {
        self.kept.has(subject)
    }

    /// Something is kept of `subject`, live or not, that is not "no such thing".
    #[must_use]
    pub fn knew(&self, subject: &Subject) -> bool {
        self.kept.held(subject).is_some()
    }

    /// Everything that would answer a request alone at `now`.
    pub fn live(&self, now: Duration) -> impl Iterator<Item = (&Subject, Option<&V>)> {
        let session = self.lease.as_ref().filter(|lease| lease.is_live(now)).map(Lease::session);
        let any = self.plant.broken(Fault::AnySessionServes);
        session.into_iter().flat_map(move |session| self.kept.all_live((!any).then_some(session)))
    }

    /// What is kept of `subject` and not live, and until when it was: what it was then. `None` when it is live, was cleared,
    /// is "no such thing", or was kept under another session than the last one: it may have changed before that one began,
    /// of which nobody was told, and until it is confirmed that is not known.
    #[must_use]
    pub fn last_known(&self, now: Duration, subject: &Subject) -> Option<(V, Duration)> {
        let (value, session) = self.kept.held_under(subject)?;
        let current = self.lease.as_ref().map(|lease| (lease.session(), lease.live_until()));
        let (_, until) = current.or(self.over.0).filter(|(last, _)| *last == session)?;
        (until <= now).then_some((value, until))
    }

    /// Gives the session back and asks for no other: the node is about to stop, and no writer shall wait for it.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Forgets what `scope` names, because an operator says so.
    pub fn purge(&mut self, scope: &Scope) {
        self.kept.remove(scope, false);
        self.note_unused(&scope.area());
    }

    /// Lets go of the oldest until no more than `weight_max` bytes are kept: somebody else needs the room.
    pub fn keep_at_most(&mut self, weight_max: usize) {
        let evicted = self.kept.shrink(weight_max);
        evicted.iter().for_each(|area| self.note_unused(area));
    }

    /// Bytes of what is kept, live or not.
    #[must_use]
    pub fn kept_weight(&self) -> usize {
        self.kept.weight()
    }

    fn serve<E>(
        &mut self,
        now: Duration,
        flying: Flying<V>,
        found: &Found<V>,
        session: Option<SessionId>,
        served: &mut Served<V, E>,
    ) {
        let Flying { ask, joiners, .. } = flying;
        if let Some(session) = session {
            self.keep(&ask.subject, found, session);
        }
        served.extend(ask.waiters.iter().map(|waiter| (*waiter, Ok(found.clone()))));
        let live = match self.plant.broken(Fault::OnceServesJoiners) {
            false => self.look(now, &ask.subject),
            true => Some(found.clone()),
        };
        match live {
            Some(live) => served.extend(joiners.into_iter().map(|waiter| (waiter, Ok(live.clone())))),
            None => self.enqueue(Ask { waiters: joiners, ..ask.clone() }),
        }
        self.note_unused_by(&ask.subject);
    }

    fn keep(&mut self, subject: &Subject, found: &Found<V>, session: SessionId) {
        let evicted = self.kept.keep(subject, found, session);
        evicted.iter().for_each(|area| self.note_unused(area));
    }

    /// Drops the session, and asks for another if there is a stream.
    fn tear(&mut self, now: Duration) {
        self.drop_session(now);
        if matches!(self.line, Line::Open { .. }) {
            self.line = Line::Silent;
        }
    }

    fn drop_session(&mut self, now: Duration) {
        if let Some(lease) = self.lease.take() {
            self.dropped = Some(lease.session());
            self.lapses_count.0 += u64::from(!lease.is_live(now));
            self.over = Aside(Some((lease.session(), lease.live_until().min(now))));
        }
        self.registered.clear();
        self.unused.clear();
    }

    fn note_unused_by(&mut self, subject: &Subject) {
        if let Some(area) = subject.area() {
            self.note_unused(&area);
        }
    }

    fn note_unused(&mut self, area: &Area) {
        if self.registered.contains(area) && !self.kept.has_any(area) {
            self.unused.insert(area.clone());
        }
    }

    /// Everybody who waits for an answer that will not come asks again, before all others.
    fn ask_again(&mut self, flying: Flying<V>) {
        let Flying { mut ask, joiners, .. } = flying;
        ask.waiters.extend(joiners);
        match self.waiting.iter_mut().find(|waits| waits.subject == ask.subject) {
            Some(waits) => waits.take_in(ask),
            None if ask.waiters.is_empty() => {}
            None => self.waiting.push_front(ask),
        }
    }

    /// As [`ask`](Self::ask), for those who have been let in already.
    fn enqueue(&mut self, ask: Ask) {
        match self.waiting.iter_mut().find(|waits| waits.subject == ask.subject) {
            Some(waits) => waits.take_in(ask),
            None if ask.waiters.is_empty() => {}
            None => self.waiting.push_back(ask),
        }
    }

    /// The joiners of questions that a clear has passed, as new questions.
    fn detached(&mut self) -> Vec<Ask> {
        let flying = self.flights.values_mut().flat_map(|flight| &mut flight.asks);
        let detached =
            flying.filter(|flying| flying.is_detached && !self.plant.broken(Fault::OnceServesJoiners));
        detached
            .map(|flying| Ask { waiters: std::mem::take(&mut flying.joiners), ..flying.ask.clone() })
            .collect()
    }

    fn counted_from(&self, sent: Duration, received: Duration) -> Duration {
        if self.plant.broken(Fault::LeaseFromReceipt) { received } else { sent }
    }
}

#[cfg(test)]
mod tests;
