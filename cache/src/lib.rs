//! A block cache that knows nothing of S3: blocks of immutable instances, in memory and on NVMe, filled from a source.

mod cache;
mod error;
mod instance;
mod layout;
mod metrics;
mod page;
mod pull;
mod reader;
mod settings;
mod source;

pub use cache::{Cache, Prestaged};
pub use error::{Busy, Limit, OpenError, ReadError};
pub use instance::Instance;
pub use reader::{Mode, Plan, Reader, Tally};
pub use settings::{Fault, Nvme, Settings};
pub use source::{PAGE_BYTES, Page, Pages, Source, SourceError};
