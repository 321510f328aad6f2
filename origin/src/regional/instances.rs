//! Instances in a transaction: bytes are published as one, shared between them, joined into one, and in the end removed.
//!
//! An instance that nothing names any more is *retired*: its rows stay until its grace is over. A data file stays for
//! as long as segments lie in it; then it goes to the trash, and is removed after the commit.
//!
//! One of many segments ends in many changes, for each file has rows of its own and others wait for the writer. It is gone
//! with the first, so nobody reads half of it; what is left of its segments is a leftover itself, until the last change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use s3s::{S3Error, s3_error};

use super::db::ReadRows;
use super::due::{Leftover, Since};
use super::failure::Failure;
use super::files::pages_in;
use super::keys;
use super::layout;
use super::rows::{Content, FileRow, InstanceRow, RUN_PAGES, Segment, encode};
use super::table::Table;
use super::txn::Txn;
use super::upload::{Staged, StagedContent};
use crate::instance::Instance;

/// Segments that one instance may have: 10,000 parts that were each copied out of ten files.
const SEGMENTS_MAX: usize = 100_000;
/// Rows that ending a leftover writes in one change, give or take those of one file: others wait for the writer meanwhile.
pub(super) const ENDED_ROWS_MAX: usize = 512;

/// By how much the number of segments in each file changes.
type References = BTreeMap<Instance, i64>;

impl Txn<'_> {
    /// Makes staged bytes an instance.
    pub(crate) fn publish(&mut self, staged: Staged) -> Result<Instance, Failure> {
        let Staged { instance, stored_bytes: bytes, content, .. } = staged;
        match content {
            StagedContent::Inline(inline) => self.put_inline(instance, inline.to_vec()),
            StagedContent::File { aside, sums } => {
                self.effects.published.push(aside);
                for (run, sums) in (0..).zip(sums.chunks(RUN_PAGES as usize)) {
                    let packed: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
                    self.rows.put_row(Table::Sums, &keys::run(&instance, run * RUN_PAGES), &packed)?;
                }
                self.put_file(&instance, FileRow { bytes, epoch: self.moment.epoch, references: 1 })?;
                layout::put(self.rows, &instance, vec![Segment { file: instance, offset: 0, bytes }])?;
                Ok(instance)
            }
        }
    }

    /// A new instance of the same bytes as `source`, without moving them, unless they are few.
    ///
    /// # Errors
    /// `InternalError` when `source` is gone: find it in this same transaction.
    pub(crate) fn share(&mut self, source: &Instance) -> Result<Instance, S3Error> {
        let bytes = layout::instance(&*self.rows, source)?.bytes;
        self.slice(source, 0..bytes)
    }

    /// A new instance of a part of `source`, without moving a byte, unless they are few.
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
            return Ok(self.put_inline(slice, inline[range.start as usize..range.end as usize].to_vec())?);
        }
        let segments = layout::segments(&*self.rows, source, range)?;
        check_count(&segments)?;
        self.count_references(count(&segments, 1))?;
        layout::put(self.rows, &slice, segments)?;
        Ok(slice)
    }

    /// A new instance of the bytes of `parts`, one after the other. The parts' own instances end here.
    ///
    /// # Errors
    /// `InternalError` when a part is gone or was not staged as a part; `InvalidRequest` for too many pieces.
    pub(crate) fn join(&mut self, parts: &[Instance]) -> Result<Instance, S3Error> {
        let mut segments: Vec<Segment> = Vec::with_capacity(parts.len());
        for part in parts {
            let row = layout::instance(&*self.rows, part)?;
            if matches!(row.content, Content::Inline(_)) {
                return Err(Failure::Corrupt(format!("instance {part} was not staged as a part")).into());
            }
            segments.extend(layout::all_segments(&*self.rows, part, &row)?);
            check_count(&segments)?;
            layout::delete(self.rows, part, &row)?;
        }
        // Most files keep the one segment that they have; those of merged and of empty parts lose some.
        let mut references = count(&segments, -1);
        let segments = layout::merge(segments);
        for (file, joined) in count(&segments, 1) {
            *references.entry(file).or_default() += joined;
        }
        self.count_references(references)?;
        let joined = self.random_id();
        layout::put(self.rows, &joined, segments)?;
        Ok(joined)
    }

    /// Leaves an instance over that nothing names any more.
    pub(super) fn retire(&mut self, instance: &Instance, since: Since) -> Result<(), Failure> {
        self.effects.reap_now |= since == Since::LONG_AGO;
        self.rows.put_row(Table::Due, &since.key(&Leftover::Instance(*instance)), b"")
    }

    /// Ends what is left over under the row key `due`, or some of it if it is much: then returns the row key of the rest.
    /// An instance that was read at `last_read`, less than `grace` ago, stays for another grace.
    pub(super) fn end_leftover(
        &mut self,
        due: &[u8],
        grace: Duration,
        last_read: impl FnOnce(&Instance) -> Option<Duration>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if self.rows.row(Table::Due, due)?.is_none() {
            return Ok(None);
        }
        self.rows.delete_row(Table::Due, due)?;
        match super::due::leftover(due)? {
            Leftover::Completed(upload_id) => self.rows.delete_row(Table::Completed, upload_id.as_bytes())?,
            Leftover::Renamed(renamed) => self.rows.delete_row(Table::Renames, &renamed)?,
            Leftover::Instance(instance) => match last_read(&instance) {
                Some(running) if running + grace > self.moment.running => {
                    self.retire(&instance, Since { running, ..self.now() })?;
                }
                _ => return self.remove_instance(&instance),
            },
            Leftover::Segments(instance) => return self.release_run(&instance),
        }
        Ok(None)
    }

    /// Forgets files that have been removed.
    pub(super) fn forget_trash(&mut self, files: &[Instance]) -> Result<(), Failure> {
        files.iter().try_for_each(|file| self.rows.delete_row(Table::Trash, file.as_bytes()))
    }

    /// Removes an instance; what is left of its segments then has the row key that is returned.
    fn remove_instance(&mut self, instance: &Instance) -> Result<Option<Vec<u8>>, Failure> {
        let row = layout::instance(&*self.rows, instance)?;
        self.rows.delete_row(Table::Instances, instance.as_bytes())?;
        match row.content {
            Content::Inline(_) => Ok(None),
            Content::Segments(segments) => {
                self.release(&keys::run(instance, 0), segments)?;
                self.leave_segments(instance)
            }
            Content::Runs => self.leave_segments(instance),
        }
    }

    /// Removes some segments of an instance that is gone; what is left of them has the row key that is returned.
    fn release_run(&mut self, instance: &Instance) -> Result<Option<Vec<u8>>, Failure> {
        if let Some((key, segments)) = layout::first_run(&*self.rows, instance)? {
            self.release(&key, segments)?;
        }
        self.leave_segments(instance)
    }

    /// Takes segments out of their files, until that has written enough; those that are left are a run under `key`.
    fn release(&mut self, key: &[u8], mut segments: Vec<Segment>) -> Result<(), Failure> {
        let mut released = BTreeSet::new();
        let mut rows_count = 0;
        for (file, change) in count(&segments, -1) {
            if rows_count >= ENDED_ROWS_MAX {
                break;
            }
            rows_count += self.count_references_of(&file, change)?;
            released.insert(file);
        }
        segments.retain(|segment| !released.contains(&segment.file));
        layout::put_run(self.rows, key, &segments)
    }

    /// Leaves over what there is of the segments of an instance that is gone; `None` where there is nothing.
    fn leave_segments(&mut self, instance: &Instance) -> Result<Option<Vec<u8>>, Failure> {
        if layout::first_run(&*self.rows, instance)?.is_none() {
            return Ok(None);
        }
        let due = Since::LONG_AGO.key(&Leftover::Segments(*instance));
        self.rows.put_row(Table::Due, &due, b"")?;
        Ok(Some(due))
    }

    fn count_references(&mut self, references: References) -> Result<(), Failure> {
        for (file, change) in references.into_iter().filter(|(_, change)| *change != 0) {
            self.count_references_of(&file, change)?;
        }
        Ok(())
    }

    /// Counts segments of one file; how many rows that has written.
    fn count_references_of(&mut self, file: &Instance, change: i64) -> Result<usize, Failure> {
        let row = layout::file(&*self.rows, file)?;
        match row.references.checked_add_signed(change) {
            None => Err(Failure::Corrupt(format!("file {file} has fewer references than segments"))),
            Some(0) => {
                self.discard_file(file, row)?;
                Ok(rows_of_file(row.bytes))
            }
            Some(references) => {
                self.put_file(file, FileRow { references, ..row })?;
                Ok(1)
            }
        }
    }

    fn discard_file(&mut self, file: &Instance, row: FileRow) -> Result<(), Failure> {
        for run in (0..pages_in(row.bytes)).step_by(RUN_PAGES as usize) {
            self.rows.delete_row(Table::Sums, &keys::run(file, run))?;
        }
        self.rows.delete_row(Table::Files, file.as_bytes())?;
        self.effects.reap_now = true;
        self.rows.put_row(Table::Trash, file.as_bytes(), &encode(&row))
    }

    fn put_inline(&mut self, instance: Instance, inline: Vec<u8>) -> Result<Instance, Failure> {
        let row = InstanceRow { bytes: inline.len() as u64, content: Content::Inline(inline) };
        self.rows.put_row(Table::Instances, instance.as_bytes(), &encode(&row))?;
        Ok(instance)
    }

    fn put_file(&mut self, file: &Instance, row: FileRow) -> Result<(), Failure> {
        self.rows.put_row(Table::Files, file.as_bytes(), &encode(&row))
    }
}

/// About how many rows a change writes that ends what is left over under the row key `due`.
pub(super) fn rows_to_end<R: ReadRows + ?Sized>(rows: &R, due: &[u8]) -> Result<usize, Failure> {
    let rows_count = match super::due::leftover(due)? {
        Leftover::Completed(_) | Leftover::Renamed(_) => 2,
        Leftover::Segments(_) => ENDED_ROWS_MAX,
        Leftover::Instance(instance) => match layout::instance(rows, &instance)?.content {
            Content::Inline(_) => 2,
            Content::Segments(segments) => {
                2 + segments.iter().map(|segment| rows_of_file(segment.bytes)).sum::<usize>()
            }
            Content::Runs => ENDED_ROWS_MAX,
        },
    };
    Ok(rows_count.min(ENDED_ROWS_MAX))
}

/// Rows that a file of `bytes` bytes takes to be discarded: its own, that of the trash, and its sums.
fn rows_of_file(bytes: u64) -> usize {
    2 + pages_in(bytes).div_ceil(RUN_PAGES) as usize
}

fn count(segments: &[Segment], each: i64) -> References {
    let mut references = References::new();
    for segment in segments {
        *references.entry(segment.file).or_default() += each;
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
