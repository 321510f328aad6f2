//! Instances that are not given up before a moment that an operator named.
//!
//! Where there is a file for them they survive the process: it is written whole, aside, and renamed into place before a
//! change counts. What an operator was told is then true after a crash, and what cannot be written changes nothing.
//! A file that is damaged is as good as none: whoever pinned something has to do it again, and a warning says so.
//!
//! The old process of a restart and the new one may both change it for a while. Each change begins with what the file says
//! then, and nobody else changes it meanwhile, so none undoes another's. What the other did counts here from the next change
//! or the next [`Kept::catch_up`], which comes before a device is used: the old process lets go of none before it has
//! closed, and who has closed changes nothing more.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::warn;

use super::open;
use crate::error::{Busy, Limit, PinError};
use crate::instance::Instance;
use crate::page;
use crate::sync::lock;

const MAGIC: &[u8; 8] = b"PENSPIN1";

/// Bytes of one object in the file: its instance, its size, and the second since 1970 until which it is kept.
const ENTRY_BYTES: usize = 32;

/// Objects that may be kept at one time: the file stays below half a mebibyte.
const OBJECTS_MAX: usize = 16_000;

/// How long a change waits for those of another process, each of which is two syncs of a disk.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is kept until when.
#[derive(Default)]
pub(super) struct Kept {
    objects: Mutex<HashMap<Instance, KeptObject>>,
    /// Held by whoever changes what is kept, or reads it again.
    changing: tokio::sync::Mutex<Changes>,
    file: Option<PinsFile>,
}

/// The file that pins outlive the process in.
#[derive(Clone)]
struct PinsFile {
    path: PathBuf,
    /// What it says beyond this is forgotten: it was pinned when there was more of NVMe.
    bytes_max: u64,
}

/// What becomes of changes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Changes {
    #[default]
    Made,
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct KeptObject {
    /// Whole seconds since 1970: a pin is a promise about days, and outlives the clock that counts from a start.
    until: u64,
    object_bytes: u64,
}

/// What is kept now, for as long as it is looked at.
pub(super) struct KeptNow<'k> {
    objects: MutexGuard<'k, HashMap<Instance, KeptObject>>,
    now: u64,
}

impl Kept {
    /// Nothing yet; [`Kept::catch_up`] brings what the file `path` says, as far as it has not run out and comes to `bytes_max`
    /// bytes at most. Without a file nothing outlives the process.
    pub(super) fn new(path: Option<PathBuf>, bytes_max: u64) -> Self {
        Self { file: path.map(|path| PinsFile { path, bytes_max }), ..Self::default() }
    }

    /// Goes on from what the file says now. Where it is of no use, nothing changes.
    pub(super) async fn catch_up(&self) {
        let Some(file) = self.file.clone() else { return };
        let _changing = self.changing.lock().await;
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        if let Some(objects) = read.expect("reading pins does not panic") {
            *lock(&self.objects) = objects;
        }
    }

    /// Keeps an object of `object_bytes` bytes for as long as `lasting` says, instead of what was said of it before; zero: no
    /// longer. Returns once that outlives the process, where there is a file.
    ///
    /// # Errors
    /// Nothing is changed if more than `bytes_max`, or too many objects, would be kept then, or the file cannot be written.
    pub(super) async fn keep(
        self: &Arc<Self>,
        instance: Instance,
        object_bytes: u64,
        lasting: Duration,
        bytes_max: u64,
    ) -> Result<(), PinError> {
        let now = seconds(SystemTime::now());
        let lasting = lasting.as_secs().saturating_add(u64::from(lasting.subsec_nanos() > 0));
        let until = now.saturating_add(lasting);
        self.change(move |objects| {
            objects.retain(|_, object| object.until > now);
            objects.remove(&instance);
            if until == now {
                return Ok(());
            }
            let others: u64 = objects.values().map(|object| object.object_bytes).sum();
            if objects.len() >= OBJECTS_MAX || others.saturating_add(object_bytes) > bytes_max {
                return Err(Busy(Limit::Pins).into());
            }
            objects.insert(instance, KeptObject { until, object_bytes });
            Ok(())
        })
        .await
    }

    /// Keeps those that `goes` names no longer.
    ///
    /// # Errors
    /// Nothing is changed if the file cannot be written.
    pub(super) async fn release(
        self: &Arc<Self>,
        goes: impl Fn(&Instance) -> bool + Send + 'static,
    ) -> Result<(), PinError> {
        self.change(move |objects| {
            objects.retain(|instance, _| !goes(instance));
            Ok(())
        })
        .await
    }

    /// One change after another, each in the file before it counts. It goes on where its caller goes away.
    async fn change(
        self: &Arc<Self>,
        change: impl Fn(&mut HashMap<Instance, KeptObject>) -> Result<(), PinError> + Send + 'static,
    ) -> Result<(), PinError> {
        let kept = self.clone();
        let changing = async move {
            let changes = kept.changing.lock().await;
            if *changes == Changes::Refused {
                return Err(PinError::Closed);
            }
            let mut objects = lock(&kept.objects).clone();
            let objects = match kept.file.clone() {
                Some(file) => {
                    let changed = tokio::task::spawn_blocking(move || file.change(objects, change)).await;
                    changed.expect("changing the file of pins does not panic")?
                }
                None => change(&mut objects).map(|()| objects)?,
            };
            *lock(&kept.objects) = objects;
            Ok(())
        };
        tokio::spawn(changing).await.expect("changing pins does not panic")
    }

    /// Lets the change that is under way come to its end, and makes no other.
    pub(super) async fn close(&self) {
        *self.changing.lock().await = Changes::Refused;
    }

    /// What is kept now.
    pub(super) fn now(&self) -> KeptNow<'_> {
        KeptNow { objects: lock(&self.objects), now: seconds(SystemTime::now()) }
    }

    /// Bytes of the objects that are kept now.
    pub(super) fn bytes(&self) -> u64 {
        let KeptNow { objects, now } = self.now();
        objects.values().filter(|object| object.until > now).map(|object| object.object_bytes).sum()
    }
}

impl KeptNow<'_> {
    /// Whether this one is.
    pub(super) fn holds(&self, instance: &Instance) -> bool {
        self.objects.get(instance).is_some_and(|object| object.until > self.now)
    }
}

impl PinsFile {
    /// What it says now; `None` if there is none, or it is of no use. Blocks.
    fn read(&self) -> Option<HashMap<Instance, KeptObject>> {
        let problem = match fs::read(&self.path) {
            Ok(bytes) => match decode(&bytes) {
                Some(objects) => return Some(within(self.bytes_max, objects)),
                None => "it is damaged".to_owned(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        warn!(path = %self.path.display(), problem, "the file of pins is of no use: what it alone says is not pinned");
        None
    }

    /// Changes what it says, or `known` where it is of no use. No other process changes it meanwhile. Blocks.
    fn change(
        &self,
        known: HashMap<Instance, KeptObject>,
        change: impl Fn(&mut HashMap<Instance, KeptObject>) -> Result<(), PinError>,
    ) -> Result<HashMap<Instance, KeptObject>, PinError> {
        let changed = || -> Result<_, PinError> {
            let before = self.read().unwrap_or_else(|| known.clone());
            let mut objects = before.clone();
            change(&mut objects)?;
            Ok((objects != before, objects))
        };
        // What changes nothing needs no lock, and no disk that takes writes.
        let (is_change, objects) = changed()?;
        if !is_change {
            return Ok(objects);
        }
        let _locked = self.lock().map_err(PinError::Io)?;
        let (is_change, objects) = changed()?;
        if is_change {
            write(&self.path, &encode(&objects)).map_err(PinError::Io)?;
        }
        Ok(objects)
    }

    /// Held by one process at a time, for as long as this file is open. It is one beside: the file itself is another one after
    /// each change.
    fn lock(&self) -> io::Result<File> {
        let beside = self.path.with_extension("lock");
        let file =
            File::options().write(true).create(true).truncate(false).mode(open::PRIVATE_MODE).open(beside)?;
        open::lock(&file, LOCK_WAIT_MAX)?;
        Ok(file)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The file's bytes: what it is, an entry an object, and the checksum of all before.
fn encode(objects: &HashMap<Instance, KeptObject>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (instance, object) in objects {
        bytes.extend_from_slice(&instance.0);
        bytes.extend_from_slice(&object.object_bytes.to_le_bytes());
        bytes.extend_from_slice(&object.until.to_le_bytes());
    }
    bytes.extend_from_slice(&page::checksum(&bytes).to_le_bytes());
    bytes
}

/// What such a file says; `None` if it is not whole.
fn decode(bytes: &[u8]) -> Option<HashMap<Instance, KeptObject>> {
    let (body, crc32c) = bytes.split_last_chunk::<4>()?;
    let entries = body.strip_prefix(MAGIC)?;
    if page::checksum(body) != u32::from_le_bytes(*crc32c) || entries.len() % ENTRY_BYTES != 0 {
        return None;
    }
    let entry = |entry: &[u8]| {
        let (instance, rest) = entry.split_first_chunk::<16>()?;
        let (object_bytes, until) = rest.split_first_chunk::<8>()?;
        let until = u64::from_le_bytes(until.try_into().ok()?);
        let object_bytes = u64::from_le_bytes(*object_bytes);
        Some((Instance(*instance), KeptObject { until, object_bytes }))
    };
    entries.chunks_exact(ENTRY_BYTES).map(entry).collect()
}

/// Without those that have run out, and without what is beyond `bytes_max` bytes; what ends last stays.
fn within(bytes_max: u64, mut objects: HashMap<Instance, KeptObject>) -> HashMap<Instance, KeptObject> {
    let now = seconds(SystemTime::now());
    objects.retain(|_, object| object.until > now);
    let mut by_end: Vec<_> = objects.iter().map(|(instance, object)| (*instance, *object)).collect();
    by_end.sort_by_key(|(instance, object)| (std::cmp::Reverse(object.until), *instance));
    let mut bytes = 0_u64;
    for (instance, object) in by_end {
        bytes = bytes.saturating_add(object.object_bytes);
        if bytes > bytes_max {
            warn!(%instance, object.object_bytes, "more was pinned than half of NVMe has now: no longer");
            objects.remove(&instance);
            bytes -= object.object_bytes;
        }
    }
    objects
}

/// Puts `bytes` in the place of the file, wholly or not at all, also if power fails. Its owner alone may read it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(open::PRIVATE_MODE).open(&aside)?;
    // It may be there from a process of an earlier release that was cut short.
    open::keep_private(&file, &aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What a process that starts now has.
    async fn open(file: &Path, bytes_max: u64) -> Arc<Kept> {
        let kept = Kept::new(Some(file.to_owned()), bytes_max);
        kept.catch_up().await;
        Arc::new(kept)
    }

    fn instance(number: u8) -> Instance {
        Instance([number; 16])
    }

    fn holds(kept: &Kept, number: u8) -> bool {
        kept.now().holds(&instance(number))
    }

    /// Its owner alone may read the file, where one was left aside for everybody too.
    #[tokio::test]
    async fn nobody_else_reads_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cache.pins");
        let aside = file.with_extension("new");
        fs::write(&aside, "half").expect("written");
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o644)).expect("set");
        let kept = open(&file, 100).await;
        kept.keep(instance(1), 10, HOUR, 100).await.expect("room");
        for written in [file.clone(), file.with_extension("lock")] {
            let mode = fs::metadata(&written).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", written.display());
        }
    }

    /// What was pinned is pinned by the next process, what was released is not, and a file with one bit flipped or a byte
    /// less pins nothing.
    #[tokio::test]
    async fn pins_outlive_the_process() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cache.pins");
        let open = |bytes_max| open(&file, bytes_max);
        let kept = open(100).await;
        for number in [1, 2, 3] {
            kept.keep(instance(number), 10, HOUR * u32::from(number), 100).await.expect("room");
        }
        kept.keep(instance(2), 10, Duration::ZERO, 100).await.expect("written");
        let again = open(100).await;
        assert_eq!([1, 2, 3].map(|number| holds(&again, number)), [true, false, true]);
        assert_eq!(again.bytes(), 20);
        let less_room = open(19).await;
        assert_eq!([1, 2, 3].map(|number| holds(&less_room, number)), [false, false, true]);
        let whole = fs::read(&file).expect("there");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        fs::write(&file, &whole[1..]).expect("written");
        let kept = open(100).await;
        assert!(!holds(&kept, 1));
        kept.keep(instance(4), 10, HOUR, 100).await.expect("room");
        kept.keep(instance(5), 20, HOUR, 100).await.expect("room");
        kept.release(|other| *other == instance(4)).await.expect("written");
        assert_eq!(open(100).await.bytes(), 20);
    }

    /// A pin that cannot be written down is none, and the one before it is left as it was.
    #[tokio::test]
    async fn what_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cache.pins");
        let kept = open(&file, 100).await;
        kept.keep(instance(1), 10, HOUR, 100).await.expect("room");
        fs::create_dir(file.with_extension("new")).expect("made");
        assert!(matches!(kept.keep(instance(2), 10, HOUR, 100).await, Err(PinError::Io(_))));
        assert!(matches!(kept.keep(instance(1), 10, Duration::ZERO, 100).await, Err(PinError::Io(_))));
        let again = open(&file, 100).await;
        assert_eq!([&kept, &again].map(|kept| (holds(kept, 1), holds(kept, 2))), [(true, false); 2]);
    }

    /// What one process has closed the next one has: the first changes nothing of it any more, and says so.
    #[tokio::test]
    async fn who_has_closed_leaves_the_file_to_the_next() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cache.pins");
        let old = open(&file, 100).await;
        old.keep(instance(1), 10, HOUR, 100).await.expect("room");
        old.close().await;
        let new = open(&file, 100).await;
        new.keep(instance(2), 10, HOUR, 100).await.expect("room");
        assert!(matches!(old.keep(instance(3), 10, HOUR, 100).await, Err(PinError::Closed)));
        assert!(matches!(old.release(|_| true).await, Err(PinError::Closed)));
        let next = open(&file, 100).await;
        assert_eq!([1, 2, 3].map(|number| holds(&next, number)), [true, true, false]);
    }

    /// Of two processes that both change pins, at once too, neither undoes what the other was told is done.
    #[tokio::test]
    async fn two_processes_change_what_the_file_says() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cache.pins");
        let (one, other) = (open(&file, 1000).await, open(&file, 1000).await);
        let numbers = || (0..20).map(|number| (number, if number % 2 == 0 { &one } else { &other }));
        let all = numbers().map(|(number, kept)| kept.keep(instance(number), 10, HOUR, 1000));
        futures::future::try_join_all(all).await.expect("room");
        let next = open(&file, 1000).await;
        assert!(numbers().all(|(number, _)| holds(&next, number)));
        one.release(|released| *released == instance(1)).await.expect("written");
        other.keep(instance(0), 10, Duration::ZERO, 1000).await.expect("written");
        assert_eq!((open(&file, 1000).await.bytes(), other.bytes()), (180, 180));
        one.catch_up().await;
        assert_eq!(one.bytes(), 180);
    }

    /// A file that is damaged while the process runs takes nothing from what it knows.
    #[tokio::test]
    async fn what_is_known_outlives_a_damaged_file() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cache.pins");
        let kept = open(&file, 100).await;
        kept.keep(instance(1), 10, HOUR, 100).await.expect("room");
        fs::write(&file, "not this").expect("written");
        kept.catch_up().await;
        kept.keep(instance(2), 10, HOUR, 100).await.expect("room");
        assert_eq!([&kept, &open(&file, 100).await].map(|kept| kept.bytes()), [20, 20]);
    }

    /// A pin ends by itself when its time is over: it keeps nothing any more, counts no more, and leaves its room to others.
    #[tokio::test]
    async fn a_pin_ends_when_its_time_is_over() {
        let kept = Arc::new(Kept::default());
        let now = seconds(SystemTime::now());
        let ends = [(1, now - 1), (2, now), (3, now + 3600)];
        let object = |until| KeptObject { until, object_bytes: 40 };
        *lock(&kept.objects) = ends.map(|(number, until)| (instance(number), object(until))).into();
        assert_eq!([1, 2, 3].map(|number| holds(&kept, number)), [false, false, true]);
        assert_eq!(kept.bytes(), 40);
        kept.keep(instance(4), 60, HOUR, 100).await.expect("room");
        assert_eq!(lock(&kept.objects).len(), 2);
    }

    #[tokio::test]
    async fn there_is_an_end_to_what_may_be_kept() {
        let kept = Arc::new(Kept::default());
        let full = |kept| matches!(kept, Err(PinError::Busy(Busy(Limit::Pins))));
        kept.keep(instance(1), 60, HOUR, 100).await.expect("room");
        assert!(full(kept.keep(instance(2), 41, HOUR, 100).await));
        kept.keep(instance(1), 30, HOUR, 100).await.expect("in its own place");
        kept.keep(instance(2), 41, HOUR, 100).await.expect("room");
        let many = (0..OBJECTS_MAX as u128)
            .map(|number| (Instance(number.to_le_bytes()), KeptObject { until: u64::MAX, object_bytes: 0 }));
        *lock(&kept.objects) = many.collect();
        assert!(full(kept.keep(instance(3), 0, HOUR, 100).await));
    }
}
