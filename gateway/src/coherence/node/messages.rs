//! What a node says to an owner, and what an owner's answers say.

use super::Violation;
use crate::coherence::numbers::{ClearNo, RenewalNo, ResolveNo, Revision, SessionId};
use crate::coherence::scope::{Area, Subject};

/// A message to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Asks for a session.
    Hello {
        /// Dropped: the owner need not wait for it.
        previous: Option<SessionId>,
    },
    /// Asks for another lease.
    Renew {
        /// Counts up.
        no: RenewalNo,
    },
    /// What all clears up to this one name is forgotten.
    Ack {
        /// The last one.
        up_to: ClearNo,
    },
    /// Nothing of this is kept any longer, and nothing is being asked.
    Release(Area),
    /// Asks.
    Resolve {
        /// Counts up.
        no: ResolveNo,
        /// At least one.
        questions: Vec<Question>,
    },
    /// Gives the session back.
    Goodbye,
}

/// One question. Rule 9: it names what is held when it leaves, and an answer of "same" means exactly that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// What it is about.
    pub subject: Subject,
    /// Revision of what is held of it.
    pub known: Option<Revision>,
    /// Revision of what is held of the bucket's facts, when they come along.
    pub known_facts: Option<Revision>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answered<V, E> {
    /// About a head: it and the facts of its bucket, in one snapshot. Without facts there is no head.
    Object {
        /// The bucket's facts.
        facts: Told<V>,
        /// The head.
        head: Told<V>,
    },
    /// About anything else.
    One(Told<V>),
    /// The owner cannot say.
    Failed(E),
}

/// What is said of something the asker may already hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told<V> {
    /// It is as the question named it.
    Same,
    /// It is this.
    Is(V),
    /// There is none.
    Absent,
}

impl<V: Clone> Told<V> {
    pub(super) fn in_full(self, held: &Option<V>) -> Result<Option<V>, Violation> {
        match self {
            Self::Same => held.clone().map(Some).ok_or(Violation::SameAsNothing),
            Self::Is(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
        }
    }
}
