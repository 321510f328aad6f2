//! Clients that are slow on purpose.

use std::time::{Duration, Instant};

use tests::{Endpoint, raw};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Site;

/// A head has a deadline as a whole: a byte now and then does not put it off.
#[tokio::test]
async fn a_trickle_of_headers_is_cut_off() {
    let site = Site::start_with("[limits]\nheader_deadline = \"2s\"\n").await;
    for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
        let mut stream = TcpStream::connect(site.cluster.address("ord1", endpoint)).await.expect("connect");
        stream.write_all(b"GET /photos/kept HTTP/1.1\r\n").await.expect("send a request line");
        let began = Instant::now();
        while stream.write_all(b"x").await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(30), "{endpoint:?} still listens");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(1), "{endpoint:?} was in a hurry");
        let answer = raw::read_to_close(&mut stream).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    site.answers("a client that is not slow", &site.get()).await;
}

/// A body that stops coming does not keep its place, and leaves nothing.
#[tokio::test]
async fn an_upload_that_stands_still_is_cut_off() {
    let site = Site::start_with("[limits]\nstalled_upload = \"2s\"\n").await;
    for (name, door) in &site.doors {
        let request = site.put(vec![b'n'; 100_000]).content_length(200_000).payload_hash("UNSIGNED-PAYLOAD");
        let answer = raw::exchange(super::address(door), &request.bytes(door.host())).await;
        let refusal = super::refusal(&answer);
        assert!(
            ["", "400 RequestTimeout", "400 IncompleteBody"].contains(&refusal.as_str()),
            "{name}: {answer}"
        );
        site.is_unchanged(name).await;
    }
}
