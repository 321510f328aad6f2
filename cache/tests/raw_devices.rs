//! Block devices without a file system as slabs: loop devices, which fail like disks when what lies behind them is cut.
//!
//! To make one takes root, and a kernel that has them: there these tests must run, and elsewhere they say on standard error
//! that they are left out.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use cache::{Cache, Engine, Mode, OpenError, Settings};
use prometheus::Registry;

use crate::disk_faults::store;
use crate::origin::Origin;
use crate::{MIB, Node, nvme_only, until};

const DEVICE_BYTES: u64 = 24 * MIB;

/// Less than the device has: the rest of it is not ours.
const SLAB_BYTES: u64 = 16 * MIB;

/// A block device over a file, until it is dropped.
struct LoopDevice {
    path: PathBuf,
    /// What lies behind it.
    file: File,
    folder: tempfile::TempDir,
}

impl LoopDevice {
    /// One of zeros; `None`, with the reason on standard error, where there is none to be had.
    ///
    /// # Panics
    /// When there is none though there should be.
    fn new() -> Option<Self> {
        if let Err(reason) = may_be_made() {
            // Not `eprintln!`, which a test that passes shows to nobody.
            let test = thread::current().name().unwrap_or_default().to_owned();
            let _ = writeln!(io::stderr(), "\nLEFT OUT: {test}: no loop device can be made here, {reason}");
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let behind = folder.path().join("behind");
        let file = File::options().read(true).write(true).create_new(true).open(&behind).expect("made");
        file.set_len(DEVICE_BYTES).expect("sparse");
        let made = losetup().args(["--find", "--show"]).arg(behind).output().expect("losetup of util-linux");
        assert!(made.status.success(), "losetup: {}", String::from_utf8_lossy(&made.stderr));
        let path = String::from_utf8(made.stdout).expect("a path").trim_end().into();
        Some(Self { path, file, folder })
    }

    /// The slab alone, on the device.
    fn settings(&self) -> Settings {
        let mut settings = nvme_only(self.folder.path(), SLAB_BYTES);
        settings.nvme.as_mut().expect("nvme").devices[0].path.clone_from(&self.path);
        settings
    }

    async fn refusal(&self, settings: Settings) -> OpenError {
        match Cache::open(settings, &Registry::new()).await {
            Ok(_) => panic!("opened"),
            Err(error) => error,
        }
    }

    /// Everything on the device.
    fn content(&self) -> Vec<u8> {
        fs::read(&self.path).expect("read")
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Should it fail, the device goes with its last user all the same, or stays: nothing of ours depends on it.
        let _ = losetup().arg("--detach").arg(&self.path).status();
    }
}

/// Whether root is at work where the kernel has loop devices, or what is missing.
fn may_be_made() -> Result<(), &'static str> {
    match (rustix::process::geteuid().is_root(), Path::new("/dev/loop-control").exists()) {
        (true, true) => Ok(()),
        (false, _) => Err("which takes root"),
        (true, false) => Err("where there is no /dev/loop-control"),
    }
}

fn losetup() -> Command {
    let mut losetup = Command::new("losetup");
    losetup.env("PATH", format!("/usr/sbin:/sbin:{}", env::var("PATH").unwrap_or_default()));
    losetup
}

/// A node that has the device, once the one before has let go of it: which a task of that one's may do a little later.
async fn opened(settings: Settings) -> Node {
    let node = Node::open(settings).await;
    until("the device is taken", || gauges(&node) == [1, 0, 0]).await;
    node
}

fn gauges(node: &Node) -> [u64; 3] {
    ["cache_nvme_in_use", "cache_nvme_awaited", "cache_nvme_out"].map(|name| node.metric(name, None))
}

/// Blocks come back from a raw device after a restart, whichever engine wrote them, and nothing is written behind the slab.
#[tokio::test]
async fn a_raw_device_keeps_its_blocks() {
    let Some(device) = LoopDevice::new() else { return };
    device.file.write_all_at(b"somebody else's", SLAB_BYTES).expect("written");
    let origins = [(1, 3 * MIB + 77, Engine::IoUring), (2, 2 * MIB, Engine::Threads)];
    for (id, object_bytes, engine) in origins {
        let mut settings = device.settings();
        settings.nvme.as_mut().expect("nvme").engine = engine;
        let node = opened(settings).await;
        store(&node, &Origin::new(id, object_bytes)).await;
        node.cache.close().await;
    }
    let node = opened(device.settings()).await;
    for (id, object_bytes, _) in origins {
        assert_eq!(node.read_all(&Origin::new(id, object_bytes)).await.nvme_bytes, object_bytes);
    }
    node.cache.close().await;
    assert!(device.content()[SLAB_BYTES as usize..].starts_with(b"somebody else's\0"));
}

/// A file system or a volume manager leaves its mark in the first mebibyte, seldom in the first sector: refused, and not
/// written to. What lies further back is only what somebody has left behind.
#[tokio::test]
async fn a_raw_device_that_holds_something_else_is_refused_and_left_alone() {
    for (place, is_refused) in [(1080, true), (4096, true), (64 << 10, true), (MIB - 1, true), (MIB, false)] {
        let Some(device) = LoopDevice::new() else { return };
        File::options()
            .write(true)
            .open(&device.path)
            .expect("opens")
            .write_all_at(&[0x53], place)
            .expect("written");
        let before = device.content();
        if is_refused {
            assert!(matches!(device.refusal(device.settings()).await, OpenError::NotASlab(_)), "{place}");
            assert!(device.content() == before, "it was written to");
        } else {
            let node = Node::open(device.settings()).await;
            assert_eq!(node.metric("cache_nvme_blocks", None), 0);
            assert_eq!(node.read_all(&Origin::new(1, MIB)).await.origin_bytes, MIB);
        }
    }
}

/// A raw device keeps the headers of the slab that it was before it was reset: none of them is taken for a block, neither then nor by
/// those who open it later; whether its superblock was lost, or its blocks were cut otherwise for a while.
#[tokio::test]
async fn headers_of_an_earlier_slab_are_not_there() {
    let Some(device) = LoopDevice::new() else { return };
    let origin = Origin::new(1, 2 * MIB);
    let node = opened(device.settings()).await;
    store(&node, &origin).await;
    node.cache.close().await;
    drop(node);
    let file = File::options().read(true).write(true).open(&device.path).expect("opens");
    let headers = || device.content()[4096..8192].to_vec();
    let before = headers();
    let mut damaged = [0];
    file.read_exact_at(&mut damaged, 100).expect("read");
    file.write_all_at(&[damaged[0] ^ 1], 100).expect("written");
    file.sync_all().expect("synced");
    let otherwise = Settings { block_bytes: 128 * 1024, ..device.settings() };
    for settings in [device.settings(), otherwise, device.settings()] {
        for _ in ["reset", "as it was left"] {
            let node = opened(settings.clone()).await;
            assert_eq!(node.metric("cache_nvme_blocks", None), 0);
            node.cache.close().await;
        }
        assert!(headers() == before, "the headers are still there");
    }
    let node = opened(device.settings()).await;
    assert_eq!(node.read_all(&origin).await.origin_bytes, 2 * MIB);
    node.cache.close().await;
}

/// A device is as large as it is: one that is smaller than was set is one clear error, and left as it was.
#[tokio::test]
async fn a_raw_device_that_is_too_small_is_refused() {
    let Some(device) = LoopDevice::new() else { return };
    let mut settings = device.settings();
    settings.nvme.as_mut().expect("nvme").devices[0].bytes = DEVICE_BYTES + 1;
    let error = device.refusal(settings).await.to_string();
    let expected = format!(
        "slab {}: allocate: the device has {DEVICE_BYTES} bytes, fewer than {}",
        device.path.display(),
        DEVICE_BYTES + 1
    );
    assert_eq!(error, expected);
    assert!(device.content().iter().all(|byte| *byte == 0));
}

/// A sector of headers that cannot be read costs the blocks whose headers lie there, not the device.
#[tokio::test]
async fn headers_that_cannot_be_read_cost_their_blocks_alone() {
    let Some(device) = LoopDevice::new() else { return };
    let origin = Origin::new(1, 10 * MIB);
    let node = opened(device.settings()).await;
    store(&node, &origin).await;
    node.cache.close().await;
    drop(node);
    // Of two pages of 32 headers each the second is gone, and every block behind it.
    device.file.set_len(8192).expect("cut");
    let node = opened(device.settings()).await;
    assert_eq!(node.metric("cache_nvme_blocks", None), 32);
    node.read_as(&origin, 0..MIB, Mode::LookOnly).await; // compares every byte
}

/// Two caches never write to one device: the second does without it until the first has let go of it.
#[tokio::test]
async fn a_raw_device_has_one_user_at_a_time() {
    let Some(device) = LoopDevice::new() else { return };
    let (kept, other) = (Origin::new(1, MIB), Origin::new(2, MIB));
    let old = Node::open(device.settings()).await;
    store(&old, &kept).await;
    let new = Node::open(device.settings()).await;
    assert_eq!((gauges(&old), gauges(&new)), ([1, 0, 0], [0, 1, 0]));
    assert_eq!(new.read_all(&other).await.bypass_bytes, MIB);
    old.cache.close().await;
    drop(old);
    until("the device is taken", || gauges(&new) == [1, 0, 0]).await;
    assert_eq!(new.read_all(&kept).await.nvme_bytes, MIB);
}

/// Reads that the device itself answers with an error: each is a miss, after some the device is taken out, and the node goes
/// on without it.
#[tokio::test]
async fn a_raw_device_that_fails_is_taken_out() {
    for engine in [Engine::IoUring, Engine::Threads] {
        let Some(device) = LoopDevice::new() else { return };
        let mut settings = device.settings();
        settings.nvme.as_mut().expect("nvme").engine = engine;
        let origin = Origin::new(1, 8 * MIB);
        let node = Node::open(settings).await;
        store(&node, &origin).await;
        // Behind the headers and a few blocks there is nothing any more.
        device.file.set_len(2 * MIB).expect("cut");
        node.read_as(&origin, 0..origin.object_bytes, Mode::LookOnly).await; // compares every byte
        until("the device is out", || gauges(&node) == [0, 0, 1]).await;
        // Of reads that fail side by side one more may be counted before all know that it is out.
        let errors = node.metric("cache_nvme_device_errors_total", None);
        assert!((8..16).contains(&errors), "{errors}");
        assert_eq!(node.metric("cache_nvme_corrupt_total", None), 0);
        assert_eq!(node.read_all(&origin).await.bypass_bytes, origin.object_bytes);
        node.cache.close().await;
    }
}
