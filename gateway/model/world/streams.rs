//! Streams: what the two ends send, how it arrives, and how they break.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Answer, Event, Exploration, OpenRead, Stream, World};
use crate::coherence::node::Message;
use crate::coherence::numbers::{Mark, ResolveNo, SessionId, StreamNo};
use crate::coherence::owner::{Outgoing, Todo};
use crate::configurations::{Around, Sending};

impl World {
    /// The owner's socket takes the next message, if there is one. What it makes room for is read.
    pub(super) fn owner_sends(&mut self, model: &Exploration, no: StreamNo) -> bool {
        let Some(stream) = self.streams.get(&no).filter(|stream| stream.owner_is_open) else { return false };
        let owner = stream.owner;
        let now = self.owner_now(owner);
        let Some(machine) = &mut self.owners[owner].machine else { return false };
        let Some(message) = machine.next_outgoing(now, no) else { return false };
        if let Outgoing::Answers { answers, .. } = &message
            && answers.iter().any(|(_, mark)| *mark == Mark::ServeOnce)
        {
            model.note(Event::ServedOnce);
        }
        if matches!(message, Outgoing::Refused { .. }) {
            model.note(Event::Refused);
        }
        let stream = self.streams.get_mut(&no).expect("it was there");
        if stream.node_is_open {
            stream.to_node.push_back(message);
        }
        self.open_reads(owner, no);
        true
    }

    pub(super) fn flush_owner(&mut self, model: &Exploration, stream: StreamNo) {
        while self.owner_sends(model, stream) {}
    }

    pub(super) fn open_reads(&mut self, owner: usize, stream: StreamNo) {
        let snapshot = self.truth;
        let process = &mut self.owners[owner];
        let Some(machine) = &mut process.machine else { return };
        while let Some(read) = machine.next_read(stream) {
            let (no, questions) = (read.no, read.questions);
            process.reads.push(OpenRead { stream, no, questions, snapshot });
        }
        // In which order they began makes no difference to how they end.
        process.reads.sort_by_key(|read| (read.stream, read.no));
    }

    pub(super) fn node_sends(&mut self, model: &Exploration, no: StreamNo) -> bool {
        let Some(stream) = self.streams.get(&no).filter(|stream| stream.node_is_open) else { return false };
        let (node, owner) = (stream.node, stream.owner);
        let now = self.node_now(node);
        let Some(message) = self.nodes[node].ends[owner].machine.next_outgoing(now) else { return false };
        match &message {
            Message::Renew { .. } if self.budget.renewals == 0 => return true,
            Message::Renew { .. } if self.budget.renewals == u8::MAX => {}
            Message::Renew { .. } => self.budget.renewals -= 1,
            Message::Release(_) => model.note(Event::Released),
            Message::Resolve { questions, .. } if questions.len() > 1 => model.note(Event::Batched),
            Message::Hello { .. } | Message::Ack { .. } | Message::Resolve { .. } | Message::Goodbye => {}
        }
        let stream = self.streams.get_mut(&no).expect("it was there");
        if stream.owner_is_open {
            stream.to_owner.push_back(message);
        }
        true
    }

    pub(super) fn flush_node(&mut self, model: &Exploration, stream: StreamNo) {
        while self.node_sends(model, stream) {}
    }

    /// After something happened at a node.
    pub(super) fn stir_node(&mut self, model: &Exploration, node: usize) {
        if model.configuration.sending == Sending::AtOnce {
            let streams: Vec<_> = self.nodes[node].ends.iter().filter_map(|end| end.stream).collect();
            streams.into_iter().for_each(|stream| self.flush_node(model, stream));
        }
    }

    pub(super) fn arrives_at_owner(&mut self, model: &Exploration, no: StreamNo) {
        let stream = self.streams.get_mut(&no).expect("a stream with a message");
        let (node, owner) = (stream.node, stream.owner);
        let message = stream.to_owner.pop_front().expect("a message");
        let now = self.owner_now(owner);
        let machine = self.owners[owner].machine.as_mut().expect("an owner that runs");
        if model.is_broken(Around::AcksLost) && matches!(message, Message::Ack { .. }) {
            return;
        }
        let todo = match message {
            Message::Hello { previous } => {
                let fresh = session_id(node, self.sessions_given[node] + 1);
                let todo = machine.hello(now, no, fresh, previous);
                // What was not given is nowhere, and as good as new.
                self.sessions_given[node] += u8::from(machine.is_live(now, fresh));
                todo
            }
            Message::Renew { no: renewal } => machine.renew(now, no, renewal),
            Message::Ack { up_to } => machine.ack(now, no, up_to),
            Message::Release(area) => {
                machine.release(no, &area);
                Todo::default()
            }
            Message::Resolve { no: resolve, questions } => {
                let questions =
                    questions.into_iter().map(|question| (question.subject.clone(), question)).collect();
                machine.resolve(now, no, resolve, questions).expect("what nodes send is in order")
            }
            Message::Goodbye => machine.goodbye(now, no),
        };
        self.open_reads(owner, no);
        self.do_todo(model, owner, todo);
    }

    pub(super) fn arrives_at_node(&mut self, model: &Exploration, no: StreamNo) {
        let stream = self.streams.get_mut(&no).expect("a stream with a message");
        let (node, owner) = (stream.node, stream.owner);
        let message = stream.to_node.pop_front().expect("a message");
        let now = self.node_now(node);
        let end = &mut self.nodes[node].ends[owner];
        match message {
            Outgoing::Welcome { session, lease, resolves_max } => {
                end.machine.welcomed(now, session, lease, resolves_max)
            }
            Outgoing::Refused { again_after, resolves_max } => {
                end.machine.refused(now, again_after, resolves_max)
            }
            Outgoing::Renewed { no } => {
                model.note(Event::Renewed);
                end.machine.renewed(now, no);
            }
            Outgoing::Clear { no, scope } => end.machine.clear(no, &scope),
            Outgoing::Ended => end.machine.ended(now),
            Outgoing::Answers { no, answers } if model.is_broken(Around::KeptByWaiters) => {
                end.astray.push((no, answers))
            }
            Outgoing::Answers { no, answers } => self.answers(model, node, owner, no, answers),
        }
        self.stir_node(model, node);
    }

    pub(super) fn answers(
        &mut self,
        model: &Exploration,
        node: usize,
        owner: usize,
        no: ResolveNo,
        answers: Vec<(Answer, Mark)>,
    ) {
        let now = self.node_now(node);
        let served = self.nodes[node].ends[owner].machine.answers(now, no, answers);
        let served = served.expect("what owners send is in order");
        if served.len() > 1 {
            model.note(Event::JoinerServed);
        }
        for (waiter, found) in served {
            if let Ok(reader) = usize::try_from(waiter.0)
                && reader < self.readers.len()
            {
                self.found(model, reader, found.expect("nothing fails"));
            }
        }
    }

    pub(super) fn read_ends(&mut self, model: &Exploration, owner: usize, index: usize) {
        let now = self.owner_now(owner);
        let OpenRead { stream, no, questions, snapshot } = self.owners[owner].reads.remove(index);
        let answers = questions.iter().map(|question| snapshot.answer(question)).collect();
        let machine = self.owners[owner].machine.as_mut().expect("an owner that reads");
        let todo = machine.answered(now, stream, no, answers, 1);
        self.do_todo(model, owner, todo);
    }

    pub(super) fn connect(&mut self, model: &Exploration, node: usize, owner: usize) {
        // Each two ends count by themselves, and a number that both have forgotten is as good as a new one: that makes fewer
        // states.
        let (first, step) = (node * self.owners.len() + owner, self.nodes.len() * self.owners.len());
        let mut numbers = (first..).step_by(step).map(|no| StreamNo(no as u64));
        let no = numbers.find(|no| !self.streams.contains_key(no)).expect("few streams");
        let stream = Stream {
            node,
            owner,
            node_is_open: true,
            owner_is_open: true,
            is_held_up: false,
            to_owner: VecDeque::new(),
            to_node: VecDeque::new(),
        };
        self.streams.insert(no, stream);
        let end = &mut self.nodes[node].ends[owner];
        end.machine.connected();
        end.stream = Some(no);
        if let Some(machine) = &mut self.owners[owner].machine {
            machine.connected(no, Arc::from(["n0", "n1"][node]));
        }
        self.stir_node(model, node);
    }

    pub(super) fn node_loses(&mut self, no: StreamNo) {
        let stream = self.streams.get_mut(&no).expect("a stream that breaks");
        stream.node_is_open = false;
        stream.to_node.clear();
        let end = &mut self.nodes[stream.node].ends[stream.owner];
        end.stream = None;
        end.machine.lost();
        end.astray.clear();
        self.forget_closed();
    }

    pub(super) fn owner_loses(&mut self, model: &Exploration, no: StreamNo) {
        let stream = self.streams.get_mut(&no).expect("a stream that breaks");
        let owner = stream.owner;
        stream.owner_is_open = false;
        stream.to_owner.clear();
        self.owners[owner].reads.retain(|read| read.stream != no);
        let now = self.owner_now(owner);
        if let Some(machine) = &mut self.owners[owner].machine {
            let todo = machine.lost(now, no);
            self.do_todo(model, owner, todo);
        }
        self.forget_closed();
    }

    pub(super) fn forget_closed(&mut self) {
        self.streams.retain(|_, stream| stream.node_is_open || stream.owner_is_open);
    }
}

/// The id of a node's session: nodes count by themselves, so that in which order they were given theirs is forgotten.
fn session_id(node: usize, no: u8) -> SessionId {
    let mut id = [no; 16];
    id[0] = u8::try_from(node).expect("few nodes");
    SessionId(id)
}
