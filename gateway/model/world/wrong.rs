//! What is wrong with a state, if anything is.

use super::truth::owner_of;
use super::{Exploration, LEASE, MARGIN, MAX_ACK_WAIT, Reader, Step, Violation, World, Writer, Writing};

impl World {
    /// What nodes would say alone is so.
    pub(super) fn check(&mut self) {
        let truth = self.truth();
        let is_stale = (0..self.nodes.len()).any(|node| {
            let now = self.node_now(node);
            let mut live = self.nodes[node].ends.iter().flat_map(|end| end.machine.live(now));
            live.any(|(subject, value)| truth.of(subject) != value.copied())
        });
        if is_stale {
            self.violation = Some(Violation::Stale);
        }
    }

    /// Forgets what no request that is under way can have seen.
    pub(super) fn forget_history(&mut self) {
        let under_way = |reader: &&mut Reader| !matches!(reader.step, Step::Before | Step::Done);
        let latest = self.history.len() - 1;
        let oldest =
            self.readers.iter_mut().filter(under_way).map(|reader| reader.from).min().unwrap_or(latest);
        self.history.drain(..oldest);
        self.readers.iter_mut().filter(under_way).for_each(|reader| reader.from -= oldest);
    }

    pub(super) fn trusts_lost_session(&self) -> bool {
        self.nodes.iter().enumerate().any(|(index, node)| {
            let now = self.node_now(index);
            node.ends.iter().enumerate().any(|(owner, end)| {
                let Some(machine) = &self.owners[owner].machine else { return false };
                let at_owner = self.owner_now(owner);
                let is_counted_on = machine.withheld_until(at_owner).is_some();
                let is_known = end.machine.session().is_some_and(|id| machine.is_live(at_owner, id));
                end.machine.is_live(now) && !is_known && !is_counted_on
            })
        })
    }

    /// A change waits for longer than it can.
    pub(super) fn is_overdue(&self, model: &Exploration) -> bool {
        self.writers.iter().zip(model.configuration.changes).any(|(writer, change)| {
            let owner = owner_of(*change);
            let Writing::Announced(_, since) = writer.state else { return false };
            let now = self.owner_now(owner);
            let machine = self.owners[owner].machine.as_ref();
            let is_withheld = machine.is_some_and(|machine| machine.withheld_until(now).is_some());
            !is_withheld && now.as_secs() > since + MAX_ACK_WAIT + LEASE + MARGIN
        })
    }

    pub(super) fn is_done(&self) -> bool {
        let read = self.readers.iter().all(|reader| reader.step == Step::Done);
        let written = |writer: &Writer| matches!(writer.state, Writing::Done | Writing::Failed);
        read && self.writers.iter().all(written)
    }
}
