//! Histories that are in order, and planted anomalies next to them that are not.

use super::*;

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 3;

fn op(action: Action, called: Nanos, answered: Nanos) -> Op {
    Op { action, called, answered: Some(answered) }
}

fn unanswered(action: Action, called: Nanos) -> Op {
    Op { action, called, answered: None }
}

fn put(id: u64) -> Action {
    Action::Write(Version { id, content: Some(id) }, Condition::Always)
}

fn put_if(id: u64, condition: Condition) -> Action {
    Action::Write(Version { id, content: Some(id) }, condition)
}

fn copy(id: u64, content: Option<u64>) -> Action {
    Action::Write(Version { id, content }, Condition::Always)
}

fn saw(id: u64) -> Action {
    Action::See(Seen::Written(id, id))
}

const SAW_NOTHING: Action = Action::See(Seen::Nothing);

fn accept(ops: &[Op]) {
    assert_eq!(check(ops), Verdict::Accepted);
}

fn reject(ops: &[Op]) {
    assert!(matches!(check(ops), Verdict::Rejected(_)), "accepted");
}

#[test]
fn one_after_the_other() {
    accept(&[]);
    accept(&[op(SAW_NOTHING, 0, 1), op(put(A), 2, 3), op(saw(A), 4, 5), op(put(B), 6, 7), op(saw(B), 8, 9)]);
    accept(&[op(put(A), 0, 1), op(Action::Delete, 2, 3), op(SAW_NOTHING, 4, 5)]);
}

/// While a write runs, readers may see either; what they see of it binds those after them.
#[test]
fn side_by_side() {
    let writes = [op(put(A), 0, 1), op(put(B), 10, 20)];
    accept(&[writes[0], writes[1], op(saw(A), 11, 12), op(saw(B), 13, 14)]);
    accept(&[writes[0], writes[1], op(saw(B), 11, 18), op(saw(A), 12, 14)]);
    // An older one after a newer one, through two clients.
    reject(&[writes[0], writes[1], op(saw(B), 11, 12), op(saw(A), 13, 14)]);
    reject(&[writes[0], writes[1], op(saw(A), 21, 22)]);
    reject(&[writes[0], writes[1], op(saw(B), 8, 9)]);
}

#[test]
fn a_stale_read_is_found() {
    reject(&[op(put(A), 0, 1), op(put(B), 2, 3), op(saw(A), 4, 5)]);
    reject(&[op(put(A), 0, 1), op(SAW_NOTHING, 2, 3)]);
    reject(&[op(put(A), 0, 1), op(put(B), 2, 3), op(Action::See(Seen::Content(A)), 4, 5)]);
}

#[test]
fn a_lost_write_is_found() {
    let lost = [op(put(A), 0, 1), op(put(B), 2, 3), op(put(C), 4, 9), op(saw(A), 5, 6)];
    reject(&lost);
    // Both writers cannot have been the one who found nothing.
    let claim = |id| put_if(id, Condition::Nothing);
    reject(&[op(claim(A), 0, 5), op(claim(B), 1, 4)]);
    accept(&[op(claim(A), 0, 5), op(Action::See(Seen::Something), 1, 4)]);
    accept(&[op(claim(A), 0, 5), op(Action::Delete, 1, 9), op(claim(B), 1, 4)]);
}

#[test]
fn a_resurrected_delete_is_found() {
    let deleted = [op(put(A), 0, 1), op(Action::Delete, 2, 3)];
    reject(&[deleted[0], deleted[1], op(SAW_NOTHING, 4, 5), op(saw(A), 6, 7)]);
    reject(&[deleted[0], deleted[1], op(Action::See(Seen::Something), 4, 5)]);
    accept(&[deleted[0], deleted[1], op(SAW_NOTHING, 4, 5), op(put(B), 6, 9), op(saw(B), 7, 8)]);
}

/// What nobody answered may have happened, at any time since, once, or never.
#[test]
fn unanswered_writes_happen_late_or_never() {
    let first = op(put(A), 0, 1);
    let late = unanswered(put(B), 2);
    accept(&[first, late, op(saw(A), 100, 101)]);
    accept(&[first, late, op(saw(A), 100, 101), op(saw(B), 102, 103)]);
    accept(&[first, late, op(put(C), 50, 51), op(saw(B), 102, 103)]);
    reject(&[first, late, op(saw(B), 0, 1)]);
    // Twice: an answer that was sent again took effect again.
    reject(&[first, late, op(saw(B), 10, 11), op(put(C), 50, 51), op(saw(C), 60, 61), op(saw(B), 102, 103)]);
    let late_delete = unanswered(Action::Delete, 2);
    accept(&[first, late_delete, op(saw(A), 10, 11), op(SAW_NOTHING, 12, 13)]);
    reject(&[first, late_delete, op(SAW_NOTHING, 10, 11), op(saw(A), 12, 13)]);
}

/// One that nobody saw still explains why another found something, or nothing.
#[test]
fn unseen_writes_count_where_they_explain_something() {
    let refused = op(Action::See(Seen::Something), 10, 11);
    reject(&[refused]);
    accept(&[unanswered(put(A), 0), refused]);
    reject(&[unanswered(put(A), 12), refused]);
    let if_match = op(put_if(C, Condition::Holds(A)), 10, 11);
    accept(&[op(put(A), 0, 1), unanswered(put(B), 2), if_match]);
    accept(&[op(put(A), 0, 1), unanswered(put(B), 2), op(Action::See(Seen::SomethingBut(A)), 10, 11)]);
    reject(&[op(put(A), 0, 1), op(Action::See(Seen::SomethingBut(A)), 10, 11)]);
}

/// A condition is decided where the write takes effect.
#[test]
fn conditions_are_decided_in_place() {
    let if_a = |id| put_if(id, Condition::Holds(A));
    accept(&[op(put(A), 0, 1), op(if_a(B), 2, 3), op(saw(B), 4, 5)]);
    reject(&[op(put(A), 0, 1), op(if_a(B), 2, 9), op(if_a(C), 3, 8)]);
    reject(&[op(put(A), 0, 1), op(put(B), 2, 3), op(if_a(C), 4, 5)]);
    reject(&[op(Action::Delete, 0, 1), op(if_a(C), 4, 5)]);
    // Unanswered, it may have come to nothing.
    accept(&[op(put(A), 0, 1), op(put(B), 2, 3), unanswered(if_a(C), 4), op(saw(B), 5, 6)]);
    reject(&[op(put(A), 0, 1), op(put(B), 2, 3), unanswered(if_a(C), 4), op(saw(C), 5, 6)]);
}

/// A copy has its own name and its source's bytes.
#[test]
fn copies_bring_their_sources_bytes() {
    let seen = |content| op(Action::See(Seen::Written(B, content)), 2, 3);
    accept(&[op(copy(B, Some(A)), 0, 1), seen(A), op(Action::See(Seen::Content(A)), 4, 5)]);
    reject(&[op(copy(B, Some(A)), 0, 1), seen(C)]);
    accept(&[unanswered(copy(B, None), 0), seen(C)]);
    accept(&[unanswered(copy(B, None), 0), op(Action::See(Seen::Content(C)), 2, 3)]);
}

/// The order found so far is what a person looks at first.
#[test]
fn a_rejection_shows_how_far_it_came() {
    let ops = [op(put(A), 0, 1), op(saw(A), 2, 3), op(put(B), 4, 5), op(saw(A), 6, 7)];
    assert_eq!(check(&ops), Verdict::Rejected(vec![0, 1, 2]));
}

/// Forty operations side by side, eight of them unanswered, are decided, and so is the same with one wrong.
#[test]
fn many_side_by_side_are_decided() {
    let mut ops = Vec::new();
    for id in 1..=16 {
        let start = id * 10;
        let write = put(id);
        ops.push(if id % 2 == 0 { unanswered(write, start) } else { op(write, start, start + 60) });
        ops.push(op(saw(id), start + 5, start + 55));
    }
    for at in 0..8 {
        ops.push(op(Action::See(Seen::Something), 100 + at, 200 + at));
    }
    accept(&ops);
    ops.push(op(SAW_NOTHING, 101, 199));
    reject(&ops);
}
