//! Refusing to start under a clock that is plainly wrong, before it dates objects or judges signatures.
//!
//! The time must not be before this program was written, nor before the last time a node wrote into its data
//! directory. A clock that is ahead cannot be told from a node that was off for long: it is taken as it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 2026-01-01T00:00:00Z: no clock showed less when this program was built.
const NOT_BEFORE_SECONDS: u64 = 1_767_225_600;

/// S3's own limit on clock skew: a clock set back by less does no harm that clients would not see anyway.
const TOLERANCE: Duration = Duration::from_secs(15 * 60);

/// How often a running node notes the time.
pub const NOTE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Why the clock is not believed.
#[derive(Debug, PartialEq, Eq)]
pub enum ClockError {
    /// Before this program was written.
    TooEarly {
        /// What the clock says, in seconds since 1970.
        now: u64,
    },
    /// Before the data directory was last used.
    SetBack {
        /// What the clock says, in seconds since 1970.
        now: u64,
        /// When the directory was last used.
        last: u64,
        /// The file that says so.
        noted_in: PathBuf,
    },
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooEarly { now } => {
                write!(f, "the clock says {}, before this program was built: set it", show(*now))
            }
            Self::SetBack { now, last, noted_in } => write!(
                f,
                "the clock says {}, but this data was in use at {}: set it, or remove {} if that time was wrong",
                show(*now),
                show(*last),
                noted_in.display()
            ),
        }
    }
}

impl std::error::Error for ClockError {}

/// Seconds since 1970 by the system's clock; 0 when it is set to before that.
#[must_use]
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Judges `now` against this program's age and against the time noted in `directory`, if any.
///
/// # Errors
/// [`ClockError`], whose text tells an operator what to do.
pub fn check(now: u64, directory: &Path) -> Result<(), ClockError> {
    if now < NOT_BEFORE_SECONDS {
        return Err(ClockError::TooEarly { now });
    }
    // A file that cannot be read or parsed says nothing: the time was not noted, or only half of it.
    let noted_in = noted_in(directory);
    let last = std::fs::read_to_string(&noted_in).ok().and_then(|text| text.trim().parse().ok());
    match last {
        Some(last) if now + TOLERANCE.as_secs() < last => Err(ClockError::SetBack { now, last, noted_in }),
        _ => Ok(()),
    }
}

/// Notes that a node was running at `now` with its data in `directory`.
///
/// # Errors
/// Of the file system.
pub fn note(now: u64, directory: &Path) -> io::Result<()> {
    std::fs::write(noted_in(directory), format!("{now}\n"))
}

fn noted_in(directory: &Path) -> PathBuf {
    directory.join("last-running")
}

fn show(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} seconds after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = NOT_BEFORE_SECONDS + 1_000_000;

    #[test]
    fn a_clock_before_the_program_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(check(NOT_BEFORE_SECONDS, dir.path()), Ok(()));
        let error = check(NOT_BEFORE_SECONDS - 1, dir.path()).expect_err("too early");
        assert!(error.to_string().contains("2025-12-31T23:59:59Z"), "{error}");
    }

    #[test]
    fn a_clock_set_back_past_the_tolerance_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        note(NOW, dir.path()).expect("note");
        assert_eq!(check(NOW - TOLERANCE.as_secs(), dir.path()), Ok(()));
        let error = check(NOW - TOLERANCE.as_secs() - 1, dir.path()).expect_err("set back");
        assert!(error.to_string().contains("last-running"), "{error}");
    }

    #[test]
    fn a_note_that_a_crash_cut_short_says_nothing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("last-running"), "").expect("write");
        assert_eq!(check(NOW, dir.path()), Ok(()));
    }
}
