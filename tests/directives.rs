//! What a request may ask of the cache: look and fill, look only, neither, or fill ahead of time.

use tests::{Answer, Client, Cluster, Content, MIB, Options, Request, process, until};

const OBJECT_BYTES: u64 = 3 * MIB + 5;

/// A plain GET looks, and fills on a miss.
#[tokio::test]
async fn a_plain_get_fills() {
    let site = Site::start().await;
    site.get("").await;
    assert_eq!(site.bytes("origin").await, OBJECT_BYTES);
    site.get("").await;
    assert_eq!(site.bytes("memory").await + site.bytes("nvme").await, OBJECT_BYTES);
}

/// `no-cache`: what is there is used, what is not there is not kept.
#[tokio::test]
async fn no_cache_looks_and_keeps_nothing() {
    let site = Site::start().await;
    site.get("no-cache").await;
    site.get("no-cache").await;
    assert_eq!(site.bytes("memory").await + site.bytes("nvme").await, 0, "something was kept");
    site.get("").await;
    site.get("no-cache").await;
    assert_eq!(
        site.bytes("memory").await + site.bytes("nvme").await,
        OBJECT_BYTES,
        "what was kept was not used"
    );
}

/// `no-store`: the cache is neither asked nor filled.
#[tokio::test]
async fn no_store_goes_around_the_cache() {
    let site = Site::start().await;
    site.get("no-store").await;
    site.get("").await;
    site.get("no-store").await;
    assert_eq!(site.bytes("bypass").await, 2 * OBJECT_BYTES);
    assert_eq!(site.bytes("origin").await, OBJECT_BYTES);
    assert_eq!(site.bytes("memory").await + site.bytes("nvme").await, 0, "the cache was asked");
}

/// `no-store` readers that take their time have places of their own: one more is told to come back, and a plain GET is
/// filled from the same owner meanwhile.
#[tokio::test]
async fn slow_no_store_readers_leave_fills_alone() {
    let limits = "[cache]\ndirect_reads_per_origin_max = 2\nwait_max = \"2s\"";
    let site = Site::start_with(Options::settings(limits)).await;
    // Longer than what lies in the sockets between the owner, the node and the client.
    let long = Content::new(2, 64 * MIB);
    let _ = site.cluster.standard("ord1").put_multipart("data", "long", long, 16 * MIB).await;
    let no_store = || Request::new("GET", "/data/long").header("cache-control", "no-store");
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut answer = site.reader.open(no_store()).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        answer.chunk().await.expect("a piece");
        slow.push(answer);
    }
    let refused = site.reader.send(no_store()).await;
    assert_eq!(refused.refusal(), (503, "SlowDown".to_owned()));
    assert_eq!(refused.header("retry-after"), "1");
    site.get("").await;
    assert_eq!(site.bytes("origin").await, OBJECT_BYTES);
    drop(slow);
}

/// HEAD of `bytes=0-0` answers at once and brings the whole object.
#[tokio::test]
async fn a_head_of_the_first_byte_brings_the_object() {
    let site = Site::start().await;
    let head = site.reader.send(Request::new("HEAD", "/data/k").header("range", "bytes=0-0")).await.ok();
    assert_eq!(
        (head.status, head.header("content-range")),
        (206, format!("bytes 0-0/{OBJECT_BYTES}").as_str())
    );
    until("the object is brought", async || site.pulled().await >= OBJECT_BYTES).await;
    site.get("").await;
    assert_eq!(site.pulled().await, OBJECT_BYTES);
    assert_eq!(site.bytes("origin").await, 0, "the reader had to fill");
}

/// A plain HEAD brings nothing.
#[tokio::test]
async fn a_plain_head_brings_nothing() {
    let site = Site::start().await;
    let head = site.reader.head("data", "k").await.ok();
    assert_eq!(head.header("content-length"), OBJECT_BYTES.to_string());
    assert_eq!(site.pulled().await, 0);
}

/// `penstock warm` brings an object to every node that runs here and pins it there; what is read then is a hit. An object
/// that is not there is one clear line.
#[tokio::test]
async fn an_operator_warms_and_pins_an_object() {
    let site = Site::start().await;
    let data = site.cluster.data_argument();
    let told = async |arguments: &[&str]| {
        let line: Vec<_> =
            arguments.iter().map(ToString::to_string).chain(["--data".into(), data.clone()]).collect();
        // Not on this thread: the links between the nodes run on it.
        let asking = move || process::run(&line.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(asking).await.expect("no panic")
    };
    let (status, said) = told(&["warm", "s3://data/k", "--pin", "2h", "--json"]).await;
    assert!(status.success(), "{said}");
    // Progress follows it.
    let json = &said[..=said.rfind(']').expect("a list of nodes")];
    let nodes: serde_json::Value = serde_json::from_str(json).expect("--json answers in JSON");
    let nodes = nodes.as_array().expect("nodes");
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["cached_bytes"] == OBJECT_BYTES), "{said}");
    let pinned = async || site.cluster.scrape("las1").await.sum("penstock_cache_nvme_pinned_bytes", &[]);
    assert_eq!(pinned().await, OBJECT_BYTES as f64);
    site.get("").await;
    assert_eq!(site.bytes("memory").await + site.bytes("nvme").await, OBJECT_BYTES);
    let (status, said) = told(&["warm", "s3://data/k", "--unpin"]).await;
    assert!(status.success(), "{said}");
    assert_eq!(pinned().await, 0.0);
    let (status, said) = told(&["purge", "s3://data/k", "--json"]).await;
    assert!(status.success(), "{said}");
    let json = &said[..=said.rfind(']').expect("a list of nodes")];
    let purged: serde_json::Value = serde_json::from_str(json).expect("--json answers in JSON");
    let purged = purged.as_array().expect("nodes").iter();
    assert!(purged.clone().count() == 3 && purged.clone().all(|node| node["versions"] == 1), "{said}");
    assert!(purged.map(|node| node["nvme_blocks"].as_u64()).all(|blocks| blocks > Some(0)), "{said}");
    let pulled = site.pulled().await;
    site.get("").await;
    assert_eq!(site.pulled().await - pulled, OBJECT_BYTES, "it was fetched again");
    let (status, said) = told(&["warm", "s3://data/other"]).await;
    assert!(!status.success() && said.contains("ord1 has no s3://data/other"), "{said}");
}

/// One object in ord1, and a reader of it at las1.
/// Whatever the accelerated endpoint says yes to, it says what its cache did for it; of what it refuses it says nothing,
/// nor does the standard endpoint of anything.
#[tokio::test]
async fn every_answer_but_a_refusal_says_what_the_cache_did() {
    let site = Site::start().await;
    let etag = site.get("").await.header("etag").to_owned();
    let with = |method, target: &str| Request::new(method, target.to_owned());
    for (request, status, expected) in [
        (with("GET", "/data/k"), 200, "; hit"),
        (with("HEAD", "/data/k"), 200, "; hit"),
        (with("GET", "/data/k").header("if-none-match", etag), 304, "; hit"),
        (with("PUT", "/data/new").body("n"), 200, "; fwd=method"),
        (with("DELETE", "/data/new"), 204, "; fwd=method"),
        (with("GET", "/data?list-type=2"), 200, "; fwd=bypass"),
        (with("GET", "/data/missing"), 404, ""),
        (with("GET", "/data?policy"), 404, ""),
    ] {
        let answer = site.reader.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let said = answer.header("cache-status");
        let rest = said.strip_prefix("penstock-las1").unwrap_or(said);
        assert!(rest.starts_with(expected) && expected.is_empty() == said.is_empty(), "{status}: {said}");
    }
    let own = site.cluster.accelerated("ord1", "ord1");
    let said = own.send(with("GET", "/data?list-type=2")).await.ok();
    assert_eq!(said.header("cache-status"), "penstock-ord1; fwd=bypass");
    let standard = site.cluster.standard("ord1").get("data", "k").await.ok();
    assert_eq!(standard.header("cache-status"), "");
}

/// A read of an object without bytes counts by its head.
#[tokio::test]
async fn reads_of_empty_objects_count() {
    let site = Site::start().await;
    let _ = site.cluster.standard("ord1").put("data", "empty", "").await.ok();
    for _ in 0..3 {
        let _ = site.reader.get("data", "empty").await.ok();
    }
    let counted = site.cluster.settled("las1").await;
    let reads = |result| counted.sum("penstock_cache_requests_total", &[("result", result)]);
    assert_eq!((reads("origin"), reads("memory")), (1.0, 2.0));
}

struct Site {
    reader: Client,
    content: Content,
    cluster: Cluster,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(Options::cache("64 MiB", "64 MiB")).await
    }

    async fn start_with(options: Options) -> Self {
        let cluster = Cluster::start_with(options).await;
        let content = Content::new(1, OBJECT_BYTES);
        let owner = cluster.standard("ord1");
        owner.create_bucket("data").await;
        let _ = owner.put("data", "k", content.all()).await.ok();
        Self { reader: cluster.accelerated("las1", "ord1"), content, cluster }
    }

    /// GET with this `Cache-Control`, or without one; every byte is checked.
    async fn get(&self, cache_control: &str) -> Answer {
        let mut request = Request::new("GET", "/data/k");
        if !cache_control.is_empty() {
            request = request.header("cache-control", cache_control);
        }
        let answer = self.reader.send(request).await.ok();
        assert_eq!(answer.body, self.content.all());
        answer
    }

    /// Bytes that las1 has sent out of `result`.
    async fn bytes(&self, result: &str) -> u64 {
        self.cluster.settled("las1").await.sum("penstock_cache_bytes_total", &[("result", result)]) as u64
    }

    /// Bytes that las1's cache has pulled out of ord1.
    async fn pulled(&self) -> u64 {
        self.cluster.settled("las1").await.sum("penstock_cache_origin_bytes_total", &[]) as u64
    }
}
