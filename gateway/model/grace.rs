//! Rule 11 by itself: the bytes of a superseded object stay while a response that began before is in progress.
//!
//! The machines have no part in it: readers and leftovers in `origin/src/regional` keep it. Here is what it asks of them: an
//! instance that nothing names any more stays for its grace, counted anew from the last contact of whoever sends it, and
//! whole again after a restart, which has forgotten all contacts. A response is in contact more often than a grace lasts.

use stateright::{Model, Property};

/// How long an instance that was superseded stays, in ticks.
const GRACE: u8 = 3;
/// A response in progress is in contact with the owner at least this often.
const CONTACT: u8 = 2;
/// Ticks that pass, and pieces of one response: more than a grace and a restart together.
const HORIZON: u8 = 9;
const PIECES: u8 = 2;

/// The property that a response breaks.
pub const WHOLE: &str = "a response that began is sent whole";
/// What must be possible, or nothing is shown.
pub const REMOVED: &str = "a superseded instance is removed";

/// How rule 11 can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// It is not.
    Nothing,
    /// A response is in contact only when it fetches, not while it sends what is here.
    OnlyFillsRenew,
    /// What survives a restart is removed when it would have been without one.
    NoGraceAfterRestart,
}

/// One instance, one response.
#[derive(Clone, Copy, Debug)]
pub struct Grace(pub Broken);

/// Where both are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    time: u8,
    superseded: bool,
    /// When it may be removed, once it is superseded.
    due: u8,
    contact: u8,
    /// The owner remembers the contact.
    is_remembered: bool,
    is_there: bool,
    pieces_left: u8,
    restarts_left: u8,
    is_broken_off: bool,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A tick passes.
    Tick,
    /// The object is overwritten.
    Supersede,
    /// The response fetches a piece that is not here.
    Fetch,
    /// It says that it goes on, while it sends what is here.
    Renew,
    /// The owner starts again.
    Restart,
    /// The owner looks at what is left over.
    Reap,
}

impl Model for Grace {
    type State = Instance;
    type Action = Action;

    fn init_states(&self) -> Vec<Instance> {
        vec![Instance {
            time: 0,
            superseded: false,
            due: 0,
            contact: 0,
            is_remembered: true,
            is_there: true,
            pieces_left: PIECES,
            restarts_left: 1,
            is_broken_off: false,
        }]
    }

    fn actions(&self, state: &Instance, actions: &mut Vec<Action>) {
        let responds = state.pieces_left > 0 && !state.is_broken_off;
        let is_due = state.time >= state.contact + CONTACT;
        let silent = self.0 == Broken::OnlyFillsRenew;
        if state.time < HORIZON && !(responds && is_due && !silent) {
            actions.push(Action::Tick);
        }
        if !state.superseded {
            actions.push(Action::Supersede);
        }
        if responds {
            actions.push(Action::Fetch);
        }
        if responds && !silent {
            actions.push(Action::Renew);
        }
        if state.restarts_left > 0 {
            actions.push(Action::Restart);
        }
        if state.superseded && state.is_there && state.time >= state.due {
            actions.push(Action::Reap);
        }
    }

    fn next_state(&self, state: &Instance, action: Action) -> Option<Instance> {
        let mut next = state.clone();
        match action {
            Action::Tick => next.time += 1,
            Action::Supersede => (next.superseded, next.due) = (true, state.time + GRACE),
            Action::Fetch => {
                next.is_broken_off = !state.is_there;
                next.pieces_left -= 1;
                (next.contact, next.is_remembered) = (state.time, true);
            }
            Action::Renew => (next.contact, next.is_remembered) = (state.time, true),
            Action::Restart => {
                next.restarts_left -= 1;
                next.is_remembered = false;
                if self.0 != Broken::NoGraceAfterRestart {
                    next.due = state.due.max(state.time + GRACE);
                }
            }
            Action::Reap => match state.is_remembered && state.contact + GRACE > state.time {
                true => next.due = state.time + GRACE,
                false => next.is_there = false,
            },
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(WHOLE, |_, state: &Instance| !state.is_broken_off),
            Property::sometimes(REMOVED, |_, state: &Instance| !state.is_there),
        ]
    }
}
