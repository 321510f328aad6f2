//! A request's body on its way from the client to s3s, at the speed of the slower of the two.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::{Body, Frame, SizeHint};
use pingora::proxy::Session;
use s3s::S3ErrorCode;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::aws_chunked::Framing;
use super::document::Document;
use crate::refusal::Refusal;
use crate::target::Payload;

/// What a client that sends may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a client may send nothing while the store waits for it. Default 30 s.
    pub stalled_upload: Duration,
    /// Bytes per second that a client must send on average, once it has kept the store waiting for as long as
    /// `stalled_upload` altogether. Default 4 KiB.
    pub bytes_per_second_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stalled_upload: Duration::from_secs(30), bytes_per_second_min: 4 * 1024 }
    }
}

/// The two ends of one body.
pub(super) fn pipe(
    session: &mut Session,
    payload: Payload,
    document: Option<Document>,
) -> (Feed, UploadBody) {
    let head = session.req_header();
    let framing = Framing::of(payload, &head.headers);
    let expects_continue = head
        .headers
        .get(EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = if session.is_body_empty() { Some(0) } else { length };
    // Nothing is read ahead: the store gathers and hashes beside receiving, and a client that outruns it waits in its
    // socket. What one read brings may still be several pieces.
    let (pieces, receiver) = mpsc::channel(1);
    let wanted = Arc::new(Wanted::default());
    let feed = Feed { pieces, wanted: wanted.clone(), framing, document, expects_continue };
    (feed, UploadBody { pieces: receiver, wanted, length })
}

/// Whether the store waits for the next piece.
#[derive(Default)]
struct Wanted {
    is_now: AtomicBool,
    changed: Notify,
}

impl Wanted {
    /// The store waits, or does not any more.
    fn set(&self, is_now: bool) {
        self.is_now.store(is_now, Ordering::Release);
        if is_now {
            self.changed.notify_one();
        }
    }

    async fn wait(&self) {
        while !self.is_now.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }
}

/// The client's end.
pub(super) struct Feed {
    pieces: mpsc::Sender<Result<Bytes, Broken>>,
    wanted: Arc<Wanted>,
    framing: Option<Framing>,
    document: Option<Document>,
    expects_continue: bool,
}

impl Feed {
    /// Reads the body from `session` once somebody wants it, until it ends, breaks or is wanted no more. Tells the
    /// client to continue first, if it waits for that.
    ///
    /// # Errors
    /// Why the body is not one: the reader of the other end has been given an error too.
    pub(super) async fn run(mut self, session: &mut Session, limits: &Limits) -> Result<(), Refusal> {
        self.wanted.wait().await;
        let fed = self.forward(session, limits).await;
        if fed.is_err() {
            // The reader may be gone; then nobody needs to know.
            let _ = self.pieces.send(Err(Broken)).await;
        }
        fed
    }

    async fn forward(&mut self, session: &mut Session, limits: &Limits) -> Result<(), Refusal> {
        if self.expects_continue {
            session.write_continue_response().await.map_err(|_| incomplete())?;
        }
        // Measured here instead, because pingora's limit is for HTTP/1 alone.
        session.set_read_timeout(None);
        let mut pace = Pace::default();
        let mut passed = Vec::new();
        loop {
            tokio::select! {
                () = self.wanted.wait() => {}
                () = self.pieces.closed() => return Ok(()),
            }
            let asked = Instant::now();
            let read = timeout(limits.stalled_upload, session.read_request_body()).await;
            let bytes = match read {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => break,
                Ok(Err(_)) => return Err(incomplete()),
                Err(_) => return Err(too_slow()),
            };
            pace.took(asked.elapsed(), bytes.len());
            if pace.is_too_slow(limits) {
                return Err(too_slow());
            }
            match &mut self.framing {
                Some(framing) => framing.take(bytes, |piece| passed.push(piece))?,
                None => passed.push(bytes),
            }
            for piece in passed.drain(..) {
                let piece = match &mut self.document {
                    Some(document) => document.take(piece),
                    None => Some(piece),
                };
                let Some(piece) = piece else { continue };
                if self.pieces.send(Ok(piece)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(framing) = self.framing.take() {
            framing.finish()?;
        }
        if let Some(last) = self.document.take().map(Document::finish).transpose()?.flatten() {
            // The reader may have had enough; then nobody wants the rest.
            let _ = self.pieces.send(Ok(last)).await;
        }
        Ok(())
    }
}

/// How fast a client sends, by the time that it kept us waiting: a slow store is not its fault.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn took(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes += bytes as u64;
    }

    fn is_too_slow(&self, limits: &Limits) -> bool {
        let excess = self.waited.saturating_sub(limits.stalled_upload);
        (self.bytes as f64) < excess.as_secs_f64() * f64::from(limits.bytes_per_second_min)
    }
}

/// The store's end: the body of the request that s3s reads.
pub(super) struct UploadBody {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    wanted: Arc<Wanted>,
    length: Option<u64>,
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = self.pieces.poll_recv(cx);
        self.wanted.set(polled.is_pending());
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The body broke off; the client is told why by the bridge, not by whoever reads the body.
#[derive(Debug, thiserror::Error)]
#[error("the request body broke off")]
pub(super) struct Broken;

fn incomplete() -> Refusal {
    S3ErrorCode::IncompleteBody.into()
}

fn too_slow() -> Refusal {
    S3ErrorCode::RequestTimeout.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pause is forgiven, a trickle is not, and fast bytes make up for slow ones.
    #[test]
    fn a_trickle_is_too_slow() {
        let limits = Limits { stalled_upload: Duration::from_secs(30), bytes_per_second_min: 1000 };
        let mut pace = Pace::default();
        pace.took(Duration::from_secs(29), 1);
        assert!(!pace.is_too_slow(&limits));
        pace.took(Duration::from_secs(11), 1);
        assert!(pace.is_too_slow(&limits));
        pace.took(Duration::from_secs(1), 64 * 1024);
        assert!(!pace.is_too_slow(&limits));
    }
}
