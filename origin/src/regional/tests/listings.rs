//! In which order rows are listed, and how many a page of a listing reads.

use std::cell::Cell;

use super::db::{KeyRange, ReadRows, Rows};
use super::list_multipart_uploads::read_page;
use super::listing::{Entry, Scope};
use super::table::Table;
use super::*;

/// Rows that are counted as they are read.
struct Counted<'a> {
    rows: &'a dyn ReadRows,
    count: Cell<usize>,
}

impl ReadRows for Counted<'_> {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.rows.row(table, key)
    }

    fn rows(&self, table: Table, range: KeyRange<'_>) -> Result<Rows<'_>, Failure> {
        let rows = self.rows.rows(table, range)?;
        Ok(Box::new(rows.inspect(|_| self.count.set(self.count.get() + 1))))
    }
}

#[tokio::test]
async fn a_page_of_a_keys_uploads_does_not_read_those_before_its_marker() {
    let region = Region::start().await;
    let begun = region.store.commit(Change::Nothing, |txn| {
        for n in 0..50 {
            txn.put_upload(BUCKET, "k", &format!("u{n:02}"), &upload_row())?;
        }
        Ok(txn.put_upload(BUCKET, "l", "u00", &upload_row())?)
    });
    begun.await.unwrap();
    let snapshot = region.store.shared.disk.db.snapshot().unwrap();
    let page = |marker, upload_id, uploads_max| {
        let scope = Scope::parse(None, None, Some(marker), ("max-uploads", Some(uploads_max))).unwrap();
        let rows = Counted { rows: &snapshot, count: Cell::default() };
        let page = read_page(&rows, BUCKET, &scope, upload_id).unwrap();
        let shown = page.entries.into_iter().map(|entry| match entry {
            Entry::Key(key, (upload_id, _)) => format!("{key}/{upload_id}"),
            Entry::CommonPrefix(prefix) => prefix,
        });
        (shown.collect::<Vec<_>>(), rows.count.get())
    };
    let (shown, rows_count) = page("k".to_owned(), Some("u46"), 2);
    assert_eq!(shown, ["k/u47", "k/u48"]);
    assert_eq!(rows_count, 3, "one more says that there are more");
    assert_eq!(page("k".to_owned(), Some("u47"), 9).0, ["k/u48", "k/u49", "l/u00"]);
    assert_eq!(page("k".to_owned(), Some("u479"), 1).0, ["k/u48"], "behind one that is gone");
    assert_eq!(page("k".to_owned(), Some("u"), 1).0, ["k/u00"]);
    assert_eq!(page("k".to_owned(), None, 9).0, ["l/u00"]);
    assert_eq!(page("j".to_owned(), Some("u47"), 1).0, ["k/u00"]);
}

#[tokio::test]
async fn objects_list_in_byte_order_and_a_seek_passes_a_prefix() {
    let region = Region::start().await;
    for key in ["b", "a/2", "a", "a/1", "a0", "ä", "a/\u{10ffff}"] {
        region.store.test_put(key, b"v").await.unwrap();
    }
    let list = |from: std::ops::Bound<Vec<u8>>| {
        let store = region.store.clone();
        async move {
            let listed = store.read(move |rows| {
                let from = from.as_ref().map(Vec::as_slice);
                Ok(rows
                    .objects(BUCKET, from)?
                    .map(|row| row.map(|(key, _)| key))
                    .collect::<Result<Vec<_>, _>>()?)
            });
            listed.await.unwrap()
        }
    };
    use std::ops::Bound::{Excluded, Included, Unbounded};
    assert_eq!(list(Unbounded).await, ["a", "a/1", "a/2", "a/\u{10ffff}", "a0", "b", "ä"]);
    assert_eq!(list(Included(keys::past_prefix(b"a/").unwrap())).await, ["a0", "b", "ä"]);
    assert_eq!(list(Excluded(b"a/1".to_vec())).await, ["a/2", "a/\u{10ffff}", "a0", "b", "ä"]);
}
