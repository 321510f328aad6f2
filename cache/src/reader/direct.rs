//! Reads past the cache: pages from the origin to one reader, nothing kept.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::Shared;
use crate::error::ReadError;
use crate::fair::Place;
use crate::layout;
use crate::object::Object;
use crate::pull::Pull;
use crate::source::{PAGE_BYTES, Purpose};

/// A pull for one reader alone. It holds one page at a time.
pub(super) struct Direct {
    pull: Pull,
    page_next: u64,
    _place: Place,
}

impl Direct {
    /// Starts to pull the pages that hold `range`, which is not empty.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        object: &Object,
        range: Range<u64>,
    ) -> Result<Self, ReadError> {
        let place = shared.budget.direct_read(object.source.origin(), object.tenant).await?;
        let pages = layout::pages_of(&range);
        Ok(Self { page_next: pages.start, pull: object.pull(pages, Purpose::Direct, shared), _place: place })
    }

    /// The next page's part of `left`, whose start is in that page; `None` when every page has been given.
    pub(super) async fn piece(&mut self, left: &Range<u64>) -> Result<Option<Bytes>, ReadError> {
        let Some(page) = self.pull.next().await.transpose()? else { return Ok(None) };
        let start = self.page_next * PAGE_BYTES;
        self.page_next += 1;
        let end = (start + page.bytes().len() as u64).min(left.end);
        Ok(Some(page.bytes().slice(layout::to_len(left.start - start)..layout::to_len(end - start))))
    }
}
