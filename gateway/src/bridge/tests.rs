//! The bridge between raw clients and a store that does what its keys say.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use pingora::proxy::{HttpProxy, ProxyHttp};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use prometheus::Registry;
use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::*;
use crate::listen::{self, Answering, Bound, Front, Transport};
use crate::metrics::Metrics;
use crate::target::{EndpointKind, Listener, parse};
use crate::test_until::{WITHIN, until};
use crate::topology::Topology;

/// When an upload counts as stalled: not before all that a test sends has come, on a busy machine.
const STALLED: Duration = Duration::from_secs(3);

/// A store whose keys say what it does.
#[derive(Clone, Default)]
struct Store(Arc<Seen>);

#[derive(Default)]
struct Seen {
    /// Paths as s3s was given them.
    paths: Mutex<Vec<String>>,
    /// Bytes of each upload, and whether it ended well.
    uploads: Mutex<Vec<(usize, bool)>>,
    /// Bytes that response bodies have been asked for.
    produced: AtomicUsize,
    /// A response body was dropped.
    dropped: AtomicBool,
}

impl Seen {
    fn produced(&self) -> usize {
        self.produced.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl S3 for Store {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.0.paths.lock().unwrap().push(request.uri.path().to_owned());
        if request.input.key == "refused" {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let declared = request.input.content_length.map(|length| length as usize);
        let needs_end = request.input.key != "declared";
        let mut body = request.input.body.unwrap();
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => bytes += piece.len(),
                Err(_) if !needs_end && declared == Some(bytes) => break,
                Err(cause) => {
                    self.0.uploads.lock().unwrap().push((bytes, false));
                    return Err(S3Error::with_source(S3ErrorCode::InternalError, cause));
                }
            }
        }
        self.0.uploads.lock().unwrap().push((bytes, true));
        let e_tag = Some(ETag::Strong("e".to_owned()));
        Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let (promised, given) = match request.input.key.as_str() {
            "small" => (Some(4096), 4096),
            "large" => (Some(1 << 30), 1 << 30),
            "short" => (Some(200_000), 100_000),
            "unmeasured" => (None, 100_000),
            "unchanged" => return Err(s3_error!(NotModified)),
            _ => return Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        };
        let breaks = promised != Some(given as i64);
        let body = Zeros { left: given, breaks, seen: self.0.clone() };
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(body)),
            content_length: promised,
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let content_range = request.input.range.map(|_| "bytes 0-99/5000000000".to_owned());
        let content_length = Some(if content_range.is_some() { 100 } else { 5_000_000_000 });
        Ok(S3Response::new(HeadObjectOutput { content_length, content_range, ..HeadObjectOutput::default() }))
    }
}

/// `left` zeros in pieces of 64 KiB, then an end or an error.
struct Zeros {
    left: usize,
    breaks: bool,
    seen: Arc<Seen>,
}

impl Stream for Zeros {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let bytes = self.left.min(64 * 1024);
        if bytes == 0 {
            let end = self.breaks.then(|| Err(std::io::Error::other("the disk is on fire")));
            self.breaks = false;
            return Poll::Ready(end);
        }
        self.left -= bytes;
        self.seen.produced.fetch_add(bytes, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Bytes::from(vec![0; bytes]))))
    }
}

impl Drop for Zeros {
    fn drop(&mut self) {
        self.seen.dropped.store(true, Ordering::Relaxed);
    }
}

/// The hub without admission of signatures: everything goes to the store.
struct Direct {
    store: Store,
    limits: Limits,
    topology: Topology,
}

#[async_trait]
impl ProxyHttp for Direct {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        unreachable!("every request is answered here")
    }

    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> pingora::Result<bool> {
        listen::answer(session.as_downstream());
        let region = RegionName::parse("ord1").unwrap();
        let request_id = RequestId::parse("00000000000000AB").unwrap();
        let named = Named { request_id, region: &region, endpoint: EndpointKind::Standard };
        let listener = Listener { region: region.clone(), endpoint: EndpointKind::Standard };
        let head = session.req_header_mut();
        if head.version == http::Version::HTTP_2 {
            head.insert_header("host", "127.0.0.1").unwrap();
        }
        let target = parse(&self.topology, &listener, &head.method, head.raw_path(), &head.headers);
        let served = match target {
            Ok(target) => {
                let service = S3ServiceBuilder::new(self.store.clone()).build();
                serve(session, &target, crate::client::Client::default(), service, named, &self.limits).await
            }
            Err(refusal) => Err(Failed::Refused(refusal)),
        };
        match served {
            Ok(_) => {}
            Err(Failed::Refused(refusal)) => {
                refuse(session, &refusal, named, &self.limits.response).await?;
            }
            Err(Failed::Broken(error)) => return Err(error),
        }
        drain(session).await;
        Ok(true)
    }
}

impl Answering for HttpProxy<Direct> {}

struct Started {
    _front: Front,
    address: std::net::SocketAddr,
    seen: Arc<Seen>,
}

fn start_with(limits: Limits, transport: Transport) -> Started {
    let topology = Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:1")]).unwrap();
    let store = Store::default();
    let seen = store.0.clone();
    let mut app = HttpProxy::new(Direct { store, limits, topology }, Arc::new(ServerConf::default()));
    app.handle_init_modules();
    let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let (front, address) = (Front::new("ord1", listen::Limits::default()), bound.address());
    front.serve(bound, transport, Metrics::new(&Registry::new()), Arc::new(app));
    Started { _front: front, address, seen }
}

fn start() -> Started {
    start_with(Limits::default(), Transport::Plain)
}

/// A connection on which requests are written as text.
struct Client {
    tcp: TcpStream,
    unread: Vec<u8>,
}

/// A response's head and body.
#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        &self.head["http/1.1 ".len()..][..3]
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Client {
    async fn connect(started: &Started) -> Self {
        Self { tcp: TcpStream::connect(started.address).await.unwrap(), unread: Vec::new() }
    }

    async fn send(&mut self, head: &str, body: &[u8]) {
        let head = format!("{}\r\nHost: 127.0.0.1\r\n\r\n", head.replace('\n', "\r\n"));
        self.tcp.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses may close while we write.
        let _ = self.tcp.write_all(body).await;
    }

    /// Reads until `enough` or the end.
    async fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) {
        while !enough(&self.unread) {
            let reading = self.tcp.read_buf(&mut self.unread);
            match timeout(WITHIN, reading).await.expect("an answer in time") {
                Ok(1..) => (),
                Ok(_) | Err(_) => break,
            }
        }
    }

    /// The next response's head alone, in lower case.
    async fn head(&mut self) -> String {
        let end = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
        self.read_until(|bytes| end(bytes).is_some()).await;
        let end = end(&self.unread).unwrap_or_else(|| panic!("no head in {}", self.unread.escape_ascii()));
        let head = self.unread.drain(..end + 4).collect();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    /// The next response, whose body has a Content-Length.
    async fn answer(&mut self) -> Answer {
        let mut answer = Answer { head: self.head().await, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        self.read_until(|bytes| bytes.len() >= length).await;
        answer.body = self.unread.drain(..length).collect();
        answer
    }

    async fn rest(&mut self) -> Vec<u8> {
        self.read_until(|_| false).await;
        std::mem::take(&mut self.unread)
    }

    /// Whether the connection serves another request.
    async fn serves_another(&mut self) -> bool {
        self.send("GET /photos/small HTTP/1.1", b"").await;
        self.read_until(|bytes| bytes.len() > 4096).await;
        self.unread.starts_with(b"HTTP/1.1 200")
    }
}

/// A client that waits to be told is told once, and the connection lives on.
#[tokio::test]
async fn a_waiting_client_is_told_to_continue() {
    let started = start();
    let mut client = Client::connect(&started).await;
    for _ in 0..2 {
        client.send("PUT /photos/cat HTTP/1.1\nExpect: 100-continue\nContent-Length: 5", b"").await;
        assert_eq!(client.head().await, "http/1.1 100 continue\r\n\r\n");
        client.tcp.write_all(b"hello").await.unwrap();
        let answer = client.answer().await;
        assert_eq!(answer.status(), "200");
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    assert_eq!(*started.seen.uploads.lock().unwrap(), [(5, true), (5, true)]);
    assert!(client.serves_another().await);
}

/// Refused before the body is wanted: no 100, and a close, because what comes next on the connection may be the body.
#[tokio::test]
async fn a_refused_client_is_not_told_to_continue() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("PUT /photos/refused HTTP/1.1\nExpect: 100-continue\nContent-Length: 5", b"").await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), "403");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_short_unread_body_is_drained() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("PUT /photos/refused HTTP/1.1\nContent-Length: 100000", &[b'x'; 100_000]).await;
    assert_eq!(client.answer().await.status(), "403");
    assert!(client.serves_another().await);
}

/// A client that trickles the rest of a short body is waited for so long, and gets its connection closed as others do: what it
/// sends after the end resets nothing.
#[tokio::test]
async fn a_short_body_that_does_not_come_in_time_ends_the_connection() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("PUT /photos/refused HTTP/1.1\nContent-Length: 100000", b"x").await;
    assert_eq!(client.answer().await.status(), "403");
    let (mut reading, mut writing) = client.tcp.into_split();
    let trickling = async {
        loop {
            writing.write_all(b"x").await.expect("nothing is reset before the end");
            sleep(Duration::from_millis(100)).await;
        }
    };
    let mut rest = Vec::new();
    let ended = tokio::select! {
        ended = timeout(WITHIN, reading.read_to_end(&mut rest)) => ended.expect("an end in time"),
        () = trickling => unreachable!("it goes on"),
    };
    assert_eq!((ended.expect("no reset"), &rest[..]), (0, &b""[..]));
    for _ in 0..2 {
        writing.write_all(b"x").await.expect("it is thrown away");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A client in the middle of sending much more still gets the whole refusal, and then the end of the connection.
#[tokio::test]
async fn a_long_unread_body_ends_the_connection_after_the_answer() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("PUT /photos/refused HTTP/1.1\nContent-Length: 50000000", &[b'x'; 5_000_000]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), ("403", Some("close")));
    assert!(answer.body.ends_with(b"</Error>"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn head_carries_the_real_length() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("HEAD /photos/large HTTP/1.1", b"").await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 5000000000\r\n"), "{head}");
    client.send("HEAD /photos/large HTTP/1.1\nRange: bytes=0-99", b"").await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 206 ") && head.contains("content-length: 100\r\n"), "{head}");
    client.send("HEAD /photos/nowhere/ HTTP/1.1", b"").await;
    assert!(client.serves_another().await || client.unread.starts_with(b"HTTP/1.1 200"));
}

/// The one error shape, with the ids in headers and document; 304 has neither document nor type.
#[tokio::test]
async fn errors_name_the_request() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("GET /photos/nothing?x-id=GetObject HTTP/1.1", b"").await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), "404");
    assert_eq!(answer.header("x-amz-request-id"), Some("00000000000000ab"));
    assert_eq!(answer.header("x-amz-id-2"), Some("ord1"));
    let document = String::from_utf8(answer.body).unwrap();
    assert!(document.contains("<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"));
    assert!(document.contains("<Resource>/photos/nothing</Resource><RequestId>00000000000000AB</RequestId>"));
    client.send("GET /photos/unchanged HTTP/1.1", b"").await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 304 ") && !head.contains("content-type"), "{head}");
    assert!(client.serves_another().await);
}

/// A body that breaks, or is shorter than promised, ends in a closed connection and not in a clean end.
#[tokio::test]
async fn a_broken_body_does_not_end_cleanly() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("GET /photos/short HTTP/1.1", b"").await;
    assert!(client.head().await.contains("content-length: 200000\r\n"));
    assert_eq!(client.rest().await.len(), 100_000);

    let mut client = Client::connect(&started).await;
    client.send("GET /photos/unmeasured HTTP/1.1", b"").await;
    assert!(client.head().await.contains("transfer-encoding: chunked\r\n"));
    let framed = client.rest().await;
    assert!(framed.len() > 100_000);
    assert!(!framed.ends_with(b"0\r\n\r\n"));
}

/// s3s checks signatures over what it is given: the target as the client sent it.
#[tokio::test]
async fn the_target_reaches_s3s_as_it_was_sent() {
    let started = start();
    let paths = [
        "/photos//a",
        "/photos/a//b/",
        "/photos/a/../b",
        "/photos/a%2Fb",
        "/photos/a+b",
        "/photos/a%20b",
        "/photos/é€",
    ];
    for path in paths {
        let mut client = Client::connect(&started).await;
        client.send(&format!("PUT {path} HTTP/1.1\nContent-Length: 0"), b"").await;
        assert_eq!(client.answer().await.status(), "200", "{path}");
    }
    assert_eq!(*started.seen.paths.lock().unwrap(), paths);
}

/// A reader that waits makes the store wait: what was asked of it is what sockets and one piece hold.
#[tokio::test]
async fn a_reader_that_waits_makes_the_store_wait() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("GET /photos/large HTTP/1.1", b"").await;
    let mut before = usize::MAX;
    until("no more is asked of the store", async || {
        sleep(Duration::from_millis(200)).await;
        std::mem::replace(&mut before, started.seen.produced()) == started.seen.produced()
    })
    .await;
    assert!(before < 16 << 20, "{before} bytes were asked of the store");
}

/// A reader that never reads is let go, and with it what it held.
#[tokio::test]
async fn a_stalled_reader_is_let_go() {
    let response =
        response::Limits { stalled_reader: Duration::from_millis(200), ..response::Limits::default() };
    let started = start_with(Limits { response, ..Limits::default() }, Transport::Plain);
    let mut client = Client::connect(&started).await;
    client.send("GET /photos/large HTTP/1.1", b"").await;
    until("the store lets go of the response", async || started.seen.dropped.load(Ordering::Relaxed)).await;
}

/// An upload that stalls is refused and its operation ends with an error.
#[tokio::test]
async fn a_stalled_upload_is_let_go() {
    let upload = upload::Limits { stalled_upload: STALLED, ..upload::Limits::default() };
    let started = start_with(Limits { upload, ..Limits::default() }, Transport::Plain);
    let mut client = Client::connect(&started).await;
    client.send("PUT /photos/cat HTTP/1.1\nContent-Length: 100", b"some").await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), "400");
    assert!(String::from_utf8(answer.body).unwrap().contains("<Code>RequestTimeout</Code>"));
    assert_eq!(*started.seen.uploads.lock().unwrap(), [(4, false)]);
}

/// A client that leaves in the middle of its upload has uploaded nothing, however the body was framed.
#[tokio::test]
async fn a_truncated_upload_is_an_error_to_the_store() {
    let started = start();
    let mut client = Client::connect(&started).await;
    client.send("PUT /photos/cat HTTP/1.1\nContent-Length: 100", b"some").await;
    client.tcp.shutdown().await.unwrap();
    let answer = client.answer().await;
    assert!(String::from_utf8(answer.body).unwrap().contains("<Code>IncompleteBody</Code>"));
    assert_eq!(*started.seen.uploads.lock().unwrap(), [(4, false)]);
}

/// A listener that speaks HTTP/2, and a session of pingora's client with it.
mod http2 {
    use pingora::connectors::http::Connector;
    use pingora::http::RequestHeader;
    use pingora::protocols::ALPN;
    use pingora::protocols::http::client::HttpSession;
    use tokio::sync::Semaphore;

    use crate::listen::Windows;

    use super::*;

    fn tls() -> Transport {
        // A second test has installed it already: that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let windows = Windows::new(8 << 20, Arc::new(Semaphore::new(1000)));
        Transport::tls(Arc::new(config), windows)
    }

    async fn send(started: &Started, method: &str, path: &str, body: &'static [u8]) -> HttpSession {
        let mut session = begin(started, method, path, body.len()).await;
        if method == "PUT" {
            session.write_request_body(Bytes::from_static(body), true).await.unwrap();
        }
        session.finish_request_body().await.unwrap();
        session.read_response_header().await.unwrap();
        session
    }

    async fn begin(started: &Started, method: &str, path: &str, bytes: usize) -> HttpSession {
        let mut peer = HttpPeer::new(started.address, true, "localhost".to_owned());
        peer.options.alpn = ALPN::H2;
        peer.options.verify_cert = false;
        let (mut session, _) = Connector::<()>::new(None).get_http_session(&peer).await.unwrap();
        let mut request = RequestHeader::build(method, path.as_bytes(), None).unwrap();
        request.insert_header("host", "localhost").unwrap();
        if method == "PUT" {
            request.insert_header("content-length", bytes).unwrap();
        }
        session.write_request_header(Box::new(request)).await.unwrap();
        session
    }

    /// The whole body, or `None` when the stream was reset.
    async fn body(session: &mut HttpSession) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match session.read_response_body().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => return Some(body),
                Err(_) => return None,
            }
        }
    }

    #[tokio::test]
    async fn uploads_and_downloads_pass() {
        let started = start_with(Limits::default(), tls());
        let put = send(&started, "PUT", "/photos/cat", b"hello").await;
        assert_eq!(put.response_header().unwrap().status, 200);
        assert_eq!(*started.seen.uploads.lock().unwrap(), [(5, true)]);
        let mut get = send(&started, "GET", "/photos/small", b"").await;
        assert_eq!(body(&mut get).await, Some(vec![0; 4096]));
    }

    /// Answered before its body has come: the stream is not reset while that may be under way.
    #[tokio::test]
    async fn a_short_unread_body_is_drained() {
        let started = start_with(Limits::default(), tls());
        let mut put = begin(&started, "PUT", "/photos/refused", 5).await;
        put.read_response_header().await.unwrap();
        assert!(body(&mut put).await.is_some());
        // Time for a reset to come.
        sleep(Duration::from_millis(200)).await;
        put.write_request_body(Bytes::from_static(b"hello"), true).await.expect("the stream is open");
    }

    /// As with HTTP/1, but for one stream: the others on the connection live on.
    #[tokio::test]
    async fn a_broken_body_resets_its_stream() {
        let started = start_with(Limits::default(), tls());
        for path in ["/photos/short", "/photos/unmeasured"] {
            let mut get = send(&started, "GET", path, b"").await;
            assert_eq!(get.response_header().unwrap().status, 200);
            assert_eq!(body(&mut get).await, None, "{path}");
        }
    }

    /// A stream that never ends has not undone an upload whose every declared byte the store took; one byte less is
    /// an upload that stalled.
    #[tokio::test]
    async fn success_outlives_a_fault_after_the_last_byte() {
        let upload = upload::Limits { stalled_upload: STALLED, ..upload::Limits::default() };
        let started = start_with(Limits { upload, ..Limits::default() }, tls());
        for (sent, status) in [(&b"hello"[..], 200), (b"hell", 400)] {
            let mut put = begin(&started, "PUT", "/photos/declared", 5).await;
            put.write_request_body(Bytes::from_static(sent), false).await.unwrap();
            put.read_response_header().await.unwrap();
            assert_eq!(put.response_header().unwrap().status, status);
        }
        assert_eq!(*started.seen.uploads.lock().unwrap(), [(5, true), (4, false)]);
    }

    #[tokio::test]
    async fn head_carries_the_real_length() {
        let started = start_with(Limits::default(), tls());
        let head = send(&started, "HEAD", "/photos/large", b"").await;
        assert_eq!(head.response_header().unwrap().headers["content-length"], "5000000000");
    }
}
