//! A node as an owner sees it: a session's stream over mTLS, spoken without any of the product's code.
//!
//! It asks for a key of each bucket that it is interested in, renews its lease, acknowledges what is cleared, and gives its
//! session back in the end: one that just goes is waited for until its lease has run out.

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
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::OWNER;

/// The protocol's name in the TLS handshake.
pub(crate) const ALPN: &str = "penstock-session";
const PROTOCOL: u16 = 2;

/// Renewals in one lease.
const RENEWALS_PER_LEASE: u32 = 3;

/// A simulated node with a session.
pub(crate) struct Node {
    following: JoinHandle<()>,
    leaving: oneshot::Sender<()>,
    counts: Arc<Counts>,
}

/// What an owner has told a node.
#[derive(Default)]
struct Counts {
    clears: AtomicU64,
    /// Sessions that the owner has ended, for want of acknowledgements.
    ended: AtomicU64,
}

#[derive(Serialize)]
enum FromNode<'a> {
    Open { newest: u16, oldest: u16, class: &'a str, node: &'a str },
    Hello { previous: Option<()> },
    Renew { no: u64 },
    Resolve { no: u64, asks: Vec<Ask<'a>> },
    Ack { up_to: u64 },
    Goodbye,
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
    Refused { again_after_millis: u64 },
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
        let lease_millis = loop {
            send(&mut stream, &FromNode::Hello { previous: None }).await;
            match receive(&mut stream).await {
                FromOwner::Welcome { lease_millis } => break lease_millis,
                // Some of an earlier turn, which are of the same region, were too slow.
                FromOwner::Refused { again_after_millis } => {
                    tokio::time::sleep(Duration::from_millis(again_after_millis)).await;
                }
                _ => panic!("no answer to hello"),
            }
        };
        resolve(&mut stream, 1, &buckets).await;
        let counts = Arc::new(Counts::default());
        let (answered, is_answered) = oneshot::channel();
        let lease = Duration::from_millis(lease_millis);
        let (leaving, leaves) = oneshot::channel();
        let mut following =
            Following { lease, buckets, counts: Arc::clone(&counts), answered: Some(answered) };
        let following = tokio::spawn(async move { following.run(stream, leaves).await });
        is_answered.await.expect("the owner answers");
        Self { following, leaving, counts }
    }

    /// Gives the session back. The owner has none with it any longer once this returns.
    pub(crate) async fn leave(self) {
        self.leaving.send(()).expect("it follows until it is told to leave");
        self.following.await.expect("the owner says nothing unexpected");
    }

    /// How many clears it was sent.
    pub(crate) fn clears(&self) -> u64 {
        self.counts.clears.load(Ordering::Relaxed)
    }

    /// How many of its sessions the owner has ended.
    pub(crate) fn ended(&self) -> u64 {
        self.counts.ended.load(Ordering::Relaxed)
    }
}

/// What a node has a session for, and what has come of it.
struct Following {
    lease: Duration,
    buckets: BTreeSet<String>,
    counts: Arc<Counts>,
    /// Told of the first answers.
    answered: Option<oneshot::Sender<()>>,
}

impl Following {
    /// Renews and acknowledges until the node leaves, and asks for another session when one is ended.
    async fn run(&mut self, stream: impl AsyncRead + AsyncWrite, leaves: oneshot::Receiver<()>) {
        let (mut from_owner, mut to_owner) = tokio::io::split(stream);
        let (messages, mut arriving) = mpsc::channel(256);
        let reading = async { while messages.send(receive(&mut from_owner).await).await.is_ok() {} };
        tokio::select! {
            () = reading => unreachable!("whoever takes the messages is here"),
            () = self.work(&mut arriving, &mut to_owner) => unreachable!("it works until it leaves"),
            _ = leaves => {}
        }
        send(&mut to_owner, &FromNode::Goodbye).await;
        to_owner.shutdown().await.expect("the owner reads");
        // It has heard it when it ends the stream too, with or without a word of TLS's.
        let _ = tokio::io::copy(&mut from_owner, &mut tokio::io::sink()).await;
    }

    async fn work(
        &mut self,
        arriving: &mut mpsc::Receiver<FromOwner>,
        to_owner: &mut (impl AsyncWrite + Unpin),
    ) {
        let (mut renewals, mut resolves) = (0, 1);
        let mut renew_at = interval(self.lease / RENEWALS_PER_LEASE);
        loop {
            let mut message = tokio::select! {
                _ = renew_at.tick() => {
                    renewals += 1;
                    send(to_owner, &FromNode::Renew { no: renewals }).await;
                    continue;
                }
                message = arriving.recv() => message,
            };
            // What has arrived together is acknowledged together.
            let mut applied = None;
            while let Some(arrived) = message {
                match arrived {
                    FromOwner::Clear { no } => {
                        self.counts.clears.fetch_add(1, Ordering::Relaxed);
                        applied = Some(no);
                    }
                    FromOwner::Answers {} => {
                        // Whoever started this waits for the first answers alone.
                        let _ = self.answered.take().map(|answered| answered.send(()));
                    }
                    FromOwner::Renewed {} => {}
                    FromOwner::Ended => {
                        self.counts.ended.fetch_add(1, Ordering::Relaxed);
                        send(to_owner, &FromNode::Hello { previous: None }).await;
                    }
                    FromOwner::Welcome { .. } => {
                        resolves += 1;
                        resolve(to_owner, resolves, &self.buckets).await;
                    }
                    // It was too slow: for a while its questions are answered, and it is not waited for.
                    FromOwner::Refused { .. } => {}
                    FromOwner::Opened { .. } => panic!("the owner opens the stream again"),
                }
                message = arriving.try_recv().ok();
            }
            if let Some(up_to) = applied {
                send(to_owner, &FromNode::Ack { up_to }).await;
            }
        }
    }
}

async fn resolve(stream: &mut (impl AsyncWrite + Unpin), no: u64, buckets: &BTreeSet<String>) {
    let asks = buckets.iter().map(|bucket| Ask::Object { bucket, key: "k0" }).collect();
    send(stream, &FromNode::Resolve { no, asks }).await;
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
