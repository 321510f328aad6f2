//! Flipped bits: an error, never a wrong byte and never a silent loss.

use std::os::unix::fs::FileExt;

use s3s::S3;
use s3s::dto::{
    CopySource, CreateMultipartUploadInput, DeleteObjectTaggingInput, GetObjectAclInput, GetObjectInput,
    GetObjectTaggingInput, HeadObjectInput, ListBucketsInput, UploadPartCopyInput,
};

use super::*;

pub(super) fn flip(path: &Path, at: u64, bit: u32) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at).unwrap();
}

/// The metadata of a closed store, to be put back after each damage: the file, and the note of what was answered.
struct Metadata {
    path: PathBuf,
    file: Vec<u8>,
    note: Vec<u8>,
}

impl Metadata {
    fn of(dir: &Path) -> Self {
        let path = disk::metadata_path(dir);
        let note = std::fs::read(path.with_extension("answered")).unwrap();
        Self { file: std::fs::read(&path).unwrap(), note, path }
    }

    fn restore(&self) {
        std::fs::write(&self.path, &self.file).unwrap();
        std::fs::write(self.path.with_extension("answered"), &self.note).unwrap();
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_data_file_is_an_error_of_its_page_alone() {
    let region = Region::start().await;
    let object = bytes(1, 3 * MIB);
    let instance = region.store.test_put("k", &object).await.unwrap();
    flip(&region.data_files()[0], 20 * PAGE_BYTES + 77, 3);
    assert!(matches!(region.store.test_read_pages(instance, 20..21).await, Err(ReadError::Corrupt(_))));
    assert!(matches!(region.store.test_read(instance).await, Err(ReadError::Corrupt(_))));
    let sound = region.store.test_read_pages(instance, 21..22).await.unwrap();
    assert!(sound == object[21 * PAGE_BYTES as usize..22 * PAGE_BYTES as usize]);
    let report = region.check().await;
    assert_eq!(report.faults.len(), 1);
    assert!(report.faults[0].starts_with("page 20 of file"), "{report:?}");
    assert!(report.faults[0].ends_with(r#"other bytes than were written: of "photos/k""#), "{report:?}");
}

/// Who has to restore something is told what: every object that has the bad bytes, and none that has others of the same file.
#[tokio::test]
async fn a_fault_names_the_objects_that_it_is_in() {
    let region = Region::start().await;
    region.store.test_put("sound", &bytes(9, MIB)).await.unwrap();
    let sound = region.data_files();
    region.store.test_put("a\nb", &bytes(1, MIB)).await.unwrap();
    let spoilt = region.data_files().into_iter().find(|path| !sound.contains(path)).unwrap();
    region.store.test_copy("a\nb", "copy").await.unwrap();
    region.store.test_put_part("u", 3, &bytes(2, MIB)).await.unwrap();
    let part = region.data_files().into_iter().find(|path| !sound.contains(path) && *path != spoilt).unwrap();
    flip(&spoilt, 5, 0);
    std::fs::remove_file(&part).unwrap();
    let report = region.check().await;
    let said = |is: &dyn Fn(&str) -> bool| report.faults.iter().filter(|fault| is(fault)).count();
    assert_eq!(report.faults.len(), 2, "{report:?}");
    assert_eq!(
        said(&|fault| fault.starts_with("page 0 of") && fault.ends_with(r#"of "photos/a\nb", "photos/copy""#)),
        1,
        "{report:?}"
    );
    assert_eq!(
        said(&|fault| fault.contains("No such file")
            && fault.ends_with("of part 3 of the unfinished upload u")),
        1,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_flipped_bit_beside_a_seam_is_found_although_the_page_is_put_together() {
    let region = Region::start().await;
    region.store.test_put_part("u", 1, &bytes(1, 100_000)).await.unwrap();
    let first = region.data_files();
    region.store.test_put_part("u", 2, &bytes(2, 100_000)).await.unwrap();
    let second = region.data_files().into_iter().find(|path| !first.contains(path)).unwrap();
    let instance = region.store.test_complete("k", "u").await.unwrap();
    flip(&second, 5, 0);
    assert!(matches!(region.store.test_read_pages(instance, 1..2).await, Err(ReadError::Corrupt(_))));
    assert!(region.store.test_read_pages(instance, 0..1).await.is_ok());
}

#[tokio::test]
async fn a_missing_or_short_data_file_is_an_error() {
    let region = Region::start().await;
    let instance = region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    let path = region.data_files().remove(0);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(1000).unwrap();
    assert!(matches!(region.store.test_read(instance).await, Err(ReadError::Io(_))));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(region.store.test_read(instance).await, Err(ReadError::Io(_))));
    assert_eq!(region.check().await.faults.len(), 1);
}

#[tokio::test]
async fn a_store_without_its_metadata_is_damaged_and_not_new() {
    let region = Region::start().await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    region.store.close().await;
    let metadata = disk::metadata_path(region.dir.path());
    std::fs::write(&metadata, b"").unwrap();
    assert!(!RegionalStore::check_deep(region.dir.path()).await.unwrap().is_sound());
    assert_eq!(metadata.metadata().unwrap().len(), 0, "the check made a store of it");
    std::fs::remove_file(metadata).unwrap();
    let opened = RegionalStore::open(settings(region.dir.path()), Seams::default(), &Registry::new()).await;
    assert!(matches!(opened.err(), Some(OpenError::Corrupt { .. })));
    assert_eq!(region.data_files().len(), 1);
}

/// Removes a row of a closed store, as damage does that leaves nothing to notice.
pub(super) fn lose_rows(dir: &Path, table: table::Table, is_lost: impl Fn(&[u8]) -> bool) {
    use db::{ReadRows, WriteRows};
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let opening = db::Opening {
        path: disk::metadata_path(dir),
        cache_bytes: MIB,
        faults: Seams::default().faults,
        check_integrity: false,
    };
    let lost_count = db::Db::open(opening).unwrap().write(|batch| {
        let rows = batch.rows(table, all)?.collect::<Result<Vec<_>, _>>()?;
        let lost: Vec<_> = rows.into_iter().filter(|(key, _)| is_lost(key)).collect();
        lost.iter().try_for_each(|(key, _)| batch.delete_row(table, key))?;
        batch.keep();
        Ok(lost.len())
    });
    assert_eq!(lost_count.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_lost_what_it_says_of_itself_is_damaged_and_not_new() {
    for lost in ["format", "region", "epoch"] {
        let region = Region::start().await;
        region.store.test_put("k", b"in a row").await.unwrap();
        region.store.close().await;
        lose_rows(region.dir.path(), table::Table::Store, |key| key == lost.as_bytes());
        let report = RegionalStore::check_deep(region.dir.path()).await.unwrap();
        assert_eq!(report.faults, [format!("corrupt: the metadata file does not say its {lost}")]);
        let opened =
            RegionalStore::open(settings(region.dir.path()), Seams::default(), &Registry::new()).await;
        assert!(matches!(opened.err(), Some(OpenError::Corrupt { .. })), "{lost}");
    }
}

#[tokio::test]
async fn a_missing_part_list_is_found_by_the_deep_check() {
    let region = Region::start().await;
    region.store.test_put_part("u", 1, &bytes(1, 100_000)).await.unwrap();
    let instance = region.store.test_complete("k", "u").await.unwrap();
    region.store.close().await;
    lose_rows(region.dir.path(), table::Table::PartLists, |_| true);
    let report = region.check().await;
    assert_eq!(report.faults, [format!("corrupt: the part list of instance {instance} is missing")]);
}

/// Ten thousand parts take a while to decode: whoever asks for none does not wait for that, nor do others for the writer. So
/// the list may be lost, and whoever does not ask for it does not notice.
#[tokio::test]
async fn whoever_asks_for_no_parts_reads_no_list_of_them() {
    let region = Region::start().await;
    for number in 1..=2 {
        region.store.test_put_part("u", number, &bytes(u64::from(number), 100_000)).await.unwrap();
    }
    region.store.test_complete("k", "u").await.unwrap();
    let (bucket, key) = (BUCKET.to_owned(), "k".to_owned());
    let untag =
        || DeleteObjectTaggingInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    region.store.delete_object_tagging(asked(untag())).await.unwrap();
    let head = region.store.resolve(BUCKET, "k", None).await.unwrap().head.unwrap();
    assert_eq!(head.parts.len(), 2, "the parts of an object that is given other tags stay");
    region.store.close().await;
    lose_rows(region.dir.path(), table::Table::PartLists, |_| true);

    let region = Region::open(region.dir, Seams::default()).await;
    let store = &region.store;
    store.delete_object_tagging(asked(untag())).await.unwrap();
    let get = || GetObjectInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    store.get_object(asked(get())).await.unwrap();
    let mut ranged = asked(get());
    ranged.headers.insert(http::header::RANGE, http::HeaderValue::from_static("bytes=1-2"));
    store.get_object(ranged).await.unwrap();
    let head = HeadObjectInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    store.head_object(asked(head)).await.unwrap();
    let acl = GetObjectAclInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    store.get_object_acl(asked(acl)).await.unwrap();
    let tags = GetObjectTaggingInput { bucket: bucket.clone(), key: key.clone(), ..Default::default() };
    store.get_object_tagging(asked(tags)).await.unwrap();
    let create =
        CreateMultipartUploadInput { bucket: bucket.clone(), key: "to".into(), ..Default::default() };
    let upload_id = store.create_multipart_upload(asked(create)).await.unwrap().output.upload_id.unwrap();
    let from = CopySource::Bucket { bucket: BUCKET.into(), key: "k".into(), version_id: None };
    let mut copy = UploadPartCopyInput::builder();
    copy.set_bucket(bucket.clone()).set_key("to".into()).set_upload_id(upload_id);
    copy.set_part_number(1).set_copy_source(from);
    store.upload_part_copy(asked(copy.build().unwrap())).await.unwrap();

    let mut of_part = asked(get());
    of_part.uri = http::Uri::from_static("/?partNumber=1");
    assert_eq!(*store.get_object(of_part).await.err().unwrap().code(), S3ErrorCode::InternalError);
    let source = [(http::HeaderName::from_static("x-amz-rename-source"), "photos/k".parse().unwrap())];
    let rename = RenameObjectInput::parse(BUCKET, "new", &source.into_iter().collect()).unwrap();
    store.rename_object(asked(rename)).await.unwrap();
}

/// Every place where a row's text lies in the metadata file is damaged in turn; then the store is read and checked.
#[tokio::test]
async fn a_flipped_bit_in_a_row_is_an_error_and_never_an_absence() {
    let region = Region::start().await;
    for n in 0..50 {
        region.store.test_put(&format!("neighbour-{n:02}"), b"v").await.unwrap();
    }
    region.store.test_put("neighbour-25-needle", b"a value to look for").await.unwrap();
    region.store.close().await;
    let kept = Metadata::of(region.dir.path());
    let Metadata { path: metadata, file: sound, .. } = &kept;
    let mut places = Vec::new();
    for text in [b"neighbour-25-needle".as_slice(), b"a value to look for", b"revision"] {
        places.extend(
            sound.windows(text.len()).enumerate().filter(|(_, found)| *found == text).map(|(at, _)| at + 3),
        );
    }
    assert!(places.len() > 3);
    let mut found_count = 0;
    for at in places {
        kept.restore();
        flip(metadata, at as u64, 1);
        let report = RegionalStore::check_deep(region.dir.path()).await.unwrap();
        kept.restore();
        flip(metadata, at as u64, 1);
        let registry = Registry::new();
        let store =
            RegionalStore::open(settings(region.dir.path()), Seams::default(), &registry).await.unwrap();
        let read = store.resolve(BUCKET, "neighbour-25-needle", None).await;
        store.close().await;
        match read {
            // The bit was in a page that is free, or in another row: the row that was asked for is as it was.
            Ok(resolved) => assert_eq!(resolved.inline.unwrap().bytes, b"a value to look for".as_slice()),
            Err(error) => {
                assert_eq!(*error.code(), S3ErrorCode::InternalError);
                assert!(!report.is_sound());
                found_count += 1;
            }
        }
    }
    assert!(found_count >= 2, "{found_count}");
}

/// redb's choice between its two commit slots, which no sum covers: flipped, the commit before the last is the last.
#[tokio::test]
async fn a_flipped_choice_of_commit_slot_is_no_silent_loss() {
    const SLOT_BYTE: u64 = 9;
    let region = Region::start().await;
    region.store.test_put("first", b"1").await.unwrap();
    region.store.test_put("second", b"2").await.unwrap();
    // What a killed process leaves.
    let killed = tempfile::tempdir().unwrap();
    std::fs::create_dir(killed.path().join("data")).unwrap();
    let (left, noted) = (disk::metadata_path(region.dir.path()), disk::metadata_path(killed.path()));
    for extension in ["redb", "answered"] {
        std::fs::copy(left.with_extension(extension), noted.with_extension(extension)).unwrap();
    }
    region.store.close().await;
    flip(&noted, SLOT_BYTE, 0);
    let opened = RegionalStore::open(settings(killed.path()), Seams::default(), &Registry::new()).await;
    assert!(matches!(opened.err(), Some(OpenError::Corrupt { .. })));
    assert!(!RegionalStore::check_deep(killed.path()).await.is_ok_and(|report| report.is_sound()));
}

/// Bits anywhere in the metadata file, its header among them: the deep check finds the damage, or there is none.
#[tokio::test]
async fn a_flipped_bit_in_the_metadata_files_structure_is_found_by_the_deep_check() {
    let region = Region::start().await;
    let keys: Vec<_> = (0..200).map(|n| format!("key-{n:03}")).collect();
    futures::future::try_join_all(keys.iter().map(|key| region.store.test_put(key, key.as_bytes())))
        .await
        .unwrap();
    region.store.close().await;
    let kept = Metadata::of(region.dir.path());
    let Metadata { path: metadata, file: sound, .. } = &kept;
    assert!(RegionalStore::check_deep(region.dir.path()).await.unwrap().is_sound());
    let mut random = bytes(std::process::id().into(), 16 * 24).into_iter();
    let mut number = move || random.by_ref().take(8).fold(0u64, |number, byte| number << 8 | u64::from(byte));
    let mut found_count = 0;
    for n in 0..24 {
        let span = if n % 3 == 0 { 320 } else { sound.len() as u64 };
        let (at, bit) = (number() % span, (number() % 8) as u32);
        kept.restore();
        flip(metadata, at, bit);
        let report = RegionalStore::check_deep(region.dir.path()).await;
        if !report.is_ok_and(|report| report.is_sound()) {
            found_count += 1;
            continue;
        }
        let registry = Registry::new();
        let store =
            RegionalStore::open(settings(region.dir.path()), Seams::default(), &registry).await.unwrap();
        for key in &keys {
            let read = store.test_object(key).await.unwrap();
            assert_eq!(read.as_deref(), Some(key.as_bytes()), "bit {bit} of byte {at}");
        }
        store.close().await;
    }
    assert!(found_count > 0);
}

/// Leftovers whose instance is gone, as many as one look takes and more, in front of a sound one; and rows of the trash
/// that name no file.
#[tokio::test]
async fn damaged_leftovers_do_not_starve_those_behind_them() {
    let region = Region::start().await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    let damaged = region.store.commit(Change::Nothing, |txn| {
        for id in 0..300u16 {
            let mut gone = [0; 16];
            gone[..2].copy_from_slice(&id.to_be_bytes());
            txn.retire(&Instance::from_bytes(gone), due::Since::LONG_AGO)?;
            txn.rows.put_row(table::Table::Trash, &gone[..8], b"no row of a file")?;
            txn.rows.put_row(table::Table::Trash, &gone, b"no row of a file")?;
        }
        Ok(())
    });
    damaged.await.unwrap();
    region.store.test_delete("k").await.unwrap();
    region.clock.advance(region.store.shared.settings.grace);
    let reaped = region.try_reap().await;
    assert!(matches!(reaped, Err(Failure::Corrupt(_))), "{reaped:?}");
    assert_eq!(region.data_files().len(), 0);
}

/// Rows that nothing depends on, beside which a start looks for others: for the key that it makes first, and for leases. A row
/// that is damaged and does matter ends it all the same.
#[tokio::test]
async fn damaged_rows_that_nothing_depends_on_end_no_start() {
    struct InTheOpen;
    impl Sealing for InTheOpen {
        fn seal(&self, secret: &[u8], _context: &[u8]) -> Vec<u8> {
            secret.to_vec()
        }
        fn open(&self, sealed: &[u8], _context: &[u8]) -> Result<Unsealed, String> {
            Ok(Unsealed { secret: sealed.to_vec(), is_by_newest: true })
        }
    }
    const VALUE: &[u8; 24] = b"a value that is damaged.";
    for (key, is_opened) in [(b"lifecycle".as_slice(), true), (b"scrubbed", true), (b"region", false)] {
        let region = Region::start().await;
        region.store.test_put("k", b"v").await.unwrap();
        let put = |txn: &mut Txn<'_>| Ok(txn.rows.put_row(table::Table::Store, key, VALUE)?);
        region.store.commit(Change::Nothing, put).await.unwrap();
        region.store.close().await;
        let path = disk::metadata_path(region.dir.path());
        let file = std::fs::read(&path).unwrap();
        let places = file.windows(VALUE.len()).enumerate().filter(|(_, found)| *found == VALUE);
        let flipped_count = places.map(|(at, _)| flip(&path, at as u64, 0)).count();
        assert!(flipped_count > 0);
        let seams = Seams { sealing: Some(Arc::new(InTheOpen)), ..Seams::default() };
        let opened = RegionalStore::open(settings(region.dir.path()), seams, &Registry::new()).await;
        assert_eq!(opened.is_ok(), is_opened, "{:?}", opened.err());
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
                continue;
            }
        };
        for class in LeaseClass::ALL {
            assert_eq!(store.longest_lease(class).await.unwrap(), Duration::ZERO);
        }
        store.apply_lifecycle().await.unwrap();
        assert_eq!(store.test_object("k").await.unwrap().unwrap(), b"v");
        store.close().await;
    }
}

/// One bucket whose row cannot be read is closed; the list of the others goes on without it.
#[tokio::test]
async fn a_bucket_that_cannot_be_read_is_left_out_of_lists() {
    let region = Region::start().await;
    let id = Instance::from_bytes([7; 16]);
    let owner = Owner { id: "ab".repeat(32), display_name: "studio".into() };
    let facts = Facts::new(id, id, "studio", owner.clone());
    let put = move |txn: &mut Txn<'_>| {
        let bucket = Bucket::new(facts, 1);
        txn.put_bucket("a", &bucket)?;
        txn.rows.put_row(table::Table::Buckets, b"b", b"of a later release")?;
        Ok(txn.put_bucket("c", &bucket)?)
    };
    region.store.commit(Change::Nothing, put).await.unwrap();
    let request = asked_by("studio", owner, ListBucketsInput::default());
    let listed = region.store.list_buckets(request).await.unwrap().output.buckets.unwrap();
    let names: Vec<_> = listed.into_iter().filter_map(|bucket| bucket.name).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(region.store.facts("b").await.unwrap_err().code(), &S3ErrorCode::InternalError);
}

/// Makes the branches of a closed metadata file that lead to `first`, the first row of a table, panic when redb rebuilds
/// them: their last separators have no end. How many those were, those of earlier commits among them.
fn spoil_branches(path: &Path, first: &[u8]) -> usize {
    const PAGE_BYTES: usize = 4096;
    const BRANCH: u8 = 2;
    let mut file = std::fs::read(path).unwrap();
    let mut spoilt_count = 0;
    for page in file.chunks_exact_mut(PAGE_BYTES).filter(|page| page[0] == BRANCH) {
        let keys_count = usize::from(u16::from_le_bytes([page[2], page[3]]));
        let ends = 8 + 24 * (keys_count + 1);
        let keys = ends + 4 * keys_count;
        if keys_count > 3 && page.get(keys..).is_some_and(|keys| keys.starts_with(first)) {
            page[ends + 4 * keys_count - 1] ^= 0x40;
            spoilt_count += 1;
        }
    }
    std::fs::write(path, file).unwrap();
    spoilt_count
}

/// redb may still refer to pages that it has given back when it panics over another one. A change is taken back row by row;
/// that cannot be, and what is committed on it loses rows that nobody touched.
#[test]
fn nothing_is_committed_beside_a_write_that_panicked() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use db::{Batch, Db, Opening, ReadRows, WriteRows};
    const TABLE: table::Table = table::Table::Completed;
    const ROWS_COUNT: u32 = 4000;
    let dir = tempfile::tempdir().unwrap();
    let opening = || Opening {
        path: disk::metadata_path(dir.path()),
        cache_bytes: MIB,
        faults: Seams::default().faults,
        check_integrity: false,
    };
    let put = |batch: &mut Batch<'_>, key: &str| batch.put_row(TABLE, key.as_bytes(), &[7; 300]);
    let name = |n: u32| format!("row-{n:05}");
    Db::create(&opening(), &[]).unwrap();
    let db = Db::open(opening()).unwrap();
    let write_all = |batch: &mut Batch<'_>| {
        (0..ROWS_COUNT).try_for_each(|n| put(batch, &name(n)))?;
        batch.keep();
        Ok(())
    };
    db.write(write_all).unwrap();
    db.close();
    assert!(spoil_branches(&opening().path, b"row-000") > 0);

    let db = Db::open(opening()).unwrap();
    let mut has_panicked = false;
    // One more row a commit, until a leaf is split and its branch written anew.
    let mut more = (0..100).map(|n| format!("{}-{n:02}", name(0)));
    while !has_panicked {
        let key = more.next().expect("redb comes to the damage");
        let committed = db.write(|batch| {
            match catch_unwind(AssertUnwindSafe(|| put(batch, &key))) {
                Ok(done) => done?,
                Err(_) => {
                    has_panicked = true;
                    batch.take_back();
                }
            }
            batch.keep();
            // The next change of the same batch.
            put(batch, "row-beside").ok();
            batch.keep();
            Ok(())
        });
        assert_eq!(committed.is_ok(), !has_panicked);
    }
    // Pages that were given back are used again.
    for n in 0..100 {
        let more = |batch: &mut Batch<'_>| {
            (0..40).try_for_each(|m| put(batch, &format!("{}-{m}", name(2000 + n * 10))))?;
            batch.keep();
            Ok(())
        };
        db.write(more).unwrap();
    }
    db.close();
    let db = Db::open(opening()).unwrap();
    let rows = db.snapshot().unwrap();
    for n in (0..100).chain(2000..ROWS_COUNT) {
        assert!(rows.row(TABLE, name(n).as_bytes()).unwrap().is_some(), "{n}");
    }
}
