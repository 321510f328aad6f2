//! Two accounts that both want more of a node's disk tier than there is share it by the weights in its settings.

use tests::cluster::LONG_LEASES;
use tests::{Client, Cluster, Content, MIB, Options, Request, until};

/// A block each.
const OBJECT_BYTES: u64 = MIB;

/// A block more or less: each account gives up a block for the other's next.
const AROUND: u64 = 2;

/// The account with weight 3 has three quarters in the end, although the other had everything when it came.
#[tokio::test]
async fn accounts_share_the_disk_tier_by_the_weights_that_are_set() {
    let site = Site::start("[cache.account_weights]\nfarm = 3\nnobody = 1000\n").await;
    let Kept { shop, farm } = site.fill_by_turns().await;
    assert_eq!(shop + farm, site.slots);
    assert!(shop.abs_diff(site.slots / 4) <= AROUND, "{shop} and {farm} of {}", site.slots);
}

/// The same without weights: half each.
#[tokio::test]
async fn accounts_that_no_weights_name_have_as_much_as_each_other() {
    let site = Site::start("").await;
    let Kept { shop, farm } = site.fill_by_turns().await;
    assert_eq!(shop + farm, site.slots);
    assert!(shop.abs_diff(site.slots / 2) <= AROUND, "{shop} and {farm} of {}", site.slots);
}

/// las1, and two accounts that read their own objects of ord1 there.
struct Site {
    cluster: Cluster,
    shop: Account,
    farm: Account,
    /// Blocks that las1's disk tier has room for.
    slots: u64,
}

/// A bucket that is named like its account.
struct Account {
    name: &'static str,
    reader: Client,
}

/// Blocks of each account.
struct Kept {
    shop: u64,
    farm: u64,
}

impl Site {
    /// las1 keeps nothing in memory, and has `weights` in its settings.
    async fn start(weights: &str) -> Self {
        let options = Options::cache("0", "32 MiB").and(LONG_LEASES).and(weights);
        let cluster = Cluster::start_with(options).await;
        let account = |name| {
            let keys = cluster.create_user(name, &["--account", name, "--level", "full"]);
            Account { name, reader: cluster.accelerated("las1", "ord1").with_keys(keys) }
        };
        let (shop, farm) = (account("shop"), account("farm"));
        let slots = cluster.scrape("las1").await.sum("penstock_cache_nvme_slots", &[]) as u64;
        let site = Self { shop, farm, slots, cluster };
        for (account, objects_count) in [(&site.shop, 2 * slots), (&site.farm, slots)] {
            let owner = site.cluster.standard("ord1").with_keys(account.reader.keys().clone());
            owner.create_bucket(account.name).await;
            for index in 0..objects_count {
                let _ = owner.put(account.name, &index.to_string(), content(index).all()).await.ok();
            }
        }
        site
    }

    /// One account fills the disk tier, and goes on while the other reads as much as fits.
    async fn fill_by_turns(&self) -> Kept {
        for index in 0..self.slots {
            self.read(&self.shop, index).await;
        }
        assert_eq!(self.kept(&self.shop, 2 * self.slots).await, self.slots, "nobody else wants any");
        for index in 0..self.slots {
            self.read(&self.shop, self.slots + index).await;
            self.read(&self.farm, index).await;
        }
        let shop = self.kept(&self.shop, 2 * self.slots).await;
        Kept { shop, farm: self.kept(&self.farm, self.slots).await }
    }

    /// Reads an object, and waits until it is on the disk, or given up.
    async fn read(&self, account: &Account, index: u64) {
        let answer = account.reader.get(account.name, &index.to_string()).await.ok();
        assert!(answer.body == content(index).all(), "object {index} of {}", account.name);
        until("what was read is on the disk", async || {
            self.cluster.settled("las1").await.sum("penstock_cache_buffer_bytes", &[]) == 0.0
        })
        .await;
    }

    /// How many of an account's objects are on las1's disk.
    async fn kept(&self, account: &Account, objects_count: u64) -> u64 {
        let mut kept = 0;
        for index in 0..objects_count {
            let path = format!("/{}/{index}", account.name);
            let look = Request::new("GET", path).header("cache-control", "no-cache");
            let answer = account.reader.send(look).await.ok();
            assert!(answer.body == content(index).all(), "object {index} of {}", account.name);
            kept += u64::from(answer.header("cache-status").contains("; hit"));
        }
        kept
    }
}

fn content(index: u64) -> Content {
    Content::new(index, OBJECT_BYTES)
}
