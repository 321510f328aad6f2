//! What is wrong with a state, if anything is.

use super::truth::{object, owner_of};
use super::{
    Event, Exploration, LEASE, MARGIN, MAX_ACK_WAIT, OBJECTS, Reader, Step, Violation, World, Writer, Writing,
};

impl World {
    /// What nodes would say alone is so.
    pub(super) fn check(&mut self) {
        let truth = &self.truth;
        let is_stale = (0..self.nodes.len()).any(|node| {
            let now = self.node_now(node);
            let mut live = self.nodes[node].ends.iter().flat_map(|end| end.machine.live(now));
            live.any(|(subject, value)| truth.of(subject) != value.copied())
        });
        if is_stale {
            self.violation = Some(Violation::Stale);
        }
    }

    /// A request that has not begun would be answered by its node alone. It would be answered with what is so, for `check`
    /// has looked at all that is live; and nothing else in the world would be different afterwards, but that it asks for
    /// nothing later. So it is not one of the things that happen: whatever could follow it can happen without it.
    pub(super) fn is_hit(&self, model: &Exploration, reader: usize) -> bool {
        if self.readers[reader].step != Step::Before || model.configuration.has_users {
            return false;
        }
        let get = model.configuration.gets[reader];
        let wanted = object(get.key);
        let facts = wanted.facts().expect("an object has a bucket");
        let machine = &self.nodes[get.node].ends[OBJECTS].machine;
        let (mut is_held, mut bucket) = (false, None);
        for (subject, value) in machine.live(self.node_now(get.node)) {
            is_held |= *subject == wanted;
            if *subject == facts {
                bucket = Some(value);
            }
        }
        let is_hit = bucket.is_some_and(|bucket| bucket.is_none() || is_held);
        if is_hit {
            model.note(Event::Hit);
        }
        is_hit
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

    pub(super) fn is_done(&self, model: &Exploration) -> bool {
        let is_read =
            |(index, reader): (usize, &Reader)| reader.step == Step::Done || self.is_hit(model, index);
        let read = self.readers.iter().enumerate().all(is_read);
        let written = |writer: &Writer| matches!(writer.state, Writing::Done | Writing::Failed);
        read && self.writers.iter().all(written)
    }
}
