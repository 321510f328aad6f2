//! Sees to each device for as long as the node runs: one that another process holds when the node starts is taken as soon as it is
//! free, and one that was taken out is tried again.
//!
//! The old process of a restart may take longer to end than the new one can wait before it serves. Blocks that belong to
//! a missing device are kept on the others meanwhile, or in memory alone. So it is with a device that does not answer when the node
//! starts: it is taken as soon as it does.
//!
//! **A device that was taken out** is left to itself until it has given back all that it was asked, which a silent one may never do:
//! before, nobody else may write there, nor would it answer. Then it is let go of, lock and all, and opened as at a start, with
//! nothing known of it: whether it is the node's slab still or something else is decided by the same rules, and what of its blocks is
//! good is said by their headers and sums, so that another device in its place is not taken for it. The pauses between two tries
//! grow, also where it comes back and fails again: each return may cost readers eight long waits. A file is not made anew: where a
//! disk is gone, its path may be on another one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::device::{Device, Occasion, Opening};
use super::place::{Content, Place};
use crate::error::OpenError;
use crate::sync::lock;

/// The pause between two looks whether another process has let go of a device.
const AWAITED_PAUSE: Duration = Duration::from_millis(500);

/// The tasks that see to devices.
pub(super) struct Tending {
    opening: Arc<Opening>,
    places: Arc<[Place]>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Tending {
    /// Nothing is seen to yet.
    pub(super) fn new(opening: Arc<Opening>, places: Arc<[Place]>) -> Self {
        Self { opening, places, tasks: Mutex::default() }
    }

    /// Where the devices are, as they were set: each in its place.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.opening.settings.devices.iter().map(|device| &device.path)
    }

    /// Begins to see to the device at place `at`, of which this came when it was opened for the first time.
    ///
    /// # Errors
    /// Where the node does better to start without a cache than with that: it is the operator's to put right.
    pub(super) fn begin(&self, at: usize, opened: Result<Device, OpenError>) -> Result<(), OpenError> {
        let tended = Tended { opening: self.opening.clone(), places: self.places.clone(), at };
        match opened {
            Ok(device) => self.places[at].put(Content::Device(device)),
            Err(OpenError::InUse(path)) => {
                warn!(path = %path.display(), "another process holds the slab: the node goes on without it until it is free");
                self.opening.metrics.nvme_device_awaited();
                self.places[at].put(Content::Awaited);
            }
            Err(error) if error.leaves_device_out() => tended.leave_out(&error),
            Err(error) => return Err(error),
        }
        lock(&self.tasks).push(tokio::spawn(tended.see_to()));
        Ok(())
    }

    /// Begins to see to the device at place `at`, which was not opened in time: it is used once it `opens`.
    pub(super) fn begin_without(&self, at: usize, opens: JoinHandle<Result<Device, OpenError>>) {
        let tended = Tended { opening: self.opening.clone(), places: self.places.clone(), at };
        error!(path = %tended.path().display(), "an NVMe device does not answer: the node starts without it");
        self.opening.metrics.nvme_device_out();
        self.places[at].put(Content::Silent);
        lock(&self.tasks).push(tokio::spawn(async move {
            tended.wait_for(opens).await;
            tended.see_to().await;
        }));
    }

    /// Sees to no device any more; none comes into its place afterwards.
    pub(super) async fn give_up(&self) {
        let all = std::mem::take(&mut *lock(&self.tasks));
        for task in all {
            task.abort();
            // An error says that it was stopped in time.
            let _ = task.await;
        }
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        lock(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}

/// One device that is seen to.
struct Tended {
    opening: Arc<Opening>,
    places: Arc<[Place]>,
    at: usize,
}

impl Tended {
    async fn see_to(self) {
        let mut pauses = Pauses::new(self.opening.handling.pause, self.opening.handling.pause_max);
        loop {
            match self.place().content() {
                Content::Device(device) => self.until_it_is_let_go(device).await,
                Content::Awaited => self.await_it().await,
                Content::Silent | Content::Out => self.try_again(&mut pauses).await,
            }
        }
    }

    fn place(&self) -> &Place {
        &self.places[self.at]
    }

    fn path(&self) -> &PathBuf {
        &self.opening.settings.devices[self.at].path
    }

    async fn open(&self, occasion: Occasion) -> Result<Device, OpenError> {
        let opened = Device::open(&self.opening, &self.opening.settings.devices[self.at], occasion).await;
        if opened.is_ok() {
            self.catch_up().await;
        }
        opened
    }

    /// Before any of a device's blocks is given up: another process may have pinned more since this one started.
    async fn catch_up(&self) {
        self.opening.kept.catch_up().await;
    }

    /// Puts the device into its place once it `opens`; it counted as out.
    async fn wait_for(&self, opens: JoinHandle<Result<Device, OpenError>>) {
        match opens.await.expect("opening a slab does not panic") {
            Ok(device) => {
                self.catch_up().await;
                self.returns(device);
            }
            Err(OpenError::InUse(_)) => {
                // It has not failed, then.
                self.opening.metrics.nvme_device_out_is_awaited();
                self.place().put(Content::Awaited);
            }
            Err(error) => {
                error!(path = %self.path().display(), %error, "an NVMe device cannot be used: the node goes on without it");
                self.place().put(Content::Out);
            }
        }
    }

    /// A device that was out is in use.
    fn returns(&self, device: Device) {
        warn!(path = %self.path().display(), "an NVMe device that was out is in use again");
        self.opening.metrics.nvme_device_returned();
        self.place().put(Content::Device(device));
    }

    /// Says that a device stays out, and why.
    fn leave_out(&self, error: &OpenError) {
        error!(path = %self.path().display(), %error, "an NVMe device cannot be used: the node goes on without it");
        self.opening.metrics.nvme_device_out();
        self.place().put(Content::Out);
    }

    /// Puts the device into its place once no other process holds it.
    async fn await_it(&self) {
        let opened = loop {
            sleep(AWAITED_PAUSE).await;
            match self.open(Occasion::Late).await {
                Err(OpenError::InUse(_)) => {}
                opened => break opened,
            }
        };
        self.opening.metrics.nvme_device_no_longer_awaited();
        match opened {
            Ok(device) => {
                info!(path = %self.path().display(), "slab free: taken into use");
                self.place().put(Content::Device(device));
            }
            Err(error) => self.leave_out(&error),
        }
    }

    /// Waits until the device is taken out, and then until it has given everything back.
    async fn until_it_is_let_go(&self, device: Device) {
        device.goes_out().await;
        self.place().put(Content::Silent);
        if let Err(error) = device.let_go().await {
            warn!(path = %self.path().display(), %error, "let go of an NVMe device that was taken out");
        }
        self.place().put(Content::Out);
    }

    /// Tries to take the device back in, until that works.
    async fn try_again(&self, pauses: &mut Pauses) {
        loop {
            let pause = pauses.next(Instant::now());
            info!(path = %self.path().display(), ?pause, "an NVMe device that is out is tried again after a pause");
            sleep(pause).await;
            match self.open(Occasion::Again).await {
                Ok(device) => {
                    self.returns(device);
                    return pauses.is_back(Instant::now());
                }
                Err(error) => {
                    warn!(path = %self.path().display(), %error, "an NVMe device cannot be used again yet");
                }
            }
        }
    }
}

/// How long a device that is out is left alone before it is tried again: twice as long each time up to a limit, and as at first once
/// it has worked for as long as that limit.
struct Pauses {
    first: Duration,
    max: Duration,
    next: Duration,
    back_since: Option<Instant>,
}

impl Pauses {
    fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first, back_since: None }
    }

    /// The pause that begins `now`.
    fn next(&mut self, now: Instant) -> Duration {
        if self.back_since.take().is_some_and(|since| now.duration_since(since) >= self.max) {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (2 * pause).min(self.max);
        pause
    }

    /// The device is in use again.
    fn is_back(&mut self, now: Instant) {
        self.back_since = Some(now);
    }
}

#[cfg(test)]
mod tests;
