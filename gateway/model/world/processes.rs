//! Processes: what their timers do, and how they are killed and start again.

use super::truth::owner_of;
use super::{End, Event, Exploration, LEASE, Reader, Step, Stream, World, Writer, Writing, ticks};
use crate::coherence::owner::Todo;
use crate::configurations::{Around, Change, Sending};

impl World {
    pub(super) fn do_todo(&mut self, model: &Exploration, owner: usize, todo: Todo) {
        for change in todo.settled {
            let of_owner = |(_, made): &(&mut Writer, &Change)| owner_of(**made) == owner;
            let mut writers = self.writers.iter_mut().zip(model.configuration.changes).filter(of_owner);
            let is_it = |writer: &Writer| matches!(writer.state, Writing::Announced(no, _) if no == change);
            if let Some((writer, _)) = writers.find(|(writer, _)| is_it(writer)) {
                writer.state = Writing::Settled(change);
                if model.is_broken(Around::EndedBeforeVisible)
                    && let Some(machine) = &mut self.owners[owner].machine
                {
                    machine.finish(change);
                }
            }
        }
        if model.configuration.sending == Sending::AtOnce {
            let of_owner = self.streams.iter().filter(|(_, stream)| stream.owner == owner);
            let streams: Vec<_> = of_owner.map(|(no, _)| *no).collect();
            streams.into_iter().for_each(|stream| self.flush_owner(model, stream));
        }
    }

    pub(super) fn node_crashes(&mut self, model: &Exploration, node: usize) {
        let streams: Vec<_> = self.nodes[node].ends.iter().filter_map(|end| end.stream).collect();
        streams.into_iter().for_each(|stream| self.node_loses(stream));
        for end in &mut self.nodes[node].ends {
            *end = End { machine: model.node(), stream: None, astray: Vec::new() };
        }
        for (reader, get) in self.readers.iter_mut().zip(model.configuration.gets) {
            if get.node == node && !matches!(reader.step, Step::Before) {
                *reader = Reader { step: Step::Done, ..Reader::default() };
            }
        }
    }

    pub(super) fn owner_crashes(&mut self, model: &Exploration, owner: usize) {
        let of_owner = |stream: &&mut Stream| stream.owner == owner;
        for stream in self.streams.values_mut().filter(of_owner) {
            stream.owner_is_open = false;
            stream.to_owner.clear();
        }
        self.forget_closed();
        (self.owners[owner].machine, self.owners[owner].reads) = (None, Vec::new());
        for (writer, change) in self.writers.iter_mut().zip(model.configuration.changes) {
            if owner_of(*change) == owner
                && matches!(writer.state, Writing::Announced(..) | Writing::Settled(_))
            {
                writer.state = Writing::Failed;
            }
        }
    }

    pub(super) fn owner_closes(&mut self, model: &Exploration, owner: usize) {
        let now = self.owner_now(owner);
        if let Some(machine) = &mut self.owners[owner].machine {
            let todo = machine.close(now);
            self.do_todo(model, owner, todo);
        }
    }

    pub(super) fn owner_starts(&mut self, model: &Exploration, owner: usize) {
        let granted_before = if model.is_broken(Around::NothingWithheld) { 0 } else { LEASE };
        let machine = model.owner(ticks(granted_before), self.owner_now(owner));
        self.owners[owner].machine = Some(machine);
        if model.is_broken(Around::SessionIdsReused) {
            self.sessions_given.fill(0);
        }
    }

    pub(super) fn tick(&mut self, model: &Exploration) {
        self.time += 1;
        for node in &mut self.nodes {
            node.behind += u64::from(node.is_paused && model.is_broken(Around::ClockStops));
        }
        self.timers(model);
    }

    pub(super) fn timers(&mut self, model: &Exploration) {
        for owner in 0..self.owners.len() {
            let now = self.owner_now(owner);
            if let Some(machine) = &mut self.owners[owner].machine {
                let todo = machine.tick(now);
                if !todo.settled.is_empty() && machine.withheld_until(now).is_none() {
                    model.note(Event::WaitedOut);
                }
                self.do_todo(model, owner, todo);
            }
        }
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_paused {
                self.stir_node(model, node);
            }
        }
    }
}
