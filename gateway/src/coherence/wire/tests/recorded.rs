//! Conversations of an earlier release, as a relay between two of its processes saw them, replayed with the machines of this
//! one.
//!
//! A line is one message: who said it, and its bytes in hex, without the length before them.

use std::time::Duration;

use super::*;
use crate::coherence::kept::{self, Kept};
use crate::coherence::node::{Keeping, Message as ToSend, Node, NodeSettings};
use crate::coherence::numbers::{ClearNo, Mark, RenewalNo, ResolveNo, SessionId, StreamNo, Waiter};
use crate::coherence::owner::{Outgoing, Owner, OwnerSettings, Read};

/// las1 with ord1, in the first release that had sessions: objects that come, change and go, and users.
const RECORDED: [&str; 2] = [include_str!("recorded/1-objects.txt"), include_str!("recorded/1-users.txt")];

enum Said {
    ByNode(FromNode),
    ByOwner(FromOwner),
}

fn conversation(recorded: &str) -> Vec<Said> {
    let said = |line: &str| {
        let (who, message) = line.split_once(' ').expect("two words a line");
        let message = framed(&hex::decode(message).expect("hex"));
        match who {
            "node" => {
                let read = one(read_now::<FromNode>(&message));
                assert_eq!(encode(&read), message, "this release says it otherwise");
                Said::ByNode(read)
            }
            "owner" => {
                let read = one(read_now::<FromOwner>(&message));
                assert_eq!(encode(&read), message, "this release says it otherwise");
                Said::ByOwner(read)
            }
            other => panic!("{other}"),
        }
    };
    recorded.lines().map(said).collect()
}

fn one<M: std::fmt::Debug>(messages: Result<Vec<M>, WireError>) -> M {
    let mut messages = messages.expect("an earlier release is understood");
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

/// Told what the earlier owner told, a node of today says word for word what the earlier node said.
#[test]
fn a_node_of_today_gets_on_with_a_recorded_owner() {
    for recorded in RECORDED {
        let settings = NodeSettings {
            weight_max: 1 << 20,
            asks_max: ASKS_MAX,
            ask_bytes_max: BATCH_BYTES_MAX,
            waiting_max: ASKS_MAX,
            idle_after: None,
        };
        let mut node: Node<Kept> = Node::new(settings);
        let (mut now, mut waiters) = (Duration::ZERO, 0);
        node.connected();
        let conversation = conversation(recorded);
        let asked_before = resolves_before(&conversation);
        for said in conversation {
            match said {
                Said::ByNode(FromNode::Open { .. }) | Said::ByOwner(FromOwner::Opened { .. }) => {}
                // The earlier one names the session that it had before, which this one has not.
                Said::ByNode(FromNode::Hello { .. }) => {
                    assert!(matches!(node.next_outgoing(now), Some(ToSend::Hello { .. })));
                }
                Said::ByNode(expected) => {
                    if let FromNode::Resolve { asks, .. } = &expected {
                        for ask in asks {
                            waiters += 1;
                            let waiter = Waiter(waiters);
                            node.ask(kept::subject(ask), waiter, Keeping::IfAllowed).expect("room");
                        }
                    }
                    if matches!(expected, FromNode::Renew { .. }) {
                        now = node.deadline().expect("a renewal is due some time");
                    }
                    let says = node.next_outgoing(now).expect("it has something to say");
                    assert_eq!(travelling(says, asked_before), expected);
                }
                Said::ByOwner(message) => hear(&mut node, now, message, asked_before),
            }
        }
        assert!(node.is_live(now) && node.status().kept_count > 0);
    }
}

/// How many resolves the recorded node had sent on streams before this one.
fn resolves_before(conversation: &[Said]) -> u64 {
    let first = conversation.iter().find_map(|said| match said {
        Said::ByNode(FromNode::Resolve { no, .. }) => Some(*no),
        Said::ByNode(_) | Said::ByOwner(_) => None,
    });
    first.expect("something is asked") - 1
}

fn travelling(message: ToSend, asked_before: u64) -> FromNode {
    match message {
        ToSend::Hello { previous } => {
            FromNode::Hello { previous: previous.map(|session| Id::from_bytes(session.0)) }
        }
        ToSend::Renew { no } => FromNode::Renew { no: no.0 },
        ToSend::Ack { up_to } => FromNode::Ack { up_to: up_to.0 },
        ToSend::Release(area) => FromNode::Release { area: area.into() },
        ToSend::Resolve { no, questions } => {
            let asks = questions.iter().map(kept::ask).collect();
            FromNode::Resolve { no: no.0 + asked_before, asks }
        }
        ToSend::Goodbye => FromNode::Goodbye,
    }
}

fn hear(node: &mut Node<Kept>, now: Duration, message: FromOwner, asked_before: u64) {
    match message {
        FromOwner::Welcome { session, lease_millis, resolves_max } => {
            let (session, lease) = (SessionId(*session.as_bytes()), Duration::from_millis(lease_millis));
            node.welcomed(now, session, lease, resolves_max as usize);
        }
        FromOwner::Renewed { no } => node.renewed(now, RenewalNo(no)),
        FromOwner::Answers { no, facts, answers } => {
            let served = node.answers(now, ResolveNo(no - asked_before), kept::answers(facts, answers));
            let served = served.expect("answers to what was asked");
            assert!(!served.is_empty() && served.iter().all(|(_, answer)| answer.is_ok()));
        }
        FromOwner::Clear { no, scope } => node.clear(ClearNo(no), &scope.into()),
        other @ (FromOwner::Opened { .. } | FromOwner::Refused { .. } | FromOwner::Ended) => {
            panic!("{other:?} is not in these conversations")
        }
    }
}

/// Asked by the earlier node, an owner of today finds nothing wrong, and answers everything.
#[test]
fn an_owner_of_today_gets_on_with_a_recorded_node() {
    let second = Duration::from_secs(1);
    let settings = OwnerSettings {
        lease: 3 * second,
        margin: second / 5,
        max_ack_wait: second,
        sessions_max: 1,
        areas_max: 10,
        resolves_max: 16,
        asks_max: ASKS_MAX,
        unsent_bytes_max: 1 << 20,
        validate_first: 4 * second,
        validate_longest: 4 * second,
    };
    for recorded in RECORDED {
        let (mut owner, stream, now) =
            (Owner::new(settings.clone(), Duration::ZERO, second), StreamNo(1), second);
        owner.connected(stream, "las1".into());
        let mut answered_count = 0;
        for said in conversation(recorded) {
            let Said::ByNode(message) = said else { continue };
            match message {
                FromNode::Open { newest, oldest, .. } => assert!(common_protocol(newest, oldest).is_some()),
                FromNode::Hello { .. } => {
                    let _ = owner.hello(now, stream, SessionId([1; 16]), None);
                    assert!(matches!(owner.next_outgoing(now, stream), Some(Outgoing::Welcome { .. })));
                }
                FromNode::Renew { no } => {
                    let _ = owner.renew(now, stream, RenewalNo(no));
                    let renewed = Some(Outgoing::Renewed { no: RenewalNo(no) });
                    assert_eq!(owner.next_outgoing(now, stream), renewed);
                }
                FromNode::Resolve { no, asks } => {
                    let questions = asks.into_iter().map(|ask| (kept::subject(&ask), ask)).collect();
                    let _ = owner.resolve(now, stream, ResolveNo(no), questions).expect("as nodes ask");
                    let Some(Read { no, questions }) = owner.next_read(stream) else { panic!("its turn") };
                    let _ = owner.answered(now, stream, no, questions.clone(), 1);
                    let answers = questions.into_iter().map(|question| (question, Mark::Keep)).collect();
                    assert_eq!(owner.next_outgoing(now, stream), Some(Outgoing::Answers { no, answers }));
                    answered_count += 1;
                }
                FromNode::Ack { up_to } => drop(owner.ack(now, stream, ClearNo(up_to))),
                FromNode::Release { area } => owner.release(stream, &area.into()),
                FromNode::Goodbye => drop(owner.goodbye(now, stream)),
            }
        }
        assert!(answered_count > 0);
    }
}
