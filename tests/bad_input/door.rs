//! A way to a bucket: through which listener, as what it is spoken to, and what it answers. HTTP/1.1 is plain bytes, over
//! TCP or TLS; HTTP/2 is frames, one stream on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, Reason};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tests::{Client, raw, tls};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::request::Raw;

/// How long a listener may take to answer or to let go.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// One endpoint's listener and what is spoken there.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) name: String,
    pub(super) client: Client,
    wire: Wire,
}

#[derive(Clone)]
pub(super) enum Wire {
    Plain,
    Tls(Arc<ClientConfig>),
    Http2(Arc<ClientConfig>),
}

/// What a client does once it has sent what it sends.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    /// It waits, and could still send what its head announced.
    Open,
    /// It sends no more, and still listens.
    SendingSide,
    /// It is gone.
    Both,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    /// `None`: the connection, or the stream, ended without an answer.
    pub(super) status: Option<u16>,
    /// Head and body as text; of HTTP/2 the body alone.
    pub(super) text: String,
}

impl Wire {
    /// Both that are spoken over TLS by whoever believes `authority`.
    pub(super) fn over_tls(authority: &CertificateDer<'static>) -> [(&'static str, Self); 2] {
        [
            ("HTTPS", Self::Tls(tls::config(authority, "http/1.1"))),
            ("HTTP/2", Self::Http2(tls::config(authority, "h2"))),
        ]
    }
}

impl Door {
    pub(super) fn new(name: String, client: Client, wire: Wire) -> Self {
        Self { name, client, wire }
    }

    /// The same under another host name.
    pub(super) fn under(&self, host: &str) -> Self {
        Self { client: self.client.under(host), ..self.clone() }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.wire, Wire::Http2(_))
    }

    pub(super) fn host(&self) -> &str {
        self.client.host()
    }

    /// Sends `request` and takes what comes back until the listener lets go.
    pub(super) async fn exchange(&self, request: &Raw) -> Reply {
        self.exchange_and(request, Ending::Open).await
    }

    /// As [`exchange`](Self::exchange), with what the client does when it has sent its body.
    pub(super) async fn exchange_and(&self, request: &Raw, ending: Ending) -> Reply {
        let tcp = TcpStream::connect(self.address()).await.expect("connect");
        match &self.wire {
            Wire::Plain => http1(tcp, &request.bytes(self.host()), ending).await,
            Wire::Tls(config) => {
                http1(tls::connect(config, tcp).await, &request.bytes(self.host()), ending).await
            }
            Wire::Http2(config) => http2(tls::connect(config, tcp).await, request, self.host(), ending).await,
        }
    }

    fn address(&self) -> &str {
        self.client.origin().split_once("://").expect("an origin has a scheme").1
    }
}

impl Reply {
    fn none() -> Self {
        Self { status: None, text: String::new() }
    }

    /// An answer of HTTP/1.1, informational ones before it left out.
    fn parse(text: String) -> Self {
        let head = text.rsplit("HTTP/1.1 ").next().filter(|_| text.starts_with("HTTP/1.1 "));
        let status = head.map(|head| head[..3].parse().expect("a status line has a number"));
        Self { status, text }
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// `404 NoSuchKey`, or `""` when there is no answer. An error must have a message and ids: aws-cli fails without the
    /// first.
    pub(super) fn refusal(&self) -> String {
        let Some(status) = self.status else { return String::new() };
        for name in ["Message", "RequestId"] {
            assert!(self.is_success() || !self.element(name).is_empty(), "no {name}: {self:?}");
        }
        format!("{status} {}", self.element("Code"))
    }

    fn element(&self, name: &str) -> &str {
        let inner = self.text.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
        inner.map_or("", |(inner, _)| inner)
    }
}

async fn http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], ending: Ending) -> Reply {
    // A listener that refuses early may close before all is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    match ending {
        Ending::Both => return Reply::none(),
        Ending::SendingSide => {
            let _ = stream.shutdown().await;
        }
        Ending::Open => {}
    }
    Reply::parse(String::from_utf8_lossy(&raw::read_to_close(&mut stream).await).into_owned())
}

/// A stream ends where its request is complete, or where the client says that it sends no more.
async fn http2(stream: TlsStream<TcpStream>, request: &Raw, host: &str, ending: Ending) -> Reply {
    let (sender, mut connection) = h2::client::handshake(stream).await.expect("HTTP/2 is spoken");
    let mut ping_pong = connection.ping_pong().expect("the first to ask for it");
    let driver = tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("a stream may be opened");
    let (head, body) = request.message(host);
    let ends = request.is_complete() || matches!(ending, Ending::SendingSide);
    let (answer, mut sending) =
        sender.send_request(head, ends && body.is_empty()).expect("a request that HTTP/2 can carry");
    if !body.is_empty() {
        // Refused early, the stream takes no more.
        let _ = sending.send_data(Bytes::from(body), ends);
    }
    if matches!(ending, Ending::Both) {
        // What was sent has arrived when the ping comes back.
        let _ = timeout(ANSWER_WITHIN, ping_pong.ping(Ping::opaque())).await;
        sending.send_reset(Reason::CANCEL);
        drop((sender, answer, sending));
        let _ = timeout(ANSWER_WITHIN, driver).await.expect("a connection without streams ends");
        return Reply::none();
    }
    let reply = timeout(ANSWER_WITHIN, whole(answer)).await.expect("the listener answers in good time");
    driver.abort();
    reply
}

async fn whole(answer: h2::client::ResponseFuture) -> Reply {
    let Ok(answer) = answer.await else { return Reply::none() };
    let status = Some(answer.status().as_u16());
    let mut body = answer.into_body();
    let mut got = Vec::new();
    // A reset after the answer ends it as a close does in HTTP/1.1.
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        got.extend_from_slice(&piece);
    }
    Reply { status, text: String::from_utf8_lossy(&got).into_owned() }
}
