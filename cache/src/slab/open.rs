//! Opens a slab's file: locks it, keeps or resets what is in it, and rebuilds the index from its headers.
//!
//! A slab is a cache: one of another version, block size or size, or with a damaged superblock, is reset with a
//! warning. What may be somebody's (a file of another kind, another node's slab) is refused and left as it is.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use tracing::{info, warn};

use super::header::Header;
use super::index::Index;
use super::superblock::{Geometry, Superblock, Unusable};
use crate::block::SECTOR_BYTES;
use crate::error::OpenError;
use crate::layout::BlockKey;
use crate::settings::Nvme;

/// Headers are read in runs of about this many bytes.
const HEADERS_RUN_BYTES: usize = 1024 * 1024;

/// What a slab's file holds.
pub(crate) struct Opened {
    pub(crate) geometry: Geometry,
    pub(crate) slab_id: u64,
    pub(crate) index: Index,
    /// Greater than that of every header in the file.
    pub(crate) generation_next: u64,
}

/// Opens, and where needed makes, the slab that `settings` describe. The file stays locked while it is open. Blocks: it may allocate a whole file.
pub(crate) fn open(settings: &Nvme, block_bytes: u64) -> Result<(File, Opened), OpenError> {
    let path = &settings.path;
    let failed = |doing: &'static str| move |cause| OpenError::Io { path: path.clone(), doing, cause };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(failed("open"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => OpenError::InUse(path.clone()),
        other => failed("lock")(other.into()),
    })?;

    let geometry = Geometry::new(settings.bytes, block_bytes);
    let mut sector = vec![0; SECTOR_BYTES];
    let read = read_start(&file, &mut sector).map_err(failed("read the superblock"))?;
    let reset = match Superblock::decode(&sector[..read]) {
        Ok(found) if found.node != settings.node => {
            return Err(OpenError::OtherNode { path: path.clone(), owner: found.node });
        }
        Err(Unusable::Foreign) => return Err(OpenError::NotASlab(path.clone())),
        Ok(found) if found.block_bytes != block_bytes => Err("its block size was another"),
        Ok(found) if found.file_bytes != settings.bytes => Err("its size was another"),
        Ok(found) => Ok(found.slab_id),
        Err(Unusable::Blank) => Err("it is new"),
        Err(Unusable::Version(_)) => Err("its version was another"),
        Err(Unusable::Damaged) => Err("its superblock was damaged"),
    };
    match reset {
        Ok(slab_id) => {
            let (index, generation_next) =
                rebuild(&file, geometry, slab_id).map_err(failed("read the headers"))?;
            info!(path = %path.display(), blocks = index.blocks_count(), "slab opened");
            Ok((file, Opened { geometry, slab_id, index, generation_next }))
        }
        Err(reason) => {
            warn_of_reset(path, reason);
            let slab_id = format(&file, settings, geometry).map_err(failed("allocate"))?;
            let index = Index::new(geometry.slots_count);
            Ok((file, Opened { geometry, slab_id, index, generation_next: 1 }))
        }
    }
}

fn warn_of_reset(path: &Path, reason: &'static str) {
    if reason == "it is new" {
        info!(path = %path.display(), "slab made");
    } else {
        warn!(path = %path.display(), reason, "slab reset: what it held is fetched again");
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

/// Makes the file an empty slab, all of it allocated. The superblock comes last: a crash before leaves a blank file.
fn format(file: &File, settings: &Nvme, geometry: Geometry) -> io::Result<u64> {
    file.set_len(0)?;
    match fallocate(file, FallocateFlags::empty(), 0, geometry.file_bytes) {
        Ok(()) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => {
            warn!(path = %settings.path.display(), "the file system cannot allocate ahead: the slab may run out of space");
            file.set_len(geometry.file_bytes)?;
        }
        Err(error) => return Err(error.into()),
    }
    file.sync_all()?;
    let slab_id = random()?;
    let superblock = Superblock {
        slab_id,
        file_bytes: geometry.file_bytes,
        block_bytes: geometry.block_bytes,
        node: settings.node.clone(),
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

/// The index of every good header, and the generation after the latest.
fn rebuild(file: &File, geometry: Geometry, slab_id: u64) -> io::Result<(Index, u64)> {
    let header_bytes = geometry.header_bytes();
    let run_slots = (HEADERS_RUN_BYTES / header_bytes).max(1);
    let mut run = vec![0; run_slots * header_bytes];
    let mut found: HashMap<BlockKey, (u64, u32)> = HashMap::new();
    let mut generation_next = 1;
    let mut slot = 0;
    while slot < geometry.slots_count {
        let count = run_slots.min((geometry.slots_count - slot) as usize);
        let run = &mut run[..count * header_bytes];
        file.read_exact_at(run, geometry.header_offset(slot))?;
        for bytes in run.chunks_exact(header_bytes) {
            if let Some(header) = Header::decode(bytes, slab_id, slot)
                && u64::from(header.block_len) <= geometry.block_bytes
            {
                generation_next = generation_next.max(header.generation.saturating_add(1));
                let place = (header.generation, slot);
                found.entry(header.key).and_modify(|best| *best = place.max(*best)).or_insert(place);
            }
            slot += 1;
        }
    }
    let found = found.into_iter().map(|(key, (_, slot))| (key, slot));
    Ok((Index::rebuilt(geometry.slots_count, found), generation_next))
}
