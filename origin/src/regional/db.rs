//! The metadata file: checked rows in redb, which is named here alone.
//!
//! A row is bytes under bytes in one of a closed list of tables. Each carries a CRC32C over its table, key and
//! value, verified whenever it is read, because redb verifies its own page sums in its integrity check only. A key
//! that is not found has its neighbours verified: a key with a flipped bit stays where the right one belongs, so
//! the loss of a row by a flipped key is an error too, not an absence.
//!
//! One write transaction carries many changes. redb has no nested transactions, so a [`Batch`] notes what each
//! write replaced and can take back the last change alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition,
};

use super::answered::Answered;
use super::at_hand;
use super::failure::Failure;
use super::files::sync_dir;
use super::known_buckets::KnownBuckets;
use super::private;
use super::seams::{DiskStep, Faults};
use super::table::{Table, seal, unseal};

/// A row's key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);
/// A row's key, and its value where its sum is right.
pub(super) type KeyedRow = (Vec<u8>, Result<Vec<u8>, Failure>);
/// Rows in the order of their keys.
pub(crate) type Rows<'a> = Box<dyn DoubleEndedIterator<Item = Result<Row, Failure>> + 'a>;
/// A range of keys.
pub(crate) type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Reading rows, from a snapshot or inside a write transaction.
pub(crate) trait ReadRows {
    /// Buckets that were decoded before; `None` where none are kept.
    fn known_buckets(&self) -> Option<&KnownBuckets> {
        None
    }

    /// The value under `key`.
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;
    /// The rows in `range`.
    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure>;

    /// A number that the store keeps of itself; 0 until it is put.
    fn store_number(&self, key: &[u8]) -> Result<u64, Failure> {
        let Some(value) = self.row(Table::Store, key)? else { return Ok(0) };
        let number = value.try_into().map_err(|_| {
            Failure::Corrupt(format!("the store's number {} is none", String::from_utf8_lossy(key)))
        })?;
        Ok(u64::from_be_bytes(number))
    }
}

/// Writing rows.
pub(crate) trait WriteRows: ReadRows {
    /// Puts `value` under `key`, over what was there.
    fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure>;
    /// Removes the row under `key`, if there is one.
    fn delete_row(&mut self, table: Table, key: &[u8]) -> Result<(), Failure>;
    /// By how many bytes the rows have grown since the change began; fewer than none where they have shrunk.
    fn grown_bytes(&self) -> i64;
}

/// How to open the metadata file.
pub(super) struct Opening {
    pub(super) path: PathBuf,
    pub(super) cache_bytes: usize,
    pub(super) faults: Arc<dyn Faults>,
    /// Verify every page of the file first. An ordinary start trusts a file that was closed or killed.
    pub(super) check_integrity: bool,
}

/// The row that counts commits.
const COMMITS_KEY: &[u8] = b"commits";

/// The metadata file, open.
pub(super) struct Db {
    opening: Opening,
    answered: Answered,
    /// `None` after a failed attempt to open it again.
    database: RwLock<Option<Opened>>,
    /// One more each time the file is opened. A snapshot of an earlier generation fails without harm to this one.
    generation: AtomicU64,
    /// The last generation that had an error.
    failed_generation: AtomicU64,
    closed: AtomicBool,
    is_growing: Arc<AtomicBool>,
}

/// The file, opened once.
struct Opened {
    database: Database,
    is_shut: Arc<AtomicBool>,
}

impl Db {
    /// Makes the file, with `rows` as the first that the store knows of itself. It is made aside: under its name there
    /// is a whole one or none, whenever the process ends.
    ///
    /// # Errors
    /// [`Failure::Corrupt`] when changes of an earlier file have been answered.
    pub(super) fn create(opening: &Opening, rows: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        Answered::open(&opening.path.with_extension("answered"))?.verify(0)?;
        let aside = opening.path.with_extension("new");
        let file = MetadataFile::create(&aside, Arc::clone(&opening.faults))?;
        let database = redb::Builder::new().create_with_backend(file).map_err(redb_failure)?;
        let txn = database.begin_write().map_err(redb_failure)?;
        let tables = open_tables(&txn)?;
        let mut batch = Batch::new(tables);
        rows.iter().try_for_each(|(key, value)| batch.put_row(Table::Store, key, value))?;
        drop(batch);
        txn.commit().map_err(redb_failure)?;
        database.close().map_err(redb_failure)?;
        File::open(&aside)?.sync_all()?;
        fs::rename(&aside, &opening.path)?;
        opening.faults.before(DiskStep::SyncDirectory)?;
        Ok(sync_dir(opening.path.parent().expect("the metadata file is in the store's directory"))?)
    }

    /// Opens the file, which is there.
    pub(super) fn open(opening: Opening) -> Result<Self, Failure> {
        let answered = Answered::open(&opening.path.with_extension("answered"))?;
        let is_growing = Arc::default();
        let database = open_database(&opening, &answered, &is_growing)?;
        Ok(Self {
            opening,
            answered,
            database: RwLock::new(Some(database)),
            generation: AtomicU64::new(1),
            failed_generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            is_growing,
        })
    }

    /// Everything committed until now.
    pub(super) fn snapshot(&self) -> Result<RowSnapshot<'_>, Failure> {
        self.reopen_if_failed()?;
        let database = self.opened();
        let generation = self.generation.load(Ordering::Acquire);
        let database = database.as_ref().ok_or_else(|| self.not_open())?;
        let begin = || database.database.begin_read().map_err(redb_failure);
        // redb makes its file longer and syncs it under a lock that a read transaction takes to begin.
        let is_growing = self.is_growing.load(Ordering::Relaxed);
        let txn = if is_growing { at_hand::aside(begin) } else { begin() };
        Ok(RowSnapshot { txn: self.note(generation, txn)?, generation, db: self })
    }

    /// Runs `work` in a write transaction and makes what it wrote durable. Nothing is committed when it wrote nothing.
    ///
    /// An error of the commit itself leaves open whether it happened: a snapshot taken after it tells.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.reopen_if_failed()?;
        let database = self.opened();
        let generation = self.generation.load(Ordering::Acquire);
        let database = database.as_ref().ok_or_else(|| self.not_open())?;
        let mut txn = self.note(generation, database.database.begin_write().map_err(redb_failure))?;
        txn.set_quick_repair(true);
        let tables = self.note(generation, open_tables(&txn))?;
        let mut batch = Batch::new(tables);
        let done = work(&mut batch).and_then(|value| Ok((value, batch.count_commit()?)));
        let broken = batch.take_broken();
        drop(batch);
        let outcome = match (done, broken) {
            (_, Some(failure)) | (Err(failure), None) => Err(failure),
            (Ok((value, None)), None) => Ok(value),
            (Ok((value, Some(commits))), None) => {
                txn.commit().map_err(redb_failure).map(|()| self.answered.write(commits)).map(|()| value)
            }
        };
        self.note(generation, outcome)
    }

    /// redb refuses everything after the first error of its file: then it is opened again, which takes milliseconds.
    fn reopen_if_failed(&self) -> Result<(), Failure> {
        if self.has_failed() { at_hand::aside(|| self.reopen()) } else { Ok(()) }
    }

    fn reopen(&self) -> Result<(), Failure> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Closed);
        }
        // Another thread may have been first.
        if self.has_failed() {
            shut(database.take());
            *database = Some(open_database(&self.opening, &self.answered, &self.is_growing)?);
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The file, once nobody is opening it again.
    fn opened(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        match self.database.try_read() {
            Ok(database) => database,
            Err(TryLockError::Poisoned(lost)) => lost.into_inner(),
            Err(TryLockError::WouldBlock) => {
                at_hand::aside(|| self.database.read().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.failed_generation.load(Ordering::Acquire) == self.generation.load(Ordering::Acquire)
    }

    /// Whether it was closed for good.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes the file. Whatever comes after is refused.
    pub(super) fn close(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        shut(database.take());
    }

    /// Why there is no file.
    fn not_open(&self) -> Failure {
        if self.is_closed() { Failure::Closed } else { Failure::NotOpen }
    }

    fn note<T>(&self, generation: u64, outcome: Result<T, Failure>) -> Result<T, Failure> {
        // A transaction that outlives the file is told so by redb.
        let outcome = match outcome {
            Err(Failure::NotOpen) => Err(self.not_open()),
            known => known,
        };
        if matches!(outcome, Err(Failure::Io(_) | Failure::NotOpen)) {
            self.failed_generation.fetch_max(generation, Ordering::AcqRel);
        }
        outcome
    }
}

/// Closes the file, which may be in no state to be closed well. Who still reads of it is refused then: whatever is opened in its place
/// knows nothing of them, and uses their pages again.
fn shut(opened: Option<Opened>) {
    let Some(Opened { database, is_shut }) = opened else { return };
    catch_unwind(AssertUnwindSafe(|| drop(database))).ok();
    is_shut.store(true, Ordering::Release);
}

fn open_database(
    opening: &Opening,
    answered: &Answered,
    is_growing: &Arc<AtomicBool>,
) -> Result<Opened, Failure> {
    let file = MetadataFile::open(&opening.path, Arc::clone(&opening.faults), Arc::clone(is_growing))?;
    let is_shut = Arc::clone(&file.is_shut);
    if file.len()? == 0 {
        // redb would make a new one of it.
        return Err(Failure::Corrupt("the metadata file is empty".into()));
    }
    let database = redb::Builder::new()
        .set_cache_size(opening.cache_bytes)
        .set_check_integrity_on_open(opening.check_integrity)
        .create_with_backend(file)
        .map_err(redb_failure)?;
    // Before anything is written over what may still be there.
    answered.verify(commits(&database)?)?;
    let mut txn = database.begin_write().map_err(redb_failure)?;
    txn.set_quick_repair(true);
    drop(open_tables(&txn)?);
    txn.commit().map_err(redb_failure)?;
    Ok(Opened { database, is_shut })
}

/// How many commits the file has seen, but for its first.
fn commits(database: &Database) -> Result<u64, Failure> {
    let txn = database.begin_read().map_err(redb_failure)?;
    txn.store_number(COMMITS_KEY)
}

impl ReadRows for ReadTransaction {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let rows = self.open_table(definition(table)).map_err(redb_failure)?;
        get_checked(table, &rows, key)
    }

    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        let rows = self.open_table(definition(table)).map_err(redb_failure)?;
        let found = rows.range::<&[u8]>(range).map_err(redb_failure)?;
        Ok(Box::new(found.map(move |row| check_row(table, row))))
    }
}

/// Rows as they were at one moment.
pub(super) struct RowSnapshot<'a> {
    txn: ReadTransaction,
    generation: u64,
    db: &'a Db,
}

impl RowSnapshot<'_> {
    /// The rows in `range`, each under its key although it may be damaged: for whoever goes on behind it.
    pub(super) fn keyed_rows(
        &self,
        table: Table,
        range: KeyRange<'_>,
    ) -> Result<impl Iterator<Item = Result<KeyedRow, Failure>>, Failure> {
        let rows = self.note(self.txn.open_table(definition(table)).map_err(redb_failure))?;
        let found = self.note(rows.range::<&[u8]>(range).map_err(redb_failure))?;
        Ok(found.map(move |row| {
            let (key, sealed) = self.note(row.map_err(redb_failure))?;
            let value = unseal(table, key.value(), sealed.value());
            Ok((key.value().to_vec(), value))
        }))
    }

    fn note<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        self.db.note(self.generation, outcome)
    }
}

impl ReadRows for RowSnapshot<'_> {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.note(self.txn.row(table, key))
    }

    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        Ok(Box::new(self.note(self.txn.rows(table, range))?.map(|row| self.note(row))))
    }
}

type RedbTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// One write transaction, carrying many changes one after the other.
pub(super) struct Batch<'t> {
    tables: Vec<RedbTable<'t>>,
    undo: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
    written_count: usize,
    /// Since the last change was kept or taken back.
    grown_bytes: i64,
    dirty: bool,
    broken: Option<Failure>,
    /// A write has begun and not ended. Where redb panicked in it, it may refer to pages that it has given back already:
    /// nothing of the transaction may be committed then.
    is_writing: bool,
}

impl<'t> Batch<'t> {
    fn new(tables: Vec<RedbTable<'t>>) -> Self {
        Self {
            tables,
            undo: Vec::new(),
            written_count: 0,
            grown_bytes: 0,
            dirty: false,
            broken: None,
            is_writing: false,
        }
    }

    /// How many rows were written until now, those that were taken back among them.
    pub(super) fn written_count(&self) -> usize {
        self.written_count
    }

    fn note_written(&mut self, table: Table, key: &[u8], before: Option<Vec<u8>>, after: Option<&[u8]>) {
        let row_bytes = |value: Option<&[u8]>| value.map_or(0, |value| (key.len() + value.len()) as i64);
        self.written_count += 1;
        self.grown_bytes += row_bytes(after) - row_bytes(before.as_deref());
        self.undo.push((table, key.to_vec(), before));
    }

    /// Keeps what was written since the last change was kept or taken back.
    pub(super) fn keep(&mut self) {
        self.dirty |= !self.undo.is_empty();
        self.undo.clear();
        self.grown_bytes = 0;
    }

    /// Counts the commit of what was kept; `None` when there is nothing to commit.
    fn count_commit(&mut self) -> Result<Option<u64>, Failure> {
        if self.is_writing {
            return Err(cut_off());
        }
        if !self.dirty {
            return Ok(None);
        }
        let count = self.store_number(COMMITS_KEY)? + 1;
        self.put_row(Table::Store, COMMITS_KEY, &count.to_be_bytes())?;
        self.keep();
        Ok(Some(count))
    }

    /// Takes back what was written since the last change was kept or taken back.
    pub(super) fn take_back(&mut self) {
        self.grown_bytes = 0;
        if self.is_writing {
            self.undo.clear();
        }
        while let Some((table, key, before)) = self.undo.pop() {
            let undone = self.write(table, |rows| match before {
                Some(sealed) => rows.insert(key.as_slice(), sealed.as_slice()).map(drop),
                None => rows.remove(key.as_slice()).map(drop),
            });
            // Noted: nothing is committed.
            drop(undone);
        }
    }

    /// Why nothing of it can be committed, if that is so.
    fn take_broken(&mut self) -> Option<Failure> {
        self.broken.take().or_else(|| self.is_writing.then(cut_off))
    }

    fn write<T>(
        &mut self,
        table: Table,
        write: impl FnOnce(&mut RedbTable<'t>) -> Result<T, StorageError>,
    ) -> Result<T, Failure> {
        if self.is_writing {
            return Err(cut_off());
        }
        self.is_writing = true;
        let outcome = write(&mut self.tables[table as usize]);
        self.is_writing = false;
        outcome.map_err(|cause| {
            let failure = redb_failure(cause);
            self.broken = Some(failure.again());
            failure
        })
    }
}

impl ReadRows for Batch<'_> {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        get_checked(table, &self.tables[table as usize], key)
    }

    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        let found = self.tables[table as usize].range::<&[u8]>(range).map_err(redb_failure)?;
        Ok(Box::new(found.map(move |row| check_row(table, row))))
    }
}

impl WriteRows for Batch<'_> {
    fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let sealed = seal(table, key, value);
        let before = self.write(table, |rows| {
            let before = rows.insert(key, sealed.as_slice())?;
            Ok(before.map(|before| before.value().to_vec()))
        })?;
        self.note_written(table, key, before, Some(&sealed));
        Ok(())
    }

    fn delete_row(&mut self, table: Table, key: &[u8]) -> Result<(), Failure> {
        let removed = self.write(table, |rows| {
            let before = rows.remove(key)?;
            Ok(before.map(|before| before.value().to_vec()))
        })?;
        if let Some(before) = removed {
            self.note_written(table, key, Some(before), None);
        }
        Ok(())
    }

    fn grown_bytes(&self) -> i64 {
        self.grown_bytes
    }
}

fn cut_off() -> Failure {
    Failure::Corrupt("a write of the metadata file was cut off".into())
}

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

fn open_tables(txn: &redb::WriteTransaction) -> Result<Vec<RedbTable<'_>>, Failure> {
    Table::all().map(|table| txn.open_table(definition(table)).map_err(redb_failure)).collect()
}

fn get_checked(
    table: Table,
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(sealed) = rows.get(key).map_err(redb_failure)? {
        return unseal(table, key, sealed.value()).map(Some);
    }
    let before = (Bound::Unbounded, Bound::Excluded(key));
    let after = (Bound::Excluded(key), Bound::Unbounded);
    for neighbour in [
        rows.range::<&[u8]>(before).map_err(redb_failure)?.next_back(),
        rows.range::<&[u8]>(after).map_err(redb_failure)?.next(),
    ]
    .into_iter()
    .flatten()
    {
        check_row(table, neighbour)?;
    }
    Ok(None)
}

type RedbRow<'a> = (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>);

fn check_row(table: Table, row: Result<RedbRow<'_>, StorageError>) -> Result<Row, Failure> {
    let (key, sealed) = row.map_err(redb_failure)?;
    let value = unseal(table, key.value(), sealed.value())?;
    Ok((key.value().to_vec(), value))
}

fn redb_failure(cause: impl Into<redb::Error>) -> Failure {
    match cause.into() {
        redb::Error::Io(cause) if cause.get_ref().is_some_and(|cause| cause.is::<Shut>()) => Failure::NotOpen,
        redb::Error::Io(cause) => Failure::Io(cause),
        // A panic left a lock of redb's own shut: nobody gets in any more, not even to read, until the file is opened again.
        redb::Error::LockPoisoned(_) => Failure::NotOpen,
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => Failure::NotOpen,
        other => Failure::Corrupt(other.to_string()),
    }
}

/// The file under redb: positioned reads and writes, so that readers do not wait for each other. The store's own
/// directory lock keeps other processes out.
#[derive(Debug)]
struct MetadataFile {
    file: File,
    faults: FaultsBox,
    /// It was made longer and has not been synced since.
    is_growing: Arc<AtomicBool>,
    is_shut: Arc<AtomicBool>,
}

/// What is said to whoever reads of a file that was shut.
#[derive(Debug, thiserror::Error)]
#[error("the metadata file was shut")]
struct Shut;

struct FaultsBox(Arc<dyn Faults>);

impl std::fmt::Debug for FaultsBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}

impl MetadataFile {
    fn open(path: &Path, faults: Arc<dyn Faults>, is_growing: Arc<AtomicBool>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file, faults: FaultsBox(faults), is_growing, is_shut: Arc::default() })
    }

    /// Makes an empty file in place of what a start that was cut off left there.
    fn create(path: &Path, faults: Arc<dyn Faults>) -> io::Result<Self> {
        let file = private::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Self { file, faults: FaultsBox(faults), is_growing: Arc::default(), is_shut: Arc::default() })
    }
}

impl MetadataFile {
    fn verify_open(&self) -> io::Result<()> {
        if self.is_shut.load(Ordering::Acquire) { Err(io::Error::other(Shut)) } else { Ok(()) }
    }
}

impl StorageBackend for MetadataFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.verify_open()?;
        self.faults.0.before_metadata(offset..offset + out.len() as u64)?;
        at_hand::read_exact_at(&self.file, out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.verify_open()?;
        self.faults.0.before(DiskStep::WriteMetadata)?;
        self.is_growing.store(len > self.len()?, Ordering::Relaxed);
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.0.before(DiskStep::SyncMetadata)?;
        let synced = self.file.sync_data();
        self.is_growing.store(false, Ordering::Relaxed);
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.verify_open()?;
        self.faults.0.before(DiskStep::WriteMetadata)?;
        self.file.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::seams::Seams;
    use super::*;

    #[test]
    fn a_file_grows_from_when_it_is_made_longer_until_it_is_synced() {
        let dir = tempfile::tempdir().expect("a folder");
        let faults = Seams::default().faults;
        let file = MetadataFile::create(&dir.path().join("file"), faults).expect("make a file");
        let is_growing = || file.is_growing.load(Ordering::Relaxed);
        file.set_len(8192).expect("longer");
        assert!(is_growing());
        file.write(0, b"page").expect("write");
        assert!(is_growing());
        file.sync_data().expect("sync");
        assert!(!is_growing());
        file.set_len(4096).expect("shorter");
        assert!(!is_growing(), "nothing is synced for that");
    }

    #[test]
    fn a_file_that_was_shut_is_read_and_written_no_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let faults = Seams::default().faults;
        let file = MetadataFile::create(&dir.path().join("file"), faults).expect("make a file");
        file.write(0, b"page").expect("write");
        file.is_shut.store(true, Ordering::Release);
        let read = file.read(0, &mut [0; 4]).expect_err("shut");
        assert!(matches!(redb_failure(redb::Error::Io(read)), Failure::NotOpen));
        assert!(file.write(0, b"late").is_err() && file.set_len(8192).is_err());
        assert_eq!(fs::read(dir.path().join("file")).expect("read"), b"page");
    }
}
