//! The body of a GET: verified pages of an instance, opened where they are encrypted, cut to the bytes that were asked for.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3Result, StdError, s3_error};

use super::RegionalStore;
use super::pages::{Page, ReadError};
use crate::encryption::{ObjectKeys, Opener, SealedRange};
use crate::head::{Head, PAGE_BYTES};
use crate::instance::Instance;

/// Exactly the bytes of a range, or an error: never an end that comes early.
pub(super) struct ObjectBody {
    /// s3s wants bodies that are `Sync`; nobody ever locks it.
    pieces: Mutex<Pieces>,
    cut: Cut,
}

type Pieces = BoxStream<'static, Result<Bytes, ReadError>>;

/// What of the pieces of a stream is wanted: all that comes behind the first few bytes, up to a number.
struct Cut {
    skip: usize,
    remaining: u64,
}

impl ObjectBody {
    /// Starts to read `range` of the object `head`, with its `keys` if it is encrypted. `inline` is the whole of its
    /// instance, if it came with the head.
    ///
    /// The first page is here when this returns, so that what cannot be read is an error and not a broken answer.
    ///
    /// # Errors
    /// `InternalError` when the disk fails, or has other bytes than were encrypted; `ServiceUnavailable` when the bytes
    /// have just been superseded and removed.
    pub(super) async fn open(
        store: &RegionalStore,
        head: &Head,
        inline: Option<Page>,
        range: Range<u64>,
        keys: Option<ObjectKeys>,
    ) -> S3Result<Self> {
        let remaining = range.end - range.start;
        if range.is_empty() {
            return Ok(Self { pieces: Mutex::new(stream::empty().boxed()), cut: Cut { skip: 0, remaining } });
        }
        let opened = match keys {
            None => stored(store, head.instance, inline, range).await,
            Some(keys) => opened(store, head, inline, range, keys).await,
        };
        let (mut pieces, skip) = opened.map_err(unreadable)?;
        let first = pieces.next().await.ok_or_else(cut_short).flatten().map_err(unreadable)?;
        let pieces = Mutex::new(stream::iter([Ok(first)]).chain(pieces).boxed());
        Ok(Self { pieces, cut: Cut { skip, remaining } })
    }
}

/// The pages of an instance that hold `range`, and how many bytes of them come before it.
async fn stored(
    store: &RegionalStore,
    instance: Instance,
    inline: Option<Page>,
    range: Range<u64>,
) -> Result<(Pieces, usize), ReadError> {
    let first_page = range.start / PAGE_BYTES;
    let pages = match inline {
        Some(page) => stream::iter([Ok(page)]).boxed(),
        None => store.read_pages(instance, first_page..range.end.div_ceil(PAGE_BYTES)).await?,
    };
    let skip = (range.start - first_page * PAGE_BYTES) as usize;
    Ok((pages.map(|page| Ok(page?.bytes)).boxed(), skip))
}

/// The opened pages of an encrypted object that hold `range`, and how many bytes of them come before it.
async fn opened(
    store: &RegionalStore,
    head: &Head,
    inline: Option<Page>,
    range: Range<u64>,
    keys: ObjectKeys,
) -> Result<(Pieces, usize), ReadError> {
    let SealedRange { stored: range, skip, opener } = Opener::of(head, keys, &range).ok_or_else(|| {
        ReadError::Corrupt(format!("the head of instance {} does not say how it is sealed", head.instance))
    })?;
    let cut = range.end - range.start;
    let (sealed, sealed_skip) = stored(store, head.instance, inline, range).await?;
    let opening = Opening {
        instance: head.instance,
        sealed,
        cut: Cut { skip: sealed_skip, remaining: cut },
        gathered: BytesMut::new(),
        opener,
        store: store.clone(),
    };
    let pages = stream::try_unfold(opening, |mut opening| async move {
        Ok(opening.next().await?.map(|page| (page, opening)))
    });
    Ok((pages.boxed(), skip as usize))
}

/// Opens sealed pages as they are read.
struct Opening {
    instance: Instance,
    sealed: Pieces,
    cut: Cut,
    /// What was read of the next sealed page.
    gathered: BytesMut,
    opener: Opener,
    store: RegionalStore,
}

impl Opening {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let Some(page_bytes) = self.opener.page_bytes() else { return Ok(None) };
        while self.gathered.len() < page_bytes {
            let piece = self.sealed.next().await.ok_or_else(cut_short)??;
            self.gathered.extend_from_slice(&self.cut.of(&piece));
        }
        let mut page = self.gathered.split_to(page_bytes);
        match self.opener.open(&mut page) {
            Some(()) => Ok(Some(page.freeze())),
            None => Err(self.altered()),
        }
    }

    /// The page's sum was right: what was stored here is not what was sealed for this place.
    fn altered(&self) -> ReadError {
        self.store.shared.disk.metrics.corrupt();
        let instance = self.instance;
        tracing::error!(%instance, "a page of an encrypted object does not open");
        ReadError::Corrupt(format!("a page of instance {instance} does not open"))
    }
}

impl Cut {
    fn of(&mut self, piece: &Bytes) -> Bytes {
        let from = self.skip.min(piece.len());
        let to = piece.len().min(from.saturating_add(usize::try_from(self.remaining).unwrap_or(usize::MAX)));
        self.skip -= from;
        self.remaining -= (to - from) as u64;
        piece.slice(from..to)
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.cut.remaining == 0 {
            return Poll::Ready(None);
        }
        let pieces = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(Some(match ready!(pieces.poll_next_unpin(context)) {
            Some(Ok(piece)) => Ok(self.cut.of(&piece)),
            Some(Err(cause)) => Err(cause.into()),
            None => Err(cut_short().into()),
        }))
    }
}

impl ByteStream for ObjectBody {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.cut.remaining)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

/// A read error as a client sees it.
pub(super) fn unreadable(cause: ReadError) -> S3Error {
    let mut error = match cause {
        ReadError::Gone => {
            s3_error!(ServiceUnavailable, "The object has just been replaced. Please try again.")
        }
        ReadError::Closed => s3_error!(ServiceUnavailable, "The store is not ready. Please try again."),
        ReadError::Corrupt(_) | ReadError::Io(_) => {
            s3_error!(InternalError, "We encountered an internal error. Please try again.")
        }
    };
    error.set_source(Box::new(cause));
    error
}

/// More was asked for than the instance has: head and instance do not agree.
fn cut_short() -> ReadError {
    ReadError::Corrupt("an instance has fewer pages than its head says".to_owned())
}
