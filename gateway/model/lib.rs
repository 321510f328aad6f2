//! Explores every order of events of sessions and leases in small configurations, and shows that broken rules are noticed.
//!
//! `coherence` is not a copy: these are the gateway's own files. Around them, [`world`] plays everything that they do not
//! decide: processes and their clocks, streams that delay and break, the store with its commits, those who read and
//! those who write. After every event it is asked whether all that nodes would say alone is true, and each answer that was
//! given must have been true at one instant since it was asked for; [`world::Violation`] lists what can be found wrong.
//! [`configurations`] lists what is explored, each small in most respects and complete in some. `explored.rs` explores it, and
//! breaks each rule in turn.
//!
//! Rule 11 is not the machines' and has a small model of its own, [`grace`].
//!
//! Time is in ticks. Clocks run alike but for [`configurations::Budget::drifts`], by which one gains a tick on the others.

#[path = "../src/coherence"]
pub mod coherence {
    mod aside;
    pub mod node;
    pub mod numbers;
    pub mod owner;
    pub mod plant;
    pub mod scope;
}

pub mod configurations;
pub mod grace;
pub mod world;
