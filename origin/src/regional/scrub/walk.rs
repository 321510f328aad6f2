//! Going through the store row by row, and through the bytes that each row is about.
//!
//! Each look stands on a snapshot of its own, so that a scrub of days holds nothing of the metadata file; and what a look finds
//! damaged is looked up once more after it: of an object that has been deleted or replaced meanwhile nothing is told.

use std::ops::{Bound, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::damage::{Damage, DamageKind, Damaged, add_damage};
use super::file_pages::{FileReader, Verified};
use super::place::{Inside, Place, Stage, name_of};
use super::unnamed;
use crate::instance::Instance;
use crate::regional::buffers::RUN_BYTES;
use crate::regional::db::{ReadRows, RowSnapshot};
use crate::regional::disk::Disk;
use crate::regional::due;
use crate::regional::failure::Failure;
use crate::regional::keys;
use crate::regional::layout;
use crate::regional::rows::{
    Bucket, CompletedRow, Content, FileRow, NullVersionRow, ObjectRow, PartRow, Reads, RenamedRow, UploadRow,
    UserRow, VersionRow, decode,
};
use crate::regional::table::Table;
use crate::regional::usage::UsageRow;

/// What a row costs to read: a page of the metadata file.
pub(super) const ROW_BYTES: u64 = 4096;
/// Looks at one place that the metadata file refuses, after which the place is passed.
const LOOKS_MAX: usize = 3;

/// What came of some looks.
pub(super) struct Run {
    /// What reading cost, in bytes.
    pub(super) cost_bytes: u64,
    /// Stored bytes of objects that were read.
    pub(super) read_bytes: u64,
    pub(super) objects_count: u64,
    pub(super) parts_count: u64,
    pub(super) damage: Vec<Damage>,
    pub(super) unnamed_files: Vec<String>,
    /// Where the next run goes on; `None` at the end.
    pub(super) to: Option<Place>,
}

impl Run {
    /// Nothing yet.
    pub(super) fn new(place: Place) -> Self {
        Self {
            cost_bytes: 0,
            read_bytes: 0,
            objects_count: 0,
            parts_count: 0,
            damage: Vec::new(),
            unnamed_files: Vec::new(),
            to: Some(place),
        }
    }

    /// Takes in what came next.
    pub(super) fn add(&mut self, next: Self) {
        self.cost_bytes += next.cost_bytes;
        self.read_bytes += next.read_bytes;
        self.objects_count += next.objects_count;
        self.parts_count += next.parts_count;
        next.damage.into_iter().for_each(|damage| add_damage(&mut self.damage, damage));
        self.unnamed_files.extend(next.unnamed_files);
        self.to = next.to;
    }

    /// One of a folder's names, which cost as much as rows.
    pub(super) fn of_files(place: Place, names_count: usize, unnamed_files: Vec<String>) -> Self {
        let cost_bytes = ROW_BYTES * names_count as u64;
        Self { cost_bytes, unnamed_files, ..Self::new(place) }
    }
}

/// Goes on from `place` until as much has been read as a client reads at a time.
///
/// # Errors
/// When the store is closed.
pub(super) fn run(disk: &Disk, reader: &mut FileReader, place: Place) -> Result<Run, Failure> {
    let mut run = Run::new(place);
    let mut failed_count = 0;
    while let Some(place) = run.to.take_if(|_| run.cost_bytes < RUN_BYTES as u64) {
        match look(disk, reader, &place) {
            Ok(Some(looked)) => {
                failed_count = 0;
                run.add(looked);
            }
            Ok(None) => run.to = place.next_stage(),
            Err(_) if disk.db.is_closed() => return Err(Failure::Closed),
            Err(failure) if failed_count + 1 == LOOKS_MAX => {
                failed_count = 0;
                run.add(passed(disk, &place, &failure));
            }
            Err(_) => {
                failed_count += 1;
                run.to = Some(place);
            }
        }
    }
    Ok(run)
}

/// What is said where a row cannot be looked at: of that row, where it is known which one it is.
fn passed(disk: &Disk, place: &Place, failure: &Failure) -> Run {
    match disk.db.snapshot().and_then(|rows| guarded(|| find(&rows, place))) {
        Ok(Some(Found { value: Ok(None), behind, .. })) => Run::new(behind),
        Ok(Some(found)) => Run { damage: vec![of_metadata(found.of(), failure)], ..Run::new(found.behind) },
        Ok(None) | Err(_) => left(place, failure),
    }
}

/// What is said where a table, or a folder, cannot be gone through any further.
fn left(place: &Place, failure: &Failure) -> Run {
    let of = Damaged {
        row: Some(match place.stage.table() {
            Some(table) => {
                format!("{} and all behind it", row_name(table, place.key.as_deref().unwrap_or_default()))
            }
            None => "names of the data files".to_owned(),
        }),
        ..Damaged::default()
    };
    Run { damage: vec![of_metadata(of, failure)], to: place.next_stage(), ..Run::new(place.clone()) }
}

/// What is said of a row that cannot be read.
pub(super) fn of_metadata(of: Damaged, failure: &Failure) -> Damage {
    Damage { kind: kind_of(failure), of, bytes: None, file: None, said: failure.to_string() }
}

/// Looks at what is at `place`, or behind it; `None` where there is nothing more in this stage.
fn look(disk: &Disk, reader: &mut FileReader, place: &Place) -> Result<Option<Run>, Failure> {
    if place.stage == Stage::Files {
        return unnamed::look(disk, place);
    }
    let rows = disk.db.snapshot()?;
    let Some(found) = guarded(|| find(&rows, place))? else { return Ok(None) };
    let mut run = Run { cost_bytes: ROW_BYTES, ..Run::new(found.behind.clone()) };
    let mut examination = Examination { disk, rows, reader, place, of: found.of(), found, run: &mut run };
    let examined = guarded(|| examination.run());
    examined.or_else(|failure| examination.fail(&failure, None))?;
    let Examination { rows, found, .. } = examination;
    drop(rows);
    if !run.damage.is_empty() && !found.is_still_there(disk)? {
        run.damage.clear();
        run.to = Some(found.behind);
    }
    Ok(Some(run))
}

/// redb may panic on pages that it never wrote.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let lost = |_| Err(Failure::Corrupt("the metadata file cannot be read here".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(lost)
}

/// A row to be looked at.
struct Found {
    table: Table,
    key: Vec<u8>,
    /// `None` where it was there when the scrub came to it, and is gone.
    value: Result<Option<Vec<u8>>, Failure>,
    /// The place behind it.
    behind: Place,
}

fn find(rows: &RowSnapshot<'_>, place: &Place) -> Result<Option<Found>, Failure> {
    match (place.stage, &place.key, place.part) {
        (Stage::Uploads, Some(upload), Some(part)) => match find_part(rows, place, upload, part)? {
            Some(found) => Ok(Some(found)),
            None => find_row(rows, &place.behind(upload.clone())),
        },
        _ => find_row(rows, place),
    }
}

fn find_row(rows: &RowSnapshot<'_>, place: &Place) -> Result<Option<Found>, Failure> {
    let Some(table) = place.stage.table() else { return Ok(None) };
    if let (Some(key), Some(_)) = (&place.key, place.inside) {
        let (key, value) = (key.clone(), rows.row(table, key));
        return Ok(Some(Found { table, behind: place.behind(key.clone()), key, value }));
    }
    let (from, to) = place.span();
    let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
    let Some(row) = rows.keyed_rows(table, range)?.next() else { return Ok(None) };
    let (key, value) = row?;
    let behind = match table {
        // Its parts come next.
        Table::Uploads => place.behind_part(key.clone(), 0),
        _ => place.behind(key.clone()),
    };
    Ok(Some(Found { table, key, value: value.map(Some), behind }))
}

fn find_part(
    rows: &RowSnapshot<'_>,
    place: &Place,
    upload: &[u8],
    part: u32,
) -> Result<Option<Found>, Failure> {
    let Some((_, _, Ok(upload_id))) =
        name_of(upload).map(|(bucket, key, id)| (bucket, key, str::from_utf8(id)))
    else {
        return Ok(None);
    };
    let table = Table::Parts;
    if place.inside.is_some() {
        let key = keys::part(upload_id, part);
        let (value, behind) = (rows.row(table, &key), place.behind_part(upload.to_owned(), part));
        return Ok(Some(Found { table, key, value, behind }));
    }
    let (from, to) = (keys::part(upload_id, part), keys::part(upload_id, u32::MAX));
    let range = (Bound::Excluded(from.as_slice()), Bound::Included(to.as_slice()));
    let Some(row) = rows.keyed_rows(table, range)?.next() else { return Ok(None) };
    let (key, value) = row?;
    let behind = place.behind_part(upload.to_owned(), keys::part_number(&key)?);
    Ok(Some(Found { table, key, value: value.map(Some), behind }))
}

impl Found {
    /// What it is of, as far as its key says.
    fn of(&self) -> Damaged {
        let named = match self.table {
            Table::Objects | Table::Versions | Table::Uploads => name_of(&self.key),
            Table::Parts => self.behind.key.as_deref().and_then(name_of),
            _ => None,
        };
        let Some((bucket, key, tail)) = named else {
            return Damaged { row: Some(row_name(self.table, &self.key)), ..Damaged::default() };
        };
        let upload_id = matches!(self.table, Table::Uploads | Table::Parts)
            .then(|| String::from_utf8_lossy(tail).into_owned());
        let part_number = self.behind.part.filter(|_| self.table == Table::Parts);
        let (bucket, key) = (Some(bucket), Some(key));
        Damaged { bucket, key, upload_id, part_number, ..Damaged::default() }
    }

    /// Whether a new look finds the same there: neither has the object gone, nor another come.
    fn is_still_there(&self, disk: &Disk) -> Result<bool, Failure> {
        let held =
            |value: &[u8]| held_by(self.table, &self.key, value).map(|held| held.map(|held| held.instance()));
        let before = match &self.value {
            Ok(Some(value)) => held(value),
            Ok(None) => return Ok(false),
            Err(failure) => Err(failure.again()),
        };
        let rows = disk.db.snapshot()?;
        Ok(match guarded(|| rows.row(self.table, &self.key)) {
            Ok(None) => false,
            Ok(Some(value)) => match (held(&value), before) {
                (Ok(now), Ok(before)) => now == before,
                (Err(_), Err(_)) => true,
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            },
            Err(failure @ (Failure::NotOpen | Failure::Closed)) => return Err(failure),
            Err(_) => true,
        })
    }
}

/// What a row has bytes of.
enum Held {
    Object(Box<ObjectRow>),
    Part(PartRow),
}

impl Held {
    fn instance(&self) -> Instance {
        match self {
            Self::Object(object) => object.head.instance,
            Self::Part(part) => part.instance,
        }
    }

    /// How many bytes the instance should have.
    fn stored_bytes(self, rows: &RowSnapshot<'_>) -> Result<u64, Failure> {
        match self {
            Self::Object(object) => Ok(rows.with_parts(*object)?.stored_bytes()),
            Self::Part(part) => Ok(part.stored_bytes()),
        }
    }
}

/// Decodes a row: what it has bytes of, if it is of an object that has any.
fn held_by(table: Table, key: &[u8], value: &[u8]) -> Result<Option<Held>, Failure> {
    match table {
        Table::Objects => return Ok(Some(Held::Object(Box::new(decode(value)?)))),
        Table::Versions => {
            return Ok(match decode(value)? {
                VersionRow::Object(object) => Some(Held::Object(object)),
                VersionRow::Marker(_) => None,
            });
        }
        Table::Parts => return Ok(Some(Held::Part(decode(value)?))),
        Table::Uploads => drop(decode::<UploadRow>(value)?),
        Table::Buckets => drop(decode::<Bucket>(value)?),
        Table::NullVersions => drop(decode::<NullVersionRow>(value)?),
        Table::Completed => drop(decode::<CompletedRow>(value)?),
        Table::Trash => drop(decode::<FileRow>(value)?),
        Table::Users => drop(decode::<UserRow>(value)?),
        Table::Usage => drop(decode::<UsageRow>(value)?),
        Table::Renames => drop(decode::<RenamedRow>(value)?),
        Table::Due => drop(due::leftover(key)?),
        // Read along with the objects that they are of, or without a form.
        Table::Store | Table::PartLists | Table::Instances | Table::Segments | Table::Files | Table::Sums => {
        }
    }
    Ok(None)
}

/// One look at a row.
struct Examination<'a> {
    disk: &'a Disk,
    rows: RowSnapshot<'a>,
    reader: &'a mut FileReader,
    place: &'a Place,
    found: Found,
    of: Damaged,
    run: &'a mut Run,
}

impl Examination<'_> {
    /// # Errors
    /// What the row itself, or that of its bytes, failed with.
    fn run(&mut self) -> Result<(), Failure> {
        let value = match &self.found.value {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(()),
            Err(failure) => return Err(failure.again()),
        };
        match held_by(self.found.table, &self.found.key, value)? {
            Some(held) => self.bytes(held),
            None => Ok(()),
        }
    }

    fn bytes(&mut self, held: Held) -> Result<(), Failure> {
        let instance = held.instance();
        let from = match self.place.inside {
            None => 0,
            Some(inside) if inside.instance == instance => inside.offset,
            // Replaced meanwhile, by bytes that have just been written.
            Some(_) => return Ok(()),
        };
        if let Held::Object(object) = &held {
            self.of.version_id.clone_from(&object.head.version_id);
        }
        let is_part = matches!(held, Held::Part(_));
        let row = layout::instance(&self.rows, &instance)?;
        self.run.cost_bytes += ROW_BYTES;
        if from == 0 {
            match held.stored_bytes(&self.rows) {
                Ok(expected) => self.length(expected, row.bytes),
                Err(failure) => {
                    self.fail(&failure, None)?;
                    // After an error of its file a snapshot knows no more.
                    if matches!(failure, Failure::Io(_)) {
                        self.rows = self.disk.db.snapshot()?;
                    }
                }
            }
        }
        let to = match row.content {
            Content::Inline(inline) => {
                self.length(row.bytes, inline.len() as u64);
                self.run.read_bytes += inline.len() as u64;
                row.bytes
            }
            Content::Segments(_) | Content::Runs => self.segments(instance, from, row.bytes)?,
        };
        match to < row.bytes {
            true => {
                let inside = Some(Inside { instance, offset: to });
                self.run.to = Some(Place { inside, ..self.found.behind.clone() });
            }
            false if is_part => self.run.parts_count += 1,
            false => self.run.objects_count += 1,
        }
        Ok(())
    }

    /// Reads on from `from`, as far as one run goes; how far that was.
    fn segments(&mut self, instance: Instance, from: u64, bytes: u64) -> Result<u64, Failure> {
        let to = bytes.min(from + RUN_BYTES as u64);
        let segments = match layout::segments(&self.rows, &instance, from..to) {
            Ok(segments) => segments,
            Err(failure) => {
                self.fail(&failure, Some(from..to))?;
                return Ok(to);
            }
        };
        let mut at = from;
        for segment in segments {
            let range = at..at + segment.bytes;
            at = range.end;
            match self.reader.verify(self.disk, &self.rows, &segment) {
                Ok(verified) => self.verified(range.start, verified),
                Err(failure) => {
                    self.fail(&failure, Some(range))?;
                    // After an error of its file a snapshot knows no more.
                    if matches!(failure, Failure::Io(_)) {
                        break;
                    }
                }
            }
        }
        Ok(at)
    }

    fn verified(&mut self, at: u64, verified: Verified) {
        self.run.read_bytes += verified.read_bytes;
        // The rows of the file and of its sums.
        self.run.cost_bytes += verified.read_bytes + 2 * ROW_BYTES;
        for bad in verified.bad {
            let bytes = Some(at + bad.bytes.start..at + bad.bytes.end);
            self.damage(bad.kind, bytes, Some(bad.file), bad.said);
        }
    }

    fn length(&mut self, expected: u64, found: u64) {
        if found != expected {
            let said = format!("{found} bytes are kept of {expected}");
            self.damage(DamageKind::Length, None, None, said);
        }
    }

    /// Notes what the metadata failed with.
    ///
    /// # Errors
    /// If that is of no row, but of a store that is closed, or is opening its file again.
    fn fail(&mut self, failure: &Failure, bytes: Option<Range<u64>>) -> Result<(), Failure> {
        if matches!(failure, Failure::NotOpen | Failure::Closed) {
            return Err(failure.again());
        }
        self.damage(kind_of(failure), bytes, None, failure.to_string());
        Ok(())
    }

    fn damage(&mut self, kind: DamageKind, bytes: Option<Range<u64>>, file: Option<String>, said: String) {
        add_damage(&mut self.run.damage, Damage { kind, of: self.of.clone(), bytes, file, said });
    }
}

fn kind_of(failure: &Failure) -> DamageKind {
    match failure {
        Failure::Corrupt(_) => DamageKind::Metadata,
        Failure::Io(_) | Failure::NotOpen | Failure::Closed => DamageKind::Unreadable,
    }
}

/// A row by its table and its key: as text, where it is some.
fn row_name(table: Table, key: &[u8]) -> String {
    let is_text = !key.is_empty() && key.iter().all(u8::is_ascii_graphic);
    let key = if is_text { String::from_utf8_lossy(key).into_owned() } else { hex::encode(key) };
    format!("{key} of table {}", table.name())
}
