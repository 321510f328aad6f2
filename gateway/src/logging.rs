//! Logs: one line of JSON each, on stderr.
//!
//! Libraries that log signatures, whole requests or every client's mistake are switched off here, in code, so that
//! no setting can bring them back.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What libraries may say at most, whatever the level is set to.
const LIBRARIES: [(&str, LevelFilter); 9] = [
    // Logs signatures and full requests at debug, and each 404 as an error.
    ("s3s", LevelFilter::OFF),
    // An ERROR for each client that goes away.
    ("pingora_core", LevelFilter::OFF),
    ("pingora_proxy", LevelFilter::OFF),
    ("pingora_http", LevelFilter::OFF),
    // Headers, signatures among them, at debug.
    ("h2", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("hyper_util", LevelFilter::WARN),
    ("reqwest", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
];

/// Logs what is at least as severe as `level` from now on.
pub fn start(level: Level) {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(targets(level)).with(lines).init();
}

fn targets(level: Level) -> Targets {
    Targets::new().with_default(level).with_targets(LIBRARIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_signatures_stays_off_at_every_level() {
        for level in [Level::INFO, Level::DEBUG, Level::TRACE] {
            let targets = targets(level);
            assert!(!targets.would_enable("s3s::ops", &Level::ERROR));
            assert!(!targets.would_enable("hyper::proto::h1", &Level::DEBUG));
            assert!(targets.would_enable("gateway::dev", &level));
        }
    }
}
