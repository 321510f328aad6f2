//! The map in memory: what a bucket holds, and what each step makes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Condition, Nth, Step, etag_of_one_part};
use crate::region::{bytes, md5};

/// What a bucket holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Map {
    /// Whether versions are kept; `None`: they never were.
    pub(super) is_enabled: Option<bool>,
    /// Newest first.
    pub(super) keys: BTreeMap<String, Vec<Entry>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// `null`, or what the store has called it.
    pub(super) id: String,
    /// `None`: a delete marker.
    pub(super) body: Option<Body>,
    pub(super) etag: String,
    pub(super) is_tagged: bool,
}

/// Bytes, by what they are made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) bytes: usize,
    /// Where in the sequence they begin; of no bytes, anywhere.
    pub(super) shift: usize,
}

impl Body {
    pub(super) fn all(self) -> Bytes {
        bytes(self.bytes + self.shift).slice(self.shift..)
    }

    /// The body that these bytes are of.
    pub(super) fn of(all: &Bytes) -> Self {
        let of_shift = |shift: u8| Self { bytes: all.len(), shift: usize::from(shift) };
        // The sequence begins with its own places.
        let body = of_shift(all.first().copied().unwrap_or_default());
        assert!(body.all() == *all, "bytes that nobody wrote");
        body
    }

    /// The same bytes by their one name.
    fn named_once(self) -> Self {
        if self.bytes == 0 { Self { bytes: 0, shift: 0 } } else { self }
    }
}

impl Entry {
    pub(super) fn marker(id: String) -> Self {
        Self { id, body: None, etag: String::new(), is_tagged: false }
    }

    fn object(id: String, body: Body, etag: String) -> Self {
        Self { id, body: Some(body.named_once()), etag, is_tagged: false }
    }
}

impl Map {
    /// All there is of a key, newest first.
    pub(super) fn entries(&self, key: &str) -> &[Entry] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// What a request names: the query, and what is there.
    pub(super) fn named(&self, Nth { key, place }: Nth) -> (String, Option<&Entry>) {
        match self.entries(key).get(place) {
            Some(entry) => (format!("versionId={}", entry.id), Some(entry)),
            None => (String::new(), self.entries(key).first()),
        }
    }

    /// The keys that have an object.
    pub(super) fn objects(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str).filter(|key| self.current(key).is_some())
    }

    /// Whether there is a version of this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.values().flatten().any(|entry| entry.id == id)
    }

    /// Does `step`, where the store has called what it made `id`; the status of its answer. Reads change nothing.
    pub(super) fn apply(&mut self, step: &Step, id: &str) -> u16 {
        match step {
            Step::Versioning { is_enabled } => {
                self.is_enabled = Some(*is_enabled);
                200
            }
            Step::Put { key, body, condition } => {
                let etag = md5(&body.all());
                self.put(key, *condition, Entry::object(self.new_id(id), *body, etag))
            }
            Step::PutInParts { key, body, condition } => {
                let etag = etag_of_one_part(&body.all());
                self.put(key, *condition, Entry::object(self.new_id(id), *body, etag))
            }
            Step::Copy { from, to, condition } => self.copy(*from, to, *condition, id),
            Step::Rename { from, to, condition } => self.rename(from, to, *condition),
            Step::Delete { key, condition } => self.delete(key, *condition, id),
            Step::DeleteMany { key, version } => {
                let named = self.named_id(*version);
                self.delete(key, Condition::None, id);
                // The null version that is named may be the marker that the first has just made.
                if let Some(named) = named {
                    self.remove(version.key, &named);
                }
                200
            }
            Step::DeleteVersion { version } => match self.named_id(*version) {
                Some(named) => {
                    self.remove(version.key, &named);
                    204
                }
                None => self.delete(version.key, Condition::None, id),
            },
            Step::Tag { version } => self.tag(*version),
            Step::Get { .. } | Step::List { .. } | Step::Reopen => 200,
        }
    }

    fn put(&mut self, key: &str, condition: Condition, entry: Entry) -> u16 {
        let refusal = condition.refusal(self.current(key));
        if refusal.is_none() {
            self.add(key, entry);
        }
        refusal.unwrap_or(200)
    }

    fn copy(&mut self, from: Nth, to: &str, condition: Condition, id: &str) -> u16 {
        let (query, entry) = self.named(from);
        match entry.cloned() {
            _ if from.key == to && query.is_empty() => 400,
            None => 404,
            Some(Entry { body: None, .. }) if query.is_empty() => 404,
            Some(Entry { body: None, .. }) => 400,
            Some(source) => self.put(to, condition, Entry { id: self.new_id(id), ..source }),
        }
    }

    fn rename(&mut self, from: &str, to: &str, condition: Condition) -> u16 {
        match self.current(from).cloned() {
            _ if from == to => 400,
            _ if self.is_enabled.is_some() => 409,
            None => 404,
            Some(entry) => {
                let status = self.put(to, condition, entry);
                if status == 200 {
                    self.keys.remove(from);
                }
                status
            }
        }
    }

    fn delete(&mut self, key: &str, condition: Condition, id: &str) -> u16 {
        let newest = self.entries(key).first();
        let is_refused = match (condition, newest) {
            (Condition::None, _) => false,
            // What is not there is deleted already, whatever was expected of it.
            (_, None) => return 204,
            (Condition::Empty, Some(Entry { body: None, .. })) => true,
            // A marker is something, and no object.
            (Condition::Absent | Condition::Present, Some(Entry { body: None, .. })) => false,
            (condition, object) => condition.refusal(object).is_some(),
        };
        if is_refused {
            return 412;
        }
        match self.is_enabled {
            None => self.remove(key, "null"),
            Some(_) => self.add(key, Entry::marker(self.new_id(id))),
        }
        204
    }

    fn tag(&mut self, version: Nth) -> u16 {
        let (query, entry) = self.named(version);
        match entry.map(|entry| (entry.id.clone(), entry.body)) {
            Some((id, Some(_))) => {
                let entries = self.keys.get_mut(version.key).into_iter().flatten();
                entries.filter(|entry| entry.id == id).for_each(|entry| entry.is_tagged = true);
                200
            }
            Some((_, None)) if !query.is_empty() => 405,
            Some(_) | None => 404,
        }
    }

    /// The newest of a key, if it is an object.
    fn current(&self, key: &str) -> Option<&Entry> {
        self.entries(key).first().filter(|entry| entry.body.is_some())
    }

    /// The id that a request names.
    fn named_id(&self, version: Nth) -> Option<String> {
        let (query, entry) = self.named(version);
        entry.filter(|_| !query.is_empty()).map(|entry| entry.id.clone())
    }

    fn new_id(&self, said: &str) -> String {
        if self.is_enabled == Some(true) { said.to_owned() } else { "null".to_owned() }
    }

    fn add(&mut self, key: &str, entry: Entry) {
        let entries = self.keys.entry(key.to_owned()).or_default();
        entries.retain(|old| entry.id != "null" || old.id != "null");
        entries.insert(0, entry);
    }

    fn remove(&mut self, key: &str, id: &str) {
        let Some(entries) = self.keys.get_mut(key) else { return };
        entries.retain(|entry| entry.id != id);
        if entries.is_empty() {
            self.keys.remove(key);
        }
    }
}

impl Condition {
    /// The status of a refusal to write over `current`, or nothing.
    fn refusal(self, current: Option<&Entry>) -> Option<u16> {
        match (self, current) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => None,
            (Self::Absent, Some(_)) => Some(412),
            (Self::Present | Self::Empty, None) => Some(404),
            (Self::Empty, Some(entry)) => (entry.etag != md5(b"")).then_some(412),
        }
    }
}
