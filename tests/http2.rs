//! HTTP/2: clients that stop in the middle keep no place, and the others on their connection are served on; and windows,
//! which hold nobody back on a long way.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tests::sign::put_headers;
use tests::wan::{Cut, Direction, Link, Shape};
use tests::{Cluster, Content, Endpoint, MIB, Options, Request, tls, until};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a listener may take for what it does after four seconds.
const IN_TIME: Duration = Duration::from_secs(60);

/// What a client gives one stream that is to have 100 MiB a second over 40 ms.
const CLIENTS_WINDOW_BYTES: u32 = 4 << 20;

/// What HTTP/2 begins with unless somebody says otherwise, on each stream and on all together.
const FIRST_WINDOW_BYTES: u64 = 65_535;

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
        let (requests, connection) =
            client.handshake(tls::connect(&config, tcp).await).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(requests)
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
