//! A block cache that knows nothing of S3: blocks of immutable instances, in memory and on NVMe, filled from a source.
//!
//! A [`Reader`] takes a range of one instance and gives its bytes in order. It looks for each block in memory, then
//! on NVMe, then among the blocks on their way; what is missing is filled from the [`Source`] in runs, once however
//! many readers want it, and every page is ready for all of them as it arrives. No byte leaves before the checksum
//! that its page got when the object was written has been verified, on every way it can take.
//!
//! Memory is bounded by construction: blocks lie in buffers of one pool (`memory_bytes` and `working_bytes`), blocks
//! in the middle of a fill have a budget (`fill_bytes_max`), and whoever finds neither waits a while and is then told
//! [`ReadError::Busy`]. What could not be kept is counted.

mod settings;

mod cache;
mod error;
mod prestage;
mod reader;

mod budget;
mod fair;
mod fill;
mod flight;
mod lend;
mod load;
mod pace;
mod pull;
mod walk;

mod memory;
mod slab;

mod block;
mod buffer;
mod instance;
mod layout;
mod metrics;
mod object;
mod page;
mod source;
mod sync;
mod tenant;

#[cfg(test)]
mod test_until;

pub use cache::{Cache, Purged};
pub use error::{Busy, Limit, OpenError, PinError, PurgeError, ReadError};
pub use instance::Instance;
pub use prestage::Prestaged;
pub use reader::{Mode, Plan, Reader, Tally};
pub use settings::{Engine, Fault, Nvme, NvmeDevice, Settings};
pub use slab::DeviceState;
pub use source::{PAGE_BYTES, Page, Pages, Purpose, Source, SourceError};
pub use tenant::Tenant;
