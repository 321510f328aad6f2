//! Pulls a run of pages from a source: in order, each verified, resumed where it broke off.
//!
//! A broken or short answer, a page that fails its checksum and an origin's silence are all the same: the next missing
//! page is asked for again, of the same instance, up to [`RETRIES_MAX`] times with a growing pause. The count
//! starts anew once a good stretch has arrived, so that a pull of a terabyte may break more often than one of a block.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::error::{Limit, ReadError};
use crate::metrics::Metrics;
use crate::object::Object;
use crate::page::{self, VerifiedPage};
use crate::source::{Page, Pages, SourceError};

/// Times that an origin which broke off is asked again, until the readers get the error. The pauses make 300 ms: enough
/// for a connection that was cut, and short for a client, which asks again too.
const RETRIES_MAX: u32 = 4;

/// The pause before the first retry; each further one doubles it.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Pages after which a break no longer counts: 8 MiB.
const STRETCH_PAGES: u64 = 128;

/// Most pages asked for in one question, 256 MiB: origins bound what they answer at one time.
const ASK_PAGES_MAX: u64 = 4096;

/// What a pull may spend on trouble.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) silence_max: Duration,
}

/// A run of pages on its way. Dropping it drops the origin's answer.
pub(crate) struct Pull {
    object: Object,
    missing: Range<u64>,
    /// Where what the answer was asked for ends.
    asked_end: u64,
    answer: Option<Pages>,
    patience: Patience,
    retries: u32,
    broken_at: u64,
    metrics: Arc<Metrics>,
}

impl Pull {
    pub(crate) fn new(object: Object, pages: Range<u64>, patience: Patience, metrics: Arc<Metrics>) -> Self {
        let (broken_at, asked_end) = (pages.start, pages.start);
        Self { object, missing: pages, asked_end, answer: None, patience, retries: 0, broken_at, metrics }
    }

    /// The next page. `None` when all have been given. Dropping the returned future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<VerifiedPage, ReadError>> {
        if self.missing.is_empty() {
            return None;
        }
        loop {
            match self.ask().await {
                Ok(page) => {
                    self.missing.start += 1;
                    self.metrics.pulled(page.bytes().len());
                    return Some(Ok(page));
                }
                Err(trouble) => {
                    self.answer = None;
                    if let Err(error) = self.count(trouble) {
                        return Some(Err(error));
                    }
                    sleep(RETRY_PAUSE * 2_u32.pow(self.retries.min(8) - 1)).await;
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<VerifiedPage, SourceError> {
        let silence_max = self.patience.silence_max;
        if self.missing.start == self.asked_end {
            self.answer = None;
        }
        let answer = match &mut self.answer {
            Some(answer) => answer,
            none => {
                self.metrics.origin_asked();
                self.asked_end = self.missing.end.min(self.missing.start + ASK_PAGES_MAX);
                let pages = self.missing.start..self.asked_end;
                let asked = self.object.source.pages(self.object.instance, pages);
                none.insert(timeout(silence_max, asked).await.map_err(|_| silent())??)
            }
        };
        let page = timeout(silence_max, answer.next()).await.map_err(|_| silent())?;
        let Page { bytes, crc32c } = page.ok_or_else(|| SourceError::broken("the answer ended early"))??;
        self.verify(bytes, crc32c)
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

    /// Counts a break; the error when there were too many.
    fn count(&mut self, trouble: SourceError) -> Result<(), ReadError> {
        self.metrics.origin_trouble(&trouble);
        if self.missing.start >= self.broken_at + STRETCH_PAGES {
            self.retries = 0;
        }
        self.broken_at = self.missing.start;
        let spent = self.retries >= RETRIES_MAX;
        match trouble {
            SourceError::Gone => Err(ReadError::Gone),
            SourceError::Busy if spent => Err(ReadError::Busy(Limit::Origin)),
            SourceError::Broken(cause) if spent => Err(ReadError::Broken(cause)),
            SourceError::Busy | SourceError::Broken(_) => {
                self.retries += 1;
                self.metrics.fill_resumed();
                Ok(())
            }
        }
    }
}

fn silent() -> SourceError {
    SourceError::broken("the origin was silent for too long")
}
