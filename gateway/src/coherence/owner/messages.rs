//! What an owner says to a node, and what its machine tells whoever drives it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::coherence::numbers::{ChangeNo, ClearNo, Mark, RenewalNo, ResolveNo, SessionId, StreamNo};
use crate::coherence::scope::Scope;

/// A message to a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outgoing<A> {
    /// The stream has a session.
    Welcome {
        /// Its id.
        session: SessionId,
        /// How long it lives after each renewal.
        lease: Duration,
        /// Most unanswered resolves.
        resolves_max: usize,
    },
    /// The stream has none: every answer on it is serve-once.
    Refused {
        /// When to ask for one again.
        again_after: Duration,
        /// Most unanswered resolves.
        resolves_max: usize,
    },
    /// The renewal of this number counts.
    Renewed {
        /// As the node counts.
        no: RenewalNo,
    },
    /// Forget these and say so.
    Clear {
        /// To be acknowledged.
        no: ClearNo,
        /// What to forget.
        scope: Arc<Scope>,
    },
    /// The stream has no session any longer; it may ask for another.
    Ended,
    /// To the first questions of a resolve, or to all of them.
    Answers {
        /// As the node counts.
        no: ResolveNo,
        /// In the order of the questions.
        answers: Vec<(A, Mark)>,
    },
}

/// A resolve whose turn has come: the store's read opens now, not earlier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read<Q> {
    /// As the node counts.
    pub no: ResolveNo,
    /// What is asked.
    pub questions: Vec<Q>,
}

/// A node did what no node does; its stream is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// More unanswered resolves than it was given.
    ResolvesWithoutCredit,
    /// A resolve without a question or with too many.
    QuestionCount,
    /// A resolve's number that is in use.
    NumberInUse,
}

/// What the caller has to do; dropping it loses wake-ups.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Todo {
    /// Changes that may commit now.
    pub settled: Vec<ChangeNo>,
    /// Streams that have something to send.
    pub stir: BTreeSet<StreamNo>,
}
