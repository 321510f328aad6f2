//! The map in memory: what a bucket holds, and what each step makes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::rules::Rule;
use super::{Condition, Nth, PART_BYTES_MIN, Step, etag_of_parts};
use crate::region::{bytes, md5};

/// What a bucket holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Map {
    /// Whether versions are kept; `None`: they never were.
    pub(super) is_enabled: Option<bool>,
    /// Newest first.
    pub(super) keys: BTreeMap<String, Vec<Entry>>,
    /// Unfinished ones, by their ids.
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) rules: Vec<Rule>,
    /// Days since the store was made.
    pub(super) day: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) key: String,
    /// When it was started.
    pub(super) day: u64,
    /// By their numbers.
    pub(super) parts: BTreeMap<u32, Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) body: Body,
    pub(super) etag: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// `null`, or what the store has called it.
    pub(super) id: String,
    /// `None`: a delete marker.
    pub(super) body: Option<Body>,
    pub(super) etag: String,
    pub(super) is_tagged: bool,
    /// Whether it has metadata.
    pub(super) is_marked: bool,
    /// When it was made.
    pub(super) day: u64,
    /// When another one took its place.
    pub(super) since: Option<u64>,
}

/// The id of a delete marker that nobody was told of.
const UNTOLD: &str = "";

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
        let of_rest = Self { bytes: all.len(), shift: PART_BYTES_MIN };
        // The sequence begins with its own places.
        let body = of_shift(all.first().copied().unwrap_or_default());
        [body, of_rest].into_iter().find(|body| body.all() == *all).expect("bytes that somebody wrote")
    }

    /// The same bytes by their one name.
    fn named_once(self) -> Self {
        if self.bytes == 0 { Self { bytes: 0, shift: 0 } } else { self }
    }
}

impl Entry {
    pub(super) fn marker(id: String) -> Self {
        Self { id, body: None, etag: String::new(), is_tagged: false, is_marked: false, day: 0, since: None }
    }

    fn object(id: String, body: Body, etag: String) -> Self {
        Self { body: Some(body.named_once()), etag, ..Self::marker(id) }
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

    /// The id, the key and the parts of an upload, by its place among those that there are; of none, ones that no upload
    /// has.
    pub(super) fn upload(&self, place: usize) -> (String, String, BTreeMap<u32, Part>) {
        match self.uploads.iter().nth(place % self.uploads.len().max(1)) {
            Some((id, upload)) => (id.clone(), upload.key.clone(), upload.parts.clone()),
            None => {
                let part = Part { body: Body { bytes: 0, shift: 0 }, etag: md5(b"") };
                ("0".repeat(32), "a".to_owned(), BTreeMap::from([(1, part)]))
            }
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
                self.put(key, *condition, self.made(Entry::object(self.new_id(id), *body, etag)))
            }
            Step::PutInParts { key, body, condition } => {
                let etag = etag_of_parts(&[&md5(&body.all())]);
                self.put(key, *condition, self.made(Entry::object(self.new_id(id), *body, etag)))
            }
            Step::Copy { from, to, is_marked, condition } => self.copy(*from, to, *is_marked, *condition, id),
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
            Step::StartUpload { key } => {
                let upload = Upload { key: (*key).to_owned(), day: self.day, parts: BTreeMap::new() };
                self.uploads.insert(id.to_owned(), upload);
                200
            }
            Step::PutPart { upload, piece } => {
                let (named, _, _) = self.upload(*upload);
                let Some(upload) = self.uploads.get_mut(&named) else { return 404 };
                let (number, body) = piece.part();
                upload.parts.insert(number, Part { body, etag: md5(&body.all()) });
                200
            }
            Step::Complete { upload, condition } => self.complete(*upload, *condition, id),
            Step::Abort { upload } => {
                let (named, _, _) = self.upload(*upload);
                if self.uploads.remove(&named).is_some() { 204 } else { 404 }
            }
            Step::Rules { rules } => {
                self.rules.clone_from(rules);
                if rules.is_empty() { 204 } else { 200 }
            }
            Step::Days { count } => {
                self.day += count;
                200
            }
            Step::Get { .. } | Step::List { .. } | Step::Reopen => 200,
        }
    }

    /// Does what the rules say, until nothing is left to do; whether there was anything.
    pub(super) fn age(&mut self) -> bool {
        let before = self.clone();
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        for key in keys {
            self.expire(&key);
            self.remove_due(&key);
        }
        let (rules, day) = (&self.rules, self.day);
        let aborts = |upload: &Upload| rules.iter().any(|rule| rule.aborts(&upload.key, upload.day, day));
        self.uploads.retain(|_, upload| !aborts(upload));
        let has_changed = *self != before;
        if has_changed {
            self.age();
        }
        has_changed
    }

    fn expire(&mut self, key: &str) {
        let is_due = |current| self.rules.iter().any(|rule| rule.expires(key, current, self.day));
        if self.current(key).is_some_and(is_due) {
            self.delete(key, Condition::None, UNTOLD);
        }
    }

    fn remove_due(&mut self, key: &str) {
        let (rules, day, entries) = (&self.rules, self.day, self.entries(key));
        let due = match entries {
            [only] if only.body.is_none() && rules.iter().any(|rule| rule.removes_lone(key, only, day)) => {
                vec![only.id.clone()]
            }
            [] => vec![],
            [_, older @ ..] => {
                let is_due = |(newer_count, version): &(usize, &Entry)| {
                    rules.iter().any(|rule| rule.removes(key, version, *newer_count, day))
                };
                older.iter().enumerate().filter(is_due).map(|(_, version)| version.id.clone()).collect()
            }
        };
        due.iter().for_each(|id| self.remove(key, id));
    }

    /// Gives the markers that nobody was told of the ids that they have in `found`.
    pub(super) fn told_by(&mut self, found: &Self) {
        for (key, entries) in &mut self.keys {
            for (entry, found) in entries.iter_mut().zip(found.entries(key)) {
                if entry.id == UNTOLD && found.body.is_none() {
                    entry.id.clone_from(&found.id);
                }
            }
        }
    }

    /// What listings show of it: of times the day that each version was made, and of rules their names.
    pub(super) fn shown(&self) -> Self {
        let mut shown = Self { day: 0, ..self.clone() };
        for upload in shown.uploads.values_mut() {
            upload.day = 0;
            upload.parts.values_mut().for_each(|part| part.body.shift = 0);
        }
        shown.rules = self.rules.iter().map(|rule| Rule::named(rule.id.clone())).collect();
        for entry in shown.keys.values_mut().flatten() {
            entry.since = None;
        }
        shown
    }

    fn put(&mut self, key: &str, condition: Condition, entry: Entry) -> u16 {
        let refusal = condition.refusal(self.current(key));
        if refusal.is_none() {
            self.add(key, entry);
        }
        refusal.unwrap_or(200)
    }

    fn complete(&mut self, upload: usize, condition: Condition, id: &str) -> u16 {
        let (named, key, parts) = self.upload(upload);
        if !self.uploads.contains_key(&named) {
            return 404;
        }
        let bodies: Vec<Body> = parts.values().map(|part| part.body).collect();
        let body = match bodies[..] {
            [only] => only,
            [first, rest] if first.bytes == PART_BYTES_MIN => {
                Body { bytes: first.bytes + rest.bytes, shift: first.shift }
            }
            // None at all, or one too small to have another behind it.
            _ => return 400,
        };
        let etags: Vec<&str> = parts.values().map(|part| part.etag.as_str()).collect();
        let entry = Entry::object(self.new_id(id), body, etag_of_parts(&etags));
        let status = self.put(&key, condition, self.made(entry));
        if status == 200 {
            self.uploads.remove(&named);
        }
        status
    }

    fn copy(&mut self, from: Nth, to: &str, is_marked: bool, condition: Condition, id: &str) -> u16 {
        let (query, entry) = self.named(from);
        match entry.cloned() {
            _ if from.key == to && query.is_empty() && !is_marked => 400,
            None => 404,
            Some(Entry { body: None, .. }) if query.is_empty() => 404,
            Some(Entry { body: None, .. }) => 400,
            Some(source) => {
                let is_marked = is_marked || source.is_marked;
                self.put(to, condition, self.made(Entry { id: self.new_id(id), is_marked, ..source }))
            }
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
            Some(_) => self.add(key, self.made(Entry::marker(self.new_id(id)))),
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

    /// `entry` as it is made today.
    fn made(&self, entry: Entry) -> Entry {
        Entry { day: self.day, since: None, ..entry }
    }

    fn add(&mut self, key: &str, entry: Entry) {
        let entries = self.keys.entry(key.to_owned()).or_default();
        let newest = entries.first().map(|newest| newest.id.clone());
        entries.retain(|old| entry.id != "null" || old.id != "null");
        if let Some(next) = entries.first_mut().filter(|next| Some(&next.id) == newest.as_ref()) {
            next.since = Some(self.day);
        }
        entries.insert(0, entry);
    }

    fn remove(&mut self, key: &str, id: &str) {
        let Some(entries) = self.keys.get_mut(key) else { return };
        entries.retain(|entry| entry.id != id);
        match entries.first_mut() {
            Some(newest) => newest.since = None,
            None => drop(self.keys.remove(key)),
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
