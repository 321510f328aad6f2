//! The bytes that a read is about: an instance, how it is cut, where it comes from, and who wants it.

use std::ops::Range;
use std::sync::Arc;

use crate::cache::Shared;
use crate::instance::Instance;
use crate::layout::{self, BlockKey, Layout};
use crate::pull::Pull;
use crate::source::{Purpose, Source};
use crate::tenant::Tenant;

/// An instance, its origin, and on whose behalf it is read.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) instance: Instance,
    pub(crate) layout: Layout,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) tenant: Tenant,
}

impl Object {
    pub(crate) fn key(&self, index: u32) -> BlockKey {
        BlockKey { instance: self.instance, index }
    }

    /// How many pages block `index` has.
    pub(crate) fn pages_count(&self, index: u32) -> usize {
        let pages = self.layout.block_pages(index);
        layout::to_len(pages.end - pages.start)
    }

    /// Starts to pull `pages` from the origin.
    pub(crate) fn pull(&self, pages: Range<u64>, purpose: Purpose, shared: &Shared) -> Pull {
        let pace = shared.budget.pace(self.source.origin());
        Pull::new(self.clone(), pages, purpose, shared.pull_patience, pace, shared.metrics.clone())
    }
}
