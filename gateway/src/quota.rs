//! How much one client address, or one access key, may ask of a node: requests a second, and requests at one time.
//!
//! An address is charged for every request that comes from it. A key is charged once its signature was verified and not
//! before: otherwise anybody who knows a key's public half could use up what its owner may ask.
//!
//! Time is handed in, and the table is bounded: of more keys than it holds, those that asked longest ago are forgotten,
//! and begin anew.

mod gate;

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use moka::policy::EvictionPolicy;

pub use gate::Gate;

/// Keys remembered.
const KEYS_MAX: u64 = 50_000;

/// About what each takes.
pub const KEY_BYTES: u64 = 200;

/// What one key may ask. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Requests a second, on average.
    pub requests_per_second: u32,
    /// Requests that may come at once after a pause; 0 is as many as in a second.
    pub burst: u32,
    /// Requests at one time.
    pub in_flight_max: u32,
}

/// Which limit a key has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Requests a second; there is room for one more after `retry_after`.
    Rate {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Requests at one time.
    InFlight,
}

/// The use of one quota by every key.
pub struct Quotas<K> {
    quota: Quota,
    began: Instant,
    used: Cache<K, Arc<Used>>,
}

/// One request that was let in, counted among those at one time for as long as this lives.
#[derive(Debug)]
pub struct Charged(Option<Arc<Used>>);

/// What one key has used.
#[derive(Debug, Default)]
struct Used {
    /// When its requests so far would have ended at the average rate, counted from the table's beginning.
    spent_until: Mutex<Duration>,
    in_flight: AtomicU32,
}

impl<K: Hash + Eq + Send + Sync + 'static> Quotas<K> {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::remembering(KEYS_MAX, quota)
    }

    /// The same with a table of `keys_max`.
    #[must_use]
    pub fn remembering(keys_max: u64, quota: Quota) -> Self {
        let used = Cache::builder().max_capacity(keys_max).eviction_policy(EvictionPolicy::lru()).build();
        Self { quota, began: Instant::now(), used }
    }

    /// Lets one request of `key` in at `now`.
    ///
    /// # Errors
    /// The limit that it has reached; nothing is charged then.
    pub async fn charge(&self, key: K, now: Instant) -> Result<Charged, Exceeded> {
        if self.quota.requests_per_second == 0 && self.quota.in_flight_max == 0 {
            return Ok(Charged(None));
        }
        let used = self.used.get_with(key, async { Arc::default() }).await;
        used.enter(self.quota.in_flight_max)?;
        // Leaves again if there is no room in the rate.
        let charged = Charged(Some(used.clone()));
        used.spend(self.quota, now.saturating_duration_since(self.began))?;
        Ok(charged)
    }

    /// Whether a request of `key` would find room in the rate at `now`.
    pub async fn has_room(&self, key: &K, now: Instant) -> bool {
        match self.used.get(key).await {
            Some(used) => used.has_room(self.quota, now.saturating_duration_since(self.began)),
            None => true,
        }
    }
}

impl Used {
    fn enter(&self, in_flight_max: u32) -> Result<(), Exceeded> {
        let enters = |count: u32| (in_flight_max == 0 || count < in_flight_max).then_some(count + 1);
        match self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enters) {
            Ok(_) => Ok(()),
            Err(_) => Err(Exceeded::InFlight),
        }
    }

    /// Takes one request's time at the average rate, if that is not farther ahead of `now` than a burst.
    fn spend(&self, quota: Quota, now: Duration) -> Result<(), Exceeded> {
        let mut spent_until = self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
        *spent_until = quota.spent_until(*spent_until, now)?;
        Ok(())
    }

    fn has_room(&self, quota: Quota, now: Duration) -> bool {
        let spent_until = *self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
        quota.spent_until(spent_until, now).is_ok()
    }
}

impl Quota {
    /// Until when the rate is spent, with one request more at `now`.
    fn spent_until(self, before: Duration, now: Duration) -> Result<Duration, Exceeded> {
        if self.requests_per_second == 0 {
            return Ok(before);
        }
        let one = Duration::from_secs(1) / self.requests_per_second;
        let burst = if self.burst == 0 { self.requests_per_second } else { self.burst };
        let after = before.max(now) + one;
        let ahead = after - now;
        if ahead > one * burst {
            return Err(Exceeded::Rate { retry_after: ahead - one * burst });
        }
        Ok(after)
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if let Some(used) = &self.0 {
            used.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What is charged for a request from `address`: an IPv6 client has a whole /64 to itself, and could come from another
/// address each time.
#[must_use]
pub fn of_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    /// How many of `tries` requests of `key` are let in at `now`, each over before the next.
    async fn let_in(quotas: &Quotas<&'static str>, key: &'static str, tries: u32, now: Instant) -> u32 {
        let mut count = 0;
        for _ in 0..tries {
            count += u32::from(quotas.charge(key, now).await.is_ok());
        }
        count
    }

    fn quotas(requests_per_second: u32, burst: u32, in_flight_max: u32) -> (Quotas<&'static str>, Instant) {
        let quotas = Quotas::new(Quota { requests_per_second, burst, in_flight_max });
        let began = quotas.began;
        (quotas, began)
    }

    /// A burst at once, then one for each tenth of a second, and after a long pause no more than a burst again; another
    /// key has all of its own.
    #[tokio::test]
    async fn a_key_has_its_burst_and_then_its_rate() {
        let (quotas, began) = quotas(10, 3, 0);
        assert_eq!(let_in(&quotas, "a", 9, began).await, 3);
        let refused = quotas.charge("a", began + 40 * MILLIS).await.expect_err("too soon");
        assert_eq!(refused, Exceeded::Rate { retry_after: 60 * MILLIS });
        assert_eq!(let_in(&quotas, "a", 9, began + 99 * MILLIS).await, 0);
        assert_eq!(let_in(&quotas, "a", 9, began + 100 * MILLIS).await, 1);
        assert_eq!(let_in(&quotas, "a", 9, began + 350 * MILLIS).await, 2);
        assert!(!quotas.has_room(&"a", began + 350 * MILLIS).await && quotas.has_room(&"b", began).await);
        assert_eq!(let_in(&quotas, "b", 9, began + 350 * MILLIS).await, 3);
        assert!(quotas.has_room(&"a", began + 450 * MILLIS).await);
        assert_eq!(let_in(&quotas, "a", 9, began + 3_600_000 * MILLIS).await, 3);
        // A clock that is read before another's reading is no later than that.
        assert_eq!(let_in(&quotas, "a", 9, began).await, 0);
    }

    #[tokio::test]
    async fn an_unsaid_burst_is_a_second_of_requests() {
        let (quotas, began) = quotas(5, 0, 0);
        assert_eq!(let_in(&quotas, "a", 9, began).await, 5);
    }

    /// One place more is not there; it is again when a request has ended. Who is refused for the rate keeps no place.
    #[tokio::test]
    async fn a_key_has_so_many_places() {
        let (places, began) = quotas(0, 0, 2);
        let held = (places.charge("a", began).await, places.charge("a", began).await);
        assert!(held.0.is_ok() && held.1.is_ok());
        assert_eq!(places.charge("a", began).await.expect_err("full"), Exceeded::InFlight);
        assert!(places.charge("b", began).await.is_ok());
        drop(held.0);
        assert!(places.charge("a", began).await.is_ok());

        let (both, began) = quotas(1, 1, 1);
        drop(both.charge("a", began).await.expect("the first"));
        for _ in 0..3 {
            let refused = both.charge("a", began).await.expect_err("too soon");
            assert!(matches!(refused, Exceeded::Rate { .. }), "{refused:?}");
        }
        assert!(both.charge("a", began + Duration::from_secs(1)).await.is_ok());
    }

    /// Without limits nothing is even remembered; with them no more than the table holds.
    #[tokio::test]
    async fn the_table_is_bounded() {
        let now = Instant::now();
        let off = Quotas::new(Quota::default());
        let on = Quotas::new(Quota { requests_per_second: 1, burst: 1, in_flight_max: 0 });
        for key in 0..KEYS_MAX + 1000 {
            assert!(off.charge(key, now).await.is_ok());
            assert!(on.charge(key, now).await.is_ok());
        }
        off.used.run_pending_tasks().await;
        on.used.run_pending_tasks().await;
        assert_eq!((off.used.entry_count(), on.used.entry_count()), (0, KEYS_MAX));
        // The last are the ones that are remembered.
        assert!(on.charge(KEYS_MAX + 999, now).await.is_err());
        assert!(on.charge(0, now).await.is_ok());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let of = |text: &str| of_address(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
