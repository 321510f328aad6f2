//! A node's peak memory stays under its configured cache memory and 256 MiB, whatever clients do.

use std::time::Duration;

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::cluster::{ALLOWANCE_BYTES, REGIONS};
use tests::{Client, Cluster, Content, Endpoint, MIB, Options, Request, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// Slow clients at one time: nearly all that a node answers.
const SLOW_CLIENTS: usize = 1000;

/// Of these, so many may be on their way to another region, or send an upload.
const FORWARDS: usize = 48;
const UPLOADS: usize = 64;

/// Of connections without a request, so many to each listener at one time: together more than a node takes.
const UNFINISHED: usize = 1500;

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

/// Hundreds of readers who stop reading in the middle of their answers, at the store.
#[tokio::test]
async fn slow_readers_of_the_store_are_cheap() {
    let cluster = with_data().await;
    let ord1 = cluster.standard("ord1");
    let stalled = stall_all(&ord1).await;
    wait_for_in_flight(&cluster, "ord1", SLOW_CLIENTS).await;
    assert_within_bounds(&cluster);
    // Whoever is quick gets through beside them.
    pull(&ord1, content()).await;
    drop(stalled);
}

/// The same of the cache.
#[tokio::test]
async fn slow_readers_of_the_cache_are_cheap() {
    let cluster = with_data().await;
    let stalled = stall_all(&cluster.accelerated("las1", "ord1")).await;
    assert_within_bounds(&cluster);
    drop(stalled);
}

/// A node that takes its cache's memory at the start has it then, and takes no more than others do beside it.
#[tokio::test]
async fn preallocated_memory_is_within_the_bound() {
    let cluster = with_data_and(Options::cache("32 MiB", "128 MiB").preallocated()).await;
    // As shipped: `working_bytes`, and `fill_bytes_max`.
    let (allocated, fills) = ((32 + 96) * MIB, 48 * MIB);
    until("las1 has its memory", async || {
        let mapped = cluster.scrape("las1").await.sum("penstock_cache_buffer_mapped_bytes", &[]);
        mapped as u64 == allocated
    })
    .await;
    let stalled = stall_all(&cluster.accelerated("las1", "ord1")).await;
    let peak = cluster.process("las1").peak_memory_bytes();
    let bounds = allocated..allocated + fills + ALLOWANCE_BYTES;
    assert!(bounds.contains(&peak), "the peak was {} MiB", peak / MIB);
    drop(stalled);
}

/// The same on the way to another region, where there are few places: who finds none is told to slow down.
#[tokio::test]
async fn slow_readers_of_another_region_are_cheap() {
    let cluster = with_data().await;
    let at_las1 = cluster.client("las1", Endpoint::Standard).under(Endpoint::Standard.host("ord1"));
    let stalled = stall_all(&at_las1).await;
    wait_for_in_flight(&cluster, "las1", FORWARDS).await;
    assert_within_bounds(&cluster);
    let refused = cluster.scrape("las1").await.sum("penstock_drops_total", &[("reason", "forwards")]);
    // A few may have found a place and lost their way to the other region, on a busy machine.
    assert!((1.0..=(SLOW_CLIENTS - FORWARDS) as f64).contains(&refused), "{refused}");
    drop(stalled);
}

/// Uploads that stop in the middle: there are few places, and who finds none is told to slow down.
#[tokio::test]
async fn stopped_uploads_are_cheap() {
    let cluster = with_data().await;
    let ord1 = cluster.standard("ord1");
    let stopped = join_all((0..SLOW_CLIENTS).map(|nth| stop_upload(&ord1, nth))).await;
    let refused =
        async || cluster.scrape("ord1").await.sum("penstock_drops_total", &[("reason", "uploads")]) as usize;
    // As many may be in flight before the node has heard of all.
    until("all others are refused", async || refused().await >= SLOW_CLIENTS - UPLOADS).await;
    wait_for_in_flight(&cluster, "ord1", UPLOADS).await;
    assert_within_bounds(&cluster);
    assert_eq!(refused().await, SLOW_CLIENTS - UPLOADS);
    // Reads take no such place.
    pull(&ord1, content()).await;
    drop(stopped);
}

/// More connections than a node has places for, to both public listeners, on each of which a head was begun and not finished:
/// longer ones than there is room for, and such as every connection may hold. Whoever has a request gets through.
#[tokio::test]
async fn unfinished_heads_are_cheap() {
    let cluster = with_data().await;
    let (standard, accelerated) = (cluster.standard("ord1"), cluster.accelerated("ord1", "ord1"));
    let mut flood = Vec::new();
    for bytes in [30_900, 4_000] {
        for client in [&standard, &accelerated] {
            flood.extend(join_all((0..UNFINISHED).map(|_| begin_head(client, bytes))).await);
            pull(client, content()).await;
        }
    }
    assert_within_bounds(&cluster);
    let scrape = cluster.scrape("ord1").await;
    for reason in ["heads", "connections"] {
        let dropped = scrape.sum("penstock_drops_total", &[("reason", reason)]);
        assert!(dropped > 0.0, "nobody was let go for {reason}");
    }
    drop(flood);
}

/// Sends as much of a head that has no end.
async fn begin_head(client: &Client, bytes: usize) -> TcpStream {
    let mut stream = connect(client).await;
    let head = format!("GET /data/k HTTP/1.1\r\nhost: {}\r\nx-amz-meta-x: ", client.host());
    // One that is let go may be closed before all is sent.
    let _ = stream.write_all(format!("{head:x<bytes$}").as_bytes()).await;
    stream
}

/// Opens an upload, sends what fits of its beginning, and no more.
async fn stop_upload(client: &Client, nth: usize) -> TcpStream {
    let path = format!("/data/stopped-{nth}");
    let query = client.presigned("PUT", &path, 600);
    let mut stream = connect(client).await;
    let head = format!(
        "PUT {path}?{query} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        client.host(),
        64 * MIB
    );
    stream.write_all(head.as_bytes()).await.expect("send the head");
    // One that waits for a place, or is refused, takes less.
    let _ = timeout(Duration::from_secs(1), stream.write_all(&[7; 300 << 10])).await;
    stream
}

/// One process a region, and an object in ord1.
async fn with_data() -> Cluster {
    with_data_and(Options::cache("32 MiB", "128 MiB")).await
}

async fn with_data_and(options: Options) -> Cluster {
    raise_open_files();
    let patient = "[limits]\nstalled_reader = \"5m\"\nstalled_upload = \"5m\"";
    let cluster = Cluster::start_with(options.and(patient).served()).await;
    let ord1 = cluster.standard("ord1");
    ord1.create_bucket("data").await;
    let _ = ord1.send(Request::new("PUT", "/data/k").content(content())).await.ok();
    cluster
}

/// A thousand connections of each test, side by side, are more than the usual soft limit of 1024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("allowed");
}

fn content() -> Content {
    Content::new(7, 64 * MIB)
}

/// [`SLOW_CLIENTS`] readers who stop after the first byte of their answers, in different places of the object.
async fn stall_all(client: &Client) -> Vec<TcpStream> {
    join_all((0..SLOW_CLIENTS as u64).map(|nth| stall(client, nth % 48 * MIB))).await
}

async fn wait_for_in_flight(cluster: &Cluster, node: &str, count: usize) {
    until(&format!("{node} has {count} requests in flight"), async || {
        cluster.scrape(node).await.sum("penstock_requests_in_flight", &[]) == count as f64
    })
    .await;
}

/// Each node by itself, after everything had the time to settle where it stands still.
fn assert_within_bounds(cluster: &Cluster) {
    for node in REGIONS {
        let (peak, bound) = (cluster.process(node).peak_memory_bytes(), 32 * MIB + ALLOWANCE_BYTES);
        println!("{node}: the peak was {} MiB of {} MiB", peak / MIB, bound / MIB);
        assert!(peak < bound, "{node}: the peak was {} MiB of {} MiB", peak / MIB, bound / MIB);
    }
}

/// A connection with a small window, so that the kernel takes little of what a reader leaves.
async fn connect(client: &Client) -> TcpStream {
    let address = client.origin().trim_start_matches("http://").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("make a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small window");
    socket.connect(address).await.expect("connect")
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
    /// What a slow client may take and a minute more, as for anything else.
    const WITHIN: Duration = Duration::from_secs(126);
    let waiting = async {
        while cluster.scrape(node).await.sum("penstock_drops_total", &[("reason", "stalled_reader")]) < 1.0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WITHIN, waiting).await.unwrap_or_else(|_| panic!("{node} still waits for its reader"));
}

/// Opens a GET from byte `start` on, reads its first byte and no more.
async fn stall(client: &Client, start: u64) -> TcpStream {
    let query = client.presigned("GET", "/data/k", 600);
    let mut stream = connect(client).await;
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
