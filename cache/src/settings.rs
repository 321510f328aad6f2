//! What can be set on a cache, with its defaults and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::PAGE_BYTES;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Settings of one node's cache. [`Settings::check`] finds every fault; [`crate::Cache::open`] refuses settings that
/// have one.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bytes of blocks kept in memory. Less than one block, 0 too: no memory tier. Default 1 GiB.
    pub memory_bytes: u64,
    /// Bytes of block buffers beyond `memory_bytes`: what is being read from NVMe, written to it, or held by a reader
    /// after it left the memory tier. With `fill_bytes_max` it bounds what the cache adds to a node's memory.
    /// At least four blocks. Default 80 MiB.
    pub working_bytes: u64,
    /// Whether `memory_bytes` and `working_bytes` are taken from the system at once, in the background and on huge pages where
    /// it has them, rather than as they are needed. Default: not.
    pub preallocate_memory: bool,
    /// The NVMe tier; `None` leaves it out, which is the default.
    pub nvme: Option<Nvme>,
    /// Bytes in one cached block: a power of two, 64 KiB to 16 MiB. Changing it empties the NVMe tier.
    /// Default 1 MiB.
    pub block_bytes: u64,
    /// Bytes of blocks that may be in the middle of a fill at one time. Of these, one origin gets three quarters at most and
    /// pre-stages half, and a quarter may be held by slow readers after a fill whose block found no room in a tier.
    /// At least four blocks. Default 32 MiB.
    pub fill_bytes_max: u64,
    /// Fills that may read from one origin at one time; further ones wait. Default 32.
    pub fills_per_origin_max: usize,
    /// Readers that may read from one origin at one time past the cache (`LookOnly` and `Bypass`); further ones wait.
    /// Each holds a place at the origin for as long as its client takes, so this should be less than an origin has
    /// places for such reads. One tenant gets three quarters of them at most. Default 16.
    pub direct_reads_per_origin_max: usize,
    /// Bytes that one fill asks an origin for, whole blocks; longer ones, up to 64 MiB, once a reader proves that fast.
    /// Default 8 MiB.
    pub fill_window_bytes: u64,
    /// How far ahead of a reader blocks are filled when it begins: with the window, this is how many fills of one reader
    /// run side by side. Then it follows what the reader takes in the time that its origin needs for a window, up to four
    /// times this. Never more than the tiers will keep: a quarter of the memory tier and half of the queue of writes to
    /// NVMe, shared by all readers. Default 64 MiB.
    pub fill_ahead_bytes: u64,
    /// How long a reader waits for a place (a buffer, a fill of its origin, an origin that is busy) before it is told
    /// `Busy`; and how long what was filled ahead of a reader that does not come keeps others from filling ahead.
    /// Default 10 s.
    pub wait_max: Duration,
    /// How long an origin may stay silent before a fill takes its answer as broken off. Default 20 s.
    pub origin_silence_max: Duration,
    /// Pre-stages that may run at one time. Default 8.
    pub prestages_max: usize,
    /// Pre-stages that one tenant may have running at one time. Default 2.
    pub prestages_per_tenant_max: usize,
    /// What tenants' shares are measured by, by name: of fills and their bytes when several wait for them, and of the
    /// blocks on NVMe when there is no free slot. Each 1 to 1000; whoever is not named weighs 1. Default: nobody is.
    pub tenant_weights: BTreeMap<String, u32>,
}

/// Settings of the NVMe tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Nvme {
    /// The files or raw devices; at least one. Blocks are spread over them by hash, each its share by size.
    pub devices: Vec<NvmeDevice>,
    /// The node that the slabs belong to: one that another node wrote is left alone, and out of use. Up to 64 bytes. Default empty.
    pub node: String,
    /// The file in which pins outlive the process, in a folder that is there. Default `None`: they end with it.
    pub pins: Option<PathBuf>,
    /// What reads and writes. Default `IoUring`.
    pub engine: Engine,
    /// Bytes of blocks that may wait to be written, over all devices. A block that finds the queue full is not kept, and counted.
    /// Default 32 MiB.
    pub write_queue_bytes: u64,
}

/// One file or raw device of the NVMe tier.
#[derive(Clone, Debug, PartialEq)]
pub struct NvmeDevice {
    /// A file, which is made when it is not there, or a block device; one below `/dev` that is not there is left out, and used once it
    /// is. It is held with an exclusive lock while the cache
    /// is open. A device or a file that holds anything else than a slab, or zeros, is refused; of one that begins with zeros
    /// the first mebibyte tells.
    pub path: PathBuf,
    /// How much of it is used; a file is allocated at once. At least 16 blocks. Its index takes about 64 bytes of memory
    /// a block, beyond the limits of [`Settings`].
    pub bytes: u64,
}

/// What reads and writes the NVMe tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A thread a device over io_uring; where the kernel refuses that, `Threads`, with a warning.
    IoUring,
    /// Blocking threads, where io_uring is not wanted: more CPU a byte.
    Threads,
}

impl Nvme {
    /// A slab of `bytes` bytes in the file `path`, the rest as by default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, bytes: u64) -> Self {
        Self {
            devices: vec![NvmeDevice { path: path.into(), bytes }],
            node: String::new(),
            pins: None,
            engine: Engine::IoUring,
            write_queue_bytes: 32 * MIB,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_bytes: 1024 * MIB,
            working_bytes: 80 * MIB,
            preallocate_memory: false,
            nvme: None,
            block_bytes: MIB,
            fill_bytes_max: 32 * MIB,
            fills_per_origin_max: 32,
            direct_reads_per_origin_max: 16,
            fill_window_bytes: 8 * MIB,
            fill_ahead_bytes: 64 * MIB,
            wait_max: Duration::from_secs(10),
            origin_silence_max: Duration::from_secs(20),
            prestages_max: 8,
            prestages_per_tenant_max: 2,
            tenant_weights: BTreeMap::new(),
        }
    }
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting's key, `nvme.bytes` for example.
    pub key: &'static str,
    /// What it must be, in words that follow the key.
    pub problem: String,
}

impl Settings {
    /// Every fault of these settings; none means that they can be used.
    #[must_use]
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, key: &'static str, problem: String| {
            if !holds {
                faults.push(Fault { key, problem });
            }
        };
        let block = self.block_bytes;
        require(
            block.is_power_of_two() && (PAGE_BYTES..=16 * MIB).contains(&block),
            "block_bytes",
            format!("must be a power of two, {PAGE_BYTES} to {}, is {block}", 16 * MIB),
        );
        let blocks = |count: u64| block.saturating_mul(count);
        let at_least = |least: u64, is: u64| format!("must be at least {least}, is {is}");
        require(self.working_bytes >= blocks(4), "working_bytes", at_least(blocks(4), self.working_bytes));
        require(self.fill_bytes_max >= blocks(4), "fill_bytes_max", at_least(blocks(4), self.fill_bytes_max));
        require(
            self.fill_window_bytes >= block,
            "fill_window_bytes",
            at_least(block, self.fill_window_bytes),
        );
        for (key, count) in [
            ("fills_per_origin_max", self.fills_per_origin_max),
            ("direct_reads_per_origin_max", self.direct_reads_per_origin_max),
            ("prestages_max", self.prestages_max),
            ("prestages_per_tenant_max", self.prestages_per_tenant_max),
        ] {
            require(count > 0, key, "must be at least 1, is 0".into());
        }
        for (key, time) in [("wait_max", self.wait_max), ("origin_silence_max", self.origin_silence_max)] {
            require(!time.is_zero(), key, "must be more than 0 seconds".into());
        }
        for (name, weight) in &self.tenant_weights {
            let in_range = (1..=1000).contains(weight);
            require(in_range, "tenant_weights", format!("must be 1 to 1000 each, {name} has {weight}"));
        }
        if let Some(nvme) = &self.nvme {
            require(!nvme.devices.is_empty(), "nvme.device", "must name at least one device".into());
            // One alone is written without a list.
            let key = if nvme.devices.len() > 1 { "nvme.device" } else { "nvme.bytes" };
            for (at, device) in nvme.devices.iter().enumerate() {
                let NvmeDevice { path, bytes } = device;
                let of =
                    if nvme.devices.len() > 1 { format!(" ({})", path.display()) } else { String::new() };
                require(*bytes >= blocks(16), key, at_least(blocks(16), *bytes) + &of);
                let is_new = nvme.devices[..at].iter().all(|earlier| earlier.path != *path);
                require(
                    is_new,
                    key,
                    format!("must be another file each time, {} is there twice", path.display()),
                );
            }
            let queues = blocks(nvme.devices.len() as u64);
            require(
                nvme.write_queue_bytes >= queues && nvme.write_queue_bytes < self.working_bytes,
                "nvme.write_queue_bytes",
                format!(
                    "must be at least a block for each device ({queues}) and less than working_bytes ({}), is {}",
                    self.working_bytes, nvme.write_queue_bytes
                ),
            );
            require(nvme.node.len() <= 64, "nvme.node", "must be at most 64 bytes long".into());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        let with_nvme = Settings { nvme: Some(Nvme::new("slab", 1 << 30)), ..Settings::default() };
        assert_eq!((Settings::default().check(), with_nvme.check()), (Vec::new(), Vec::new()));
    }

    /// Of several devices each must be large enough, be named once, and have room in the queue of writes.
    #[test]
    fn each_of_several_devices_is_looked_at() {
        let mut nvme = Nvme::new("a", 1 << 30);
        nvme.devices.push(NvmeDevice { path: "b".into(), bytes: MIB });
        nvme.devices.push(NvmeDevice { path: "a".into(), bytes: 1 << 30 });
        nvme.write_queue_bytes = 2 * MIB;
        let faults = Settings { nvme: Some(nvme), ..Settings::default() }.check();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["nvme.device", "nvme.device", "nvme.write_queue_bytes"], "{faults:?}");
    }

    /// Every fault is told, each with its key.
    #[test]
    fn every_fault_is_told() {
        let nvme = Nvme { node: "n".repeat(65), ..Nvme::new("slab", 15 * MIB) };
        let settings = Settings {
            working_bytes: 3 * MIB,
            fill_bytes_max: 0,
            fill_window_bytes: MIB - 1,
            fills_per_origin_max: 0,
            wait_max: Duration::ZERO,
            tenant_weights: BTreeMap::from([("lab".into(), 0), ("shop".into(), 1)]),
            nvme: Some(nvme),
            ..Settings::default()
        };
        let keys: Vec<_> = settings.check().iter().map(|fault| fault.key).collect();
        let expected = [
            "working_bytes",
            "fill_bytes_max",
            "fill_window_bytes",
            "fills_per_origin_max",
            "wait_max",
            "tenant_weights",
            "nvme.bytes",
            "nvme.write_queue_bytes",
            "nvme.node",
        ];
        assert_eq!(keys, expected);
        for block_bytes in [0, 32 * KIB, 3 * MIB, 32 * MIB] {
            let faults = Settings { block_bytes, ..Settings::default() }.check();
            assert!(faults.iter().any(|fault| fault.key == "block_bytes"), "{block_bytes}");
        }
    }
}
