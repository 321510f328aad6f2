//! Heads as they are kept, confirmed, replaced and not kept.

use prometheus::Registry;

use super::*;
use crate::coherence::{self, Own, Room, Sessions};
use crate::metrics::Metrics;
use crate::test_store::{BUCKET, TestStore};
use crate::topology::{RegionName, Topology};

struct Rig {
    stored: TestStore,
    owner: Owner,
    heads: Heads,
}

impl Rig {
    async fn new() -> Self {
        let region = RegionName::parse("ord1").expect("name");
        let metrics = Metrics::new(&Registry::new());
        let topology = Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:1")]).expect("good");
        let kept = Own::new(&Room::new(1 << 20));
        let sessions =
            Sessions::new(coherence::Settings::default(), Arc::new(topology), metrics.clone(), kept.clone());
        let stored = TestStore::open_with(&sessions, None).await;
        let owner = Owner::Own { region, store: stored.store.clone(), kept, metrics };
        Self { stored, owner, heads: Heads::new() }
    }

    async fn found(&self, bucket: &str, key: &str, mode: Mode) -> Found {
        let name = ObjectName { bucket: bucket.into(), key: key.into(), version: None };
        self.heads.current(&self.owner, &name, mode, Client::default()).await.expect("answer").expect("found")
    }

    async fn etag(&self, mode: Mode) -> (Option<String>, bool) {
        let found = self.found(BUCKET, "cat.jpg", mode).await;
        (found.object.map(|object| object.head.etag.clone()), found.was_known)
    }
}

fn md5(of: &str) -> Option<String> {
    match of {
        "a" => Some("0cc175b9c0f1b6a831c399e269772661".into()),
        "b" => Some("92eb5ffee6ae2fec3ad71c777531578f".into()),
        _ => None,
    }
}

#[tokio::test]
async fn an_unchanged_head_is_confirmed_and_a_changed_one_replaced() {
    let rig = Rig::new().await;
    assert_eq!(rig.etag(Mode::Fill).await, (None, false));
    rig.stored.put("cat.jpg", "a").await;
    assert_eq!(rig.etag(Mode::Fill).await, (md5("a"), false));
    assert_eq!(rig.etag(Mode::Fill).await, (md5("a"), true));
    rig.stored.put("cat.jpg", "b").await;
    assert_eq!(rig.etag(Mode::Fill).await, (md5("b"), false));
    assert_eq!(rig.etag(Mode::Fill).await, (md5("b"), true));
    rig.stored.delete("cat.jpg").await;
    assert_eq!(rig.etag(Mode::Fill).await, (None, false));
}

/// The same bytes put again are another head: what was confirmed is the revision, not the ETag.
#[tokio::test]
async fn the_same_bytes_put_again_are_not_confirmed() {
    let rig = Rig::new().await;
    rig.stored.put("cat.jpg", "a").await;
    rig.etag(Mode::Fill).await;
    rig.stored.put("cat.jpg", "a").await;
    assert_eq!(rig.etag(Mode::Fill).await, (md5("a"), false));
}

#[tokio::test]
async fn looking_only_keeps_nothing_and_bypassing_does_not_even_look() {
    let rig = Rig::new().await;
    rig.stored.put("cat.jpg", "a").await;
    assert_eq!(rig.etag(Mode::LookOnly).await, (md5("a"), false));
    assert_eq!(rig.etag(Mode::Bypass).await, (md5("a"), false));
    assert_eq!(rig.etag(Mode::Fill).await, (md5("a"), false));
    assert_eq!(rig.etag(Mode::LookOnly).await, (md5("a"), true));
    assert_eq!(rig.etag(Mode::Bypass).await, (md5("a"), false));
}

#[tokio::test]
async fn a_missing_key_has_facts_and_a_missing_bucket_none() {
    let rig = Rig::new().await;
    assert!(rig.found(BUCKET, "missing", Mode::Fill).await.facts.is_some());
    assert!(rig.found("nobucket", "missing", Mode::Fill).await.facts.is_none());
}

/// Of what is not there each is charged once, however often it is asked for while it is held: what a client may miss is gone
/// with as many names, and not sooner.
#[tokio::test]
async fn what_is_held_already_is_not_charged_again() {
    let rig = Rig::new().await;
    let client = Client::default();
    for _ in 0..1500 {
        let facts = rig.heads.facts(&rig.owner, "nobucket", client).await.expect("answered");
        assert!(facts.is_none());
        assert!(rig.found(BUCKET, "missing", Mode::Fill).await.object.is_none());
    }
    assert!(rig.heads.misses.has_room(client).await);
    let mut names = 0;
    while rig.heads.misses.has_room(client).await {
        names += 1;
        assert!(names < 5000, "no limit");
        assert!(
            rig.heads
                .facts(&rig.owner, &format!("nobucket-{names}"), client)
                .await
                .expect("answered")
                .is_none()
        );
    }
    assert!(names >= 998, "{names}");
}
