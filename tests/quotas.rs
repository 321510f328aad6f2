//! Requests past a quota, and bodies that nobody signed: refused the same at every way in.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tests::sign::Keys;
use tests::{Client, Cluster, Endpoint, Options, Request, raw, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Lets an upload whose body does not come be in flight for as long as a test takes.
const PATIENT: &str = "[limits]\nstalled_upload = \"1h\"\n";

/// A client of ord1's data at each way in: its own listeners, and another region's, which hand on or read through.
fn ways(cluster: &Cluster) -> [Client; 4] {
    let away = |endpoint: Endpoint| cluster.client("las1", endpoint).under(endpoint.host("ord1"));
    [
        cluster.client("ord1", Endpoint::Standard),
        cluster.client("ord1", Endpoint::Accelerated),
        away(Endpoint::Standard),
        away(Endpoint::Accelerated),
    ]
}

/// A request of `client` that is in flight for as long as this is held: an upload from `address` that has been charged, for it
/// was told to continue, and whose body does not come.
async fn hold(client: &Client, address: &str) -> TcpStream {
    let origin = client.origin().trim_start_matches("http://");
    let mut stream = TcpStream::connect(origin).await.expect("connect");
    let from = format!("\r\nx-forwarded-for: {address}\r\n");
    let head = raw::upload_head(client, "/data/held", 1000).replacen("\r\n", &from, 1);
    stream.write_all(head.as_bytes()).await.expect("send the head");
    let mut said = [0; 12];
    let reading = timeout(Duration::from_secs(60), stream.read_exact(&mut said));
    reading.await.expect("a word in time").expect("a word");
    assert_eq!(said.escape_ascii().to_string(), "HTTP/1.1 100");
    stream
}

/// One more request than an address may have at one time is told to slow down, at both endpoints, and is counted; its
/// neighbour's is served.
#[tokio::test]
async fn an_address_past_its_quota_is_told_to_slow_down() {
    let quota = "[limits.per_address]\nin_flight_max = 1\n[front]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let cluster = Cluster::start_with(Options::settings(PATIENT).and(quota)).await;
    cluster.standard("ord1").create_bucket("data").await;
    let from = |address: &str| Request::new("GET", "/data/a").header("x-forwarded-for", address);
    let ways = ways(&cluster);
    let _held = [hold(&ways[0], "203.0.113.1").await, hold(&ways[2], "203.0.113.1").await];
    for (index, client) in ways.iter().enumerate() {
        let answer = client.send(from("203.0.113.1")).await;
        assert_eq!(answer.refusal(), (503, "SlowDown".to_owned()), "way {index}");
        assert_ne!(answer.header("retry-after"), "", "way {index}");
        // Another one each time: a request's place is given back a moment after its answer.
        let neighbour = format!("203.0.114.{index}");
        assert_eq!(client.send(from(&neighbour)).await.status, 404, "way {index}, its neighbour");
    }
    for node in ["ord1", "las1"] {
        let labels = [("reason", "address_in_flight")];
        assert_eq!(cluster.scrape(node).await.sum("penstock_drops_total", &labels), 2.0, "{node}");
    }
}

/// What cannot even be parsed is charged to its address like what can.
#[tokio::test]
async fn a_head_that_cannot_be_parsed_is_charged_to_its_address() {
    const BROKEN: &[u8] = b"GET\r\nhost: a\r\n\r\n";
    let quota = "[limits.per_address]\nin_flight_max = 1\n";
    let cluster = Cluster::start_with(Options::settings(PATIENT).and(quota)).await;
    let client = cluster.standard("ord1");
    client.create_bucket("data").await;
    // A request's place is given back a moment after its answer.
    let _ = cluster.settled("ord1").await;
    // Nobody is believed about addresses here: all are of the one that the test connects from.
    let held = hold(&client, "203.0.113.1").await;
    let address = cluster.address("ord1", Endpoint::Standard);
    let refused = raw::exchange(&address, BROKEN).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("<Code>SlowDown</Code>"), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    let dropped = cluster.scrape("ord1").await;
    assert_eq!(dropped.sum("penstock_drops_total", &[("reason", "address_in_flight")]), 1.0);
    drop(held);
    until("the address may ask again", async || {
        raw::exchange(&address, BROKEN).await.starts_with("HTTP/1.1 400 ")
    })
    .await;
}

/// A key is charged by the node that verified its signature, here or for a request that another node handed on; another
/// node has its own count. What somebody else signs with a wrong secret is not charged to it.
#[tokio::test]
async fn a_key_past_its_quota_is_told_to_slow_down() {
    let quota = "[limits.per_key]\nin_flight_max = 1\n";
    let cluster = Cluster::start_with(Options::settings(PATIENT).and(quota)).await;
    cluster.standard("ord1").create_bucket("data").await;
    let ways = ways(&cluster);
    // A request's place is given back a moment after its answer.
    let _ = cluster.settled("ord1").await;
    let _held = hold(&ways[0], "203.0.113.1").await;
    for (index, expected) in [503, 503, 503, 404].into_iter().enumerate() {
        let answer = ways[index].send(Request::new("GET", "/data/a")).await;
        assert_eq!(answer.status, expected, "way {index}: {}", answer.text());
        let forged = Keys { secret_key: "not the secret of this key".into(), ..ways[index].keys().clone() };
        let answer = ways[index].with_keys(forged).get("data", "a").await;
        assert_eq!(answer.refusal(), (403, "SignatureDoesNotMatch".to_owned()), "way {index}");
    }
    let dropped = cluster.scrape("ord1").await;
    assert_eq!(dropped.sum("penstock_drops_total", &[("reason", "key_in_flight")]), 3.0);
}

/// However often somebody who has no more than a key's public half uses its name, its owner has all of its quota.
#[tokio::test]
async fn forged_signatures_use_nothing_up() {
    let quota = "[limits.per_key]\nrequests_per_second = 1\nburst = 1\n";
    let cluster = Cluster::start_with(Options::settings(quota)).await;
    for client in ways(&cluster).into_iter().take(2) {
        let forged = Keys { secret_key: "not the secret of this key".into(), ..client.keys().clone() };
        for _ in 0..5 {
            assert_eq!(client.with_keys(forged.clone()).get("data", "a").await.status, 403);
        }
        // One a second: what came before it, at the other endpoint, was this long ago.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.get("data", "a").await.status, 404);
    }
}

/// Of requests that come all at once an address, and a key, has those of its burst and one for each second; the others are
/// told to slow down, and a neighbour is served.
#[tokio::test]
async fn requests_past_a_rate_are_told_to_slow_down() {
    const AT_ONCE: usize = 60;
    const BURST: u64 = 2;
    for kind in ["per_address", "per_key"] {
        let quota = format!("[limits.{kind}]\nrequests_per_second = 1\nburst = {BURST}\n");
        let front = "[front]\ntrusted_proxies = [\"127.0.0.1\"]\n";
        let cluster = Cluster::start_with(Options::settings(&(quota + front))).await;
        let user = |name: String| cluster.create_user(&name, &["--account", "dev", "--level", "full"]);
        for (index, client) in ways(&cluster).iter().enumerate() {
            // By each way with an address and a key that have not asked before.
            let from = |net: u8| {
                Request::new("GET", "/data/a").header("x-forwarded-for", format!("203.0.{net}.{index}"))
            };
            let own = client.with_keys(user(format!("caller-{index}")));
            let began = Instant::now();
            let answers = join_all((0..AT_ONCE).map(|_| own.send(from(113)))).await;
            let seconds = began.elapsed().as_secs();
            let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 404);
            for answer in &refused {
                assert_eq!(answer.refusal(), (503, "SlowDown".to_owned()), "{kind}, way {index}");
                assert_ne!(answer.header("retry-after"), "", "{kind}, way {index}");
            }
            let let_in = served.len() as u64;
            assert!(
                let_in >= BURST && let_in <= BURST + seconds + 1,
                "{kind}, way {index}: {let_in} in {seconds} s"
            );
            let neighbour = match kind {
                "per_key" => own.with_keys(user(format!("neighbour-{index}"))).send(from(113)).await,
                _ => own.send(from(114)).await,
            };
            assert_eq!(neighbour.status, 404, "{kind}, way {index}: {}", neighbour.text());
        }
    }
}

/// Where the setting forbids it, a body that the signature does not cover is refused over plain HTTP, presigned uploads
/// too, and nothing is stored; a signed body, and a read, which has none, are served.
#[tokio::test]
async fn an_unsigned_body_over_plain_http_is_refused_where_the_setting_says_so() {
    for (allowed, status) in [(true, 200), (false, 403)] {
        let settings = format!("[front]\nallow_unsigned_payload_over_http = {allowed}\n");
        let cluster = Cluster::start_with(Options::settings(&settings)).await;
        cluster.standard("ord1").create_bucket("data").await;
        for (index, client) in ways(&cluster).iter().enumerate() {
            let unsigned = Request::new("PUT", format!("/data/unsigned-{index}")).unsigned_body("hello");
            assert_eq!(client.send(unsigned).await.status, status, "way {index}");
            let target = format!("/data/presigned-{index}");
            let presigned = format!("{}{target}?{}", client.origin(), client.presigned("PUT", &target, 60));
            let put =
                tests::cluster::http_client().put(presigned).header("host", client.host()).body("hello");
            assert_eq!(put.send().await.expect("an answer").status(), status, "way {index}, presigned");
            let key = format!("signed-{index}");
            let _ = client.put("data", &key, "hello").await.ok();
            let read = Request::new("GET", format!("/data/{key}")).unsigned_body("");
            assert_eq!(client.send(read).await.ok().text(), "hello", "way {index}");
        }
        let listed =
            cluster.standard("ord1").send(Request::new("GET", "/data?list-type=2")).await.ok().text();
        assert_eq!(listed.matches("<Key>").count(), if allowed { 12 } else { 4 }, "{listed}");
    }
}
