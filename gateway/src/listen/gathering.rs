//! Small writes wait for what follows them, and leave with it in one write, however large that is.
//!
//! A response's head is one write of pingora's and its body another. On their own each would be a packet or more, and wake
//! the client; a usual buffer joins them only where both fit into it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A head of some hundred bytes and a 4 KiB object wait together; what is larger takes them along.
const WAITING_BYTES_MAX: usize = 8 * 1024;

/// A stream whose small writes wait until they are flushed or something larger comes.
#[derive(Debug)]
pub(super) struct Gathering<S> {
    stream: S,
    waiting: Vec<u8>,
}

impl<S> Gathering<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new() }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    fn poll_write_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))?;
            self.take(written)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what was written off what waits, and returns how much was written beside it.
    fn take(&mut self, written: usize) -> io::Result<usize> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let waited = written.min(self.waiting.len());
        self.waiting.drain(..waited);
        Ok(written - waited)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.waiting.len() + bytes <= WAITING_BYTES_MAX {
            slices.iter().for_each(|slice| self.waiting.extend_from_slice(slice));
            return Poll::Ready(Ok(bytes));
        }
        while !self.waiting.is_empty() {
            let Self { stream, waiting } = &mut *self;
            let together: Vec<_> =
                [IoSlice::new(waiting)].into_iter().chain(slices.iter().copied()).collect();
            let written = ready!(Pin::new(stream).poll_write_vectored(cx, &together))?;
            let beside = self.take(written)?;
            if beside > 0 {
                return Poll::Ready(Ok(beside));
            }
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_waiting(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_waiting(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Notes what is written in one call, and takes no more than `most` of it.
    #[derive(Default)]
    struct Noting {
        writes: Vec<Vec<u8>>,
        most: Option<usize>,
    }

    impl AsyncWrite for Noting {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut written = slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>();
            written.truncate(self.most.unwrap_or(written.len()));
            self.writes.push(written.clone());
            Poll::Ready(Ok(written.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn lengths(most: Option<usize>, pieces: &[usize]) -> Vec<usize> {
        let mut stream = Gathering::new(Noting { most, ..Noting::default() });
        let mut wanted = Vec::new();
        for (number, bytes) in (0..).zip(pieces) {
            let piece = vec![number; *bytes];
            stream.write_all(&piece).await.expect("written");
            wanted.extend(piece);
        }
        stream.flush().await.expect("flushed");
        assert!(stream.stream.writes.concat() == wanted, "every byte once, in order");
        stream.stream.writes.iter().map(Vec::len).collect()
    }

    #[tokio::test]
    async fn a_head_leaves_with_its_body_however_large_that_is() {
        assert_eq!(lengths(None, &[300, 4096]).await, [4396]);
        assert_eq!(lengths(None, &[300, 1 << 20]).await, [300 + (1 << 20)]);
        assert_eq!(lengths(None, &[1 << 20, 1 << 20]).await, [1 << 20, 1 << 20]);
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_gets_every_byte_once() {
        let taken = lengths(Some(100), &[250, 10_000, 50]).await;
        assert_eq!(taken.iter().sum::<usize>(), 10_300);
        assert!(taken.iter().all(|bytes| *bytes <= 100));
    }
}
