//! `ops/metrics.md` names what `/metrics` serves, all of it and nothing else.

use std::collections::BTreeSet;
use std::fs;

use tests::Cluster;
use tests::cluster::repository;

#[tokio::test]
async fn the_metrics_page_names_every_series_and_no_other() {
    let cluster = Cluster::start().await;
    let served = cluster.scrape("ord1").await.families().clone();
    let page = fs::read_to_string(repository().join("ops/metrics.md")).expect("read ops/metrics.md");
    // A series' row begins with its name: "| `penstock_…` | …".
    let named: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `penstock_")?.split('`').next())
        .map(|name| format!("penstock_{name}"))
        .collect();
    assert_eq!(named.difference(&served).collect::<Vec<_>>(), [""; 0], "named, but not served");
    assert_eq!(served.difference(&named).collect::<Vec<_>>(), [""; 0], "served, but not named");
}
