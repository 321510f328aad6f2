//! One process a region, and some of them gone: nothing unverified is served, nothing broken ends cleanly, and what
//! is left goes on.

use std::time::Duration;

use bytes::Bytes;
use tests::tls::{connect_to_peer, node_config};
use tests::wan::Cut;
use tests::{Client, Cluster, Content, Endpoint, MIB, Options, Request, raw, until, until_some};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// How long an owner may take for what it does at once.
const IN_TIME: Duration = Duration::from_secs(60);

/// While the owner is away, a node serves what it has of its objects until its lease is over, and then nothing of them.
#[tokio::test]
async fn a_hit_is_not_served_while_its_owner_is_away() {
    let (mut cluster, reader, content) = start(MIB).await;
    assert_eq!(reader.get("data", "k").await.ok().body, content.all());
    cluster.kill_node("ord1");
    let away = until_some("the lease of objects is over", async || {
        let answer = reader.get("data", "k").await;
        assert!(answer.status != 200 || answer.body == content.all());
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(away.status, 503, "{}", away.text());
    cluster.start_node_again("ord1").await;
    let back = reader.get("data", "k").await.ok();
    assert_eq!(back.body, content.all());
    assert_eq!(pulled(&cluster).await, MIB, "the blocks were not kept");
}

/// A node that is away is missed by nobody else.
#[tokio::test]
async fn other_nodes_go_on_without_one() {
    let (mut cluster, _, content) = start(MIB).await;
    cluster.kill_node("las1");
    let reader = cluster.accelerated("lga1", "ord1");
    assert_eq!(reader.get("data", "k").await.ok().body, content.all());
    let new = Content::new(2, MIB);
    let _ = cluster.standard("ord1").put("data", "k", new.all()).await.ok();
    assert_eq!(reader.get("data", "k").await.ok().body, new.all());
    cluster.start_node_again("las1").await;
    assert_eq!(cluster.accelerated("las1", "ord1").get("data", "k").await.ok().body, new.all());
}

/// The owner goes away in the middle of a cold read: the reader sees a broken connection, not the end of the object.
#[tokio::test]
async fn a_read_that_loses_its_owner_does_not_end_cleanly() {
    let (mut cluster, reader, content) = start(64 * MIB).await;
    cluster.gate().allow_only(1 << 20);
    let mut answer = reader.open(Request::new("GET", "/data/k")).await.expect("open");
    let first = answer.chunk().await.expect("the first bytes").expect("the body is not empty");
    content.assert_at(0, &first);
    cluster.kill_node("ord1");
    let mut got = first.len() as u64;
    let end = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => {
                content.assert_at(got, &piece);
                got += piece.len() as u64;
            }
            end => break end,
        }
    };
    assert!(end.is_err(), "the answer ended cleanly after {got} bytes");
    cluster.gate().open();
    cluster.start_node_again("ord1").await;
    assert_eq!(reader.get("data", "k").await.ok().body, content.all());
}

/// Every connection to the owner breaks in the middle of a cold read: the fill goes on where it broke.
#[tokio::test]
async fn a_fill_goes_on_after_its_connections_break() {
    let (cluster, reader, content) = start(64 * MIB).await;
    cluster.gate().allow_only(1 << 20);
    let mut answer = reader.open(Request::new("GET", "/data/k")).await.expect("open");
    let first = answer.chunk().await.expect("the first bytes").expect("the body is not empty");
    content.assert_at(0, &first);
    cluster.gate().cut();
    cluster.gate().open();
    let mut got = first.len() as u64;
    while let Some(piece) = answer.chunk().await.expect("the fill is resumed") {
        content.assert_at(got, &piece);
        got += piece.len() as u64;
    }
    assert_eq!(got, content.bytes);
}

/// A node that dies in the middle of what it asks is nothing that a person should look at: the owner logs no error.
#[tokio::test]
async fn a_question_that_breaks_off_is_no_error_of_the_owner() {
    let cluster = Cluster::start_with(Options::settings("[log]\nlevel = \"debug\"").served()).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;

    // A client's upload, half of it.
    let id = "00000000000000AA";
    let head = raw::upload_head(&owner.clone().under(Endpoint::Standard.host("ord1")), "/data/k", 100);
    let said = format!("\r\nx-penstock-channel: forward\r\nx-penstock-request-id: {id}\r\nexpect:");
    let head = head.replace("\r\nexpect:", &said);
    let mut node = node_of(&cluster, "http/1.1").await;
    send(&mut node, head.as_bytes()).await;
    let mut answer = [0; 12];
    timeout(IN_TIME, node.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 100", "the owner waits for the upload");
    send(&mut node, &[7; 50]).await;
    drop(node);
    let lines = cluster.process("ord1").log_lines(&[id, "PutObject"], 1).await;
    assert!(lines[0].contains("broken"), "{lines:?}");

    // What nodes ask by themselves, the first bytes of it: it says how long it is.
    for (protocol, noticed) in [
        ("penstock-pages/1", "pages for another node broke off"),
        ("penstock-session", "session's stream ended"),
    ] {
        // The owner may not have shaken hands when it breaks off: then it is another line, and tried again.
        until(&format!("ord1 notices what broke off of {protocol}"), async || {
            let mut node = node_of(&cluster, protocol).await;
            send(&mut node, &[0, 0, 0, 50, 0x81]).await;
            drop(node);
            cluster.process("ord1").log().contains(noticed)
        })
        .await;
    }
}

/// A connection of las1's node to ord1, which is reset when it is dropped.
async fn node_of(cluster: &Cluster, protocol: &str) -> TlsStream<TcpStream> {
    let tls = node_config(&cluster.data_dir(), "las1", protocol);
    let tcp = TcpStream::connect(cluster.peer("ord1")).await.expect("connect");
    tcp.set_zero_linger().expect("a TCP connection");
    connect_to_peer(&tls, tcp, "ord1").await
}

async fn send(node: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    node.write_all(bytes).await.expect("send");
    node.flush().await.expect("send");
}

/// An owner that takes a request and says nothing is given up: the client learns it, and its place is free. One that takes
/// its time to complete an upload is waited for.
#[tokio::test]
async fn an_owner_that_never_answers_holds_nobody_for_ever() {
    let limits = "[limits]\nstalled_upload = \"4s\"\nsilent_owner = \"10s\"\n";
    let cluster = Cluster::start_with(Options::settings(limits).served().gated("ord1")).await;
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let client = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
    let upload = client.create_multipart_upload("data", "slow").await;
    let part = client.upload_part("data", "slow", &upload, 1, Bytes::from("a part")).await;

    cluster.gate().allow_only(0);
    let parts = [part];
    let completing = client.complete_multipart_upload("data", "slow", &upload, &parts);
    let opening = async {
        until("the upload is complete", async || owner.get("data", "slow").await.status == 200).await;
        cluster.gate().open();
    };
    let (completed, ()) = tokio::join!(completing, opening);
    assert_eq!(completed.ok().element("Key"), "slow");

    // Two requests, so that two connections are there to be silent.
    let (one, other) = tokio::join!(client.get("data", "slow"), client.get("data", "slow"));
    let _ = (one.ok(), other.ok());
    cluster.gate().allow_only(0);
    let (put, read) = tokio::join!(
        client.put("data", "silent", "hello"),
        client.send(Request::new("GET", "/data/slow?tagging"))
    );
    for answer in [put, read] {
        assert_eq!(answer.refusal(), (503, "ServiceUnavailable".to_owned()), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "1");
    }
    let _ = cluster.settled("las1").await;
    cluster.gate().open();
    let _ = client.put("data", "after", "hello").await.ok();
}

/// An owner whose machine takes nothing any more of what is sent on a connection that was kept is given up by the kernel, long
/// before its silence would be too long: the client learns it, and the next request finds another connection.
#[tokio::test]
async fn a_kept_connection_that_nobody_acknowledges_is_given_up() {
    /// Longer than any machine takes to give a connection up after a minute, and shorter than the owner's silence.
    const GIVEN_UP_WITHIN: Duration = Duration::from_secs(600);
    let patient = "[limits]\nsilent_owner = \"1h\"\n";
    let cluster = Cluster::start_with(Options::settings(patient).served().distant(Duration::ZERO)).await;
    cluster.standard("ord1").create_bucket("data").await;
    let client = cluster.standard("las1").under(Endpoint::Standard.host("ord1"));
    let _ = client.put("data", "k", "before").await.ok();
    let link = cluster.link("las1", "ord1");
    link.cut_both(Cut::BlackHole);
    let put = client.put("data", "k", Content::new(1, 4 * MIB).all());
    let answer = timeout(GIVEN_UP_WITHIN, put).await.expect("it is given up");
    assert_eq!(answer.refusal(), (503, "ServiceUnavailable".to_owned()), "{}", answer.text());
    link.heal();
    assert_eq!(client.get("data", "k").await.ok().text(), "before");
    let _ = client.put("data", "k", "after").await.ok();
    assert_eq!(client.get("data", "k").await.ok().text(), "after");
}

/// Three processes with a gate in front of ord1, an object of `bytes` bytes there, and a reader of it at las1.
async fn start(bytes: u64) -> (Cluster, Client, Content) {
    let cluster = Cluster::start_with(Options::cache("64 MiB", "128 MiB").served().gated("ord1")).await;
    let content = Content::new(1, bytes);
    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.send(Request::new("PUT", "/data/k").content(content)).await.ok();
    let reader = cluster.accelerated("las1", "ord1");
    (cluster, reader, content)
}

/// Bytes that las1's cache has pulled out of ord1.
async fn pulled(cluster: &Cluster) -> u64 {
    cluster.settled("las1").await.sum("penstock_cache_origin_bytes_total", &[]) as u64
}
