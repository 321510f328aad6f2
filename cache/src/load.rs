//! Loads a whole block from NVMe into the memory tier, once for everyone who wants it.

use std::sync::Arc;

use crate::block::Block;
use crate::buffer::{Buffer, For};
use crate::cache::Shared;
use crate::error::{Limit, ReadError};
use crate::flight::{Claim, Flight, From};
use crate::object::Object;
use crate::slab::Pin;

struct Load {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
    block_len: usize,
    pages_count: usize,
}

/// Starts to load block `index`, or joins whoever brings it. `None`: look again, or, when reading ahead, there is no
/// buffer to spare.
pub(crate) fn start(
    shared: &Arc<Shared>,
    object: &Object,
    index: u32,
    pin: Pin,
    whose: For,
) -> Option<Arc<Flight>> {
    let block_len = object.layout.block_len(index);
    let pages_count = object.pages_count(index);
    let buffer = match whose {
        For::Demand => None,
        For::Ahead => Some(shared.pool.try_take(block_len, For::Ahead)?),
    };
    let key = object.key(index);
    match shared.flights.claim(key, pages_count, || From::Nvme) {
        Claim::Joined(flight) => Some(flight),
        // Another load may have brought the block between the caller's look and the claim.
        Claim::New(flight) if shared.memory.contains(&key) => {
            shared.flights.over(&flight);
            None
        }
        Claim::New(flight) => {
            let load = Load { shared: shared.clone(), flight: flight.clone(), block_len, pages_count };
            shared.runtime.spawn(load.run(pin, buffer));
            Some(flight)
        }
    }
}

impl Load {
    async fn run(self, pin: Pin, buffer: Option<Buffer>) {
        let shared = &self.shared;
        let buffer = match buffer {
            Some(buffer) => Some(buffer),
            None => shared.pool.take(self.block_len, shared.settings.wait_max).await,
        };
        let Some(buffer) = buffer else {
            return shared.flights.failed(&self.flight, ReadError::Busy(Limit::Buffers));
        };
        // A block that proves bad has been forgotten: whoever waits looks again, and finds it missing.
        if let Some(buffer) = pin.read(self.block_len, 0..self.pages_count, buffer).await {
            let block = Block::from_verified(buffer, self.block_len);
            shared.memory.insert(self.flight.key, block.clone());
            shared.flights.loaded(&self.flight, block);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.flights.over(&self.flight);
    }
}
