//! The deep check of a store that no process has open: every page of the metadata file, every row, every reference,
//! every page of every data file. Changes nothing but what opening the metadata file after a crash changes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crc_fast::crc32_iscsi;

use super::db::{Db, Opening, ReadRows, Row, RowSnapshot};
use super::disk::{DirLock, OpenError, data_dir, metadata_path, verify_store};
use super::due::{self, Leftover};
use super::failure::Failure;
use super::files::{file_path, pages_in};
use super::layout;
use super::rows::{FileRow, InstanceRow, ObjectRow, PartRow, Reads, decode};
use super::seams::Seams;
use super::table::Table;
use crate::head::PAGE_BYTES;
use crate::instance::Instance;

/// Faults that a report names; more are only counted.
const FAULTS_NAMED_MAX: usize = 1000;
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
        verify_store(&db, dir, None)?;
        let rows = db.snapshot().map_err(&failed)?;
        Check { dir, rows, report: &mut report, references: HashMap::new(), named: HashSet::new() }
            .run()
            .map_err(&failed)
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
}

impl Check<'_> {
    fn run(mut self) -> Result<(), Failure> {
        for table in [Table::Store, Table::Buckets, Table::PartLists, Table::Segments, Table::Sums] {
            self.each(table, |_, _| Ok(()))?;
        }
        for table in [Table::Uploads, Table::Completed, Table::Trash, Table::Users] {
            self.each(table, |_, _| Ok(()))?;
        }
        self.each(Table::Objects, Self::object)?;
        self.each(Table::Parts, Self::part)?;
        self.each(Table::Due, Self::leftover)?;
        self.each(Table::Instances, Self::instance)?;
        self.each(Table::Files, Self::file)?;
        let missing: Vec<_> = self.references.keys().map(ToString::to_string).collect();
        for file in missing {
            self.report.fault(format!("the row of file {file} is missing"));
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
        self.name(object.head.instance, Some(object.head.bytes))?;
        if object.has_part_list {
            self.rows.part_list(&object.head.instance)?;
        }
        Ok(())
    }

    fn part(&mut self, (_, value): &Row) -> Result<(), Failure> {
        let part: PartRow = decode(value)?;
        self.name(part.instance, Some(part.bytes))
    }

    fn leftover(&mut self, (key, _): &Row) -> Result<(), Failure> {
        match due::leftover(key)? {
            Leftover::Instance(instance) => self.name(instance, None),
            Leftover::Completed(_) => Ok(()),
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
        for segment in layout::all_segments(&self.rows, &instance, &row)? {
            *self.references.entry(segment.file).or_default() += 1;
        }
        if self.named.contains(&instance) {
            return Ok(());
        }
        Err(Failure::Corrupt(format!("nothing names instance {instance}")))
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
        self.pages(&file, row)
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
                self.report.fault(format!("page {index} of file {file}"));
            }
        }
        Ok(())
    }
}

fn id(key: &[u8]) -> Result<Instance, Failure> {
    let id =
        key.try_into().map_err(|_| Failure::Corrupt(format!("row key {} is no id", hex::encode(key))))?;
    Ok(Instance::from_bytes(id))
}
