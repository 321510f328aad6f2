//! What a decision may cost.
//!
//! A policy is its bucket owner's and a request its client's, and between them they choose what is compared with what:
//! twenty kilobytes of patterns, each held against sixteen of request. Decisions happen for each of a thousand keys
//! inside the region's one write transaction, so what one costs is bounded whatever it is about: one that runs out of
//! steps is decided as a refusal ([`super::Policy::decide`]).
//!
//! A step is a byte of a text or a pattern looked at, or 64 characters of a piece with `?` held against one of a text.
//! Texts (of a header, of the request's target) have 2¹⁴ bytes at most, and patterns 20 KiB. One linear comparison may
//! be charged when it is over, and reads a text and a pattern no longer than it, 2¹⁵ bytes. A decision therefore takes no
//! more than [`STEPS_MAX`] and that, 2¹⁷ + 2¹⁵ < 2¹⁸ steps, and the largest DeleteObjects 1000 · 2¹⁸ ≈ 2.6 · 10⁸. A
//! hundred patterns `*x*` held against a User-Agent of two hundred bytes take about 20,000.

use std::cell::Cell;

/// Most steps of one decision.
pub(super) const STEPS_MAX: usize = 1 << 17;

/// What is left of a decision's steps.
#[derive(Debug)]
pub(super) struct Steps {
    left: Cell<usize>,
    ran_out: Cell<bool>,
}

impl Steps {
    /// Those of one decision.
    pub(super) fn of_decision() -> Self {
        Self { left: Cell::new(STEPS_MAX), ran_out: Cell::new(false) }
    }

    /// As many as it takes, where nothing is a client's.
    pub(super) fn unlimited() -> Self {
        Self { left: Cell::new(usize::MAX), ran_out: Cell::new(false) }
    }

    /// Takes `count` steps; `false` when there are not so many left, and from then on.
    pub(super) fn take(&self, count: usize) -> bool {
        match self.left.get().checked_sub(count) {
            Some(left) if !self.ran_out.get() => {
                self.left.set(left);
                true
            }
            _ => {
                self.ran_out.set(true);
                false
            }
        }
    }

    /// Whether something was left out for want of steps.
    pub(super) fn ran_out(&self) -> bool {
        self.ran_out.get()
    }

    /// Those that are left.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left.get()
    }
}
