//! The two clocks of a process that leases are counted on.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time that counts while the machine is suspended (CLOCK_BOOTTIME). Leases are counted on it.
pub(crate) fn boottime() -> Duration {
    read(ClockId::Boottime)
}

/// Time that stands still while the machine is suspended (CLOCK_MONOTONIC).
pub(crate) fn monotonic() -> Duration {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
