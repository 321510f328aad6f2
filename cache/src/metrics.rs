//! Every series of the cache. Labels are closed sets; nothing a client sends becomes one.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::source::SourceError;

/// Where the bytes of a read came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Served {
    /// The memory tier.
    Memory,
    /// The NVMe tier.
    Nvme,
    /// A fill that this reader started.
    Origin,
    /// A fill that another reader started.
    Joined,
    /// The origin, with nothing kept.
    Bypass,
}

impl Served {
    const ALL: [Self; 5] = [Self::Memory, Self::Nvme, Self::Origin, Self::Joined, Self::Bypass];

    fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nvme => "nvme",
            Self::Origin => "origin",
            Self::Joined => "joined",
            Self::Bypass => "bypass",
        }
    }
}

/// The cache's series, and what moves them.
pub(crate) struct Metrics {
    read_bytes: [IntCounter; 5],
    origin_requests: IntCounter,
    origin_bytes: IntCounter,
    origin_errors: IntCounterVec,
    fills_resumed: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let read_bytes = registered(
            registry,
            IntCounterVec::new(
                Opts::new("cache_read_bytes_total", "Bytes given to readers, by where they came from."),
                &["source"],
            )?,
        )?;
        Ok(Self {
            read_bytes: Served::ALL.map(|served| read_bytes.with_label_values(&[served.label()])),
            origin_requests: registered(
                registry,
                IntCounter::new(
                    "cache_origin_requests_total",
                    "Runs of pages asked of an origin, retries included.",
                )?,
            )?,
            origin_bytes: registered(
                registry,
                IntCounter::new("cache_origin_bytes_total", "Bytes of good pages that came from an origin.")?,
            )?,
            origin_errors: registered(
                registry,
                IntCounterVec::new(
                    Opts::new("cache_origin_errors_total", "Answers of an origin that broke off, by reason."),
                    &["reason"],
                )?,
            )?,
            fills_resumed: registered(
                registry,
                IntCounter::new(
                    "cache_fills_resumed_total",
                    "Pulls that asked again from the first missing page.",
                )?,
            )?,
        })
    }

    pub(crate) fn served(&self, served: Served, bytes: u64) {
        self.read_bytes[served as usize].inc_by(bytes);
    }

    pub(crate) fn origin_asked(&self) {
        self.origin_requests.inc();
    }

    pub(crate) fn pulled(&self, bytes: usize) {
        self.origin_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn origin_page_corrupt(&self) {
        self.origin_errors.with_label_values(&["corrupt"]).inc();
    }

    pub(crate) fn origin_trouble(&self, trouble: &SourceError) {
        let reason = match trouble {
            SourceError::Gone => "gone",
            SourceError::Busy => "busy",
            SourceError::Broken(_) => "broken",
        };
        self.origin_errors.with_label_values(&[reason]).inc();
    }

    pub(crate) fn fill_resumed(&self) {
        self.fills_resumed.inc();
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    series: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}
