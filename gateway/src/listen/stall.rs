//! How long nothing of what is written may leave a connection, whoever writes it.
//!
//! Answers of ours have a deadline for each piece ([`response`](crate::response)). What pingora writes by itself has none:
//! heads, the end of a body, `100 Continue`, its own refusals. A client who acknowledges and never reads would keep such a
//! write for ever, and all that its request holds.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream whose writes wait for so long and no longer. It stands right before the socket: what is held or encrypted on the way
/// there would hide that some of it leaves.
#[derive(Debug)]
pub(super) struct Stalling<S> {
    stream: S,
    stall: Stall,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, stall: Stall::new(limit) }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// For how long writes have waited that went through, all together.
    pub(super) fn waited(&self) -> Duration {
        self.stall.waited
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.stall.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.stall.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.stall.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Looks at each write. Where it goes through at once no clock is read and no timer made.
#[derive(Debug)]
struct Stall {
    limit: Duration,
    /// Since when nothing has left; `None` while writes go through.
    since: Option<Instant>,
    /// All together, of those that went through.
    waited: Duration,
    /// Made by the first write that waits. It may be set for an earlier wait than this one: a timer that is moved with every
    /// piece would cost more than one that wakes somebody too soon now and then.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn new(limit: Duration) -> Self {
        Self { limit, since: None, waited: Duration::ZERO, timer: None }
    }

    /// What a write came to: `TimedOut` where it has waited for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if let Some(since) = self.since.take() {
                self.waited += since.elapsed();
            }
            return written;
        }
        let until = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= until {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes no bytes",
                )));
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use futures::future::join;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, duplex, sink};
    use tokio::time::sleep;

    use super::super::buffered::Buffered;
    use super::*;

    async fn write(stall: &mut Stall, is_through: bool) -> Poll<io::Result<()>> {
        let written = || if is_through { Poll::Ready(Ok(())) } else { Poll::Pending };
        poll_fn(|cx| Poll::Ready(stall.watch(cx, written()))).await
    }

    /// A write that goes through has no timer, and whatever waited before it counts no more.
    #[tokio::test]
    async fn only_a_write_that_waits_is_timed() {
        let mut stall = Stall::new(Duration::from_secs(600));
        assert!(write(&mut stall, true).await.is_ready());
        assert!(stall.timer.is_none() && stall.since.is_none());
        assert!(write(&mut stall, false).await.is_pending());
        assert!(stall.timer.is_some() && stall.since.is_some());
        sleep(Duration::from_millis(2)).await;
        assert_eq!(stall.waited, Duration::ZERO);
        assert!(write(&mut stall, true).await.is_ready());
        assert!(stall.since.is_none());
        let waited = stall.waited;
        assert!(waited > Duration::ZERO);
        sleep(Duration::from_millis(2)).await;
        assert!(write(&mut stall, true).await.is_ready());
        assert_eq!(stall.waited, waited);
    }

    /// A client that takes a little now and then is waited for, however long all of what was written takes to leave.
    #[tokio::test]
    async fn whatever_leaves_is_progress() {
        let limit = Duration::from_secs(2);
        let (near, mut far) = duplex(1000);
        let mut near = Buffered::new(Stalling::new(near, limit));
        let piece = Bytes::from(vec![7; 64 * 1024]);
        near.hold(piece.clone());
        near.write_all(&piece).await.expect("held");
        let begun = Instant::now();
        let taking = async {
            while begun.elapsed() < limit + limit / 2 {
                sleep(limit / 20).await;
                far.read_exact(&mut [0; 1000]).await.expect("there is more");
            }
            copy(&mut far, &mut sink()).await
        };
        let writing = async {
            near.write_all(&piece).await.expect("in time");
            drop(near);
        };
        let (taken, ()) = join(taking, writing).await;
        assert!(taken.expect("all of it") > 0);
    }

    /// Whoever waits for too long is told, also where the timer was made for an earlier wait: this one has all of its time.
    #[tokio::test]
    async fn a_write_that_waits_too_long_is_given_up() {
        let limit = Duration::from_millis(50);
        let mut stall = Stall::new(limit);
        assert!(write(&mut stall, false).await.is_pending());
        sleep(limit).await;
        assert!(write(&mut stall, true).await.is_ready());
        let error =
            poll_fn(|cx| stall.watch::<()>(cx, Poll::Pending)).await.expect_err("it does not go through");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let timer = stall.timer.expect("it was waited for");
        assert_eq!(Some(timer.deadline() - limit), stall.since);
    }
}
