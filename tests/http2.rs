//! HTTP/2 clients that stop in the middle: they keep no place, and the others on their connection are served on.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tests::sign::put_headers;
use tests::{Cluster, Endpoint, Options, tls};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a listener may take for what it does after two seconds.
const IN_TIME: Duration = Duration::from_secs(30);

/// A connection to las1's standard listener, which hands requests for ord1 on.
struct Connection(SendRequest<Bytes>);

impl Connection {
    async fn open(cluster: &Cluster) -> Self {
        let config = tls::config(&cluster.authority(), "h2");
        let tcp = TcpStream::connect(cluster.address("las1", Endpoint::Standard)).await.expect("connect");
        let (requests, connection) =
            h2::client::handshake(tls::connect(&config, tcp).await).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(requests)
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
    Cluster::start_with(Options::settings("[limits]\nstalled_upload = \"2s\"\n").tls()).await
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
