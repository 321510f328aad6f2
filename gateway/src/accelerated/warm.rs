//! Bringing an object into this node's cache because an operator says so, and pinning it there.

use std::time::Duration;

use cache::{Instance, Prestaged, Tenant};
use serde::{Deserialize, Serialize};

use super::Accelerated;
use crate::coherence::Use;
use crate::topology::RegionName;

/// An object to be brought here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToWarm {
    /// The bucket's region; `None` where only one region has a bucket of this name.
    pub region: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Pin it to the disk tier for so many seconds; zero ends its pin. `None` leaves that as it is.
    pub pin_seconds: Option<u64>,
    /// Start to bring it; without, only say how it stands.
    pub start: bool,
}

/// How an object stands in this node's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmed {
    /// The node's region.
    pub node: String,
    /// The object's size.
    pub object_bytes: u64,
    /// How much of it is on NVMe here; in memory, at a node that has no NVMe in use.
    pub cached_bytes: u64,
    /// The rest is being brought.
    pub is_running: bool,
}

impl Accelerated {
    /// Does what `wanted` says. What is brought counts for the account of the bucket's owner.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn warm(&self, wanted: ToWarm) -> Result<Warmed, String> {
        let (region, account) = self.find_bucket(wanted.region.as_deref(), &wanted.bucket).await?;
        let owner = self.parts.owners[&region].clone();
        let object = owner.object(&wanted.bucket, &wanted.key).await.map_err(|error| error.to_string())?.1;
        let object =
            object.ok_or_else(|| format!("{region} has no s3://{}/{}", wanted.bucket, wanted.key))?;
        if object.head.encryption.is_some() {
            return Err("the object is encrypted: no cache keeps it".to_owned());
        }
        let (instance, object_bytes) = (Instance(*object.head.instance.as_bytes()), object.head.bytes);
        let cache = &self.parts.cache;
        let tenant = Tenant::named(&account);
        // A small object comes with its head and takes no block.
        let is_small = object.inline.is_some() || object_bytes == 0;
        if wanted.start && !is_small {
            match cache.prestage(tenant, instance, object_bytes, owner.clone()) {
                Ok(Prestaged::Started | Prestaged::Running) => {}
                Ok(Prestaged::TooLarge) => return Err("the object is larger than the cache".to_owned()),
                Err(busy) => return Err(busy.to_string()),
            }
        }
        if let Some(seconds) = wanted.pin_seconds {
            let lasting = Duration::from_secs(seconds);
            cache.pin(instance, object_bytes, lasting).await.map_err(|error| error.to_string())?;
        }
        // Asked before: what is staged once it no longer runs is all that it stages.
        let is_running = cache.is_prestaging(&instance);
        let cached_bytes = match is_small {
            true => object_bytes,
            false => cache.staged_bytes(instance, object_bytes).await,
        };
        Ok(Warmed { node: self.parts.region.to_string(), object_bytes, cached_bytes, is_running })
    }

    /// The region that has the bucket, and the account of the bucket's owner.
    pub(super) async fn find_bucket(
        &self,
        named: Option<&str>,
        bucket: &str,
    ) -> Result<(RegionName, String), String> {
        let mut found = Vec::new();
        for (region, owner) in &self.parts.owners {
            if named.is_none_or(|named| named == region.as_str()) {
                let facts = owner
                    .facts(bucket, Use::LookAndKeep)
                    .await
                    .map_err(|error| format!("{region}: {error}"))?;
                found.extend(facts.map(|facts| (region.clone(), facts.owner.clone())));
            }
        }
        match found.len() {
            0 => Err(format!("there is no bucket {bucket}")),
            1 => Ok(found.remove(0)),
            _ => Err(format!("several regions have a bucket {bucket}: name one with --region")),
        }
    }
}
