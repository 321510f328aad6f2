//! Devices that another process holds when the node starts: each is taken as soon as it is free.
//!
//! The old process of a restart may take longer to end than the new one can wait before it serves. Blocks that belong to
//! a missing device are kept on the others meanwhile, or in memory alone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::info;

use super::device::{Device, Opening};
use super::leave_out;
use crate::error::OpenError;
use crate::sync::lock;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// The tasks that wait for devices.
pub(super) struct Late {
    opening: Arc<Opening>,
    devices: Arc<[OnceLock<Device>]>,
    waiting: Mutex<Vec<JoinHandle<()>>>,
}

impl Late {
    /// Nothing is waited for yet.
    pub(super) fn new(opening: Arc<Opening>, devices: Arc<[OnceLock<Device>]>) -> Self {
        Self { opening, devices, waiting: Mutex::default() }
    }

    /// Where the devices are, as they were set: each in its place.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.opening.settings.devices.iter().map(|device| &device.path)
    }

    /// Puts the device of `place` into its place once no other process holds it.
    pub(super) fn wait_for(&self, place: usize) {
        let (opening, devices) = (self.opening.clone(), self.devices.clone());
        opening.metrics.nvme_device_awaited();
        lock(&self.waiting).push(tokio::spawn(async move {
            let device = &opening.settings.devices[place];
            let opened = loop {
                sleep(PAUSE).await;
                match Device::open(&opening, device, Duration::ZERO).await {
                    Err(OpenError::InUse(_)) => {}
                    opened => break opened,
                }
            };
            // Before any of its blocks is given up: the other process may have pinned more since this one started.
            opening.kept.catch_up().await;
            opening.metrics.nvme_device_no_longer_awaited();
            match opened {
                Ok(opened) => {
                    info!(path = %device.path.display(), "slab free: taken into use");
                    let _ = devices[place].set(opened);
                }
                Err(error) => leave_out(&device.path, &error, &opening.metrics),
            }
        }));
    }

    /// Waits for no device any more; none comes into its place afterwards.
    pub(super) async fn give_up(&self) {
        let all = std::mem::take(&mut *lock(&self.waiting));
        for waiting in all {
            waiting.abort();
            // An error says that it was stopped in time.
            let _ = waiting.await;
        }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        lock(&self.waiting).iter().for_each(JoinHandle::abort);
    }
}
