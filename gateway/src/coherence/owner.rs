//! The owner's end of all sessions of one class: who may answer alone, and whom a change waits for.
//!
//! In the order of events: a stream [connects](Owner::connected) and asks for a session ([`hello`](Owner::hello)). A
//! [`resolve`](Owner::resolve) registers its session's interest; the store's read opens after
//! [`next_read`](Owner::next_read) returned it, and what it found goes back by [`answered`](Owner::answered). A change is
//! [announced](Owner::announce): its clears go to interested sessions, and it is *settled* once each of them has
//! acknowledged or can no longer be live. It may commit then, and [ends](Owner::finish) when its commit is visible or given up.
//!
//! What is to be sent waits here and is pulled by [`next_outgoing`](Owner::next_outgoing): a message that was pulled is sent.
//! Nothing here waits for anything; [`deadline`](Owner::deadline) says when [`tick`](Owner::tick) has something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::aside::Aside;
use super::numbers::{ChangeNo, ClearNo, Mark, RenewalNo, ResolveNo, SessionId, StreamNo};
use super::plant::{Fault, Plant, Sound};
use super::scope::{Area, Scope, Subject};

mod announced;
mod messages;
mod session;
mod status;
mod stream;
mod validate;

use announced::Changing;
pub use messages::{Outgoing, Read, Todo, Violation};
use session::{Session, Unacknowledged};
pub use status::{OwnerStatus, SessionStatus};
use stream::{Asked, Reading, Resolve, Stream, Unsent};
use validate::Validating;

/// Limits and times of one class of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerSettings {
    /// How long a session lives after each renewal.
    pub lease: Duration,
    /// How much longer than the lease the owner waits, because no two clocks run alike.
    pub margin: Duration,
    /// How long a clear may stay unacknowledged before its session is not renewed any further.
    pub max_ack_wait: Duration,
    /// Most sessions; past them a node asks each time.
    pub sessions_max: usize,
    /// Most areas that one session may be interested in; answers of further ones are serve-once.
    pub areas_max: usize,
    /// Most unanswered resolves of one stream.
    pub resolves_max: usize,
    /// Most questions of one resolve.
    pub asks_max: usize,
    /// While this many bytes of answers wait for one stream, none of its resolves is read. What waits is at most this and
    /// the answers of `resolves_max` resolves.
    pub unsent_bytes_max: usize,
    /// How long a node that delayed a writer is without a session, the first time. At least the lease and the margin, so that
    /// one incident counts once.
    pub validate_first: Duration,
    /// How long at most, when it does so again and again.
    pub validate_longest: Duration,
}

/// The owner's end of all sessions of one class. `Q` is a question and `A` an answer; both are carried untouched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner<Q, A, P = Sound> {
    settings: OwnerSettings,
    streams: BTreeMap<StreamNo, Stream<Q, A>>,
    sessions: BTreeMap<SessionId, Session>,
    /// Who is told of changes in an area.
    interest: BTreeMap<Area, BTreeSet<SessionId>>,
    changing: Changing,
    changes: BTreeMap<ChangeNo, Change>,
    validating: Validating,
    /// No change is settled before this: sessions that an earlier process granted may be live.
    withheld_until: Duration,
    /// Nobody's time comes before this.
    quiet_until: Duration,
    is_closing: bool,
    last_change: Aside<u64>,
    last_clear: Aside<u64>,
    waited_out_count: Aside<u64>,
    plant: P,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Change {
    scope: Arc<Scope>,
    /// Sessions that have not acknowledged and are not over.
    waits_for: usize,
    is_settled: bool,
}

impl<Q, A> Owner<Q, A> {
    /// An owner that starts at `now`, `granted_before` being the longest lease that was ever granted on this store:
    /// no change is settled before all such leases have run out. Zero when there was none.
    #[must_use]
    pub fn new(settings: OwnerSettings, granted_before: Duration, now: Duration) -> Self {
        Self::planted(settings, granted_before, now, Sound)
    }
}

impl<Q, A, P: Plant> Owner<Q, A, P> {
    /// As [`Owner::new`], with rules broken on purpose.
    #[must_use]
    pub fn planted(settings: OwnerSettings, granted_before: Duration, now: Duration, plant: P) -> Self {
        let withheld_until = match granted_before {
            Duration::ZERO => now,
            lease => now + lease + settings.margin,
        };
        Self {
            validating: Validating::new(settings.validate_first, settings.validate_longest),
            settings,
            streams: BTreeMap::new(),
            sessions: BTreeMap::new(),
            interest: BTreeMap::new(),
            changing: Changing::default(),
            changes: BTreeMap::new(),
            withheld_until,
            quiet_until: now,
            is_closing: false,
            last_change: Aside::default(),
            last_clear: Aside::default(),
            waited_out_count: Aside::default(),
            plant,
        }
    }

    /// A node, known by the name in its certificate, has opened a stream.
    pub fn connected(&mut self, stream: StreamNo, node: Arc<str>) {
        self.streams.insert(stream, Stream::of(node));
    }

    /// The stream asks for a session. `fresh` is its id if it gets one: random, and never used before. The node has
    /// dropped `previous`, which is over at once.
    pub fn hello(
        &mut self,
        now: Duration,
        stream: StreamNo,
        fresh: SessionId,
        previous: Option<SessionId>,
    ) -> Todo {
        let mut todo = self.tick(now);
        let Some(node) = self.streams.get(&stream).map(|stream| Arc::clone(&stream.node)) else {
            return todo;
        };
        if let Some(previous) = previous
            && self.sessions.get(&previous).is_some_and(|session| session.node == node)
        {
            self.end(now, previous, &mut todo);
        }
        self.detach(stream);
        let refused = self.is_closing || self.sessions.len() >= self.settings.sessions_max;
        let again_after = match self.validating.left(now, &node) {
            Some(left) => Some(left),
            None => refused.then_some(self.settings.validate_first),
        };
        let resolves_max = self.settings.resolves_max;
        let answer = match again_after {
            Some(again_after) => Outgoing::Refused { again_after, resolves_max },
            None => {
                self.grant(now, stream, fresh, node);
                Outgoing::Welcome { session: fresh, lease: self.settings.lease, resolves_max }
            }
        };
        self.send(stream, answer, &mut todo);
        todo
    }

    /// Renews the stream's session. Rule 5: one that has expired is not there to be renewed, and one whose clear has
    /// waited too long has lost its stream.
    pub fn renew(&mut self, now: Duration, stream: StreamNo, no: RenewalNo) -> Todo {
        let mut todo = self.tick(now);
        let Some(id) = self.session_of(stream) else { return todo };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.until = now + self.settings.lease;
            session.is_taken_up = Aside(true);
        }
        self.send(stream, Outgoing::Renewed { no }, &mut todo);
        todo
    }

    /// The stream's session has forgotten what all clears up to `up_to` name.
    pub fn ack(&mut self, now: Duration, stream: StreamNo, up_to: ClearNo) -> Todo {
        let mut todo = self.tick(now);
        let Some(session) = self.session_of(stream).and_then(|id| self.sessions.get_mut(&id)) else {
            return todo;
        };
        let acknowledged = session.unacknowledged.partition_point(|clear| clear.no <= up_to);
        let acknowledged: Vec<_> = session.unacknowledged.drain(..acknowledged).collect();
        self.waited(now, acknowledged, &mut todo);
        todo
    }

    /// The stream's session keeps nothing of `area` any longer. Rule 4: while one of its resolves there is unanswered
    /// the interest stays, for that answer may be kept.
    pub fn release(&mut self, stream: StreamNo, area: &Area) {
        let Some(id) = self.session_of(stream) else { return };
        let is_asked = self.streams.get(&stream).is_some_and(|stream| stream.asks_about(area));
        if is_asked && !self.plant.broken(Fault::ReleaseWhileAsked) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.areas.remove(area);
        }
        self.forget_interest(id, area);
    }

    /// The node has dropped the stream's session and asks for no other.
    pub fn goodbye(&mut self, now: Duration, stream: StreamNo) -> Todo {
        let mut todo = self.tick(now);
        // Also the one that this owner has ended meanwhile, which would be waited out otherwise.
        if let Some(id) = self.streams.get_mut(&stream).and_then(|stream| stream.last.take()) {
            self.end(now, id, &mut todo);
            self.detach(stream);
        }
        todo
    }

    /// The stream is gone. Its session may answer alone until its lease has run out, and is waited for until then.
    pub fn lost(&mut self, now: Duration, stream: StreamNo) -> Todo {
        self.detach(stream);
        self.streams.remove(&stream);
        self.tick(now)
    }

    /// The node asks. Rule 4: its session is interested in what it asks about from here on, before anything is read.
    ///
    /// # Errors
    /// What no node does. Nothing has happened then; the stream is to be dropped.
    pub fn resolve(
        &mut self,
        now: Duration,
        stream: StreamNo,
        no: ResolveNo,
        questions: Vec<(Subject, Q)>,
    ) -> Result<Todo, Violation> {
        let todo = self.tick(now);
        let Some(asking) = self.streams.get(&stream) else { return Ok(todo) };
        asking.admit(no, questions.len(), &self.settings)?;
        let session = asking.session;
        if let Some(taken_up) = session.and_then(|id| self.sessions.get_mut(&id)) {
            taken_up.is_taken_up = Aside(true);
        }
        let (subjects, questions): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
        let asked = subjects.into_iter().map(|subject| self.registered(session, subject)).collect();
        if let Some(asking) = self.streams.get_mut(&stream) {
            asking.waiting.push_back(Resolve { no, reading: Reading { session, asked }, questions });
        }
        Ok(todo)
    }

    /// The stream's next resolve to read, unless too much waits to be sent already. Its reads open after this call.
    /// Rule 1: what a change that has not ended touches is marked serve-once, and what is announced before the answer
    /// is queued will be.
    pub fn next_read(&mut self, stream: StreamNo) -> Option<Read<Q>> {
        let stream = self.streams.get_mut(&stream)?;
        if stream.unsent_bytes >= self.settings.unsent_bytes_max {
            return None;
        }
        let Resolve { no, mut reading, questions } = stream.waiting.pop_front()?;
        if !self.plant.broken(Fault::ReadInsideInterval) {
            reading.demote(|subject| self.changing.touches(subject));
        }
        stream.reading.insert(no, reading);
        Some(Read { no, questions })
    }

    /// Queues what a [`Read`] found, in the order of its questions; fewer answers leave the rest to be asked again.
    /// They take `bytes` bytes.
    pub fn answered(
        &mut self,
        now: Duration,
        stream: StreamNo,
        no: ResolveNo,
        answers: Vec<A>,
        bytes: usize,
    ) -> Todo {
        let mut todo = self.tick(now);
        let Some(answering) = self.streams.get_mut(&stream) else { return todo };
        let Some(reading) = answering.reading.remove(&no) else { return todo };
        answering.unsent_bytes += bytes;
        answering.unsent.push_back(Unsent { no, reading, answers, bytes });
        todo.stir.insert(stream);
        todo
    }

    /// What goes out on the stream next; pulled is sent. Rule 10: control goes before answers, and what it overtakes was
    /// demoted when it was queued. Rule 9: each answer of a batch has its own mark.
    pub fn next_outgoing(&mut self, now: Duration, stream: StreamNo) -> Option<Outgoing<A>> {
        let is_live = {
            let session = self.streams.get(&stream)?.session;
            session.is_some_and(|id| self.is_live(now, id))
        };
        let stream = self.streams.get_mut(&stream)?;
        if let Some(control) = stream.control.pop_front() {
            return Some(control);
        }
        let Unsent { no, mut reading, answers, bytes } = stream.unsent.pop_front()?;
        stream.unsent_bytes -= bytes;
        if !is_live || reading.session != stream.session {
            reading.demote(|_| true);
        }
        if self.plant.broken(Fault::BatchMarkedByFirst) {
            let first = reading.asked.first().map_or(Mark::ServeOnce, |asked| asked.mark);
            reading.asked.iter_mut().for_each(|asked| asked.mark = first);
        }
        let answers =
            answers.into_iter().zip(reading.asked).map(|(answer, asked)| (answer, asked.mark)).collect();
        Some(Outgoing::Answers { no, answers })
    }

    /// A change of `scope` is staged and shall commit. Its interval begins: rule 1 for reads that are open, rule 10 for
    /// answers that are queued and will be overtaken by the clear. It is in [`Todo::settled`] once, now or later.
    pub fn announce(&mut self, now: Duration, scope: Scope) -> (ChangeNo, Todo) {
        let mut todo = self.tick(now);
        self.last_change.0 += 1;
        let change = ChangeNo(self.last_change.0);
        self.changing.begin(&scope);
        let overtakes = !self.plant.broken(Fault::OvertakenStillKept);
        self.streams.values_mut().for_each(|stream| stream.demote(&scope, overtakes));
        let scope = Arc::new(scope);
        let told: Vec<_> = self.interest.get(&scope.area()).into_iter().flatten().copied().collect();
        self.changes
            .insert(change, Change { scope: Arc::clone(&scope), waits_for: told.len(), is_settled: false });
        for id in told {
            self.clear(now, id, change, &scope, &mut todo);
        }
        self.settle(now, change, &mut todo);
        (change, todo)
    }

    /// The change is visible, or was given up: its interval ends. Rule 1: only its own; whoever else is about to change the
    /// same key still counts.
    pub fn finish(&mut self, change: ChangeNo) {
        let Some(Change { scope, .. }) = self.changes.remove(&change) else { return };
        match self.plant.broken(Fault::IntervalsNotCounted) {
            false => self.changing.end(&scope),
            true => self.changing.forget(&scope),
        }
    }

    /// Lets go of every session whose time has come. Called at [`deadline`](Self::deadline); every other method that is
    /// given the time does the same first, so that a late timer delays a change and never makes it wrong.
    pub fn tick(&mut self, now: Duration) -> Todo {
        let mut todo = Todo::default();
        if now < self.quiet_until {
            return todo;
        }
        self.validating.tick(now);
        let overdue: Vec<_> =
            self.sessions.iter().filter(|(_, session)| self.is_overdue(now, session)).collect();
        let overdue: Vec<_> = overdue.into_iter().map(|(id, session)| (*id, session.stream)).collect();
        for (id, stream) in overdue {
            self.stop_renewing(now, id, stream, &mut todo);
        }
        let expired: Vec<_> = self.sessions.keys().copied().filter(|id| !self.is_live(now, *id)).collect();
        for id in expired {
            self.expire(now, id, &mut todo);
        }
        if now >= self.withheld_until {
            let changes: Vec<_> = self.changes.keys().copied().collect();
            changes.into_iter().for_each(|change| self.settle(now, change, &mut todo));
        }
        self.quiet_until = self.next_due(now);
        todo
    }

    /// When [`tick`](Self::tick) will have something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let ends = self.sessions.values().map(|session| session.until + self.settings.margin);
        let overdue = self.sessions.values().filter(|session| session.stream.is_some());
        let overdue = overdue
            .filter_map(|session| Some(session.unacknowledged.front()?.since + self.settings.max_ack_wait));
        let withheld = self.changes.values().any(|change| change.waits_for == 0 && !change.is_settled);
        ends.chain(overdue).chain(withheld.then_some(self.withheld_until)).min()
    }

    /// Until when no change is settled because an earlier process's sessions may be live; `None` when none are.
    #[must_use]
    pub fn withheld_until(&self, now: Duration) -> Option<Duration> {
        (now < self.withheld_until).then_some(self.withheld_until)
    }

    /// Ends every session and grants no more: the process is about to stop.
    pub fn close(&mut self, now: Duration) -> Todo {
        self.is_closing = true;
        let mut todo = self.tick(now);
        let connected: Vec<_> =
            self.sessions.iter().filter_map(|(id, session)| Some((*id, session.stream?))).collect();
        for (_, stream) in connected {
            self.detach(stream);
            self.send(stream, Outgoing::Ended, &mut todo);
        }
        todo
    }

    /// No session can be live, of this process or an earlier one: a next one has nothing to wait for.
    #[must_use]
    pub fn is_idle(&self, now: Duration) -> bool {
        self.sessions.is_empty() && now >= self.withheld_until
    }

    /// Whether a node may answer alone under this session.
    #[must_use]
    pub fn is_live(&self, now: Duration, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| now < session.until + self.settings.margin)
    }

    /// The earliest time that comes, of what is there and of what may be there until then: nothing that begins later than
    /// now is due sooner than its own wait.
    fn next_due(&self, now: Duration) -> Duration {
        let OwnerSettings { lease, margin, max_ack_wait, .. } = self.settings;
        let begins_later = now + max_ack_wait.min(lease + margin);
        self.deadline().into_iter().chain(self.withheld_until(now)).fold(begins_later, Duration::min)
    }

    fn session_of(&self, stream: StreamNo) -> Option<SessionId> {
        self.streams.get(&stream)?.session
    }

    fn send(&mut self, to: StreamNo, message: Outgoing<A>, todo: &mut Todo) {
        if let Some(stream) = self.streams.get_mut(&to) {
            stream.control.push_back(message);
            todo.stir.insert(to);
        }
    }

    /// The question, with interest in what it asks about. Past the limit of areas there is no interest, and so nothing
    /// is kept.
    fn registered(&mut self, session: Option<SessionId>, subject: Subject) -> Asked {
        let mark = match (session, subject.area()) {
            (Some(id), Some(area)) if self.may_be_interested(id, &area) => {
                if !self.plant.broken(Fault::NoInterest) {
                    self.interest_in(id, area);
                }
                Mark::Keep
            }
            _ => Mark::ServeOnce,
        };
        Asked { subject, mark }
    }

    fn may_be_interested(&self, id: SessionId, area: &Area) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            session.areas.contains(area) || session.areas.len() < self.settings.areas_max
        })
    }

    fn interest_in(&mut self, id: SessionId, area: Area) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.areas.insert(area.clone())
        {
            self.interest.entry(area).or_default().insert(id);
        }
    }

    fn forget_interest(&mut self, id: SessionId, area: &Area) {
        if let Some(interested) = self.interest.get_mut(area) {
            interested.remove(&id);
            if interested.is_empty() {
                self.interest.remove(area);
            }
        }
    }

    fn clear(&mut self, now: Duration, id: SessionId, change: ChangeNo, scope: &Arc<Scope>, todo: &mut Todo) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.last_clear.0 += 1;
        let no = ClearNo(self.last_clear.0);
        session.unacknowledged.push_back(Unacknowledged { no, change, since: now });
        if let Some(stream) = session.stream {
            self.send(stream, Outgoing::Clear { no, scope: Arc::clone(scope) }, todo);
        }
    }

    fn settle(&mut self, now: Duration, no: ChangeNo, todo: &mut Todo) {
        let Some(change) = self.changes.get_mut(&no) else { return };
        if change.waits_for == 0 && now >= self.withheld_until && !mem::replace(&mut change.is_settled, true)
        {
            todo.settled.push(no);
        }
    }
}

#[cfg(test)]
mod tests;
