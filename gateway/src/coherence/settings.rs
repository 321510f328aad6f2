//! What an operator chooses of leases: how long they last, and how long a change may wait for those who hold them.

use std::time::Duration;

use origin::regional::LeaseClass;

/// How what nodes keep is held true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a node may answer from heads and facts without a word from their owner: also how long it answers once
    /// the owner is gone, and how long a change waits for a node that is. Default 3 s.
    pub lease: Duration,
    /// The same for users. Default 30 s.
    pub users_lease: Duration,
    /// How long a change waits for a node that has a lease to say that it has let go, before the lease is no longer
    /// renewed. Default 1 s: some round trips to the other side of the world.
    pub max_ack_wait: Duration,
    /// What an owner adds to a lease before it counts it as over: for clocks that run at different rates. Default
    /// 200 ms, which is seven times what a clock that is off by 0.1 % makes of the longest lease.
    pub margin: Duration,
    /// How long a change may wait to begin after its owner has started again, before its client is told to come back.
    /// Default 5 s.
    pub hold_wait: Duration,
    /// What becomes of users whose lease has run out, because home does not answer.
    pub on_home_loss: OnHomeLoss,
}

/// What a node does with users that it knew, once their lease has run out and home does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHomeLoss {
    /// Refuses them with 503 and `Retry-After`: a user who was deleted meanwhile does nothing anywhere.
    Refuse,
    /// Goes on with those it knew for this long after the lease, and writes each to the audit log.
    ServeKnown(Duration),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(3),
            users_lease: Duration::from_secs(30),
            max_ack_wait: Duration::from_secs(1),
            margin: Duration::from_millis(200),
            hold_wait: Duration::from_secs(5),
            on_home_loss: OnHomeLoss::Refuse,
        }
    }
}

impl Settings {
    /// How long leases of `class` last.
    #[must_use]
    pub fn lease_of(&self, class: LeaseClass) -> Duration {
        match class {
            LeaseClass::Objects => self.lease,
            LeaseClass::Users => self.users_lease,
        }
    }

    /// What is wrong between settings that are each in range, with the key to mend.
    #[must_use]
    pub fn check(&self) -> Vec<(&'static str, &'static str)> {
        let mut faults = Vec::new();
        if self.users_lease < self.lease {
            faults.push(("users_lease", "must not be shorter than lease"));
        }
        // A crystal is off by 0.01 % at most, a virtual machine's clock that is being slewed by 0.05 %: on both sides.
        if self.margin < self.users_lease.max(self.lease) / 500 {
            faults.push(("margin", "must be at least 0.2 % of the longest lease"));
        }
        faults
    }
}
