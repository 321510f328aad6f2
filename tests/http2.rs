//! HTTP/2: clients that stop in the middle keep no place, and the others on their connection are served on; and windows,
//! which hold nobody back on a long way.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tests::sign::put_headers;
use tests::wan::{Cut, Direction, Link, Shape};
use tests::{Client, Cluster, Content, Endpoint, MIB, Options, Request, raw, tls, until};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a listener may take for what it does after four seconds.
const IN_TIME: Duration = Duration::from_secs(60);

/// What a client gives one stream that is to have 100 MiB a second over 40 ms.
const CLIENTS_WINDOW_BYTES: u32 = 4 << 20;

/// What HTTP/2 begins with unless somebody says otherwise, on each stream and on all together.
const FIRST_WINDOW_BYTES: u64 = 65_535;

/// The shortest frame whose overhead h2 does not count.
const SMALL_FRAME_BYTES: usize = 256;

/// The window that a connection begins with.
const FIRST_BYTES: u64 = MIB / 4;

/// The window of each stream.
const STREAM_BYTES: u64 = 4 * MIB / 8 * 7;

/// What the windows of a node may have together, where they are filled.
const WINDOWS_BYTES: u64 = 32 * MIB;

/// A connection to a listener.
struct Connection(SendRequest<Bytes>);

impl Connection {
    /// One to las1's standard listener, which hands requests for ord1 on.
    async fn open(cluster: &Cluster) -> Self {
        Self::open_to(cluster, &cluster.address("las1", Endpoint::Standard)).await
    }

    async fn open_to(cluster: &Cluster, address: &str) -> Self {
        let config = tls::config(&cluster.authority(), "h2");
        let tcp = TcpStream::connect(address).await.expect("connect");
        let mut client = h2::client::Builder::new();
        client.initial_window_size(CLIENTS_WINDOW_BYTES);
        client.initial_connection_window_size(2 * CLIENTS_WINDOW_BYTES);
        // More than any window: what may be sent is up to the server.
        client.max_send_buffer_size(16 << 20);
        let (requests, connection) =
            client.handshake(tls::connect(&config, tcp).await).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(requests)
    }

    /// One to `address` of a client who speaks HTTP/1.1 as well, and reads nothing; `None` when it was not offered HTTP/2.
    async fn offered_to(cluster: &Cluster, address: &str) -> Option<Self> {
        let tcp = TcpStream::connect(address).await.expect("connect");
        let (stream, is_http2) = tls::offer_both(&cluster.authority(), tcp).await;
        if !is_http2 {
            return None;
        }
        let mut client = h2::client::Builder::new();
        client.initial_window_size(0);
        let (requests, connection) = client.handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Some(Self(requests))
    }

    /// Reads at `host`, with a body that never ends: nobody wants it.
    async fn get_with_body(&mut self, host: &str, target: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = http::Request::get(format!("https://{host}{target}"));
        let requests = &mut self.0;
        std::future::poll_fn(|context| requests.poll_ready(context)).await.expect("room for a stream");
        requests.send_request(request.body(()).expect("a request"), false).expect("send the head")
    }

    async fn get(&mut self, host: &str, target: &str) -> ResponseFuture {
        let request = http::Request::get(format!("https://{host}{target}"));
        let requests = &mut self.0;
        std::future::poll_fn(|context| requests.poll_ready(context)).await.expect("room for a stream");
        requests.send_request(request.body(()).expect("a request"), true).expect("send the head").0
    }

    /// Sends a head that promises `bytes` bytes; with none, the request is whole.
    async fn put(
        &mut self,
        path: &str,
        bytes: usize,
        signed: Option<&Cluster>,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let host = Endpoint::Standard.host("ord1");
        let mut request = http::Request::put(format!("https://{host}{path}")).header("content-length", bytes);
        if let Some(cluster) = signed {
            // HTTP/2 has the host in the target.
            for (name, value) in &put_headers(cluster.keys(), &host, path)[1..] {
                request = request.header(name, value);
            }
        }
        let requests = &mut self.0;
        std::future::poll_fn(|context| requests.poll_ready(context)).await.expect("room for a stream");
        requests.send_request(request.body(()).expect("a request"), bytes == 0).expect("send the head")
    }
}

/// The status and the body of an answer, read to its end.
async fn answer(response: ResponseFuture) -> (u16, String) {
    let response = timeout(IN_TIME, response).await.expect("an answer in time").expect("an answer");
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = timeout(IN_TIME, stream.data()).await.expect("in time") {
        let piece = piece.expect("no reset before the end");
        stream.flow_control().release_capacity(piece.len()).expect("taken");
        body.extend_from_slice(&piece);
    }
    (head.status.as_u16(), String::from_utf8(body).expect("text"))
}

async fn start() -> Cluster {
    Cluster::start_with(Options::settings("[limits]\nstalled_upload = \"4s\"\n").tls()).await
}

/// What pingora refuses by itself is logged as well. Nobody but pingora knows whether it was answered or reset.
#[tokio::test]
async fn a_request_of_two_hosts_is_logged() {
    let cluster = Cluster::start_with(Options::default().tls()).await;
    let mut connection = Connection::open(&cluster).await;
    let request = http::Request::get("https://object.ord1.penstock.localhost/").header("host", "127.0.0.1");
    let request = request.body(()).expect("a request");
    let (refused, _) = connection.0.send_request(request, true).expect("send the head");
    assert_eq!(answer(refused).await, (400, String::new()));
    let texts = ["\"target\":\"access\"", "127.0.0.1", "\"endpoint\":\"standard\",\"received_bytes\":0"];
    let _ = cluster.process("las1").log_lines(&texts, 1).await;
    let served = connection.get(&Endpoint::Standard.host("las1"), "/").await;
    assert_eq!(answer(served).await.0, 403, "the connection goes on");
}

/// A way to `listener` of 40 ms there and back.
async fn far_from(listener: &str) -> Link {
    let way = Shape::delayed(Duration::from_millis(20));
    Link::start("127.0.0.1:0", listener, way, way).await
}

/// All that a client's window has room for is sent on one stream before the client says a word about any of it, out of the
/// cache and out of the store: nothing else holds it back. Then it goes on.
#[tokio::test]
async fn a_download_fills_the_window_that_its_client_gives() {
    let cluster = Cluster::start_with(Options::default().tls()).await;
    let content = Content::new(1, 12 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(content)).await.ok();
    let cached = cluster.accelerated("las1", "ord1");
    assert!(cached.get("data", "k").await.ok().body == content.all());
    let [store, cache] = [("ord1", Endpoint::Standard), ("las1", Endpoint::Accelerated)]
        .map(|(node, endpoint)| cluster.address(node, endpoint));
    for (client, listener) in [(owner, store), (cached, cache)] {
        let link = far_from(&listener).await;
        let mut connection = Connection::open_to(&cluster, &link.address().to_string()).await;
        let target = format!("/data/k?{}", client.presigned("GET", "/data/k", 600));
        let response = connection.get(client.host(), &target).await;
        let response = timeout(IN_TIME, response).await.expect("in time").expect("an answer");
        assert_eq!(response.status(), 200);
        let mut stream = response.into_body();
        let (mut got, mut given_back) = (0, false);
        while let Some(piece) = timeout(IN_TIME, stream.data()).await.expect("in time") {
            let piece = piece.expect("no reset");
            content.assert_at(got, &piece);
            got += piece.len() as u64;
            if got < u64::from(CLIENTS_WINDOW_BYTES) {
                continue;
            }
            let taken = if given_back { piece.len() } else { CLIENTS_WINDOW_BYTES as usize };
            given_back = true;
            stream.flow_control().release_capacity(taken).expect("taken");
        }
        assert_eq!(got, content.bytes);
    }
}

/// A client that takes a little all the time, and never enough, keeps no place on the way to another region.
#[tokio::test]
async fn a_trickle_keeps_no_place_on_the_way_to_another_region() {
    /// Half of what a client has to take.
    const BYTES_PER_SECOND: f64 = 8.0 * 1024.0;
    // Each piece of an answer is taken in less.
    let limits = "[limits]\nstalled_reader = \"10s\"\n";
    let cluster = Cluster::start_with(Options::settings(limits).tls()).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let content = Content::new(1, 4 * MIB);
    let _ = owner.send(Request::new("PUT", "/data/k").content(content)).await.ok();
    let ord1 = owner.under(Endpoint::Standard.host("ord1"));
    let config = tls::config(&cluster.authority(), "h2");
    let tcp = TcpStream::connect(cluster.address("las1", Endpoint::Standard)).await.expect("connect");
    // The windows that HTTP/2 begins with.
    let (requests, connection) =
        h2::client::handshake(tls::connect(&config, tcp).await).await.expect("HTTP/2");
    tokio::spawn(connection);
    let target = format!("/data/k?{}", ord1.presigned("GET", "/data/k", 600));
    let response = Connection(requests).get(ord1.host(), &target).await;
    let mut stream = timeout(IN_TIME, response).await.expect("in time").expect("an answer").into_body();
    let trickling = tokio::spawn(async move {
        while let Some(Ok(piece)) = stream.data().await {
            tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / BYTES_PER_SECOND)).await;
            // It may have been reset meanwhile.
            let _ = stream.flow_control().release_capacity(piece.len());
        }
    });
    until("it is let go", async || {
        cluster.scrape("las1").await.sum("penstock_drops_total", &[("reason", "stalled_reader")]) >= 1.0
    })
    .await;
    trickling.abort();
}

/// A body that nobody reads yet, of an upload that waits for its place, leaves room to one that has its place on the same
/// connection.
#[tokio::test]
async fn a_body_that_nobody_reads_holds_up_no_other() {
    const SILENCE: Duration = Duration::from_millis(300);
    let one_place = "[limits]\nuploads_in_flight_max = 1\nhttp2_windows_bytes = \"16 MiB\"\n";
    let cluster = Cluster::start_with(Options::settings(one_place).tls()).await;
    let content = Content::new(1, MIB);
    cluster.standard("ord1").create_bucket("data").await;
    let mut connection = Connection::open_to(&cluster, &cluster.address("ord1", Endpoint::Standard)).await;
    let (answer_to_first, mut first) = connection.put("/data/first", MIB as usize, Some(&cluster)).await;
    // Its connection has a wide window once it has its place.
    wait_for_window(&mut first, 2 * FIRST_BYTES).await;
    first.reserve_capacity(0);
    let (mut answer_to_second, mut second) = connection.put("/data/second", 8 << 20, Some(&cluster)).await;
    let mut sent = 0;
    loop {
        second.reserve_capacity(16 << 10);
        let more = std::future::poll_fn(|context| second.poll_capacity(context));
        // It has what it is to have, and gets no more.
        let silence = if sent < 3 * MIB as usize { IN_TIME } else { SILENCE };
        let Ok(more) = timeout(silence, more).await else { break };
        let more = more.expect("an open stream").expect("no reset");
        sent += more;
        second.send_data(vec![7; more].into(), false).expect("there is a window");
    }
    tokio::select! {
        refused = &mut answer_to_second => panic!("the first waited for {refused:?}"),
        () = wait_for_window(&mut first, FIRST_BYTES) => {}
    }
    first.send_data(content.all(), true).expect("send all");
    assert_eq!(answer(answer_to_first).await.0, 200);
    assert!(cluster.standard("ord1").get("data", "first").await.ok().body == content.all());
}

/// A body without a length in the head is one all the same, whose frames say where it ends: the owner asks for its length, as S3
/// does, and finds no fault with its hash.
#[tokio::test]
async fn a_body_without_a_length_in_the_head_is_asked_for_it() {
    let cluster = Cluster::start_with(Options::default().tls()).await;
    let ord1 = cluster.standard("ord1").under(Endpoint::Standard.host("ord1"));
    ord1.create_bucket("data").await;
    for node in ["ord1", "las1"] {
        let mut connection = Connection::open_to(&cluster, &cluster.address(node, Endpoint::Standard)).await;
        let body =
            format!("<Tagging><TagSet><Tag><Key>by</Key><Value>{node}</Value></Tag></TagSet></Tagging>");
        let signed = ord1.sign(Request::new("PUT", "/data?tagging").body(body.clone()), SystemTime::now());
        let mut request = http::Request::put(format!("https://{}/data?tagging", ord1.host()));
        for (name, value) in signed.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("a request");
        let (response, mut stream) = connection.0.send_request(request, false).expect("send the head");
        stream.send_data(body.into(), true).expect("send the body");
        let (status, document) = answer(response).await;
        assert_eq!(status, 411, "{node}: {document}");
        assert!(document.contains("<Code>MissingContentLength</Code>"), "{node}: {document}");
    }
}

/// A mebibyte of an upload leaves on one stream before a word comes back, sixteen times what HTTP/2 begins with.
#[tokio::test]
async fn an_upload_is_on_its_way_before_a_word_comes_back() {
    let cluster = Cluster::start_with(Options::default().tls()).await;
    let content = Content::new(1, 3 * MIB);
    let link = far_from(&cluster.address("ord1", Endpoint::Standard)).await;
    let mut connection = Connection::open_to(&cluster, &link.address().to_string()).await;
    let (response, _) = connection.put("/data", 0, Some(&cluster)).await;
    assert_eq!(answer(response).await.0, 200);
    link.cut(Direction::Back, Cut::BlackHole);
    let before = link.delivered(Direction::There);
    let (response, mut body) = connection.put("/data/k", content.bytes as usize, Some(&cluster)).await;
    body.send_data(content.all(), true).expect("send all");
    let more = format!("a mebibyte arrives, of which {FIRST_WINDOW_BYTES} bytes are sure");
    until(&more, async || link.delivered(Direction::There) - before >= MIB).await;
    link.heal();
    assert_eq!(answer(response).await.0, 200);
    assert!(cluster.standard("ord1").get("data", "k").await.ok().body == content.all());
}

/// Sends pieces of [`SMALL_FRAME_BYTES`] for as long as there is a window for them, and counts.
async fn fill(mut body: SendStream<Bytes>, sent: Arc<AtomicU64>) {
    loop {
        body.reserve_capacity(SMALL_FRAME_BYTES);
        while body.capacity() < SMALL_FRAME_BYTES {
            let more = std::future::poll_fn(|context| body.poll_capacity(context)).await;
            let Some(Ok(_)) = more else { return };
        }
        body.send_data(Bytes::from_static(&[7; SMALL_FRAME_BYTES]), false).expect("there is a window");
        sent.fetch_add(SMALL_FRAME_BYTES as u64, Ordering::Relaxed);
    }
}

/// Clients that fill every window which they are given, in the frames that cost most, are given all that may be lent and
/// no more of it, and the node holds no more than is counted for that. Who comes then speaks HTTP/1.1.
#[tokio::test]
async fn windows_hold_no_more_than_is_counted() {
    let patient = "[limits]\nrequests_in_flight_max = 4096\nhttp2_windows_bytes = \"32 MiB\"\nstalled_reader = \"5m\"\nstalled_upload = \"5m\"\n";
    let cluster = Cluster::start_with(Options::settings(patient).tls()).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(Content::new(1, MIB))).await.ok();
    let address = cluster.address("ord1", Endpoint::Standard);
    let before = cluster.process("ord1").peak_memory_bytes();
    let sent = Arc::new(AtomicU64::new(0));
    let mut held = Vec::new();
    while let Some(mut connection) = Connection::offered_to(&cluster, &address).await {
        // An upload has the window widened; what fills it is the bodies of reads, none of which may have all of it.
        let upload = connection.put("/data/never", 1 << 30, Some(&cluster)).await;
        let mut reads = Vec::new();
        for _ in 0..2 {
            let target = format!("/data/k?{}", owner.presigned("GET", "/data/k", 600));
            let (answer, body) = connection.get_with_body(owner.host(), &target).await;
            reads.push((answer, tokio::spawn(fill(body, sent.clone()))));
        }
        held.push((connection, upload, reads));
        assert!(held.len() as u64 <= WINDOWS_BYTES / FIRST_BYTES, "a connection has a window");
        // One without a request would give way to the next.
        until("all are being served", async || {
            cluster.scrape("ord1").await.sum("penstock_requests_in_flight", &[]) >= 3.0 * held.len() as f64
        })
        .await;
    }
    // Of what is left over when too little is left for one more, none is lent.
    until("all is lent and used up", async || sent.load(Ordering::Relaxed) > WINDOWS_BYTES - FIRST_BYTES)
        .await;
    let _ = owner.get("data", "k").await.ok();
    let sent = sent.load(Ordering::Relaxed);
    let grown = cluster.process("ord1").peak_memory_bytes() - before;
    println!("{} connections sent {} KiB; the peak grew by {} KiB", held.len(), sent >> 10, grown >> 10);
    assert!(sent <= WINDOWS_BYTES, "{sent} bytes");
    // As `memory.rs` counts: four bytes for each of a window, and on each connection two reads and an upload.
    let counted = 4 * WINDOWS_BYTES + held.len() as u64 * 3 * (112 << 10);
    assert!(grown <= counted, "{} KiB of {}", grown >> 10, counted >> 10);
}

/// An answer that has ended and was not taken has its place among requests still, and gives it back with its connection.
#[tokio::test]
async fn an_answer_that_nobody_takes_keeps_its_place() {
    const READERS: usize = 100;
    /// More than it takes, whatever sockets hold.
    const CONNECTIONS: usize = 12;
    let few = "[limits]\nrequests_in_flight_max = 256\nidle_timeout = \"1h\"\n";
    let cluster = Cluster::start_with(Options::settings(few).tls()).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(Content::new(1, 60 << 10))).await.ok();
    // Each takes some places for its window.
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(Unread::connect(&cluster).await);
    }
    let mut asking = held.iter_mut();
    while owner.get("data", "k").await.status != 503 {
        let next = asking.next().expect("what was not taken has no place");
        next.ask(&owner, "/data/k", READERS).await;
        until("all are answered", async || {
            cluster.scrape("ord1").await.sum("penstock_requests_in_flight", &[]) == 0.0
        })
        .await;
    }
    drop(held);
    until("there are places", async || owner.get("data", "k").await.status == 200).await;
}

/// A connection to ord1 from whose socket nothing is taken, and its answers; dropped, it is closed.
struct Unread {
    _connection: JoinSet<()>,
    requests: SendRequest<Bytes>,
    answers: Vec<ResponseFuture>,
}

impl Unread {
    async fn connect(cluster: &Cluster) -> Self {
        let config = tls::config(&cluster.authority(), "h2");
        let socket = TcpSocket::new_v4().expect("make a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("a small window");
        let address = cluster.address("ord1", Endpoint::Standard).parse().expect("an address");
        let tcp = socket.connect(address).await.expect("connect");
        let mut client = h2::client::Builder::new();
        client.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
        let takes = Arc::new(AtomicBool::new(true));
        let stream = Stopping { stream: tls::connect(&config, tcp).await, takes: takes.clone() };
        let (requests, mut connection) = client.handshake(stream).await.expect("HTTP/2");
        let mut pings = connection.ping_pong().expect("taken once");
        let mut answered = pin!(pings.ping(h2::Ping::opaque()));
        // What the server has to say first was read, once it has answered.
        let pong = std::future::poll_fn(|context| {
            let _ = Pin::new(&mut connection).poll(context);
            answered.as_mut().poll(context)
        });
        timeout(IN_TIME, pong).await.expect("in time").expect("an open connection");
        takes.store(false, Ordering::Relaxed);
        let mut running = JoinSet::new();
        running.spawn(async move {
            // It is ended from outside.
            let _ = connection.await;
        });
        Self { _connection: running, requests, answers: Vec::new() }
    }

    /// So many ask for `path`.
    async fn ask(&mut self, owner: &Client, path: &str, readers: usize) {
        for _ in 0..readers {
            let target = format!("{path}?{}", owner.presigned("GET", path, 600));
            let request = http::Request::get(format!("https://{}{target}", owner.host()));
            let requests = &mut self.requests;
            std::future::poll_fn(|context| requests.poll_ready(context)).await.expect("room for a stream");
            let sent = requests.send_request(request.body(()).expect("a request"), true).expect("send");
            self.answers.push(sent.0);
        }
    }
}

/// A stream from which nothing is read once it is told so.
struct Stopping<S> {
    stream: S,
    takes: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Stopping<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.takes.load(Ordering::Relaxed) {
            true => Pin::new(&mut self.stream).poll_read(context, buffer),
            false => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stopping<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Who finds no room for a window speaks HTTP/1.1; once the connection that has it is idle, that one gives way to the next.
#[tokio::test]
async fn http2_is_offered_while_there_is_room() {
    let cluster =
        Cluster::start_with(Options::settings("[limits]\nhttp2_windows_bytes = \"256 KiB\"\n").tls()).await;
    cluster.standard("ord1").create_bucket("data").await;
    let address = cluster.address("ord1", Endpoint::Standard);
    let mut only = Connection::offered_to(&cluster, &address).await.expect("room for one");
    let (answer, mut body) = only.put("/data/never", 1 << 20, Some(&cluster)).await;
    body.send_data(Bytes::from_static(b"a"), false).expect("there is a window");
    until("the upload has begun", async || {
        cluster.scrape("ord1").await.sum("penstock_requests_in_flight", &[]) >= 1.0
    })
    .await;
    let tcp = TcpStream::connect(&address).await.expect("connect");
    let (mut stream, is_http2) = tls::offer_both(&cluster.authority(), tcp).await;
    assert!(!is_http2);
    let host = Endpoint::Standard.host("ord1");
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("send");
    let refused = timeout(IN_TIME, raw::read_to_close(&mut stream)).await.expect("in time");
    assert!(refused.starts_with(b"HTTP/1.1 403 "), "{}", refused.escape_ascii());
    // The connection stays open.
    drop((answer, body));
    until("HTTP/2 is offered", async || Connection::offered_to(&cluster, &address).await.is_some()).await;
}

/// An upload that has its place may send three and a half mebibytes ahead; who sends a body that nobody asks for, a quarter
/// of one.
#[tokio::test]
async fn only_a_body_that_is_read_has_its_window_widened() {
    let plenty = "[limits]\nhttp2_windows_bytes = \"16 MiB\"\n";
    let cluster = Cluster::start_with(Options::settings(plenty).tls()).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(Content::new(1, 12 * MIB))).await.ok();
    let address = cluster.address("ord1", Endpoint::Standard);

    let mut reader = Connection::open_to(&cluster, &address).await;
    let target = format!("/data/k?{}", owner.presigned("GET", "/data/k", 600));
    let (answer, mut unread) = reader.get_with_body(owner.host(), &target).await;
    wait_for_window(&mut unread, FIRST_BYTES).await;
    let answer = timeout(IN_TIME, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer.status(), 200);
    let _ = timeout(IN_TIME, answer.into_body().data()).await.expect("in time").expect("some of the answer");

    let mut writer = Connection::open_to(&cluster, &address).await;
    let (_answer, mut upload) = writer.put("/data/other", 8 << 20, Some(&cluster)).await;
    wait_for_window(&mut upload, STREAM_BYTES).await;
    assert_eq!(unread.capacity() as u64, FIRST_BYTES);
}

/// Waits until as much may be sent as `bytes`.
async fn wait_for_window(body: &mut SendStream<Bytes>, bytes: u64) {
    body.reserve_capacity(8 << 20);
    let waiting = async {
        while (body.capacity() as u64) < bytes {
            let more = std::future::poll_fn(|context| body.poll_capacity(context)).await;
            more.expect("an open stream").expect("no reset");
        }
    };
    timeout(IN_TIME, waiting).await.expect("a window in time");
}

/// Refused before its body is wanted, a forwarded upload whose body never comes gives its place back, and is logged
/// with the answer that it got.
#[tokio::test]
async fn a_refused_upload_that_sends_no_body_keeps_no_place() {
    let cluster = start().await;
    let mut connection = Connection::open(&cluster).await;
    let (response, _) = connection.put("/data", 0, Some(&cluster)).await;
    assert_eq!(answer(response).await.0, 200);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let (response, body) = connection.put("/data/never", 1000, None).await;
        let (status, document) = answer(response).await;
        assert_eq!((status, document.contains("<Code>AccessDenied</Code>")), (403, true), "{document}");
        waiting.push(body);
    }
    let _ = cluster.settled("las1").await;
    let lines = cluster.process("las1").log_lines(&["never", "\"from\":\"client\""], 3).await;
    assert!(lines.iter().all(|line| line.contains("\"status\":403")), "{lines:?}");
    // The connection itself is well.
    let (response, _) = connection.put("/other", 0, Some(&cluster)).await;
    assert_eq!(answer(response).await.0, 200);
}

/// A forwarded upload that stops in the middle of its body is told why, and gives its place back.
#[tokio::test]
async fn an_upload_that_stands_still_keeps_no_place() {
    let cluster = start().await;
    let mut connection = Connection::open(&cluster).await;
    let (response, _) = connection.put("/data", 0, Some(&cluster)).await;
    assert_eq!(answer(response).await.0, 200);
    let (response, mut body) = connection.put("/data/half", 1000, Some(&cluster)).await;
    body.send_data(Bytes::from_static(b"half"), false).expect("send some");
    let (status, document) = answer(response).await;
    assert_eq!((status, document.contains("<Code>RequestTimeout</Code>")), (400, true), "{document}");
    let _ = cluster.settled("las1").await;
    // One whose body ends is not cut off, however long its client then waits for nothing.
    let (response, mut body) = connection.put("/data/whole", 5, Some(&cluster)).await;
    body.send_data(Bytes::from_static(b"whole"), true).expect("send all");
    assert_eq!(answer(response).await.0, 200);
}

/// Who finds no place is told so by the head of the answer alone, which waits for no window of the client's.
#[tokio::test]
async fn who_finds_no_place_is_told_without_a_window() {
    // Two connections have their windows out of these.
    let options = Options::settings("[limits]\nrequests_in_flight_max = 48\nstalled_upload = \"5m\"\n").tls();
    let cluster = Cluster::start_with(options).await;
    let mut uploads = Connection::open(&cluster).await;
    let (response, _) = uploads.put("/data", 0, Some(&cluster)).await;
    assert_eq!(answer(response).await.0, 200);
    let mut reads_nothing = Connection::offered_to(&cluster, &cluster.address("las1", Endpoint::Standard))
        .await
        .expect("room for a connection");
    let host = Endpoint::Accelerated.host("ord1");
    let path = format!("/data/{}", "&".repeat(20_000));
    let mut stopped = Vec::new();
    until("all places are taken", async || {
        stopped.push(uploads.put("/data/stopped", 1000, Some(&cluster)).await);
        let told = timeout(IN_TIME, reads_nothing.get(&host, &path).await)
            .await
            .expect("in time")
            .expect("an answer");
        if told.status() != 503 {
            return false;
        }
        let says = |name: &str| told.headers().contains_key(name);
        assert!(says("retry-after") && says("x-amz-request-id") && !says("cache-status"), "{told:?}");
        let mut body = told.into_body();
        while let Some(piece) = timeout(IN_TIME, body.data()).await.expect("the answer's end") {
            assert_eq!(piece.expect("no reset"), Bytes::new());
        }
        true
    })
    .await;
}
