//! Opens a slab's file or raw device: locks it, keeps or resets what is in it, and rebuilds the index from its headers.
//!
//! A slab is a cache: one of another version, block size or size, or with a damaged superblock, is reset with a
//! warning. What may be somebody's (a file of another kind, another node's slab) is refused and left as it is.
//!
//! A file may lie in a folder that everybody looks into, and holds what tenants may not read of each other: nobody but its
//! owner may open it. Who may open a raw device is for the operator to say.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock, fstatvfs};
use rustix::io::Errno;
use tracing::{info, warn};

use super::device::{ERRORS_MAX, Occasion, Opening};
use super::header::Fixed;
use super::index::Index;
use super::superblock::{Geometry, Superblock, Unusable};
use crate::block::SECTOR_BYTES;
use crate::error::OpenError;
use crate::layout::BlockKey;
use crate::settings::NvmeDevice;
use crate::tenant::{Tenant, Weights};

/// Headers are read in runs of about this many bytes, whole sectors each.
const HEADERS_RUN_BYTES: usize = 1024 * 1024;

/// Headers that cannot be read, and the device still be used: as many sectors as a device may have errors.
const UNREADABLE_BYTES_MAX: usize = ERRORS_MAX as usize * SECTOR_BYTES;

/// How long a lock is waited for before a node starts without. The kernel ends a killed process's transfers after the process, and its lock with them:
/// whoever has the lock is the only one who writes.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);

const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Who may open what the cache writes: its owner.
pub(super) const PRIVATE_MODE: u32 = 0o600;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// What a slab's file holds.
pub(crate) struct Opened {
    pub(crate) geometry: Geometry,
    pub(crate) slab_id: u64,
    pub(crate) index: Index,
    /// Greater than that of every header in the file.
    pub(crate) generation_next: u64,
}

/// Opens, and where needed makes, the slab that `device` describes. It stays locked while the file is open.
/// Another process's lock is waited for a little at the start alone; a file that is not there is not made where it was before,
/// nor among devices.
/// Blocks: it may allocate a whole file.
pub(crate) fn open(
    opening: &Opening,
    device: &NvmeDevice,
    occasion: Occasion,
) -> Result<(File, Opened), OpenError> {
    let (block_bytes, node) = (opening.block_bytes, opening.settings.node.as_str());
    let path = &device.path;
    let failed = |doing: &'static str| move |cause| OpenError::Io { path: path.clone(), doing, cause };
    let is_raw = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device());
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if is_raw {
        // Refused while it is mounted, or part of anything that is.
        options.custom_flags(i32::try_from(OFlags::EXCL.bits()).expect("O_EXCL fits an i32"));
    } else {
        let may_be_made = occasion != Occasion::Again && !names_a_device(path);
        options.create(may_be_made).truncate(false).mode(PRIVATE_MODE);
    }
    let lock_wait_max = match occasion {
        Occasion::Start => LOCK_WAIT_MAX,
        Occasion::Late | Occasion::Again => Duration::ZERO,
    };
    let file = options.open(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::ResourceBusy => OpenError::InUse(path.clone()),
        io::ErrorKind::NotFound if names_a_device(path) => failed("open")(Errno::NODEV.into()),
        _ => failed("open")(cause),
    })?;
    let is_device = file.metadata().map_err(failed("open"))?.file_type().is_block_device();
    if is_device != is_raw || !is_device && names_a_device(path) {
        // It came into its place just now, or a file has been left in it.
        return Err(failed("open")(Errno::NODEV.into()));
    }
    lock(&file, lock_wait_max).map_err(|error| match error {
        Errno::WOULDBLOCK => OpenError::InUse(path.clone()),
        other => failed("lock")(other.into()),
    })?;
    let file_bytes = (&file).seek(SeekFrom::End(0)).map_err(failed("measure"))?;
    if is_raw && file_bytes == 0 {
        // What became of a disk that its kernel has given up.
        return Err(failed("measure")(Errno::NOMEDIUM.into()));
    }

    if occasion == Occasion::Again {
        // The device is to answer, not what the system remembers of it; a file system that cannot forget is no fault of its.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }

    let geometry = Geometry::new(device.bytes, block_bytes);
    let mut sector = vec![0; SECTOR_BYTES];
    let read = read_start(&file, &mut sector).map_err(failed("read the superblock"))?;
    let reset = match Superblock::decode(&sector[..read]) {
        Ok(found) if found.node != node => {
            return Err(OpenError::OtherNode { path: path.clone(), owner: found.node });
        }
        Err(Unusable::Foreign) => return Err(OpenError::NotASlab(path.clone())),
        Ok(found) if found.block_bytes != block_bytes => Err("its block size was another"),
        Ok(found) if found.file_bytes != device.bytes => Err("its size was another"),
        Ok(_) if file_bytes < device.bytes => Err("it was cut short"),
        Ok(found) => Ok(found.slab_id),
        Err(Unusable::Blank) if !is_blank(&file).map_err(failed("look for something else"))? => {
            return Err(OpenError::NotASlab(path.clone()));
        }
        Err(Unusable::Blank) => Err("it is new"),
        Err(Unusable::Version(_)) => Err("its version was another"),
        Err(Unusable::Damaged) => Err("its superblock was damaged"),
    };
    if !is_raw {
        keep_private(&file, path).map_err(failed("look who may read"))?;
    }
    match reset {
        Ok(slab_id) => {
            let (index, generation_next) =
                rebuild(&file, geometry, slab_id, &opening.weights).map_err(failed("read the headers"))?;
            info!(path = %path.display(), blocks = index.blocks_count(), "slab opened");
            Ok((file, Opened { geometry, slab_id, index, generation_next }))
        }
        Err(reason) => {
            allocate(&file, is_raw, file_bytes, device).map_err(failed("allocate"))?;
            let slab_id = format(&file, node, geometry).map_err(failed("make"))?;
            warn_of_reset(path, reason);
            let index = Index::new(geometry.slots_count, opening.weights.clone());
            Ok((file, Opened { geometry, slab_id, index, generation_next: 1 }))
        }
    }
}

/// Whether only a device can be meant by `path`, or by the link that lies there. A file made there would lie in memory, and in the
/// way of the device when that comes; and a node that may make none there would not start.
fn names_a_device(path: &Path) -> bool {
    let link = fs::read_link(path).ok();
    let path = link.as_deref().unwrap_or(path);
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

/// Takes a file that is ours from everybody but its owner: an earlier release, or whoever made it, may have let others read
/// it. Where that is refused, or the file system knows no owners, the node works and the operator is told.
pub(super) fn keep_private(file: &File, path: &Path) -> io::Result<()> {
    let others_may = || io::Result::Ok(file.metadata()?.permissions().mode() & OTHERS);
    if others_may()? == 0 {
        return Ok(());
    }
    let refused = file.set_permissions(fs::Permissions::from_mode(PRIVATE_MODE)).err();
    let path = path.display();
    if refused.is_none() && others_may()? == 0 {
        warn!(%path, "others could read what is cached here: its owner alone can now");
    } else {
        let cause =
            refused.map_or_else(|| "the file system keeps no modes".to_owned(), |cause| cause.to_string());
        warn!(%path, cause, "others can read what is cached here");
    }
    Ok(())
}

fn warn_of_reset(path: &Path, reason: &'static str) {
    if reason == "it is new" {
        info!(path = %path.display(), "slab made");
    } else {
        warn!(path = %path.display(), reason, "slab reset: what it held is fetched again");
    }
}

/// Locks the file for this process, waiting a little for the last one's lock to go.
pub(super) fn lock(file: &File, wait_max: Duration) -> Result<(), Errno> {
    let deadline = Instant::now() + wait_max;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
            outcome => return outcome,
        }
    }
}

/// Reads the start of the file, as much as there is.
fn read_start(file: &File, sector: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < sector.len() {
        match file.read_at(&mut sector[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// Whether there is nothing in the first mebibyte, or in all of a shorter file: file systems and volume managers leave their
/// marks there, and so do images of disks. A file of ours whose making was cut off is all zeros.
fn is_blank(file: &File) -> io::Result<bool> {
    let mut start = vec![0; 1024 * 1024];
    let read = read_start(file, &mut start)?;
    Ok(start[..read].iter().all(|byte| *byte == 0))
}

/// Sees to it that there is room for all of the slab. A file is empty afterwards; a raw device keeps what it holds, the
/// superblock too: without one, headers that are still there would be somebody's, should this process end before it has
/// written the new one.
fn allocate(file: &File, is_raw: bool, file_bytes: u64, device: &NvmeDevice) -> io::Result<()> {
    if is_raw {
        if file_bytes < device.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the device has {file_bytes} bytes, fewer than {}", device.bytes),
            ));
        }
        return Ok(());
    }
    file.set_len(0)?;
    // Asked first: what is allocated until the disk is full is missing elsewhere meanwhile.
    let room = fstatvfs(file)?;
    if room.f_bavail.saturating_mul(room.f_frsize) < device.bytes {
        return Err(Errno::NOSPC.into());
    }
    match fallocate(file, FallocateFlags::empty(), 0, device.bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP) => {
            warn!(path = %device.path.display(), "the file system cannot allocate ahead: the slab may run out of space");
            file.set_len(device.bytes)
        }
        Err(error) => {
            // What could be had is of no use; others may need it.
            file.set_len(0)?;
            Err(error.into())
        }
    }
}

/// Makes it an empty slab: headers of an earlier one do not count under the new id. The superblock comes last, so a crash
/// before leaves a blank file, or the slab that the device was; one in the middle of it, a damaged superblock.
fn format(file: &File, node: &str, geometry: Geometry) -> io::Result<u64> {
    file.sync_all()?;
    let slab_id = random()?;
    let superblock = Superblock {
        slab_id,
        file_bytes: geometry.file_bytes,
        block_bytes: geometry.block_bytes,
        node: node.to_owned(),
    };
    file.write_all_at(&superblock.encode(), 0)?;
    file.sync_all()?;
    Ok(slab_id)
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A good header, as far as the index wants it.
struct FoundBlock {
    generation: u64,
    slot: u32,
    key: BlockKey,
    tenant: Tenant,
}

/// The index of every good header, and the generation after the latest. Takes 40 bytes a block on the way. Slots whose headers
/// cannot be read are not used.
fn rebuild(
    file: &File,
    geometry: Geometry,
    slab_id: u64,
    weights: &Arc<Weights>,
) -> io::Result<(Index, u64)> {
    rebuild_from(|bytes, offset| file.read_exact_at(bytes, offset), geometry, slab_id, weights)
}

/// The same of what `read` reads from an offset on.
fn rebuild_from(
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
    geometry: Geometry,
    slab_id: u64,
    weights: &Arc<Weights>,
) -> io::Result<(Index, u64)> {
    let header_bytes = geometry.header_bytes();
    let run_slots = run_slots(header_bytes);
    let mut run = vec![0; run_slots * header_bytes];
    let mut found = Vec::new();
    let mut broken = Vec::new();
    let mut unreadable_bytes = 0;
    let mut slot = 0;
    while slot < geometry.slots_count {
        let count = run_slots.min((geometry.slots_count - slot) as usize);
        let run = &mut run[..count * header_bytes];
        let offset = geometry.header_offset(slot);
        let mut unreadable = Vec::new();
        match read(run, offset) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                unreadable = read_in_pieces(run, |piece, at| read(piece, offset + at as u64))?;
                unreadable_bytes += unreadable.len() * SECTOR_BYTES;
                if unreadable_bytes > UNREADABLE_BYTES_MAX {
                    return Err(error);
                }
            }
            outcome => outcome?,
        }
        for (bytes, number) in run.chunks_exact(header_bytes).zip(0..) {
            let header = number * header_bytes..(number + 1) * header_bytes;
            if unreadable.iter().any(|piece| piece.start < header.end && header.start < piece.end) {
                broken.push(slot);
            } else if let Some(Fixed { key, generation, block_len, tenant, .. }) =
                Fixed::decode(bytes, slab_id, slot)
                && u64::from(block_len) <= geometry.block_bytes
            {
                found.push(FoundBlock { generation, slot, key, tenant });
            }
            slot += 1;
        }
    }
    found.sort_unstable_by_key(|block| (block.generation, block.slot));
    let generation_next = found.last().map_or(1, |latest| latest.generation.saturating_add(1));
    let found = found.into_iter().map(|block| (block.key, block.slot, block.tenant));
    let mut index = Index::rebuilt(geometry.slots_count, weights.clone(), found);
    if !broken.is_empty() {
        warn!(slots = broken.len(), "headers that cannot be read: what lies in their slots is fetched again");
        index.leave_out(&broken);
    }
    Ok((index, generation_next))
}

/// How many headers are read at a time. They fill whole sectors, so that one that cannot be read is one piece of one run, though
/// some headers of blocks of 2 MiB and more lie across two.
fn run_slots(header_bytes: usize) -> usize {
    // A header is a multiple of 64 bytes.
    (HEADERS_RUN_BYTES / header_bytes).next_multiple_of(SECTOR_BYTES / 64)
}

/// Reads `bytes`, of which something cannot be read, piece by piece, and says where nothing could be; there are zeros then.
/// After a few such pieces nothing more is tried, each of them taking the kernel seconds: what is left is among them.
fn read_in_pieces(
    bytes: &mut [u8],
    read: impl Fn(&mut [u8], usize) -> io::Result<()>,
) -> io::Result<Vec<Range<usize>>> {
    let mut unreadable = Vec::new();
    let mut at = 0;
    for piece in bytes.chunks_mut(SECTOR_BYTES) {
        let is_enough = unreadable.len() * SECTOR_BYTES > UNREADABLE_BYTES_MAX;
        let outcome = if is_enough { Err(Errno::IO.into()) } else { read(piece, at) };
        match outcome {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                piece.fill(0);
                unreadable.push(at..at + piece.len());
            }
            outcome => outcome?,
        }
        at += piece.len();
    }
    Ok(unreadable)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use prometheus::Registry;

    use super::*;
    use crate::Instance;
    use crate::metrics::Metrics;
    use crate::settings::Nvme;
    use crate::slab::device::Handling;
    use crate::slab::header::Header;

    /// Nothing is made among devices, and elsewhere a file is.
    #[test]
    fn devices_are_told_by_where_they_lie() {
        for path in ["/dev/nvme1n1", "/dev/disk/by-id/one"] {
            assert!(names_a_device(Path::new(path)), "{path}");
        }
        for path in ["/dev/shm/slab", "/device/slab", "dev/slab"] {
            assert!(!names_a_device(Path::new(path)), "{path}");
        }
        let folder = tempfile::tempdir().expect("folder");
        let link = folder.path().join("slab");
        for (at, is_device) in [("/dev/no-such-device", true), ("/var/no-such-file", false)] {
            std::os::unix::fs::symlink(at, &link).expect("linked");
            assert_eq!(names_a_device(&link), is_device, "{at}");
            fs::remove_file(&link).expect("removed");
        }
    }

    /// What cannot be read is told by the sector, what lies around it is read, and a device that has much of it is not tried
    /// to its end.
    #[test]
    fn only_sectors_that_cannot_be_read_are_left_out() {
        let read = |bad: Range<usize>, tries: &Cell<usize>| {
            let mut bytes = vec![1; 64 * SECTOR_BYTES + 100];
            let unreadable = read_in_pieces(&mut bytes, |piece, at| {
                tries.set(tries.get() + 1);
                if bad.contains(&(at / SECTOR_BYTES)) {
                    return Err(Errno::IO.into());
                }
                piece.fill(2);
                Ok(())
            });
            (bytes, unreadable.expect("no other error"))
        };
        let tries = Cell::new(0);
        let (bytes, unreadable) = read(3..4, &tries);
        assert_eq!((unreadable.len(), tries.get()), (1, 65));
        assert_eq!(unreadable[0], 3 * SECTOR_BYTES..4 * SECTOR_BYTES);
        let readable = |(at, _): &(usize, &u8)| at / SECTOR_BYTES != 3;
        assert!(bytes.iter().enumerate().filter(readable).all(|(_, byte)| *byte == 2));
        let tries = Cell::new(0);
        let (_, unreadable) = read(0..65, &tries);
        assert_eq!((unreadable.len(), tries.get()), (65, ERRORS_MAX as usize + 1));
    }

    /// A sector that cannot be read counts as one, and costs the slots whose headers lie in it alone, whatever size headers have
    /// and in whichever run it lies: so eight of them are borne, and the ninth is not.
    #[test]
    fn a_sector_that_cannot_be_read_is_one() {
        for block_bytes in [64 << 10, 1 << 20, 2 << 20, 16 << 20] {
            // Headers of a little more than three runs.
            let header_bytes = Geometry::new(1 << 40, block_bytes).header_bytes() as u64;
            let slots_count = 3 * HEADERS_RUN_BYTES as u64 / header_bytes + 200;
            let geometry = Geometry::new(slots_count * (block_bytes + header_bytes), block_bytes);
            // Across all runs, the second to last sector of them all among them.
            let last = geometry.headers().end / SECTOR_BYTES as u64 - 2;
            let bad = |count: u64| (0..count).map(move |number| last - number * 90);
            let rebuild = |count: u64| {
                let overlaps = |offset: u64, len: usize| {
                    bad(count).any(|sector| {
                        let start = sector * SECTOR_BYTES as u64;
                        start < offset + len as u64 && offset < start + SECTOR_BYTES as u64
                    })
                };
                let read = |bytes: &mut [u8], offset: u64| {
                    bytes.fill(0);
                    if overlaps(offset, bytes.len()) { Err(Errno::IO.into()) } else { Ok(()) }
                };
                rebuild_from(read, geometry, 11, &Arc::default())
            };
            let (mut index, _) = rebuild(u64::from(ERRORS_MAX)).expect("borne");
            let free_count = std::iter::from_fn(|| index.choose(|_| true)).count();
            let lies_in_one = |slot: &u32| {
                let start = geometry.header_offset(*slot);
                let sectors = start / SECTOR_BYTES as u64..=(start + header_bytes - 1) / SECTOR_BYTES as u64;
                bad(u64::from(ERRORS_MAX)).any(|sector| sectors.contains(&sector))
            };
            let lost_count = (0..geometry.slots_count).filter(lies_in_one).count();
            assert_eq!(geometry.slots_count as usize - free_count, lost_count, "{block_bytes}");
            assert!(rebuild(u64::from(ERRORS_MAX) + 1).is_err(), "{block_bytes}");
        }
    }

    /// A process that is killed while it resets a raw device, after it made room and before it wrote the superblock, leaves
    /// what the next one resets in turn.
    #[test]
    fn a_reset_of_a_device_that_was_cut_off_is_done_again() {
        let folder = tempfile::tempdir().expect("folder");
        let settings = Nvme::new(folder.path().join("slab"), 4 << 20);
        let device = &settings.devices[0];
        let opening = |block_bytes| Opening {
            handling: Handling::default(),
            withheld: Arc::default(),
            settings: settings.clone(),
            block_bytes,
            weights: Arc::default(),
            kept: Arc::default(),
            metrics: Arc::new(Metrics::new(&Registry::new()).expect("registers")),
        };
        let (file, opened) = open(&opening(128 << 10), device, Occasion::Late).expect("opens");
        let key = BlockKey { instance: Instance([1; 16]), index: 0 };
        let header =
            Header { key, generation: 1, block_len: 1000, tenant: Tenant::named("lab"), sums: vec![1] };
        let geometry = opened.geometry;
        let header = header.encode(opened.slab_id, 0, geometry.header_bytes());
        file.write_all_at(&header, geometry.header_offset(0)).expect("written");
        allocate(&file, true, device.bytes, device).expect("there is room");
        drop(file);
        for block_bytes in [256 << 10, 128 << 10] {
            let (_, opened) = open(&opening(block_bytes), device, Occasion::Late).expect("opens");
            assert_eq!(opened.index.blocks_count(), 0);
        }
    }

    /// How long does it take to open a slab of a million blocks of 1 MiB? The file is sparse but for its headers.
    /// `cargo test --release -p cache --lib a_million -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement, and of an optimised build alone"]
    fn a_million_blocks_are_found_again() {
        let folder = tempfile::tempdir().expect("folder");
        let (block_bytes, path) = (1 << 20, folder.path().join("slab"));
        let geometry = Geometry::new((1 << 40) + (1 << 28), block_bytes);
        let file = File::options().read(true).write(true).create_new(true).open(path).expect("made");
        file.set_len(geometry.file_bytes).expect("sparse");
        let mut headers = Vec::new();
        for slot in 0..1_000_000 {
            let key = BlockKey { instance: Instance([(slot % 251) as u8; 16]), index: slot };
            let header = Header {
                key,
                generation: u64::from(slot),
                block_len: 1 << 20,
                tenant: Tenant::named("lab"),
                sums: vec![slot; 16],
            };
            headers.extend(header.encode(11, slot, geometry.header_bytes()));
        }
        file.write_all_at(&headers, geometry.header_offset(0)).expect("written");
        for cache in ["cold", "warm"] {
            if cache == "cold" {
                file.sync_all().expect("synced");
                fadvise(&file, 0, None, Advice::DontNeed).expect("dropped");
            }
            let begun = Instant::now();
            let (index, _) = rebuild(&file, geometry, 11, &Arc::default()).expect("read");
            println!("{} blocks, page cache {cache}: {:?}", index.blocks_count(), begun.elapsed());
            assert_eq!(index.blocks_count(), 1_000_000);
        }
    }
}
