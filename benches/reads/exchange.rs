//! Requests as bytes on a connection that is kept, and how long their answers take: as little of a client as measures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A header block that is longer is none of what these servers send.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// How a server is reached.
#[derive(Clone)]
pub(crate) struct Address {
    /// Address and port.
    pub(crate) at: String,
    /// For HTTPS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// One connection, kept open.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// What one answer took, from before the request was written.
pub(crate) struct Took {
    pub(crate) first_byte: Duration,
    pub(crate) whole: Duration,
    pub(crate) bytes: u64,
}

impl Connection {
    /// Connects, and shakes hands where that is the server's way.
    ///
    /// # Panics
    /// When there is no server.
    pub(crate) async fn open(address: &Address) -> Self {
        let tcp = TcpStream::connect(&address.at).await.expect("connect to a server");
        tcp.set_nodelay(true).expect("send small requests at once");
        let stream: Box<dyn Stream> = match &address.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let shaking = TlsConnector::from(config.clone()).connect(name, tcp);
                Box::new(shaking.await.expect("shake hands"))
            }
        };
        Self { stream, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Sends a request and reads all of its answer.
    ///
    /// # Panics
    /// When the answer is not a success, does not say its length, or breaks off.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Took {
        let began = Instant::now();
        self.stream.write_all(request).await.expect("send a request");
        // TLS may keep what it was given.
        self.stream.flush().await.expect("send all of a request");
        let (mut got, body_bytes) = self.read_head().await;
        // The body's first byte may have come with the head.
        if got == 0 && body_bytes > 0 {
            got = self.read().await;
        }
        let first_byte = began.elapsed();
        while got < body_bytes {
            got += self.read().await;
        }
        assert_eq!(got, body_bytes, "an answer is as long as it says");
        Took { first_byte, whole: began.elapsed(), bytes: body_bytes }
    }

    /// How much of the body has been read with the head, and how long it is.
    async fn read_head(&mut self) -> (u64, u64) {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.expect("read an answer");
            assert_ne!(read, 0, "the server closed: {}", String::from_utf8_lossy(&self.buffer[..filled]));
            filled += read;
            let searched = filled.min(HEAD_BYTES_MAX);
            if let Some(end) = self.buffer[..searched].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]);
                return ((filled - end - 4) as u64, body_bytes(&head));
            }
            assert!(searched < HEAD_BYTES_MAX, "an answer's head ends");
        }
    }

    async fn read(&mut self) -> u64 {
        let read = self.stream.read(&mut self.buffer).await.expect("read a body");
        assert_ne!(read, 0, "an answer broke off");
        read as u64
    }
}

/// What the head of a success says.
fn body_bytes(head: &str) -> u64 {
    let status = head.split(' ').nth(1).unwrap_or_default();
    assert!(matches!(status, "200" | "206"), "{head}");
    let lengths = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, length)| length.trim().parse().ok()).unwrap_or_else(|| panic!("{head}"))
}
