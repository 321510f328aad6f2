//! End-to-end tests of Penstock, one file a promise. `tests/run` builds what they need and runs them.

mod audit;
mod bad_input;
mod bit_flips;
mod coherence;
mod crash;
mod cross_origin;
mod dashboard;
mod dependencies;
mod deployment;
mod directives;
mod doors;
mod explain;
mod forwarding;
mod freshness;
mod herd;
mod histories;
mod http2;
mod main_job;
mod memory;
mod metrics_page;
mod outages;
mod permission_matrix;
mod quotas;
mod revocation;
mod running;
mod users;
