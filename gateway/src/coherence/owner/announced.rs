//! Rule 1's intervals: what is about to change, counted per change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::coherence::scope::{Scope, Subject};

/// How many announced changes that have not ended touch each bucket and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Changing {
    buckets: BTreeMap<Arc<str>, Bucket>,
    users: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Bucket {
    whole: usize,
    keys: BTreeMap<Arc<str>, usize>,
}

impl Changing {
    pub(super) fn begin(&mut self, scope: &Scope) {
        match scope {
            Scope::Keys { bucket, keys } => {
                let counts = &mut self.buckets.entry(Arc::clone(bucket)).or_default().keys;
                keys.iter().for_each(|key| *counts.entry(Arc::clone(key)).or_default() += 1);
            }
            Scope::Bucket(bucket) => self.buckets.entry(Arc::clone(bucket)).or_default().whole += 1,
            Scope::Users => self.users += 1,
        }
    }

    pub(super) fn end(&mut self, scope: &Scope) {
        self.lower(scope, |count| count.saturating_sub(1));
    }

    /// Takes away every change that the scope names, not one: what rule 1 forbids.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.lower(scope, |_| 0);
    }

    pub(super) fn touches(&self, subject: &Subject) -> bool {
        let (bucket, key) = match subject {
            Subject::Facts { bucket } => (bucket, None),
            Subject::Object { bucket, key, .. } => (bucket, Some(key)),
            Subject::User { .. } => return self.users > 0,
            Subject::Account(_) => return false,
        };
        self.buckets
            .get(bucket)
            .is_some_and(|bucket| bucket.whole > 0 || key.is_some_and(|key| bucket.keys.contains_key(key)))
    }

    fn lower(&mut self, scope: &Scope, lower: impl Fn(usize) -> usize) {
        let name = match scope {
            Scope::Keys { bucket, .. } | Scope::Bucket(bucket) => bucket,
            Scope::Users => {
                self.users = lower(self.users);
                return;
            }
        };
        let Some(bucket) = self.buckets.get_mut(name) else { return };
        match scope {
            Scope::Keys { keys, .. } => keys.iter().for_each(|key| {
                let left = bucket.keys.get(key).map_or(0, |count| lower(*count));
                match left {
                    0 => bucket.keys.remove(key),
                    left => bucket.keys.insert(Arc::clone(key), left),
                };
            }),
            Scope::Bucket(_) | Scope::Users => bucket.whole = lower(bucket.whole),
        }
        if bucket.whole == 0 && bucket.keys.is_empty() {
            self.buckets.remove(name);
        }
    }
}
