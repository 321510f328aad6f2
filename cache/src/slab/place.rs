//! The place of a device: the device, or why there is none.

use std::sync::{PoisonError, RwLock};

use super::device::Device;

/// What is in a place.
#[derive(Clone)]
pub(super) enum Content {
    /// It is in use; or was until now.
    Device(Device),
    /// Another process holds it.
    Awaited,
    /// It was taken out, and has not given back what it was asked; or has not answered yet since the node started.
    Silent,
    /// It was taken out, or could not be opened.
    Out,
}

/// The place of one device.
pub(super) struct Place(RwLock<Content>);

impl Place {
    /// Without a device.
    pub(super) fn new() -> Self {
        Self(RwLock::new(Content::Out))
    }

    pub(super) fn put(&self, content: Content) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), content);
        // Not under the lock: a device may be its last holder's to let go of.
        drop(before);
    }

    pub(super) fn content(&self) -> Content {
        self.look(Clone::clone)
    }

    /// The device, if it is in use.
    pub(super) fn in_use(&self) -> Option<Device> {
        self.look_at_device(Device::clone)
    }

    /// Looks at the device, if it is in use.
    pub(super) fn look_at_device<R>(&self, look: impl FnOnce(&Device) -> R) -> Option<R> {
        self.look(|content| match content {
            Content::Device(device) if device.in_use() => Some(look(device)),
            _ => None,
        })
    }

    fn look<R>(&self, look: impl FnOnce(&Content) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
