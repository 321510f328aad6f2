//! A session at its owner: granted, waited for, and over.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Outgoing, Owner, Todo};
use crate::coherence::aside::Aside;
use crate::coherence::numbers::{ChangeNo, ClearNo, SessionId, StreamNo};
use crate::coherence::plant::{Fault, Plant};
use crate::coherence::scope::Area;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) node: Arc<str>,
    /// `None`: it cannot be renewed and is waited out.
    pub(super) stream: Option<StreamNo>,
    /// One lease after the last renewal was received.
    pub(super) until: Duration,
    pub(super) areas: BTreeSet<Area>,
    /// Its node has said what only who has been welcomed says.
    pub(super) is_taken_up: Aside<bool>,
    /// In the order they were announced.
    pub(super) unacknowledged: VecDeque<Unacknowledged>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unacknowledged {
    pub(super) no: ClearNo,
    pub(super) change: ChangeNo,
    pub(super) since: Duration,
}

impl<Q, A, P: Plant> Owner<Q, A, P> {
    pub(super) fn grant(&mut self, now: Duration, stream: StreamNo, id: SessionId, node: Arc<str>) {
        let until = now + self.settings.lease;
        let session = Session {
            node,
            stream: Some(stream),
            until,
            areas: BTreeSet::new(),
            is_taken_up: Aside(false),
            unacknowledged: VecDeque::new(),
        };
        self.sessions.insert(id, session);
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.session = Some(id);
            stream.last = Some(id);
        }
    }

    /// The stream's session, if it has one, goes without: it cannot be renewed, only waited out.
    pub(super) fn detach(&mut self, stream: StreamNo) {
        let Some(id) = self.streams.get_mut(&stream).and_then(|stream| stream.session.take()) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.stream = None;
        }
    }

    pub(super) fn is_overdue(&self, now: Duration, session: &Session) -> bool {
        let waits = session
            .unacknowledged
            .front()
            .is_some_and(|clear| now >= clear.since + self.settings.max_ack_wait);
        waits && session.stream.is_some() && !self.plant.broken(Fault::SilentRenewed)
    }

    /// It renews and does not apply: it is told that its session is over, and waited out unless it says so too.
    pub(super) fn stop_renewing(
        &mut self,
        now: Duration,
        id: SessionId,
        stream: Option<StreamNo>,
        todo: &mut Todo,
    ) {
        let Some(stream) = stream else { return };
        self.detach(stream);
        self.send(stream, Outgoing::Ended, todo);
        if let Some(session) = self.sessions.get(&id) {
            self.validating.strike(now, Arc::clone(&session.node));
        }
    }

    /// Its lease and the margin have run out: whatever its node holds, it does not answer with it.
    pub(super) fn expire(&mut self, now: Duration, id: SessionId, todo: &mut Todo) {
        let Some(session) = self.sessions.get(&id) else { return };
        if !session.unacknowledged.is_empty() {
            self.waited_out_count.0 += 1;
            self.validating.strike(now, Arc::clone(&session.node));
        }
        if let Some(stream) = session.stream
            && !self.plant.broken(Fault::ExpiredRenewed)
        {
            self.detach(stream);
            self.send(stream, Outgoing::Ended, todo);
        }
        self.end(now, id, todo);
    }

    pub(super) fn end(&mut self, now: Duration, id: SessionId, todo: &mut Todo) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for area in &session.areas {
            self.forget_interest(id, area);
        }
        self.waited(now, session.unacknowledged, todo);
    }

    pub(super) fn waited(
        &mut self,
        now: Duration,
        over: impl IntoIterator<Item = Unacknowledged>,
        todo: &mut Todo,
    ) {
        for Unacknowledged { change, .. } in over {
            // One that was given up does not wait any longer.
            if let Some(waiting) = self.changes.get_mut(&change) {
                waiting.waits_for -= 1;
                self.settle(now, change, todo);
            }
        }
    }
}
