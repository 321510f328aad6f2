//! A relay between a node and an owner that both believe to be the other, and that breaks the protocol of sessions: what a
//! faulty node or owner would do, without a fault in either. Histories over it must be rejected.
//!
//! It ends TLS on both sides with the certificates of the two, reads the session's messages as they travel, and tells one
//! side what the other never said. Everything but sessions it passes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use tests::Cluster;
use tests::cluster::REGIONS;
use tests::tls::{connect_to_peer, node_config};
use tests::wan::Cut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::LazyConfigAcceptor;

/// The two protocols of the peer channel.
const SESSION: &str = "penstock-session";
const HTTP: &str = "http/1.1";

/// How long a change is visible before a node that was to forget it first hears of it.
const LATE: Duration = Duration::from_secs(1);

/// How the protocol is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// The node's acknowledgement comes without its having forgotten anything: it never hears of the change.
    AcknowledgedAndNotApplied,
    /// It comes before the node forgets: changes are committed first, and cleared afterwards.
    CommittedBeforeCleared,
    /// Answers that are to be served once are kept.
    ServedOnceAndKept,
}

impl Lie {
    pub(super) const ALL: [Self; 3] =
        [Self::AcknowledgedAndNotApplied, Self::CommittedBeforeCleared, Self::ServedOnceAndKept];
}

/// All ways of a cluster of distant regions, led through relays that tell `lie`, for as long as this lives.
pub(super) struct Liars(Vec<JoinHandle<()>>);

impl Liars {
    pub(super) async fn between(cluster: &Cluster, lie: Lie) -> Self {
        let mut accepting = Vec::new();
        let ends: BTreeMap<_, _> = REGIONS.iter().map(|region| (*region, cluster.peer(region))).collect();
        for ((node, owner), link) in cluster.links() {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
            link.lead_to(listener.local_addr().expect("an address").to_string());
            // What is connected already goes another way.
            link.cut_both(Cut::Reset);
            let way = Way::new(&cluster.data_dir(), node, owner, ends[owner].clone(), lie);
            accepting.push(tokio::spawn(accept(listener, Arc::new(way))));
        }
        Self(accepting)
    }
}

impl Drop for Liars {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// From a node to an owner.
struct Way {
    owner: &'static str,
    address: String,
    as_owner: BTreeMap<&'static str, Arc<ServerConfig>>,
    as_node: BTreeMap<&'static str, Arc<rustls::ClientConfig>>,
    lie: Lie,
}

impl Way {
    fn new(data: &Path, node: &'static str, owner: &'static str, address: String, lie: Lie) -> Self {
        let as_owner = [SESSION, HTTP].map(|protocol| (protocol, owner_config(data, owner, protocol)));
        let as_node = [SESSION, HTTP].map(|protocol| (protocol, node_config(data, node, protocol)));
        Self { owner, address, as_owner: as_owner.into(), as_node: as_node.into(), lie }
    }

    /// One connection, to its end; whoever breaks it off breaks off both halves.
    async fn carry(&self, near: TcpStream) -> std::io::Result<()> {
        let near = LazyConfigAcceptor::new(Acceptor::default(), near).await?;
        let wants_session = near
            .client_hello()
            .alpn()
            .is_some_and(|mut offered| offered.any(|protocol| protocol == SESSION.as_bytes()));
        let protocol = if wants_session { SESSION } else { HTTP };
        let mut near = near.into_stream(self.as_owner[protocol].clone()).await?;
        let far = TcpStream::connect(&self.address).await?;
        let mut far = connect_to_peer(&self.as_node[protocol], far, self.owner).await;
        if !wants_session {
            return copy_bidirectional(&mut near, &mut far).await.map(drop);
        }
        let (from_node, to_node) = tokio::io::split(near);
        let (from_owner, to_owner) = tokio::io::split(far);
        let (to_node, to_owner) = (Arc::new(Mutex::new(to_node)), Mutex::new(to_owner));
        tokio::select! {
            ended = pass_on(from_node, &to_owner) => ended,
            ended = self.lie(from_owner, &to_node, &to_owner) => ended,
        }
    }

    /// What the owner says, as the node gets to hear it.
    async fn lie(
        &self,
        mut from_owner: impl AsyncRead + Unpin,
        to_node: &Arc<Mutex<impl AsyncWrite + Unpin + Send + 'static>>,
        to_owner: &Mutex<impl AsyncWrite + Unpin>,
    ) -> std::io::Result<()> {
        loop {
            let mut message = read(&mut from_owner).await?;
            match (self.lie, acknowledgement(&message)) {
                (Lie::AcknowledgedAndNotApplied, Some(forged)) => write(to_owner, &forged).await?,
                (Lie::CommittedBeforeCleared, Some(forged)) => {
                    write(to_owner, &forged).await?;
                    let to_node = to_node.clone();
                    tokio::spawn(async move {
                        sleep(LATE).await;
                        // The connection may have ended by now.
                        let _ = write(&to_node, &message).await;
                    });
                }
                (Lie::ServedOnceAndKept, None) => {
                    keep_all(&mut message);
                    write(to_node, &message).await?;
                }
                (Lie::ServedOnceAndKept, Some(_)) | (_, None) => write(to_node, &message).await?,
            }
        }
    }
}

/// What an owner shows to nodes. It asks for no certificate: the node believes that it showed its own.
fn owner_config(data: &Path, owner: &str, protocol: &str) -> Arc<ServerConfig> {
    let file = |kind: &str| data.join(format!("cluster/{owner}.{kind}"));
    let certificate = CertificateDer::from_pem_file(file("pem")).expect("read a certificate");
    let key = PrivateKeyDer::from_pem_file(file("key")).expect("read a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("the certificate is the key's");
    config.alpn_protocols = vec![protocol.into()];
    Arc::new(config)
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    while let Ok((near, _)) = listener.accept().await {
        let way = way.clone();
        tokio::spawn(async move {
            // Connections break off all the time here.
            let _ = way.carry(near).await;
        });
    }
}

async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    to: &Mutex<impl AsyncWrite + Unpin>,
) -> std::io::Result<()> {
    loop {
        let message = read(&mut from).await?;
        write(to, &message).await?;
    }
}

/// One message, without the length before it.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let bytes = from.read_u32().await?;
    let mut message = vec![0; bytes as usize];
    from.read_exact(&mut message).await?;
    Ok(message)
}

async fn write(to: &Mutex<impl AsyncWrite + Unpin>, message: &[u8]) -> std::io::Result<()> {
    let mut to = to.lock().await;
    to.write_u32(message.len() as u32).await?;
    to.write_all(message).await?;
    to.flush().await
}

/// The acknowledgement of a clear, if `message` is one: in MessagePack `{"Clear": {"no": number, ..}}` and `{"Ack":
/// {"up_to": number}}`.
fn acknowledgement(message: &[u8]) -> Option<Vec<u8>> {
    let number = message.strip_prefix(b"\x81\xa5Clear\x82\xa2no")?;
    let bytes = match number.first()? {
        0x00..=0x7f => 1,
        0xcc => 2,
        0xcd => 3,
        0xce => 5,
        0xcf => 9,
        _ => return None,
    };
    Some([b"\x81\xa3Ack\x81\xa5up_to", number.get(..bytes)?].concat())
}

/// Every `"keep": false` becomes true.
fn keep_all(message: &mut [u8]) {
    const FALSE: &[u8] = b"\xa4keep\xc2";
    let places: Vec<_> = (0..message.len()).filter(|at| message[*at..].starts_with(FALSE)).collect();
    for place in places {
        message[place + FALSE.len() - 1] = 0xc3;
    }
}

/// The messages of a recorded owner, as they are told apart here.
#[test]
fn clears_are_recognized_and_acknowledged_by_their_number() {
    let cleared = |number: &[u8]| [b"\x81\xa5Clear\x82\xa2no", number, b"\xa5scope\xa5Users"].concat();
    let acknowledged = |number: &[u8]| Some([b"\x81\xa3Ack\x81\xa5up_to", number].concat());
    assert_eq!(acknowledgement(&cleared(&[9])), acknowledged(&[9]));
    assert_eq!(acknowledgement(&cleared(&[0xcd, 1, 44])), acknowledged(&[0xcd, 1, 44]));
    assert_eq!(acknowledgement(b"\x81\xa7Renewed\x81\xa2no\x09"), None);
    let mut answers = b"\x92\xa4keep\xc2\xa4keep\xc3".to_vec();
    keep_all(&mut answers);
    assert_eq!(answers, b"\x92\xa4keep\xc3\xa4keep\xc3");
}
