//! The node's edges: what is live, who is served by which answer, what is asked and released, and every limit.

use std::sync::Arc;

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Text(&'static str, u8);

impl Value for Text {
    fn revision(&self) -> Revision {
        Revision([self.1; 16])
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

type TestNode = Node<Text>;
type Answer = (Answered<Text, &'static str>, Mark);

const SESSION: SessionId = SessionId([1; 16]);
const FACTS: Text = Text("facts", 1);

fn settings() -> NodeSettings {
    NodeSettings { weight_max: 1 << 20, asks_max: 4, ask_bytes_max: 100, waiting_max: 3, idle_after: None }
}

fn object(key: &str) -> Subject {
    Subject::Object { bucket: "b".into(), key: key.into(), version: None }
}

fn change_of(key: &str) -> Scope {
    Scope::Keys { bucket: "b".into(), keys: BTreeSet::from([Arc::from(key)]) }
}

fn answer(head: Told<Text>, mark: Mark) -> Answer {
    (Answered::Object { facts: Told::Is(FACTS), head }, mark)
}

fn head(value: &'static str, revision: u8) -> Told<Text> {
    Told::Is(Text(value, revision))
}

/// A node that said hello at `now` and was welcomed at once.
fn welcomed(settings: NodeSettings, now: Duration) -> TestNode {
    let mut node = Node::new(settings);
    node.connected();
    welcome(&mut node, now, SESSION);
    node
}

fn welcome(node: &mut TestNode, now: Duration, session: SessionId) {
    assert!(matches!(node.next_outgoing(now), Some(Message::Hello { .. })));
    node.welcomed(now, session, secs(3), 2);
}

fn sent(node: &mut TestNode, now: Duration) -> (ResolveNo, Vec<Question>) {
    match node.next_outgoing(now) {
        Some(Message::Resolve { no, questions }) => (no, questions),
        other => panic!("{other:?}"),
    }
}

/// Asks about `key` and is answered.
fn fetch(node: &mut TestNode, now: Duration, key: &str, value: Told<Text>, mark: Mark) {
    node.ask(object(key), Waiter(99), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(node, now);
    let served = node.answers(now, no, vec![answer(value, mark)]).expect("an answer to a question");
    assert_eq!(served.len(), 1);
}

fn value_of(found: Option<Found<Text>>) -> Option<&'static str> {
    found.and_then(|found| found.value).map(|value| value.0)
}

fn waiters(served: &Served<Text, &'static str>) -> Vec<u64> {
    served.iter().map(|(waiter, _)| waiter.0).collect()
}

#[test]
fn what_is_kept_answers_alone_until_the_lease_has_run_out() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", head("one", 7), Mark::Keep);
    assert_eq!(value_of(node.look(secs(2), &object("k"))), Some("one"));
    assert_eq!(node.look(secs(2), &object("l")), None);
    assert_eq!(node.look(secs(3), &object("k")), None, "three seconds after hello was said");
}

#[test]
fn a_lease_is_counted_from_when_its_renewal_was_sent() {
    let mut node = welcomed(settings(), secs(0));
    assert_eq!(node.next_outgoing(secs(1)), Some(Message::Renew { no: RenewalNo(1) }));
    assert_eq!(node.next_outgoing(secs(2)), Some(Message::Renew { no: RenewalNo(2) }));
    node.renewed(secs(2), RenewalNo(1));
    assert!(node.is_live(Duration::from_millis(3999)));
    assert!(!node.is_live(secs(4)), "the answer was to the one sent at 1");
    node.renewed(secs(5), RenewalNo(1));
    assert!(!node.is_live(secs(4)), "and counts once");
    node.renewed(secs(5), RenewalNo(2));
    assert!(!node.is_live(secs(5)), "late answers bring back nothing");
}

#[test]
fn negatives_are_kept_and_cleared_like_heads() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", Told::Absent, Mark::Keep);
    assert_eq!(
        node.look(secs(0), &object("k")),
        Some(Found { facts: Some(FACTS), value: None, was_held: true })
    );
    node.clear(ClearNo(1), &change_of("k"));
    assert_eq!(node.look(secs(0), &object("k")), None);
}

#[test]
fn no_such_bucket_answers_for_every_key_in_it() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    let absent = (Answered::<_, &str>::Object { facts: Told::Absent, head: Told::Absent }, Mark::Keep);
    node.answers(secs(0), no, vec![absent]).expect("an answer");
    assert_eq!(node.look(secs(0), &object("l")), Some(Found { facts: None, value: None, was_held: true }));
    assert_eq!(node.status().kept_count, 1, "not one for each key that somebody tries");
}

#[test]
fn rule_2_who_came_after_the_resolve_left_is_not_served_by_a_serve_once_answer() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.ask(object("k"), Waiter(2), Keeping::IfAllowed).expect("room");
    let served = node.answers(secs(0), no, vec![answer(head("old", 1), Mark::ServeOnce)]).expect("an answer");
    assert_eq!(waiters(&served), [1]);
    let (no, _) = sent(&mut node, secs(0));
    let served = node.answers(secs(0), no, vec![answer(head("new", 2), Mark::ServeOnce)]).expect("an answer");
    assert_eq!(waiters(&served), [2], "it was there when the second one left");
}

#[test]
fn joiners_are_served_by_an_answer_that_is_kept() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.ask(object("k"), Waiter(2), Keeping::IfAllowed).expect("room");
    assert_eq!(node.next_outgoing(secs(0)), None, "it joined");
    let served = node.answers(secs(0), no, vec![answer(head("one", 1), Mark::Keep)]).expect("an answer");
    assert_eq!(waiters(&served), [1, 2]);
}

#[test]
fn rule_2_a_clear_detaches_joiners() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    sent(&mut node, secs(0));
    node.ask(object("k"), Waiter(2), Keeping::IfAllowed).expect("room");
    node.clear(ClearNo(4), &change_of("k"));
    assert_eq!(node.next_outgoing(secs(0)), Some(Message::Ack { up_to: ClearNo(4) }));
    assert_eq!(sent(&mut node, secs(0)).1.len(), 1, "the joiner's own question");
}

#[test]
fn rule_5_what_an_earlier_session_brought_is_confirmed_before_it_is_used() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", head("one", 7), Mark::Keep);
    node.ended(secs(1));
    welcome(&mut node, secs(1), SessionId([2; 16]));
    assert_eq!(node.look(secs(1), &object("k")), None);
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, questions) = sent(&mut node, secs(1));
    let known = (questions[0].known, questions[0].known_facts);
    assert_eq!(known, (Some(Revision([7; 16])), Some(Revision([1; 16]))));
    let same = (Answered::<_, &str>::Object { facts: Told::Same, head: Told::Same }, Mark::Keep);
    let served = node.answers(secs(1), no, vec![same]).expect("an answer");
    assert!(matches!(&served[..], [(Waiter(1), Ok(Found { was_held: true, .. }))]), "{served:?}");
    assert_eq!(value_of(node.look(secs(1), &object("k"))), Some("one"));
}

#[test]
fn an_answer_to_a_resolve_of_an_earlier_session_is_not_kept() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.ended(secs(0));
    welcome(&mut node, secs(0), SessionId([2; 16]));
    let served = node.answers(secs(0), no, vec![answer(head("one", 1), Mark::Keep)]).expect("an answer");
    assert_eq!(waiters(&served), [1]);
    assert_eq!(node.look(secs(0), &object("k")), None);
}

#[test]
fn same_to_a_question_that_named_nothing_is_refused_and_asked_again() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    let refused = node.answers(secs(0), no, vec![answer(Told::Same, Mark::Keep)]);
    assert_eq!(refused, Err(Violation::SameAsNothing));
    assert_eq!(node.answers::<&str>(secs(0), no, Vec::new()), Err(Violation::NobodyAsked));
    assert_eq!(sent(&mut node, secs(0)).1.len(), 1);
}

#[test]
fn questions_that_an_answer_leaves_out_are_asked_again_first() {
    let mut node = welcomed(settings(), secs(0));
    for (waiter, key) in (1..).zip(["k", "l", "m"]) {
        node.ask(object(key), Waiter(waiter), Keeping::IfAllowed).expect("room");
    }
    let (no, _) = sent(&mut node, secs(0));
    node.ask(object("n"), Waiter(4), Keeping::IfAllowed).expect("room");
    let served = node.answers(secs(0), no, vec![answer(head("one", 1), Mark::Keep)]).expect("an answer");
    assert_eq!(waiters(&served), [1]);
    let asked: Vec<_> = sent(&mut node, secs(0)).1.into_iter().map(|question| question.subject).collect();
    assert_eq!(asked, [object("l"), object("m"), object("n")]);
}

#[test]
fn a_lost_stream_s_questions_are_asked_on_the_next_and_its_session_goes_on_until_then() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", head("one", 7), Mark::Keep);
    node.ask(object("l"), Waiter(1), Keeping::IfAllowed).expect("room");
    sent(&mut node, secs(0));
    node.lost();
    assert_eq!(value_of(node.look(secs(1), &object("k"))), Some("one"));
    node.connected();
    assert_eq!(value_of(node.look(secs(1), &object("k"))), Some("one"));
    assert_eq!(node.next_outgoing(secs(1)), Some(Message::Hello { previous: Some(SESSION) }));
    assert_eq!(node.look(secs(1), &object("k")), None, "the owner need not wait for it from here on");
    assert_eq!(node.next_outgoing(secs(1)), None, "one answer first");
    node.refused(secs(1), secs(5), 2);
    assert_eq!(sent(&mut node, secs(1)).1[0].subject, object("l"));
    assert_eq!(node.deadline(), Some(secs(6)));
    assert!(matches!(node.next_outgoing(secs(6)), Some(Message::Hello { previous: None })));
}

#[test]
fn an_area_is_released_once_nothing_of_it_is_kept_or_asked() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", head("one", 7), Mark::Keep);
    node.ask(object("l"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.purge(&Scope::Bucket("b".into()));
    assert_eq!(node.next_outgoing(secs(0)), None, "a question about it is under way");
    node.answers(secs(0), no, vec![answer(Told::Absent, Mark::ServeOnce)]).expect("an answer");
    assert_eq!(node.next_outgoing(secs(0)), Some(Message::Release(Area::Bucket("b".into()))));
    assert_eq!(node.next_outgoing(secs(0)), None);
}

#[test]
fn a_jump_between_the_clocks_of_more_than_a_quarter_lease_drops_the_session() {
    let mut node = welcomed(settings(), secs(0));
    assert!(!node.tick(secs(1), secs(1)));
    assert!(!node.tick(Duration::from_millis(2700), secs(2)), "0.7 of 0.75 seconds");
    assert!(node.tick(Duration::from_millis(4500), secs(3)));
    assert_eq!(node.next_outgoing(secs(5)), Some(Message::Hello { previous: Some(SESSION) }));
}

#[test]
fn what_ended_before_hello_does_not_end_what_hello_asked_for() {
    let mut node = welcomed(settings(), secs(0));
    node.tick(secs(1), secs(1));
    assert!(node.tick(secs(3), secs(1)));
    assert!(matches!(node.next_outgoing(secs(3)), Some(Message::Hello { .. })));
    node.ended(secs(1));
    node.welcomed(secs(3), SessionId([2; 16]), secs(3), 2);
    assert!(node.is_live(secs(4)));
    assert!(!matches!(node.next_outgoing(secs(4)), Some(Message::Hello { .. })));
}

#[test]
fn a_draining_node_gives_its_session_back_and_asks_each_time() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", head("one", 7), Mark::Keep);
    node.drain();
    assert_eq!(node.next_outgoing(secs(0)), Some(Message::Goodbye));
    assert_eq!(node.look(secs(0), &object("k")), None);
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.answers(secs(0), no, vec![answer(head("one", 7), Mark::Keep)]).expect("an answer");
    assert_eq!(node.look(secs(0), &object("k")), None);
}

/// Nothing is due that it will not do: whoever pulls at the deadline would pull without end.
#[test]
fn a_draining_node_that_was_refused_a_session_waits_for_no_time() {
    let mut node = Node::<Text>::new(settings());
    node.connected();
    assert!(matches!(node.next_outgoing(secs(0)), Some(Message::Hello { .. })));
    node.refused(secs(0), secs(5), 2);
    assert_eq!(node.deadline(), Some(secs(5)));
    node.drain();
    assert_eq!((node.next_outgoing(secs(5)), node.deadline()), (None, None));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    assert_eq!(sent(&mut node, secs(6)).1.len(), 1, "what is asked still leaves");
}

#[test]
fn an_idle_node_gives_its_session_back_until_somebody_asks() {
    let mut node = welcomed(NodeSettings { idle_after: Some(secs(60)), ..settings() }, secs(0));
    assert!(matches!(node.next_outgoing(secs(59)), Some(Message::Renew { .. })));
    assert_eq!(node.next_outgoing(secs(60)), Some(Message::Goodbye));
    assert_eq!(node.deadline(), None);
    assert_eq!(node.look(secs(90), &object("k")), None);
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    assert_eq!(node.next_outgoing(secs(90)), Some(Message::Hello { previous: None }));
    node.welcomed(secs(90), SessionId([2; 16]), secs(3), 2);
    assert_eq!(sent(&mut node, secs(90)).1.len(), 1);
}

#[test]
fn a_failure_reaches_everybody_and_keeps_nothing() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.ask(object("k"), Waiter(2), Keeping::IfAllowed).expect("room");
    let served = node.answers(secs(0), no, vec![(Answered::Failed("disk"), Mark::Keep)]).expect("an answer");
    assert_eq!(served, [(Waiter(1), Err("disk")), (Waiter(2), Err("disk"))]);
    assert_eq!(node.status().kept_count, 0);
}

#[test]
fn what_a_request_does_not_want_kept_is_not() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::Never).expect("room");
    let (no, _) = sent(&mut node, secs(0));
    node.answers(secs(0), no, vec![answer(head("one", 1), Mark::Keep)]).expect("an answer");
    assert_eq!(node.look(secs(0), &object("k")), None);
}

#[test]
fn batches_waiting_questions_and_resolves_under_way_are_bounded() {
    let mut node = welcomed(settings(), secs(0));
    let long = "k".repeat(90);
    for (waiter, key) in (1..).zip([&long[..], "l", "m"]) {
        node.ask(object(key), Waiter(waiter), Keeping::IfAllowed).expect("room");
    }
    assert_eq!(node.ask(object("n"), Waiter(9), Keeping::IfAllowed), Err(Busy));
    node.ask(object("m"), Waiter(4), Keeping::IfAllowed).expect("no further question");
    assert_eq!(sent(&mut node, secs(0)).1.len(), 3, "95 bytes of names");
    node.ask(object(&long), Waiter(5), Keeping::Never).expect("it joins");
    for (waiter, key) in (6..).zip(["n", &long[..89], "o"]) {
        node.ask(object(key), Waiter(waiter), Keeping::IfAllowed).expect("room");
    }
    node.forget(Waiter(8));
    assert_eq!(sent(&mut node, secs(0)).1.len(), 2);
    node.ask(object("p"), Waiter(8), Keeping::IfAllowed).expect("room");
    assert_eq!(node.next_outgoing(secs(0)), None, "two resolves are under way");
}

#[test]
fn a_question_that_nobody_waits_for_does_not_leave() {
    let mut node = welcomed(settings(), secs(0));
    node.ask(object("k"), Waiter(1), Keeping::IfAllowed).expect("room");
    node.forget(Waiter(1));
    assert_eq!(node.next_outgoing(secs(0)), None);
}

#[test]
fn what_is_kept_is_bounded_and_what_is_looked_at_stays() {
    let weight_max = 4 * 1000;
    let mut node = welcomed(NodeSettings { weight_max, ..settings() }, secs(0));
    for key in ["hot", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        fetch(&mut node, secs(0), key, head("value", 1), Mark::Keep);
        fetch(&mut node, secs(0), &"long".repeat(20), head("value", 1), Mark::Keep);
        assert!(node.status().kept_weight <= weight_max);
        assert!(node.look(secs(0), &object("hot")).is_some(), "after {key}");
    }
    for number in 0..1000 {
        fetch(&mut node, secs(0), &format!("{number}"), head("value", 1), Mark::Keep);
        node.clear(ClearNo(number), &change_of(&format!("{number}")));
        node.next_outgoing(secs(0));
    }
    assert!(node.status().kept_weight <= weight_max);
}

#[test]
fn what_was_last_known_is_dated_by_when_its_lease_ran_out() {
    let mut node = welcomed(settings(), secs(0));
    fetch(&mut node, secs(0), "k", head("one", 7), Mark::Keep);
    let known =
        |node: &TestNode, now| node.last_known(now, &object("k")).map(|(value, until)| (value.0, until));
    assert_eq!(known(&node, secs(2)), None, "it is live");
    assert_eq!(known(&node, secs(4)), Some(("one", secs(3))));
    node.lost();
    node.connected();
    assert!(matches!(node.next_outgoing(secs(5)), Some(Message::Hello { .. })));
    assert_eq!(known(&node, secs(9)), Some(("one", secs(3))));
    assert_eq!(node.status().lapses_count, 1);
    node.clear(ClearNo(1), &change_of("k"));
    assert_eq!(known(&node, secs(9)), None);
}

/// The owner ends the session before at hello, and clears nothing of it from then on: a node that went on believing what it
/// brought would be counted among those that hear of every change.
#[test]
fn what_the_next_session_has_not_confirmed_is_not_known() {
    let mut node = welcomed(settings(), secs(0));
    for key in ["k", "l"] {
        fetch(&mut node, secs(0), key, head("one", 7), Mark::Keep);
    }
    let known = |node: &TestNode, key| node.last_known(secs(9), &object(key)).map(|(value, _)| value.0);
    node.lost();
    node.connected();
    assert!(matches!(node.next_outgoing(secs(1)), Some(Message::Hello { previous: Some(SESSION) })));
    assert_eq!(known(&node, "k"), Some("one"), "nobody has answered yet");
    node.welcomed(secs(1), SessionId([2; 16]), secs(3), 2);
    assert_eq!(known(&node, "k"), None);
    fetch(&mut node, secs(1), "l", head("two", 8), Mark::Keep);
    node.lost();
    assert_eq!((known(&node, "k"), known(&node, "l")), (None, Some("two")));
}

/// Found by the model: a hello that was lost with its stream left the owner waiting for a session that nobody had.
#[test]
fn every_hello_names_the_dropped_session_until_one_is_answered() {
    let mut node = welcomed(settings(), secs(0));
    for _ in 0..2 {
        node.connected();
        assert_eq!(node.next_outgoing(secs(1)), Some(Message::Hello { previous: Some(SESSION) }));
        node.lost();
    }
    node.connected();
    welcome(&mut node, secs(1), SessionId([2; 16]));
    node.connected();
    assert_eq!(node.next_outgoing(secs(2)), Some(Message::Hello { previous: Some(SessionId([2; 16])) }));
}
