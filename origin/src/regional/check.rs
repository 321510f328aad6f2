//! The deep check of a store that no process has open: every page of the metadata file, every row, every reference,
//! every page of every data file. Changes nothing but what opening the metadata file after a crash changes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::{Bound, Range};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crc_fast::crc32_iscsi;

use super::db::{Db, Opening, ReadRows, Row, RowSnapshot};
use super::disk::{DirLock, FORMAT, OpenError, data_dir, metadata_path, verify_store};
use super::due::{self, Leftover};
use super::failure::Failure;
use super::files::{file_path, pages_in};
use super::keys;
use super::layout;
use super::rows::{
    FileRow, InstanceRow, NullVersionRow, ObjectRow, PartRow, Reads, Segment, VersionRow, decode,
};
use super::seams::Seams;
use super::table::Table;
use super::usage::{self, UsageRow};
use crate::head::PAGE_BYTES;
use crate::instance::Instance;
use crate::version_id::VersionId;

/// Faults that a report names; more are only counted.
const FAULTS_NAMED_MAX: usize = 1000;
/// Objects that are named for one fault; more are only counted.
const OBJECTS_NAMED_MAX: usize = 10;
/// Memory for pages of the metadata file.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// What a deep check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows whose sums were verified.
    pub rows_count: u64,
    /// Data files whose pages were verified.
    pub files_count: u64,
    /// Bytes of these files.
    pub files_bytes: u64,
    /// Everything that is not as it was written. Empty for a sound store.
    pub faults: Vec<String>,
    /// Faults beyond those that are named.
    pub unnamed_faults_count: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, fault: impl Into<String>) {
        if self.faults.len() < FAULTS_NAMED_MAX {
            self.faults.push(fault.into());
        } else {
            self.unnamed_faults_count += 1;
        }
    }
}

/// Checks the store in `dir`.
pub(super) fn check(dir: &Path) -> Result<Report, OpenError> {
    let failed = OpenError::of(dir);
    if !metadata_path(dir).exists() {
        return Err(failed(Failure::Io(io::ErrorKind::NotFound.into())));
    }
    let _lock = DirLock::take(dir)?;
    let mut report = Report::default();
    // redb may panic on pages that it never wrote.
    let checking = AssertUnwindSafe(|| -> Result<(), OpenError> {
        let db = open(dir).map_err(&failed)?;
        let is_counted = verify_store(&db, dir, None)? == FORMAT;
        let rows = db.snapshot().map_err(&failed)?;
        let (references, named, spoilt) = (HashMap::new(), HashSet::new(), Vec::new());
        Check { dir, rows, report: &mut report, references, named, spoilt }.run(is_counted).map_err(&failed)
    });
    match catch_unwind(checking) {
        Ok(Ok(())) => Ok(report),
        Ok(Err(OpenError::Corrupt { what, .. })) => {
            report.fault(what);
            Ok(report)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            report.fault("the metadata file cannot be read");
            Ok(report)
        }
    }
}

fn open(dir: &Path) -> Result<Db, Failure> {
    Db::open(Opening {
        path: metadata_path(dir),
        cache_bytes: CACHE_BYTES,
        faults: Seams::default().faults,
        check_integrity: true,
    })
}

struct Check<'a> {
    dir: &'a Path,
    rows: RowSnapshot<'a>,
    report: &'a mut Report,
    /// Segments that lie in each file.
    references: HashMap<Instance, u64>,
    /// Instances that a head, a part or a leftover names.
    named: HashSet<Instance>,
    /// Bytes of files that are not as they were written.
    spoilt: Vec<Spoilt>,
}

/// What a fault of a data file is about.
struct Spoilt {
    /// Where it is among the report's faults.
    fault_index: usize,
    file: Instance,
    bytes: Range<u64>,
}

/// Rows one after another that cannot be read, after which a table is left.
const FAILED_ROWS_MAX: u32 = 1024;

/// Objects that the bytes of one fault belong to.
#[derive(Default)]
struct Owners {
    count: usize,
    first: Vec<String>,
}

impl Owners {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.first.len() < OBJECTS_NAMED_MAX {
            self.first.push(name.to_owned());
        }
    }
}

impl Check<'_> {
    fn run(mut self, is_counted: bool) -> Result<(), Failure> {
        for table in [Table::Store, Table::Buckets, Table::PartLists, Table::Segments, Table::Sums] {
            self.each(table, |_, _| Ok(()))?;
        }
        for table in [Table::Uploads, Table::Completed, Table::Renames, Table::Trash, Table::Users] {
            self.each(table, |_, _| Ok(()))?;
        }
        self.each(Table::Objects, Self::object)?;
        self.each(Table::Versions, Self::version)?;
        self.each(Table::NullVersions, Self::null_version)?;
        self.each(Table::Parts, Self::part)?;
        self.each(Table::Due, Self::leftover)?;
        self.each(Table::Instances, Self::instance)?;
        self.each(Table::Files, Self::file)?;
        let missing: Vec<_> = self.references.keys().map(ToString::to_string).collect();
        for file in missing {
            self.report.fault(format!("the row of file {file} is missing"));
        }
        self.name_spoilt();
        if is_counted { self.usage() } else { Ok(()) }
    }

    /// Says of each fault of a data file whose bytes those are: what has to be restored. Costs reading the rows once more, where
    /// there is such a fault. Rows that cannot be read have been reported by now.
    fn name_spoilt(&mut self) {
        if self.spoilt.is_empty() {
            return;
        }
        let (owners, is_whole) = self.owners_of_spoilt();
        for spoilt in &self.spoilt {
            let named = match owners.get(&spoilt.fault_index) {
                Some(owners) if owners.count > owners.first.len() => {
                    format!("of {} and {} more", owners.first.join(", "), owners.count - owners.first.len())
                }
                Some(owners) => format!("of {}", owners.first.join(", ")),
                None if is_whole => "of nothing that can be read any more".to_owned(),
                None => "of objects that could not be read".to_owned(),
            };
            let fault = &mut self.report.faults[spoilt.fault_index];
            *fault = format!("{fault}: {named}");
        }
    }

    /// Whose the spoilt bytes are, by fault, and whether all rows could be read.
    fn owners_of_spoilt(&self) -> (HashMap<usize, Owners>, bool) {
        let mut by_file: HashMap<Instance, Vec<&Spoilt>> = HashMap::new();
        for spoilt in &self.spoilt {
            by_file.entry(spoilt.file).or_default().push(spoilt);
        }
        let mut of_instances: HashMap<Instance, Vec<usize>> = HashMap::new();
        let mut owners: HashMap<usize, Owners> = HashMap::new();
        let mut is_whole = self.each_readable(Table::Instances, |key, value| {
            let (Ok(instance), Ok(row)) = (id(key), decode::<InstanceRow>(value)) else { return };
            let mut found = Vec::new();
            for segment in layout::all_segments(&self.rows, &instance, &row).unwrap_or_default() {
                let (start, end) = (segment.offset, segment.offset + segment.bytes);
                let of_file = by_file.get(&segment.file).into_iter().flatten();
                let hit = of_file.filter(|spoilt| start < spoilt.bytes.end && spoilt.bytes.start < end);
                found.extend(hit.map(|spoilt| spoilt.fault_index));
            }
            found.sort_unstable();
            found.dedup();
            if !found.is_empty() {
                of_instances.insert(instance, found);
            }
        });
        for table in [Table::Objects, Table::Versions, Table::Parts] {
            is_whole &= self.each_readable(table, |key, value| {
                let Some((instance, name)) = owner(table, key, value) else { return };
                for fault in of_instances.get(&instance).into_iter().flatten() {
                    owners.entry(*fault).or_default().add(&name);
                }
            });
        }
        (owners, is_whole)
    }

    /// Calls `look` with each row of `table`; false where the file could not be read to the table's end.
    fn each_readable(&self, table: Table, mut look: impl FnMut(&[u8], &[u8])) -> bool {
        let Ok(rows) = self.rows.rows(table, (Bound::Unbounded, Bound::Unbounded)) else { return false };
        let mut failed_count = 0;
        for row in rows {
            match row {
                Ok((key, value)) => {
                    failed_count = 0;
                    look(&key, &value);
                }
                // redb gives an error of the file again for ever.
                Err(_) if failed_count == FAILED_ROWS_MAX => return false,
                Err(_) => failed_count += 1,
            }
        }
        true
    }

    /// A fault of `bytes` of a data file.
    fn spoilt(&mut self, fault: String, file: Instance, bytes: Range<u64>) {
        let fault_index = self.report.faults.len();
        self.report.fault(fault);
        if fault_index < self.report.faults.len() {
            self.spoilt.push(Spoilt { fault_index, file, bytes });
        }
    }

    /// What each account keeps, counted once more. Rows that cannot be read have been reported by now.
    fn usage(&mut self) -> Result<(), Failure> {
        let mut used = usage::recount(&self.rows, drop)?;
        self.each(Table::Usage, |check, (account, value)| {
            let account = String::from_utf8_lossy(account);
            let (said, found): (UsageRow, _) = (decode(value)?, used.remove(&*account).unwrap_or_default());
            if said != found {
                let (said, found) = (shown(said), shown(found));
                check.report.fault(format!("account {account} keeps {found}, its row says {said}"));
            }
            Ok(())
        })?;
        for (account, found) in used {
            let found = shown(found);
            self.report.fault(format!("account {account} keeps {found}, which its row does not say"));
        }
        Ok(())
    }

    fn each(
        &mut self,
        table: Table,
        mut check: impl FnMut(&mut Self, &Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            // A run at a time: the rows borrow what the checks need to change.
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let run: Vec<_> = self.rows.rows(table, (from, Bound::Unbounded))?.take(1024).collect();
            let Some(last) = run.last() else { return Ok(()) };
            after = match last {
                Ok((key, _)) => Some(key.clone()),
                Err(_) => None,
            };
            for row in &run {
                self.report.rows_count += 1;
                if let Err(failure) = row.as_ref().map_err(Failure::again).and_then(|row| check(self, row)) {
                    self.report.fault(failure.to_string());
                }
            }
            if after.is_none() {
                self.report.fault(format!("table {} cannot be read to its end", table.name()));
                return Ok(());
            }
        }
    }

    fn object(&mut self, (_, value): &Row) -> Result<(), Failure> {
        let object: ObjectRow = decode(value)?;
        verify_place(object.head.version_id.as_deref(), object.order)?;
        self.object_row(object)
    }

    /// A version that is not current is older than the one that is, and a delete marker where none is; one without an
    /// id is found by its place.
    fn version(&mut self, (key, value): &Row) -> Result<(), Failure> {
        let row: VersionRow = decode(value)?;
        let (of_key, tail) = key.split_at(key.len().saturating_sub(size_of::<u64>()));
        let order = keys::order(tail)?;
        verify_place(row.version_id(), order)?;
        let object_key = [of_key, &[keys::CURRENT]].concat();
        let wrong =
            |what: &str| Failure::Corrupt(format!("version {order} of {}: {what}", hex::encode(of_key)));
        if row.version_id().is_none() {
            let found: Option<NullVersionRow> = self.rows.decoded(Table::NullVersions, &object_key)?;
            if found != Some(NullVersionRow { order }) {
                return Err(wrong("nothing says that it is the null version"));
            }
        }
        match self.rows.decoded::<ObjectRow>(Table::Objects, &object_key)? {
            Some(current) if current.order <= order => return Err(wrong("newer than what is current")),
            None if matches!(row, VersionRow::Object(_)) && self.is_newest(of_key, key)? => {
                return Err(wrong("not current although nothing is newer"));
            }
            Some(_) | None => {}
        }
        match row {
            VersionRow::Object(object) => self.object_row(*object),
            VersionRow::Marker(_) => Ok(()),
        }
    }

    fn is_newest(&self, of_key: &[u8], key: &[u8]) -> Result<bool, Failure> {
        let newer = (Bound::Included(of_key), Bound::Excluded(key));
        Ok(self.rows.rows(Table::Versions, newer)?.next().transpose()?.is_none())
    }

    fn null_version(&mut self, (key, value): &Row) -> Result<(), Failure> {
        let place: NullVersionRow = decode(value)?;
        let of_key = key.strip_suffix(&[keys::CURRENT]).unwrap_or(key);
        let version_key = [of_key, &(!place.order).to_be_bytes()].concat();
        match self.rows.decoded::<VersionRow>(Table::Versions, &version_key)? {
            Some(row) if row.version_id().is_none() => Ok(()),
            _ => Err(Failure::Corrupt(format!(
                "the null version of {} is not in its place",
                hex::encode(of_key)
            ))),
        }
    }

    fn object_row(&mut self, object: ObjectRow) -> Result<(), Failure> {
        self.named.insert(object.head.instance);
        let head = self.rows.with_parts(object)?;
        self.name(head.instance, Some(head.stored_bytes()))
    }

    fn part(&mut self, (_, value): &Row) -> Result<(), Failure> {
        let part: PartRow = decode(value)?;
        self.name(part.instance, Some(part.stored_bytes()))
    }

    fn leftover(&mut self, (key, _): &Row) -> Result<(), Failure> {
        match due::leftover(key)? {
            Leftover::Instance(instance) => self.name(instance, None),
            Leftover::Completed(_) | Leftover::Renamed(_) => Ok(()),
            Leftover::Segments(instance) => {
                self.refer(layout::all_runs(&self.rows, &instance)?);
                Ok(())
            }
        }
    }

    fn name(&mut self, instance: Instance, bytes: Option<u64>) -> Result<(), Failure> {
        self.named.insert(instance);
        let found = layout::instance(&self.rows, &instance)?.bytes;
        match bytes {
            Some(bytes) if bytes != found => {
                Err(Failure::Corrupt(format!("instance {instance} has {found} bytes, its head says {bytes}")))
            }
            _ => Ok(()),
        }
    }

    fn instance(&mut self, (key, value): &Row) -> Result<(), Failure> {
        let (instance, row): (_, InstanceRow) = (id(key)?, decode(value)?);
        self.refer(layout::all_segments(&self.rows, &instance, &row)?);
        if self.named.contains(&instance) {
            return Ok(());
        }
        Err(Failure::Corrupt(format!("nothing names instance {instance}")))
    }

    fn refer(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            *self.references.entry(segment.file).or_default() += 1;
        }
    }

    fn file(&mut self, (key, value): &Row) -> Result<(), Failure> {
        let (file, row): (_, FileRow) = (id(key)?, decode(value)?);
        let references = self.references.remove(&file).unwrap_or_default();
        if references != row.references {
            let said = row.references;
            self.report.fault(format!("file {file} is referred to {references} times, its row says {said}"));
        }
        self.report.files_count += 1;
        self.report.files_bytes += row.bytes;
        match self.pages(&file, row) {
            Err(Failure::Io(cause)) => self.spoilt(format!("file {file}: {cause}"), file, 0..u64::MAX),
            Err(failure) => self.spoilt(failure.to_string(), file, 0..u64::MAX),
            Ok(()) => {}
        }
        Ok(())
    }

    fn pages(&mut self, file: &Instance, row: FileRow) -> Result<(), Failure> {
        let open = File::open(file_path(&data_dir(self.dir), row.epoch, file))?;
        let found = open.metadata()?.len();
        if found != row.bytes {
            return Err(Failure::Corrupt(format!("file {file} has {found} bytes instead of {}", row.bytes)));
        }
        let sums = layout::sums(&self.rows, file, 0..pages_in(row.bytes))?;
        let mut page = vec![0; PAGE_BYTES as usize];
        for (sum, index) in sums.into_iter().zip(0..) {
            let start = index * PAGE_BYTES;
            let page = &mut page[..PAGE_BYTES.min(row.bytes - start) as usize];
            open.read_exact_at(page, start)?;
            if crc32_iscsi(page) != sum {
                let fault = format!("page {index} of file {file} has other bytes than were written");
                self.spoilt(fault, *file, start..start + page.len() as u64);
            }
        }
        Ok(())
    }
}

/// The instance that a row is about, and whose bytes it is; `None` for a row without one.
fn owner(table: Table, key: &[u8], value: &[u8]) -> Option<(Instance, String)> {
    let object = match table {
        Table::Objects => decode::<ObjectRow>(value).ok()?,
        Table::Versions => match decode::<VersionRow>(value).ok()? {
            VersionRow::Object(object) => *object,
            VersionRow::Marker(_) => return None,
        },
        _ => {
            let part: PartRow = decode(value).ok()?;
            let upload_id = String::from_utf8_lossy(key.split(|byte| *byte == 0).next()?).into_owned();
            let number = keys::part_number(key).ok()?;
            return Some((part.instance, format!("part {number} of the unfinished upload {upload_id}")));
        }
    };
    let bucket = str::from_utf8(key.split(|byte| *byte == 0).next()?).ok()?;
    let (key, _) = keys::split(bucket, key).ok()?;
    // Keys may hold anything: a line stays one line.
    let name = format!("{:?}", format!("{bucket}/{key}"));
    let head = object.head;
    Some((
        head.instance,
        head.version_id.map_or_else(|| name.clone(), |id| format!("version {id} of {name}")),
    ))
}

fn shown(used: UsageRow) -> String {
    format!("{} bytes in {} buckets", used.bytes, used.buckets)
}

/// An id carries the place that its version has.
fn verify_place(version_id: Option<&str>, order: u64) -> Result<(), Failure> {
    match version_id.map(|text| (text, VersionId::parse(text))) {
        None => Ok(()),
        Some((_, Some(id))) if id.order() == order => Ok(()),
        Some((text, _)) => Err(Failure::Corrupt(format!("version {text} is at place {order}"))),
    }
}

fn id(key: &[u8]) -> Result<Instance, Failure> {
    let id =
        key.try_into().map_err(|_| Failure::Corrupt(format!("row key {} is no id", hex::encode(key))))?;
    Ok(Instance::from_bytes(id))
}
