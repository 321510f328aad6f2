//! The node that answers: `blob` over this region's own store.
//!
//! Who may ask is settled by TLS before a request is read. What they send is bounded all the same: a peer can be of
//! another release, or broken.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cache::Purpose;
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};
use origin::instance::Instance;
use origin::regional::{Page, ReadError, RegionalStore};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::error;

use super::{Channel, frames, purpose_name};

/// For one read of a question, and for one write of an answer; a peer on a good line needs none of it.
const STALLED_TIMEOUT: Duration = Duration::from_secs(30);

/// Most pages in one answer: 1 GiB. Whoever wants more asks again.
const PAGES_MAX: u64 = 16_384;

/// Most bytes of pages put into one write.
const WRITE_BYTES: usize = 256 * 1024;

/// Streams of fills that leave at one time.
const FILLS_MAX: usize = 32;

/// Streams that leave at one time to be read past a cache.
const DIRECT_READS_MAX: usize = 32;

/// What all streams together hold beyond what the store reads ahead for them.
pub const STREAMS_BYTES_MAX: usize =
    (FILLS_MAX + DIRECT_READS_MAX) * (WRITE_BYTES + origin::head::PAGE_BYTES as usize);

/// How many streams of pages may leave at one time. One too many waits its turn, and is then told that this node is
/// busy.
///
/// A fill takes its pages as they come and soon makes room for the next; a read past a cache goes as slowly as its
/// client, so those have places of their own. Each stream holds the pages of one write, framed, and one more page; what
/// is read ahead for it the store bounds for all readers together. One that waits holds its connection, of which the
/// listener has a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    pub(super) fills_max: usize,
    pub(super) direct_reads_max: usize,
    /// Well under the time for which the asking node waits for an answer's head.
    pub(super) wait_max: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { fills_max: FILLS_MAX, direct_reads_max: DIRECT_READS_MAX, wait_max: Duration::from_secs(5) }
    }
}

/// Answers other nodes out of this region's store.
#[derive(Clone)]
pub struct Server {
    store: RegionalStore,
    streams: Arc<Streams>,
}

/// Places for streams, first come, first served.
struct Streams {
    fills: Semaphore,
    direct_reads: Semaphore,
    wait_max: Duration,
}

impl Streams {
    /// A place for a stream of this purpose, as soon as there is one; `None` when that takes too long.
    async fn place(&self, purpose: Purpose) -> Option<SemaphorePermit<'_>> {
        let places = match purpose {
            Purpose::Fill => &self.fills,
            Purpose::Direct => &self.direct_reads,
        };
        let place = timeout(self.wait_max, places.acquire()).await.ok()?;
        Some(place.expect("semaphores are never closed"))
    }
}

impl Server {
    /// A server over the store that this process owns.
    #[must_use]
    pub fn new(store: RegionalStore) -> Self {
        Self::with_limits(store, StreamLimits::default())
    }

    pub(super) fn with_limits(store: RegionalStore, limits: StreamLimits) -> Self {
        let streams = Streams {
            fills: Semaphore::new(limits.fills_max),
            direct_reads: Semaphore::new(limits.direct_reads_max),
            wait_max: limits.wait_max,
        };
        Self { store, streams: Arc::new(streams) }
    }

    /// Answers one request on the peer listener, which must be for `blob`.
    ///
    /// # Errors
    /// When the answer could not be written whole; the connection must then be reset.
    pub async fn serve(&self, session: &mut Session, channel: Channel) -> pingora::Result<()> {
        session.set_read_timeout(Some(STALLED_TIMEOUT));
        session.set_write_timeout(Some(STALLED_TIMEOUT));
        match channel {
            Channel::Blob => self.blob(session).await,
            Channel::Forward => refuse(session, StatusCode::NOT_FOUND).await,
        }
    }

    async fn blob(&self, session: &mut Session) -> pingora::Result<()> {
        let Some((instance, pages, purpose)) = wanted_pages(session.req_header().raw_path()) else {
            return refuse(session, StatusCode::BAD_REQUEST).await;
        };
        let Some(_place) = self.streams.place(purpose).await else {
            return refuse(session, StatusCode::SERVICE_UNAVAILABLE).await;
        };
        let stream = match self.store.read_pages(instance, pages).await {
            Ok(stream) => stream,
            Err(problem) => {
                let status = report(instance, &problem);
                return refuse(session, status).await;
            }
        };
        let mut head = ResponseHeader::build(StatusCode::OK, Some(1))?;
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        session.write_response_header(Box::new(head), false).await?;
        let mut ready = stream.ready_chunks(WRITE_BYTES / origin::head::PAGE_BYTES as usize);
        while let Some(pages) = ready.next().await {
            let (framed, problem) = frame(pages);
            session.write_response_body(Some(framed), false).await?;
            if let Some(problem) = problem {
                report(instance, &problem);
                return Err(pingora::Error::explain(
                    pingora::ErrorType::ReadError,
                    "read pages of an instance",
                ));
            }
        }
        session.write_response_body(None, true).await
    }
}

/// Frames pages up to the first that could not be read.
fn frame(pages: Vec<Result<Page, ReadError>>) -> (Bytes, Option<ReadError>) {
    let mut framed = BytesMut::with_capacity(pages.len() * (origin::head::PAGE_BYTES as usize + 8));
    for page in pages {
        match page {
            Ok(page) => frames::put(&page.bytes, page.crc32c, &mut framed),
            Err(problem) => return (framed.freeze(), Some(problem)),
        }
    }
    (framed.freeze(), None)
}

/// Logs what a person should know of a failed read, and says how to answer it.
fn report(instance: Instance, problem: &ReadError) -> StatusCode {
    match problem {
        ReadError::Gone => StatusCode::NOT_FOUND,
        ReadError::Corrupt(_) | ReadError::Io(_) => {
            error!(%instance, %problem, "stored pages cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// The instance and pages in `/blob/<instance>/<first>/<count>/<purpose>`.
fn wanted_pages(path: &[u8]) -> Option<(Instance, Range<u64>, Purpose)> {
    let mut segments = std::str::from_utf8(path).ok()?.strip_prefix("/blob/")?.split('/');
    let instance = segments.next()?.parse().ok()?;
    let first: u64 = segments.next()?.parse().ok()?;
    let count: u64 = segments.next()?.parse().ok()?;
    let name = segments.next()?;
    let purpose = [Purpose::Fill, Purpose::Direct].into_iter().find(|known| purpose_name(*known) == name)?;
    let in_bounds = segments.next().is_none() && (1..=PAGES_MAX).contains(&count);
    Some((instance, first..first.checked_add(count)?, purpose)).filter(|_| in_bounds)
}

/// An empty answer that says no.
async fn refuse(session: &mut Session, status: StatusCode) -> pingora::Result<()> {
    let mut head = ResponseHeader::build(status, Some(1))?;
    head.insert_header(CONTENT_LENGTH, 0)?;
    session.write_response_header(Box::new(head), true).await?;
    session.write_response_body(None, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_path_names_one_instance_and_a_bounded_range() {
        let id = "00112233445566778899aabbccddeeff";
        let path = |rest: &str| format!("/blob/{id}{rest}");
        let pages = |text: &str| wanted_pages(text.as_bytes()).map(|(_, pages, purpose)| (pages, purpose));
        assert_eq!(pages(&path("/3/2/fill")), Some((3..5, Purpose::Fill)));
        assert_eq!(pages(&path("/0/16384/direct")), Some((0..16_384, Purpose::Direct)));
        for wrong in [
            "",
            "/",
            "/3",
            "/3/2",
            "/3/2/",
            "/3/2/Fill",
            "/3/2/fill/",
            "/3/2/fill?x",
            "/3/0/fill",
            "/3/16385/fill",
            "/-1/2/fill",
            "/18446744073709551615/1/fill",
        ] {
            assert_eq!(pages(&path(wrong)), None, "{wrong}");
        }
        assert_eq!(pages(&format!("/blob/{}/0/1/fill", &id[1..])), None);
        assert_eq!(pages("/blobs"), None);
    }
}
