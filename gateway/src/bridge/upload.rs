//! A request's body on its way from the client to s3s, at the speed of the slower of the two.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::{Body, Frame, SizeHint};
use pingora::proxy::Session;
use s3s::S3ErrorCode;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::aws_chunked::Framing;
use super::document::Document;
use crate::listen;
use crate::post_form::FileBody;
use crate::refusal::Refusal;

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

/// How a body as it comes from the client is made into the one that the store is given.
pub(super) enum Decoding {
    /// It is the same.
    None,
    /// It is aws-chunked.
    Chunked(Framing),
    /// It is a document, which is held until it is whole.
    Document(Box<Document>),
    /// It is the file of a browser's form, and what follows it.
    File(FileBody),
}

impl Decoding {
    /// Takes the next bytes of the client's, and adds those of the store's to `passed`.
    fn take(&mut self, bytes: Bytes, passed: &mut Vec<Bytes>) -> Result<(), Refusal> {
        match self {
            Self::None => passed.push(bytes),
            Self::Chunked(framing) => framing.take(bytes, |piece| passed.push(piece))?,
            Self::Document(document) => passed.extend(document.take(bytes)?),
            Self::File(file) => file.take(bytes, |piece| passed.push(piece))?,
        }
        Ok(())
    }

    /// The client's body is over: the last piece of the store's, if one is left.
    fn finish(self) -> Result<Option<Bytes>, Refusal> {
        match self {
            Self::None => Ok(None),
            Self::Chunked(framing) => framing.finish().map(|()| None),
            Self::Document(document) => document.finish(),
            Self::File(file) => file.finish().map(|()| None),
        }
    }
}

/// The two ends of a body that comes from `source`. The store is told that it has `length` bytes, where that is known.
pub(super) fn pipe(source: Source, decoding: Decoding, length: Option<u64>) -> (Feed, UploadBody) {
    // Nothing is read ahead: the store gathers and hashes beside receiving, and a client that outruns it waits in its
    // socket. What one read brings may still be several pieces.
    let (pieces, receiver) = mpsc::channel(1);
    let wanted = Arc::new(Wanted::default());
    let feed = Feed { pieces, wanted: wanted.clone(), source, decoding };
    (feed, UploadBody { pieces: receiver, wanted, length })
}

/// How long the body of a request with `headers` is, where they say so.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

/// The bytes of a body as the client sends them, no slower than it may.
pub(super) struct Source {
    /// The client waits to be told to continue.
    expects_continue: bool,
    /// Bytes that have come already.
    given_back: Bytes,
    pace: Pace,
}

impl Source {
    /// The body of the request of `session`.
    pub(super) fn of(session: &Session) -> Self {
        let expect = session.req_header().headers.get(EXPECT);
        let expects_continue =
            expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { expects_continue, given_back: Bytes::new(), pace: Pace::default() }
    }

    /// Makes `bytes` the next that come.
    pub(super) fn give_back(&mut self, bytes: Bytes) {
        self.given_back = bytes;
    }

    /// The next bytes, or the end. Tells the client to continue first, if it waits for that.
    ///
    /// # Errors
    /// `IncompleteBody`, `RequestTimeout`.
    pub(super) async fn next(
        &mut self,
        session: &mut Session,
        limits: &Limits,
    ) -> Result<Option<Bytes>, Refusal> {
        if !self.given_back.is_empty() {
            return Ok(Some(std::mem::take(&mut self.given_back)));
        }
        if std::mem::take(&mut self.expects_continue) {
            // Somebody who takes nothing waits for this, and has a place.
            let telling = timeout(limits.stalled_upload, session.write_continue_response());
            telling.await.map_err(|_| too_slow())?.map_err(|_| incomplete())?;
        }
        // Measured here instead, because pingora's limit is for HTTP/1 alone.
        session.set_read_timeout(None);
        let asked = Instant::now();
        let bytes = match timeout(limits.stalled_upload, session.read_request_body()).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(_)) => return Err(incomplete()),
            Err(_) => return Err(too_slow()),
        };
        self.pace.took(asked.elapsed(), bytes.len());
        match self.pace.is_too_slow(limits) {
            false => Ok(Some(bytes)),
            true => Err(too_slow()),
        }
    }
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
    source: Source,
    decoding: Decoding,
}

impl Feed {
    /// Reads the body from `session` once somebody wants it, until it ends, breaks or is wanted no more.
    ///
    /// # Errors
    /// Why the body is not one: the reader of the other end has been given an error too.
    pub(super) async fn run(self, session: &mut Session, limits: &Limits) -> Result<(), Refusal> {
        self.wanted.wait().await;
        // Whoever wants it knows by now who sends it, and has its place.
        listen::want_body();
        let pieces = self.pieces.clone();
        let fed = self.forward(session, limits).await;
        if fed.is_err() {
            // The reader may be gone; then nobody needs to know.
            let _ = pieces.send(Err(Broken)).await;
        }
        fed
    }

    async fn forward(mut self, session: &mut Session, limits: &Limits) -> Result<(), Refusal> {
        let mut passed = Vec::new();
        loop {
            tokio::select! {
                () = self.wanted.wait() => {}
                () = self.pieces.closed() => return Ok(()),
            }
            let Some(bytes) = self.source.next(session, limits).await? else { break };
            self.decoding.take(bytes, &mut passed)?;
            for piece in passed.drain(..) {
                if self.pieces.send(Ok(piece)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(last) = self.decoding.finish()? {
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
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::test_until::WITHIN;

    /// A client that waits to be told to continue, and takes nothing, is given up like one that sends nothing.
    #[tokio::test]
    async fn who_does_not_take_the_word_to_continue_is_too_slow() {
        // Less than the word has.
        let (mut client, server) = duplex(16);
        let mut session = Session::new_h1(Box::new(server));
        let head = b"PUT /b/k HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let (read, sent) = tokio::join!(session.read_request(), client.write_all(head));
        assert!(read.expect("a head") && sent.is_ok());
        let limits = Limits { stalled_upload: Duration::from_millis(50), ..Limits::default() };
        let mut source = Source::of(&session);
        let next = timeout(WITHIN, source.next(&mut session, &limits)).await.expect("it is given up");
        assert_eq!(*next.expect_err("nothing came").code(), S3ErrorCode::RequestTimeout);
    }

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
