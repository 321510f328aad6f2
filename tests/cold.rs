//! Objects that a node has never seen: what it asks their owner for, and how often.

use tests::{Cluster, Content, MIB, Options, Request};

/// The first pages come along with the head where there are any, and every byte once; what is small comes with its head alone.
#[tokio::test]
async fn the_first_pages_of_an_unknown_object_come_with_its_head() {
    let cluster = Cluster::start_with(Options::cache("64 MiB", "64 MiB")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let reader = cluster.accelerated("las1", "ord1");
    for (seed, bytes) in [(1, MIB), (2, 100_000), (3, 3 * MIB + 5)] {
        let (path, content) = (format!("/data/{seed}"), Content::new(seed, bytes));
        let _ = owner.send(Request::new("PUT", &path).content(content)).await.ok();
        let got = reader.get("data", &seed.to_string()).await.ok();
        assert!(got.body == content.all(), "{bytes} bytes");
    }
    let content = Content::new(4, 4 * MIB);
    let _ = owner.send(Request::new("PUT", "/data/4").content(content)).await.ok();
    let range = Request::new("GET", "/data/4").header("range", "bytes=1500000-1500009");
    assert!(reader.send(range).await.ok().body == content.all()[1_500_000..1_500_010]);
    let _ = owner.put("data", "small", content.all().slice(..1000)).await.ok();
    assert_eq!(reader.get("data", "small").await.ok().body.len(), 1000);

    let scrape = cluster.settled("las1").await;
    let head_starts = |outcome| {
        let labels = [("region", "ord1"), ("outcome", outcome)];
        scrape.sum("penstock_head_starts_total", &labels)
    };
    assert_eq!((head_starts("used"), head_starts("unused")), (4.0, 1.0));
    // Of the range, its block.
    let pages = scrape.sum("penstock_origin_bytes_total", &[("channel", "blob")]);
    assert_eq!(pages, (MIB + 100_000 + 3 * MIB + 5 + MIB) as f64);
}
