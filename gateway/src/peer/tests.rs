//! Two ends of the channel between nodes: who is let in, and what is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cache::{Purpose, Source as _, SourceError};
use futures::TryStreamExt;
use origin::Directory;
use origin::head::PAGE_BYTES;
use origin::regional::{LeaseClass, UserRow};
use pingora::listeners::ALPN;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Ssl;
use pingora::protocols::l4::stream::Stream;
use prometheus::Registry;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::server::StreamLimits;
use super::*;
use crate::client::Client;
use crate::coherence::scope::Subject;
use crate::coherence::wire::{self, FromNode, FromOwner};
use crate::coherence::{
    self, Follower, FollowerParts, Kept, OnHomeLoss, Own, Room, Sessions, Unanswered, Use,
};
use crate::identity::{Accounts, AccountsFromHome, ClusterKeys, FromHome, Identities, StoredUser, User};
use crate::listen::OtherProtocol;
use crate::metrics::Metrics;
use crate::sigv4::SecretKey;
use crate::test_store::{BUCKET, TestStore};
use crate::test_until::{WITHIN, until};
use crate::test_user;
use crate::topology::{RegionName, Topology};

/// A cluster's authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("self-signed").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Credentials of the node whose certificate carries `name`.
    fn credentials(&self, name: &str) -> Credentials {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("params");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        let pems =
            [self.pem.as_bytes(), certificate.as_bytes(), key.serialize_pem().as_bytes()].map(<[u8]>::to_vec);
        Credentials::from_pem(&pems[0], &pems[1], &pems[2]).expect("credentials")
    }
}

/// A node with a store and a peer listener.
struct Node {
    address: SocketAddr,
    stored: TestStore,
    /// With every connection to it.
    listening: JoinHandle<()>,
}

impl Node {
    /// One that is home.
    async fn start(credentials: &Credentials) -> Self {
        Self::start_with(credentials, Some(Arc::default()), StreamLimits::default()).await
    }

    /// One that is home where it has accounts.
    async fn start_with(
        credentials: &Credentials,
        accounts: Option<Arc<Accounts>>,
        limits: StreamLimits,
    ) -> Self {
        Self::start_speaking(credentials, accounts, limits, |_| {}).await
    }

    /// One that offers other protocols in the handshake than a node of today.
    async fn start_speaking(
        credentials: &Credentials,
        accounts: Option<Arc<Accounts>>,
        limits: StreamLimits,
        names: fn(&mut Vec<Vec<u8>>),
    ) -> Self {
        let metrics = Metrics::new(&Registry::new());
        let regions = [("ord1", "127.0.0.1:1"), ("las1", "127.0.0.1:2"), ("lga1", "127.0.0.1:3")];
        let topology = Arc::new(Topology::new("penstock.localhost", "ord1", regions).expect("topology"));
        // No change gives a node up because the machine is busy.
        let settings = coherence::Settings { max_ack_wait: WITHIN, ..coherence::Settings::default() };
        let sessions = Sessions::new(settings, topology.clone(), metrics, Own::new(&Room::new(0)));
        let stored = TestStore::open_with(&sessions, accounts).await;
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(credentials.client_verifier(&topology).expect("verifier"))
            .with_cert_resolver(credentials.server_certificate().expect("certificate"));
        let server = Arc::new(Server::with_limits(stored.store.clone(), limits));
        let protocols: [Arc<dyn OtherProtocol>; 2] = [sessions, server];
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.name().to_vec()).collect();
        names(&mut tls.alpn_protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let tls = Arc::new(Acceptor::from_server_config(Arc::new(tls)));
        let listening = tokio::spawn(accept(listener, tls, protocols));
        Self { address, stored, listening }
    }
}

async fn accept(listener: TcpListener, tls: Arc<Acceptor>, protocols: [Arc<dyn OtherProtocol>; 2]) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, protocols) = (tls.clone(), protocols.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.tls_handshake(Stream::from(socket)).await else { return };
            let Some(ALPN::Custom(chosen)) = stream.selected_alpn_proto() else { return };
            let protocol = protocols.iter().find(|protocol| protocol.name() == chosen.protocol());
            let (_stop, stopped) = tokio::sync::watch::channel(false);
            protocol.expect("one of those offered").converse(Box::new(stream), stopped).await;
        });
    }
}

/// How a node with `credentials` reaches ord1 at `address`.
fn ord1(credentials: &Credentials, address: SocketAddr) -> Arc<Peer> {
    let topology = Topology::new("penstock.localhost", "ord1", [("ord1", address.to_string().as_str())]);
    let limits =
        Limits { connect_timeout: WITHIN, ask_timeout: WITHIN, read_timeout: WITHIN, ..Limits::default() };
    let metrics = Metrics::new(&Registry::new());
    let peers = Peers::new(&topology.expect("topology"), credentials, limits, &metrics).expect("peers");
    peers.peer("ord1").expect("ord1").clone()
}

/// The sessions of las1 with that node.
fn follow(credentials: &Credentials, address: SocketAddr, class: LeaseClass) -> Arc<Follower> {
    follow_over(ord1(credentials, address), class)
}

fn follow_over(peer: Arc<Peer>, class: LeaseClass) -> Arc<Follower> {
    Follower::new(FollowerParts {
        peer,
        class,
        here: RegionName::parse("las1").expect("name"),
        room: Room::new(1 << 20),
        idle_after: None,
        metrics: Metrics::new(&Registry::new()),
    })
}

/// Asks for the user ALICE.
async fn find_alice(home: &Arc<Follower>) -> Result<Option<UserRow>, Unanswered> {
    let found = home.find(Subject::User { access_key: "ALICE".into() }, Use::LookAndKeep).await?;
    Ok(found.value.and_then(Kept::into_user).map(|user| user.row.clone()))
}

fn alice() -> UserRow {
    UserRow { access_key: "ALICE".into(), value: b"sealed".to_vec() }
}

#[tokio::test]
async fn a_node_of_the_cluster_is_answered() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let credentials = cluster.credentials("las1.peer.penstock.localhost");
    let home = follow(&credentials, node.address, LeaseClass::Users);
    assert_eq!(find_alice(&home).await.expect("answer"), None);
    node.stored.store.change_users(vec![alice()], Vec::new()).await.expect("put");
    assert_eq!(find_alice(&home).await.expect("answer"), Some(alice()));
    assert!(home.is_live());
}

/// Of the keys that a client makes up, as many as it may miss are kept; a user is found, and kept, behind all of them.
#[tokio::test]
async fn of_keys_that_are_made_up_a_bounded_number_is_kept() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let keys = Arc::new(ClusterKeys::parse(&ClusterKeys::generate()).expect("generated"));
    let User { access_key, .. } = test_user::alice();
    let value = StoredUser::seal(test_user::alice(), 1, &SecretKey::new("s3cret"), &keys).to_bytes();
    let row = UserRow { access_key: access_key.clone(), value };
    node.stored.store.change_users(vec![row], Vec::new()).await.expect("put");
    let credentials = cluster.credentials("las1.peer.penstock.localhost");
    let home = follow(&credentials, node.address, LeaseClass::Users);
    let metrics = Metrics::new(&Registry::new());
    let identities = FromHome::new(home.clone(), keys, OnHomeLoss::Refuse, metrics);
    let find = async |key: &str| identities.find(key, Client::default()).await.expect("answered");
    let holds = |key: &str| home.holds(&Subject::User { access_key: key.into() });
    // How many it takes is a matter of time: a few more may be kept with each second.
    let mut made_up = (0..10_000).map(|number| format!("PKMADEUP{number}"));
    loop {
        let key = made_up.next().expect("not all of them are kept");
        assert!(find(&key).await.is_none());
        if !holds(&key) {
            break;
        }
    }
    assert!(find(&access_key).await.is_some());
    assert!(holds(&access_key), "it is asked about each time");
}

/// What an ACL names is asked of home, and of nobody else.
#[tokio::test]
async fn accounts_are_asked_of_home() {
    let cluster = Authority::new();
    let alice = User { email: "alice@example.com".into(), ..test_user::alice() };
    let accounts = Arc::new(Accounts::default());
    accounts.replace([&alice]);
    let ours = cluster.credentials("ord1.peer.penstock.localhost");
    let theirs = cluster.credentials("las1.peer.penstock.localhost");
    let home = Node::start_with(&ours, Some(accounts), StreamLimits::default()).await;
    let directory = AccountsFromHome::new(follow(&theirs, home.address, LeaseClass::Users));
    let owner = directory.by_id(&alice.account.canonical_id).await.expect("answered").expect("known");
    assert_eq!((owner.id, owner.display_name.as_str()), (alice.account.canonical_id, "Research"));
    assert_eq!(directory.by_id(&"cd".repeat(32)).await.expect("answered"), None);
    assert_eq!(directory.by_email("Alice@example.com").await.expect("answered").len(), 1);
    assert!(directory.by_email("bob@example.com").await.expect("answered").is_empty());

    let elsewhere = Node::start_with(&ours, None, StreamLimits::default()).await;
    let directory = AccountsFromHome::new(follow(&theirs, elsewhere.address, LeaseClass::Users));
    assert!(directory.by_email("alice@example.com").await.is_err(), "who is not home does not say");
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused_by_the_server() {
    let (cluster, other) = (Authority::new(), Authority::new());
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    // It believes the cluster's authority, but its own certificate is of another.
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(["las1.peer.penstock.localhost".to_owned()]).expect("params");
    let stranger = params.signed_by(&key, &other.issuer).expect("signed").pem();
    let credentials =
        Credentials::from_pem(cluster.pem.as_bytes(), stranger.as_bytes(), key.serialize_pem().as_bytes());
    let home = follow(&credentials.expect("usable"), node.address, LeaseClass::Users);
    let refused = find_alice(&home).await;
    assert!(matches!(refused, Err(Unanswered::Asking(AskError::Unreachable(_)))), "{refused:?}");
}

/// The owner takes what is said on a stream for what the node of that region has heard: another node's certificate opens it
/// for nobody else.
#[tokio::test]
async fn a_node_with_another_nodes_certificate_is_given_no_session() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    for (name, is_taken) in [
        ("las1.peer.penstock.localhost", true),
        ("lga1.peer.penstock.localhost", false),
        ("ord1.peer.penstock.localhost", false),
    ] {
        let connecting = ord1(&cluster.credentials(name), node.address);
        let mut stream = connecting.connect_for_session().await.expect("of the same authority");
        let (newest, oldest) = (wire::PROTOCOL, wire::PROTOCOL_OLDEST);
        let open = FromNode::Open { newest, oldest, class: wire::Class::Users, node: "las1".into() };
        stream.write_all(&wire::encode(&open)).await.expect("sent");
        stream.flush().await.expect("sent");
        // Closed without the closing that TLS wants is closed too.
        let answered = wire::read::<FromOwner>(&mut stream).await.ok().flatten();
        assert_eq!(matches!(answered, Some(FromOwner::Opened { .. })), is_taken, "{name}: {answered:?}");
    }
}

/// Whoever shakes hands may ask for anything that nodes ask for: a certificate of the cluster's authority is not enough, it has
/// to be that of a region's node.
#[tokio::test]
async fn a_certificate_of_no_region_is_refused_by_the_server() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    for (name, is_let_in) in [
        ("las1.peer.penstock.localhost", true),
        ("lga1.peer.penstock.localhost", true),
        ("phx1.peer.penstock.localhost", false),
        ("las1.peer.another.localhost", false),
        ("las1.penstock.localhost", false),
        ("peer.penstock.localhost", false),
    ] {
        let peer = ord1(&cluster.credentials(name), node.address);
        let asked = peer.pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
        match asked {
            Err(SourceError::Gone) => assert!(is_let_in, "{name}"),
            Err(SourceError::Broken(_)) => assert!(!is_let_in, "{name}"),
            Ok(_) | Err(SourceError::Busy) => panic!("{name}: there are no such pages"),
        }
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused_by_the_server() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::pem::PemObject::from_pem_slice(cluster.pem.as_bytes()).expect("PEM"))
        .expect("root");
    let provider = Arc::new(ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut tls = tls.expect("versions").with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![frames::ALPN.to_vec()];
    let tcp = tokio::net::TcpStream::connect(node.address).await.expect("connect");
    let name = ServerName::try_from("ord1.peer.penstock.localhost").expect("a name");
    let refused = async {
        // The client's part of the handshake ends before the server has looked at it.
        let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?;
        stream.read_u8().await
    };
    let refused = refused.await;
    assert!(
        refused.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::InvalidData),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_node_of_another_region_is_not_taken_for_the_one_asked() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("lga1.peer.penstock.localhost")).await;
    let home = follow(&cluster.credentials("las1.peer.penstock.localhost"), node.address, LeaseClass::Users);
    let refused = find_alice(&home).await;
    let Err(Unanswered::Asking(AskError::Unreachable(reason))) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("not valid for name"), "{reason}");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unreachable_soon() {
    let cluster = Authority::new();
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    let home = follow(&cluster.credentials("las1.peer.penstock.localhost"), nobody, LeaseClass::Users);
    let refused = find_alice(&home).await.expect_err("nobody answers");
    let refused = s3s::S3Error::from(refused);
    assert_eq!(refused.status_code(), Some(http::StatusCode::SERVICE_UNAVAILABLE));
    assert!(refused.headers().is_some_and(|headers| headers.contains_key(http::header::RETRY_AFTER)));
}

/// An owner of before there was a protocol of pages: its heads are had, and what it cannot say is told apart from an owner
/// that is out of reach.
#[tokio::test]
async fn an_owner_that_speaks_of_no_pages_is_said_to() {
    let cluster = Authority::new();
    let earlier = |names: &mut Vec<Vec<u8>>| {
        names.retain(|name| name != frames::ALPN);
        names.push(b"http/1.1".to_vec());
    };
    let ours = cluster.credentials("ord1.peer.penstock.localhost");
    let theirs = cluster.credentials("las1.peer.penstock.localhost");
    let node = Node::start_speaking(&ours, Some(Arc::default()), StreamLimits::default(), earlier).await;
    let refused = ord1(&theirs, node.address).pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
    let Err(SourceError::Broken(reason)) = refused else { panic!("it answers") };
    assert_eq!(reason.to_string(), "region answers wrongly: it does not speak penstock-pages/1");
    let home = follow(&theirs, node.address, LeaseClass::Users);
    assert_eq!(find_alice(&home).await.expect("answer"), None);
}

/// A node of a release that speaks a second version of pages too, beside one of today: both speak the first.
#[tokio::test]
async fn a_release_that_speaks_of_pages_otherwise_steps_down() {
    let cluster = Authority::new();
    let ours = cluster.credentials("ord1.peer.penstock.localhost");
    let theirs = cluster.credentials("las1.peer.penstock.localhost");
    let later = |names: &mut Vec<Vec<u8>>| names.insert(0, b"penstock-pages/2".to_vec());
    let owner = Node::start_speaking(&ours, None, StreamLimits::default(), later).await;
    let gone = ord1(&theirs, owner.address).pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
    assert!(matches!(gone, Err(SourceError::Gone)), "an owner of a later release");

    let owner = Node::start(&ours).await;
    let mut tls = theirs.client_config().expect("usable");
    tls.alpn_protocols = vec![b"penstock-pages/2".to_vec(), frames::ALPN.to_vec()];
    let tcp = tokio::net::TcpStream::connect(owner.address).await.expect("connect");
    let name = ServerName::try_from("ord1.peer.penstock.localhost").expect("a name");
    let node = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.expect("a common protocol");
    assert_eq!(node.get_ref().1.alpn_protocol(), Some(frames::ALPN), "a node of a later release");
}

/// Around the edges of pages and of what one write holds.
#[tokio::test]
async fn pages_arrive_as_they_are_stored() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    for bytes in [20_000, PAGE_BYTES, PAGE_BYTES + 1, 11 * PAGE_BYTES - 1] {
        let object: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
        node.stored.put("k", object.clone()).await;
        let head = node.stored.store.resolve(BUCKET, "k", None).await.expect("resolve").head.expect("head");
        let instance = cache::Instance(*head.instance.as_bytes());
        for pages in [0..bytes.div_ceil(PAGE_BYTES), 0..1, 1..3, 10..11] {
            let got: Vec<_> = peer
                .pages(instance, pages.clone(), Purpose::Fill)
                .await
                .expect("found")
                .try_collect()
                .await
                .expect("whole");
            assert!(got.iter().all(|page| {
                origin::regional::Page { bytes: page.bytes.clone(), crc32c: page.crc32c }.is_intact()
            }));
            let got: Vec<u8> = got.into_iter().flat_map(|page| page.bytes).collect();
            let end = (pages.end * PAGE_BYTES).min(bytes);
            let start = (pages.start * PAGE_BYTES).min(end);
            assert!(got == object[start as usize..end as usize], "{bytes} {pages:?}");
        }
    }
}

/// A read past a cache that takes its time leaves the places of fills alone. One more of its kind waits, is told, and
/// gets the place once it is free.
#[tokio::test]
async fn slow_direct_reads_do_not_hold_up_fills() {
    // More than lies in sockets between two nodes, so that a reader that stops stops the owner.
    const PAGES_COUNT: u64 = 512;
    let cluster = Authority::new();
    let limits = StreamLimits { fills_max: 1, direct_reads_max: 1, wait_max: Duration::from_millis(200) };
    let node = Node::start_with(&cluster.credentials("ord1.peer.penstock.localhost"), None, limits).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    node.stored.put("k", vec![7; (PAGES_COUNT * PAGE_BYTES) as usize]).await;
    let head = node.stored.store.resolve(BUCKET, "k", None).await.expect("resolve").head.expect("head");
    let instance = cache::Instance(*head.instance.as_bytes());

    let mut slow = peer.pages(instance, 0..PAGES_COUNT, Purpose::Direct).await.expect("found");
    slow.try_next().await.expect("a page").expect("not the end");
    let refused = peer.pages(instance, 0..1, Purpose::Direct).await;
    assert!(matches!(refused, Err(SourceError::Busy)));
    let filled = peer.pages(instance, 0..PAGES_COUNT, Purpose::Fill).await.expect("found");
    assert_eq!(filled.try_fold(0, async |count, _| Ok(count + 1)).await.expect("whole"), PAGES_COUNT);

    drop(slow);
    until("the place is free", async || {
        let answer = peer.pages(instance, 0..1, Purpose::Direct).await;
        assert!(matches!(answer, Ok(_) | Err(SourceError::Busy)));
        answer.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_gone() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    let gone = peer.pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
    assert!(matches!(gone, Err(SourceError::Gone)));
}

/// What a name stands for now; and nothing where its bytes travel with its head, or there are none.
#[tokio::test]
async fn pages_are_had_by_name() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    let named = |key: &str| Name { bucket: BUCKET.into(), key: key.into(), version: None };
    for (key, bytes) in [("k", 3 * PAGE_BYTES), ("k", 2 * PAGE_BYTES + 1), ("small", 100), ("empty", 0)] {
        node.stored.put(key, vec![bytes as u8; bytes as usize]).await;
        let resolved = node.stored.store.resolve(BUCKET, key, None).await.expect("resolve");
        let got = peer.pages_of(named(key), 1..10).await.expect("answered");
        let Some((instance, pages)) = got else {
            assert!(bytes < PAGE_BYTES, "{key} has pages");
            continue;
        };
        assert_eq!(instance.0, *resolved.head.expect("head").instance.as_bytes());
        let got: Vec<_> = pages.try_collect().await.expect("whole");
        assert_eq!(got.iter().map(|page| page.bytes.len() as u64).sum::<u64>(), bytes - PAGE_BYTES);
    }
    assert!(peer.pages_of(named("absent"), 0..1).await.expect("answered").is_none());
}

/// One connection carries one answer after another; one that the other side has closed is replaced unnoticed.
#[tokio::test]
async fn connections_are_used_again() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    for _ in 0..3 {
        let gone = peer.pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
        assert!(matches!(gone, Err(SourceError::Gone)));
        assert_eq!(peer.idle_count(), 1);
    }
    peer.break_idle().await;
    let gone = peer.pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
    assert!(matches!(gone, Err(SourceError::Gone)), "a connection that broke while it waited");
    peer.rest();
    assert_eq!(peer.idle_count(), 0);
}

/// Where one that waits turns out to be dead, those that wait with it are not asked one after the other: the question goes over
/// a new one, and they are tried meanwhile.
#[tokio::test]
async fn a_question_is_asked_again_over_a_new_connection() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let relay = Relay::start(node.address).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), relay.address);
    peer.keep_connected();
    until("connections wait", async || peer.idle_count() == lines::KEPT_OPEN).await;
    // None of them is closed, and nothing comes back.
    relay.stop_those_there();
    peer.break_next().await;
    let gone = peer.pages(cache::Instance([7; 16]), 0..3, Purpose::Fill).await;
    assert!(matches!(gone, Err(SourceError::Gone)));
    assert_eq!(peer.idle_count(), 1, "the new one alone: whether the others are good is not known");
    peer.keep_connected();
    until("others take the place of those that are gone", async || peer.idle_count() > 1).await;
}

/// Carries connections to a node, until it stops.
struct Relay {
    address: SocketAddr,
    stop: Arc<tokio::sync::watch::Sender<u64>>,
    _carrying: AbortOnDropHandle<()>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let stop = Arc::new(tokio::sync::watch::Sender::new(0));
        let stopping = stop.clone();
        let carrying = async move {
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                let mut stopped = stopping.subscribe();
                connections.spawn(async move {
                    let mut to = tokio::net::TcpStream::connect(to).await.expect("connect");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                        // Both stay open.
                        _ = stopped.changed() => std::future::pending().await,
                    }
                });
            }
        };
        Self { address, stop, _carrying: AbortOnDropHandle::new(tokio::spawn(carrying)) }
    }

    /// From now on nothing passes on the connections that there are.
    fn stop_those_there(&self) {
        self.stop.send_modify(|times| *times += 1);
    }
}

/// Whoever has all the pages that were wanted does not look for the end: the connection is free all the same. Where more
/// would come it is closed.
#[tokio::test]
async fn a_connection_is_free_after_the_last_page() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    node.stored.put("k", vec![7; 3 * PAGE_BYTES as usize]).await;
    let found = node.stored.store.resolve(BUCKET, "k", None).await.expect("resolve");
    let instance = cache::Instance(*found.head.expect("head").instance.as_bytes());
    for taken_count in [3, 1, 3] {
        let mut pages = peer.pages(instance, 0..3, Purpose::Fill).await.expect("found");
        assert_eq!(peer.idle_count(), 0);
        for _ in 0..taken_count {
            pages.try_next().await.expect("a page").expect("not the end");
        }
        drop(pages);
        if taken_count == 3 {
            until("the connection is free", async || peer.idle_count() > 0).await;
        }
    }
}

/// Beside an answer on its way connections wait for the next one, though the owner is left alone otherwise; behind the last
/// one none does.
#[tokio::test]
async fn connections_end_with_the_last_answer_once_the_owner_is_left_alone() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    node.stored.put("k", vec![7; 3 * PAGE_BYTES as usize]).await;
    let found = node.stored.store.resolve(BUCKET, "k", None).await.expect("resolve");
    let instance = cache::Instance(*found.head.expect("head").instance.as_bytes());
    let begin = async || peer.pages(instance, 0..3, Purpose::Fill).await.expect("found");
    let end = async |pages: cache::Pages| {
        assert_eq!(pages.try_fold(0, async |count, _| Ok(count + 1)).await.expect("whole"), 3);
    };
    let (first, second) = (begin().await, begin().await);
    peer.rest();
    end(first).await;
    assert_eq!(peer.idle_count(), 1, "for the next window");
    end(begin().await).await;
    assert_eq!(peer.idle_count(), 1, "over the same connection");
    end(second).await;
    assert_eq!(peer.idle_count(), 0);
    // With a session it is as before.
    peer.keep_connected();
    end(begin().await).await;
    assert!(peer.idle_count() > 0);
}

/// Connections for pages end with the session, also where that ends because its owner is gone.
#[tokio::test]
async fn connections_end_with_a_session_whose_owner_is_gone() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    let objects = follow_over(peer.clone(), LeaseClass::Objects);
    let facts = Subject::Facts { bucket: BUCKET.into() };
    assert!(objects.find(facts, Use::LookAndKeep).await.expect("answered").value.is_some());
    until("connections wait", async || peer.idle_count() == lines::KEPT_OPEN).await;
    node.listening.abort();
    until("none waits any more", async || peer.idle_count() == 0).await;
    assert!(!objects.is_live());
}

/// Looking after connections opens some where there are none.
#[tokio::test]
async fn connections_are_there_before_they_are_needed() {
    let cluster = Authority::new();
    let node = Node::start(&cluster.credentials("ord1.peer.penstock.localhost")).await;
    let peer = ord1(&cluster.credentials("las1.peer.penstock.localhost"), node.address);
    peer.keep_connected();
    until("connections wait", async || peer.idle_count() == lines::KEPT_OPEN).await;
}

#[test]
fn a_forwarded_request_says_so_once_and_exactly() {
    let of = |values: &[&'static str]| {
        let headers = values.iter().map(|value| (CHANNEL_HEADER, http::HeaderValue::from_static(value)));
        is_forward(&headers.collect())
    };
    assert!(of(&["forward"]));
    for wrong in [&[][..], &["Forward"], &["forward", "forward"], &["session"], &["blob"], &["forward, blob"]]
    {
        assert!(!of(wrong), "{wrong:?}");
    }
}
