//! What can happen next, and its happening.

use super::truth::{bucket, owner_of};
use super::{Action, Exploration, OBJECTS, Step, World, Writer, Writing};
use crate::coherence::scope::Scope;
use crate::configurations::{Around, Budget, Order, Sending, Time};

impl World {
    pub(super) fn stream_actions(&self, model: &Exploration, actions: &mut Vec<Action>) {
        let may_break = self.may_break(model);
        for (no, stream) in &self.streams {
            let may_break = may_break && is_unlucky(model, stream.node);
            let node_runs = !self.nodes[stream.node].is_paused;
            let owner_runs = self.owners[stream.owner].machine.is_some();
            let arrives = !stream.is_held_up;
            if arrives && stream.owner_is_open && owner_runs && !stream.to_owner.is_empty() {
                actions.push(Action::ToOwner(*no));
            }
            if arrives && stream.node_is_open && node_runs && !stream.to_node.is_empty() {
                actions.push(Action::ToNode(*no));
            }
            if model.configuration.sending == Sending::OneByOne {
                if stream.owner_is_open && owner_runs {
                    actions.push(Action::OwnerSends(*no));
                }
                if stream.node_is_open && node_runs {
                    actions.push(Action::NodeSends(*no));
                }
            }
            let both_open = stream.node_is_open && stream.owner_is_open;
            let may_be_late = self.budget.delays > 0 && may_break && !stream.is_held_up;
            if both_open && model.configuration.time == Time::AfterMessages && may_be_late {
                actions.push(Action::HoldsUp(*no));
            }
            if stream.is_held_up {
                actions.push(Action::LetsGo(*no));
            }
            let breaks = both_open && self.budget.cuts > 0 && may_break;
            if stream.node_is_open && node_runs && (breaks || !stream.owner_is_open) {
                actions.push(Action::NodeLoses(*no));
            }
            if stream.owner_is_open && owner_runs && (breaks || !stream.node_is_open) {
                actions.push(Action::OwnerLoses(*no));
            }
        }
    }

    pub(super) fn request_actions(&self, model: &Exploration, actions: &mut Vec<Action>) {
        for (index, reader) in self.readers.iter().enumerate() {
            let node_runs = !self.nodes[model.configuration.gets[index].node].is_paused;
            let goes_on = reader.step != Step::Done && !reader.is_waiting && node_runs;
            if goes_on && !self.is_hit(model, index) && !self.has_twin_before(model, index) {
                actions.push(Action::Reads(index));
            }
        }
        for (index, writer) in self.writers.iter().enumerate() {
            let owner_runs = self.owners[owner_of(model.configuration.changes[index])].machine.is_some();
            match writer.state {
                _ if !owner_runs => {}
                Writing::Before if self.has_same_before(model, index) => {}
                Writing::Before => actions.push(Action::Announces(index)),
                Writing::Settled(_) => actions.push(Action::Commits(index)),
                Writing::Done if model.is_broken(Around::SentTwice) && writer.commits == 1 => {
                    actions.push(Action::Announces(index));
                }
                Writing::Announced(..) | Writing::Done | Writing::Failed => {}
            }
            if self.budget.aborts > 0 && matches!(writer.state, Writing::Announced(..) | Writing::Settled(_))
            {
                actions.push(Action::GivesUp(index));
            }
        }
    }

    pub(super) fn process_actions(&self, model: &Exploration, actions: &mut Vec<Action>) {
        let may_break = self.may_break(model);
        for (owner, process) in self.owners.iter().enumerate() {
            actions.extend((0..process.reads.len()).map(|read| Action::ReadEnds(owner, read)));
            match process.machine {
                Some(_) if self.budget.closes > 0 => actions.push(Action::OwnerCloses(owner)),
                Some(_) if self.budget.owner_crashes > 0 && may_break => {
                    actions.push(Action::OwnerCrashes(owner))
                }
                Some(_) => {}
                None => actions.push(Action::OwnerStarts(owner)),
            }
            if self.budget.drifts > 0 && may_break {
                actions.push(Action::OwnerDrifts(owner));
            }
        }
        for (node, process) in self.nodes.iter().enumerate() {
            let may_break = may_break && is_unlucky(model, node);
            if process.is_paused {
                actions.push(Action::Resumes(node));
                continue;
            }
            for (owner, end) in process.ends.iter().enumerate() {
                if end.stream.is_none() && self.owners[owner].machine.is_some() {
                    actions.push(Action::Connects(node, owner));
                }
                if !end.astray.is_empty() {
                    actions.push(Action::WaiterKeeps(node, owner));
                }
            }
            if self.budget.purges > 0 && !self.is_over() && is_unlucky(model, node) {
                actions.push(Action::Purges(node));
            }
            if self.budget.drains > 0 {
                actions.push(Action::Drains(node));
            }
            if self.budget.node_crashes > 0 && may_break {
                actions.push(Action::NodeCrashes(node));
            }
            if self.budget.pauses > 0 && may_break {
                actions.push(Action::Pauses(node));
            }
            if self.budget.drifts > 0 && may_break {
                actions.push(Action::NodeDrifts(node));
            }
        }
        if self.may_tick(model) && !(model.configuration.time == Time::AfterMessages && arrives(actions)) {
            actions.push(Action::Tick);
        }
    }

    fn may_tick(&self, model: &Exploration) -> bool {
        // An owner that is down starts before long: nobody is answered before that.
        let owners_run = self.owners.iter().all(|owner| owner.machine.is_some());
        let is_early = self.time <= u64::from(model.configuration.last_breakage);
        let is_before_end = self.time < u64::from(model.configuration.horizon);
        is_before_end && (owners_run || is_early) && self.time_passes(model)
    }

    pub(super) fn time_passes(&self, model: &Exploration) -> bool {
        match model.configuration.time {
            Time::Passes => true,
            Time::AfterMessages => self.is_unfortunate(model),
            Time::AfterMisfortune => {
                let is_late = self.budget.delays > 0 && self.budget.misfortunes > 0 && !self.is_over();
                self.is_unfortunate(model) || is_late
            }
        }
    }

    /// Requests that are alike begin in their order: any other order is this one with other names.
    fn has_twin_before(&self, model: &Exploration, reader: usize) -> bool {
        let gets = model.configuration.gets;
        let is_listed = model.configuration.order == Order::AsListed;
        let waits_too = |before: usize| {
            let is_before = gets[before] == gets[reader] || is_listed && !self.is_hit(model, before);
            self.readers[before].step == Step::Before && is_before
        };
        self.readers[reader].step == Step::Before && (0..reader).any(waits_too)
    }

    /// So do changes that are alike.
    fn has_same_before(&self, model: &Exploration, writer: usize) -> bool {
        let changes = model.configuration.changes;
        let is_same = |before: usize| {
            let is_before =
                changes[before] == changes[writer] || model.configuration.order == Order::AsListed;
            self.writers[before].state == Writing::Before && is_before
        };
        (0..writer).any(is_same)
    }

    /// Where time passes after a misfortune alone, what goes wrong first goes wrong before all is over. With the last commit or
    /// answer still to come it would show as much: for neither has a part in what sessions become.
    fn may_break(&self, model: &Exploration) -> bool {
        let comes_too_late =
            model.configuration.time != Time::Passes && !self.is_unfortunate(model) && self.is_over();
        let is_early = self.time <= u64::from(model.configuration.last_breakage);
        is_early && self.budget.misfortunes > 0 && !comes_too_late
    }

    /// Something breaks, now or later.
    pub(super) fn may_break_at_all(&self, model: &Exploration) -> bool {
        let Budget { cuts, node_crashes, owner_crashes, pauses, drifts, delays, .. } = self.budget;
        let kinds = [cuts, node_crashes, owner_crashes, pauses, drifts, delays];
        let is_left = kinds.iter().any(|count| *count > 0);
        is_left && self.may_break(model)
    }

    /// Everybody has been answered, and all changes are made.
    fn is_over(&self) -> bool {
        let is_made = |writer: &Writer| matches!(writer.state, Writing::Done | Writing::Failed);
        self.readers.iter().all(|reader| reader.step == Step::Done) && self.writers.iter().all(is_made)
    }

    fn is_unfortunate(&self, model: &Exploration) -> bool {
        self.budget.misfortunes < model.configuration.budget.misfortunes
    }

    pub(super) fn act(&mut self, model: &Exploration, action: Action) -> bool {
        match action {
            Action::ToOwner(stream) => self.arrives_at_owner(model, stream),
            Action::ToNode(stream) => self.arrives_at_node(model, stream),
            Action::OwnerSends(stream) => return self.owner_sends(model, stream),
            Action::NodeSends(stream) => return self.node_sends(model, stream),
            Action::ReadEnds(owner, read) => self.read_ends(model, owner, read),
            Action::WaiterKeeps(node, owner) => {
                let (no, answers) = self.nodes[node].ends[owner].astray.remove(0);
                self.answers(model, node, owner, no, answers);
                self.stir_node(model, node);
            }
            Action::Reads(reader) => self.read(model, reader),
            Action::Announces(writer) => self.announce(model, writer),
            Action::Commits(writer) => self.commit(model, writer),
            Action::GivesUp(writer) => {
                self.budget.aborts -= 1;
                self.end_change(model, writer);
                self.writers[writer].state = Writing::Failed;
            }
            Action::Connects(node, owner) => self.connect(model, node, owner),
            Action::NodeLoses(stream) => {
                let breaks = u8::from(self.streams[&stream].owner_is_open);
                self.budget.cuts -= breaks;
                self.budget.misfortunes -= breaks;
                self.node_loses(stream);
            }
            Action::OwnerLoses(stream) => {
                let breaks = u8::from(self.streams[&stream].node_is_open);
                self.budget.cuts -= breaks;
                self.budget.misfortunes -= breaks;
                self.owner_loses(model, stream);
            }
            Action::HoldsUp(stream) => {
                self.budget.delays -= 1;
                self.budget.misfortunes -= 1;
                self.streams.get_mut(&stream).expect("a stream").is_held_up = true;
            }
            Action::LetsGo(stream) => {
                self.streams.get_mut(&stream).expect("a stream that is held up").is_held_up = false;
            }
            Action::Purges(node) => {
                self.budget.purges -= 1;
                self.nodes[node].ends[OBJECTS].machine.purge(&Scope::Bucket(bucket()));
                self.stir_node(model, node);
            }
            Action::Drains(node) => {
                self.budget.drains -= 1;
                self.nodes[node].ends.iter_mut().for_each(|end| end.machine.drain());
                self.stir_node(model, node);
            }
            Action::OwnerCloses(owner) => {
                self.budget.closes -= 1;
                self.owner_closes(model, owner);
            }
            Action::NodeCrashes(node) => {
                self.budget.node_crashes -= 1;
                self.budget.misfortunes -= 1;
                self.node_crashes(model, node);
            }
            Action::Pauses(node) => {
                self.budget.pauses -= 1;
                self.budget.misfortunes -= 1;
                self.nodes[node].is_paused = true;
            }
            Action::Resumes(node) => {
                self.nodes[node].is_paused = false;
                self.stir_node(model, node);
            }
            Action::OwnerCrashes(owner) => {
                self.budget.owner_crashes -= 1;
                self.budget.misfortunes -= 1;
                self.owner_crashes(model, owner);
            }
            Action::OwnerStarts(owner) => self.owner_starts(model, owner),
            Action::Tick => {
                let is_first = model.configuration.time != Time::Passes && !self.is_unfortunate(model);
                self.budget.delays -= u8::from(is_first);
                self.budget.misfortunes -= u8::from(is_first);
                self.tick(model);
            }
            Action::NodeDrifts(node) => {
                self.budget.drifts -= 1;
                self.budget.misfortunes -= 1;
                self.nodes[node].ahead += 1;
                self.timers(model);
            }
            Action::OwnerDrifts(owner) => {
                self.budget.drifts -= 1;
                self.budget.misfortunes -= 1;
                self.owners[owner].ahead += 1;
                self.timers(model);
            }
        }
        true
    }
}

fn is_unlucky(model: &Exploration, node: usize) -> bool {
    model.configuration.unlucky.is_none_or(|unlucky| unlucky == node)
}

/// Something is on its way, or being read, or about to start.
fn arrives(actions: &[Action]) -> bool {
    let arrives = |action: &Action| {
        matches!(
            action,
            Action::ToOwner(_)
                | Action::ToNode(_)
                | Action::ReadEnds(..)
                | Action::OwnerStarts(_)
                | Action::Connects(..)
        )
    };
    actions.iter().any(arrives)
}
