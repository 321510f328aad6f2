//! Where a fill reads from: the one trait that whoever holds the objects implements.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::instance::Instance;

/// Bytes in a page: the unit that carries a CRC32C on its way from the store to the client.
pub const PAGE_BYTES: u64 = 64 * 1024;

/// A page as its store keeps it: [`PAGE_BYTES`] bytes, or fewer if it is an instance's last.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page's bytes. They must own their memory, or share it with pages near by alone: a page can be held as
    /// long as its block is being filled, and so would whatever larger buffer it was cut from.
    pub bytes: Bytes,
    /// CRC32C of `bytes`, computed when the object was written. It is checked here before a byte is used.
    pub crc32c: u32,
}

/// The pages of one answer, in order, with nothing in between.
pub type Pages = BoxStream<'static, Result<Page, SourceError>>;

/// What pages are asked for. An origin may keep places for each apart, so that neither stands behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A fill: its pages are taken as fast as they come, for everyone who wants them.
    Fill,
    /// A read past the cache: its pages are taken as fast as one client takes them.
    Direct,
}

/// An origin of instances: a store at hand, or a peer's.
pub trait Source: Send + Sync {
    /// The name of the origin, the same for every source that leads there: fills at once are bounded by it.
    fn origin(&self) -> &str;

    /// Asks for the pages `pages` of `instance`, numbered from its start. The answer is a stream that gives exactly
    /// these pages in order, or ends early: a fill asks again from the first missing page.
    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>>;

    /// How long ago the origin was asked for `page` of an instance, where that was before anybody wanted it: how long its
    /// answer takes says little of the origin then. By default, never.
    fn was_asked_for(&self, page: u64) -> Option<Duration> {
        let _ = page;
        None
    }
}

/// Why an origin did not give a page.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// The instance is no longer kept there; asking again cannot help.
    #[error("the origin no longer has the instance")]
    Gone,
    /// The origin sheds load. It is asked again a little later, for as long as a reader waits for a place.
    #[error("the origin is busy")]
    Busy,
    /// The answer broke off or did not come. It is asked again, a bounded number of times.
    #[error("read from origin: {0}")]
    Broken(Arc<dyn Error + Send + Sync>),
}

impl SourceError {
    /// A broken read, with its cause for the log.
    pub fn broken(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(Arc::from(cause.into()))
    }
}
