//! Many readers of one cold object cost its owner one object.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tests::{Client, Cluster, Content, MIB, Options, Request};
use tokio::sync::Barrier;
use tokio::time::timeout;

const READERS: usize = 64;
const OBJECT_BYTES: u64 = 256 * MIB;

/// The cache's block, as shipped.
const BLOCK_BYTES: usize = 1 << 20;

/// A bound for when the promise does not hold; when it does, nothing is waited for.
const FIRST_BYTES_WITHIN: Duration = Duration::from_secs(60);

/// 64 readers of one cold 256 MiB object at one node: every byte comes from the owner once, and every reader has its
/// first bytes before any block is complete: no connection brings more than half of one until they have.
#[tokio::test]
async fn a_herd_of_readers_costs_the_origin_one_object() {
    let options =
        Options::default().served().gated("ord1").and_at("las1", Options::cache("512 MiB", "512 MiB"));
    let cluster = Cluster::start_with(options).await;
    let content = Content::new(3, OBJECT_BYTES);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(content)).await.ok();

    let wanted = content.all();
    let reader = cluster.accelerated("las1", "ord1");
    let first_bytes = Barrier::new(READERS + 1);
    cluster.gate().allow_only(BLOCK_BYTES / 2);
    let reading = join_all((0..READERS).map(|_| read(&reader, &wanted, &first_bytes)));
    let opening = async {
        timeout(FIRST_BYTES_WITHIN, first_bytes.wait()).await.expect("every reader has its first bytes");
        cluster.gate().open();
    };
    tokio::join!(reading, opening);

    let scrape = cluster.settled("las1").await;
    assert_eq!(scrape.sum("penstock_cache_origin_bytes_total", &[]), OBJECT_BYTES as f64);
    assert_eq!(scrape.sum("penstock_cache_bytes_total", &[]), (READERS as u64 * OBJECT_BYTES) as f64);
}

/// Reads the whole object, and waits for the others when it has its first bytes.
async fn read(reader: &Client, wanted: &Bytes, first_bytes: &Barrier) {
    let mut answer = reader.open(Request::new("GET", "/data/k")).await.expect("open");
    assert_eq!(answer.status().as_u16(), 200, "{:?}", answer.text().await);
    let mut got = 0;
    while let Some(piece) = answer.chunk().await.expect("an unbroken body") {
        if got == 0 {
            first_bytes.wait().await;
        }
        assert!(wanted[got..got + piece.len()] == piece, "a wrong byte after {got}");
        got += piece.len();
    }
    assert_eq!(got as u64, OBJECT_BYTES);
}
