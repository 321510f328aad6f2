//! On whose behalf blocks are brought and kept.

use std::collections::{BTreeMap, HashMap};

use crate::page;

/// One of those who share a cache. The cache knows of it that it is not another one; and how much it weighs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tenant(u32);

impl Tenant {
    /// The tenant of this name, the same in every process. Should two names ever be the same tenant (of ten thousand, one
    /// pair in a hundred cases), they share one share.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(page::checksum(name.as_bytes()))
    }

    /// As a slot's header has it: 0, the tenant without a name, in those from before there were tenants.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }
}

/// What each tenant's share is measured by; 1 for those that are not named.
#[derive(Debug, Default)]
pub(crate) struct Weights(HashMap<Tenant, u32>);

impl Weights {
    /// Weights by name, each at least 1.
    pub(crate) fn new(by_name: &BTreeMap<String, u32>) -> Self {
        Self(by_name.iter().map(|(name, weight)| (Tenant::named(name), *weight)).collect())
    }

    pub(crate) fn of(&self, tenant: Tenant) -> u32 {
        self.0.get(&tenant).copied().unwrap_or(1).max(1)
    }
}
