//! Which instances the versions of some keys are, page by page: what whoever drops them from a cache has to know.

use std::ops::Bound;

use s3s::S3Error;
use serde::{Deserialize, Serialize};

use super::RegionalStore;
use super::failure::Failure;
use super::rows::Reads;
use super::versions::{Placed, ReadVersions};
use crate::instance::Instance;

/// Instances on a page.
const LISTED_INSTANCES_MAX: usize = 10_000;

/// Some keys of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SomeKeys {
    /// This one.
    Key(String),
    /// Those that begin with this; all, where it is empty.
    Prefix(String),
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTo {
    key: String,
    /// The place of the version among those of its key; `None` for the current one.
    order: Option<u64>,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedInstances {
    /// Instances, and their sizes.
    pub instances: Vec<(Instance, u64)>,
    /// Where the next page goes on; `None` after the last.
    pub to: Option<ListedTo>,
}

impl SomeKeys {
    fn start(&self) -> &str {
        match self {
            Self::Key(start) | Self::Prefix(start) => start,
        }
    }

    fn hold(&self, key: &str) -> bool {
        match self {
            Self::Key(one) => key == one,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

impl RegionalStore {
    /// The instances of all versions of `keys` in `bucket`, as far as one page goes, behind where another ended: first the
    /// current versions, then the others. Empty where there is no such bucket.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn list_instances(
        &self,
        bucket: &str,
        keys: &SomeKeys,
        behind: Option<ListedTo>,
    ) -> Result<ListedInstances, S3Error> {
        let (bucket, keys) = (bucket.to_owned(), keys.clone());
        self.read(move |rows| Ok(read_page(rows, &bucket, &keys, behind, LISTED_INSTANCES_MAX)?)).await
    }
}

fn read_page(
    rows: &impl Reads,
    bucket: &str,
    keys: &SomeKeys,
    behind: Option<ListedTo>,
    instances_max: usize,
) -> Result<ListedInstances, Failure> {
    let mut page = ListedInstances::default();
    let start = Bound::Included(keys.start().as_bytes());
    let place = match behind {
        Some(ListedTo { key, order: Some(order) }) => Some((key, order)),
        current => {
            let after = current.map(|listed| listed.key);
            let from = after.as_ref().map_or(start, |key| Bound::Excluded(key.as_bytes()));
            if page.take(keys, rows.current_from(bucket, from, None)?, instances_max, |_| None)? {
                return Ok(page);
            }
            None
        }
    };
    let from = place.as_ref().map_or(start, |(key, _)| Bound::Included(key.as_bytes()));
    let place = place.as_ref().map(|(key, order)| (key.as_str(), *order));
    page.take(keys, rows.older_from(bucket, from, place)?, instances_max, |placed| Some(placed.order))?;
    Ok(page)
}

impl ListedInstances {
    /// Takes what there is room for; true if the page is full.
    fn take(
        &mut self,
        keys: &SomeKeys,
        versions: impl Iterator<Item = Result<(String, Placed), Failure>>,
        instances_max: usize,
        order: impl Fn(&Placed) -> Option<u64>,
    ) -> Result<bool, Failure> {
        for version in versions {
            let (key, placed) = version?;
            if !keys.hold(&key) {
                break;
            }
            let Some(head) = placed.version.object() else { continue };
            self.instances.push((head.instance, head.bytes));
            if self.instances.len() == instances_max {
                self.to = Some(ListedTo { key, order: order(&placed) });
                return Ok(true);
            }
        }
        Ok(false)
    }
}
