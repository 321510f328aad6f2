//! Dropping objects from this node's cache because an operator says so.
//!
//! Blocks go by instance. Of this node's own region its store says which instances the versions of the named keys are, a page
//! at a time; the answer to each command says where the next one goes on. Of another region the owner is asked for an
//! object's current version, and lists nothing. What an object that was deleted, or overwritten in a bucket
//! without versions, left behind has no name any more: only a purge of everything finds it. Small objects lie beside
//! their heads, not in blocks, and are as fresh as these.

use cache::{Instance, Purged};
use origin::regional::{ListedTo, SomeKeys};
use serde::{Deserialize, Serialize};

use super::Accelerated;

/// What is to be dropped here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToPurge {
    /// All that there is.
    Everything,
    /// All versions of some keys.
    Keys {
        /// The bucket's region; `None` where only one region has a bucket of this name.
        region: Option<String>,
        /// The bucket.
        bucket: String,
        /// Which of its keys.
        keys: SomeKeys,
        /// Where the command before ended; `None` for the first.
        behind: Option<ListedTo>,
    },
}

/// What one command has dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasPurged {
    /// The node's region.
    pub node: String,
    /// Versions that were looked for; none where everything went.
    pub versions: u64,
    /// Blocks dropped from memory.
    pub memory_blocks: u64,
    /// Blocks dropped from the disk tier.
    pub nvme_blocks: u64,
    /// Where the next command goes on; `None` when all is done.
    pub to: Option<ListedTo>,
}

impl Accelerated {
    /// Drops what `wanted` says, as far as one page of instances goes.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn purge(&self, wanted: ToPurge) -> Result<WasPurged, String> {
        let (purged, versions, to) = match wanted {
            ToPurge::Everything => (self.parts.cache.purge_all().await, 0, None),
            ToPurge::Keys { region, bucket, keys, behind } => {
                let (region, _) = self.find_bucket(region.as_deref(), &bucket).await?;
                let owner = &self.parts.owners[&region];
                let listed = owner.instances(&bucket, keys, behind).await;
                let listed = listed.map_err(|error| format!("{region}: {error}"))?;
                let objects = listed.instances.iter();
                let objects: Vec<_> =
                    objects.map(|(instance, bytes)| (Instance(*instance.as_bytes()), *bytes)).collect();
                (self.parts.cache.purge(&objects).await, objects.len() as u64, listed.to)
            }
        };
        let Purged { memory_blocks, nvme_blocks } = purged.map_err(|error| error.to_string())?;
        Ok(WasPurged { node: self.parts.region.to_string(), versions, memory_blocks, nvme_blocks, to })
    }
}
