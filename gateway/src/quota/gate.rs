//! Quotas in S3's words: a request past one is `SlowDown`, and counted.

use std::hash::Hash;
use std::time::{Duration, Instant};

use super::{Charged, Exceeded, Quota, Quotas};
use crate::metrics::{DropReason, Metrics};
use crate::refusal::Refusal;

/// When a client should come again that has as many requests under way as it may.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets requests in as their quotas have room.
pub struct Gate<K> {
    quotas: Quotas<K>,
    rate: DropReason,
    in_flight: DropReason,
    metrics: Metrics,
}

impl<K: Hash + Eq + Send + Sync + 'static> Gate<K> {
    /// One that gives each key `quota`, and counts who is past its rate and its places in `metrics`.
    #[must_use]
    pub fn new(quota: Quota, rate: DropReason, in_flight: DropReason, metrics: Metrics) -> Self {
        Self { quotas: Quotas::new(quota), rate, in_flight, metrics }
    }

    /// Lets one request of `key` in at `now`.
    ///
    /// # Errors
    /// `SlowDown`.
    pub async fn enter(&self, key: K, now: Instant) -> Result<Charged, Refusal> {
        self.quotas.charge(key, now).await.map_err(|exceeded| {
            let (reason, retry_after) = match exceeded {
                Exceeded::Rate { retry_after } => (self.rate, retry_after),
                Exceeded::InFlight => (self.in_flight, RETRY_AFTER),
            };
            self.metrics.dropped(reason);
            Refusal::slow_down(retry_after)
        })
    }
}
