//! Requests as plain bytes on a socket, for what no HTTP client would send.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Client;
use crate::sign::put_headers;

/// How long a listener may take to answer or close.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// The head of a PUT of `bytes` bytes, signed by `client`, which waits to be told to continue.
#[must_use]
pub fn upload_head(client: &Client, path: &str, bytes: usize) -> String {
    let headers = put_headers(client.keys(), client.host(), path);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("PUT {path} HTTP/1.1\r\n{headers}expect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n")
}

/// Sends `request` to `address` and returns everything that comes back until the listener closes. The sending side
/// stays open. A connection that is reset returns what had arrived.
///
/// # Panics
/// When the listener neither answers nor closes in good time.
pub async fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    // A listener that refuses early may close before all is written.
    let _ = stream.write_all(request).await;
    String::from_utf8_lossy(&read_to_close(&mut stream).await).into_owned()
}

/// Everything that arrives on `stream` until the other side closes or resets it.
///
/// # Panics
/// When it stays open for too long.
pub async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut got = Vec::new();
    let reading = async {
        match stream.read_to_end(&mut got).await {
            Ok(_) => {}
            // Over TLS a close without its notice is unexpected.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {}
            Err(error) => panic!("read: {error}"),
        }
    };
    timeout(ANSWER_WITHIN, reading).await.expect("the listener closes in good time");
    got
}
