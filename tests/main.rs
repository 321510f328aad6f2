//! End-to-end tests of Penstock, one file a promise. `tests/run` builds what they need and runs them.

mod dependencies;
