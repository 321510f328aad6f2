//! Questions on their way: who waits for each, and what its answer comes to.

use super::{Answered, Found, Keeping, Question, Told, Value, Violation};
use crate::coherence::numbers::{SessionId, Waiter};
use crate::coherence::scope::Subject;

/// A question with those who wait for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    pub(super) subject: Subject,
    pub(super) keeping: Keeping,
    pub(super) waiters: Vec<Waiter>,
}

/// A resolve that has left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight<V> {
    /// The session under which it left.
    pub(super) session: Option<SessionId>,
    pub(super) asks: Vec<Flying<V>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flying<V> {
    /// With those who were there when it left.
    pub(super) ask: Ask,
    /// What it named.
    pub(super) held: Option<V>,
    pub(super) held_facts: Option<V>,
    /// Those who came after it left.
    pub(super) joiners: Vec<Waiter>,
    /// A clear has passed it: nobody joins any more.
    pub(super) is_detached: bool,
}

impl Ask {
    pub(super) fn take_in(&mut self, other: Self) {
        self.waiters.extend(other.waiters);
        self.keeping = self.keeping.min(other.keeping);
    }
}

impl<V: Value> Flying<V> {
    pub(super) fn question(&self) -> Question {
        Question {
            subject: self.ask.subject.clone(),
            known: self.held.as_ref().map(Value::revision),
            known_facts: self.held_facts.as_ref().map(Value::revision),
        }
    }

    pub(super) fn may_be_joined(&self, subject: &Subject) -> bool {
        self.ask.subject == *subject && !self.is_detached && self.ask.keeping == Keeping::IfAllowed
    }

    /// What the answer says, in full.
    pub(super) fn found<E>(&self, answer: Answered<V, E>) -> Result<Result<Found<V>, E>, Violation> {
        let expects_facts = self.ask.subject.facts().is_some();
        match answer {
            Answered::Failed(failure) => Ok(Err(failure)),
            Answered::Object { facts, head } if expects_facts => {
                let was_held = matches!(head, Told::Same);
                let (facts, value) = (facts.in_full(&self.held_facts)?, head.in_full(&self.held)?);
                Ok(Ok(Found { value: value.filter(|_| facts.is_some()), facts, was_held }))
            }
            Answered::One(told) if !expects_facts => {
                let was_held = matches!(told, Told::Same);
                Ok(Ok(Found { facts: None, value: told.in_full(&self.held)?, was_held }))
            }
            Answered::Object { .. } | Answered::One(_) => Err(Violation::AnswerKind),
        }
    }
}
