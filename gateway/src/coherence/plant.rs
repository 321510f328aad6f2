//! Rules broken on purpose, so that the model can show that it would notice.
//!
//! The machines ask at the few places where a rule is kept. What runs is [`Sound`], which has no fields and answers "no" to
//! everything, so that nothing of this is left in the compiled product.

use std::fmt::Debug;
use std::hash::Hash;

/// A rule that one of the two machines does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Rule 1: a read that opens while a change is announced is not marked for it.
    ReadInsideInterval,
    /// Rule 1: the first change of a key that ends takes the marks of all others of that key with it.
    IntervalsNotCounted,
    /// Rule 2: a serve-once answer serves requests that came after its resolve was sent, too.
    OnceServesJoiners,
    /// Rule 4: a resolve registers no interest.
    NoInterest,
    /// Rule 4: interest is released while a resolve of that bucket is unanswered.
    ReleaseWhileAsked,
    /// Rule 4: a clear leaves "no such key" where it is.
    NegativeSurvivesClear,
    /// Rule 5: an expired session is renewed.
    ExpiredRenewed,
    /// Rule 5: what an earlier session's stream brought is live under the next.
    AnySessionServes,
    /// Rule 9: all answers of a batch are marked like its first.
    BatchMarkedByFirst,
    /// Rule 10: unsent answers that a clear overtakes stay as they were marked.
    OvertakenStillKept,
    /// A session whose clear waits for too long is renewed all the same.
    SilentRenewed,
    /// A node counts its lease from when the renewal's answer came.
    LeaseFromReceipt,
    /// A node takes the answer to any renewal for the answer to its latest.
    StaleRenewalCounts,
}

/// Says which rules are broken.
pub trait Plant: Clone + Debug + PartialEq + Eq + Hash {
    /// Whether the place that asks shall break its rule.
    fn broken(&self, fault: Fault) -> bool;
}

/// Nothing is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sound;

impl Plant for Sound {
    #[inline]
    fn broken(&self, _fault: Fault) -> bool {
        false
    }
}
