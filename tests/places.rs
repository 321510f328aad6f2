//! Who waits for a place among uploads, or on the way to another region, where there are few: nobody who has no right to one.

use std::io;
use std::time::Duration;

use tests::form::Form;
use tests::sign::Keys;
use tests::{Answer, Client, Cluster, Endpoint, MIB, Options, Request, raw, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// For an answer, or the end.
const IN_TIME: Duration = Duration::from_secs(60);

/// With all places taken, who is unknown or has signed wrongly is told so and takes no part in the line; a user waits, and is
/// served when a place comes free.
#[tokio::test]
async fn only_users_wait_for_a_place_among_uploads() {
    let cluster = with_one_place().await;
    let ord1 = cluster.standard("ord1");
    only_users_wait(&cluster, "ord1", &ord1, "uploads").await;
}

/// The same on the way to another region.
#[tokio::test]
async fn only_users_wait_for_a_place_on_the_way_to_another_region() {
    let cluster = with_one_place().await;
    let at_las1 = cluster.client("las1", Endpoint::Standard).under(Endpoint::Standard.host("ord1"));
    only_users_wait(&cluster, "las1", &at_las1, "forwards").await;
}

/// Nor does anybody wait whose form, or copy, the store would refuse in the end: nobody has signed it, and what the bucket
/// gives to everybody is to read.
#[tokio::test]
async fn strangers_without_a_right_wait_for_no_place() {
    let cluster = with_one_place().await;
    let ord1 = cluster.standard("ord1");
    let _ = ord1.put("data", "k", "meow").await.ok();
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}}"#;
    let _ = ord1.send(Request::new("PUT", "/data?policy").body(policy)).await.ok();
    let stopped = stop_upload(&ord1).await;
    until("the place is taken", async || {
        let answer = put(&ord1).await;
        answer.status == 503 && answer.refusal().1 == "SlowDown"
    })
    .await;
    let dropped = async || cluster.scrape("ord1").await.sum("penstock_drops_total", &[("reason", "uploads")]);
    let dropped_before = dropped().await;

    let form = Form::new("sent", "meow").to("/data");
    let copy = |algorithm: &str| {
        let copy = Request::new("PUT", "/data/copy").header("x-amz-copy-source", "/data/k");
        copy.header("x-amz-checksum-algorithm", algorithm)
    };
    for request in [form, copy("SHA256")] {
        let answer = ord1.send_signed(ord1.unsigned(request)).await;
        assert_eq!(answer.refusal(), (403, "AccessDenied".into()));
    }
    // Bytes that nobody reads take no place.
    let _ = ord1.copy("data/k", "data", "copy").await.ok();
    assert_eq!(dropped().await, dropped_before, "somebody was told to slow down");
    assert_eq!(ord1.send(copy("SHA256")).await.refusal(), (503, "SlowDown".into()));
    drop(stopped);
}

async fn with_one_place() -> Cluster {
    let limits = "[limits]\nuploads_in_flight_max = 1\nforwards_in_flight_max = 1\nstalled_upload = \"5m\"";
    let cluster = Cluster::start_with(Options::settings(limits)).await;
    cluster.standard("ord1").create_bucket("data").await;
    cluster
}

async fn only_users_wait(cluster: &Cluster, node: &str, client: &Client, places: &str) {
    let stopped = stop_upload(client).await;
    // Once one finds no place the stopped upload has it.
    until("the place is taken", async || {
        let answer = put(client).await;
        answer.status == 503 && answer.refusal().1 == "SlowDown"
    })
    .await;
    let dropped = async || cluster.scrape(node).await.sum("penstock_drops_total", &[("reason", places)]);
    let dropped_before = dropped().await;

    let unknown = client.with_keys(Keys { access_key: "PKNOBODY".into(), ..client.keys().clone() });
    assert_eq!(put(&unknown).await.refusal(), (403, "InvalidAccessKeyId".into()));
    let wrong = client.with_keys(Keys { secret_key: "wrong".into(), ..client.keys().clone() });
    assert_eq!(put(&wrong).await.refusal(), (403, "SignatureDoesNotMatch".into()));
    assert_eq!(dropped().await, dropped_before, "somebody was told to slow down");

    let waits = client.with_keys(client.keys().clone());
    let waiting = tokio::spawn(async move { put(&waits).await });
    until("the user waits", async || {
        cluster.scrape(node).await.sum("penstock_requests_in_flight", &[]) >= 2.0
    })
    .await;
    drop(stopped);
    assert_eq!(waiting.await.expect("no panic").ok().status, 200);
}

async fn put(client: &Client) -> Answer {
    client.send(Request::new("PUT", "/data/k").body("meow")).await
}

/// An upload that sends a little, and no more.
async fn stop_upload(client: &Client) -> TcpStream {
    let address = client.origin().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let head = raw::upload_head(client, "/data/stopped", 64 * MIB as usize);
    stream.write_all(head.as_bytes()).await.expect("send the head");
    stream.write_all(&[7; 1 << 10]).await.expect("send the beginning");
    stream
}

/// Connections that stay open behind their last answer keep nobody out: neither who comes, nor who was there before and
/// waits with a request of theirs.
#[tokio::test]
async fn who_lingers_gives_way() {
    const CONNECTIONS_MAX: usize = 16;
    let limits = format!("[limits]\nconnections_max = {CONNECTIONS_MAX}\n");
    let cluster = Cluster::start_with(Options::settings(&limits)).await;
    let address = cluster.address("ord1", Endpoint::Standard);
    let mut kept = TcpStream::connect(&address).await.expect("connect");
    assert!(is_answered(&mut kept, "keep-alive").await);
    let mut lingering = Vec::new();
    for _ in 0..3 * CONNECTIONS_MAX {
        let mut connection = TcpStream::connect(&address).await.expect("connect");
        if is_answered(&mut connection, "close").await {
            lingering.push(connection);
        }
    }
    assert!(lingering.len() > CONNECTIONS_MAX, "{} were let in", lingering.len());
    assert!(is_answered(&mut kept, "keep-alive").await);
}

/// Who asks the admin listener on and on, and reads nothing, is let go long before a client would be: there are few connections,
/// and `/readyz` is asked there.
#[tokio::test]
async fn who_reads_nothing_of_the_metrics_is_let_go() {
    let cluster = Cluster::start().await;
    let address = cluster.admin("ord1").trim_start_matches("http://").to_owned();
    let asked = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(100);
    let mut stalled = TcpStream::connect(&address).await.expect("connect");
    stalled.write_all(asked.as_bytes()).await.expect("ask");
    let mut began = [0; 15];
    timeout(IN_TIME, stalled.read_exact(&mut began)).await.expect("an answer begins").expect("read");
    assert_eq!(&began, b"HTTP/1.1 200 OK");
    let asking = async { while stalled.write_all(asked.as_bytes()).await.is_ok() {} };
    // A client's connection would have 96 s.
    timeout(IN_TIME, asking).await.expect("the connection ends");
    assert_eq!(
        raw::exchange(&address, format!("GET /healthz HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())
            .await
            .lines()
            .next(),
        Some("HTTP/1.1 200 OK")
    );
}

/// Nor do they keep a place among requests.
#[tokio::test]
async fn who_lingers_keeps_no_place_among_requests() {
    const REQUESTS_MAX: usize = 4;
    let limits = format!("[limits]\nrequests_in_flight_max = {REQUESTS_MAX}\n");
    let cluster = Cluster::start_with(Options::settings(&limits)).await;
    let address = cluster.address("ord1", Endpoint::Standard);
    let mut lingering = Vec::new();
    for _ in 0..3 * REQUESTS_MAX {
        let mut connection = TcpStream::connect(&address).await.expect("connect");
        assert!(is_answered(&mut connection, "close").await, "behind {}", lingering.len());
        lingering.push(connection);
    }
}

/// Nor does who is refused and does not send the short rest of a body that nobody wants.
#[tokio::test]
async fn who_sends_no_rest_keeps_no_place_among_requests() {
    const REQUESTS_MAX: usize = 4;
    let limits = format!("[limits]\nrequests_in_flight_max = {REQUESTS_MAX}\n");
    let cluster = Cluster::start_with(Options::settings(&limits)).await;
    let mut silent = Vec::new();
    for _ in 0..3 * REQUESTS_MAX {
        let (answer, stream) = refused_without_its_body(&cluster, "ord1").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "behind {}: {answer}", silent.len());
        silent.push(stream);
    }
}

/// The same on the way to another region.
#[tokio::test]
async fn who_sends_no_rest_keeps_no_place_on_the_way_to_another_region() {
    // So many wait one after another for longer than one waits, if the rest of each is waited for.
    const AT_ONCE: usize = 6;
    let cluster = Cluster::start_with(Options::settings("[limits]\nforwards_in_flight_max = 1\n")).await;
    let refused = (0..AT_ONCE).map(|_| refused_without_its_body(&cluster, "las1"));
    for (answer, _silent) in futures::future::join_all(refused).await {
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

/// Nor does who takes no answer: of one that is not more than a refusal's, nothing is left that a place on the way to another
/// region stands for.
#[tokio::test]
async fn who_reads_no_answer_keeps_no_place_on_the_way_to_another_region() {
    let cluster = Cluster::start_with(Options::settings("[limits]\nforwards_in_flight_max = 1\n")).await;
    let host = Endpoint::Standard.host("ord1");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    let address = cluster.address("las1", Endpoint::Standard);
    let mut reads_nothing = socket.connect(address.parse().expect("an address")).await.expect("connect");
    let asking = tokio::spawn(async move {
        let asked = format!("HEAD /nobody/k HTTP/1.1\r\nhost: {host}\r\n\r\n").repeat(100);
        while reads_nothing.write_all(asked.as_bytes()).await.is_ok() {}
    });
    // Until no more is answered, or for a while: whoever is still being answered keeps no place either.
    let mut before = -1.0;
    for _ in 0..40 {
        // Longer than an answer takes.
        sleep(Duration::from_secs(1)).await;
        let requests = cluster.scrape("las1").await.sum("penstock_requests_total", &[]);
        if requests > 0.0 && std::mem::replace(&mut before, requests) == requests {
            break;
        }
    }
    let (answer, _) = refused_without_its_body(&cluster, "las1").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    asking.abort();
}

/// Begins an upload into ord1 at the node `at` that nobody has signed, and reads the refusal; the body is not sent.
async fn refused_without_its_body(cluster: &Cluster, at: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(cluster.address(at, Endpoint::Standard)).await.expect("connect");
    let host = Endpoint::Standard.host("ord1");
    let asked = format!("PUT /nobody/k HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    while !answer.ends_with(b"</Error>") {
        let read = timeout(IN_TIME, stream.read_buf(&mut answer)).await.expect("in time");
        assert_ne!(read.expect("no reset"), 0, "{}", answer.escape_ascii());
    }
    (String::from_utf8(answer).expect("text"), stream)
}

/// Asks for what is not there, and reads the refusal to its end, if the connection lasts that long.
async fn is_answered(stream: &mut TcpStream, connection: &str) -> bool {
    let request = format!("GET /nobody/k HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: {connection}\r\n\r\n");
    let mut answer = Vec::new();
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        while !answer.ends_with(b"</Error>") && stream.read_buf(&mut answer).await? > 0 {}
        io::Result::Ok(())
    };
    let asked = timeout(IN_TIME, asking).await.expect("in time");
    asked.is_ok() && answer.starts_with(b"HTTP/1.1 404 ") && answer.ends_with(b"</Error>")
}
