//! One change inside the write transaction: reading what it stands on, and writing by name.
//!
//! Heads and parts name instances; how those come, are shared and go is in [`instances`](super::instances).

use std::collections::BTreeMap;
use std::time::Duration;

use super::db::{KeyRange, ReadRows, Rows, WriteRows};
use super::due::{Leftover, Since};
use super::failure::Failure;
use super::files::{Aside, Room};
use super::keys;
use super::known_buckets::KnownBuckets;
use super::rows::{CompletedRow, ObjectRow, PartRow, Reads, RenamedRow, UploadRow, UserRow, encode};
use super::seams::{Clock, Random};
use super::table::Table;
use super::usage::Counted;
use crate::head::Head;
use crate::instance::Instance;

/// The moment a transaction runs at.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) epoch: u64,
    /// Since the store was opened.
    pub(super) running: Duration,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
}

/// One change inside the write transaction. What it reads is as its writes and all earlier changes left it.
pub(crate) struct Txn<'a> {
    pub(super) rows: &'a mut dyn WriteRows,
    pub(super) moment: Moment<'a>,
    /// What its batch may still put into rows.
    pub(super) room: &'a mut Room,
    pub(super) known: &'a KnownBuckets,
    pub(super) effects: Effects,
    /// What each bucket holds more than before.
    pub(super) counted: BTreeMap<String, Counted>,
}

/// What a change asks of the writer, beside its rows.
#[derive(Default)]
pub(super) struct Effects {
    /// Files that the change made part of the store: to be kept if it is committed.
    pub(super) published: Vec<Aside>,
    /// Something was left over that need not wait for its grace.
    pub(super) reap_now: bool,
}

impl<'a> Txn<'a> {
    pub(super) fn new(
        rows: &'a mut dyn WriteRows,
        moment: Moment<'a>,
        room: &'a mut Room,
        known: &'a KnownBuckets,
    ) -> Self {
        Self { rows, moment, room, known, effects: Effects::default(), counted: BTreeMap::new() }
    }

    /// What the change asks of the writer.
    pub(super) fn into_effects(self) -> Effects {
        self.effects
    }

    /// Takes the disk space that the change's rows need beyond those they replace.
    ///
    /// # Errors
    /// A full disk: what is left is needed to remove things.
    pub(super) fn settle_room(&mut self) -> Result<(), Failure> {
        match u64::try_from(self.rows.grown_bytes()) {
            Ok(grown_bytes @ 1..) => Ok(self.room.take(grown_bytes)?),
            Ok(0) | Err(_) => Ok(()),
        }
    }

    /// Milliseconds since 1970, for the times in rows.
    pub(crate) fn now_millis(&self) -> u64 {
        self.moment.clock.now_millis()
    }

    /// A new random id: for a revision, or for an incarnation.
    pub(crate) fn random_id(&self) -> Instance {
        random_id(self.moment.random)
    }

    /// Puts an object of a bucket that never kept versions. The bytes of the one before are kept for their grace.
    pub(crate) fn put_object(&mut self, bucket: &str, key: &str, head: &Head) -> Result<(), Failure> {
        let row_key = keys::object(bucket, key);
        let before = self.decoded::<ObjectRow>(Table::Objects, &row_key)?;
        self.count_bytes(bucket, before.as_ref().map_or(0, |before| before.head.bytes), head.bytes)?;
        if let Some(before) = before.filter(|before| before.head.instance != head.instance) {
            self.retire_object(&before)?;
        }
        let row = self.object_row(head, 0)?;
        self.rows.put_row(Table::Objects, &row_key, &encode(&row))
    }

    /// The row of a version at `order` of its key; its parts are put in theirs.
    pub(super) fn object_row(&mut self, head: &Head, order: u64) -> Result<ObjectRow, Failure> {
        let has_part_list = !head.parts.is_empty();
        if has_part_list {
            self.rows.put_row(Table::PartLists, head.instance.as_bytes(), &encode(&head.parts))?;
        }
        let head = Head { parts: Vec::new(), ..head.clone() };
        Ok(ObjectRow { head, has_part_list, order, superseded_millis: None })
    }

    /// Removes an object of a bucket that never kept versions and returns it as it was, without its parts. The bytes are
    /// kept for their grace.
    pub(crate) fn delete_object(&mut self, bucket: &str, key: &str) -> Result<Option<Head>, Failure> {
        let row_key = keys::object(bucket, key);
        let Some(before) = self.decoded::<ObjectRow>(Table::Objects, &row_key)? else {
            return Ok(None);
        };
        self.rows.delete_row(Table::Objects, &row_key)?;
        self.count_bytes(bucket, before.head.bytes, 0)?;
        self.retire_object(&before)?;
        Ok(Some(before.head))
    }

    /// Gives the key `to` to the object `from` of a bucket that never kept versions. The bytes of what had that key are
    /// kept for their grace.
    pub(crate) fn move_object(&mut self, bucket: &str, from: &str, to: &str) -> Result<(), Failure> {
        let (from, to) = (keys::object(bucket, from), keys::object(bucket, to));
        let missing = || Failure::Corrupt("an object to be renamed is missing".into());
        let mut object: ObjectRow = self.decoded(Table::Objects, &from)?.ok_or_else(missing)?;
        object.head.revision = self.random_id();
        if let Some(before) = self.decoded::<ObjectRow>(Table::Objects, &to)? {
            self.count_bytes(bucket, before.head.bytes, 0)?;
            self.retire_object(&before)?;
        }
        self.rows.delete_row(Table::Objects, &from)?;
        self.rows.put_row(Table::Objects, &to, &encode(&object))
    }

    /// Puts an unfinished upload.
    pub(crate) fn put_upload(
        &mut self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        upload: &UploadRow,
    ) -> Result<(), Failure> {
        self.rows.put_row(Table::Uploads, &keys::upload(bucket, key, upload_id), &encode(upload))
    }

    /// Puts a part of an unfinished upload to `bucket`. The bytes of the one before it under this number go at once.
    pub(crate) fn put_part(
        &mut self,
        bucket: &str,
        upload_id: &str,
        number: u32,
        part: &PartRow,
    ) -> Result<(), Failure> {
        let before = self.part(upload_id, number)?;
        self.count_bytes(bucket, before.as_ref().map_or(0, |before| before.bytes), part.bytes)?;
        if let Some(before) = before {
            self.retire(&before.instance, Since::LONG_AGO)?;
        }
        self.rows.put_row(Table::Parts, &keys::part(upload_id, number), &encode(part))
    }

    /// Removes an unfinished upload and its parts. Parts that were not joined lose their bytes at once.
    pub(crate) fn delete_upload(&mut self, bucket: &str, key: &str, upload_id: &str) -> Result<(), Failure> {
        let parts = self.parts(upload_id, 0)?.collect::<Result<Vec<_>, _>>()?;
        self.count_bytes(bucket, parts.iter().map(|(_, part)| part.bytes).sum(), 0)?;
        for (number, part) in parts {
            self.rows.delete_row(Table::Parts, &keys::part(upload_id, number))?;
            if self.instance_bytes(&part.instance)?.is_some() {
                self.retire(&part.instance, Since::LONG_AGO)?;
            }
        }
        self.rows.delete_row(Table::Uploads, &keys::upload(bucket, key, upload_id))
    }

    /// Remembers for a day how an upload was finished.
    pub(crate) fn put_completed(&mut self, upload_id: &str, completed: &CompletedRow) -> Result<(), Failure> {
        let leftover = Leftover::Completed(upload_id.to_owned());
        self.rows.put_row(Table::Due, &self.now().key(&leftover), b"")?;
        self.rows.put_row(Table::Completed, upload_id.as_bytes(), &encode(completed))
    }

    /// Remembers for a while that a rename was done under a client token of an account's.
    pub(crate) fn put_renamed(
        &mut self,
        account_id: &str,
        token: &str,
        renamed: &RenamedRow,
    ) -> Result<(), Failure> {
        let key = keys::renamed(account_id, token);
        self.rows.put_row(Table::Renames, &key, &encode(renamed))?;
        self.rows.put_row(Table::Due, &self.now().key(&Leftover::Renamed(key)), b"")
    }

    /// Puts a user, over the one of this access key.
    pub(crate) fn put_user(&mut self, user: &UserRow) -> Result<(), Failure> {
        self.rows.put_row(Table::Users, user.access_key.as_bytes(), &encode(user))
    }

    /// Removes a user.
    pub(crate) fn delete_user(&mut self, access_key: &str) -> Result<(), Failure> {
        self.rows.delete_row(Table::Users, access_key.as_bytes())
    }

    /// Leaves over what a version is made of.
    pub(super) fn retire_object(&mut self, object: &ObjectRow) -> Result<(), Failure> {
        if object.has_part_list {
            self.rows.delete_row(Table::PartLists, object.head.instance.as_bytes())?;
        }
        self.retire(&object.head.instance, self.now())
    }

    /// Now, for what is left over.
    pub(super) fn now(&self) -> Since {
        Since { epoch: self.moment.epoch, running: self.moment.running }
    }
}

impl ReadRows for Txn<'_> {
    fn known_buckets(&self) -> Option<&KnownBuckets> {
        Some(self.known)
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.rows.row(table, key)
    }

    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        self.rows.rows(table, range)
    }
}

/// A new random id.
pub(super) fn random_id(random: &dyn Random) -> Instance {
    let mut id = [0; 16];
    random.fill(&mut id);
    Instance::from_bytes(id)
}
