//! Objects that a node has never seen: what it asks their owner for, and how often.

use tests::cluster::LONG_LEASES;
use tests::{Cluster, Content, MIB, Options, Request, until_some};

/// The first pages come along with the head where there are any, and every byte once; what is small comes with its head alone.
#[tokio::test]
async fn the_first_pages_of_an_unknown_object_come_with_its_head() {
    let cluster = Cluster::start_with(Options::cache("64 MiB", "64 MiB").and(LONG_LEASES)).await;
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

/// A miss is one question for the head, and where an object is too large to come with it one for its first pages at the same
/// time, which of an object of up to a block are all; never one whether it is there and then another. What was read is read
/// again without a question.
#[tokio::test]
async fn a_miss_asks_its_owner_once_for_the_head_and_once_for_the_pages() {
    // A head is confirmed once its lease is over.
    let cluster = Cluster::start_with(Options::cache("64 MiB", "64 MiB").and(LONG_LEASES)).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let reader = cluster.accelerated("las1", "ord1");
    assert_eq!(reader.get("data", "nothing").await.status, 404, "the reader and the bucket are known now");
    let asked = async || {
        until_some("what was asked for is answered", async || {
            let scrape = cluster.settled("las1").await;
            let of = |channel| scrape.sum("penstock_origin_requests_total", &[("channel", channel)]) as u64;
            // Of what is small, first pages are asked for in vain.
            let in_vain = scrape.sum("penstock_head_starts_total", &[("outcome", "unused")]) as u64;
            Some([of("resolve"), of("blob").checked_sub(in_vain)?, of("forward")])
        })
        .await
    };
    for (key, bytes, pages_asked) in
        [("small", 1000, 0), ("pages", 100_000, 1), ("block", MIB, 1), ("blocks", 3 * MIB + 5, 2)]
    {
        let content = Content::new(bytes, bytes);
        let _ = owner.put("data", key, content.all()).await.ok();
        let before = asked().await;
        assert!(reader.get("data", key).await.ok().body == content.all());
        let after = asked().await;
        assert_eq!([0, 1, 2].map(|of| after[of] - before[of]), [1, pages_asked, 0], "{key}");
        assert_eq!(reader.head("data", key).await.ok().header("content-length"), bytes.to_string());
        assert!(reader.get("data", key).await.ok().body == content.all());
        assert_eq!(reader.get_range("data", key, 5, 50).await.ok().body, content.range(5, 50));
        assert_eq!(asked().await, after, "{key}, again");
    }
}
