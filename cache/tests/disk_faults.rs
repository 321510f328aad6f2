//! Disks that fail, fill up, are cut off in the middle of a write, or are another node's: never a wrong byte, and the
//! node goes on. Faults of single transfers are tested beside the engines.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cache::{Cache, Mode, NvmeDevice, PurgeError, Settings, Tenant};
use prometheus::Registry;

use crate::origin::Origin;
use crate::{MIB, Node, nvme_only, until};

const SLAB_BYTES: u64 = 16 * MIB;

/// Two files of `SLAB_BYTES` in `folder`, and no memory tier.
fn two_devices(folder: &Path) -> Settings {
    let mut settings = nvme_only(folder, SLAB_BYTES);
    let nvme = settings.nvme.as_mut().expect("nvme");
    nvme.devices.push(NvmeDevice { path: folder.join("second"), bytes: SLAB_BYTES });
    settings
}

/// Fills a slab with one object and closes it.
async fn filled(settings: Settings, origin: &Arc<Origin>) {
    let node = Node::open(settings).await;
    store(&node, origin).await;
    node.cache.close().await;
}

/// Puts every block of an object on disk: a pre-stage waits for the queue of writes, where a reader goes on without.
pub(crate) async fn store(node: &Node, origin: &Arc<Origin>) {
    node.cache
        .prestage(Tenant::named("lab"), origin.instance, origin.object_bytes, origin.clone())
        .expect("there is room for a pre-stage");
    let whole = node.reader(origin, 0..origin.object_bytes, Mode::LookOnly);
    until("every block is here", || whole.plan().hit).await;
    node.settled().await;
    assert_eq!(node.metric("cache_blocks_not_kept_total", None), 0);
}

#[tokio::test]
async fn blocks_are_spread_over_devices_in_whatever_order_they_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, 8 * MIB);
    filled(two_devices(folder.path()), &origin).await;
    let mut turned = two_devices(folder.path());
    turned.nvme.as_mut().expect("nvme").devices.reverse();
    let node = Node::open(turned).await;
    assert_eq!((node.metric("cache_nvme_in_use", None), node.metric("cache_nvme_blocks", None)), (2, 32));
    assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes);
    node.cache.close().await;
    // One alone holds its share.
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let here = node.metric("cache_nvme_blocks", None);
    assert!((3..=29).contains(&here), "{here} of 32 blocks");
    node.read_all(&origin).await;
}

/// A device that loses what it holds under a running node is taken out; the other one goes on, and takes its blocks.
#[tokio::test]
async fn a_device_that_fails_is_taken_out_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, 8 * MIB);
    filled(two_devices(folder.path()), &origin).await;
    let node = Node::open(two_devices(folder.path())).await;
    let second = File::options().write(true).open(folder.path().join("second")).expect("opens");
    second.set_len(4096).expect("cut");
    // Without a fill: what is written anew makes the file longer again.
    node.read_as(&origin, 0..origin.object_bytes, Mode::LookOnly).await; // compares every byte
    until("one device is out", || node.metric("cache_nvme_out", None) == 1).await;
    assert_eq!(node.metric("cache_nvme_in_use", None), 1);
    store(&node, &origin).await;
    assert_eq!(node.read_all(&origin).await.nvme_bytes, origin.object_bytes);
    node.cache.close().await;
    assert_eq!((node.metric("cache_nvme_blocks", None), node.metric("cache_nvme_slots", None)), (0, 0));
    // What is left of it is made anew.
    let node = Node::open(two_devices(folder.path())).await;
    assert_eq!(node.metric("cache_nvme_in_use", None), 2);
    node.read_all(&origin).await;
}

/// A device that another node wrote is left alone, and the node does without it.
#[tokio::test]
async fn another_nodes_device_is_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, MIB);
    let mut others = nvme_only(folder.path(), SLAB_BYTES);
    let nvme = others.nvme.as_mut().expect("nvme");
    (nvme.node, nvme.devices[0].path) = ("ord1".into(), folder.path().join("second"));
    filled(others, &origin).await;
    let before = fs::read(folder.path().join("second")).expect("read");
    let node = Node::open(two_devices(folder.path())).await;
    assert_eq!((node.metric("cache_nvme_in_use", None), node.metric("cache_nvme_out", None)), (1, 1));
    assert_eq!(node.read_all(&origin).await.origin_bytes, MIB);
    node.cache.close().await;
    assert!(fs::read(folder.path().join("second")).expect("read") == before, "it was written to");
}

/// A purge does not say that it is done while another process has a device, which comes with its blocks once that is gone: it says
/// which, and everything else is purged.
#[tokio::test]
async fn a_purge_names_the_device_that_it_could_not_reach() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = Origin::new(1, 8 * MIB);
    filled(two_devices(folder.path()), &origin).await;
    let second = folder.path().join("second");
    let mut of_second = nvme_only(folder.path(), SLAB_BYTES);
    of_second.nvme.as_mut().expect("nvme").devices[0].path.clone_from(&second);
    let old = Node::open(of_second).await;
    let there = old.metric("cache_nvme_blocks", None);
    let new = Node::open(two_devices(folder.path())).await;
    assert_eq!(new.metric("cache_nvme_blocks", None), 32 - there);
    match new.cache.purge_all().await {
        Err(PurgeError::Device { path, .. }) => assert_eq!(path, second),
        other => panic!("{other:?}"),
    }
    assert_eq!(new.metric("cache_nvme_blocks", None), 0);
    old.cache.close().await;
    until("the second is taken", || new.metric("cache_nvme_in_use", None) == 2).await;
    assert_eq!(new.metric("cache_nvme_blocks", None), there);
    assert_eq!(new.cache.purge_all().await.expect("purged").nvme_blocks, there);
    new.cache.close().await;
    let node = Node::open(two_devices(folder.path())).await;
    assert_eq!(node.metric("cache_nvme_blocks", None), 0);
}

/// A disk without room for the slab: nothing is taken of it, and the node does without.
#[tokio::test]
async fn a_disk_without_room_is_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let room = rustix::fs::statvfs(folder.path()).expect("asked");
    let node = Node::open(nvme_only(folder.path(), 2 * (room.f_bavail + 1) * room.f_frsize)).await;
    assert_eq!((node.metric("cache_nvme_in_use", None), node.metric("cache_nvme_out", None)), (0, 1));
    assert_eq!(fs::metadata(folder.path().join("slab")).expect("there").len(), 0);
    let origin = Origin::new(1, MIB);
    node.read_all(&origin).await;
    node.cache.close().await;
}

/// A raw device that is gone when the node starts: the node does without, and makes nothing in its place.
#[tokio::test]
async fn a_raw_device_that_is_not_there_is_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let path = Path::new("/dev").join(format!("no-such-device-{}", std::process::id()));
    let mut settings = two_devices(folder.path());
    settings.nvme.as_mut().expect("nvme").devices[1].path = path.clone();
    let node = Node::open(settings).await;
    assert!(!fs::exists(&path).expect("a look"), "a file among devices");
    assert_eq!((node.metric("cache_nvme_in_use", None), node.metric("cache_nvme_out", None)), (1, 1));
    let origin = Origin::new(1, MIB);
    node.read_all(&origin).await;
    assert_eq!(node.read_all(&origin).await.origin_bytes, 0);
    node.cache.close().await;
}

/// A process that is killed in the middle of writes, at different moments: what the next one finds is right.
#[tokio::test]
async fn killed_in_the_middle_of_writes() {
    let folder = tempfile::tempdir().expect("folder");
    for turn in 0..4 {
        drop(Writer::start(folder.path(), 3 + 4 * turn));
        let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
        assert!(node.metric("cache_nvme_blocks", None) > 0, "nothing was found");
        for id in 0..16 {
            node.read_all(&Origin::new(id, 2 * MIB)).await; // compares every byte
        }
        node.cache.close().await;
        assert_eq!(node.metric("cache_nvme_device_errors_total", None), 0);
    }
}

/// Two processes never write to one slab: the second one does without it, and takes it once the first is gone, however that
/// ended.
#[tokio::test]
async fn two_processes_never_write_to_one_slab() {
    let folder = tempfile::tempdir().expect("folder");
    let writer = Writer::start(folder.path(), 3);
    let node = Node::open(nvme_only(folder.path(), SLAB_BYTES)).await;
    let gauges = || ["cache_nvme_in_use", "cache_nvme_awaited"].map(|name| node.metric(name, None));
    assert_eq!(gauges(), [0, 1]);
    let other = Origin::new(100, MIB);
    assert_eq!(node.read_all(&other).await.bypass_bytes, MIB);
    drop(writer);
    until("the second process has the slab", || gauges() == [1, 0]).await;
    assert!(node.metric("cache_nvme_blocks", None) > 0, "nothing was found");
    for id in 0..16 {
        node.read_all(&Origin::new(id, 2 * MIB)).await; // compares every byte
    }
    assert_eq!(node.read_all(&other).await.origin_bytes, MIB);
}

/// Each device has a thread of its own at its ring, which holds up no other device.
#[tokio::test]
async fn each_device_has_a_ring_of_its_own() {
    for devices_count in [1, 2] {
        let folder = tempfile::tempdir().expect("folder");
        let writer = Writer::start_with(folder.path(), devices_count, 1);
        let tasks = fs::read_dir(format!("/proc/{}/task", writer.0.id())).expect("a running process");
        let names = tasks.map(|task| fs::read_to_string(task.expect("a task").path().join("comm")));
        let rings = names.filter(|name| name.as_ref().is_ok_and(|name| name.trim() == "slab-ring"));
        assert_eq!(rings.count(), devices_count);
    }
}

/// A process of its own that writes to the slab in a folder, until this is dropped: it is killed then.
struct Writer(Child);

impl Writer {
    /// Starts one, and returns when it has read so many objects of 2 MiB through; the last blocks are still on their way to
    /// disk, and it goes on.
    fn start(folder: &Path, objects_count: usize) -> Self {
        Self::start_with(folder, 1, objects_count)
    }

    /// The same over one device or two.
    fn start_with(folder: &Path, devices_count: usize, objects_count: usize) -> Self {
        let mut child = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", "disk_faults::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env("CACHE_TEST_FOLDER", folder)
            .env("CACHE_TEST_DEVICES", devices_count.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.as_mut().expect("piped")).lines();
        let reads = lines.map_while(Result::ok).filter(|line| line.contains("object read"));
        assert_eq!(reads.take(objects_count).count(), objects_count, "the child ended early");
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().expect("kill -9");
        self.0.wait().expect("gone");
    }
}

/// Not a test by itself: what [`Writer`] starts.
#[tokio::test]
#[ignore = "run as a process of its own, by another test"]
async fn writes_until_it_is_killed() {
    let folder = PathBuf::from(env::var_os("CACHE_TEST_FOLDER").expect("set by whoever starts this"));
    let is_one = env::var("CACHE_TEST_DEVICES").expect("set by whoever starts this") == "1";
    let settings = if is_one { nvme_only(&folder, SLAB_BYTES) } else { two_devices(&folder) };
    let registry = Registry::new();
    let cache = Cache::open(settings, &registry).await.expect("opens");
    let node = Node { cache, registry };
    // More objects than fit, so that old blocks are overwritten too.
    for id in (0..16).cycle() {
        node.read_all(&Origin::new(id, 2 * MIB)).await;
        println!("object read");
    }
}
