//! The errors that leave this crate.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use crate::settings::Fault;

/// Why a reader could not go on. The reader gives it again if asked again: a broken read never ends as if complete.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The origin no longer has the instance.
    #[error("the origin no longer has the instance")]
    Gone,
    /// A limit was reached and no place became free in time; the client may come back.
    #[error("no room for the read: {0}")]
    Busy(Limit),
    /// The origin broke off, and asking again did not help.
    #[error("{0}")]
    Broken(Arc<dyn Error + Send + Sync>),
}

/// The limits that make readers wait and, in the end, turn away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Block buffers: `memory_bytes` and `working_bytes`.
    Buffers,
    /// `fill_bytes_max`.
    FillBytes,
    /// `fills_per_origin_max`.
    Fills,
    /// `direct_reads_per_origin_max`.
    DirectReads,
    /// `prestages_max` or `prestages_per_tenant_max`.
    Prestages,
    /// Half of the NVMe tier may be pinned, and 16,000 objects; or there is none.
    Pins,
    /// The origin says that it is busy.
    Origin,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Buffers => "every block buffer is in use",
            Self::FillBytes => "too many bytes are being filled",
            Self::Fills => "too many fills of this origin",
            Self::DirectReads => "too many direct reads of this origin",
            Self::Prestages => "too many pre-stages",
            Self::Pins => "no more of NVMe may be pinned",
            Self::Origin => "the origin is busy",
        })
    }
}

/// Something was not done because a limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room: {0}")]
pub struct Busy(pub Limit);

/// Why an object was not pinned, or its pin not ended: nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// As much is pinned as may be; or there is no NVMe tier.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The pins could not be written to their file.
    #[error("write the pins: {0}")]
    Io(io::Error),
    /// The cache is closed: its file of pins may be another process's by now.
    #[error("the node is shutting down")]
    Closed,
}

/// Why a purge did not come to its end. What it had dropped by then is dropped.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The pins of what was to go could not be ended.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// A device of the NVMe tier did not take it, or is not in use: what was to go may be there again after a restart, or when the
    /// device is back.
    #[error(
        "NVMe device {path}: {cause}; what it holds may be found again later: purge again once it is in use, or empty it"
    )]
    Device {
        /// The file or raw device.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Why a cache could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings have these faults.
    #[error("cache settings: {}", list(.0))]
    Settings(Vec<Fault>),
    /// Another process holds the slab. A cache opens without, and takes it later: nobody outside of this crate sees this.
    #[error("slab {0}: in use by another process")]
    InUse(PathBuf),
    /// The file is not a slab; it is left alone.
    #[error("slab {0}: the file holds something else; remove it or name another")]
    NotASlab(PathBuf),
    /// The slab is another node's; it is left alone.
    #[error("slab {path}: belongs to node {owner:?}; remove it or name another")]
    OtherNode {
        /// The slab's file.
        path: PathBuf,
        /// The node that wrote it.
        owner: String,
    },
    /// The file could not be made, allocated or read.
    #[error("slab {path}: {doing}: {cause}")]
    Io {
        /// The slab's file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The metrics registry already has a series of this name.
    #[error("register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What the system says of a device that has failed, is full, read-only or gone, or of a file system that has. A disk that cannot
/// read a sector says so in many ways past the page cache, and by EIO through it (`blk_status_to_errno` of Linux).
const OF_A_DEVICE: [Errno; 18] = [
    Errno::IO,
    Errno::NODATA,
    Errno::TIMEDOUT,
    Errno::TIME,
    Errno::NOLINK,
    Errno::REMOTEIO,
    Errno::ILSEQ,
    Errno::BADE,
    Errno::NXIO,
    Errno::NODEV,
    Errno::NOMEDIUM,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::ROFS,
    Errno::UCLEAN,
    Errno::BADMSG,
    Errno::STALE,
    Errno::SHUTDOWN,
];

impl OpenError {
    /// Whether the node does better without the device than not at all: it has failed, is full, read-only or gone, or
    /// it is another node's. Anything else is for the operator to put right before the node starts.
    pub(crate) fn leaves_device_out(&self) -> bool {
        match self {
            Self::Io { cause, .. } => {
                OF_A_DEVICE.iter().any(|errno| cause.raw_os_error() == Some(errno.raw_os_error()))
            }
            Self::OtherNode { .. } => true,
            Self::Settings(_) | Self::InUse(_) | Self::NotASlab(_) | Self::Metrics(_) => false,
        }
    }
}

fn list(faults: &[Fault]) -> String {
    let faults: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.key, fault.problem)).collect();
    faults.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with a bad first sector, or a file system that is damaged, does not keep a node from starting, whichever way it says
    /// so; what an operator has set wrongly does.
    #[test]
    fn a_device_that_has_failed_is_left_out_whatever_it_says() {
        let leaves_out = |errno: Errno| {
            OpenError::Io { path: "slab".into(), doing: "start", cause: errno.into() }.leaves_device_out()
        };
        // A medium error of NVMe, a command that timed out, a lost path, a failed integrity check, a damaged file system.
        for errno in [Errno::IO, Errno::NODATA, Errno::TIMEDOUT, Errno::NOLINK, Errno::ILSEQ, Errno::UCLEAN] {
            assert!(leaves_out(errno), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::ISDIR, Errno::INVAL] {
            assert!(!leaves_out(errno), "{errno}");
        }
    }
}
