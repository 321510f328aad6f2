//! The configuration file, parsed once at start into checked values.

mod fault;

pub use fault::Fault;
