//! The node that answers: pages out of this region's own store.
//!
//! Who may ask is settled by TLS before a question is read. What they send is bounded all the same: a peer can be of
//! another release, or broken.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use origin::instance::Instance;
use origin::regional::{PageStream, ReadError, RegionalStore};
use pingora::protocols::Stream;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;
use tracing::{debug, error};

use super::frames::{self, For, Name, Of, Question, Said};
use crate::coherence::wire::{self, WireError};
use crate::listen::OtherProtocol;

/// For one write of an answer; a peer on a good line needs none of it.
const STALLED_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may wait for its next question. Longer than nodes let one wait: who closes first should be they.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Most bytes of pages put into one write; TLS makes writes of 64 KiB of it.
const WRITE_BYTES: usize = 128 * 1024;

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
/// client, so those have places of their own. Each stream holds the pages of one write, and one of them encrypted; what
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
    async fn place(&self, purpose: For) -> Option<SemaphorePermit<'_>> {
        let places = match purpose {
            For::Fill => &self.fills,
            For::Direct => &self.direct_reads,
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

    async fn converse_until_stopped(&self, mut stream: Stream, mut stop: watch::Receiver<bool>) {
        loop {
            let question = tokio::select! {
                question = timeout(IDLE_TIMEOUT, wire::read::<Question>(&mut stream)) => question,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let answered = match question {
                Ok(Ok(Some(question))) => self.answer(&mut stream, question).await,
                Ok(Ok(None)) | Err(_) => return,
                Ok(Err(WireError::Io(error))) => Err(error),
                Ok(Err(error)) => Err(io::Error::other(error)),
            };
            if let Err(error) = answered {
                return debug!(%error, "pages for another node broke off");
            }
        }
    }

    /// Answers one question.
    ///
    /// # Errors
    /// When the answer could not be written whole; the connection must then be closed.
    async fn answer(&self, stream: &mut Stream, question: Question) -> io::Result<()> {
        if question.of == Of::Nothing {
            return say(stream, Said::Nothing).await;
        }
        let Some(_place) = self.streams.place(question.purpose).await else {
            return say(stream, Said::Busy).await;
        };
        let instance = match &question.of {
            Of::Instance(instance) => Some(*instance),
            Of::Object(name) => self.instance_of(name).await,
            Of::Nothing => None,
        };
        let Some(instance) = instance else { return say(stream, Said::Nothing).await };
        match self.store.read_pages(instance, question.first..question.first + question.count).await {
            Ok(pages) => send(stream, instance, pages).await,
            Err(problem) => say(stream, report(instance, &problem)).await,
        }
    }

    /// What `name` stands for now, if its bytes travel as pages: those of a small object come with its head, and what is
    /// encrypted goes to no cache.
    async fn instance_of(&self, name: &Name) -> Option<Instance> {
        let found = self.store.resolve(&name.bucket, &name.key, name.version.as_deref()).await.ok()?;
        let head = found.head.filter(|head| head.encryption.is_none() && head.bytes > 0)?;
        found.inline.is_none().then_some(head.instance)
    }
}

impl OtherProtocol for Server {
    fn name(&self) -> &'static [u8] {
        frames::ALPN
    }

    fn converse(&self, stream: Stream, stop: watch::Receiver<bool>) -> BoxFuture<'_, ()> {
        self.converse_until_stopped(stream, stop).boxed()
    }
}

async fn say(stream: &mut Stream, said: Said) -> io::Result<()> {
    stalled_after(async {
        stream.write_all(&wire::encode(&said)).await?;
        stream.flush().await
    })
    .await
}

async fn send(stream: &mut Stream, instance: Instance, pages: PageStream) -> io::Result<()> {
    stalled_after(stream.write_all(&wire::encode(&Said::Pages(instance)))).await?;
    let mut ready = pages.ready_chunks(WRITE_BYTES / origin::head::PAGE_BYTES as usize);
    while let Some(pages) = ready.next().await {
        let mut problem = None;
        let good = pages.into_iter().map_while(|page| page.map_err(|error| problem = Some(error)).ok());
        let good: Vec<_> = good.collect();
        stalled_after(async {
            frames::write(stream, &good).await?;
            stream.flush().await
        })
        .await?;
        if let Some(problem) = problem {
            report(instance, &problem);
            return Err(io::Error::other(problem));
        }
    }
    stalled_after(async {
        frames::write_end(stream).await?;
        stream.flush().await
    })
    .await
}

async fn stalled_after<T>(writing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STALLED_TIMEOUT, writing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Logs what a person should know of a failed read, and says how to answer it.
fn report(instance: Instance, problem: &ReadError) -> Said {
    match problem {
        ReadError::Gone => Said::Gone,
        ReadError::Closed => Said::Failed,
        ReadError::Corrupt(_) | ReadError::Io(_) => {
            error!(%instance, %problem, "stored pages cannot be read");
            Said::Failed
        }
    }
}
