//! What accounts keep: stores that did not count yet, and counts that are wrong.

use super::db::{Db, KeyRange, Opening, ReadRows, Rows, WriteRows};
use super::rows::encode;
use super::table::Table;
use super::*;
use crate::regional::usage::{UsageRow, recount};

/// Changes rows of a closed store behind its back.
pub(super) fn tamper(dir: &Path, change: impl FnOnce(&mut dyn WriteRows)) {
    let db = Db::open(Opening {
        path: dir.join("metadata.redb"),
        cache_bytes: MIB,
        faults: Seams::default().faults,
        check_integrity: false,
    })
    .unwrap();
    db.write(|batch| {
        change(batch);
        batch.keep();
        Ok(())
    })
    .unwrap();
    db.close();
}

async fn region() -> Region {
    let region = Region::start().await;
    region.store.test_put("small", b"0123456789").await.unwrap();
    region.store.test_put("large", &bytes(1, 100_000)).await.unwrap();
    region
}

#[tokio::test]
async fn a_store_that_did_not_count_is_counted_as_it_opens() {
    let region = region().await;
    assert_eq!(region.store.used_bytes("anne").await.unwrap(), 100_010);
    region.store.close().await;
    tamper(region.dir.path(), |rows| {
        rows.put_row(Table::Store, b"format", &1_u64.to_be_bytes()).unwrap();
        rows.delete_row(Table::Usage, b"anne").unwrap();
    });
    let report = RegionalStore::check_deep(region.dir.path()).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new(), "nothing is missing where nothing was counted");
    let region = Region::open(region.dir, Seams::default()).await;
    assert_eq!(region.store.used_bytes("anne").await.unwrap(), 100_010);
    region.store.test_delete("large").await.unwrap();
    let region = region.restart().await;
    assert_eq!(region.store.used_bytes("anne").await.unwrap(), 10);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// Of a store that has counted bytes, what it has counted stays.
#[tokio::test]
async fn the_buckets_of_a_store_that_did_not_count_them_are_counted_as_it_opens() {
    let region = region().await;
    region.store.close().await;
    tamper(region.dir.path(), |rows| {
        rows.put_row(Table::Store, b"format", &2_u64.to_be_bytes()).unwrap();
        rows.put_row(Table::Usage, b"anne", &encode(&EarlierUsageRow { bytes: 100_010 })).unwrap();
    });
    let region = Region::open(region.dir, Seams::default()).await;
    assert_eq!(region.store.used_bytes("anne").await.unwrap(), 100_010);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_row_keeps_neither_the_store_from_opening_nor_others_from_being_counted() {
    let region = region().await;
    let put = |txn: &mut Txn<'_>| Ok(txn.put_bucket("other", &Bucket::new(facts(txn), 0))?);
    region.store.commit(Change::Bucket("other".into()), put).await.unwrap();
    region.store.close().await;
    let damaged = b"of a later release";
    tamper(region.dir.path(), |rows| {
        rows.put_row(Table::Store, b"format", &2_u64.to_be_bytes()).unwrap();
        rows.put_row(Table::Usage, b"anne", damaged).unwrap();
        rows.put_row(Table::Usage, b"o", &encode(&EarlierUsageRow { bytes: 7 })).unwrap();
    });
    let region = Region::open(region.dir, Seams::default()).await;
    assert_eq!(region.store.test_object("small").await.unwrap().unwrap(), b"0123456789");
    let rows = region.store.shared.disk.db.snapshot().unwrap();
    assert_eq!(rows.usage("o").unwrap(), UsageRow { bytes: 7, buckets: 1 });
    assert_eq!(rows.row(Table::Usage, b"anne").unwrap().unwrap(), damaged);
}

/// A row of before buckets were counted.
#[derive(serde::Serialize)]
struct EarlierUsageRow {
    bytes: u64,
}

#[tokio::test]
async fn the_deep_check_finds_a_wrong_count() {
    let one_bucket = |bytes| UsageRow { bytes, buckets: 1 };
    for (used, expected) in [
        (
            Some(one_bucket(100_011)),
            "account anne keeps 100010 bytes in 1 buckets, its row says 100011 bytes in 1 buckets",
        ),
        (
            Some(UsageRow { bytes: 100_010, buckets: 2 }),
            "account anne keeps 100010 bytes in 1 buckets, its row says 100010 bytes in 2 buckets",
        ),
        (None, "account anne keeps 100010 bytes in 1 buckets, which its row does not say"),
    ] {
        let region = region().await;
        region.store.close().await;
        tamper(region.dir.path(), |rows| {
            match used {
                Some(used) => rows.put_row(Table::Usage, b"anne", &encode(&used)),
                None => rows.delete_row(Table::Usage, b"anne"),
            }
            .unwrap();
        });
        let report = RegionalStore::check_deep(region.dir.path()).await.unwrap();
        assert_eq!(report.faults, [expected]);
    }
}

/// Rows of which one table fails.
struct Failing<'a>(&'a dyn ReadRows, Table, fn() -> Failure);

impl ReadRows for Failing<'_> {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.0.row(table, key)
    }

    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        match table == self.1 {
            true => Ok(Box::new(std::iter::once(Err(self.2())))),
            false => self.0.rows(table, range),
        }
    }
}

/// A disk that cannot be read now is not one with nothing on it.
#[tokio::test]
async fn what_the_disk_refuses_is_not_counted_as_nothing() {
    let region = region().await;
    let counted = |table: Table, failure: fn() -> Failure| {
        let snapshot = region.store.shared.disk.db.snapshot().unwrap();
        let mut damaged_count = 0;
        let used = recount(&Failing(&snapshot, table, failure), |_| damaged_count += 1);
        (used.map(|used| used.get("anne").copied()).map_err(|failure| failure.to_string()), damaged_count)
    };
    for table in [Table::Buckets, Table::Objects, Table::Versions, Table::Uploads] {
        let refused = || Failure::Io(std::io::Error::other("refused"));
        assert_eq!(counted(table, refused), (Err("disk: refused".to_owned()), 0), "{table:?}");
        let (used, damaged_count) = counted(table, || Failure::Corrupt("row".to_owned()));
        assert_eq!(damaged_count, 1, "{table:?}");
        let left = match table {
            Table::Buckets => None,
            Table::Objects => Some(UsageRow { bytes: 0, buckets: 1 }),
            _ => Some(UsageRow { bytes: 100_010, buckets: 1 }),
        };
        assert_eq!(used, Ok(left), "{table:?}");
    }
}
