//! Those who read, at nodes, and those who write, at owners.

use super::truth::{Seen, Val, object, owner_of, scope_of, user};
use super::{Event, Exploration, HOME, LOOKS_MAX, OBJECTS, Reader, Step, Violation, World, Writing};
use crate::coherence::node::{Found, Keeping, Value, unchanged};
use crate::coherence::numbers::{ChangeNo, Waiter};
use crate::configurations::{Around, Change};

impl World {
    /// The request looks for what it needs next, and asks for it when it is not there.
    pub(super) fn read(&mut self, model: &Exploration, index: usize) {
        let get = model.configuration.gets[index];
        let has_users = model.configuration.has_users;
        let reader = &mut self.readers[index];
        if reader.step == Step::Before {
            reader.step = if has_users { Step::User } else { Step::Object };
            reader.seen.insert(self.truth.seen(get.key, has_users));
        }
        let (owner, subject) = match reader.step {
            Step::Before | Step::Done => unreachable!("it has begun and has not ended"),
            Step::User | Step::UserAgain => (HOME, user()),
            Step::Object => (OBJECTS, object(get.key)),
        };
        let now = self.node_now(get.node);
        let machine = &mut self.nodes[get.node].ends[owner].machine;
        match machine.look(now, &subject) {
            Some(found) => {
                model.note(Event::Hit);
                self.found(model, index, found);
            }
            None => {
                let waiter = Waiter(u64::try_from(index).expect("few readers"));
                machine.ask(subject, waiter, Keeping::IfAllowed).expect("room for a question");
                self.readers[index].is_waiting = true;
                self.stir_node(model, get.node);
            }
        }
    }

    /// The request has what it looked for. Rule 6: it is answered if its user was the same before and after.
    pub(super) fn found(&mut self, model: &Exploration, index: usize, found: Found<Val>) {
        if found.was_held && self.readers[index].is_waiting {
            model.note(Event::Confirmed);
        }
        let reader = &mut self.readers[index];
        reader.is_waiting = false;
        match reader.step {
            Step::Before | Step::Done => {}
            Step::User => (reader.user, reader.step) = (found.value, Step::Object),
            Step::Object => {
                reader.object = Some(found);
                reader.step = Step::UserAgain;
                if !model.configuration.has_users || model.is_broken(Around::UserSeenOnce) {
                    self.judge(model, index);
                }
            }
            Step::UserAgain => {
                let (before, after) = (reader.user, found.value);
                let revision = |user: Option<Val>| user.map(|user| user.revision());
                if unchanged(revision(before), revision(after)) {
                    model.note(Event::Judged);
                    self.judge(model, index);
                } else {
                    model.note(Event::LookedAgain);
                    reader.looks += 1;
                    (reader.user, reader.object) = (after, None);
                    reader.step = Step::Object;
                    if reader.looks == LOOKS_MAX {
                        *reader = Reader { step: Step::Done, ..Reader::default() };
                    }
                }
            }
        }
    }

    /// The request is answered: all that it is answered with must have been true at one instant since it began.
    pub(super) fn judge(&mut self, model: &Exploration, index: usize) {
        let done = Reader { step: Step::Done, ..Reader::default() };
        let reader = std::mem::replace(&mut self.readers[index], done);
        let object = reader.object.expect("an object was looked for");
        let user = reader.user.filter(|_| model.configuration.has_users);
        if !reader.seen.contains(&Seen { facts: object.facts, object: object.value, user }) {
            self.violation = Some(Violation::Stale);
        }
    }

    pub(super) fn announce(&mut self, model: &Exploration, index: usize) {
        let change = model.configuration.changes[index];
        let owner = owner_of(change);
        let now = self.owner_now(owner);
        // Where the rule is kept, what was so then makes no difference.
        self.writers[index].staged =
            !model.is_broken(Around::ConditionWhenStaged) || self.truth.allows(change);
        let machine = self.owners[owner].machine.as_mut().expect("an owner that runs");
        if model.is_broken(Around::UserNotCleared) && change == Change::User {
            self.writers[index].state = Writing::Settled(ChangeNo(u64::MAX));
            return;
        }
        let (no, todo) = machine.announce(now, scope_of(change));
        if machine.withheld_until(now).is_some() {
            model.note(Event::Withheld);
        }
        self.writers[index].state = Writing::Announced(no, now.as_secs());
        self.do_todo(model, owner, todo);
        if model.is_broken(Around::CommitBeforeClear) {
            self.writers[index].state = Writing::Settled(no);
        }
    }

    pub(super) fn end_change(&mut self, model: &Exploration, index: usize) {
        let owner = owner_of(model.configuration.changes[index]);
        if let (Writing::Announced(no, _) | Writing::Settled(no), Some(machine)) =
            (self.writers[index].state, &mut self.owners[owner].machine)
        {
            machine.finish(no);
        }
    }

    /// Of changes that are alike, the first that commits has made what the first makes, whichever it was.
    fn maker(&self, model: &Exploration, index: usize) -> u8 {
        let changes = model.configuration.changes;
        let alike = || (0..changes.len()).filter(|other| changes[*other] == changes[index]);
        let made_count = alike().filter(|other| *other != index && self.writers[*other].commits > 0).count();
        let maker = alike().nth(made_count).expect("it is like itself");
        u8::try_from(maker + 1).expect("few writers")
    }

    /// Rule 7: its condition is decided now, not when it was staged.
    pub(super) fn commit(&mut self, model: &Exploration, index: usize) {
        let change = model.configuration.changes[index];
        let is_allowed = match model.is_broken(Around::ConditionWhenStaged) {
            false => self.truth.allows(change),
            true => self.writers[index].staged,
        };
        self.end_change(model, index);
        let writer = &mut self.writers[index];
        if !is_allowed {
            writer.state = Writing::Failed;
            return;
        }
        writer.state = Writing::Done;
        writer.commits += 1;
        let made_by = self.maker(model, index);
        let revision = if model.is_broken(Around::RevisionsRepeat) { 1 } else { made_by + 1 };
        self.truth.make(change, Val { made_by, revision });
        for (reader, get) in self.readers.iter_mut().zip(model.configuration.gets) {
            if !matches!(reader.step, Step::Before | Step::Done) {
                reader.seen.insert(self.truth.seen(get.key, model.configuration.has_users));
            }
        }
        let creates = self.writers.iter().zip(model.configuration.changes);
        let created = creates
            .filter(|(writer, change)| matches!(change, Change::Create(_)) && writer.commits > 0)
            .count();
        // Rule 8, and rule 7's conditions.
        if self.writers[index].commits > 1 || created > 1 {
            self.violation = self.violation.or(Some(Violation::ChangedTwice));
        }
    }
}
