//! What is committed, what an owner's read finds in it, and what changes make of it.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use super::{Answer, HOME, OBJECTS};
use crate::coherence::node::{Answered, Question, Told, Value};
use crate::coherence::numbers::Revision;
use crate::coherence::scope::{Scope, Subject};
use crate::configurations::Change;

/// A value: which change made it, and its random revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Val {
    pub(super) made_by: u8,
    pub(super) revision: u8,
}

impl Value for Val {
    fn revision(&self) -> Revision {
        Revision([self.revision; 16])
    }

    fn weight(&self) -> usize {
        1
    }
}

/// What is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    facts: Option<Val>,
    objects: [Option<Val>; 2],
    user: Option<Val>,
}

/// What of it one request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Seen {
    pub(super) facts: Option<Val>,
    pub(super) object: Option<Val>,
    /// `None` where users are not looked at.
    pub(super) user: Option<Val>,
}

/// Names, made once: states are made by the million.
static BUCKET: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("b"));
static KEYS: LazyLock<[Arc<str>; 2]> = LazyLock::new(|| ["k", "l"].map(Arc::from));

pub(super) fn bucket() -> Arc<str> {
    Arc::clone(&BUCKET)
}

fn key(key: usize) -> Arc<str> {
    Arc::clone(&KEYS[key])
}

pub(super) fn object(index: usize) -> Subject {
    Subject::Object { bucket: bucket(), key: key(index), version: None }
}

pub(super) fn user() -> Subject {
    Subject::User { access_key: Arc::from("u") }
}

pub(super) fn owner_of(change: Change) -> usize {
    match change {
        Change::User => HOME,
        Change::Put(_) | Change::Create(_) | Change::Delete(_) | Change::Facts | Change::DropBucket => {
            OBJECTS
        }
    }
}

pub(super) fn scope_of(change: Change) -> Scope {
    match change {
        Change::Put(index) | Change::Create(index) | Change::Delete(index) => {
            Scope::Keys { bucket: bucket(), keys: BTreeSet::from([key(index)]) }
        }
        Change::Facts | Change::DropBucket => Scope::Bucket(bucket()),
        Change::User => Scope::AccessKeys(BTreeSet::from([Arc::from("u")])),
    }
}

impl Truth {
    /// The first key is there, the second is not.
    pub(super) fn new() -> Self {
        let first = Some(Val { made_by: 0, revision: 1 });
        Self { facts: first, objects: [first, None], user: first }
    }

    pub(super) fn of(&self, subject: &Subject) -> Option<Val> {
        match subject {
            Subject::Facts { .. } => self.facts,
            Subject::Object { key, .. } => self.objects[usize::from(&**key == "l")],
            Subject::User { .. } => self.user,
            Subject::Account(_) => None,
        }
    }

    /// What a request for the object of this key is answered with, if it is answered now.
    pub(super) fn seen(&self, key: usize, has_users: bool) -> Seen {
        Seen { facts: self.facts, object: self.objects[key], user: self.user.filter(|_| has_users) }
    }

    pub(super) fn answer(&self, question: &Question) -> Answer {
        let value = told(self.of(&question.subject), question.known);
        match question.subject.facts() {
            Some(facts) => {
                Answered::Object { facts: told(self.of(&facts), question.known_facts), head: value }
            }
            None => Answered::One(value),
        }
    }

    pub(super) fn make(&mut self, change: Change, value: Val) {
        match change {
            Change::Put(index) | Change::Create(index) => self.objects[index] = Some(value),
            Change::Delete(index) => self.objects[index] = None,
            Change::Facts => self.facts = Some(value),
            Change::DropBucket => (self.facts, self.objects) = (None, [None; 2]),
            Change::User => self.user = Some(value),
        }
    }

    /// Changes of a bucket that is gone are refused.
    pub(super) fn allows(&self, change: Change) -> bool {
        match change {
            Change::Create(index) => self.facts.is_some() && self.objects[index].is_none(),
            Change::Put(_) | Change::Delete(_) | Change::Facts | Change::DropBucket => self.facts.is_some(),
            Change::User => true,
        }
    }
}

fn told(value: Option<Val>, known: Option<Revision>) -> Told<Val> {
    match value {
        None => Told::Absent,
        Some(value) if Some(value.revision()) == known => Told::Same,
        Some(value) => Told::Is(value),
    }
}
