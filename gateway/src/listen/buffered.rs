//! A stream with buffers that take memory only while something is in them: of a thousand connections most wait.
//!
//! Small writes wait for what follows them, and leave with it in one write, however large that is: a response's head is one
//! write of pingora's and its body another, and on their own each would be a packet or more, and wake the client.
//!
//! A large one waits as well if it was [held](Buffered::hold), without a copy.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// What is read at one time for somebody who asks for less. Larger reads pass the buffer by.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// A head of some hundred bytes and a 4 KiB object wait together; what is larger takes them along.
const WRITE_BYTES: usize = 8 * 1024;

/// `stream`, read ahead of whoever reads little, and written once for what is written in little pieces.
#[derive(Debug)]
pub(super) struct Buffered<S> {
    stream: S,
    /// What was read and nobody has taken.
    ahead: Bytes,
    /// What was written and has not gone out.
    behind: BytesMut,
    /// What was written after it, and has not gone out either.
    held: VecDeque<Bytes>,
    /// What is to be held when it is written.
    to_hold: Mutex<Option<Bytes>>,
    /// Told of each piece that was held and is gone.
    let_go: Arc<Notify>,
}

impl<S> Buffered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            behind: BytesMut::new(),
            held: VecDeque::new(),
            to_hold: Mutex::new(None),
            let_go: Arc::default(),
        }
    }

    /// Has `piece`, if it is what is written next, wait for what is written after it. Nothing else ends its waiting but a flush.
    /// What is returned is told of each such piece that has gone out whole.
    pub(super) fn hold(&self, piece: Bytes) -> Arc<Notify> {
        *self.to_hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(piece);
        self.let_go.clone()
    }

    /// Bytes of pieces that wait.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(Bytes::len).sum()
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncWrite + Unpin> Buffered<S> {
    /// Writes what is behind and what was held, and `bufs` after it. Returns how much of `bufs` was written, which is nothing only
    /// where there is none.
    fn poll_together(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        while self.behind.has_remaining() || !self.held.is_empty() {
            let Self { stream, behind, held, .. } = &mut *self;
            let waiting = [&**behind].into_iter().chain(held.iter().map(|piece| &**piece));
            let waiting = waiting.filter(|piece| !piece.is_empty()).map(IoSlice::new);
            let together: Vec<_> = waiting.chain(bufs.iter().copied()).collect();
            let written = ready!(Pin::new(stream).poll_write_vectored(cx, &together))?;
            let beside = self.written(written)?;
            if beside > 0 {
                return Poll::Ready(Ok(beside));
            }
        }
        match bufs {
            [] => Poll::Ready(Ok(0)),
            bufs => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    /// Takes what was written off what was waiting, whose memory goes with it, and returns how much was written beside it.
    fn written(&mut self, bytes: usize) -> io::Result<usize> {
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut left = bytes;
        let caught_up = left.min(self.behind.len());
        self.behind.advance(caught_up);
        left -= caught_up;
        if self.behind.is_empty() {
            self.behind = BytesMut::new();
        }
        while let Some(piece) = self.held.front_mut() {
            let caught_up = left.min(piece.len());
            piece.advance(caught_up);
            left -= caught_up;
            if !piece.is_empty() {
                break;
            }
            self.held.pop_front();
            self.let_go.notify_one();
        }
        Ok(left)
    }

    /// Holds `bufs`, if that is what was to be held.
    fn holds(&mut self, bufs: &[IoSlice<'_>]) -> bool {
        let to_hold = self.to_hold.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        match (to_hold, bufs) {
            (Some(piece), [buf]) if (piece.as_ptr(), piece.len()) == (buf.as_ptr(), buf.len()) => {
                self.held.push_back(piece);
                true
            }
            _ => false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Buffered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            if buf.remaining() >= READ_BYTES {
                return Pin::new(&mut self.stream).poll_read(cx, buf);
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let (now, ahead) = read.filled().split_at(read.filled().len().min(buf.remaining()));
            buf.put_slice(now);
            self.ahead = Bytes::copy_from_slice(ahead);
            return Poll::Ready(Ok(()));
        }
        let taken = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(taken));
        if self.ahead.is_empty() {
            // An empty slice would keep the whole of it.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Buffered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.holds(bufs) {
            return Poll::Ready(Ok(bytes));
        }
        if self.held.is_empty() && self.behind.len() + bytes <= WRITE_BYTES {
            bufs.iter().for_each(|buf| self.behind.extend_from_slice(buf));
            return Poll::Ready(Ok(bytes));
        }
        self.poll_together(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_together(cx, &[]))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_together(cx, &[]))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// More than any buffer here.
    const PLENTY: usize = 4 * READ_BYTES;

    fn numbered(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at % 251) as u8).collect()
    }

    /// Whatever the pieces in which it is asked for, and nothing is held once all is taken.
    #[tokio::test]
    async fn what_was_sent_is_read_in_order_and_lets_its_memory_go() {
        let (mut far, near) = duplex(PLENTY);
        let mut near = Buffered::new(near);
        let sent = numbered(PLENTY);
        far.write_all(&sent).await.expect("room");
        let mut got = Vec::new();
        for bytes in [1, 100, READ_BYTES, 5, READ_BYTES + 1, 0, 7] {
            let mut piece = vec![0; bytes];
            near.read_exact(&mut piece).await.expect("there is more");
            got.extend(piece);
        }
        drop(far);
        near.read_to_end(&mut got).await.expect("the end");
        assert_eq!(got, sent);
        assert_eq!(near.ahead.len(), 0);
    }

    /// Little pieces go out together, at a flush or when they are many; a large one overtakes nothing.
    #[tokio::test]
    async fn what_is_written_goes_out_in_order_when_it_is_flushed() {
        let (mut far, near) = duplex(PLENTY);
        let mut near = Buffered::new(near);
        let sent = numbered(3 + 5 + WRITE_BYTES + 11);
        near.write_all(&sent[..3]).await.expect("written");
        let pieces = [IoSlice::new(&sent[3..5]), IoSlice::new(&sent[5..8])];
        assert_eq!(near.write_vectored(&pieces).await.expect("written"), 5);
        let mut early = [0; 1];
        assert!(futures::FutureExt::now_or_never(far.read(&mut early)).is_none(), "not flushed");
        near.write_all(&sent[8..8 + WRITE_BYTES]).await.expect("written");
        near.write_all(&sent[8 + WRITE_BYTES..]).await.expect("written");
        near.flush().await.expect("flushed");
        assert_eq!(near.behind.capacity(), 0);
        let mut got = vec![0; sent.len()];
        far.read_exact(&mut got).await.expect("all of it");
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn what_is_behind_goes_out_before_the_end() {
        let (mut far, near) = duplex(PLENTY);
        let mut near = Buffered::new(near);
        near.write_all(b"last words").await.expect("written");
        near.shutdown().await.expect("shut down");
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.expect("the end");
        assert_eq!(got, b"last words");
    }

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
        let mut stream = Buffered::new(Noting { most, ..Noting::default() });
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

    /// Pieces that are held leave in one write with what follows them, or when they are flushed, and are let go of then.
    #[tokio::test]
    async fn what_is_held_leaves_with_what_follows_it() {
        for most in [None, Some(70_000)] {
            let mut stream = Buffered::new(Noting { most, ..Noting::default() });
            let pieces: Vec<Bytes> = (0..4_u8).map(|number| vec![number; 100_000].into()).collect();
            stream.write_all(&[9; 300]).await.expect("written");
            for piece in &pieces[..2] {
                stream.hold(piece.clone());
                stream.write_all(piece).await.expect("held");
            }
            assert_eq!(stream.stream.writes.len(), 0);
            stream.write_all(&pieces[2]).await.expect("written");
            assert!(stream.held.is_empty() && pieces.iter().all(Bytes::is_unique));
            stream.hold(pieces[3].clone());
            stream.write_all(&pieces[3]).await.expect("held");
            stream.flush().await.expect("flushed");
            let wanted = [[9; 300].as_slice(), &pieces.concat()].concat();
            assert!(stream.stream.writes.concat() == wanted, "every byte once, in order");
            if most.is_none() {
                assert_eq!(stream.stream.writes.iter().map(Vec::len).collect::<Vec<_>>(), [300_300, 100_000]);
            }
        }
    }

    /// Only the very bytes that were to be held are.
    #[tokio::test]
    async fn other_bytes_than_those_to_hold_go_out() {
        let mut stream = Buffered::new(Noting::default());
        let piece = Bytes::from(vec![1; 100_000]);
        for other in [vec![1; 100_000].as_slice(), &piece[1..]] {
            stream.hold(piece.clone());
            stream.write_all(other).await.expect("written");
            // Nor later.
            stream.write_all(&piece).await.expect("written");
        }
        assert_eq!(stream.stream.writes.iter().map(Vec::len).sum::<usize>(), 399_999);
        assert!(stream.held.is_empty());
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_gets_every_byte_once() {
        let taken = lengths(Some(100), &[250, 10_000, 50]).await;
        assert_eq!(taken.iter().sum::<usize>(), 10_300);
        assert!(taken.iter().all(|bytes| *bytes <= 100));
    }
}
