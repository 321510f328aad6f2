//! Whether a policy is public: "The meaning of public" in "Blocking public access to your Amazon S3 storage".
//!
//! A policy is taken to be public until each of its Allows is seen to be for fixed somebodies: by its principal, or
//! by a condition that pins the request to fixed values of a key that S3 trusts for it. Denies change nothing.

use super::condition::Condition;
use super::{Effect, Policy, Statement};

impl Policy {
    /// Whether it allows anything to everyone without a condition that pins who or from where, as
    /// GetBucketPolicyStatus says it.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        self.effect == Effect::Allow
            && self.principals.are_everyone()
            && !self.conditions.iter().any(Condition::pins_the_asker)
    }
}
