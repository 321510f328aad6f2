//! What the tasks around [`Node`] do with streams that stop in the middle.

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::cluster::ClusterDir;
use crate::coherence::wire::{self, Cleared, FromNode, FromOwner, PROTOCOL};
use crate::peer::{Credentials, Limits, Peers};
use crate::test_until::WITHIN;
use crate::topology::Topology;
use prometheus::Registry;

/// The sessions of las1 with ord1, whose silence is borne for `ask_timeout`.
fn follower(ask_timeout: Duration) -> Arc<Follower> {
    let dir = tempfile::tempdir().expect("folder");
    let cluster = ClusterDir::under(dir.path());
    let topology =
        Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:1"), ("las1", "127.0.0.1:2")]);
    let (topology, here) = (topology.expect("topology"), RegionName::parse("las1").expect("name"));
    cluster.init().expect("authority");
    cluster.make_node(&here, &topology).expect("certificate");
    let credentials = Credentials::load(cluster.path(), &here).expect("credentials");
    let metrics = Metrics::new(&Registry::new());
    let limits = Limits { ask_timeout, ..Limits::default() };
    let peers = Peers::new(&topology, &credentials, limits, &metrics).expect("peers");
    let peer = peers.peer("ord1").expect("ord1").clone();
    Follower::new(Parts {
        peer,
        class: LeaseClass::Users,
        here,
        room: Room::new(1 << 20),
        idle_after: None,
        metrics,
    })
}

async fn say(owner: &mut DuplexStream, message: FromOwner) {
    owner.write_all(&wire::encode(&message)).await.expect("the node reads");
}

async fn hear(owner: &mut DuplexStream) -> FromNode {
    wire::read(owner).await.expect("a message").expect("not the end")
}

/// An owner may say something else before its way to the node breaks: the answer that is owed does not come all the same.
#[tokio::test]
async fn a_word_about_something_else_is_no_answer() {
    // Longer than the owner below takes for its words, and waited out.
    let follower = follower(Duration::from_secs(3));
    let (near, mut owner) = duplex(1 << 16);
    let ended = tokio::spawn(async move { follower.converse(near).await });
    assert!(matches!(hear(&mut owner).await, FromNode::Open { .. }));
    say(&mut owner, FromOwner::Opened { protocol: PROTOCOL }).await;
    assert!(matches!(hear(&mut owner).await, FromNode::Hello { .. }));
    say(&mut owner, FromOwner::Refused { again_after_millis: 1, resolves_max: 1 }).await;
    assert!(matches!(hear(&mut owner).await, FromNode::Hello { .. }));
    say(&mut owner, FromOwner::Clear { no: 1, scope: Cleared::Users }).await;
    let ended = timeout(WITHIN, ended).await.expect("the stream is given up");
    assert!(matches!(ended.expect("no panic"), Ended::Silence));
}
