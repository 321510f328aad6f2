//! The NVMe tier: blocks spread over one or several devices.
//!
//! Which device a block belongs to follows from its key and from the devices in use, by weighted rendezvous: each gets
//! its share by size, and when one goes out of use its blocks alone belong elsewhere. What lies where a block no longer
//! belongs is not found there, and given up in time.

mod device;
mod engine;
mod eviction;
#[cfg(test)]
pub(crate) mod faulty;
mod file;
mod header;
mod index;
mod kept;
mod open;
mod order;
mod place;
mod ring;
mod superblock;
mod tending;
mod threads;
mod uring;
mod withheld;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::block::Block;
use crate::error::{OpenError, PinError, PurgeError};
use crate::instance::Instance;
use crate::layout::{BlockKey, mix};
use crate::metrics::{Metrics, NotKept};
use crate::settings::Nvme;
use crate::tenant::{Tenant, Weights};
pub(crate) use device::Handling;
pub(crate) use device::Pin;
use device::{Device, Opening};
use kept::Kept;
use place::{Content, Place};
use tending::Tending;
pub(crate) use withheld::Withheld;

/// Blocks on NVMe. Clones are the same slab.
#[derive(Clone)]
pub(crate) struct Slab {
    /// One for each device that is set.
    places: Arc<[Place]>,
    tending: Arc<Tending>,
    kept: Arc<Kept>,
    withheld: Arc<Withheld>,
}

/// How a device of the NVMe tier stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceState {
    /// It is in use.
    InUse,
    /// Another process holds it: it is taken into use once that lets go of it.
    Awaited,
    /// It was taken out, and has not given back what it was asked; once it has, it is tried again. Or it has not answered yet since the
    /// node started.
    Silent,
    /// It failed, or is another node's: it is tried again from time to time.
    Out,
}

/// Where a block was found.
pub(crate) enum Found {
    /// On its way to disk, still in memory.
    Queued(Block),
    /// On disk.
    Stored(Pin),
}

/// How much it matters that a block is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keep {
    /// Somebody will look for it here: it is written if there is room.
    Surely,
    /// Whoever wants it now has it in memory: it is written if it seems worth that.
    IfWorthIt,
}

/// What became of a block that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offered {
    /// It is queued, or was there already.
    Kept,
    /// It will not be kept.
    Refused(NotKept),
}

impl Slab {
    /// Opens the devices that `settings` describe. One that has failed, or belongs to another node, is left out and tried again
    /// later; one that another process holds, or that does not answer, is waited for while the node goes on.
    pub(crate) async fn open(
        settings: &Nvme,
        block_bytes: u64,
        weights: &Arc<Weights>,
        metrics: &Arc<Metrics>,
        handling: Handling,
    ) -> Result<Self, OpenError> {
        let bytes_max = settings.devices.iter().map(|device| device.bytes).sum::<u64>() / 2;
        let kept = Arc::new(Kept::new(settings.pins.clone(), bytes_max));
        let withheld = Arc::default();
        let opening = Arc::new(Opening {
            handling,
            withheld: Arc::clone(&withheld),
            settings: settings.clone(),
            block_bytes,
            weights: weights.clone(),
            kept: kept.clone(),
            metrics: metrics.clone(),
        });
        let opened = settings.devices.iter().map(|device| Device::open_in_time(&opening, device));
        let opened = join_all(opened).await;
        kept.catch_up().await;
        let places: Arc<[_]> = settings.devices.iter().map(|_| Place::new()).collect();
        let tending = Tending::new(opening, places.clone());
        for (at, opened) in opened.into_iter().enumerate() {
            match opened {
                Ok(opened) => tending.begin(at, opened)?,
                Err(hangs) => tending.begin_without(at, hangs),
            }
        }
        Ok(Self { places, tending: Arc::new(tending), kept, withheld })
    }

    /// Whether blocks are kept and found at all.
    pub(crate) fn in_use(&self) -> bool {
        self.look_at_devices(|_| ()).next().is_some()
    }

    /// Memory that devices keep which were waited for long enough.
    pub(crate) fn withheld(&self) -> &Arc<Withheld> {
        &self.withheld
    }

    /// Bytes of blocks that there is room for.
    pub(crate) fn bytes(&self) -> u64 {
        self.look_at_devices(Device::bytes).sum()
    }

    /// Whether there is any block.
    pub(crate) fn has_blocks(&self) -> bool {
        self.look_at_devices(Device::has_blocks).any(|has| has)
    }

    /// Gives up no block of an object of `object_bytes` bytes for as long as `lasting` says; zero: from now on any.
    ///
    /// # Errors
    /// Nothing is changed if more than half of all bytes would be kept then, or it cannot be written down.
    pub(crate) async fn keep(
        &self,
        instance: Instance,
        object_bytes: u64,
        lasting: Duration,
    ) -> Result<(), PinError> {
        self.kept.keep(instance, object_bytes, lasting, self.bytes() / 2).await
    }

    /// Bytes of the objects whose blocks are not given up.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.bytes()
    }

    /// Whether the block is here, without counting as a use.
    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.device(key).is_some_and(|device| device.contains(key))
    }

    /// How many devices are in use.
    pub(crate) fn devices_count(&self) -> usize {
        self.look_at_devices(|_| ()).count()
    }

    /// Finds the block, which counts as used.
    pub(crate) fn find(&self, key: &BlockKey) -> Option<Found> {
        self.device(key)?.find(key)
    }

    /// Offers a block of `tenant`'s, whose pages have these checksums, to be written in the background.
    pub(crate) fn offer(
        &self,
        key: BlockKey,
        block: &Block,
        sums: Vec<u32>,
        tenant: Tenant,
        keep: Keep,
    ) -> Offered {
        match self.device(&key) {
            Some(device) => device.offer(key, block, sums, tenant, keep),
            None => Offered::Refused(NotKept::DeviceOut),
        }
    }

    /// Waits until a block `key` of `bytes` would find room in the queue.
    pub(crate) async fn room(&self, key: &BlockKey, bytes: usize) {
        if let Some(device) = self.device(key) {
            device.room(bytes).await;
        }
    }

    /// Drops the blocks of the instances that `goes` names from every device, also from what a restart would find, and ends
    /// their pins. Returns how many blocks there were.
    ///
    /// # Errors
    /// Where the file of pins, or a device, cannot be written, or a device that was set is not in use: what it holds would come
    /// back with it. The other devices are purged all the same.
    pub(crate) async fn purge(
        &self,
        goes: impl Fn(&Instance) -> bool + Clone + Send + Sync + 'static,
    ) -> Result<u64, PurgeError> {
        self.kept.release(goes.clone()).await?;
        let goes = |key: &BlockKey| goes(&key.instance);
        let mut outcome = Ok(0);
        for (place, path) in self.places.iter().zip(self.tending.paths()) {
            let purged = match place.content() {
                Content::Device(device) => device.purge(&goes).await,
                Content::Awaited | Content::Silent | Content::Out => Err(device::out_of_use()),
            };
            outcome = match (outcome, purged) {
                (Ok(purged_count), Ok(more)) => Ok(purged_count + more),
                (Ok(_), Err(cause)) => Err(PurgeError::Device { path: path.clone(), cause }),
                (failed, _) => failed,
            };
        }
        outcome
    }

    /// Writes what is queued, makes it durable, and lets go of the devices and of the file of pins. Nothing is found from now
    /// on, and nothing pinned.
    pub(crate) async fn close(&self) {
        self.tending.give_up().await;
        self.kept.close().await;
        let close = async |place: &Place| {
            if let Content::Device(device) = place.content() {
                device.close().await;
            }
        };
        join_all(self.places.iter().map(close)).await;
    }

    /// How each device stands.
    pub(crate) fn devices(&self) -> Vec<(PathBuf, DeviceState)> {
        let state = |place: &Place| match place.content() {
            Content::Device(device) if device.in_use() => DeviceState::InUse,
            Content::Awaited => DeviceState::Awaited,
            Content::Silent => DeviceState::Silent,
            Content::Device(_) | Content::Out => DeviceState::Out,
        };
        self.tending.paths().cloned().zip(self.places.iter().map(state)).collect()
    }

    /// The device that the block belongs to.
    fn device(&self, key: &BlockKey) -> Option<Device> {
        if let [alone] = &*self.places {
            return alone.in_use();
        }
        let hash = key.hash64();
        let distances = self
            .places
            .iter()
            .filter_map(|place| Some((place, place.look_at_device(|device| distance(hash, device))?)));
        distances.min_by(|(_, one), (_, other)| one.total_cmp(other))?.0.in_use()
    }

    fn look_at_devices<R>(&self, look: impl Fn(&Device) -> R) -> impl Iterator<Item = R> {
        self.places.iter().filter_map(move |place| place.look_at_device(&look))
    }
}

/// The nearest device has the block. Exponentially distributed with the device's size as its rate, so each is nearest
/// as often as its share of all sizes says.
fn distance(hash: u64, device: &Device) -> f64 {
    nearness(hash, device.slab_id(), device.bytes())
}

fn nearness(hash: u64, slab_id: u64, bytes: u64) -> f64 {
    // Half a step up: never 0, whose logarithm is no number.
    let unit = ((mix(hash ^ slab_id) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -unit.ln() / bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices share blocks by size, and one that goes takes its own alone.
    #[test]
    fn blocks_are_spread_by_size_and_stay_when_another_device_goes() {
        let devices = [(11, 1 << 30), (22, 2 << 30), (33, 1 << 30)];
        let nearest = |hash: u64, devices: &[(u64, u64)]| {
            let by = |device: &&(u64, u64)| nearness(hash, device.0, device.1);
            devices.iter().min_by(|one, other| by(one).total_cmp(&by(other))).expect("there are devices").0
        };
        let mut counts = std::collections::HashMap::new();
        for block in 0..40_000_u64 {
            let hash = mix(block.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let before = nearest(hash, &devices);
            *counts.entry(before).or_insert(0) += 1;
            let without = nearest(hash, &devices[..2]);
            assert!(before == 33 || before == without);
        }
        for (device, share) in [(11, 10_000_i32), (22, 20_000), (33, 10_000)] {
            assert!((counts[&device] - share).abs() < 600, "{counts:?}");
        }
    }
}
