//! Clients that are slow on purpose.

use std::time::{Duration, Instant};

use tests::{Endpoint, raw, tls};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::door::Wire;
use super::{Site, TRANSPORTS, Transport};

/// A connection's preface, no settings, and the start of a header block that is said to be 1000 bytes long.
const HTTP2_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x03\xe8\x01\x04\x00\x00\x00\x01";

/// A head has a deadline as a whole: a byte now and then does not put it off.
#[tokio::test]
async fn a_trickle_of_headers_is_cut_off() {
    let site = Site::start_with(Transport::Plain, "[limits]\nheader_deadline = \"4s\"\n").await;
    for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
        let stream = TcpStream::connect(site.cluster.address("ord1", endpoint)).await.expect("connect");
        let answer = trickle(stream, b"GET /photos/kept HTTP/1.1\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{endpoint:?}: {answer}");
        assert!(answer.contains("<Code>RequestTimeout</Code>"), "{endpoint:?}: {answer}");
    }
    site.answers("a client that is not slow", &site.get()).await;
}

/// The same over TLS, in either version of HTTP, and in the middle of shaking hands.
#[tokio::test]
async fn a_trickle_over_tls_is_cut_off() {
    let limits = "[limits]\nheader_deadline = \"4s\"\nidle_timeout = \"4s\"\n";
    let site = Site::start_with(Transport::Tls, limits).await;
    let address = site.cluster.address("ord1", Endpoint::Standard);
    let connect = async || TcpStream::connect(&address).await.expect("connect");
    for (version, wire) in Wire::over_tls(&site.cluster.authority()) {
        let (config, head) = match wire {
            Wire::Tls(config) => (config, &b"GET /photos/kept HTTP/1.1\r\n"[..]),
            Wire::Http2(config) => (config, HTTP2_HEAD),
            Wire::Plain => unreachable!("spoken over TLS"),
        };
        let answer = trickle(tls::connect(&config, connect().await).await, head).await;
        assert!(!answer.contains("kkk"), "{version}: {answer}");
    }
    // A handshake record that is said to be 512 bytes long.
    let _ = trickle(connect().await, b"\x16\x03\x01\x02\x00").await;
    site.answers("a client that is not slow", &site.get()).await;
}

/// A body that stops coming does not keep its place, and leaves nothing.
#[tokio::test]
async fn an_upload_that_stands_still_is_cut_off() {
    for transport in TRANSPORTS {
        let site = Site::start_with(transport, "[limits]\nstalled_upload = \"4s\"\n").await;
        for door in &site.doors {
            let request =
                site.put(vec![b'n'; 100_000]).content_length(200_000).payload_hash("UNSIGNED-PAYLOAD");
            let reply = door.exchange(&request).await;
            let refusal = reply.refusal();
            assert!(
                ["", "400 RequestTimeout", "400 IncompleteBody"].contains(&refusal.as_str()),
                "{}: {reply:?}",
                door.name
            );
            site.is_unchanged(&door.name).await;
        }
    }
}

/// Sends `beginning`, then a byte now and then until the listener has had enough, but not at once: what it says.
async fn trickle(mut stream: impl AsyncRead + AsyncWrite + Unpin, beginning: &[u8]) -> String {
    let began = Instant::now();
    stream.write_all(beginning).await.expect("send the beginning");
    while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "it still listens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "it was in a hurry");
    String::from_utf8_lossy(&raw::read_to_close(&mut stream).await).into_owned()
}
