//! The names of the objects: as many under each common prefix, and in an order that is none.

/// Keys under one common prefix of the filled bucket.
const KEYS_A_PREFIX: u64 = 50;

/// A prime, so that steps of it meet every number below a count once; no count is a multiple of it.
const STRIDE: u64 = 2_654_435_761;

/// What is where in the bucket.
pub(crate) struct Names {
    count: u64,
}

impl Names {
    /// About `count` keys: a hundred common prefixes or a multiple of it.
    ///
    /// # Panics
    /// For fewer than that makes.
    pub(crate) fn of(count: u64) -> Self {
        let count = count / (100 * KEYS_A_PREFIX) * (100 * KEYS_A_PREFIX);
        assert!(count > 0, "at least {} keys", 100 * KEYS_A_PREFIX);
        Self { count }
    }

    /// Keys in the filled bucket.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Common prefixes of those.
    pub(crate) fn prefixes_count(&self) -> u64 {
        self.count / KEYS_A_PREFIX
    }

    /// The `nth` key to be filled in, or to be read: any key, each once.
    pub(crate) fn any(&self, nth: u64) -> String {
        let place = self.scattered(nth);
        format!("{:06}/{:02}", place / KEYS_A_PREFIX, place % KEYS_A_PREFIX)
    }

    /// The `nth` key of a round that writes, beside those that are there, all over the bucket.
    pub(crate) fn beside(&self, round: usize, nth: u64) -> String {
        let place = self.scattered(nth + 1_000_003 * round as u64);
        format!("{:06}/{round}-{nth}", place / KEYS_A_PREFIX)
    }

    fn scattered(&self, nth: u64) -> u64 {
        (u128::from(nth) * u128::from(STRIDE) % u128::from(self.count)) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_comes_once() {
        let names = Names::of(10_000);
        let all: BTreeSet<_> = (0..names.count()).map(|nth| names.any(nth)).collect();
        assert_eq!(all.len() as u64, names.count());
        let prefixes: BTreeSet<_> = all.iter().map(|key| &key[..7]).collect();
        assert_eq!(prefixes.len() as u64, names.prefixes_count());
    }
}
