//! Whether one key's operations can be put in an order that a single copy of the object would have shown: each between
//! its call and its answer, reads seeing what the last write before them left (linearizability; Wing & Gong 1993, with
//! the memory of configurations of Lowe 2017).
//!
//! Keys are independent of each other (Herlihy & Wing 1990, §3.3: locality), so each is decided by itself. An operation
//! without an answer may be put anywhere after its call, or left out.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use super::history::{Action, Condition, Nanos, Op, Seen, Version};

/// Configurations tried before a history counts as undecided.
const CONFIGURATIONS_MAX: usize = 2_000_000;

/// What the search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is such an order.
    Accepted,
    /// There is none. The longest beginning of one that was found, as places in the list of operations.
    Rejected(Vec<usize>),
    /// Too many orders to try.
    Undecided,
}

/// Decides about the operations of one key, which held nothing at first.
pub(super) fn check(ops: &[Op]) -> Verdict {
    // A write that was neither answered nor ever seen rarely matters, and each doubles the orders to try: where the
    // rest is in order without them, so is the whole, as they may be left out.
    let is_heard_of = |op: &Op| op.answered.is_some() || is_seen(op.action, ops);
    let heard_of: Vec<Op> = ops.iter().copied().filter(is_heard_of).collect();
    if heard_of.len() < ops.len() && Search::new(&heard_of).run() == Verdict::Accepted {
        return Verdict::Accepted;
    }
    Search::new(ops).run()
}

/// Whether any answer tells of `action`.
fn is_seen(action: Action, ops: &[Op]) -> bool {
    let seen =
        || ops.iter().filter_map(|op| if let Action::See(seen) = op.action { Some(seen) } else { None });
    match action {
        Action::Write(version, _) => seen().any(|seen| match seen {
            Seen::Written(id, _) => id == version.id,
            Seen::Content(content) => version.content.is_none_or(|own| own == content),
            Seen::Nothing | Seen::Something | Seen::SomethingBut(_) => false,
        }),
        Action::Delete => seen().any(|seen| seen == Seen::Nothing),
        Action::See(_) => true,
    }
}

/// What the key holds.
type State = Option<Version>;

/// What the key holds once `action` has taken effect on `state`; `None` when it cannot have happened then.
fn apply(action: Action, state: State) -> Option<State> {
    match action {
        Action::Write(version, condition) => {
            let holds = match (condition, state) {
                (Condition::Always, _) | (Condition::Nothing, None) => true,
                (Condition::Nothing, Some(_)) | (Condition::Holds(_), None) => false,
                (Condition::Holds(wanted), Some(there)) => may_be(there, wanted),
            };
            holds.then_some(Some(version))
        }
        Action::Delete => Some(None),
        Action::See(seen) => is_view_of(seen, state).then_some(state),
    }
}

fn is_view_of(seen: Seen, state: State) -> bool {
    match (seen, state) {
        (Seen::Nothing, None) => true,
        (Seen::Nothing, Some(_)) | (_, None) => false,
        (Seen::Something, Some(_)) => true,
        (Seen::SomethingBut(content), Some(there)) => there.content != Some(content),
        (Seen::Content(content), Some(there)) => may_be(there, content),
        (Seen::Written(id, content), Some(there)) => there.id == id && may_be(there, content),
    }
}

fn may_be(there: Version, content: u64) -> bool {
    there.content.is_none_or(|own| own == content)
}

/// The beginning or the end of an operation, in a list from which operations are taken as they are put in order.
struct Event {
    op: usize,
    is_call: bool,
    before: usize,
    after: usize,
}

/// The list's head and its end.
const HEAD: usize = 0;

struct Search<'a> {
    ops: &'a [Op],
    events: Vec<Event>,
    /// Where each operation's call is in `events`, and its answer.
    calls: Vec<usize>,
    answers: Vec<Option<usize>>,
    state: State,
    /// The operations put in order so far, each with the state before it.
    order: Vec<(usize, State)>,
    taken: Vec<u64>,
    answered_left: usize,
    known: HashSet<(Vec<u64>, State)>,
    longest: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(ops: &'a [Op]) -> Self {
        let mut instants: Vec<(Nanos, bool, usize)> = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            instants.push((op.called, false, index));
            instants.extend(op.answered.map(|at| (at, true, index)));
        }
        // At one instant calls come first: operations that touch are not apart.
        instants.sort_unstable();
        let mut events = vec![Event { op: usize::MAX, is_call: false, before: HEAD, after: HEAD }];
        let (mut calls, mut answers) = (vec![HEAD; ops.len()], vec![None; ops.len()]);
        for (_, is_answer, op) in instants {
            let at = events.len();
            events.push(Event { op, is_call: !is_answer, before: at - 1, after: HEAD });
            events[at - 1].after = at;
            if is_answer {
                answers[op] = Some(at);
            } else {
                calls[op] = at;
            }
        }
        events[HEAD].before = events.len() - 1;
        Self {
            ops,
            events,
            calls,
            state: None,
            order: Vec::new(),
            taken: vec![0; ops.len().div_ceil(64)],
            answered_left: answers.iter().flatten().count(),
            answers,
            known: HashSet::new(),
            longest: Vec::new(),
        }
    }

    fn run(mut self) -> Verdict {
        let mut at = self.events[HEAD].after;
        while self.answered_left > 0 {
            if self.known.len() > CONFIGURATIONS_MAX {
                return Verdict::Undecided;
            }
            // Past the first answer nothing may come before that operation.
            let next = if at != HEAD && self.events[at].is_call {
                self.take(self.events[at].op).then_some(HEAD).or(Some(at))
            } else {
                self.take_back()
            };
            let Some(next) = next else { return Verdict::Rejected(self.longest) };
            at = self.events[next].after;
        }
        Verdict::Accepted
    }

    /// Puts `op` next in the order, if it can have happened next and that was not tried before.
    fn take(&mut self, op: usize) -> bool {
        let Some(state) = apply(self.ops[op].action, self.state) else { return false };
        self.taken[op / 64] |= 1 << (op % 64);
        if !self.known.insert((self.taken.clone(), state)) {
            self.taken[op / 64] &= !(1 << (op % 64));
            return false;
        }
        self.order.push((op, self.state));
        self.state = state;
        self.unlink(self.calls[op]);
        if let Some(answer) = self.answers[op] {
            self.unlink(answer);
            self.answered_left -= 1;
        }
        if self.order.len() > self.longest.len() {
            self.longest = self.order.iter().map(|(op, _)| *op).collect();
        }
        true
    }

    /// Takes back the last operation that could have come later, and returns its call; `None` when there is none.
    fn take_back(&mut self) -> Option<usize> {
        loop {
            let (op, state) = self.order.pop()?;
            self.taken[op / 64] &= !(1 << (op % 64));
            self.state = state;
            if let Some(answer) = self.answers[op] {
                self.relink(answer);
                self.answered_left += 1;
            }
            self.relink(self.calls[op]);
            // What a read saw was there when it was put in order: to put it later changes nothing for anybody.
            if !matches!(self.ops[op].action, Action::See(_)) {
                return Some(self.calls[op]);
            }
        }
    }

    fn unlink(&mut self, at: usize) {
        let Event { before, after, .. } = self.events[at];
        self.events[before].after = after;
        self.events[after].before = before;
    }

    /// Puts back what was unlinked last of all that is still out.
    fn relink(&mut self, at: usize) {
        let Event { before, after, .. } = self.events[at];
        self.events[before].after = at;
        self.events[after].before = at;
    }
}
