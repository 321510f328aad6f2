//! Logs: one line of JSON each, on stderr.
//!
//! Libraries that log signatures, whole requests or every client's mistake are held down in code, so that no setting
//! can bring them back.

mod access_line;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::access_line::Lines;
use crate::access_log::LIBRARIES;
use crate::audit;

/// Logs what is at least as severe as `level` from now on.
pub fn start(level: Level) {
    let lines = tracing_subscriber::fmt::layer().event_format(Lines::new()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(targets(level)).with(lines).init();
}

fn targets(level: Level) -> Targets {
    let targets = Targets::new().with_default(level).with_targets(LIBRARIES.iter().copied());
    targets.with_target(audit::TARGET, level.max(Level::INFO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_is_on_at_every_level() {
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::TRACE] {
            assert!(targets(level).would_enable("audit", &Level::INFO), "{level}");
        }
        assert!(!targets(Level::ERROR).would_enable("access", &Level::INFO));
    }

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
