//! One node's stream at its owner: what was asked on it, what is being read for it, and what waits to be sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Outgoing, OwnerSettings, Violation};
use crate::coherence::numbers::{Mark, ResolveNo, SessionId};
use crate::coherence::scope::{Area, Scope, Subject};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stream<Q, A> {
    pub(super) node: Arc<str>,
    pub(super) session: Option<SessionId>,
    /// The last session that it had, if the node has not given it back.
    pub(super) last: Option<SessionId>,
    /// Goes before every answer.
    pub(super) control: VecDeque<Outgoing<A>>,
    /// Not read yet.
    pub(super) waiting: VecDeque<Resolve<Q>>,
    /// Being read.
    pub(super) reading: BTreeMap<ResolveNo, Reading>,
    /// Read, and not sent.
    pub(super) unsent: VecDeque<Unsent<A>>,
    pub(super) unsent_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Resolve<Q> {
    pub(super) no: ResolveNo,
    pub(super) reading: Reading,
    pub(super) questions: Vec<Q>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    /// The session under which it was asked.
    pub(super) session: Option<SessionId>,
    pub(super) asked: Vec<Asked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) subject: Subject,
    pub(super) mark: Mark,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unsent<A> {
    pub(super) no: ResolveNo,
    pub(super) reading: Reading,
    pub(super) answers: Vec<A>,
    pub(super) bytes: usize,
}

impl<Q, A> Stream<Q, A> {
    /// The stream of this node, on which nothing was said yet.
    pub(super) fn of(node: Arc<str>) -> Self {
        Self {
            node,
            session: None,
            last: None,
            control: VecDeque::new(),
            waiting: VecDeque::new(),
            reading: BTreeMap::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
        }
    }

    pub(super) fn admit(
        &self,
        no: ResolveNo,
        questions_count: usize,
        settings: &OwnerSettings,
    ) -> Result<(), Violation> {
        if self.waiting.len() + self.reading.len() + self.unsent.len() >= settings.resolves_max {
            return Err(Violation::ResolvesWithoutCredit);
        }
        if questions_count == 0 || questions_count > settings.asks_max {
            return Err(Violation::QuestionCount);
        }
        let waits = self.waiting.iter().any(|resolve| resolve.no == no);
        let is_unsent = self.unsent.iter().any(|unsent| unsent.no == no);
        match waits || is_unsent || self.reading.contains_key(&no) {
            true => Err(Violation::NumberInUse),
            false => Ok(()),
        }
    }

    /// One of its resolves about `area` is unanswered.
    pub(super) fn asks_about(&self, area: &Area) -> bool {
        let waiting = self.waiting.iter().map(|resolve| &resolve.reading);
        let unsent = self.unsent.iter().map(|unsent| &unsent.reading);
        let mut asked = waiting.chain(self.reading.values()).chain(unsent).flat_map(|reading| &reading.asked);
        asked.any(|asked| asked.subject.area().as_ref() == Some(area))
    }

    /// A change of `scope` was announced: rule 1 for what is being read, rule 10 for what is read and not sent. What is
    /// not being read yet is looked at when it is.
    pub(super) fn demote(&mut self, scope: &Scope, overtakes: bool) {
        self.reading.values_mut().for_each(|reading| reading.demote(|subject| scope.touches(subject)));
        for unsent in self.unsent.iter_mut().filter(|_| overtakes) {
            unsent.reading.demote(|subject| scope.touches(subject));
        }
    }
}

impl Reading {
    pub(super) fn demote(&mut self, touched: impl Fn(&Subject) -> bool) {
        for asked in &mut self.asked {
            if touched(&asked.subject) {
                asked.mark = Mark::ServeOnce;
            }
        }
    }
}
