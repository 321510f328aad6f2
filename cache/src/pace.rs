//! How fast an origin answers, as seen of late: how far to read ahead of a reader follows from it, and when an answer is
//! so late that asking once more is worth it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::sync::lock;

/// Answers remembered.
const ANSWERS_MAX: usize = 64;

/// Fewer answers say nothing about what is late.
const ANSWERS_MIN: usize = 32;

/// Of so many answers one is later than what counts as late.
const LATE_ONE_IN: usize = 20;

/// What takes less is never late: scheduling alone can make it so.
const LATE_MIN: Duration = Duration::from_millis(20);

/// Of so many questions one may be a repeated one.
const HEDGED_ONE_IN: u32 = 20;

/// Repeated questions that may be saved up.
const HEDGES_MAX: u32 = 4;

/// One origin's pace.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// From the question to the first page, the latest last.
    waits: VecDeque<Duration>,
    /// Bytes a second from the first page to the last, the latest last.
    rates: VecDeque<f64>,
    /// What may be spent on repeated questions, in parts of one.
    hedge_parts: u32,
}

impl Pace {
    /// A question is asked. `Some`: when its answer is late, after so long, it may be asked once more, if that is
    /// [`Pace::may_hedge`].
    pub(crate) fn asked(&self) -> Option<Duration> {
        let mut seen = lock(&self.0);
        seen.hedge_parts = (seen.hedge_parts + 1).min(HEDGES_MAX * HEDGED_ONE_IN);
        if seen.waits.len() < ANSWERS_MIN {
            return None;
        }
        let mut waits: Vec<_> = seen.waits.iter().copied().collect();
        let late_at = waits.len() - 1 - waits.len() / LATE_ONE_IN;
        let (_, late, _) = waits.select_nth_unstable(late_at);
        Some((*late).max(LATE_MIN))
    }

    /// Whether a question may be asked once more now; it counts as asked.
    pub(crate) fn may_hedge(&self) -> bool {
        let mut seen = lock(&self.0);
        let may = seen.hedge_parts >= HEDGED_ONE_IN;
        if may {
            seen.hedge_parts -= HEDGED_ONE_IN;
        }
        may
    }

    /// The first page came `wait` after the question.
    pub(crate) fn answered(&self, wait: Duration) {
        remember(&mut lock(&self.0).waits, wait);
    }

    /// After the first page, `bytes` more came within `time`.
    pub(crate) fn streamed(&self, bytes: u64, time: Duration) {
        if bytes > 0 && !time.is_zero() {
            remember(&mut lock(&self.0).rates, bytes as f64 / time.as_secs_f64());
        }
    }

    /// How long a question for `bytes` takes at best, from the question to the last byte. `None` while nothing was seen.
    pub(crate) fn time_of(&self, bytes: u64) -> Option<Duration> {
        let seen = lock(&self.0);
        // The best of each: what took longer waited for something else too, often for us.
        let wait = seen.waits.iter().min()?;
        let rate = seen.rates.iter().copied().max_by(f64::total_cmp)?;
        Some(*wait + Duration::from_secs_f64(bytes as f64 / rate))
    }
}

fn remember<T>(answers: &mut VecDeque<T>, answer: T) {
    if answers.len() == ANSWERS_MAX {
        answers.pop_front();
    }
    answers.push_back(answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Later than nineteen in twenty were, and never before there are enough to tell.
    #[test]
    fn late_is_later_than_nearly_all() {
        let pace = Pace::default();
        for wait in 1..=31 {
            pace.answered(wait * 10 * MS);
            assert_eq!(pace.asked(), None);
        }
        for wait in 32..=64 {
            pace.answered(wait * 10 * MS);
        }
        assert_eq!(pace.asked(), Some(610 * MS));
        let quick = Pace::default();
        (0..64).for_each(|_| quick.answered(MS));
        assert_eq!(quick.asked(), Some(LATE_MIN));
    }

    /// One in twenty, and a few saved up, however many are late.
    #[test]
    fn repeated_questions_have_a_budget() {
        let pace = Pace::default();
        assert!(!pace.may_hedge());
        let mut hedged = 0;
        for _ in 0..1000 {
            pace.asked();
            hedged += u32::from(pace.may_hedge());
        }
        assert_eq!(hedged, 50);
        (0..1000).for_each(|_| _ = pace.asked());
        assert_eq!((0..100).filter(|_| pace.may_hedge()).count(), 4);
    }

    /// A question's time is the best wait and the best rate seen.
    #[test]
    fn the_time_of_a_question_is_its_best() {
        let pace = Pace::default();
        assert_eq!(pace.time_of(1), None);
        pace.answered(40 * MS);
        pace.answered(90 * MS);
        pace.streamed(1000, Duration::from_secs(1));
        pace.streamed(500, Duration::from_secs(1));
        assert_eq!(pace.time_of(2000), Some(2040 * MS));
    }
}
