//! How a node's session stands, for operators.

use std::time::Duration;

use super::lease::Lease;
use super::{Line, Node, Plant, Value};

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// There is a stream.
    pub is_connected: bool,
    /// Until when hits need nobody; `None` without a session.
    pub live_until: Option<Duration>,
    /// Until when no session is asked for, because the owner gives none.
    pub refused_until: Option<Duration>,
    /// Heads, facts and users that are kept, live or not.
    pub kept_count: usize,
    /// Bytes of them.
    pub kept_weight: usize,
    /// Buckets, or the users, that the owner tells about.
    pub areas_count: usize,
    /// Questions that have not left.
    pub waiting_count: usize,
    /// Resolves that have left and are unanswered.
    pub resolves_count: usize,
    /// How often a lease has run out before it was renewed.
    pub lapses_count: u64,
}

impl<V: Value, P: Plant> Node<V, P> {
    /// For operators.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let refused_until = match self.line {
            Line::Refused { until, .. } => Some(until),
            Line::Down | Line::Silent | Line::Greeted(_) | Line::Open { .. } => None,
        };
        NodeStatus {
            is_connected: !matches!(self.line, Line::Down),
            live_until: self.lease.as_ref().map(Lease::live_until),
            refused_until,
            kept_count: self.kept.count(),
            kept_weight: self.kept.weight(),
            areas_count: self.registered.len(),
            waiting_count: self.waiting.len(),
            resolves_count: self.flights.len(),
            lapses_count: self.lapses_count.0,
        }
    }
}
