//! Pulls a run of pages from a source: in order, each verified, resumed where it broke off.
//!
//! A broken or short answer, a page that fails its checksum and an origin's silence are all the same: the next missing
//! page is asked for again, of the same instance, up to [`RETRIES_MAX`] times with a growing pause. The count
//! starts anew once a good stretch has arrived, so that a pull of a terabyte may break more often than one of a block.
//!
//! An answer whose first page is later than nearly all were of late is asked for once more, and whichever comes first is
//! taken: one question in twenty may be such a repeated one ([`pace`]).
//!
//! An origin that says it is busy is not broken: it is asked again for as long as a reader waits for any other place.
//!
//! [`pace`]: crate::pace

use std::error::Error;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select, select_ok};
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Limit, ReadError};
use crate::metrics::Metrics;
use crate::object::Object;
use crate::pace::Pace;
use crate::page::{self, VerifiedPage};
use crate::source::{PAGE_BYTES, Page, Pages, Purpose, SourceError};

/// Times that an origin which broke off is asked again, until the readers get the error. The pauses make 300 ms: enough
/// for a connection that was cut, and short for a client, which asks again too.
const RETRIES_MAX: u32 = 4;

/// The pause before the first retry; each further one doubles it.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The doublings of the pause before a busy origin is asked again: it grows to 640 ms.
const BUSY_DOUBLINGS_MAX: u32 = 5;

/// Pages after which a break no longer counts: 8 MiB.
const STRETCH_PAGES: u64 = 128;

/// Most pages asked for in one question, 256 MiB: origins bound what they answer at one time.
const ASK_PAGES_MAX: u64 = 4096;

/// What a pull may spend on trouble.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) silence_max: Duration,
    /// How long an origin may be busy in one go.
    pub(crate) busy_max: Duration,
}

/// A run of pages on its way. Dropping it drops the origin's answer.
pub(crate) struct Pull {
    object: Object,
    purpose: Purpose,
    missing: Range<u64>,
    /// Where what the answer was asked for ends.
    asked_end: u64,
    answer: Option<Pages>,
    asked_at: Instant,
    /// When the answer's first page came, and which it was.
    began: Option<(Instant, u64)>,
    patience: Patience,
    retries: u32,
    broken_at: u64,
    busy: Option<Busy>,
    pace: Arc<Pace>,
    metrics: Arc<Metrics>,
}

/// An origin that has said nothing but that it is busy.
#[derive(Clone, Copy)]
struct Busy {
    /// When it was first asked.
    since: Instant,
    times: u32,
}

/// What an origin is asked.
#[derive(Clone)]
struct Question {
    object: Object,
    pages: Range<u64>,
    purpose: Purpose,
}

impl Question {
    /// Asks, and waits for the first page.
    async fn begin(self, silence_max: Duration) -> Result<(Page, Pages), SourceError> {
        let Self { object, pages, purpose } = self;
        let asked = object.source.pages(object.instance, pages, purpose);
        let mut answer = timeout(silence_max, asked).await.map_err(|_| silent())??;
        let page = next_page(&mut answer, silence_max).await?;
        Ok((page, answer))
    }
}

impl Pull {
    pub(crate) fn new(
        object: Object,
        pages: Range<u64>,
        purpose: Purpose,
        patience: Patience,
        pace: Arc<Pace>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            object,
            purpose,
            asked_end: pages.start,
            answer: None,
            asked_at: Instant::now(),
            began: None,
            patience,
            pace,
            retries: 0,
            broken_at: pages.start,
            busy: None,
            missing: pages,
            metrics,
        }
    }

    /// The next page. `None` when all have been given. Dropping the returned future loses no page; an answer that has not
    /// begun is asked for anew.
    pub(crate) async fn next(&mut self) -> Option<Result<VerifiedPage, ReadError>> {
        if self.missing.is_empty() {
            return None;
        }
        loop {
            match self.ask().await {
                Ok(page) => {
                    self.missing.start += 1;
                    self.busy = None;
                    self.metrics.pulled(page.bytes().len());
                    return Some(Ok(page));
                }
                Err(trouble) => {
                    self.answer = None;
                    match self.pause(trouble) {
                        Ok(pause) => sleep(pause).await,
                        Err(error) => return Some(Err(error)),
                    }
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<VerifiedPage, SourceError> {
        if self.missing.start == self.asked_end {
            self.answer = None;
        }
        let Page { bytes, crc32c } = match &mut self.answer {
            Some(answer) => next_page(answer, self.patience.silence_max).await?,
            None => {
                self.asked_at = Instant::now();
                let asked_before = self.object.source.was_asked_for(self.missing.start);
                self.asked_end = self.missing.end.min(self.missing.start + ASK_PAGES_MAX);
                let (page, answer) = self.first_page(self.missing.start..self.asked_end).await?;
                self.pace.answered(self.asked_at.elapsed() + asked_before.unwrap_or_default());
                self.began = Some((Instant::now(), self.missing.start));
                self.answer = Some(answer);
                page
            }
        };
        let page = self.verify(bytes, crc32c)?;
        if self.missing.start + 1 == self.asked_end
            && let Some((at, first)) = self.began
        {
            self.pace.streamed((self.asked_end - first - 1) * PAGE_BYTES, at.elapsed());
        }
        Ok(page)
    }

    /// The first of `pages` and the answer that gives the others; of two answers, if the first is late.
    async fn first_page(&mut self, pages: Range<u64>) -> Result<(Page, Pages), SourceError> {
        let late = self.pace.asked();
        let question = Question { object: self.object.clone(), pages, purpose: self.purpose };
        let silence_max = self.patience.silence_max;
        self.metrics.origin_asked();
        let first = pin!(question.clone().begin(silence_max));
        let Some(late) = late else { return first.await };
        match select(first, pin!(sleep(late))).await {
            Either::Left((begun, _)) => begun,
            Either::Right(((), first)) if self.pace.may_hedge() => {
                self.metrics.origin_asked();
                self.metrics.origin_asked_again();
                let (begun, _other) = select_ok([first, pin!(question.begin(silence_max))]).await?;
                Ok(begun)
            }
            Either::Right(((), first)) => first.await,
        }
    }

    fn verify(&self, bytes: Bytes, crc32c: u32) -> Result<VerifiedPage, SourceError> {
        let index = self.missing.start;
        if bytes.len() != self.object.layout.page_len(index) {
            return Err(SourceError::broken(format!("page {index} has {} bytes", bytes.len())));
        }
        page::verify(bytes, crc32c).ok_or_else(|| {
            self.metrics.origin_page_corrupt();
            SourceError::broken(format!("page {index} failed its checksum"))
        })
    }

    /// How long to pause after `trouble` before asking again; the error when there was too much of it.
    fn pause(&mut self, trouble: SourceError) -> Result<Duration, ReadError> {
        self.metrics.origin_trouble(&trouble);
        let pause = match trouble {
            SourceError::Gone => return Err(ReadError::Gone),
            SourceError::Busy => self.pause_while_busy()?,
            SourceError::Broken(cause) => self.pause_after_break(cause)?,
        };
        self.metrics.fill_resumed();
        Ok(pause)
    }

    fn pause_while_busy(&mut self) -> Result<Duration, ReadError> {
        let Busy { since, times } = self.busy.unwrap_or(Busy { since: self.asked_at, times: 0 });
        if since.elapsed() >= self.patience.busy_max {
            return Err(ReadError::Busy(Limit::Origin));
        }
        self.busy = Some(Busy { since, times: times + 1 });
        Ok(RETRY_PAUSE * 2_u32.pow(times.min(BUSY_DOUBLINGS_MAX)))
    }

    fn pause_after_break(&mut self, cause: Arc<dyn Error + Send + Sync>) -> Result<Duration, ReadError> {
        if self.missing.start >= self.broken_at + STRETCH_PAGES {
            self.retries = 0;
        }
        self.broken_at = self.missing.start;
        if self.retries >= RETRIES_MAX {
            return Err(ReadError::Broken(cause));
        }
        self.retries += 1;
        Ok(RETRY_PAUSE * 2_u32.pow(self.retries - 1))
    }
}

async fn next_page(answer: &mut Pages, silence_max: Duration) -> Result<Page, SourceError> {
    let page = timeout(silence_max, answer.next()).await.map_err(|_| silent())?;
    page.unwrap_or_else(|| Err(SourceError::broken("the answer ended early")))
}

fn silent() -> SourceError {
    SourceError::broken("the origin was silent for too long")
}
