//! One change inside the write transaction: reading what it stands on, and writing by name.
//!
//! Bytes are published, shared and joined as *instances*; heads and parts name them. An instance that nothing names
//! any more is *retired*: its row stays until its grace is over, and its files until no instance lies in them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use s3s::{S3Error, s3_error};

use super::db::{KeyRange, ReadRows, Rows, Table, WriteRows};
use super::due::{Leftover, Since};
use super::failure::Failure;
use super::files::{Aside, pages_in};
use super::keys;
use super::layout;
use super::rows::{
    Bucket, CompletedRow, Content, FileRow, InstanceRow, PartRow, RUN_PAGES, Reads, Segment, UploadRow,
    UserRow, encode,
};
use super::seams::{Clock, Random};
use super::upload::{Staged, StagedContent};
use crate::head::Head;
use crate::instance::Instance;

/// Segments that one instance may have: 10,000 parts that were each copied out of ten files.
const SEGMENTS_MAX: usize = 100_000;

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
    rows: &'a mut dyn WriteRows,
    moment: Moment<'a>,
    effects: Effects,
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
    pub(super) fn new(rows: &'a mut dyn WriteRows, moment: Moment<'a>) -> Self {
        Self { rows, moment, effects: Effects::default() }
    }

    /// What the change asks of the writer.
    pub(super) fn into_effects(self) -> Effects {
        self.effects
    }

    /// Milliseconds since 1970, for the times in rows.
    pub(crate) fn now_millis(&self) -> u64 {
        self.moment.clock.now_millis()
    }

    /// A new random id: for a revision, or for an incarnation.
    pub(crate) fn random_id(&self) -> Instance {
        random_id(self.moment.random)
    }

    /// Puts a bucket, over the one of this name.
    pub(crate) fn put_bucket(&mut self, name: &str, bucket: &Bucket) -> Result<(), Failure> {
        self.rows.put_row(Table::Buckets, name.as_bytes(), &encode(bucket))
    }

    /// Removes a bucket's row. That it is empty is the caller's to have asked.
    pub(crate) fn delete_bucket(&mut self, name: &str) -> Result<(), Failure> {
        self.rows.delete_row(Table::Buckets, name.as_bytes())
    }

    /// Makes staged bytes an instance.
    pub(crate) fn publish(&mut self, staged: Staged) -> Result<Instance, Failure> {
        let Staged { instance, bytes, content } = staged;
        let content = match content {
            StagedContent::Inline(inline) => Content::Inline(inline.to_vec()),
            StagedContent::File { aside, sums } => {
                self.effects.published.push(aside);
                for (run, sums) in (0..).zip(sums.chunks(RUN_PAGES as usize)) {
                    let packed: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
                    self.rows.put_row(Table::Sums, &keys::run(&instance, run * RUN_PAGES), &packed)?;
                }
                self.put_file(&instance, FileRow { bytes, epoch: self.moment.epoch, references: 0 })?;
                return self.put_segments(instance, vec![Segment { file: instance, offset: 0, bytes }]);
            }
        };
        self.put_inline(instance, InstanceRow { bytes, content })
    }

    /// A new instance of the same bytes as `source`, without moving them.
    ///
    /// # Errors
    /// `InternalError` when `source` is gone: find it in this same transaction.
    pub(crate) fn share(&mut self, source: &Instance) -> Result<Instance, S3Error> {
        let bytes = layout::instance(&*self.rows, source)?.bytes;
        self.slice(source, 0..bytes)
    }

    /// A new instance of a part of `source`, without moving a byte.
    ///
    /// # Errors
    /// `InternalError` when `source` is gone or shorter; `InvalidRequest` when it is made of too many pieces.
    pub(crate) fn slice(&mut self, source: &Instance, range: Range<u64>) -> Result<Instance, S3Error> {
        let row = layout::instance(&*self.rows, source)?;
        if range.start > range.end || range.end > row.bytes {
            return Err(Failure::Corrupt(format!("slice {range:?} of {source}, {} bytes", row.bytes)).into());
        }
        let slice = self.random_id();
        if let Content::Inline(inline) = row.content {
            let content = Content::Inline(inline[range.start as usize..range.end as usize].to_vec());
            return Ok(self.put_inline(slice, InstanceRow { bytes: range.end - range.start, content })?);
        }
        let segments = layout::segments(&*self.rows, source, range)?;
        check_count(&segments)?;
        Ok(self.put_segments(slice, segments)?)
    }

    /// A new instance of the bytes of `parts`, one after the other. The parts' own instances end here.
    ///
    /// # Errors
    /// `InternalError` when a part is gone or was not staged as a part; `InvalidRequest` for too many pieces.
    pub(crate) fn join(&mut self, parts: &[Instance]) -> Result<Instance, S3Error> {
        let mut segments: Vec<Segment> = Vec::with_capacity(parts.len());
        for part in parts {
            let bytes = layout::instance(&*self.rows, part)?.bytes;
            segments.extend(layout::segments(&*self.rows, part, 0..bytes)?);
            check_count(&segments)?;
        }
        let joined = self.random_id();
        // Counted in before the parts are counted out, so that no file is without references on the way.
        self.put_segments(joined, layout::merge(segments))?;
        for part in parts {
            self.remove_instance(part)?;
        }
        Ok(joined)
    }

    /// Puts the current version of an object. The bytes of the one before are kept for their grace.
    pub(crate) fn put_object(&mut self, bucket: &str, key: &str, head: &Head) -> Result<(), Failure> {
        let row_key = keys::object(bucket, key);
        if let Some(before) = self.decoded::<Head>(Table::Objects, &row_key)?
            && before.instance != head.instance
        {
            self.retire_object(&before)?;
        }
        if head.parts.is_empty() {
            return self.rows.put_row(Table::Objects, &row_key, &encode(head));
        }
        // A listing must not carry ten thousand parts a row: they have a row of their own.
        self.rows.put_row(Table::PartLists, head.instance.as_bytes(), &encode(&head.parts))?;
        self.rows.put_row(Table::Objects, &row_key, &encode(&Head { parts: Vec::new(), ..head.clone() }))
    }

    /// Removes the current version of an object and returns it as it was, without its parts. The bytes are kept for
    /// their grace.
    pub(crate) fn delete_object(&mut self, bucket: &str, key: &str) -> Result<Option<Head>, Failure> {
        let row_key = keys::object(bucket, key);
        let Some(before) = self.decoded::<Head>(Table::Objects, &row_key)? else {
            return Ok(None);
        };
        self.rows.delete_row(Table::Objects, &row_key)?;
        self.retire_object(&before)?;
        Ok(Some(before))
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

    /// Puts a part of an unfinished upload. The bytes of the one before it under this number go at once.
    pub(crate) fn put_part(&mut self, upload_id: &str, number: u32, part: &PartRow) -> Result<(), Failure> {
        if let Some(before) = self.part(upload_id, number)? {
            self.retire(&before.instance, Since::LONG_AGO)?;
        }
        self.rows.put_row(Table::Parts, &keys::part(upload_id, number), &encode(part))
    }

    /// Removes an unfinished upload and its parts. Parts that were not joined lose their bytes at once.
    pub(crate) fn delete_upload(&mut self, bucket: &str, key: &str, upload_id: &str) -> Result<(), Failure> {
        let parts = self.parts(upload_id, 0)?.collect::<Result<Vec<_>, _>>()?;
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

    /// Puts a user, over the one of this access key.
    pub(crate) fn put_user(&mut self, user: &UserRow) -> Result<(), Failure> {
        self.rows.put_row(Table::Users, user.access_key.as_bytes(), &encode(user))
    }

    /// Removes a user.
    pub(crate) fn delete_user(&mut self, access_key: &str) -> Result<(), Failure> {
        self.rows.delete_row(Table::Users, access_key.as_bytes())
    }

    fn retire_object(&mut self, head: &Head) -> Result<(), Failure> {
        self.rows.delete_row(Table::PartLists, head.instance.as_bytes())?;
        self.retire(&head.instance, self.now())
    }

    fn retire(&mut self, instance: &Instance, since: Since) -> Result<(), Failure> {
        self.effects.reap_now |= since == Since::LONG_AGO;
        self.rows.put_row(Table::Due, &since.key(&Leftover::Instance(*instance)), b"")
    }

    /// Removes an instance, and the files that nothing refers to without it go to the trash.
    fn remove_instance(&mut self, instance: &Instance) -> Result<(), Failure> {
        let row = layout::instance(&*self.rows, instance)?;
        let segments = layout::all_segments(&*self.rows, instance, &row)?;
        layout::delete(self.rows, instance, &row)?;
        for (file, references) in references(&segments) {
            let row = layout::file(&*self.rows, &file)?;
            match row.references.checked_sub(references) {
                None => {
                    return Err(Failure::Corrupt(format!("file {file} has fewer references than segments")));
                }
                Some(0) => self.discard_file(&file, row)?,
                Some(left) => self.put_file(&file, FileRow { references: left, ..row })?,
            }
        }
        Ok(())
    }

    /// Ends a leftover instance.
    pub(super) fn remove_leftover(&mut self, instance: &Instance, due: &[u8]) -> Result<(), Failure> {
        self.rows.delete_row(Table::Due, due)?;
        // Gone already if the commit before this one was looked at too early.
        if self.instance_bytes(instance)?.is_some() {
            self.remove_instance(instance)?;
        }
        Ok(())
    }

    /// Lets a leftover instance stay for another grace, counted from `last`.
    pub(super) fn renew(&mut self, instance: &Instance, due: &[u8], last: Duration) -> Result<(), Failure> {
        self.rows.delete_row(Table::Due, due)?;
        self.retire(instance, Since { epoch: self.moment.epoch, running: last })
    }

    /// Forgets a finished upload.
    pub(super) fn forget_completed(&mut self, upload_id: &str, due: &[u8]) -> Result<(), Failure> {
        self.rows.delete_row(Table::Due, due)?;
        self.rows.delete_row(Table::Completed, upload_id.as_bytes())
    }

    /// Forgets files that have been removed.
    pub(super) fn forget_trash(&mut self, files: &[Instance]) -> Result<(), Failure> {
        files.iter().try_for_each(|file| self.rows.delete_row(Table::Trash, file.as_bytes()))
    }

    fn discard_file(&mut self, file: &Instance, row: FileRow) -> Result<(), Failure> {
        for run in (0..pages_in(row.bytes)).step_by(RUN_PAGES as usize) {
            self.rows.delete_row(Table::Sums, &keys::run(file, run))?;
        }
        self.rows.delete_row(Table::Files, file.as_bytes())?;
        self.rows.put_row(Table::Trash, file.as_bytes(), &encode(&row))
    }

    fn put_inline(&mut self, instance: Instance, row: InstanceRow) -> Result<Instance, Failure> {
        self.rows.put_row(Table::Instances, instance.as_bytes(), &encode(&row))?;
        Ok(instance)
    }

    fn put_segments(&mut self, instance: Instance, segments: Vec<Segment>) -> Result<Instance, Failure> {
        for (file, references) in references(&segments) {
            let row = layout::file(&*self.rows, &file)?;
            self.put_file(&file, FileRow { references: row.references + references, ..row })?;
        }
        layout::put(self.rows, &instance, segments)?;
        Ok(instance)
    }

    fn put_file(&mut self, file: &Instance, row: FileRow) -> Result<(), Failure> {
        self.rows.put_row(Table::Files, file.as_bytes(), &encode(&row))
    }

    fn now(&self) -> Since {
        Since { epoch: self.moment.epoch, running: self.moment.running }
    }
}

impl ReadRows for Txn<'_> {
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

fn references(segments: &[Segment]) -> BTreeMap<Instance, u64> {
    let mut references = BTreeMap::new();
    for segment in segments {
        *references.entry(segment.file).or_default() += 1;
    }
    references
}

fn check_count(segments: &[Segment]) -> Result<(), S3Error> {
    if segments.len() > SEGMENTS_MAX {
        return Err(s3_error!(
            InvalidRequest,
            "The object would be made of too many pieces of other objects."
        ));
    }
    Ok(())
}
