//! Messages between nodes: whole, cut, damaged, and as an older node sends them.

mod recorded;

use proptest::prelude::*;

use super::*;
use crate::coherence::kept;
use crate::coherence::scope::Scope;
use crate::peer::messages::ObjectAsk;

async fn read_all<M: Message>(mut bytes: &[u8]) -> Result<Vec<M>, WireError> {
    let mut messages = Vec::new();
    while let Some(message) = read(&mut bytes).await? {
        messages.push(message);
    }
    Ok(messages)
}

/// What `bytes` say, read without waiting: all of them are there.
fn read_now<M: Message>(bytes: &[u8]) -> Result<Vec<M>, WireError> {
    futures::executor::block_on(read_all(bytes))
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn id(of: u8) -> Id {
    Id::from_bytes([of; 16])
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/]{0,20}", any::<String>()]
}

fn ask() -> impl Strategy<Value = Ask> {
    let known = || proptest::option::of(any::<u8>().prop_map(id));
    let object = (text(), text(), proptest::option::of(text()), known(), known());
    prop_oneof![
        object.prop_map(|(bucket, key, version, known_head, known_facts)| {
            Ask::Object(ObjectAsk { bucket, key, version, known_head, known_facts })
        }),
        text().prop_map(|bucket| Ask::Facts { bucket }),
        text().prop_map(|access_key| Ask::User { access_key }),
    ]
}

fn from_node() -> impl Strategy<Value = FromNode> {
    let class = prop_oneof![Just(Class::Objects), Just(Class::Users)];
    prop_oneof![
        (any::<u16>(), any::<u16>(), class, "[a-z0-9]{0,20}").prop_map(|(one, other, class, node)| {
            FromNode::Open { newest: one.max(other), oldest: one.min(other), class, node }
        }),
        proptest::option::of(any::<u8>().prop_map(id)).prop_map(|previous| FromNode::Hello { previous }),
        any::<u64>().prop_map(|no| FromNode::Renew { no }),
        any::<u64>().prop_map(|up_to| FromNode::Ack { up_to }),
        text().prop_map(|bucket| FromNode::Release { area: Released::Bucket(bucket) }),
        Just(FromNode::Release { area: Released::Users }),
        Just(FromNode::Goodbye),
        (any::<u64>(), proptest::collection::vec(ask(), 1..5))
            .prop_map(|(no, asks)| FromNode::Resolve { no, asks }),
    ]
}

proptest! {
    /// Messages arrive as they were sent, in their order, and a stream that is cut inside one is no shorter stream.
    #[test]
    fn messages_survive_and_a_cut_is_noticed(messages in proptest::collection::vec(from_node(), 1..6)) {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).to_vec()).collect();
        prop_assert_eq!(read_now::<FromNode>(&bytes).expect("whole"), messages);
        let last = bytes.len() - 1;
        let is_cut = matches!(read_now::<FromNode>(&bytes[..last]), Err(WireError::Io(_)));
        prop_assert!(is_cut);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_now::<FromNode>(&bytes);
        let _ = read_now::<FromOwner>(&bytes);
        let _ = read_now::<FromNode>(&framed(&bytes));
        let _ = read_now::<FromOwner>(&framed(&bytes));
    }

    /// Neither does a message of which one byte is another.
    #[test]
    fn no_damaged_message_panics(message in from_node(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode(&message).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = read_now::<FromNode>(&bytes);
    }
}

#[test]
fn a_length_past_the_limit_is_refused_before_a_byte_of_it_is_read() {
    let long = |bytes: usize| (bytes as u32).to_be_bytes();
    let refused = read_now::<FromNode>(&long(FROM_NODE_BYTES_MAX + 1));
    assert!(matches!(refused, Err(WireError::TooLong(bytes)) if bytes == FROM_NODE_BYTES_MAX + 1));
    assert!(matches!(read_now::<FromNode>(&long(FROM_NODE_BYTES_MAX)), Err(WireError::Io(_))));
    assert!(matches!(read_now::<FromOwner>(&long(FROM_OWNER_BYTES_MAX + 1)), Err(WireError::TooLong(_))));
}

#[test]
fn more_than_may_be_said_is_refused() {
    let ask = Ask::User { access_key: "A".into() };
    let resolve = |count: usize| FromNode::Resolve { no: 1, asks: vec![ask.clone(); count] };
    let open = |newest, oldest, node: &str| FromNode::Open {
        newest,
        oldest,
        class: Class::Objects,
        node: node.to_owned(),
    };
    let is_read = |message: &FromNode| read_now::<FromNode>(&encode(message)).is_ok();
    assert!(is_read(&resolve(1)) && is_read(&resolve(ASKS_MAX)));
    assert!(!is_read(&resolve(0)) && !is_read(&resolve(ASKS_MAX + 1)));
    assert!(is_read(&open(2, 1, "las1")) && !is_read(&open(1, 2, "las1")));
    assert!(!is_read(&open(1, 1, &"a".repeat(NODE_NAME_BYTES_MAX + 1))));
    let keys = |count: usize| FromOwner::Clear {
        no: 1,
        scope: Cleared::Keys { bucket: "b".into(), keys: vec!["k".into(); count] },
    };
    assert!(read_now::<FromOwner>(&encode(&keys(CLEARED_KEYS_MAX))).is_ok());
    assert!(read_now::<FromOwner>(&encode(&keys(CLEARED_KEYS_MAX + 1))).is_err());
    let users =
        |count: usize| FromOwner::Clear { no: 1, scope: Cleared::AccessKeys(vec!["A".into(); count]) };
    assert!(read_now::<FromOwner>(&encode(&users(CLEARED_KEYS_MAX))).is_ok());
    assert!(read_now::<FromOwner>(&encode(&users(CLEARED_KEYS_MAX + 1))).is_err());
    let pointing = |place| {
        let answer = Said::Object { facts: Told::Is(place), head: Told::Absent, marker: None };
        let facts = vec![Facts::new(id(1), id(2), "a", owner())];
        FromOwner::Answers { no: 1, facts, answers: vec![Answered { keep: true, answer }] }
    };
    assert!(read_now::<FromOwner>(&encode(&pointing(0))).is_ok());
    assert!(read_now::<FromOwner>(&encode(&pointing(1))).is_err(), "facts that are not there");
}

#[test]
fn the_version_is_the_newest_that_both_speak() {
    assert_eq!(common_protocol(PROTOCOL, PROTOCOL_OLDEST), Some(PROTOCOL));
    assert_eq!(common_protocol(PROTOCOL + 1, PROTOCOL), Some(PROTOCOL), "a newer node steps down");
    assert_eq!(common_protocol(PROTOCOL + 2, PROTOCOL + 1), None);
    assert_eq!(common_protocol(PROTOCOL_OLDEST - 1, 0), None);
}

/// A bucket's facts travel once, whatever the number of its keys in a batch.
#[test]
fn facts_travel_once_for_a_bucket() {
    let facts = |of| Facts::new(id(of), id(of), "a", owner());
    let answer = |of| (Answer::Object { facts: Told::Is(facts(of)), head: Told::Absent, marker: None }, true);
    let FromOwner::Answers { facts, answers, .. } = answers(1, vec![answer(1), answer(2), answer(1)]) else {
        panic!("answers")
    };
    assert_eq!(facts.len(), 2);
    let places: Vec<_> = answers
        .iter()
        .map(|answered| match answered.answer {
            Said::Object { facts: Told::Is(place), .. } => place,
            _ => panic!("facts"),
        })
        .collect();
    assert_eq!(places, [0, 1, 0]);
}

fn owner() -> origin::acl::Owner {
    origin::acl::Owner { id: "ab".repeat(32), display_name: "a".into() }
}

/// What nodes and owners of the first version send, byte for byte: a release that reads it otherwise cannot stand beside
/// one that is a version older.
#[test]
fn the_first_version_is_read_as_it_was_sent() {
    let object = ObjectAsk {
        bucket: "b".into(),
        key: "k".into(),
        version: None,
        known_head: Some(id(7)),
        known_facts: None,
    };
    let asks = vec![Ask::Object(object), Ask::User { access_key: "A".into() }];
    for (recorded, message) in [
        (
            "0000002f81a44f70656e84a66e657765737401a66f6c6465737401a5636c617373a74f626a65637473a46e6f6465a46c617331",
            FromNode::Open { newest: 1, oldest: 1, class: Class::Objects, node: "las1".into() },
        ),
        ("0000001281a548656c6c6f81a870726576696f7573c0", FromNode::Hello { previous: None }),
        (
            "0000002381a548656c6c6f81a870726576696f7573c41007070707070707070707070707070707",
            FromNode::Hello { previous: Some(id(7)) },
        ),
        ("0000000e81a552656e657781a26e6fcd012c", FromNode::Renew { no: 300 }),
        (
            "0000007381a75265736f6c766582a26e6f01a461736b739281a64f626a65637485a66275636b6574a162a36b6579a16ba7766572\
             73696f6ec0aa6b6e6f776e5f68656164c41007070707070707070707070707070707ab6b6e6f776e5f6661637473c081a45573657\
             281aa6163636573735f6b6579a141",
            FromNode::Resolve { no: 1, asks },
        ),
        ("0000000d81a341636b81a575705f746f05", FromNode::Ack { up_to: 5 }),
        (
            "0000001981a752656c6561736581a46172656181a64275636b6574a162",
            FromNode::Release { area: Released::Bucket("b".into()) },
        ),
        ("00000008a7476f6f64627965", FromNode::Goodbye),
    ] {
        assert_eq!(read_now::<FromNode>(&bytes(recorded)).expect(recorded), [message]);
    }
    let absent = Said::Object { facts: Told::Absent, head: Told::Absent, marker: None };
    let answers = vec![
        Answered { keep: true, answer: absent },
        Answered { keep: false, answer: Said::Other(Box::new(Answer::User(None))) },
    ];
    for (recorded, message) in [
        ("0000001381a64f70656e656481a870726f746f636f6c01", FromOwner::Opened { protocol: 1 }),
        (
            "0000004281a757656c636f6d6583a773657373696f6ec41007070707070707070707070707070707ac6c656173655f6d696c6c69\
             73cd0bb8ac7265736f6c7665735f6d617810",
            FromOwner::Welcome { session: id(7), lease_millis: 3000, resolves_max: 16 },
        ),
        (
            "0000002e81a75265667573656482b2616761696e5f61667465725f6d696c6c6973cd0c80ac7265736f6c7665735f6d617810",
            FromOwner::Refused { again_after_millis: 3200, resolves_max: 16 },
        ),
        ("0000001081a752656e6577656481a26e6fcd012c", FromOwner::Renewed { no: 300 }),
        (
            "0000007281a7416e737765727383a26e6f01a5666163747390a7616e73776572739282a46b656570c3a6616e7377657281a64f62\
             6a65637483a56661637473a6416273656e74a468656164a6416273656e74a66d61726b6572c082a46b656570c2a6616e737765728\
             1a54f7468657281a455736572c0",
            FromOwner::Answers { no: 1, facts: Vec::new(), answers },
        ),
        (
            "0000002a81a5436c65617282a26e6f09a573636f706581a44b65797382a66275636b6574a162a46b65797391a16b",
            FromOwner::Clear { no: 9, scope: Cleared::Keys { bucket: "b".into(), keys: vec!["k".into()] } },
        ),
        (
            "0000001881a5436c65617282a26e6f0aa573636f7065a55573657273",
            FromOwner::Clear { no: 10, scope: Cleared::Users },
        ),
        ("00000006a5456e646564", FromOwner::Ended),
    ] {
        let read = read_now::<FromOwner>(&bytes(recorded)).expect(recorded);
        assert_eq!(format!("{read:?}"), format!("{:?}", [message]));
    }
}

/// A node that speaks the first version is told of all users where one has changed, one of today of that user alone; keys of
/// a bucket are the same in both. What is too much to name is said more broadly in either.
#[test]
fn a_clear_is_as_narrow_as_both_can_say() {
    let named = |count: usize| (0..count).map(|n| format!("{n:04}").into()).collect();
    let users = |count: usize| Scope::AccessKeys(named(count));
    let told = |scope: &Scope, protocol| {
        let message = FromOwner::Clear { no: 10, scope: kept::cleared(scope, protocol) };
        read_now::<FromOwner>(&encode(&message)).expect("what is said is read").remove(0)
    };
    let is_of_all = |message| matches!(message, FromOwner::Clear { scope: Cleared::Users, .. });
    assert_eq!(
        hex::encode(encode(&told(&users(1), 1))),
        "0000001881a5436c65617282a26e6f0aa573636f7065a55573657273"
    );
    let FromOwner::Clear { scope, .. } = told(&users(2), PROTOCOL) else { panic!("a clear") };
    assert_eq!(Scope::from(scope), users(2));
    assert!(is_of_all(told(&users(CLEARED_KEYS_MAX + 1), PROTOCOL)));
    for protocol in PROTOCOL_OLDEST..=PROTOCOL {
        let keys = Scope::Keys { bucket: "b".into(), keys: named(1) };
        let FromOwner::Clear { scope, .. } = told(&keys, protocol) else { panic!("a clear") };
        assert_eq!(Scope::from(scope), keys);
        assert!(is_of_all(told(&Scope::Users, protocol)));
    }
}

/// What the second version adds, byte for byte.
#[test]
fn the_second_version_is_read_as_it_was_sent() {
    let recorded = "0000002181a5436c65617282a26e6f0aa573636f706581aa4163636573734b65797391a141";
    let message = FromOwner::Clear { no: 10, scope: Cleared::AccessKeys(vec!["A".into()]) };
    assert_eq!(
        format!("{:?}", read_now::<FromOwner>(&bytes(recorded)).expect("read")),
        format!("{:?}", [message])
    );
}

/// What a newer release adds to a message is passed over.
#[test]
fn fields_of_a_newer_release_are_passed_over() {
    let open = "0000003781a44f70656e85a66e657765737402a66f6c6465737401a5636c617373a74f626a65637473a46e6f6465a46c617331a4\
                7261636ba27237";
    let known = FromNode::Open { newest: 2, oldest: 1, class: Class::Objects, node: "las1".into() };
    assert_eq!(read_now::<FromNode>(&bytes(open)).expect("read"), [known]);
    let welcome = "0000004981a757656c636f6d6584a773657373696f6ec41007070707070707070707070707070707ac6c656173655f6d696c6c\
                   6973cd0bb8ac7265736f6c7665735f6d617810a565706f63680c";
    let read = read_now::<FromOwner>(&bytes(welcome)).expect("read");
    assert!(matches!(read[..], [FromOwner::Welcome { lease_millis: 3000, .. }]), "{read:?}");
}

fn bytes(recorded: &str) -> Vec<u8> {
    hex::decode(recorded).expect("hex")
}
