//! What a node keeps, each under the session whose stream brought it, bounded by the bytes it takes.
//!
//! When room is needed, the oldest goes that nobody has looked at since it was last passed over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Found, Value};
use crate::coherence::aside::Aside;
use crate::coherence::numbers::SessionId;
use crate::coherence::scope::{Area, Scope, Subject};

/// What an entry takes beside its value and its names: itself, twice its name's pointers, its place in the tree and the queue.
const ENTRY_BYTES: usize = 256;

/// What is kept of one owner's answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept<V> {
    weight_max: usize,
    weight: usize,
    entries: BTreeMap<Subject, Entry<V>>,
    /// In which things came; may name what is gone.
    order: Aside<VecDeque<Subject>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry<V> {
    /// `None`: there is no such thing.
    value: Option<V>,
    /// Rule 5: it is live under this one alone.
    session: SessionId,
    weight: usize,
    looked_at: Aside<bool>,
}

impl<V: Value> Kept<V> {
    /// Keeps at most `weight_max` bytes, names included.
    #[must_use]
    pub fn new(weight_max: usize) -> Self {
        Self { weight_max, weight: 0, entries: BTreeMap::new(), order: Aside::default() }
    }

    /// What is live of `subject` under `session`, with the facts that come along with it.
    pub fn found(&mut self, subject: &Subject, session: Option<SessionId>) -> Option<Found<V>> {
        let facts = match subject.facts() {
            None => None,
            Some(facts) => match self.live(&facts, session)? {
                None => return Some(Found { facts: None, value: None, was_held: true }),
                facts => facts,
            },
        };
        let value = self.live(subject, session)?;
        Some(Found { facts, value, was_held: true })
    }

    /// Keeps what was found of `subject`, and returns the areas of what had to go for it.
    pub fn keep(&mut self, subject: &Subject, found: &Found<V>, session: SessionId) -> Vec<Area> {
        let facts = subject.facts();
        let bucket_is_absent = facts.is_some() && found.facts.is_none();
        let mut evicted = Vec::new();
        if let Some(facts) = facts {
            evicted.extend(self.insert(facts, found.facts.clone(), session));
        }
        // No facts say "no such object" for every key of the bucket.
        if !bucket_is_absent {
            evicted.extend(self.insert(subject.clone(), found.value.clone(), session));
        }
        evicted
    }

    /// What is live of `subject` under `session`; the inner `None` is "there is no such thing". Without a session it does
    /// not matter which one brought it: what rule 5 forbids.
    fn live(&mut self, subject: &Subject, session: Option<SessionId>) -> Option<Option<V>> {
        let entry = self.entries.get_mut(subject)?;
        if session.is_some_and(|session| session != entry.session) {
            return None;
        }
        entry.looked_at = Aside(true);
        Some(entry.value.clone())
    }

    pub(super) fn all_live(
        &self,
        session: Option<SessionId>,
    ) -> impl Iterator<Item = (&Subject, Option<&V>)> {
        let live = self
            .entries
            .iter()
            .filter(move |(_, entry)| session.is_none_or(|session| session == entry.session));
        live.map(|(subject, entry)| (subject, entry.value.as_ref()))
    }

    /// What is kept of `subject`, live or not.
    pub(super) fn held(&self, subject: &Subject) -> Option<V> {
        self.entries.get(subject)?.value.clone()
    }

    /// Something is kept of `subject`, live or not: be it that there is no such thing, or not even such a bucket.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        let is_kept = self.entries.contains_key(subject);
        is_kept
            || subject
                .facts()
                .and_then(|facts| self.entries.get(&facts))
                .is_some_and(|kept| kept.value.is_none())
    }

    /// What is kept of `subject`, and the session that it was last live under.
    pub(super) fn held_under(&self, subject: &Subject) -> Option<(V, SessionId)> {
        let entry = self.entries.get(subject)?;
        Some((entry.value.clone()?, entry.session))
    }

    pub(super) fn has_any(&self, area: &Area) -> bool {
        match area {
            Area::Bucket(bucket) => self.of_bucket(bucket).next().is_some(),
            Area::Users => self.users().next().is_some(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of everything that is kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Keeps it, and returns the areas of what had to go for it.
    fn insert(&mut self, subject: Subject, value: Option<V>, session: SessionId) -> Vec<Area> {
        // Once in the tree and once in the queue.
        let weight = ENTRY_BYTES + 2 * subject.name_bytes() + value.as_ref().map_or(0, Value::weight);
        let entry = Entry { value, session, weight, looked_at: Aside(false) };
        self.weight += weight;
        match self.entries.insert(subject.clone(), entry) {
            Some(before) => self.weight -= before.weight,
            None => self.order.0.push_back(subject),
        }
        self.shrink(self.weight_max)
    }

    /// Takes away everything that `scope` touches; with `spare_negatives` not what says "no such thing", which rule 4
    /// forbids.
    pub fn remove(&mut self, scope: &Scope, spare_negatives: bool) {
        let touched: Vec<Subject> = match scope {
            Scope::Keys { bucket, keys } => {
                keys.iter().flat_map(|key| self.of_key(bucket, key)).cloned().collect()
            }
            Scope::Bucket(bucket) => self.of_bucket(bucket).cloned().collect(),
            Scope::AccessKeys(access_keys) => {
                let named = access_keys.iter().cloned().map(|access_key| Subject::User { access_key });
                named.filter(|subject| self.entries.contains_key(subject)).collect()
            }
            Scope::Users => self.users().cloned().collect(),
        };
        for subject in touched {
            let is_negative = self.entries.get(&subject).is_some_and(|entry| entry.value.is_none());
            if !(is_negative && spare_negatives) {
                self.take(&subject);
            }
        }
        self.tidy();
    }

    /// Lets go of the oldest until no more than `weight_max` is kept, and returns the areas of what went.
    #[must_use]
    pub fn shrink(&mut self, weight_max: usize) -> Vec<Area> {
        let mut areas = Vec::new();
        while self.weight > weight_max
            && let Some(oldest) = self.order.0.pop_front()
        {
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.looked_at.0 => {
                    entry.looked_at = Aside(false);
                    self.order.0.push_back(oldest);
                }
                Some(_) => {
                    self.take(&oldest);
                    areas.extend(oldest.area());
                }
                None => {}
            }
        }
        areas
    }

    fn take(&mut self, subject: &Subject) -> Option<Entry<V>> {
        let entry = self.entries.remove(subject)?;
        self.weight -= entry.weight;
        Some(entry)
    }

    /// Drops the names of what is gone once they are the larger part of the queue.
    fn tidy(&mut self) {
        /// Below this it is not worth it.
        const QUEUE_SMALL: usize = 64;
        if self.order.0.len() > QUEUE_SMALL.max(2 * self.entries.len()) {
            let entries = &self.entries;
            let mut seen = std::collections::BTreeSet::new();
            self.order.0.retain(|subject| entries.contains_key(subject) && seen.insert(subject.clone()));
        }
    }

    fn of_key<'a>(&'a self, bucket: &'a Arc<str>, key: &'a Arc<str>) -> impl Iterator<Item = &'a Subject> {
        let first = Subject::Object { bucket: Arc::clone(bucket), key: Arc::clone(key), version: None };
        let from = self.entries.range(first..).map(|(subject, _)| subject);
        from.take_while(move |subject| matches!(subject, Subject::Object { bucket: b, key: k, .. } if b == bucket && k == key))
    }

    fn of_bucket<'a>(&'a self, bucket: &'a Arc<str>) -> impl Iterator<Item = &'a Subject> {
        let facts = Subject::Facts { bucket: Arc::clone(bucket) };
        let facts = self.entries.get_key_value(&facts).map(|(subject, _)| subject);
        let first = Subject::Object { bucket: Arc::clone(bucket), key: Arc::from(""), version: None };
        let from = self.entries.range(first..).map(|(subject, _)| subject);
        let heads = from
            .take_while(move |subject| matches!(subject, Subject::Object { bucket: b, .. } if b == bucket));
        facts.into_iter().chain(heads)
    }

    fn users(&self) -> impl Iterator<Item = &Subject> {
        let from = self.entries.range(Subject::User { access_key: Arc::from("") }..);
        from.map(|(subject, _)| subject).take_while(|subject| matches!(subject, Subject::User { .. }))
    }
}
