//! Pre-staging: fills a whole object in the background, before anybody asks for its bytes.
//!
//! What is staged is to be there for long: where NVMe is in use a block counts as staged there alone, for memory turns
//! over within seconds. A block that only memory has is put on NVMe from there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use tracing::warn;

use crate::block::Block;
use crate::cache::Shared;
use crate::error::{Busy, Limit, ReadError};
use crate::fill::{self, Why};
use crate::instance::Instance;
use crate::layout::BlockKey;
use crate::metrics::{NotKept, PrestageEnd};
use crate::object::Object;
use crate::slab::{Keep, Offered, Slab};
use crate::sync::lock;
use crate::tenant::Tenant;

/// Fills of one pre-stage side by side.
const FILLS_MAX: usize = 4;

/// What became of a pre-stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prestaged {
    /// It runs in the background.
    Started,
    /// The same instance is being pre-staged already.
    Running,
    /// There is no tier that could hold the object: nothing was started.
    TooLarge,
}

/// The pre-stages that run: whose, of what.
#[derive(Default)]
pub(crate) struct Prestages(Mutex<HashMap<Instance, Tenant>>);

impl Prestages {
    pub(crate) fn are_running(&self, instance: &Instance) -> bool {
        lock(&self.0).contains_key(instance)
    }
}

/// Starts to fill the whole of `object` for its tenant.
pub(crate) fn start(shared: &Arc<Shared>, object: Object) -> Result<Prestaged, Busy> {
    if object.layout.object_bytes() > shared.bytes_max() {
        return Ok(Prestaged::TooLarge);
    }
    {
        let mut running = lock(&shared.prestages.0);
        if running.contains_key(&object.instance) {
            return Ok(Prestaged::Running);
        }
        let of_tenant = running.values().filter(|tenant| **tenant == object.tenant).count();
        if running.len() >= shared.settings.prestages_max
            || of_tenant >= shared.settings.prestages_per_tenant_max
        {
            return Err(Busy(Limit::Prestages));
        }
        running.insert(object.instance, object.tenant);
    }
    shared.metrics.prestage_started();
    let place = Place { shared: shared.clone(), instance: object.instance };
    shared.runtime.spawn(run(place, object));
    Ok(Prestaged::Started)
}

/// A place among the pre-stages that run.
struct Place {
    shared: Arc<Shared>,
    instance: Instance,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared.prestages.0).remove(&self.instance);
    }
}

async fn run(place: Place, object: Object) {
    let shared = &place.shared;
    let window = u32::try_from(shared.settings.fill_window_bytes / shared.settings.block_bytes);
    let window = window.unwrap_or(u32::MAX).max(1);
    let blocks_count = object.layout.blocks_count();
    let windows = (0..blocks_count).step_by(window as usize);
    let windows = windows.map(|first| first..blocks_count.min(first.saturating_add(window)));
    let mut ends = futures::stream::iter(windows)
        .map(|blocks| fill_window(shared, &object, blocks))
        .buffer_unordered(FILLS_MAX);
    let end = loop {
        match ends.next().await {
            Some(Ok(())) if shared.is_closed() => break PrestageEnd::Broken,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                warn!(instance = %object.instance, %error, "pre-stage broke off");
                break PrestageEnd::Broken;
            }
            None => break PrestageEnd::Completed,
        }
    };
    shared.metrics.prestage_ended(end);
}

/// Sees to it that every block of `blocks` is staged, or was brought and found no place.
async fn fill_window(shared: &Arc<Shared>, object: &Object, blocks: Range<u32>) -> Result<(), ReadError> {
    let (mut next, mut brought_to) = (blocks.start, blocks.start);
    while next < blocks.end && !shared.is_closed() {
        let key = object.key(next);
        if shared.has_staged(&key) {
            next += 1;
        } else if let Some((slab, block)) = shared.slab.as_ref().zip(shared.memory.get(&key)) {
            if from_memory(shared, object, slab, key, &block).await {
                next += 1;
            }
        } else if shared.flights.get(&key).is_some() {
            // It is another's, who may give it up: then it is looked for again.
            ended(shared, object, next..next + 1).await?;
        } else if next < brought_to {
            next += 1; // no tier had room for it: bringing it again would be no better
        } else {
            let first_page = object.layout.block_pages(next).start;
            if let Some(interest) = fill::start(shared, object, next..blocks.end, first_page, Why::Prestage) {
                brought_to = ended(shared, object, interest.blocks()).await?;
            }
        }
    }
    Ok(())
}

/// Puts a block that memory has on NVMe, once there is room in the queue of writes. False: others took that room, look again.
async fn from_memory(shared: &Shared, object: &Object, slab: &Slab, key: BlockKey, block: &Block) -> bool {
    slab.room(&key, block.footprint()).await;
    match slab.offer(key, block, block.sums(), object.tenant, Keep::Surely) {
        Offered::Kept => true,
        Offered::Refused(NotKept::QueueFull) => false,
        Offered::Refused(reason) => {
            shared.metrics.not_kept(reason);
            true
        }
    }
}

/// Waits until the flights of `blocks` have ended, and says from which block on to look again: where a reader joined
/// and its patience with a full cache ran out, ours has not.
async fn ended(shared: &Arc<Shared>, object: &Object, blocks: Range<u32>) -> Result<u32, ReadError> {
    for index in blocks.clone() {
        let Some(flight) = shared.flights.get(&object.key(index)) else { continue };
        match flight.ended().await {
            Ok(()) => {}
            Err(ReadError::Busy(Limit::Fills | Limit::FillBytes)) => return Ok(index),
            Err(error) => return Err(error),
        }
    }
    Ok(blocks.end)
}
