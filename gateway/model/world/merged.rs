//! States that differ in nothing that can ever be seen are made one.

use std::cmp::Ordering;

use super::{Exploration, OBJECTS, Outgoing, Step, World, Writing};
use crate::configurations::Sending;

impl World {
    pub(super) fn merge(&mut self, model: &Exploration) {
        self.forget_seen(model);
        self.line_up_writers(model);
    }

    /// A request can be answered with what is so from now on, or with what an answer holds that is being read or is on its
    /// way to its node. What else it has seen is forgotten. Were it answered with that all the same, it would be found wrong.
    fn forget_seen(&mut self, model: &Exploration) {
        if model.configuration.sending != Sending::AtOnce || self.owners.len() > 1 {
            return;
        }
        for (reader, get) in self.readers.iter_mut().zip(model.configuration.gets) {
            if matches!(reader.step, Step::Before | Step::Done) || reader.seen.len() < 2 {
                continue;
            }
            let end = &self.nodes[get.node].ends[OBJECTS];
            let stream = end.stream.and_then(|no| Some((no, self.streams.get(&no)?)));
            let is_answer = |message: &Outgoing<_>| matches!(message, Outgoing::Answers { .. });
            let comes = stream.is_some_and(|(_, stream)| stream.to_node.iter().any(is_answer));
            if comes || !end.astray.is_empty() {
                continue;
            }
            let so = self.truth.seen(get.key, false);
            let reads = self.owners[OBJECTS].reads.iter().filter(|read| Some(read.stream) == end.stream);
            let read: Vec<_> = reads.map(|read| read.snapshot.seen(get.key, false)).collect();
            reader.seen.retain(|seen| *seen == so || read.contains(seen));
        }
    }

    /// Changes that are alike are told apart by how far they are alone.
    fn line_up_writers(&mut self, model: &Exploration) {
        let changes = model.configuration.changes;
        for later in 1..self.writers.len() {
            for earlier in 0..later {
                let is_ahead = self.writers[later].state.place().cmp(&self.writers[earlier].state.place());
                if changes[earlier] == changes[later] && is_ahead == Ordering::Less {
                    self.writers.swap(earlier, later);
                }
            }
        }
    }
}

impl Writing {
    /// The furthest first; of those that are as far, the one that was announced first.
    fn place(&self) -> (u8, u64) {
        match self {
            Self::Done => (0, 0),
            Self::Failed => (1, 0),
            Self::Settled(no) => (2, no.0),
            Self::Announced(no, _) => (3, no.0),
            Self::Before => (4, 0),
        }
    }
}
