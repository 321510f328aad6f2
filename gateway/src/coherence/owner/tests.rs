//! The owner's edges: what is kept, who is waited for and for how long, what overtakes what, and every limit.

use super::*;

const A: StreamNo = StreamNo(1);
const B: StreamNo = StreamNo(2);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> OwnerSettings {
    OwnerSettings {
        lease: secs(3),
        margin: secs(1),
        max_ack_wait: secs(2),
        sessions_max: 8,
        areas_max: 4,
        resolves_max: 2,
        asks_max: 4,
        unsent_bytes_max: 100,
        validate_first: secs(5),
        validate_longest: secs(20),
    }
}

type TestOwner = Owner<&'static str, &'static str>;

fn owner() -> TestOwner {
    Owner::new(settings(), Duration::ZERO, secs(0))
}

fn object(key: &str) -> Subject {
    Subject::Object { bucket: "b".into(), key: key.into(), version: None }
}

fn change_of(key: &str) -> Scope {
    Scope::Keys { bucket: "b".into(), keys: BTreeSet::from([Arc::from(key)]) }
}

fn session(id: u8) -> SessionId {
    SessionId([id; 16])
}

/// A stream of the node `n<id>` with a session, welcomed at `now`.
fn join(owner: &mut TestOwner, now: Duration, stream: StreamNo) {
    let id = u8::try_from(stream.0).expect("small");
    owner.connected(stream, format!("n{id}").into());
    let _ = owner.hello(now, stream, session(id), None);
    let welcome = owner.next_outgoing(now, stream);
    assert!(matches!(welcome, Some(Outgoing::Welcome { lease, .. }) if lease == secs(3)), "{welcome:?}");
}

/// Asks about `keys` and has the owner read them; nothing is queued yet.
fn ask(owner: &mut TestOwner, now: Duration, stream: StreamNo, no: u64, keys: &[&'static str]) {
    let questions = keys.iter().map(|key| (object(key), *key)).collect();
    let _ = owner.resolve(now, stream, ResolveNo(no), questions).expect("a resolve as nodes send them");
    assert_eq!(owner.next_read(stream).map(|read| read.no), Some(ResolveNo(no)));
}

fn queue(owner: &mut TestOwner, now: Duration, stream: StreamNo, no: u64, answers: &[&'static str]) {
    let _ = owner.answered(now, stream, ResolveNo(no), answers.to_vec(), 10 * answers.len());
}

fn marks(owner: &mut TestOwner, now: Duration, stream: StreamNo) -> Vec<Mark> {
    match owner.next_outgoing(now, stream) {
        Some(Outgoing::Answers { answers, .. }) => answers.into_iter().map(|(_, mark)| mark).collect(),
        other => panic!("{other:?}"),
    }
}

fn clear_no(owner: &mut TestOwner, now: Duration, stream: StreamNo) -> ClearNo {
    match owner.next_outgoing(now, stream) {
        Some(Outgoing::Clear { no, .. }) => no,
        other => panic!("{other:?}"),
    }
}

/// Until then its welcome may be on its way, or lost, and the node believe what an earlier session brought.
#[test]
fn a_session_is_taken_up_once_its_node_asks_or_renews_under_it() {
    let taken_up = |owner: &TestOwner| owner.status(secs(0)).sessions[0].is_taken_up;
    let mut renews = owner();
    join(&mut renews, secs(0), A);
    // Of a clear of the session before: a node says it before it is welcomed, too.
    let _ = renews.ack(secs(0), A, ClearNo(1));
    assert!(!taken_up(&renews));
    let _ = renews.renew(secs(0), A, RenewalNo(1));
    assert!(taken_up(&renews));
    let mut asks = owner();
    join(&mut asks, secs(0), A);
    ask(&mut asks, secs(0), A, 1, &["k"]);
    assert!(taken_up(&asks));
}

#[test]
fn a_change_that_nobody_is_interested_in_is_settled_at_once() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    let (change, todo) = owner.announce(secs(0), Scope::Bucket("another".into()));
    assert_eq!(todo.settled, [change]);
    assert!(todo.stir.is_empty());
}

#[test]
fn a_change_waits_for_every_interested_session_to_acknowledge() {
    let mut owner = owner();
    for stream in [A, B] {
        join(&mut owner, secs(0), stream);
        ask(&mut owner, secs(0), stream, 1, &["k"]);
    }
    let (change, todo) = owner.announce(secs(1), change_of("k"));
    assert!(todo.settled.is_empty());
    assert_eq!(todo.stir, BTreeSet::from([A, B]));
    let (to_a, to_b) = (clear_no(&mut owner, secs(1), A), clear_no(&mut owner, secs(1), B));
    assert!(owner.ack(secs(1), A, to_a).settled.is_empty());
    assert_eq!(owner.ack(secs(1), B, to_b).settled, [change]);
    assert!(owner.ack(secs(1), B, to_b).settled.is_empty(), "settled once");
}

#[test]
fn rule_1_a_read_that_opens_while_a_change_is_announced_is_served_once() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    let (change, _) = owner.announce(secs(0), change_of("k"));
    ask(&mut owner, secs(0), A, 1, &["k", "l"]);
    owner.finish(change);
    queue(&mut owner, secs(0), A, 1, &["k", "l"]);
    assert_eq!(marks(&mut owner, secs(0), A), [Mark::ServeOnce, Mark::Keep]);
}

#[test]
fn rule_1_a_second_change_of_the_key_still_counts_after_the_first_has_ended() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    let (first, _) = owner.announce(secs(0), change_of("k"));
    let (second, _) = owner.announce(secs(0), change_of("k"));
    owner.finish(first);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    queue(&mut owner, secs(0), A, 1, &["k"]);
    assert_eq!(marks(&mut owner, secs(0), A), [Mark::ServeOnce]);
    owner.finish(second);
    ask(&mut owner, secs(0), A, 2, &["k"]);
    queue(&mut owner, secs(0), A, 2, &["k"]);
    assert_eq!(marks(&mut owner, secs(0), A), [Mark::Keep]);
}

#[test]
fn rule_1_a_change_that_begins_and_ends_while_a_read_is_open_counts() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    let (change, _) = owner.announce(secs(0), Scope::Bucket("b".into()));
    owner.finish(change);
    queue(&mut owner, secs(0), A, 1, &["k"]);
    clear_no(&mut owner, secs(0), A);
    assert_eq!(marks(&mut owner, secs(0), A), [Mark::ServeOnce]);
}

#[test]
fn rule_4_interest_is_there_before_the_read_opens() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    let questions = vec![(object("k"), "k")];
    let _ = owner.resolve(secs(0), A, ResolveNo(1), questions).expect("a resolve");
    let (_, todo) = owner.announce(secs(0), change_of("k"));
    assert!(todo.settled.is_empty(), "it waits for a node that has not been answered yet");
}

#[test]
fn rule_4_interest_is_not_released_while_a_resolve_is_unanswered() {
    let mut owner = owner();
    let bucket = Area::Bucket("b".into());
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    owner.release(A, &bucket);
    queue(&mut owner, secs(0), A, 1, &["k"]);
    owner.release(A, &bucket);
    assert_eq!(owner.status(secs(0)).sessions[0].areas_count, 1);
    assert_eq!(marks(&mut owner, secs(0), A), [Mark::Keep]);
    owner.release(A, &bucket);
    assert_eq!(owner.announce(secs(0), change_of("k")).1.settled.len(), 1);
}

#[test]
fn rule_5_an_expired_session_is_not_renewed() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    let _ = owner.renew(secs(3), A, RenewalNo(1));
    assert_eq!(owner.next_outgoing(secs(3), A), Some(Outgoing::Renewed { no: RenewalNo(1) }));
    let _ = owner.renew(secs(7), A, RenewalNo(2));
    assert_eq!(owner.next_outgoing(secs(7), A), Some(Outgoing::Ended), "three seconds and the margin later");
    assert_eq!(owner.next_outgoing(secs(7), A), None);
    assert!(owner.is_idle(secs(7)));
}

#[test]
fn rule_10_a_clear_overtakes_unsent_answers_and_demotes_them() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k", "l"]);
    queue(&mut owner, secs(0), A, 1, &["k", "l"]);
    let _ = owner.announce(secs(0), change_of("k"));
    clear_no(&mut owner, secs(0), A);
    assert_eq!(marks(&mut owner, secs(0), A), [Mark::ServeOnce, Mark::Keep]);
}

#[test]
fn answers_of_a_session_that_is_over_are_served_once() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    queue(&mut owner, secs(0), A, 1, &["k"]);
    let _ = owner.hello(secs(1), A, session(9), Some(session(1)));
    assert!(matches!(owner.next_outgoing(secs(1), A), Some(Outgoing::Welcome { .. })));
    assert_eq!(marks(&mut owner, secs(1), A), [Mark::ServeOnce]);
}

#[test]
fn a_session_that_does_not_apply_is_waited_out_and_its_node_asks_each_time_for_a_while() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    let (change, _) = owner.announce(secs(1), change_of("k"));
    assert_eq!(owner.deadline(), Some(secs(3)), "max_ack_wait after the announcement");
    let _ = owner.renew(secs(2), A, RenewalNo(1));
    assert!(owner.tick(secs(3)).settled.is_empty());
    let _ = owner.renew(secs(4), A, RenewalNo(2));
    assert_eq!(owner.deadline(), Some(secs(6)), "renewed at 2, not at 4");
    assert_eq!(owner.tick(secs(6)).settled, [change]);
    owner.finish(change);
    let _ = owner.hello(secs(7), A, session(9), None);
    let sent: Vec<_> = std::iter::from_fn(|| owner.next_outgoing(secs(7), A)).collect();
    let refused = Outgoing::Refused { again_after: secs(1), resolves_max: 2 };
    assert_eq!(sent.last(), Some(&refused), "5 seconds from the end of its acknowledgement wait");
    let (_, todo) = owner.announce(secs(7), change_of("k"));
    assert_eq!(todo.settled.len(), 1, "nobody waits for it now");
}

#[test]
fn validating_takes_longer_every_time_and_is_forgotten() {
    let mut validating = Validating::new(secs(5), secs(12));
    validating.strike(secs(0), "n".into());
    validating.strike(secs(1), "n".into());
    assert_eq!(validating.left(secs(1), "n"), Some(secs(4)), "one incident counts once");
    validating.strike(secs(6), "n".into());
    assert_eq!(validating.left(secs(6), "n"), Some(secs(10)));
    validating.strike(secs(20), "n".into());
    assert_eq!(validating.left(secs(20), "n"), Some(secs(12)), "at most the longest");
    validating.tick(secs(44));
    validating.strike(secs(44), "n".into());
    assert_eq!(validating.left(secs(44), "n"), Some(secs(5)), "the first time again");
    assert_eq!(validating.left(secs(44), "another"), None);
}

#[test]
fn a_lost_stream_s_session_is_waited_out_unless_the_node_says_that_it_dropped_it() {
    let mut owner = owner();
    for stream in [A, B] {
        join(&mut owner, secs(0), stream);
        ask(&mut owner, secs(0), stream, 1, &["k"]);
    }
    let _ = owner.lost(secs(0), A);
    let _ = owner.lost(secs(0), B);
    let (change, todo) = owner.announce(secs(1), change_of("k"));
    assert!(todo.settled.is_empty());
    owner.connected(StreamNo(3), "n1".into());
    assert!(owner.hello(secs(2), StreamNo(3), session(3), Some(session(1))).settled.is_empty());
    assert_eq!(owner.tick(secs(4)).settled, [change], "the other's lease and margin");
}

/// While a process takes over from another of the same node, each has a session, and a change waits for both.
#[test]
fn two_processes_of_one_node_have_a_session_each() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    owner.connected(B, "n1".into());
    let _ = owner.hello(secs(0), B, session(2), None);
    let welcome = owner.next_outgoing(secs(0), B);
    assert!(
        matches!(welcome, Some(Outgoing::Welcome { session: id, .. }) if id == session(2)),
        "{welcome:?}"
    );
    for stream in [A, B] {
        ask(&mut owner, secs(0), stream, 1, &["k"]);
    }
    let (change, todo) = owner.announce(secs(1), change_of("k"));
    assert!(todo.settled.is_empty());
    let clears = [A, B].map(|stream| clear_no(&mut owner, secs(1), stream));
    assert!(owner.ack(secs(1), B, clears[1]).settled.is_empty(), "the earlier process has not said so");
    assert_eq!(owner.goodbye(secs(1), A).settled, [change], "it gives its own session back");
    assert!(!owner.is_live(secs(1), session(1)) && owner.is_live(secs(1), session(2)));
}

#[test]
fn nobody_ends_another_node_s_session() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    owner.connected(B, "n2".into());
    let _ = owner.hello(secs(0), B, session(2), Some(session(1)));
    assert!(owner.is_live(secs(0), session(1)));
}

#[test]
fn after_a_restart_changes_wait_for_the_longest_lease_ever_granted() {
    let mut owner: TestOwner = Owner::new(settings(), secs(9), secs(100));
    let (change, todo) = owner.announce(secs(101), change_of("k"));
    assert!(todo.settled.is_empty());
    assert_eq!(owner.withheld_until(secs(101)), Some(secs(110)));
    assert_eq!(owner.deadline(), Some(secs(110)));
    assert!(!owner.is_idle(secs(109)));
    assert_eq!(owner.tick(secs(110)).settled, [change]);
    assert_eq!(owner.withheld_until(secs(110)), None);
}

#[test]
fn a_change_that_was_given_up_is_not_settled_later() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    let (change, _) = owner.announce(secs(0), change_of("k"));
    owner.finish(change);
    let no = clear_no(&mut owner, secs(0), A);
    assert!(owner.ack(secs(0), A, no).settled.is_empty());
    assert_eq!(owner.status(secs(0)).changes_count, 0);
}

#[test]
fn past_its_limit_of_areas_a_session_is_served_once() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    for (no, bucket) in (1..).zip(["1", "2", "3", "4", "5", "1"]) {
        let questions = vec![(Subject::Facts { bucket: bucket.into() }, bucket)];
        let _ = owner.resolve(secs(0), A, ResolveNo(no), questions).expect("a resolve");
        owner.next_read(A).expect("read at once");
        queue(&mut owner, secs(0), A, no, &["facts"]);
        let expected = if bucket == "5" { Mark::ServeOnce } else { Mark::Keep };
        assert_eq!(marks(&mut owner, secs(0), A), [expected], "bucket {bucket}");
    }
}

#[test]
fn resolves_past_their_credit_and_odd_ones_end_the_stream() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    let mut resolve =
        |no, count| owner.resolve(secs(0), A, ResolveNo(no), vec![(object("k"), "k"); count]).map(|_| ());
    assert_eq!(resolve(1, 0), Err(Violation::QuestionCount));
    assert_eq!(resolve(1, 5), Err(Violation::QuestionCount));
    assert_eq!(resolve(1, 4), Ok(()));
    assert_eq!(resolve(1, 1), Err(Violation::NumberInUse));
    assert_eq!(resolve(2, 1), Ok(()));
    assert_eq!(resolve(3, 1), Err(Violation::ResolvesWithoutCredit));
}

#[test]
fn nothing_is_read_while_too_much_waits_to_be_sent() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    let _ = owner.answered(secs(0), A, ResolveNo(1), vec!["large"], 100);
    let _ = owner.resolve(secs(0), A, ResolveNo(2), vec![(object("l"), "l")]).expect("within credit");
    assert_eq!(owner.next_read(A), None);
    marks(&mut owner, secs(0), A);
    assert_eq!(owner.next_read(A).map(|read| read.questions), Some(vec!["l"]));
}

#[test]
fn a_closing_owner_ends_sessions_and_is_idle_once_they_are_given_back() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    join(&mut owner, secs(0), B);
    assert_eq!(owner.close(secs(1)).stir, BTreeSet::from([A, B]));
    assert_eq!(owner.next_outgoing(secs(1), A), Some(Outgoing::Ended));
    let _ = owner.hello(secs(1), A, session(8), Some(session(1)));
    assert!(matches!(owner.next_outgoing(secs(1), A), Some(Outgoing::Refused { .. })));
    assert!(!owner.is_idle(secs(1)));
    let _ = owner.tick(secs(4));
    assert!(owner.is_idle(secs(4)), "the other one's lease and margin");
}

#[test]
fn more_sessions_than_allowed_are_refused() {
    let mut owner: TestOwner =
        Owner::new(OwnerSettings { sessions_max: 1, ..settings() }, Duration::ZERO, secs(0));
    join(&mut owner, secs(0), A);
    owner.connected(B, "n2".into());
    let _ = owner.hello(secs(0), B, session(2), None);
    assert!(matches!(owner.next_outgoing(secs(0), B), Some(Outgoing::Refused { .. })));
    ask(&mut owner, secs(0), B, 1, &["k"]);
    queue(&mut owner, secs(0), B, 1, &["k"]);
    assert_eq!(marks(&mut owner, secs(0), B), [Mark::ServeOnce], "and asked each time");
}

/// Both stop at once: the owner has ended the session when the node gives it back.
#[test]
fn a_session_that_is_given_back_while_its_end_is_on_the_way_is_not_waited_out() {
    let mut owner = owner();
    join(&mut owner, secs(0), A);
    ask(&mut owner, secs(0), A, 1, &["k"]);
    let (change, _) = owner.announce(secs(0), change_of("k"));
    let _ = owner.close(secs(0));
    assert_eq!(owner.goodbye(secs(0), A).settled, [change]);
    assert!(owner.is_idle(secs(0)));
}
