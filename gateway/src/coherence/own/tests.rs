//! One read, one change, and a look, in every order in which their steps can fall.

use origin::regional::UserRow;
use prometheus::Registry;

use super::*;
use crate::coherence::{self, Sessions};
use crate::metrics::Metrics;
use crate::test_store::{ACCOUNT, BUCKET, TestStore, create_bucket};
use crate::topology::Topology;

fn alice() -> Subject {
    Subject::User { access_key: "ALICE".into() }
}

/// A change of hers.
fn of_alice() -> Scope {
    Scope::AccessKeys(["ALICE".into()].into())
}

/// What the store says of her at a version.
fn said(version: u8) -> Found<Kept> {
    let row = UserRow { access_key: "ALICE".into(), value: vec![version] };
    Found { facts: None, value: Some(Kept::user(row)), was_held: false }
}

fn version(found: Option<Found<Kept>>) -> Option<u8> {
    Some(found?.value?.into_user()?.row.value[0])
}

/// The steps that are left of a read of the store, and of a change of what is read.
#[derive(Clone, Copy)]
struct Left {
    read: usize,
    change: usize,
}

/// What has been done so far: 'r' is the read's next step, 'c' the change's.
fn orders(left: Left) -> Vec<String> {
    let mut all = Vec::new();
    for (step, may, then) in [
        ('r', left.read > 0, Left { read: left.read.saturating_sub(1), ..left }),
        ('c', left.change > 0, Left { change: left.change.saturating_sub(1), ..left }),
    ] {
        if may {
            all.extend(orders(then).into_iter().map(|rest| format!("{step}{rest}")));
        }
    }
    if all.is_empty() { vec![String::new()] } else { all }
}

/// A read is begun, the store read, and what it said kept; a change is announced, committed, and over. Once it was
/// committed nothing older is found, and what no change came across is kept.
#[test]
fn rule_1_holds_in_every_order_of_a_read_and_a_change() {
    let (mut kept, mut not_kept) = (0, 0);
    for order in orders(Left { read: 3, change: 3 }) {
        let own = Own::new(&Room::new(1 << 20));
        let (mut store, mut reading, mut read, mut changing) = (1, None, None, None);
        let (mut read_steps, mut change_steps) = (0, 0);
        for step in order.chars() {
            match step {
                'r' => {
                    match read_steps {
                        0 => reading = Some(own.begin_to_read(&alice())),
                        1 => read = Some(said(store)),
                        _ => reading.take().expect("begun").keep(&read.take().expect("read")),
                    }
                    read_steps += 1;
                }
                _ => {
                    match change_steps {
                        0 => changing = Some(own.announced(&of_alice())),
                        1 => store = 2,
                        _ => drop(changing.take()),
                    }
                    change_steps += 1;
                }
            }
            let found = version(own.look(&alice()));
            assert!(found.is_none_or(|found| found == store), "{order}: {found:?} of {store}");
        }
        match version(own.look(&alice())) {
            Some(_) => kept += 1,
            None => not_kept += 1,
        }
    }
    // Of 20 orders, one has the read begin after the change is over; in one it ends before, and is taken away.
    assert_eq!((kept, not_kept), (1, 19));
}

/// A change of one key leaves what is known of another, and of the bucket; one of the bucket takes all of it.
#[test]
fn a_change_takes_what_it_touches() {
    let own = Own::new(&Room::new(1 << 20));
    let object = |key: &str| Subject::Object { bucket: "b".into(), key: key.into(), version: None };
    let keep = |subject: &Subject| own.begin_to_read(subject).keep(&said(1));
    let facts = Subject::Facts { bucket: "b".into() };
    for subject in [&facts, &alice()] {
        keep(subject);
        assert_eq!(version(own.look(subject)), Some(1));
    }
    drop(own.announced(&Scope::Keys { bucket: "b".into(), keys: ["k".into()].into() }));
    assert!(own.look(&facts).is_some() && own.look(&alice()).is_some());
    assert!(own.look(&object("k")).is_none());
    drop(own.announced(&Scope::Bucket("b".into())));
    assert!(own.look(&facts).is_none() && own.look(&alice()).is_some());
    drop(own.announced(&Scope::AccessKeys(["BOB".into()].into())));
    assert!(own.look(&alice()).is_some());
    drop(own.announced(&of_alice()));
    assert!(own.look(&alice()).is_none());
}

/// Whoever gives up in the middle of a read leaves nothing behind.
#[test]
fn a_read_that_is_given_up_is_forgotten() {
    let own = Own::new(&Room::new(1 << 20));
    drop(own.begin_to_read(&alice()));
    assert!(own.lock().reading.is_empty());
}

/// Names that are made up push nothing out, and a bucket that is made is there for whoever asks next.
#[tokio::test]
async fn what_is_asked_at_the_door_is_kept_if_it_is_there() {
    let own = Own::new(&Room::new(1 << 20));
    let topology = Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:1")]).expect("good");
    let (settings, metrics) = (coherence::Settings::default(), Metrics::new(&Registry::new()));
    let sessions = Sessions::new(settings, Arc::new(topology), metrics, own.clone());
    let stored = TestStore::open_with(&sessions, None).await;
    let at_door = async |bucket: &str| own.facts_at_door(&stored.store, bucket).await.expect("said");
    let is_kept = |bucket: &str| own.look(&Subject::Facts { bucket: bucket.into() }).is_some();
    assert!(at_door(BUCKET).await.is_some() && is_kept(BUCKET));
    assert!(at_door("made-up").await.is_none() && !is_kept("made-up"));
    create_bucket(&stored.store, "made-up", ACCOUNT).await;
    assert!(at_door("made-up").await.is_some() && is_kept("made-up"));
}
