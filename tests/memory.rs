//! A node's peak memory stays under its configured cache memory and 256 MiB, whatever clients do.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tests::{Client, Cluster, Content, MIB, Options, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a node may use beyond its cache memory.
const ALLOWANCE_BYTES: u64 = 256 * MIB;

/// Cold and warm herds, uploads, and readers that stop reading: three nodes in one process, held to one node's bound.
#[tokio::test]
async fn peak_memory_stays_within_its_bound() {
    let cluster =
        Cluster::start_with(Options::cache("64 MiB", "1 GiB").and("[limits]\nstalled_reader = \"3s\"")).await;
    let content = Content::new(5, 512 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put_multipart("data", "k", content, 32 * MIB).await;
    let las1 = cluster.accelerated("las1", "ord1");

    let stalled = join_all((0..48).map(|reader| stall(&las1, reader * 8 * MIB))).await;
    join_all((0..16).map(|_| pull(&las1, content))).await;
    join_all((0..8).map(|seed| upload(&owner, seed))).await;

    let peak = cluster.process("las1").peak_memory_bytes();
    let bound = 3 * 64 * MIB + ALLOWANCE_BYTES;
    assert!(peak < bound, "the peak was {} MiB of {} MiB", peak / MIB, bound / MIB);
    drop(stalled);
}

/// A reader that stops reading is let go after `stalled_reader`, in the middle of its answer.
#[tokio::test]
async fn a_reader_that_stops_is_let_go() {
    let cluster = Cluster::start_with(Options::settings("[limits]\nstalled_reader = \"1s\"")).await;
    let content = Content::new(6, 64 * MIB);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(content)).await.ok();
    for (node, client) in [("ord1", owner), ("las1", cluster.accelerated("las1", "ord1"))] {
        let mut stalled = stall(&client, 0).await;
        wait_for_a_stall(&cluster, node).await;
        let mut rest = Vec::new();
        // The end is a reset or a close; what counts is that the body is cut short.
        let _ = stalled.read_to_end(&mut rest).await;
        assert!((rest.len() as u64) < content.bytes, "the stalled reader got everything");
    }
}

/// Waits until `node` counts a reader that it let go. That takes longer than `stalled_reader`: a slow client is not a
/// stalled one, and a write of 1 MiB, the largest, has 64 s more at the 16 KiB a second that are slow.
async fn wait_for_a_stall(cluster: &Cluster, node: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while cluster.scrape(node).await.sum("penstock_drops_total", &[("reason", "stalled_reader")]) < 1.0 {
        assert!(Instant::now() < deadline, "{node} still waits for its reader");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Opens a GET from byte `start` on, reads its first byte and no more.
async fn stall(client: &Client, start: u64) -> TcpStream {
    let query = client.presigned("GET", "/data/k", 600);
    let address = client.origin().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let request =
        format!("GET /data/k?{query} HTTP/1.1\r\nhost: {}\r\nrange: bytes={start}-\r\n\r\n", client.host());
    stream.write_all(request.as_bytes()).await.expect("send the request");
    assert_eq!(stream.read_u8().await.expect("the first byte"), b'H');
    stream
}

async fn pull(client: &Client, content: Content) {
    let mut answer = client.open(Request::new("GET", "/data/k")).await.expect("open");
    let mut got = 0;
    while let Some(piece) = answer.chunk().await.expect("an unbroken body") {
        got += piece.len() as u64;
    }
    assert_eq!(got, content.bytes);
}

async fn upload(client: &Client, seed: u64) {
    let content = Content::new(seed, 64 * MIB);
    let _ = client.send(Request::new("PUT", format!("/data/upload-{seed}")).content(content)).await.ok();
}
