//! What was put is read back: whole, by pages, and along with `resolve`.

use super::*;

#[tokio::test]
async fn objects_of_every_size_read_back_as_they_were_put_and_after_a_restart() {
    let region = Region::start().await;
    let sizes = [0, 1, 16 * 1024, 16 * 1024 + 1, 65_535, 65_536, 65_537, MIB, 3 * MIB + 12_345];
    for (seed, size) in (0..).zip(sizes) {
        region.store.test_put(&format!("{size}"), &bytes(seed, size)).await.unwrap();
    }
    let region = region.restart().await;
    for (seed, size) in (0..).zip(sizes) {
        let read = region.store.test_object(&format!("{size}")).await.unwrap().unwrap();
        assert!(read == bytes(seed, size), "{size}");
    }
    // Only what does not fit a row has a file.
    assert_eq!(region.data_files().len(), 6);
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

/// Page by page and piece by piece, and whole.
#[tokio::test]
async fn transfers_go_on_where_there_is_no_memory_to_lend() {
    let region = Region::start().await;
    let buffers = &region.store.shared.disk.files.buffers;
    let _runs: Vec<_> = std::iter::from_fn(|| buffers.run()).collect();
    let _gathered = buffers.gather(GATHERED_BYTES_MAX as u64);
    let bytes = bytes(9, 3 * 1024 * 1024 + 17);
    let instance = region.store.test_put("k", &bytes).await.expect("put");
    assert_eq!(region.store.test_read(instance).await.expect("read"), bytes);
}

#[tokio::test]
async fn small_objects_travel_with_resolve_and_larger_ones_do_not() {
    let region = Region::start().await;
    region.store.test_put("small", b"0123456789").await.unwrap();
    region.store.test_put("large", &bytes(1, 20_000)).await.unwrap();
    let small = region.store.resolve(BUCKET, "small", None).await.unwrap();
    assert_eq!(small.inline.unwrap().bytes, b"0123456789".as_slice());
    assert_eq!(region.store.resolve(BUCKET, "large", None).await.unwrap().inline, None);
    assert_eq!(region.store.resolve(BUCKET, "none", None).await.unwrap().head, None);
    assert_eq!(region.store.resolve(BUCKET, "small", Some("unknown")).await.unwrap().head, None);
}

#[tokio::test]
async fn pages_are_read_by_number_and_cut_at_the_end() {
    let region = Region::start().await;
    let object = bytes(3, 40 * PAGE_BYTES as usize + 100);
    let instance = region.store.test_put("k", &object).await.unwrap();
    let page = PAGE_BYTES as usize;
    for pages in [0..1, 15..17, 39..41, 40..41, 40..99, 0..41, 41..50] {
        let end = object.len().min(pages.end as usize * page);
        let expected = object.get(pages.start as usize * page..end).unwrap_or_default();
        assert!(
            region.store.test_read_pages(instance, pages.clone()).await.unwrap() == expected,
            "{pages:?}"
        );
    }
}
