//! What a scrub finds in files and rows that were damaged on purpose, and what it passes over because it is none.

use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;

use super::damage::{flip, lose_rows};
use super::*;
use crate::regional::usage::UsageRow;

/// Bytes a second that no test waits for.
const AT_ONCE: u64 = 1 << 50;
const PAGE: u64 = PAGE_BYTES;

/// The sum of all steps.
async fn scrub(store: &RegionalStore, scope: ScrubScope) -> Scrubbed {
    let mut wanted = ToScrub::Begin(scope);
    let mut sum: Option<Scrubbed> = None;
    loop {
        let step = store.scrub(wanted, AT_ONCE).await.unwrap().expect("the bucket is there");
        let to = step.to.clone();
        let whole = match sum.take() {
            None => step,
            Some(mut sum) => {
                sum.objects += step.objects;
                sum.parts += step.parts;
                sum.bytes += step.bytes;
                step.damage.into_iter().for_each(|damage| add_damage(&mut sum.damage, damage));
                sum.unnamed_files.extend(step.unnamed_files);
                Scrubbed { to: step.to, ..sum }
            }
        };
        // A place is the same as text: it may have been kept anywhere.
        match to {
            Some(to) => wanted = ToScrub::GoOn(to.to_string().parse().unwrap()),
            None => return whole,
        }
        sum = Some(whole);
    }
}

/// What is damaged: kind, key, which bytes.
fn told(scrubbed: &Scrubbed) -> Vec<(DamageKind, &str, Option<Range<u64>>)> {
    let named = scrubbed.damage.iter();
    named.map(|damage| (damage.kind, damage.of.key.as_deref().unwrap_or("-"), damage.bytes.clone())).collect()
}

/// The file that `put` makes.
async fn file_of<T>(region: &Region, put: impl Future<Output = T>) -> PathBuf {
    let before = region.data_files();
    put.await;
    let mut new: Vec<_> = region.data_files().into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(new.len(), 1);
    new.remove(0)
}

/// A region with an object of 3 MiB and 100 bytes, and the file that these are in.
async fn with_object(seams: Seams) -> (Region, PathBuf) {
    let region = Region::start_with(seams).await;
    let path = file_of(&region, region.store.test_put("k", &bytes(1, 3 * MIB + 100))).await;
    (region, path)
}

fn set_len(path: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[tokio::test]
async fn a_sound_store_is_read_to_its_end_and_nothing_is_found() {
    let region = Region::start().await;
    for (key, size) in [("empty", 0), ("small", 1000), ("page", 65_536), ("large", 3 * MIB + 1)] {
        region.store.test_put(key, &bytes(1, size)).await.unwrap();
    }
    region.store.test_copy("large", "copy").await.unwrap();
    // Seams in the middle of pages, an empty part, and more segments than a row holds.
    for number in 1..=140 {
        region.store.test_put_part("joined", number, &bytes(number.into(), 1000)).await.unwrap();
    }
    region.store.test_complete("joined", "joined").await.unwrap();
    region.store.test_put_part("u", 1, &bytes(7, MIB)).await.unwrap();
    region.store.test_put_part("u", 4, b"").await.unwrap();
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    assert_eq!(scrubbed.damage, []);
    assert_eq!(scrubbed.unnamed_files, [""; 0]);
    assert_eq!((scrubbed.objects, scrubbed.parts), (6, 2));
    let kept = 1000 + 65_536 + 2 * (3 * MIB + 1) + 140_000 + MIB;
    assert_eq!(scrubbed.kept_bytes, Some(kept as u64));
    // Whole pages, where parts meet in one.
    assert!(scrubbed.bytes >= kept as u64, "{scrubbed:?}");
    assert_eq!(region.check().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn other_bytes_are_told_with_their_range_and_those_around_them_are_not() {
    let (region, path) = with_object(Seams::default()).await;
    region.store.test_put("sound", &bytes(2, MIB)).await.unwrap();
    flip(&path, 20 * PAGE + 77, 3);
    flip(&path, 21 * PAGE, 0);
    flip(&path, 48 * PAGE + 99, 7);
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    let last = 48 * PAGE..48 * PAGE + 100;
    assert_eq!(
        told(&scrubbed),
        [(DamageKind::Sum, "k", Some(20 * PAGE..22 * PAGE)), (DamageKind::Sum, "k", Some(last))]
    );
    let file = scrubbed.damage[0].file.as_deref().unwrap();
    assert_eq!(region.dir.path().join("data").join(file), path);
    assert_eq!(scrubbed.objects, 2);
}

/// Each of those that have the bytes, and an unfinished upload that has some of them.
#[tokio::test]
async fn damage_is_told_of_everything_that_has_the_bytes() {
    let region = Region::start().await;
    let path = file_of(&region, region.store.test_put_part("u", 3, &bytes(1, 100_000))).await;
    file_of(&region, region.store.test_put_part("u", 5, &bytes(2, 100_000))).await;
    flip(&path, 99_999, 0);
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    assert_eq!(told(&scrubbed), [(DamageKind::Sum, "k", Some(PAGE..100_000))]);
    let of = &scrubbed.damage[0].of;
    assert_eq!((of.upload_id.as_deref(), of.part_number), (Some("u"), Some(3)));

    region.store.test_complete("joined", "u").await.ok();
    region.store.test_copy("joined", "copy").await.unwrap();
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    let bytes = Some(PAGE..100_000);
    assert_eq!(
        told(&scrubbed),
        [(DamageKind::Sum, "copy", bytes.clone()), (DamageKind::Sum, "joined", bytes)]
    );
}

#[tokio::test]
async fn a_missing_file_is_one_damage_however_long_it_was() {
    let (region, path) = with_object(Seams::default()).await;
    region.store.test_put("sound", &bytes(2, MIB)).await.unwrap();
    std::fs::remove_file(path).unwrap();
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    assert_eq!(told(&scrubbed), [(DamageKind::Missing, "k", Some(0..3 * MIB as u64 + 100))]);
}

#[tokio::test]
async fn a_file_of_another_length_is_told_by_what_it_lacks() {
    let (region, path) = with_object(Seams::default()).await;
    let whole = 3 * MIB as u64 + 100;
    for (len, expected) in [
        (whole - 1, Some(48 * PAGE..whole)),
        (40 * PAGE, Some(40 * PAGE..whole)),
        (40 * PAGE + 1, Some(40 * PAGE..whole)),
        (0, Some(0..whole)),
    ] {
        let sound = std::fs::read(&path).unwrap();
        set_len(&path, len);
        let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
        assert_eq!(told(&scrubbed), [(DamageKind::Length, "k", expected)], "{len}");
        std::fs::write(&path, sound).unwrap();
        assert_eq!(scrub(&region.store, ScrubScope::Everything).await.damage, []);
    }
    set_len(&path, whole + 1);
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    assert_eq!(told(&scrubbed), [(DamageKind::Length, "k", Some(48 * PAGE..whole))]);
}

/// Fails the read of a data file of this number, each time that it comes: a run of pages, and then each of them alone.
struct Refuses {
    reads: AtomicUsize,
    refused: Range<usize>,
}

impl Faults for Refuses {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        match step == DiskStep::ReadFile && self.refused.contains(&self.reads.fetch_add(1, Ordering::SeqCst))
        {
            true => Err(io_error()),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn what_the_disk_refuses_is_told_by_the_page() {
    // It is opened, a run of eight pages is refused, then the first of them alone.
    let refused = Refuses { reads: AtomicUsize::new(0), refused: 1..3 };
    let (region, _) = with_object(Seams { faults: Arc::new(refused), ..Seams::default() }).await;
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    assert_eq!(told(&scrubbed), [(DamageKind::Unreadable, "k", Some(0..PAGE))]);
    assert!(scrubbed.damage[0].said.contains("os error 5"), "{scrubbed:?}");
    assert_eq!(scrub(&region.store, ScrubScope::Everything).await.damage, [], "the disk is sound again");
}

/// Rows that are not there, or say what cannot be.
#[tokio::test]
async fn metadata_that_does_not_decode_or_is_lost_is_told() {
    use table::Table;
    let region = Region::start().await;
    let instance = region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    for key in ["head", "instance", "long", "sound"] {
        region.store.test_put(key, key.as_bytes()).await.unwrap();
    }
    region.store.test_put_part("joined", 1, &bytes(2, MIB)).await.unwrap();
    let joined = region.store.test_complete("joined", "joined").await.unwrap();
    let instance_of =
        async |key: &str| region.store.resolve(BUCKET, key, None).await.unwrap().head.unwrap().instance;
    let (lost, long) = (instance_of("instance").await, instance_of("long").await);
    let spoil = move |txn: &mut Txn<'_>| {
        txn.rows.put_row(Table::Objects, &keys::object(BUCKET, "head"), b"of a later release")?;
        txn.rows.delete_row(Table::Instances, lost.as_bytes())?;
        let inline = rows::InstanceRow { bytes: 9, content: rows::Content::Inline(b"nine bytes".to_vec()) };
        txn.rows.put_row(Table::Instances, long.as_bytes(), &encode(&inline))?;
        txn.rows.delete_row(Table::Sums, &keys::run(&instance, 0))?;
        txn.rows.delete_row(Table::PartLists, joined.as_bytes())?;
        txn.rows.put_row(Table::Users, b"AK", b"of a later release")?;
        Ok(())
    };
    region.store.commit(Change::Nothing, spoil).await.unwrap();
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    use DamageKind::{Length, Metadata};
    let found: Vec<_> = told(&scrubbed);
    let bytes = |bytes: Range<usize>| Some(bytes.start as u64..bytes.end as u64);
    assert_eq!(
        found,
        [
            (Metadata, "head", None),
            (Metadata, "instance", None),
            (Metadata, "joined", None),
            (Metadata, "k", bytes(0..MIB)),
            (Length, "long", None),
            (Length, "long", None),
            (Metadata, "-", None),
        ]
    );
    assert_eq!(scrubbed.damage.last().unwrap().of.row.as_deref(), Some("AK of table users"));
}

/// Wherever a row's text lies in the metadata file: what cannot be read then is told, and nothing else is.
#[tokio::test]
async fn a_flipped_bit_in_a_row_is_told_of_its_object() {
    let region = Region::start().await;
    for n in 0..50 {
        region.store.test_put(&format!("neighbour-{n:02}"), b"v").await.unwrap();
    }
    region.store.test_put("neighbour-25-needle", b"a value to look for").await.unwrap();
    region.store.close().await;
    let metadata = disk::metadata_path(region.dir.path());
    let note = std::fs::read(metadata.with_extension("answered")).unwrap();
    let sound = std::fs::read(&metadata).unwrap();
    let text = b"a value to look for";
    let places =
        sound.windows(text.len()).enumerate().filter(|(_, found)| found == text).map(|(at, _)| at + 3);
    let mut told_count = 0;
    for at in places {
        std::fs::write(&metadata, &sound).unwrap();
        std::fs::write(metadata.with_extension("answered"), &note).unwrap();
        flip(&metadata, at as u64, 1);
        let registry = Registry::new();
        let store =
            RegionalStore::open(settings(region.dir.path()), Seams::default(), &registry).await.unwrap();
        let is_read = store.resolve(BUCKET, "neighbour-25-needle", None).await.is_ok();
        let scrubbed = scrub(&store, ScrubScope::Everything).await;
        store.close().await;
        let expected = [(DamageKind::Metadata, "neighbour-25-needle", None)];
        // The bit may be in a page that is free.
        assert_eq!(told(&scrubbed), expected[usize::from(is_read)..]);
        told_count += usize::from(!is_read);
    }
    assert!(told_count >= 1);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_none_behind_it() {
    let region = Region::start().await;
    let mut instances = Vec::new();
    for key in ["a-first", "b-second", "c-last"] {
        instances.push(region.store.test_put(key, &bytes(1, MIB)).await.unwrap());
    }
    region.store.close().await;
    let metadata = disk::metadata_path(region.dir.path());
    let sound = std::fs::read(&metadata).unwrap();
    // As the head of the second object says it, sixteen bytes after the name of the field.
    let text = [b"instance\xc4\x10", instances[1].as_bytes().as_slice()].concat();
    for (at, _) in sound.windows(text.len()).enumerate().filter(|(_, found)| *found == text) {
        flip(&metadata, (at + text.len() - 1) as u64, 1);
    }
    let region = Region { store: reopened(&region.dir).await, ..region };
    for path in region.data_files() {
        flip(&path, 0, 0);
    }
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    let expected = [
        (DamageKind::Sum, "a-first", Some(0..PAGE)),
        (DamageKind::Metadata, "b-second", None),
        (DamageKind::Sum, "c-last", Some(0..PAGE)),
    ];
    assert_eq!(told(&scrubbed), expected);
}

/// Refuses to read whatever of the metadata file has one of these bytes in it. Not while the file is being opened, from its
/// head's read to the second sync: redb reads every page then, in builds that test it.
struct RefusesPlaces {
    places: Vec<u64>,
    /// Syncs until it is open.
    syncs_left: AtomicUsize,
}

impl Faults for RefusesPlaces {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        if step == DiskStep::SyncMetadata {
            let one_less = |left: usize| left.checked_sub(1);
            self.syncs_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).ok();
        }
        Ok(())
    }

    fn before_metadata(&self, bytes: Range<u64>) -> std::io::Result<()> {
        if bytes.start == 0 {
            self.syncs_left.store(2, Ordering::SeqCst);
        }
        let is_refused = self.places.iter().any(|place| bytes.contains(place));
        match is_refused && self.syncs_left.load(Ordering::SeqCst) == 0 {
            true => Err(io_error()),
            false => Ok(()),
        }
    }
}

fn io_error() -> std::io::Error {
    std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

/// The same store on a disk that refuses to read the pages of the metadata with `text`.
async fn refusing(region: &Region, text: &[u8]) -> RegionalStore {
    region.store.close().await;
    let metadata = std::fs::read(disk::metadata_path(region.dir.path())).unwrap();
    let found = metadata.windows(text.len()).enumerate().filter(|(_, found)| *found == text);
    let places: Vec<_> = found.map(|(at, _)| at as u64).collect();
    assert_ne!(places, [0; 0]);
    let faults = Arc::new(RefusesPlaces { places, syncs_left: AtomicUsize::new(0) });
    remembering_nothing(&region.dir, Seams { faults, ..Seams::default() }).await
}

/// A store without memory for the metadata: each row is read from the file.
async fn remembering_nothing(dir: &TempDir, seams: Seams) -> RegionalStore {
    let settings = Settings { metadata_cache_bytes: 0, ..settings(dir.path()) };
    RegionalStore::open(settings, seams, &Registry::new()).await.unwrap()
}

/// redb gives the error of such a page for every row behind it, without end.
#[test]
fn a_scrub_ends_although_a_page_of_what_all_accounts_keep_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scrubbing = async {
        let region = Region::start().await;
        // Neither in the first page of them nor in the last.
        let marked = UsageRow { bytes: 0x0123_4567_89AB_CDEF, buckets: 1 };
        let put = move |txn: &mut Txn<'_>| {
            for n in 0..600 {
                let row = if n == 300 { marked } else { UsageRow { bytes: 1, buckets: 1 } };
                txn.rows.put_row(table::Table::Usage, format!("account-{n:03}").as_bytes(), &encode(&row))?;
            }
            Ok(())
        };
        region.store.commit(Change::Nothing, put).await.unwrap();
        scrub(&refusing(&region, &marked.bytes.to_be_bytes()).await, ScrubScope::Everything).await
    };
    let scrubbed =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), scrubbing).await });
    // A scrub that does not end would be waited for.
    runtime.shutdown_background();
    let scrubbed = scrubbed.expect("the scrub does not end");
    assert_eq!(scrubbed.kept_bytes, None);
    assert_eq!(told(&scrubbed), [(DamageKind::Unreadable, "-", None)]);
    let row = scrubbed.damage[0].of.row.as_deref().unwrap();
    assert!(row.ends_with("of table usage and all behind it"), "{row}");
}

/// The object's bytes are read all the same.
#[tokio::test]
async fn a_part_list_that_is_refused_hides_neither_its_objects_bytes_nor_what_is_behind() {
    let region = Region::start().await;
    region.store.test_put_part("u", 1, &bytes(1, 100_000)).await.unwrap();
    let path = file_of(&region, region.store.test_put_part("u", 2, &bytes(2, 100_000))).await;
    region.store.test_complete("joined", "u").await.unwrap();
    region.store.test_put("later", &bytes(3, MIB)).await.unwrap();
    flip(&path, 0, 0);
    // As the list says it, and no other row.
    let scrubbed = scrub(&refusing(&region, b"\xa6number").await, ScrubScope::Everything).await;
    let second = 100_000..100_000 + PAGE;
    assert_eq!(
        told(&scrubbed),
        [(DamageKind::Unreadable, "joined", None), (DamageKind::Sum, "joined", Some(second))]
    );
    assert_eq!(scrubbed.objects, 2);
}

/// Fails another reader of the metadata whenever a data file is read, so that what was read from until then knows no more.
#[derive(Default)]
struct OthersFail {
    store: Mutex<Option<RegionalStore>>,
    is_refusing: AtomicBool,
}

impl Faults for OthersFail {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        match step {
            DiskStep::ReadMetadata if self.is_refusing.load(Ordering::SeqCst) => Err(io_error()),
            DiskStep::ReadFile => {
                let Some(store) = self.store.lock().unwrap().clone() else { return Ok(()) };
                let rows = store.shared.disk.db.snapshot().unwrap();
                self.is_refusing.store(true, Ordering::SeqCst);
                let refused = db::ReadRows::row(&rows, table::Table::Store, b"format");
                self.is_refusing.store(false, Ordering::SeqCst);
                assert!(matches!(refused, Err(Failure::Io(_))), "{refused:?}");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_row_that_others_keep_from_being_read_is_passed_and_told() {
    let others = Arc::<OthersFail>::default();
    let dir = TempDir::new().unwrap();
    let store = remembering_nothing(&dir, Seams { faults: others.clone(), ..Seams::default() }).await;
    store.test_bucket().await;
    for number in 1..=2 {
        store.test_put_part("u", number, &bytes(number.into(), 100_000)).await.unwrap();
    }
    store.test_complete("joined", "u").await.unwrap();
    store.test_put("later", &bytes(3, 100_000)).await.unwrap();
    *others.store.lock().unwrap() = Some(store.clone());
    let scrubbed = scrub(&store, ScrubScope::Everything).await;
    *others.store.lock().unwrap() = None;
    // Of the later one everything is known before its file is read.
    assert_eq!(told(&scrubbed), [(DamageKind::Unreadable, "joined", None)]);
    assert_eq!(scrubbed.objects, 1);
    store.close().await;
}

async fn reopened(dir: &TempDir) -> RegionalStore {
    RegionalStore::open(settings(dir.path()), Seams::default(), &Registry::new()).await.unwrap()
}

/// Until a scrub stands inside the bytes of something.
fn run_inside(region: &Region) -> ScrubPlace {
    let mut to = None;
    loop {
        to = region.store.test_scrub_run(to).to;
        match &to {
            Some(place) if place.test_is_inside() => return place.clone(),
            to => assert!(to.is_some(), "nothing took more than one run"),
        }
    }
}

/// From there to the end: what is found, how many objects and how many parts.
fn run_to_the_end(region: &Region, place: ScrubPlace) -> (Vec<Damage>, u64, u64) {
    let (mut to, mut damage, mut objects, mut parts) = (Some(place), Vec::new(), 0, 0);
    while to.is_some() {
        let run = region.store.test_scrub_run(to);
        damage.extend(run.damage);
        (objects, parts, to) = (objects + run.objects, parts + run.parts, run.to);
    }
    (damage, objects, parts)
}

#[tokio::test]
async fn an_object_that_is_deleted_or_replaced_during_the_scrub_is_no_damage() {
    for is_replaced in [false, true] {
        let (region, path) = with_object(Seams::default()).await;
        region.store.test_put("later", &bytes(2, MIB)).await.unwrap();
        let inside = run_inside(&region);
        match is_replaced {
            true => _ = region.store.test_put("k", &bytes(3, 2 * MIB)).await.unwrap(),
            false => _ = region.store.test_delete("k").await.unwrap(),
        }
        region.let_grace_pass().await;
        assert!(!path.exists(), "its bytes are gone");
        assert_eq!(run_to_the_end(&region, inside), (vec![], 1, 0), "the later one is read");
    }
}

/// Ends an object in the very moment that a scrub opens its file.
#[derive(Default)]
struct EndsIt {
    region: Mutex<Option<(RegionalStore, PathBuf)>>,
    is_done: AtomicBool,
}

impl Faults for EndsIt {
    fn before(&self, step: DiskStep) -> std::io::Result<()> {
        if step != DiskStep::ReadFile {
            return Ok(());
        }
        let Some((store, path)) = self.region.lock().unwrap().take() else { return Ok(()) };
        Handle::current().block_on(store.test_delete("k")).unwrap();
        std::fs::remove_file(path).unwrap();
        self.is_done.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_ends_under_the_look_is_no_damage() {
    let ends = Arc::<EndsIt>::default();
    let (region, path) = with_object(Seams { faults: ends.clone(), ..Seams::default() }).await;
    region.store.test_put("later", &bytes(2, MIB)).await.unwrap();
    *ends.region.lock().unwrap() = Some((region.store.clone(), path));
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    assert!(ends.is_done.load(Ordering::SeqCst));
    assert_eq!(scrubbed.damage, []);
    assert_eq!(region.store.test_object("k").await.unwrap(), None);
}

#[tokio::test]
async fn an_upload_that_is_finished_or_aborted_during_the_scrub_is_no_damage() {
    for is_finished in [false, true] {
        let region = Region::start().await;
        region.store.test_put_part("u", 1, &bytes(1, 2 * MIB)).await.unwrap();
        region.store.test_put_part("u", 2, &bytes(2, MIB)).await.unwrap();
        let inside = run_inside(&region);
        match is_finished {
            true => drop(region.store.test_complete("k", "u").await.unwrap()),
            false => {
                let abort = |txn: &mut Txn<'_>| Ok(txn.delete_upload(BUCKET, "k", "u")?);
                region.store.commit(Change::Nothing, abort).await.unwrap();
            }
        }
        region.let_grace_pass().await;
        assert_eq!(run_to_the_end(&region, inside), (vec![], 0, 0));
        assert_eq!(scrub(&region.store, ScrubScope::Everything).await.damage, []);
    }
}

#[tokio::test]
async fn a_scrub_of_some_keys_reads_those_alone() {
    let region = Region::start().await;
    for key in ["a/1", "a/2", "a/2\0", "b"] {
        let path = file_of(&region, region.store.test_put(key, &bytes(1, MIB))).await;
        flip(&path, 0, 0);
    }
    let keys = async |bucket: &str, keys: SomeKeys| {
        let scope = ScrubScope::Keys { bucket: bucket.into(), keys };
        let scrubbed = scrub(&region.store, scope).await;
        assert_eq!(scrubbed.kept_bytes, None);
        scrubbed.damage.into_iter().map(|damage| damage.of.key.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(keys(BUCKET, SomeKeys::Prefix("a/".into())).await, ["a/1", "a/2", "a/2\0"]);
    assert_eq!(keys(BUCKET, SomeKeys::Key("a/2".into())).await, ["a/2"]);
    assert_eq!(keys(BUCKET, SomeKeys::Key("a".into())).await, [""; 0]);
    assert_eq!(keys(BUCKET, SomeKeys::Prefix(String::new())).await.len(), 4);
    let scope = ScrubScope::Keys { bucket: "other".into(), keys: SomeKeys::Prefix(String::new()) };
    assert_eq!(region.store.scrub(ToScrub::Begin(scope), AT_ONCE).await.unwrap(), None);
}

#[tokio::test]
async fn a_place_in_another_store_is_refused() {
    let region = Region::start().await;
    let place = ScrubPlace::test_of("las1");
    let refused = region.store.scrub(ToScrub::GoOn(place), AT_ONCE).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::InvalidArgument);
    region.store.close().await;
    let closed = region.store.scrub(ToScrub::Begin(ScrubScope::Everything), AT_ONCE).await.unwrap_err();
    assert_eq!(*closed.code(), S3ErrorCode::ServiceUnavailable);
}

/// Files that a start would have removed, that are on their way, or whose removal is: none of them is told.
#[tokio::test]
async fn a_file_that_no_row_names_is_told_and_left_alone() {
    let (region, path) = with_object(Seams::default()).await;
    let region = region.restart().await;
    let on_its_way = region.store.test_staged(&bytes(2, MIB)).await.unwrap();
    let folder = path.parent().unwrap();
    let leaving = Instance::from_bytes([0xFF; 16]);
    std::fs::write(folder.join(leaving.to_string()), b"to be removed").unwrap();
    let leave = move |txn: &mut Txn<'_>| {
        let row = FileRow { bytes: 13, epoch: 1, references: 0 };
        Ok(txn.rows.put_row(table::Table::Trash, leaving.as_bytes(), &encode(&row))?)
    };
    region.store.commit(Change::Nothing, leave).await.unwrap();
    let sound = scrub(&region.store, ScrubScope::Everything).await;
    assert_eq!((sound.unnamed_files, sound.damage), (vec![], vec![]));

    let unnamed = folder.join("0".repeat(32));
    std::fs::write(&unnamed, b"whose?").unwrap();
    std::fs::write(folder.join("notes.txt"), b"by hand").unwrap();
    let later = region.dir.path().join("data/00000000000000ff/ab");
    std::fs::create_dir_all(&later).unwrap();
    std::fs::write(later.join("ab".repeat(16)), b"of a store that was set back").unwrap();
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    let shard = folder.file_name().unwrap().to_str().unwrap();
    let expected = [
        format!("0000000000000001/{shard}/{}", "0".repeat(32)),
        format!("0000000000000001/{shard}/notes.txt"),
        format!("00000000000000ff/ab/{}", "ab".repeat(16)),
    ];
    assert_eq!(scrubbed.unnamed_files, expected);
    assert_eq!(scrubbed.damage, [], "no object is any the worse");
    assert!(unnamed.exists());
    drop(on_its_way);
    let some = ScrubScope::Keys { bucket: BUCKET.into(), keys: SomeKeys::Prefix(String::new()) };
    assert_eq!(scrub(&region.store, some).await.unnamed_files, [""; 0]);
}

/// A store whose metadata lost the row of a file: the object is damaged, and the file is not lost.
#[tokio::test]
async fn a_file_whose_row_is_lost_is_told_on_both_sides() {
    let (region, path) = with_object(Seams::default()).await;
    // A start removes files without rows of the epochs before it, once.
    let region = region.restart().await;
    region.store.close().await;
    lose_rows(region.dir.path(), table::Table::Files, |_| true);
    let store = reopened(&region.dir).await;
    let scrubbed = scrub(&store, ScrubScope::Everything).await;
    assert_eq!(told(&scrubbed), [(DamageKind::Metadata, "k", Some(0..3 * MIB as u64 + 100))]);
    let unnamed = scrubbed.unnamed_files.iter().map(|file| region.dir.path().join("data").join(file));
    assert_eq!(unnamed.collect::<Vec<_>>(), [path]);
}

#[tokio::test]
async fn what_is_found_is_counted_and_the_last_whole_scrub_is_remembered() {
    let dir = TempDir::new().unwrap();
    let registry = Registry::new();
    let store = RegionalStore::open(settings(dir.path()), Seams::default(), &registry).await.unwrap();
    store.test_bucket().await;
    store.test_put("k", &bytes(1, MIB)).await.unwrap();
    let counted = |registry: &Registry, name: &str| {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("it is counted");
        let each = family.get_metric().iter();
        each.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum::<f64>()
    };
    let some = ScrubScope::Keys { bucket: BUCKET.into(), keys: SomeKeys::Prefix(String::new()) };
    assert_eq!(scrub(&store, some).await.damage, []);
    assert_eq!(counted(&registry, "store_scrub_bytes_total"), MIB as f64);
    assert_eq!(counted(&registry, "store_scrub_damage_total"), 0.0);
    assert_eq!(counted(&registry, "store_scrub_completed_seconds"), 0.0, "not of everything");
    flip(&files_under(&dir.path().join("data"))[0], 0, 0);
    let before = Seams::default().clock.now_millis() / 1000;
    assert_eq!(scrub(&store, ScrubScope::Everything).await.damage.len(), 1);
    assert_eq!(counted(&registry, "store_scrub_bytes_total"), 2.0 * MIB as f64);
    assert_eq!(counted(&registry, "store_scrub_damage_total"), 1.0);
    let completed = counted(&registry, "store_scrub_completed_seconds");
    assert!(completed >= before as f64);
    store.close().await;
    let registry = Registry::new();
    let store = RegionalStore::open(settings(dir.path()), Seams::default(), &registry).await.unwrap();
    assert_eq!(counted(&registry, "store_scrub_completed_seconds"), completed);
    store.close().await;
}

#[tokio::test]
async fn what_was_found_is_told_although_the_end_cannot_be_noted() {
    let (region, breaker) = faults::region().await;
    region.store.test_put("k", &bytes(1, MIB)).await.unwrap();
    flip(&region.data_files()[0], 0, 0);
    breaker.arm(DiskStep::WriteMetadata, std::io::ErrorKind::StorageFull);
    let scrubbed = scrub(&region.store, ScrubScope::Everything).await;
    breaker.disarm();
    assert_eq!(told(&scrubbed), [(DamageKind::Sum, "k", Some(0..PAGE))]);
}

#[tokio::test]
async fn a_store_opens_although_it_does_not_know_when_it_was_scrubbed() {
    let region = Region::start().await;
    region.store.test_put("k", b"v").await.unwrap();
    region.store.close().await;
    usage::tamper(region.dir.path(), |rows| {
        rows.put_row(table::Table::Store, b"scrubbed", b"yesterday").unwrap();
    });
    let store = reopened(&region.dir).await;
    assert_eq!(store.test_object("k").await.unwrap().unwrap(), b"v");
    let last = || crate::regional::scrub::last_scrubbed(&store.shared.disk).unwrap();
    assert_eq!(last(), 0);
    assert_eq!(scrub(&store, ScrubScope::Everything).await.damage, []);
    assert!(last() > 0, "a scrub writes it anew");
    store.close().await;
}

/// Memory of the page cache is not what is asked about: the scrub sees what a file has once it was written, however it was.
#[tokio::test]
async fn what_was_written_just_now_is_seen() {
    let (region, path) = with_object(Seams::default()).await;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut page = [0; 4096];
    file.read_exact_at(&mut page, 0).unwrap();
    file.write_all_at(&[0; 4096], 0).unwrap();
    assert_eq!(scrub(&region.store, ScrubScope::Everything).await.damage.len(), 1);
    file.write_all_at(&page, 0).unwrap();
    assert_eq!(scrub(&region.store, ScrubScope::Everything).await.damage, []);
}
