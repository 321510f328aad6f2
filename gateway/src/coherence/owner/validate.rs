//! Nodes that delayed a writer: they ask each time, for longer every time they do it again, and come back by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Validating {
    first: Duration,
    longest: Duration,
    /// By the node's name, of which a cluster has as many as it has certificates.
    nodes: BTreeMap<Arc<str>, Strikes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Strikes {
    count: u32,
    until: Duration,
}

impl Validating {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, nodes: BTreeMap::new() }
    }

    /// The node delayed a writer. Twice as long as the last time, unless that is forgotten; once for what is one incident.
    pub(super) fn strike(&mut self, now: Duration, node: Arc<str>) {
        let strikes = self.nodes.entry(node).or_insert(Strikes { count: 0, until: Duration::ZERO });
        if now < strikes.until {
            return;
        }
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(strikes.count));
        strikes.count = strikes.count.saturating_add(1);
        strikes.until = now + doubled.min(self.longest);
    }

    /// How long the node is still without a session.
    pub(super) fn left(&self, now: Duration, node: &str) -> Option<Duration> {
        let left = self.nodes.get(node)?.until.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// Forgets nodes that have behaved for as long as they could be kept waiting.
    pub(super) fn tick(&mut self, now: Duration) {
        let longest = self.longest;
        self.nodes.retain(|_, strikes| now < strikes.until + longest);
    }

    pub(super) fn status(&self, now: Duration) -> Vec<(Arc<str>, Duration, u32)> {
        let validating = self.nodes.iter().filter(|(_, strikes)| now < strikes.until);
        validating.map(|(node, strikes)| (Arc::clone(node), strikes.until, strikes.count)).collect()
    }
}
