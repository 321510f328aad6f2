//! Many readers of one cold object cost its owner one object.

use std::sync::Arc;

use futures::future::join_all;
use tests::{Cluster, Content, MIB, Options, Request};

/// 64 readers of one cold 256 MiB object at one node: every byte comes from the owner once.
#[tokio::test]
async fn a_herd_of_readers_costs_the_origin_one_object() {
    let cluster = Cluster::start_with(Options::cache("512 MiB", "1 GiB")).await;
    let content = Content::new(3, 256 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("b").await;
    let _ = owner.send(Request::new("PUT", "/b/k").content(content)).await.ok();

    let wanted = Arc::new(content.all());
    let reader = cluster.accelerated("las1", "ord1");
    join_all((0..64).map(|_| async {
        let mut answer = reader.open(Request::new("GET", "/b/k")).await.expect("open");
        assert_eq!(answer.status().as_u16(), 200);
        let mut got = 0;
        while let Some(piece) = answer.chunk().await.expect("an unbroken body") {
            assert!(wanted[got..got + piece.len()] == piece, "a wrong byte after {got}");
            got += piece.len();
        }
        assert_eq!(got as u64, content.bytes);
    }))
    .await;

    let scrape = cluster.scrape("las1").await;
    assert_eq!(scrape.sum("penstock_cache_origin_bytes_total", &[]), content.bytes as f64);
    assert_eq!(scrape.sum("penstock_cache_bytes_total", &[]), 64.0 * content.bytes as f64);
}
