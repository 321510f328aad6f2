//! What may as well happen first.
//!
//! Where something that can happen changes nothing of what else can, is changed by none of it, and takes nothing out of sight that
//! [`World::check`] looks at, every order of events ends where one of those ends in which it comes first: so only these are
//! explored. All of it is about a calm world, in which nothing breaks any more, and no time passes before what is on its way
//! has arrived.

use super::{Action, Exploration, OBJECTS, Outgoing, Step, Stream, World, Writer, Writing};
use crate::coherence::node::Message;
use crate::coherence::numbers::StreamNo;
use crate::configurations::{Around, Sending, Time};

impl World {
    /// What may happen next without loss, if there is anything.
    pub(super) fn first(&self, model: &Exploration) -> Option<Action> {
        if !self.is_calm(model) {
            return None;
        }
        let first = self.streams.iter().find_map(|(no, stream)| match stream.node_is_open {
            true => self.first_of_open(model, *no, stream),
            false => self.first_of_dead(model, *no, stream),
        });
        first.or_else(|| self.first_to_connect(model))
    }

    /// Nothing breaks or stops, and no time passes before all that is on its way has arrived.
    fn is_calm(&self, model: &Exploration) -> bool {
        let configuration = &model.configuration;
        // A change that is sent twice has not ended when it is done.
        let stops = self.budget.drains > 0 || self.budget.closes > 0 || model.is_broken(Around::SentTwice);
        let is_one_owner_up = self.owners.len() == 1 && self.owners[0].machine.is_some();
        let waits = match configuration.time {
            Time::AfterMessages => true,
            Time::Passes | Time::AfterMisfortune => self.is_at_rest(model),
        };
        configuration.sending == Sending::AtOnce
            && is_one_owner_up
            && !stops
            && !self.may_break_at_all(model)
            && waits
    }

    /// No time passes any more.
    fn is_at_rest(&self, model: &Exploration) -> bool {
        self.time >= u64::from(model.configuration.horizon) || !self.time_passes(model)
    }

    /// On a stream whose node is there. What arrives at the owner is in the order in which it was sent, and the node only adds to its
    /// end; so it is a matter of what else happens at the owner.
    fn first_of_open(&self, model: &Exploration, no: StreamNo, stream: &Stream) -> Option<Action> {
        if !stream.owner_is_open || stream.is_held_up {
            return None;
        }
        let is_read = self.owners[stream.owner].reads.iter().any(|read| read.stream == no);
        let comes_first = stream.to_owner.front().is_some_and(|message| match message {
            // Lets changes commit that wait, and is in nobody's way.
            Message::Ack { .. } => true,
            // Who has a new session has let go of the one before, whether a change is announced to that or not.
            Message::Hello { .. } => true,
            // Changes that are announced later would not be told of.
            Message::Release(_) => self.all_are_announced(),
            // Makes no difference before the lease that it extends is over.
            Message::Renew { .. } => self.trusts_its_session(stream),
            // It reads what is so, and what is so does not change.
            Message::Resolve { .. } => self.all_have_ended(),
            Message::Goodbye => false,
        });
        if comes_first {
            return Some(Action::ToOwner(no));
        }
        let arrives = !self.nodes[stream.node].is_paused;
        let is_renewed = matches!(stream.to_node.front(), Some(Outgoing::Renewed { .. }));
        if arrives && is_renewed && self.trusts_its_session(stream) {
            return Some(Action::ToNode(no));
        }
        if !self.all_have_ended() {
            return None;
        }
        if is_read && stream.to_owner.is_empty() && model.configuration.resolves_max == 1 {
            return self.read_of(no);
        }
        let is_left_alone = self
            .readers
            .iter()
            .zip(model.configuration.gets)
            .all(|(reader, get)| get.node != stream.node || reader.step != Step::Before);
        let is_only_input = is_left_alone && self.budget.purges == 0 && !stream.to_node.is_empty();
        (arrives && is_only_input).then_some(Action::ToNode(no))
    }

    /// On a stream whose node is gone, and of whose words none is left.
    fn first_of_dead(&self, model: &Exploration, no: StreamNo, stream: &Stream) -> Option<Action> {
        if !stream.to_owner.is_empty() || stream.is_held_up {
            return None;
        }
        // Its session is waited out, or dropped by the next one: which does not depend on the stream once nobody waits for it.
        if self.is_at_rest(model) || self.all_are_settled() {
            return Some(Action::OwnerLoses(no));
        }
        self.read_of(no)
    }

    /// Whoever trusts no session asks whether there is a stream or not.
    fn first_to_connect(&self, model: &Exploration) -> Option<Action> {
        let connects = |node: &usize| {
            let (process, now) = (&self.nodes[*node], self.node_now(*node));
            let end = &process.ends[OBJECTS];
            !process.is_paused && end.stream.is_none() && !end.machine.is_live(now)
        };
        let node = (0..self.nodes.len()).filter(|_| self.is_at_rest(model)).find(connects)?;
        Some(Action::Connects(node, OBJECTS))
    }

    fn read_of(&self, no: StreamNo) -> Option<Action> {
        let mut reads = self.owners.iter().enumerate().flat_map(|(owner, process)| {
            process.reads.iter().enumerate().map(move |(index, read)| (owner, index, read.stream))
        });
        reads.find(|(.., stream)| *stream == no).map(|(owner, index, _)| Action::ReadEnds(owner, index))
    }

    fn trusts_its_session(&self, stream: &Stream) -> bool {
        let node = &self.nodes[stream.node];
        !node.is_paused && node.ends[stream.owner].machine.is_live(self.node_now(stream.node))
    }

    fn all_are_announced(&self) -> bool {
        self.writers.iter().all(|writer| writer.state != Writing::Before)
    }

    /// No session is waited for, and none will be: nor by what was given up, where nothing is.
    fn all_are_settled(&self) -> bool {
        let waits = |writer: &Writer| matches!(writer.state, Writing::Before | Writing::Announced(..));
        !self.writers.iter().any(waits)
    }

    /// What is committed stays as it is.
    fn all_have_ended(&self) -> bool {
        self.writers.iter().all(|writer| matches!(writer.state, Writing::Done | Writing::Failed))
    }
}
