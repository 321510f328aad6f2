//! A bucket of one engine: who serves it, and what an answered write is worth there.

use tests::process::{cpu_time, peak_memory_bytes};
use tests::{Client, Cluster};

use crate::seaweed::{SYNCED, Seaweed};
use crate::{BUCKET, OWNER};

pub(crate) struct Engine {
    pub(crate) name: String,
    /// What is on the disk when a write is answered.
    pub(crate) durable: &'static str,
    pub(crate) client: Client,
    pub(crate) bucket: &'static str,
    /// Millions of keys are in the bucket already.
    pub(crate) is_filled: bool,
    process: u32,
}

impl Engine {
    /// An empty bucket of ours.
    pub(crate) async fn penstock(name: &str, cluster: &Cluster) -> Self {
        cluster.standard(OWNER).create_bucket(BUCKET).await;
        Self { is_filled: false, ..Self::penstock_filled(name.to_owned(), cluster) }
    }

    /// The filled bucket of ours.
    pub(crate) fn penstock_filled(name: String, cluster: &Cluster) -> Self {
        Self {
            name,
            durable: "all of it",
            client: cluster.standard(OWNER),
            bucket: BUCKET,
            is_filled: true,
            process: cluster.process(OWNER).id(),
        }
    }

    /// An empty bucket of the other engine's.
    pub(crate) async fn seaweed(name: &str, seaweed: &Seaweed, bucket: &'static str) -> Self {
        let client = seaweed.client();
        client.create_bucket(bucket).await;
        Self {
            name: name.to_owned(),
            durable: if bucket == SYNCED { "bytes, not names" } else { "nothing" },
            client,
            bucket,
            is_filled: false,
            process: seaweed.process(),
        }
    }

    /// Processor time that the server has used.
    pub(crate) fn cpu_time(&self) -> std::time::Duration {
        cpu_time(self.process)
    }

    /// The most memory it had; pages of files that the kernel keeps do not count.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        peak_memory_bytes(self.process).unwrap_or_default()
    }
}
