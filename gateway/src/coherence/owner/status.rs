//! How an owner's sessions stand, for operators.

use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use super::{Owner, Plant};

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerStatus {
    /// Every session that is not over.
    pub sessions: Vec<SessionStatus>,
    /// Nodes without a session, until when, and how often they delayed a writer lately.
    pub validating: Vec<(Arc<str>, Duration, u32)>,
    /// Changes that were announced and have not ended.
    pub changes_count: usize,
    /// Until when no change is settled.
    pub withheld_until: Option<Duration>,
    /// How often a change had to wait until a session had expired.
    pub waited_out_count: u64,
}

/// One session, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The node's name.
    pub node: Arc<str>,
    /// When it is over unless it is renewed.
    pub until: Duration,
    /// Buckets, or the users, that it is told about.
    pub areas_count: usize,
    /// Clears that it has not acknowledged.
    pub unacknowledged_count: usize,
    /// When the oldest of them was announced.
    pub waiting_since: Option<Duration>,
    /// Bytes of answers that wait to be sent.
    pub unsent_bytes: usize,
    /// It has a stream and can be renewed.
    pub is_connected: bool,
    /// Its node has asked or renewed under it, and so believes nothing of an earlier one's any longer.
    pub is_taken_up: bool,
}

impl<Q, A, P: Plant> Owner<Q, A, P> {
    /// For operators.
    #[must_use]
    pub fn status(&self, now: Duration) -> OwnerStatus {
        OwnerStatus {
            sessions: self.sessions.values().map(|session| self.session_status(session)).collect(),
            validating: self.validating.status(now),
            changes_count: self.changes.len(),
            withheld_until: self.withheld_until(now),
            waited_out_count: self.waited_out_count.0,
        }
    }

    fn session_status(&self, session: &Session) -> SessionStatus {
        let stream = session.stream.and_then(|stream| self.streams.get(&stream));
        SessionStatus {
            node: Arc::clone(&session.node),
            until: session.until,
            areas_count: session.areas.len(),
            unacknowledged_count: session.unacknowledged.len(),
            waiting_since: session.unacknowledged.front().map(|clear| clear.since),
            unsent_bytes: stream.map_or(0, |stream| stream.unsent_bytes),
            is_connected: session.stream.is_some(),
            is_taken_up: session.is_taken_up.0,
        }
    }
}
