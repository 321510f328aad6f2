//! What many measurements come to.

use std::time::Duration;

/// How long each of many requests took.
#[derive(Clone, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// The one that a `share` of them, up to 1.0 for the longest, is no longer than.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1).expect("something was measured");
        sorted[(last as f64 * share) as usize]
    }
}

/// In milliseconds.
pub(crate) fn milliseconds(took: Duration) -> String {
    format!("{:.3} ms", took.as_secs_f64() * 1e3)
}
