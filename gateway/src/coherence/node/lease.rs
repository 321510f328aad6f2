//! A session as its node counts it: from when each renewal was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::coherence::numbers::{RenewalNo, SessionId};

/// Renewals are sent this often in one lease, so that one that is late costs nothing.
const RENEWALS_PER_LEASE: u32 = 3;

/// Most renewals whose answers may still count; the oldest would be worth least.
const UNANSWERED_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lease {
    session: SessionId,
    lease: Duration,
    live_until: Duration,
    renew_at: Duration,
    last: u64,
    /// When the renewals that are unanswered were sent.
    unanswered: BTreeMap<RenewalNo, Duration>,
}

impl Lease {
    /// Counted from `sent`, when it was asked for.
    pub(super) fn new(session: SessionId, lease: Duration, sent: Duration) -> Self {
        let (live_until, renew_at) = (sent + lease, sent + lease / RENEWALS_PER_LEASE);
        Self { session, lease, live_until, renew_at, last: 0, unanswered: BTreeMap::new() }
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    pub(super) fn live_until(&self) -> Duration {
        self.live_until
    }

    pub(super) fn renew_at(&self) -> Duration {
        self.renew_at
    }

    pub(super) fn is_live(&self, now: Duration) -> bool {
        now < self.live_until
    }

    /// The renewal that is sent now, if it is time for one.
    pub(super) fn renew(&mut self, now: Duration) -> Option<RenewalNo> {
        if now < self.renew_at {
            return None;
        }
        self.renew_at = now + self.lease / RENEWALS_PER_LEASE;
        self.last += 1;
        let no = RenewalNo(self.last);
        self.unanswered.insert(no, now);
        if self.unanswered.len() > UNANSWERED_MAX {
            self.unanswered.pop_first();
        }
        Some(no)
    }

    /// When the renewal that is answered was sent. Earlier ones are worth less and forgotten.
    pub(super) fn sent(&mut self, no: RenewalNo) -> Option<Duration> {
        let sent = self.unanswered.remove(&no)?;
        self.unanswered = self.unanswered.split_off(&no);
        Some(sent)
    }

    /// When the latest renewal was sent.
    pub(super) fn sent_last(&self) -> Option<Duration> {
        self.unanswered.last_key_value().map(|(_, sent)| *sent)
    }

    pub(super) fn extend(&mut self, from: Duration) {
        self.live_until = self.live_until.max(from + self.lease);
    }
}
