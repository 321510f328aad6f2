//! What a node says next: each kind of message, when it is due.

use std::time::Duration;

use super::flight::{Ask, Flight, Flying};
use super::{Line, Message, Node, Value};
use crate::coherence::numbers::ResolveNo;
use crate::coherence::plant::{Fault, Plant};
use crate::coherence::scope::Area;

impl<V: Value, P: Plant> Node<V, P> {
    pub(super) fn hello(&mut self, now: Duration) -> Option<Message> {
        let is_due = match self.line {
            Line::Silent => true,
            Line::Refused { until, .. } => now >= until,
            Line::Down | Line::Greeted(_) | Line::Open { .. } => false,
        };
        if !is_due || self.is_draining {
            return None;
        }
        self.drop_session(now);
        self.line = Line::Greeted(now);
        Some(Message::Hello { previous: self.dropped })
    }

    pub(super) fn acknowledgement(&mut self) -> Option<Message> {
        self.acknowledge.take().map(|up_to| Message::Ack { up_to })
    }

    pub(super) fn goodbye(&mut self, now: Duration) -> Option<Message> {
        let Line::Open { resolves_max } = self.line else { return self.goodbye_unheard(now) };
        let is_idle = self.settings.idle_after.is_some_and(|after| now >= self.last_look + after);
        if !(self.is_draining || is_idle && self.waiting.is_empty() && self.flights.is_empty()) {
            return None;
        }
        self.drop_session(now);
        self.dropped = None;
        // Asked for again when somebody asks; see `resolve`.
        self.line = Line::Refused { resolves_max, until: Duration::MAX };
        Some(Message::Goodbye)
    }

    /// A draining node whose session was ended gives it back all the same, so that nobody waits it out.
    fn goodbye_unheard(&mut self, now: Duration) -> Option<Message> {
        if !(self.is_draining && matches!(self.line, Line::Silent)) {
            return None;
        }
        self.drop_session(now);
        let resolves_max = 1;
        self.line = Line::Refused { resolves_max, until: Duration::MAX };
        self.dropped.take().map(|_| Message::Goodbye)
    }

    pub(super) fn renewal(&mut self, now: Duration) -> Option<Message> {
        let Line::Open { .. } = self.line else { return None };
        let no = self.lease.as_mut()?.renew(now)?;
        Some(Message::Renew { no })
    }

    /// Rule 4: nothing of it is kept, and no question about it is under way or waits.
    pub(super) fn release(&mut self) -> Option<Message> {
        let Line::Open { .. } = self.line else { return None };
        while let Some(area) = self.unused.pop_first() {
            let is_asked = self.is_asked(&area) && !self.plant.broken(Fault::ReleaseWhileAsked);
            if !is_asked && !self.kept.has_any(&area) && self.registered.remove(&area) {
                return Some(Message::Release(area));
            }
        }
        None
    }

    pub(super) fn resolve(&mut self, now: Duration) -> Option<Message> {
        let resolves_max = match self.line {
            Line::Open { resolves_max } => resolves_max,
            Line::Refused { resolves_max, until } => {
                // Given back for being idle, and wanted again.
                if until == Duration::MAX && !self.is_draining && !self.waiting.is_empty() {
                    self.line = Line::Silent;
                    return self.hello(now);
                }
                resolves_max
            }
            Line::Down | Line::Silent | Line::Greeted(_) => return None,
        };
        if self.waiting.is_empty() || self.flights.len() >= resolves_max {
            return None;
        }
        let asks = self.batch();
        let session = self.session();
        if session.is_some() {
            self.registered.extend(asks.iter().filter_map(|flying| flying.ask.subject.area()));
        }
        let questions = asks.iter().map(Flying::question).collect();
        self.last_resolve.0 += 1;
        let no = ResolveNo(self.last_resolve.0);
        self.flights.insert(no, Flight { session, asks });
        Some(Message::Resolve { no, questions })
    }

    /// As many of the questions that wait as fit in one resolve, with what is held of each.
    fn batch(&mut self) -> Vec<Flying<V>> {
        let mut asks = Vec::new();
        let mut bytes = 0;
        while let Some(ask) = self.waiting.front()
            && asks.len() < self.settings.asks_max
            && (asks.is_empty() || bytes + ask.subject.name_bytes() <= self.settings.ask_bytes_max)
        {
            bytes += ask.subject.name_bytes();
            asks.extend(self.waiting.pop_front().map(|ask| self.fly(ask)));
        }
        asks
    }

    fn fly(&self, ask: Ask) -> Flying<V> {
        let held = self.kept.held(&ask.subject);
        let held_facts = ask.subject.facts().and_then(|facts| self.kept.held(&facts));
        Flying { ask, held, held_facts, joiners: Vec::new(), is_detached: false }
    }

    fn is_asked(&self, area: &Area) -> bool {
        let flying = self.flights.values().flat_map(|flight| &flight.asks).map(|flying| &flying.ask);
        let mut asked = self.waiting.iter().chain(flying);
        asked.any(|ask| ask.subject.area().as_ref() == Some(area))
    }
}
