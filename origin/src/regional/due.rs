//! What is kept for a while after nothing names it any more, and when the while is over.
//!
//! Time here is the store's own running time within an epoch, so a wrong wall clock deletes nothing. What an earlier
//! epoch left gets one whole period of the running epoch: nobody knows how long the store was away.

use std::ops::Bound;
use std::time::Duration;

use super::failure::Failure;
use crate::instance::Instance;

/// Something to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// An instance that no head and no part names.
    Instance(Instance),
    /// The memory of a finished upload.
    Completed(String),
    /// The memory of a rename, by its row key.
    Renamed(Vec<u8>),
    /// What is left of the segments of an instance that is gone.
    Segments(Instance),
}

/// The kinds of [`Leftover`], as rows are ordered by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Instance = 1,
    Completed = 2,
    Renamed = 3,
    Segments = 4,
}

/// Since when something is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) epoch: u64,
    pub(super) running: Duration,
}

impl Since {
    /// Long enough: before the first epoch.
    pub(super) const LONG_AGO: Self = Self { epoch: 0, running: Duration::ZERO };

    /// The row key of a leftover.
    pub(super) fn key(self, leftover: &Leftover) -> Vec<u8> {
        let (kind, id) = match leftover {
            Leftover::Instance(instance) => (Kind::Instance, instance.as_bytes().as_slice()),
            Leftover::Completed(upload_id) => (Kind::Completed, upload_id.as_bytes()),
            Leftover::Renamed(renamed) => (Kind::Renamed, renamed.as_slice()),
            Leftover::Segments(instance) => (Kind::Segments, instance.as_bytes().as_slice()),
        };
        [&self.start(kind), id].concat()
    }

    fn start(self, kind: Kind) -> Vec<u8> {
        let millis = u64::try_from(self.running.as_millis()).unwrap_or(u64::MAX);
        [[kind as u8].as_slice(), &self.epoch.to_be_bytes(), &millis.to_be_bytes()].concat()
    }
}

/// The leftover that a row key names.
pub(super) fn leftover(key: &[u8]) -> Result<Leftover, Failure> {
    let corrupt = || Failure::Corrupt(format!("row key {} of table due", hex::encode(key)));
    let (kind, id) = (key.first().ok_or_else(corrupt)?, key.get(1 + 8 + 8..).ok_or_else(corrupt)?);
    let instance = || Ok::<_, Failure>(Instance::from_bytes(id.try_into().map_err(|_| corrupt())?));
    match *kind {
        kind if kind == Kind::Instance as u8 => Ok(Leftover::Instance(instance()?)),
        kind if kind == Kind::Segments as u8 => Ok(Leftover::Segments(instance()?)),
        kind if kind == Kind::Completed as u8 => {
            Ok(Leftover::Completed(String::from_utf8(id.to_vec()).map_err(|_| corrupt())?))
        }
        kind if kind == Kind::Renamed as u8 => Ok(Leftover::Renamed(id.to_vec())),
        _ => Err(corrupt()),
    }
}

/// From one row key to another.
pub(super) type Span = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The ranges of row keys of `kind` that have been left over for `period` at `now`.
pub(super) fn ranges(kind: Kind, now: Since, period: Duration) -> Vec<Span> {
    let at = |epoch, running| Since { epoch, running }.start(kind);
    let mut ranges = vec![(Bound::Included(at(0, Duration::ZERO)), Bound::Excluded(at(1, Duration::ZERO)))];
    if let Some(since) = now.running.checked_sub(period) {
        // Every earlier epoch, and of this one what is old enough.
        let next_millisecond = since + Duration::from_millis(1);
        ranges
            .push((Bound::Included(at(1, Duration::ZERO)), Bound::Excluded(at(now.epoch, next_millisecond))));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_due(kind: Kind, since: Since, now: Since, period: u64) -> bool {
        let leftover = match kind {
            Kind::Instance => Leftover::Instance(Instance::from_bytes([7; 16])),
            Kind::Completed => Leftover::Completed("id".into()),
            Kind::Renamed => Leftover::Renamed(b"id\0token".to_vec()),
            Kind::Segments => Leftover::Segments(Instance::from_bytes([7; 16])),
        };
        let key = since.key(&leftover);
        assert_eq!(super::leftover(&key).unwrap(), leftover);
        ranges(kind, now, Duration::from_secs(period)).into_iter().any(|range| {
            use std::ops::RangeBounds;
            range.contains(&key)
        })
    }

    fn at(epoch: u64, seconds: u64) -> Since {
        Since { epoch, running: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_leftover_is_due_when_its_period_is_over_and_not_before() {
        assert!(!is_due(Kind::Instance, at(3, 100), at(3, 159), 60));
        assert!(is_due(Kind::Instance, at(3, 100), at(3, 160), 60));
    }

    #[test]
    fn a_leftover_of_an_earlier_epoch_gets_one_whole_period_of_this_one() {
        assert!(!is_due(Kind::Instance, at(2, 1), at(3, 59), 60));
        assert!(is_due(Kind::Instance, at(2, 1_000_000), at(3, 60), 60));
    }

    #[test]
    fn what_is_left_over_since_long_ago_is_due_at_once() {
        assert!(is_due(Kind::Instance, Since::LONG_AGO, at(1, 0), 60));
        assert!(is_due(Kind::Completed, Since::LONG_AGO, at(9, 0), 60));
        assert!(is_due(Kind::Renamed, Since::LONG_AGO, at(9, 0), 60));
        assert!(is_due(Kind::Segments, Since::LONG_AGO, at(1, 0), 0));
    }

    #[test]
    fn kinds_do_not_mix() {
        let key = at(1, 1).key(&Leftover::Completed("x".into()));
        use std::ops::RangeBounds;
        assert!(
            !ranges(Kind::Instance, at(9, 9999), Duration::ZERO).iter().any(|range| range.contains(&key))
        );
    }
}
