//! Reading a request's whole header block under one fixed deadline.
//!
//! pingora restarts its read timeout at every byte, so a client that trickles a header could hold a connection
//! for ever. Here the block is read to its end first and only then handed to pingora's parser. A client may send its next
//! request before the answer to this one (RFC 9112 §9.3.2): what follows a block that has no body is kept for then.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

use super::Limits;
use super::absolute::in_origin_form;
use super::buffered::READ_BYTES;
use super::early::{Early, FREE_BYTES};
use crate::wait::at_most;

/// Bytes of empty lines before a request: some clients send one after a body.
const BLANK_BYTES_MAX: usize = 64;

/// Header lines in a request, its request line included. pingora parses no more than 256.
const LINES_MAX: usize = 200;

/// What came before a request could be parsed.
#[derive(Debug, PartialEq)]
pub(super) enum Head {
    /// A whole header block, its target in origin form, and what of its body arrived with it; `rest` is of the requests
    /// after it.
    Whole { block: BytesMut, rest: BytesMut },
    /// The client closed, or stayed idle, without having begun a request.
    None,
    /// The block was begun and not finished in time, or cut off.
    Unfinished,
    /// It is longer than usual, and others have sent so much of theirs that there is no room for it.
    NoRoom,
    /// The block is too long or has too many lines.
    TooLarge,
    /// It says by two headers where its body ends, which is how requests are smuggled (RFC 9112 §6.1). pingora would
    /// drop one of the two unseen.
    FramedTwice,
}

/// Reads the next request's header block from `stream`, of which `block` has come already. What has come of it counts in
/// `early`.
pub(super) async fn read(stream: &mut Stream, mut block: BytesMut, early: &Early, limits: &Limits) -> Head {
    match timeout(limits.idle_timeout, begin(stream, &mut block)).await {
        Ok(true) => (),
        Ok(false) | Err(_) if early.is_refused() => return Head::NoRoom,
        Ok(false) | Err(_) => return Head::None,
    }
    let finishing = pin!(finish(stream, block, early, limits.head_bytes_max));
    match at_most(limits.head_timeout, finishing).await.unwrap_or(Head::Unfinished) {
        Head::Unfinished if early.is_refused() => Head::NoRoom,
        head => head,
    }
}

/// Reads the first bytes of a request; `false` when the client closed instead, or sends nothing but empty lines. Empty lines
/// before a request are skipped (RFC 9112 §2.2), as the parser will do: they must not pass for the end of a header block.
async fn begin(stream: &mut Stream, block: &mut BytesMut) -> bool {
    let mut blanks = 0;
    loop {
        let blank = block.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        block.advance(blank);
        blanks += blank;
        if !block.is_empty() {
            return true;
        }
        if blanks > BLANK_BYTES_MAX || !matches!(read_more(stream, block).await, Ok(1..)) {
            return false;
        }
    }
}

/// Adds to `block` what comes next, as much as the connection would read ahead: a usual head arrives in one read. While nothing comes, no memory waits for it.
async fn read_more(stream: &mut Stream, block: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        let bytes = read.filled().len();
        if block.capacity() == 0 && bytes > 0 {
            // A head that comes in little pieces takes no more than this while it is a usual one.
            block.reserve(bytes.max(FREE_BYTES));
        }
        block.extend_from_slice(read.filled());
        Poll::Ready(Ok(bytes))
    })
    .await
}

async fn finish(stream: &mut Stream, mut block: BytesMut, early: &Early, bytes_max: usize) -> Head {
    let mut lines = Lines::default();
    loop {
        match lines.scan(&block) {
            Scanned::End { at } if at > bytes_max => return Head::TooLarge,
            Scanned::End { .. } if lines.frame_twice() => return Head::FramedTwice,
            Scanned::End { at } => {
                // Most clients wait for the answer: then there is nothing to ask about.
                let is_ahead = at < block.len() && has_no_body(&block[..at]);
                let rest = if is_ahead { block.split_off(at) } else { BytesMut::new() };
                return Head::Whole { block: in_origin_form(block, at), rest };
            }
            Scanned::More if block.len() <= bytes_max => (),
            Scanned::More | Scanned::TooMany => return Head::TooLarge,
        }
        // Some of it may have come with the request before.
        if !early.covers(block.len()) || !matches!(read_more(stream, &mut block).await, Ok(1..)) {
            return Head::Unfinished;
        }
    }
}

/// Whether nothing after `head` can be its body, whoever reads it how: it is a read, and the words that announce a body or
/// another protocol stand nowhere in it. In doubt pingora decides, and closes the connection where more has come than
/// the body.
fn has_no_body(head: &[u8]) -> bool {
    let has = |word: &[u8]| head.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    let is_read = head.starts_with(b"GET ") || head.starts_with(b"HEAD ");
    is_read && ![&b"content-length"[..], b"transfer-encoding", b"upgrade"].into_iter().any(has)
}

/// Looks for the empty line that ends a header block, resuming where it stopped.
#[derive(Default)]
struct Lines {
    scanned: usize,
    line_start: usize,
    count: usize,
    /// Which of the two headers that delimit a body were there.
    has_encoding: bool,
    has_length: bool,
}

#[derive(Debug, PartialEq)]
enum Scanned {
    End { at: usize },
    More,
    TooMany,
}

impl Lines {
    fn scan(&mut self, block: &[u8]) -> Scanned {
        while let Some(offset) = block[self.scanned..].iter().position(|&byte| byte == b'\n') {
            let newline = self.scanned + offset;
            let line = &block[self.line_start..newline];
            self.scanned = newline + 1;
            self.line_start = newline + 1;
            // The parser takes a bare line feed for a line's end, so this must too.
            if line.is_empty() || line == b"\r" {
                return Scanned::End { at: newline + 1 };
            }
            self.count += 1;
            if self.count > LINES_MAX {
                return Scanned::TooMany;
            }
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
            self.has_encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
            self.has_length |= name.eq_ignore_ascii_case(b"content-length");
        }
        self.scanned = block.len();
        Scanned::More
    }

    /// Whether what was scanned has both headers that delimit a body.
    fn frame_twice(&self) -> bool {
        self.has_encoding && self.has_length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan_bytewise(block: &[u8]) -> Scanned {
        let mut lines = Lines::default();
        for length in 0..block.len() {
            assert_eq!(lines.scan(&block[..length]), Scanned::More, "at {length}");
        }
        lines.scan(block)
    }

    /// The end is found wherever reads happen to cut the block, with either line ending.
    #[test]
    fn the_end_is_found_bytewise() {
        for block in
            [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"GET / HTTP/1.1\nHost: a\n\n", b"GET /\n\r\n"]
        {
            assert_eq!(scan_bytewise(block), Scanned::End { at: block.len() });
        }
    }

    /// What follows a head is kept for the next request only where it cannot be taken for this one's body.
    #[test]
    fn a_head_has_no_body_beyond_doubt() {
        for head in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"] {
            assert!(has_no_body(head.as_bytes()), "{head}");
        }
        for head in [
            "PUT / HTTP/1.1\r\n\r\n",
            "get / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length : 5\r\n\r\n",
            "GET / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        ] {
            assert!(!has_no_body(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn two_headers_that_end_a_body_are_one_too_many() {
        for (head, expected) in [
            ("PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("PUT / HTTP/1.1\r\ntransfer-encoding : chunked\r\nCONTENT-LENGTH:\r\n\r\n", true),
            ("PUT / HTTP/1.1\nTransfer-Encoding:chunked\nContent-Length:0\n\n", true),
            ("PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", false),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("PUT /content-length: HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 3\r\n\r\n", false),
        ] {
            let mut lines = Lines::default();
            assert_eq!(lines.scan(head.as_bytes()), Scanned::End { at: head.len() }, "{head}");
            assert_eq!(lines.frame_twice(), expected, "{head}");
        }
    }

    /// A line of spaces continues a header; it does not end the block.
    #[test]
    fn a_folded_line_is_not_the_end() {
        assert_eq!(Lines::default().scan(b"GET / HTTP/1.1\r\nA: b\r\n \r\n"), Scanned::More);
    }

    #[test]
    fn a_flood_of_lines_is_too_large() {
        let flood = "a: b\r\n".repeat(LINES_MAX + 1);
        assert_eq!(Lines::default().scan(flood.as_bytes()), Scanned::TooMany);
    }
}
