//! Requests for one region at another region's listener: handed on untouched, answered once, and never believed more
//! than a client's.

use std::time::Duration;

use tests::content::Content;
use tests::wan::{Cut, Direction};
use tests::{Client, Cluster, Endpoint, Options, Request, raw, tls, until};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A client may take as long as it likes over its body: whoever ends a connection sooner does so for another reason.
const PATIENT: &str = "[limits]\nstalled_upload = \"1h\"\n";

/// How long what happens at once may take, on a busy machine.
const IN_TIME: Duration = Duration::from_secs(60);

/// A client that waits is told to continue by the owner, through the node it reached; the connection lives on.
#[tokio::test]
async fn continue_is_handed_on() {
    let cluster = Cluster::start().await;
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("data").await;
    let mut stream = connect(&cluster).await;
    for _ in 0..2 {
        stream.write_all(upload(&ord1, "/data/a", 5).as_bytes()).await.expect("send the head");
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100 "));
        stream.write_all(b"hello").await.expect("send the body");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains("connection: keep-alive"), "{head}");
    }
    assert_eq!(&ord1.get("data", "a").await.ok().body[..], b"hello");
}

/// A client that takes a node for a proxy names host and path in one (RFC 9112 §3.2.2): signed as always, and answered at
/// the owner and from a cache as anybody is. The host is the target's, whatever else the request says.
#[tokio::test]
async fn an_absolute_target_is_a_target() {
    let cluster = Cluster::start().await;
    let through = |at, endpoint, region| {
        let proxy =
            reqwest::Proxy::http(format!("http://{}", cluster.address(at, endpoint))).expect("an address");
        let http =
            reqwest::Client::builder().proxy(proxy).http1_only().build().expect("build the HTTP client");
        let host = Endpoint::host(endpoint, region);
        Client::new(http, format!("http://{host}"), host, cluster.keys().clone())
    };
    let proxied = through("las1", Endpoint::Standard, "ord1");
    proxied.create_bucket("data").await;
    let _ = proxied.put("data", "a/b", "hello").await.ok();
    let cached = through("lga1", Endpoint::Accelerated, "ord1");
    for (client, cache) in [(&proxied, None), (&cached, Some("fwd=miss")), (&cached, Some("hit"))] {
        let answer = client.get("data", "a/b").await.ok();
        assert_eq!(&answer.body[..], b"hello");
        let status = answer.headers.get("cache-status").map(|status| status.to_str().expect("text"));
        assert!(cache.is_none_or(|part| status.is_some_and(|status| status.contains(part))), "{status:?}");
    }

    let to = cluster.address("ord1", Endpoint::Standard);
    let host = Endpoint::Standard.host("ord1");
    let ask = async |target: &str, host: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        raw::exchange(&to, request.as_bytes()).await
    };
    // Anonymous: what it is refused says whether it was understood.
    for (target, host_line, expected) in [
        (format!("http://{host}/data/a"), "Host: nowhere.example\r\n", "<Code>AccessDenied</Code>"),
        (
            "http://nowhere.example/data/a".to_owned(),
            &*format!("Host: {host}\r\n"),
            "<Code>InvalidHostHeader</Code>",
        ),
        (format!("http://user@{host}/data/a"), &*format!("Host: {host}\r\n"), "HTTP/1.1 400 "),
        (format!("http://{host}/data/a"), "", "HTTP/1.1 400 "),
    ] {
        let answer = ask(&target, host_line).await;
        assert!(answer.contains(expected), "{target}: {answer}");
    }
}

/// A client may ask for more before it is answered (RFC 9112 §9.3.2): what it asks too soon breaks no answer, and has its
/// turn after it.
#[tokio::test]
async fn requests_sent_ahead_wait_for_their_turn() {
    for is_tls in [false, true] {
        let options = if is_tls { Options::default().tls() } else { Options::default() };
        let cluster = Cluster::start_with(options).await;
        let ord1 = cluster.standard("ord1").under(Endpoint::Standard.host("ord1"));
        ord1.create_bucket("data").await;
        // More than sockets hold: its answer is under way for as long as the client does not read on.
        let large = Content::new(7, 24 << 20).range(0, 24 << 20);
        let _ = ord1.put("data", "large", large.clone()).await.ok();
        let _ = ord1.put("data", "small", "hello").await.ok();
        let (tcp, closing) = (connect(&cluster).await, connect_narrow(&cluster, "las1").await);
        let at_owner = connect_narrow(&cluster, "ord1").await;
        match is_tls {
            true => {
                let config = tls::config(&cluster.authority(), "http/1.1");
                ask_ahead(tls::connect(&config, tcp).await, &ord1, &large).await;
                for closing in [closing, at_owner] {
                    ask_ahead_of_the_end(tls::connect(&config, closing).await, &ord1, &large).await;
                }
            }
            false => {
                ask_ahead(tcp, &ord1, &large).await;
                for closing in [closing, at_owner] {
                    ask_ahead_of_the_end(closing, &ord1, &large).await;
                }
            }
        }
    }
}

/// Asks for `large` over a connection that closes then, and for more all the same, which nobody reads: the answer is whole.
async fn ask_ahead_of_the_end(mut stream: impl AsyncRead + AsyncWrite + Unpin, ord1: &Client, large: &[u8]) {
    let query = ord1.presigned("GET", "/data/large", 600);
    let host = ord1.host();
    let asked = format!("GET /data/large?{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("send");
    stream.flush().await.expect("send");
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("connection: close"), "{head}");
    stream.write_all(&asked.as_bytes().repeat(100)).await.expect("send");
    stream.flush().await.expect("send");
    let mut got = Vec::new();
    let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut got)).await.expect("an end");
    assert!(read.is_ok() && got == large, "{} bytes, then {read:?}", got.len());
}

/// Asks for `large` twice and then for `small`, and begins to ask for what comes next before each answer is over.
async fn ask_ahead(mut stream: impl AsyncRead + AsyncWrite + Unpin, ord1: &Client, large: &[u8]) {
    let get = |key: &str| {
        let query = ord1.presigned("GET", &format!("/data/{key}"), 600);
        format!("GET /data/{key}?{query} HTTP/1.1\r\nhost: {}\r\n\r\n", ord1.host())
    };
    let mut asked = get("large");
    for next in [get("large"), get("small") + &get("small")] {
        stream.write_all(asked.as_bytes()).await.expect("send");
        stream.flush().await.expect("send");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let (start, rest) = next.split_at(1);
        stream.write_all(start.as_bytes()).await.expect("send");
        stream.flush().await.expect("send");
        let mut got = vec![0; large.len()];
        stream.read_exact(&mut got).await.expect("all of the answer");
        assert!(got == large);
        asked = rest.to_owned();
    }
    stream.write_all(asked.as_bytes()).await.expect("send");
    stream.flush().await.expect("send");
    for _ in 0..2 {
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut got = [0; 5];
        stream.read_exact(&mut got).await.expect("the answer");
        assert_eq!(&got, b"hello");
    }
}

/// The owner refuses before it wants the body: the client learns it at once, and the connection does not wait for a body
/// that may never come.
#[tokio::test]
async fn a_refusal_before_the_body_closes_the_connection() {
    let cluster = Cluster::start_with(Options::settings(PATIENT)).await;
    let ord1 = cluster.standard("ord1");
    let forged = upload(&ord1, "/data/a", 5).replace("/data/a", "/data/b");
    let mut stream = connect(&cluster).await;
    stream.write_all(forged.as_bytes()).await.expect("send the head");
    let answer = String::from_utf8(raw::read_to_close(&mut stream).await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("<Code>SignatureDoesNotMatch</Code>"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

/// Bytes that a refused client sends all the same, one now and then, do not keep its connection open: neither where it
/// was never told to continue, nor where it need not be.
#[tokio::test]
async fn a_trickle_after_a_refusal_keeps_no_connection() {
    let cluster = Cluster::start_with(Options::settings(PATIENT)).await;
    let ord1 = cluster.standard("ord1");
    let waiting = upload(&ord1, "/data/a", 10_000_000).replace("/data/a", "/data/b");
    let unasked = waiting.replace("expect: 100-continue\r\n", "");
    for forged in [waiting, unasked] {
        let (mut reading, mut writing) = connect(&cluster).await.into_split();
        writing.write_all(forged.as_bytes()).await.expect("send the head");
        let trickling = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let mut answer = Vec::new();
        let to_the_end = async {
            // A reset is an end too.
            let _ = reading.read_to_end(&mut answer).await;
        };
        let both = async { tokio::join!(to_the_end, trickling) };
        timeout(IN_TIME, both).await.expect("the connection closes");
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", answer.escape_ascii());
        let heads = answer.windows(b"HTTP/1.1 ".len()).filter(|window| *window == b"HTTP/1.1 ");
        assert_eq!(heads.count(), 1, "{}", answer.escape_ascii());
    }
}

/// An answer that ends with its head, which came before the body: the connection closes after it as after others.
#[tokio::test]
async fn a_bare_answer_in_the_middle_of_a_body_arrives() {
    let cluster = Cluster::start().await;
    let ord1 = cluster.standard("ord1").under(Endpoint::Standard.host("ord1"));
    ord1.create_bucket("data").await;
    let query = ord1.presigned("DELETE", "/data/a", 600);
    let host = ord1.host();
    let head =
        format!("DELETE /data/a?{query} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000000000\r\n\r\n");
    let (mut reading, mut writing) = connect(&cluster).await.into_split();
    writing.write_all(head.as_bytes()).await.expect("send the head");
    let sending = async {
        // Until the connection is closed, or all that was announced is sent.
        for _ in 0..1_000_000_000 / 100_000 {
            if writing.write_all(&[b'x'; 100_000]).await.is_err() {
                break;
            }
        }
    };
    let mut answer = Vec::new();
    let both = async { tokio::join!(reading.read_to_end(&mut answer), sending) };
    let (read, ()) = timeout(IN_TIME, both).await.expect("an end in time");
    read.expect("no reset before the end");
    let answer = String::from_utf8(answer).expect("text").to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 204 ") && answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

/// A client in the middle of sending is told of the refusal all the same.
#[tokio::test]
async fn a_refusal_in_the_middle_of_a_body_arrives() {
    let cluster = Cluster::start().await;
    let ord1 = cluster.standard("ord1");
    let request = upload(&ord1, "/data/a", 20_000_000)
        .replace("/data/a", "/data/b")
        .replace("expect: 100-continue\r\n", "");
    let (mut reading, mut writing) = connect(&cluster).await.into_split();
    let sending = tokio::spawn(async move {
        // The listener may close before all is sent.
        let _ = writing.write_all(request.as_bytes()).await;
        let _ = writing.write_all(&vec![b'x'; 20_000_000]).await;
    });
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("</Error>") {
        let read = timeout(IN_TIME, reading.read_buf(&mut answer)).await.expect("in time");
        assert_ne!(read.expect("no reset before the answer"), 0, "closed before the answer");
    }
    assert!(answer.starts_with(b"HTTP/1.1 403 "));
    sending.await.expect("the sender ends");
}

/// A client that is told that its connection closes, and keeps it, keeps no way to other regions from others: neither where
/// the owner answered, nor where it is away. Nor is it charged for more than its request.
#[tokio::test]
async fn a_connection_that_lingers_keeps_no_place_from_others() {
    // So many wait one after another for longer than one waits, if each of them had to see the one before it closed.
    const AT_ONCE: usize = 6;
    let settings = "[limits]\nforwards_in_flight_max = 1\n";
    let mut cluster = Cluster::start_with(Options::settings(settings).served()).await;
    for (status, code) in [(404, "NoSuchBucket"), (503, "ServiceUnavailable")] {
        if status == 503 {
            cluster.kill_node("ord1");
        }
        let asking = (0..AT_ONCE).map(|_| ask_and_keep(&cluster));
        for (answer, _kept) in futures::future::join_all(asking).await {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains(&format!("<Code>{code}</Code>")), "{answer}");
        }
    }
    drop(cluster);

    let quota = "[limits.per_address]\nin_flight_max = 1\n";
    let cluster = Cluster::start_with(Options::settings(quota)).await;
    let (answer, _kept) = ask_and_keep(&cluster).await;
    let id = answer.split("<RequestId>").nth(1).and_then(|rest| rest.split('<').next()).expect("an id");
    let _ = cluster.process("las1").log_lines(&[id, "\"from\":\"client\"", "\"target\":\"access\""], 1).await;
    let (next, _kept) = ask_and_keep(&cluster).await;
    assert!(next.starts_with("HTTP/1.1 404 "), "{next}");
}

/// Asks las1 without a signature for something of ord1's, over a connection that closes then, and reads the answer's document.
/// The client does not close.
async fn ask_and_keep(cluster: &Cluster) -> (String, TcpStream) {
    let mut stream = connect(cluster).await;
    let host = Endpoint::Standard.host("ord1");
    let asked = format!("GET /data/a HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    while !answer.ends_with(b"</Error>") {
        let read = timeout(IN_TIME, stream.read_buf(&mut answer)).await.expect("in time");
        assert_ne!(read.expect("no reset before the answer"), 0, "{}", answer.escape_ascii());
    }
    (String::from_utf8(answer).expect("text"), stream)
}

/// An owner that is away: S3's document at once, not an empty answer, and none in answer to HEAD.
#[tokio::test]
async fn an_owner_that_is_away_is_service_unavailable() {
    let mut cluster = Cluster::start_with(Options::default().served()).await;
    let at_las1 = cluster.client("las1", Endpoint::Standard).under(Endpoint::Standard.host("ord1"));
    cluster.kill_node("ord1");
    for request in [Request::new("PUT", "/data/a").body("hello"), Request::new("GET", "/data/a")] {
        let answer = at_las1.send(request).await;
        assert_eq!(answer.refusal(), (503, "ServiceUnavailable".to_owned()));
        assert_ne!(answer.header("retry-after"), "");
        assert_ne!(answer.header("x-amz-request-id"), "");
    }
    let head = at_las1.head("data", "a").await;
    assert_eq!((head.status, head.body.len()), (503, 0));
}

/// A change whose answer is lost between two nodes was made once, and is not made again over somebody else's: its client
/// is told that nobody knows.
#[tokio::test]
async fn a_change_whose_answer_is_lost_is_not_sent_again() {
    let cluster = Cluster::start_with(Options::default().served().distant(Duration::ZERO)).await;
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("data").await;
    let at_las1 = cluster.client("las1", Endpoint::Standard).under(Endpoint::Standard.host("ord1"));
    // From here on there is a connection between the two that will be used again: what breaks on such a one looks as if it
    // had never been sent.
    let _ = at_las1.put("data", "before", "hello").await.ok();
    let link = cluster.link("las1", "ord1");
    link.cut(Direction::Back, Cut::BlackHole);
    let losing_the_answer = async {
        until("the change is made", async || ord1.get("data", "k").await.status != 404).await;
        let _ = ord1.put("data", "k", "somebody else's").await.ok();
        link.cut(Direction::Back, Cut::Reset);
        link.heal();
    };
    let (answer, ()) = tokio::join!(at_las1.put("data", "k", "lost"), losing_the_answer);
    assert!(answer.status >= 500, "answered with {}: {}", answer.status, answer.text());
    assert_eq!(ord1.get("data", "k").await.ok().text(), "somebody else's");
}

/// What only nodes may say is not believed from a client: it neither opens the peer channel nor names the request.
#[tokio::test]
async fn a_client_cannot_speak_for_a_node() {
    let cluster = Cluster::start().await;
    cluster.standard("ord1").create_bucket("data").await;
    for channel in ["resolve", "blob", "forward"] {
        for region in ["ord1", "las1"] {
            let answer = cluster
                .client(region, Endpoint::Standard)
                .under(Endpoint::Standard.host("ord1"))
                .send(Request::new("GET", "/data?list-type=2"))
                .await
                .ok();
            let spoken = raw::exchange(
                &cluster.address(region, Endpoint::Standard),
                format!(
                    "GET /data/a HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nx-penstock-channel: {channel}\r\n\
                     x-penstock-request-id: 00000000000000AA\r\nx-penstock-client-address: 1.2.3.4:5\r\n\r\n",
                    Endpoint::Standard.host("ord1")
                )
                .as_bytes(),
            )
            .await;
            assert!(spoken.starts_with("HTTP/1.1 403 "), "{spoken}");
            assert!(spoken.contains("<Code>AccessDenied</Code>"), "{spoken}");
            assert!(!spoken.contains("00000000000000AA"), "{spoken}");
            assert!(!answer.header("x-amz-request-id").is_empty());
        }
    }
}

/// Where a client says it comes from is believed of a trusted proxy alone, and then by the owner too; without one, both
/// nodes name the connection that the first of them saw.
#[tokio::test]
async fn the_owner_knows_the_client_that_the_first_node_saw() {
    for (settings, expected) in
        [("", "127.0.0.1"), ("[front]\ntrusted_proxies = [\"127.0.0.0/8\"]", "198.51.100.9")]
    {
        let cluster = Cluster::start_with(Options::settings(settings)).await;
        let at_las1 = cluster.client("las1", Endpoint::Standard).under(Endpoint::Standard.host("ord1"));
        let request = Request::new("GET", "/?x-id=ListBuckets")
            .header("x-forwarded-for", "203.0.113.1, 198.51.100.9")
            .header("x-forwarded-proto", "https");
        let id = at_las1.send(request).await.ok().header("x-amz-request-id").to_owned();
        let lines = cluster.process("las1").log_lines(&[&id, "\"target\":\"access\""], 2).await;
        let client = format!("\"client\":\"{expected}\"");
        assert!(lines.iter().all(|line| line.contains(&client)), "{lines:?}");
    }
}

/// Neither log shows a signature or a secret, at whatever level; both show the request under one id.
#[tokio::test]
async fn logs_name_the_request_and_not_its_signature() {
    let cluster = Cluster::start_with(Options::settings("[log]\nlevel = \"debug\"")).await;
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("data").await;
    let at_las1 = cluster.client("las1", Endpoint::Standard).under(Endpoint::Standard.host("ord1"));
    let id = at_las1.put("data", "a-key", "hello").await.ok().header("x-amz-request-id").to_owned();
    let presigned = at_las1.presigned("GET", "/data/a-key", 60);
    let signature = presigned.split("X-Amz-Signature=").nth(1).expect("a signature").to_owned();
    let url = format!("{}/data/a-key?{presigned}", at_las1.origin());
    let got = tests::cluster::http_client().get(url).header("host", at_las1.host()).send().await;
    let got = got.expect("an answer");
    assert_eq!(got.status(), 200);
    let read_id = got.headers()["x-amz-request-id"].to_str().expect("text").to_owned();
    let lines = cluster.process("ord1").log_lines(&[&id], 2).await;
    assert!(lines.iter().all(|line| line.contains("PutObject") && line.contains("a-key")), "{lines:?}");
    let _ = cluster.process("ord1").log_lines(&[&read_id], 2).await;
    let log = cluster.process("ord1").log();
    assert!(!log.contains(&signature), "a signature is in the log");
    assert!(!log.contains(&ord1.keys().secret_key), "a secret is in the log");
    assert!(!log.to_ascii_lowercase().contains("signature="), "an Authorization header is in the log");
}

/// A connection to las1's standard listener.
async fn connect(cluster: &Cluster) -> TcpStream {
    TcpStream::connect(cluster.address("las1", Endpoint::Standard)).await.expect("connect")
}

/// A connection to a standard listener, with a small window: much of an answer is on its way when its end is written.
async fn connect_narrow(cluster: &Cluster, node: &str) -> TcpStream {
    let address = cluster.address(node, Endpoint::Standard).parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("make a socket");
    socket.set_recv_buffer_size(64 * 1024).expect("a small window");
    socket.connect(address).await.expect("connect")
}

/// The head of a signed PUT of `bytes` bytes to ord1, whose client waits to be told to continue.
fn upload(ord1: &Client, path: &str, bytes: usize) -> String {
    raw::upload_head(&ord1.under(Endpoint::Standard.host("ord1")), path, bytes)
}

/// The next head on `stream`; its answer has no body.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(IN_TIME, stream.read_u8()).await.expect("in time");
        head.push(byte.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}
