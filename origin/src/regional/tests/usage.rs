//! What accounts keep: stores that did not count yet, and counts that are wrong.

use super::db::{Db, Opening, WriteRows};
use super::rows::encode;
use super::table::Table;
use super::*;
use crate::regional::usage::UsageRow;

/// Changes rows of a closed store behind its back.
fn tamper(dir: &Path, change: impl FnOnce(&mut dyn WriteRows)) {
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

#[tokio::test]
async fn the_deep_check_finds_a_wrong_count() {
    for (bytes, expected) in [
        (Some(100_011), "account anne keeps 100010 bytes, its row says 100011"),
        (None, "account anne keeps 100010 bytes, which its row does not say"),
    ] {
        let region = region().await;
        region.store.close().await;
        tamper(region.dir.path(), |rows| {
            match bytes {
                Some(bytes) => rows.put_row(Table::Usage, b"anne", &encode(&UsageRow { bytes })),
                None => rows.delete_row(Table::Usage, b"anne"),
            }
            .unwrap();
        });
        let report = RegionalStore::check_deep(region.dir.path()).await.unwrap();
        assert_eq!(report.faults, [expected]);
    }
}
