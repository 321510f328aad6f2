//! Copies, slices and finished uploads share data files instead of moving bytes.

use super::*;

#[tokio::test]
async fn a_copy_shares_its_files_and_outlives_its_source() {
    let region = Region::start().await;
    let source = region.store.test_put("from", &bytes(1, MIB)).await.unwrap();
    let copy = region.store.test_copy("from", "to").await.unwrap();
    assert_ne!(source, copy);
    assert_eq!(region.data_files().len(), 1);
    region.store.test_delete("from").await.unwrap();
    region.let_grace_pass().await;
    assert!(matches!(region.store.test_read(source).await, Err(ReadError::Gone)));
    assert!(region.store.test_read(copy).await.unwrap() == bytes(1, MIB));
    region.store.test_delete("to").await.unwrap();
    region.let_grace_pass().await;
    assert_eq!(region.data_files().len(), 0);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_copy_onto_itself_keeps_its_bytes() {
    let region = Region::start().await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    region.store.test_copy("k", "k").await.unwrap();
    region.let_grace_pass().await;
    assert!(region.store.test_object("k").await.unwrap().unwrap() == bytes(1, MIB));
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// Parts of sizes that are no multiple of a page, tiny ones among them, so that a page may hold several seams.
#[tokio::test]
async fn parts_become_an_object_without_moving_and_pages_straddle_them() {
    let region = Region::start().await;
    let sizes = [100_000, 65_536, 1, 70, 3 * MIB + 1, 65_535, 10];
    let mut object = Vec::new();
    for (number, size) in (1..).zip(sizes) {
        let part = bytes(u64::from(number), size);
        region.store.test_put_part("u", number, &part).await.unwrap();
        object.extend(part);
    }
    let before: std::collections::BTreeSet<_> = region.data_files().into_iter().collect();
    let instance = region.store.test_complete("k", "u").await.unwrap();
    assert_eq!(region.data_files().into_iter().collect::<std::collections::BTreeSet<_>>(), before);
    assert!(region.store.test_read(instance).await.unwrap() == object);
    for page in 0..object.len() as u64 / PAGE_BYTES {
        let at = (page * PAGE_BYTES) as usize;
        let read = region.store.test_read_pages(instance, page..page + 1).await.unwrap();
        assert!(read == object[at..at + PAGE_BYTES as usize], "page {page}");
    }
    let head = region.store.resolve(BUCKET, "k", None).await.unwrap().head.unwrap();
    assert_eq!(head.parts.iter().map(|part| part.bytes as usize).collect::<Vec<_>>(), sizes);
    let region = region.restart().await;
    assert!(region.store.test_object("k").await.unwrap().unwrap() == object);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn replaced_parts_and_aborted_uploads_lose_their_bytes_without_grace() {
    let region = Region::start().await;
    region.store.test_put_part("u", 1, &bytes(1, MIB)).await.unwrap();
    region.store.test_put_part("u", 1, &bytes(2, MIB)).await.unwrap();
    region.store.test_put_part("u", 2, &bytes(3, MIB)).await.unwrap();
    until("the removal of the replaced part", async || region.data_files().len() == 2).await;
    region.store.commit(Change::Nothing, |txn| Ok(txn.delete_upload(BUCKET, "k", "u")?)).await.unwrap();
    until("the removal of the parts", async || region.data_files().is_empty()).await;
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn parts_left_out_of_the_object_lose_their_bytes() {
    let region = Region::start().await;
    for number in 1..=3 {
        region.store.test_put_part("u", number, &bytes(u64::from(number), MIB)).await.unwrap();
    }
    let completed = region.store.commit(change("k"), |txn| {
        let chosen: Vec<_> =
            [1, 3].map(|number| txn.part("u", number)).into_iter().collect::<Result<_, _>>()?;
        let chosen: Vec<_> = chosen.into_iter().flatten().map(|part| part.instance).collect();
        let instance = txn.join(&chosen)?;
        txn.put_object(BUCKET, "k", &head(txn, instance, 2 * MIB as u64))?;
        txn.delete_upload(BUCKET, "k", "u")?;
        Ok(instance)
    });
    let instance = completed.await.unwrap();
    until("the removal of the second part", async || region.data_files().len() == 2).await;
    let expected = [bytes(1, MIB), bytes(3, MIB)].concat();
    assert!(region.store.test_read(instance).await.unwrap() == expected);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// More segments than one row holds, cut at places that are no page bounds; contiguous slices become one again.
#[tokio::test]
async fn an_object_of_very_many_slices_reads_right_at_every_run() {
    let region = Region::start().await;
    let source = bytes(9, 2 * MIB);
    let whole = region.store.test_put("from", &source).await.unwrap();
    let slices: Vec<Range<u64>> =
        (0..700).map(|n| (n * 2_311 % 1_000_000, 1_000 + n)).map(|(at, n)| at..at + n).collect();
    let expected: Vec<u8> =
        slices.iter().flat_map(|slice| source[slice.start as usize..slice.end as usize].to_vec()).collect();
    let bytes = expected.len() as u64;
    let joined = region.store.commit(change("to"), move |txn| {
        let parts =
            slices.into_iter().map(|slice| txn.slice(&whole, slice)).collect::<Result<Vec<_>, _>>()?;
        let instance = txn.join(&parts)?;
        txn.put_object(BUCKET, "to", &head(txn, instance, bytes))?;
        Ok(instance)
    });
    let joined = joined.await.unwrap();
    assert!(region.store.test_read(joined).await.unwrap() == expected);
    for page in 0..bytes.div_ceil(PAGE_BYTES) {
        let (from, to) = (page * PAGE_BYTES, bytes.min((page + 1) * PAGE_BYTES));
        let read = region.store.test_read_pages(joined, page..page + 1).await.unwrap();
        assert!(read == expected[from as usize..to as usize], "page {page}");
    }
    region.store.test_delete("from").await.unwrap();
    region.store.test_delete("to").await.unwrap();
    region.let_grace_pass().await;
    assert_eq!(region.data_files().len(), 0);
    let report = region.check().await;
    assert_eq!(report.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_part_of_an_inline_object_is_a_part_of_its_row() {
    let region = Region::start().await;
    let source = region.store.test_put("from", b"0123456789").await.unwrap();
    let sliced = region.store.commit(change("to"), move |txn| {
        let instance = txn.slice(&source, 2..5)?;
        txn.put_object(BUCKET, "to", &head(txn, instance, 3))?;
        Ok(instance)
    });
    assert_eq!(region.store.test_read(sliced.await.unwrap()).await.unwrap(), b"234");
    let past = region.store.commit(change("to"), move |txn| txn.slice(&source, 2..11)).await;
    assert_eq!(*past.unwrap_err().code(), S3ErrorCode::InternalError);
}

#[tokio::test]
async fn empty_parts_leave_no_file() {
    let region = Region::start().await;
    region.store.test_put_part("u", 1, b"").await.unwrap();
    region.store.test_put_part("v", 1, b"").await.unwrap();
    let instance = region.store.test_complete("k", "u").await.unwrap();
    assert_eq!(region.store.test_read(instance).await.unwrap(), b"");
    region.store.commit(Change::Nothing, |txn| Ok(txn.delete_upload(BUCKET, "k", "v")?)).await.unwrap();
    until("the removal of the empty files", async || region.data_files().is_empty()).await;
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}
