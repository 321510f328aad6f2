//! Rule 1's intervals: what is about to change, counted per change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::coherence::scope::{Area, Scope, Subject};

/// How many announced changes that have not ended touch each area, and each key in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Changing(BTreeMap<Area, Counts>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Counts {
    whole: usize,
    keys: BTreeMap<Arc<str>, usize>,
}

impl Changing {
    pub(super) fn begin(&mut self, scope: &Scope) {
        self.0.entry(scope.area()).or_default().turn(scope.keys(), |count| count + 1);
    }

    pub(super) fn end(&mut self, scope: &Scope) {
        self.lower(scope, |count| count.saturating_sub(1));
    }

    /// Takes away every change that the scope names, not one: what rule 1 forbids.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.lower(scope, |_| 0);
    }

    pub(super) fn touches(&self, subject: &Subject) -> bool {
        let Some(counts) = subject.area().and_then(|area| self.0.get(&area)) else { return false };
        counts.whole > 0 || subject.key().is_some_and(|key| counts.keys.contains_key(key))
    }

    fn lower(&mut self, scope: &Scope, lower: impl Fn(usize) -> usize) {
        let area = scope.area();
        let Some(counts) = self.0.get_mut(&area) else { return };
        counts.turn(scope.keys(), lower);
        if *counts == Counts::default() {
            self.0.remove(&area);
        }
    }
}

impl Counts {
    /// Makes the count of each of `keys`, or of the whole, what `into` says.
    fn turn(&mut self, keys: Option<&BTreeSet<Arc<str>>>, into: impl Fn(usize) -> usize) {
        let Some(keys) = keys else {
            self.whole = into(self.whole);
            return;
        };
        for key in keys {
            match into(self.keys.get(key).copied().unwrap_or_default()) {
                0 => self.keys.remove(key),
                count => self.keys.insert(Arc::clone(key), count),
            };
        }
    }
}
