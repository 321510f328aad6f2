//! A node as an owner sees it: a session's stream over mTLS, spoken without any of the product's code.
//!
//! It asks for a key of each bucket that it is interested in, renews its lease, and acknowledges what is cleared.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tests::tls::connect_to_peer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::OWNER;

/// The protocol's name in the TLS handshake.
pub(crate) const ALPN: &str = "penstock-session";
const PROTOCOL: u16 = 1;

/// Renewals in one lease.
const RENEWALS_PER_LEASE: u32 = 3;

/// A simulated node with a session. It ends when dropped.
pub(crate) struct Node {
    following: JoinHandle<()>,
    clears: Arc<AtomicU64>,
}

#[derive(Serialize)]
enum FromNode<'a> {
    Open { newest: u16, oldest: u16, class: &'a str, node: &'a str },
    Hello { previous: Option<()> },
    Renew { no: u64 },
    Resolve { no: u64, asks: Vec<Ask<'a>> },
    Ack { up_to: u64 },
}

#[derive(Serialize)]
enum Ask<'a> {
    Object { bucket: &'a str, key: &'a str },
}

/// What a simulated node looks at of what an owner says.
#[derive(Deserialize)]
enum FromOwner {
    Opened { protocol: u16 },
    Welcome { lease_millis: u64 },
    Refused {},
    Renewed {},
    Answers {},
    Clear { no: u64 },
    Ended,
}

impl Node {
    /// Connects to the owner at `address` as a node of `region`, and asks for a key of each of `buckets`.
    pub(crate) async fn start(
        tls: &Arc<ClientConfig>,
        region: &str,
        address: SocketAddr,
        buckets: BTreeSet<String>,
    ) -> Self {
        let tcp = TcpStream::connect(address).await.expect("connect to the owner");
        tcp.set_nodelay(true).expect("a TCP connection");
        let mut stream = BufReader::new(connect_to_peer(tls, tcp, OWNER).await);
        let (newest, oldest) = (PROTOCOL, PROTOCOL);
        send(&mut stream, &FromNode::Open { newest, oldest, class: "Objects", node: region }).await;
        let FromOwner::Opened { protocol: PROTOCOL } = receive(&mut stream).await else {
            panic!("the owner speaks another version")
        };
        send(&mut stream, &FromNode::Hello { previous: None }).await;
        let FromOwner::Welcome { lease_millis } = receive(&mut stream).await else { panic!("no session") };
        let asks = buckets.iter().map(|bucket| Ask::Object { bucket, key: "k0" }).collect();
        send(&mut stream, &FromNode::Resolve { no: 1, asks }).await;
        let clears = Arc::new(AtomicU64::new(0));
        let (answered, is_answered) = oneshot::channel();
        let lease = Duration::from_millis(lease_millis);
        let following = tokio::spawn(follow(stream, lease, Arc::clone(&clears), answered));
        is_answered.await.expect("the owner answers");
        Self { following, clears }
    }

    /// How many clears it was sent.
    pub(crate) fn clears(&self) -> u64 {
        self.clears.load(Ordering::Relaxed)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Renews and acknowledges until it is dropped.
async fn follow(
    stream: impl AsyncRead + AsyncWrite,
    lease: Duration,
    clears: Arc<AtomicU64>,
    answered: oneshot::Sender<()>,
) {
    let (mut from_owner, mut to_owner) = tokio::io::split(stream);
    let (messages, mut arriving) = tokio::sync::mpsc::channel(64);
    let reading = async { while messages.send(receive(&mut from_owner).await).await.is_ok() {} };
    let working = async {
        let (mut answered, mut renewals, mut renew_at) =
            (Some(answered), 0, interval(lease / RENEWALS_PER_LEASE));
        loop {
            tokio::select! {
                _ = renew_at.tick() => {
                    renewals += 1;
                    send(&mut to_owner, &FromNode::Renew { no: renewals }).await;
                }
                message = arriving.recv() => match message.expect("the reader goes on") {
                    FromOwner::Clear { no } => {
                        clears.fetch_add(1, Ordering::Relaxed);
                        send(&mut to_owner, &FromNode::Ack { up_to: no }).await;
                    }
                    FromOwner::Answers {} => {
                        // Whoever started this waits for the first answers alone.
                        let _ = answered.take().map(|answered| answered.send(()));
                    }
                    FromOwner::Renewed {} => {}
                    FromOwner::Ended => panic!("the owner has ended the session"),
                    FromOwner::Opened { .. } | FromOwner::Welcome { .. } | FromOwner::Refused {} => {
                        panic!("the owner says hello again")
                    }
                },
            }
        }
    };
    tokio::join!(reading, working);
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &FromNode<'_>) {
    let message = rmp_serde::to_vec_named(message).expect("a message can be written");
    let length = u32::try_from(message.len()).expect("a message is short");
    let frame = [&length.to_be_bytes()[..], &message].concat();
    stream.write_all(&frame).await.expect("the owner reads");
    stream.flush().await.expect("the owner reads");
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> FromOwner {
    let length = stream.read_u32().await.expect("the stream goes on");
    let mut message = vec![0; length as usize];
    let _ = stream.read_exact(&mut message).await.expect("a whole message");
    rmp_serde::from_slice(&message).expect("a message of this version")
}
