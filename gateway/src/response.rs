//! Writing one response to a client: in slices, each with a deadline, and never a clean end to a short body.
//!
//! pingora sets no write timeout by itself, so a reader that stalls would hold its buffers for ever. A deadline for
//! each slice that grows with the slice is also a least rate of progress: a client may be slow, not stopped.
//!
//! Over HTTP/2 what is written is in memory until another task has sent it, which may be long after the answer has ended here.
//! Until then it keeps the place of its request ([`Place`]).

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::cross_origin::Beside;
use crate::listen;
use crate::refusal::Refusal;
use crate::wait::at_most;

/// Bytes handed to the socket at a time. Slices share the piece's memory, they are not copied.
pub const SLICE_BYTES: usize = 1 << 20;

/// What of an answer over HTTP/2 may be in memory without its place: refusals are for everybody, and who sends many requests and
/// takes none would have all places.
const PLACELESS_BYTES: u64 = 4 * 1024;

/// What a client that reads may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a client may take none of the bytes that are ready for it. Default 30 s.
    pub stalled_reader: Duration,
    /// Bytes per second that a client must take at least, beyond that. Default 16 KiB.
    pub bytes_per_second_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stalled_reader: Duration::from_secs(30), bytes_per_second_min: 16 * 1024 }
    }
}

impl Limits {
    /// How long any piece of an answer may take.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.allowance(SLICE_BYTES)
    }

    /// How long writing `bytes` may take.
    #[must_use]
    pub fn allowance(&self, bytes: usize) -> Duration {
        self.stalled_reader + Duration::from_secs(bytes as u64) / self.bytes_per_second_min.max(1)
    }
}

/// A place among the requests that are answered at once. It is there for as long as a clone is.
#[derive(Clone, Debug)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Place {
    /// The place that `permit` stands for.
    #[must_use]
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }

    /// `piece`, which keeps the place for as long as any part of it is there.
    #[must_use]
    pub fn kept_by(&self, piece: Bytes) -> Bytes {
        Bytes::from_owner(Keeping { piece, _place: self.clone() })
    }
}

struct Keeping {
    piece: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Keeping {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The status line's code.
    pub status: StatusCode,
    /// Bytes of the body.
    pub bytes: u64,
    /// When the head was on its way.
    pub first_byte: Instant,
}

/// Why a request was not answered.
#[derive(Debug)]
pub enum Failed {
    /// Nothing was written yet: the refusal can be told.
    Refused(Refusal),
    /// The response broke off, or the client is gone: the connection has to be reset.
    Broken(Box<Error>),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Box<Error>> for Failed {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

/// A response being written. Dropped before [`Sender::finish`] it is unfinished: return an error then, so that
/// the connection (or the stream, with HTTP/2) is reset.
pub struct Sender<'a> {
    session: &'a mut Session,
    limits: &'a Limits,
    /// Body bytes still to come, where the head promised a number.
    owed: Option<u64>,
    has_body: bool,
    /// Of a request over HTTP/2.
    place: Option<Place>,
    /// Pieces wait for the next one: told when one of them has gone out.
    held: Option<Arc<Notify>>,
    sent: Sent,
}

impl<'a> Sender<'a> {
    /// Writes the head: `headers` as they are, what every answer to the request says beside them, with chunked framing where they name no Content-Length. In answer to
    /// HEAD, and with 204 and 304, there is no body whatever Content-Length says.
    ///
    /// # Errors
    /// The client is gone, or takes nothing.
    pub async fn begin(
        session: &'a mut Session,
        status: StatusCode,
        mut headers: HeaderMap,
        limits: &'a Limits,
    ) -> Result<Self> {
        let has_body = session.req_header().method != Method::HEAD
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::NOT_MODIFIED;
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if has_body && length.is_none() && session.req_header().version == Version::HTTP_11 {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if let Some(Beside(beside)) = session.req_header().extensions.get() {
            headers.extend(beside.clone());
        }
        let mut head = http::Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        let head: ResponseHeader = head.into_parts().0.into();
        in_time(limits.allowance(0), pin!(session.write_response_header(Box::new(head), false))).await?;
        let sent = Sent { status, bytes: 0, first_byte: Instant::now() };
        let owed = length.filter(|_| has_body);
        let place = session.is_http2().then(|| session.req_header().extensions.get().cloned()).flatten();
        Ok(Self { session, limits, owed, has_body, place, held: None, sent })
    }

    /// Writes `piece` of the body. Waits until the client has taken most of what came before it.
    ///
    /// # Errors
    /// The client is gone or too slow, or `piece` is more than Content-Length promised.
    pub async fn write(&mut self, mut piece: Bytes) -> Result<()> {
        if !self.has_body {
            return Ok(());
        }
        self.owe_less(&piece)?;
        while !piece.is_empty() {
            let slice = next_slice(&mut piece);
            self.write_slice(slice).await?;
        }
        Ok(())
    }

    /// The same for a piece that another one is written right after, and that may wait for it to leave with it.
    ///
    /// # Errors
    /// As [`Sender::write`].
    pub async fn write_before_next(&mut self, piece: Bytes) -> Result<()> {
        let bytes = piece.len();
        if !self.has_body || bytes > SLICE_BYTES {
            return self.write(piece).await;
        }
        let Some(let_go) = listen::hold_for_next(self.session.as_downstream(), &piece) else {
            return self.write(piece).await;
        };
        self.owe_less(&piece)?;
        let writing = pin!(self.session.write_response_body(Some(piece), false));
        in_time(self.limits.allowance(bytes), writing).await?;
        self.held = Some(let_go);
        self.sent.bytes += bytes as u64;
        Ok(())
    }

    async fn write_slice(&mut self, slice: Bytes) -> Result<()> {
        let (bytes, held) = (slice.len(), self.held.take());
        // Each piece has its own time, from when the one before it is gone.
        let allowance = self.limits.allowance(if held.is_some() { SLICE_BYTES } else { bytes });
        let slice = match &self.place {
            Some(place) if self.sent.bytes + bytes as u64 > PLACELESS_BYTES => place.kept_by(slice),
            Some(_) | None => slice,
        };
        let mut writing = pin!(self.session.write_response_body(Some(slice), false));
        match held {
            None => in_time(allowance, writing).await?,
            Some(let_go) => {
                while !in_time(allowance, pin!(is_written_or_less(writing.as_mut(), &let_go))).await? {}
            }
        }
        self.sent.bytes += bytes as u64;
        Ok(())
    }

    fn owe_less(&mut self, piece: &Bytes) -> Result<()> {
        if let Some(owed) = &mut self.owed {
            *owed = owed
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| broken("the body is longer than its Content-Length"))?;
        }
        Ok(())
    }

    /// Ends the body, and sees it on its way.
    ///
    /// # Errors
    /// The client is gone or too slow, or the body is shorter than Content-Length promised.
    pub async fn finish(self) -> Result<Sent> {
        if self.owed.is_some_and(|owed| owed > 0) {
            return Err(broken("the body is shorter than its Content-Length"));
        }
        let writing = pin!(self.session.write_response_body(None, true));
        in_time(self.limits.allowance(SLICE_BYTES), writing).await?;
        Ok(self.sent)
    }
}

/// Takes from `piece` what the socket is handed next.
fn next_slice(piece: &mut Bytes) -> Bytes {
    piece.split_to(piece.len().min(SLICE_BYTES))
}

/// The error that says why a response could not be completed.
fn broken(why: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why)
}

/// Waits until all is written, which is true, or a piece of it is gone.
async fn is_written_or_less(
    writing: Pin<&mut impl Future<Output = Result<()>>>,
    let_go: &Notify,
) -> Result<bool> {
    tokio::select! {
        biased;
        written = writing => written.map(|()| true),
        () = let_go.notified() => Ok(false),
    }
}

async fn in_time<T>(allowance: Duration, writing: Pin<&mut impl Future<Output = Result<T>>>) -> Result<T> {
    match at_most(allowance, writing).await {
        Some(written) => written.map_err(|error| error.into_down()),
        None => Err(Error::explain(ErrorType::WriteTimedout, "the client takes no bytes").into_down()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A piece of any size goes in writes of one mebibyte, and shares its memory with them.
    #[test]
    fn no_write_is_larger_than_a_slice() {
        let whole = Bytes::from(vec![7; 2 * SLICE_BYTES + 5]);
        let mut piece = whole.clone();
        let slices = std::iter::from_fn(|| (!piece.is_empty()).then(|| next_slice(&mut piece)));
        let slices: Vec<Bytes> = slices.collect();
        assert_eq!(slices.iter().map(Bytes::len).collect::<Vec<_>>(), [SLICE_BYTES, SLICE_BYTES, 5]);
        assert_eq!(slices[1].as_ptr(), whole[SLICE_BYTES..].as_ptr());
    }

    /// A slow client is not a stalled one: the time allowed grows with what it is given.
    #[test]
    fn the_allowance_grows_with_the_slice() {
        let limits = Limits { stalled_reader: Duration::from_secs(30), bytes_per_second_min: 16 * 1024 };
        assert_eq!(limits.allowance(0), Duration::from_secs(30));
        assert_eq!(limits.allowance(SLICE_BYTES), Duration::from_secs(30 + 64));
    }
}
