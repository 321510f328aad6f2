//! The body of a GET: verified pages of an instance, cut to the bytes that were asked for.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3Result, StdError, s3_error};

use super::RegionalStore;
use super::pages::{Page, PageStream, ReadError};
use crate::head::PAGE_BYTES;
use crate::instance::Instance;

/// Exactly the bytes of a range, or an error: never an end that comes early.
pub(super) struct ObjectBody {
    /// s3s wants bodies that are `Sync`; nobody ever locks it.
    pages: Mutex<PageStream>,
    /// Bytes before the range in its first page.
    skip: usize,
    remaining: u64,
}

impl ObjectBody {
    /// Starts to read `range` of `instance`. `inline` is the whole of it, if it came with the head.
    ///
    /// The first page is here when this returns, so that what cannot be read is an error and not a broken answer.
    ///
    /// # Errors
    /// `InternalError` when the disk fails; `ServiceUnavailable` when the bytes have just been superseded and removed.
    pub(super) async fn open(
        store: &RegionalStore,
        instance: Instance,
        inline: Option<Page>,
        range: Range<u64>,
    ) -> S3Result<Self> {
        let first_page = range.start / PAGE_BYTES;
        let mut pages = match inline {
            _ if range.is_empty() => stream::empty().boxed(),
            Some(page) => stream::iter([Ok(page)]).boxed(),
            None => store
                .read_pages(instance, first_page..range.end.div_ceil(PAGE_BYTES))
                .await
                .map_err(unreadable)?,
        };
        if !range.is_empty() {
            let first = pages.next().await.ok_or_else(cut_short)?.map_err(unreadable)?;
            pages = stream::iter([Ok(first)]).chain(pages).boxed();
        }
        let skip = (range.start - first_page * PAGE_BYTES) as usize;
        Ok(Self { pages: Mutex::new(pages), skip, remaining: range.end - range.start })
    }

    fn cut(&mut self, page: &Bytes) -> Bytes {
        let from = self.skip.min(page.len());
        let to = page.len().min(from.saturating_add(usize::try_from(self.remaining).unwrap_or(usize::MAX)));
        self.skip = 0;
        self.remaining -= (to - from) as u64;
        page.slice(from..to)
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let pages = self.pages.get_mut().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(Some(match ready!(pages.poll_next_unpin(context)) {
            Some(Ok(page)) => Ok(self.cut(&page.bytes)),
            Some(Err(cause)) => Err(cause.into()),
            None => Err(cut_short().into()),
        }))
    }
}

impl ByteStream for ObjectBody {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.remaining)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

/// A read error as a client sees it.
pub(super) fn unreadable(cause: ReadError) -> S3Error {
    let mut error = match cause {
        ReadError::Gone => {
            s3_error!(ServiceUnavailable, "The object has just been replaced. Please try again.")
        }
        ReadError::Corrupt(_) | ReadError::Io(_) => {
            s3_error!(InternalError, "We encountered an internal error. Please try again.")
        }
    };
    error.set_source(Box::new(cause));
    error
}

/// More was asked for than the instance has: head and instance do not agree.
fn cut_short() -> S3Error {
    unreadable(ReadError::Corrupt("an instance has fewer pages than its head says".to_owned()))
}
