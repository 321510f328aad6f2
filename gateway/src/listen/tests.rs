//! Listeners against raw TCP clients.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::thread::ThreadId;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::*;
use crate::test_until::{WITHIN, until};

/// Answers every request with its path, `/slow` only once it was let go, `/meet` once two of them hold a thread each, or
/// none came.
#[derive(Default)]
struct Echo {
    begun: Notify,
    let_go: Notify,
    threads: Mutex<HashSet<ThreadId>>,
}

impl Echo {
    /// Holds the thread until another request holds another one, or for a while: what waits behind it on the same thread
    /// comes after it, whatever threads there are.
    fn meet(&self) {
        for _ in 0..200 {
            let mut threads = self.threads.lock().unwrap();
            threads.insert(std::thread::current().id());
            if threads.len() > 1 {
                return;
            }
            drop(threads);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Answering for Echo {}

#[async_trait]
impl HttpServerApp for Echo {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _stop: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        answer(&session);
        let path = session.req_header().uri.path().to_owned();
        if path == "/slow" {
            self.begun.notify_one();
            self.let_go.notified().await;
        }
        if path == "/meet" {
            self.meet();
        }
        let mut header = ResponseHeader::build(200, None).ok()?;
        header.insert_header("content-length", path.len()).ok()?;
        session.write_response_header(Box::new(header)).await.ok()?;
        session.write_response_body(path.into(), true).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

struct Started {
    front: Front,
    app: Arc<Echo>,
    address: SocketAddr,
}

fn start(limits: Limits) -> Started {
    let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let (front, app, address) = (Front::new("ord1", limits), Arc::new(Echo::default()), bound.address());
    front.serve(bound, Transport::Plain, Metrics::new(&Registry::new()), app.clone());
    Started { front, app, address }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Reads one answer whose body is `path`.
async fn expect_answer(client: &mut TcpStream, path: &str) {
    let mut answer = Vec::new();
    while !answer.ends_with(format!("\r\n\r\n{path}").as_bytes()) {
        let read = client.read_buf(&mut answer).await.unwrap();
        assert_ne!(read, 0, "closed after {}", answer.escape_ascii());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

/// Everything until the server closes.
async fn read_to_close(client: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ = timeout(WITHIN, client.read_to_end(&mut rest)).await.expect("the server closes");
    rest
}

/// Requests follow each other on one connection, with or without empty lines between them.
#[tokio::test]
async fn a_connection_serves_requests_in_turn() {
    let started = start(Limits::default());
    let mut client = connect(started.address).await;
    for path in ["/first", "/second"] {
        client.write_all(format!("\r\nGET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        expect_answer(&mut client, path).await;
    }
}

/// Requests that come before the answer to the first are answered in turn, wherever the packets end.
#[tokio::test]
async fn requests_sent_ahead_are_served_in_turn() {
    let started = start(Limits::default());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let all = [get("/first"), get("/second"), get("/third")].concat();
    for cut in [all.len(), all.len() - 10, get("/first").len() + 10] {
        let mut client = connect(started.address).await;
        client.set_nodelay(true).unwrap();
        client.write_all(&all.as_bytes()[..cut]).await.unwrap();
        let mut answers = Vec::new();
        while !answers.ends_with(b"/first") {
            answers.push(client.read_u8().await.expect("the first answer"));
        }
        client.write_all(&all.as_bytes()[cut..]).await.unwrap();
        for path in ["/second", "/third"] {
            while !answers.ends_with(path.as_bytes()) {
                answers.push(client.read_u8().await.expect(path));
            }
        }
        assert_eq!(String::from_utf8(answers).unwrap().matches("HTTP/1.1 200").count(), 3);
    }
}

/// A body is never a request, however its head announces it.
#[tokio::test]
async fn a_body_is_not_served_as_a_request() {
    let started = start(Limits::default());
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        format!("GET /seen HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", hidden.len()),
        format!("PUT /seen HTTP/1.1\r\nHost: a\r\ncontent-length: {}\r\n\r\n", hidden.len()),
        format!("GET /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", hidden.len()),
    ] {
        let mut client = connect(started.address).await;
        client.write_all(format!("{head}{hidden}").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let answer = String::from_utf8(read_to_close(&mut client).await).unwrap();
        assert!(answer.ends_with("/seen") && !answer.contains("/hidden"), "{head}: {answer}");
    }
}

/// Connections of one listener are not bound to one thread: of many that hold theirs, some are served side by side.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_are_served_on_different_threads() {
    let started = start(Limits::default());
    for _ in 0..50 {
        let mut clients = [connect(started.address).await, connect(started.address).await];
        for client in &mut clients {
            client.write_all(b"GET /meet HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        }
        for client in &mut clients {
            expect_answer(client, "/meet").await;
        }
        if started.app.threads.lock().unwrap().len() > 1 {
            return;
        }
    }
    panic!("all on one thread");
}

/// One byte at a time restarts pingora's timeout, and not ours: on a fresh connection and on a kept one.
#[tokio::test]
async fn a_trickled_header_meets_the_deadline() {
    let head_timeout = Duration::from_millis(300);
    let started = start(Limits { head_timeout, ..Limits::default() });
    for requests_before in [0, 1] {
        let mut client = connect(started.address).await;
        for _ in 0..requests_before {
            client.write_all(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            expect_answer(&mut client, "/first").await;
        }
        let (mut reading, mut writing) = client.into_split();
        let began = Instant::now();
        let trickle = tokio::spawn(async move {
            for byte in b"GET /second HTTP/1.1\r\nX-Padding: ".iter().chain(std::iter::repeat(&b'a')) {
                if writing.write_all(&[*byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        let mut rest = Vec::new();
        let _ = timeout(WITHIN, reading.read_to_end(&mut rest)).await.expect("the server closes");
        assert!(began.elapsed() >= head_timeout, "closed too early");
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
        trickle.abort();
    }
}

/// Waiting between requests is another limit than a slow header, and may be longer.
#[tokio::test]
async fn an_idle_connection_outlives_the_head_deadline() {
    let limits = Limits {
        head_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_secs(4),
        ..Limits::default()
    };
    let started = start(limits);
    let mut client = connect(started.address).await;
    sleep(Duration::from_millis(200)).await;
    client.write_all(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    expect_answer(&mut client, "/late").await;
    assert_eq!(read_to_close(&mut client).await, b"");
}

#[tokio::test]
async fn a_header_flood_is_refused() {
    let started = start(Limits::default());
    let one_long = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(250));
    for flood in [one_long, many] {
        let mut client = connect(started.address).await;
        client.write_all(flood.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_to_close(&mut client).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("<Code>RequestHeaderSectionTooLarge</Code>"), "{answer}");
        let names_node = answer.contains("x-amz-id-2: ord1\r\n") && answer.contains("<HostId>ord1</HostId>");
        assert!(names_node, "{answer}");
    }
}

#[tokio::test]
async fn a_body_whose_end_two_headers_tell_is_refused() {
    let started = start(Limits::default());
    for (length, expected) in
        [("Content-Length: 3\r\n", "400 "), ("Content-Length: \r\n", "400 "), ("", "200 ")]
    {
        let mut client = connect(started.address).await;
        let head =
            format!("PUT / HTTP/1.1\r\nHost: a\r\n{length}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let answer = String::from_utf8(read_to_close(&mut client).await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{length}: {answer}");
    }
}

/// A port that somebody else has is an error with a clear line, not a panic in a thread.
#[tokio::test]
async fn a_busy_port_is_one_clear_line() {
    let taken = Bound::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let error = Bound::bind(taken.address()).unwrap_err();
    let line = format!("listen on {}: the port is in use by another process", taken.address());
    assert_eq!(error.to_string(), line);
}

/// One connection more than allowed is closed while all others have a request; one that waits gives its place up.
#[tokio::test]
async fn connections_are_bounded() {
    let started = start(Limits { connections_max: 1, ..Limits::default() });
    let mut first = connect(started.address).await;
    first.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    started.app.begun.notified().await;
    assert_eq!(read_to_close(&mut connect(started.address).await).await, b"");
    started.app.let_go.notify_one();
    expect_answer(&mut first, "/slow").await;
    until("the next one is served", async || {
        let mut next = connect(started.address).await;
        let _ = next.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        read_to_close(&mut next).await.ends_with(b"/next")
    })
    .await;
    assert_eq!(read_to_close(&mut first).await, b"");
}

/// Unfinished heads of any number are bounded together: one that is longer than usual is told to slow down, a usual one is
/// served beside them, and so is a long one when there is room again.
#[tokio::test]
async fn unfinished_heads_are_bounded() {
    let started = start(Limits::default());
    let long = [&b"GET /long HTTP/1.1\r\nHost: a\r\nX: "[..], &[b'x'; 24 * 1024]].concat();
    let mut flood = Vec::new();
    for _ in 0..2 * LENT_BYTES_MAX / long.len() {
        let mut client = connect(started.address).await;
        // One that is refused may be closed before it has sent all.
        let _ = client.write_all(&long).await;
        flood.push(client);
    }
    let refused = read_to_close(flood.last_mut().unwrap()).await;
    assert!(refused.starts_with(b"HTTP/1.1 503 "), "{}", refused.escape_ascii());
    let mut usual = connect(started.address).await;
    usual.write_all(b"GET /usual HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
    usual.write_all(&[b'x'; 2048]).await.unwrap();
    usual.write_all(b"\r\n\r\n").await.unwrap();
    expect_answer(&mut usual, "/usual").await;
    drop(flood);
    until("there is room again", async || {
        let mut client = connect(started.address).await;
        let _ = client.write_all(&[&long[..], b"\r\nConnection: close\r\n\r\n"].concat()).await;
        read_to_close(&mut client).await.ends_with(b"/long")
    })
    .await;
}

/// A client that asks on and on, and reads nothing, is let go, and somebody else has its place: what pingora writes by itself
/// has no deadline of its own.
#[tokio::test]
async fn who_reads_no_answer_is_let_go() {
    let stalled_write = Duration::from_millis(300);
    let started = start(Limits { connections_max: 1, stalled_write, ..Limits::default() });
    let asked = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8000));
    let mut client = connect(started.address).await;
    let asking = async { while client.write_all(asked.as_bytes()).await.is_ok() {} };
    timeout(WITHIN, asking).await.expect("the connection ends");
    until("another is served", async || {
        let mut next = connect(started.address).await;
        let _ = next.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        read_to_close(&mut next).await.ends_with(b"/next")
    })
    .await;
}

/// Draining closes the listener and idle connections at once, and waits for the transfer that is running.
#[tokio::test]
async fn a_drain_lets_transfers_finish() {
    let started = start(Limits::default());
    let mut idle = connect(started.address).await;
    let mut busy = connect(started.address).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    started.app.begun.notified().await;

    let draining = tokio::spawn(started.front.drain(sleep(Duration::from_secs(60))));
    assert_eq!(read_to_close(&mut idle).await, b"");
    assert!(!draining.is_finished());
    assert!(TcpStream::connect(started.address).await.is_err(), "the listener is closed");

    started.app.let_go.notify_one();
    expect_answer(&mut busy, "/slow").await;
    assert_eq!(draining.await.unwrap(), 0);
}

/// A transfer that does not end is given up after the bound, and counted.
#[tokio::test]
async fn a_drain_is_bounded() {
    let started = start(Limits::default());
    let mut busy = connect(started.address).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    started.app.begun.notified().await;
    assert_eq!(started.front.drain(sleep(Duration::from_millis(100))).await, 1);
}
