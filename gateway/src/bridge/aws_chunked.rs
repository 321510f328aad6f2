//! The framing of aws-chunked bodies, checked on the way to s3s.
//!
//! s3s verifies the chunks' signatures and decodes them, but it collects a whole chunk in memory first, takes an end
//! of the body for the final chunk, and compares neither the declared length nor the announced trailers with what
//! came. So the framing is followed here, byte by byte and without buffering:
//!
//! - a chunk of a *signed* body has at most [`SIGNED_CHUNK_BYTES_MAX`] bytes: its signature covers it whole;
//! - a chunk of an *unsigned* body may have any size (SDKs send a whole part as one) and is passed on in pieces, each
//!   framed as a chunk of its own; where nobody signed the request's head either, s3s does not decode it, and the data
//!   is passed on alone;
//! - the final chunk, `x-amz-decoded-content-length` bytes and every trailer named in `x-amz-trailer` must come.
//!
//! Described in the S3 API reference, "Signature calculations for the Authorization header: transferring a payload in
//! multiple chunks" and "Using trailing headers".

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use origin::Trailers;
use s3s::S3ErrorCode;

use crate::refusal::Refusal;
use crate::target::Payload;

/// Largest chunk of a body whose chunks are signed. SDKs send 64 or 128 KiB.
const SIGNED_CHUNK_BYTES_MAX: u64 = 1 << 20;

/// Largest chunk header line: 16 hex digits and a signature need 100 bytes.
const LINE_BYTES_MAX: usize = 256;

/// All trailers together.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// The trailer that signs the others.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Follows the framing of one aws-chunked body.
#[derive(Debug)]
pub struct Framing {
    passes: Passes,
    state: State,
    /// The line that is being read, without its line feed.
    line: Vec<u8>,
    /// Data bytes still to come, by the declared length.
    owed: u64,
    trailer_bytes: usize,
    /// Trailers that were announced and have not come.
    missing_trailers: Vec<String>,
}

/// What is passed on of a body.
#[derive(Debug)]
enum Passes {
    /// Every byte as it came: the signatures cover chunk boundaries.
    Signed,
    /// Smaller chunks.
    Unsigned,
    /// The data, and at the end the trailers.
    Data { trailers: HeaderMap, end: Trailers },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's header line.
    Header,
    /// In a chunk's data.
    Data { left: u64 },
    /// Between a chunk's data and the next header: a line that must be empty.
    DataEnd,
    /// After the final chunk's header.
    Trailers,
    /// After the empty line that ends the trailers.
    Ended,
}

impl Framing {
    /// The framing that a body of `payload` must have, by what `headers` announce; `None` when it is not aws-chunked.
    pub fn of(payload: Payload, headers: &HeaderMap) -> Option<Self> {
        let Payload::Chunked { signed, trailer } = payload else { return None };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let trailers = text("x-amz-trailer").unwrap_or_default().split(',').map(str::trim);
        let mut missing_trailers: Vec<_> =
            trailers.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if signed && trailer {
            missing_trailers.push(TRAILER_SIGNATURE.to_owned());
        }
        Some(Self {
            passes: if signed { Passes::Signed } else { Passes::Unsigned },
            state: State::Header,
            line: Vec::new(),
            // Admission has seen that it is a number.
            owed: text("x-amz-decoded-content-length").and_then(|length| length.parse().ok()).unwrap_or(0),
            trailer_bytes: 0,
            missing_trailers,
        })
    }

    /// The same, of which the data alone is passed on: for a body whose chunks are not signed. What its trailers say is
    /// put into `end`, once it has ended well.
    #[must_use]
    pub fn decoded(self, end: Trailers) -> Self {
        Self { passes: Passes::Data { trailers: HeaderMap::new(), end }, ..self }
    }

    /// Takes the next bytes of the body and hands what s3s may see of them to `pass`.
    ///
    /// # Errors
    /// `InvalidRequest` for an oversized signed chunk, `IncompleteBody` for a broken framing or a wrong length,
    /// `MalformedTrailerError` for trailers that are not lines of name and value.
    pub fn take(&mut self, mut bytes: Bytes, mut pass: impl FnMut(Bytes)) -> Result<(), Refusal> {
        if matches!(self.passes, Passes::Signed) {
            pass(bytes.clone());
        }
        while !bytes.is_empty() {
            if let State::Data { left } = self.state {
                let piece = bytes.split_to(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
                self.state = match left - piece.len() as u64 {
                    0 => State::DataEnd,
                    left => State::Data { left },
                };
                match self.passes {
                    Passes::Signed => {}
                    Passes::Unsigned => {
                        pass(format!("{:x}\r\n", piece.len()).into());
                        pass(piece);
                        pass(Bytes::from_static(b"\r\n"));
                    }
                    Passes::Data { .. } => pass(piece),
                }
                continue;
            }
            let (taken, ended) = match bytes.iter().position(|&byte| byte == b'\n') {
                Some(newline) => (newline + 1, true),
                None => (bytes.len(), false),
            };
            self.line.extend_from_slice(&bytes[..taken]);
            self.bound_line(taken)?;
            if matches!(self.passes, Passes::Unsigned) && self.state == State::Trailers {
                pass(bytes.slice(..taken));
            }
            bytes.advance(taken);
            if ended {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\r\n").ok_or_else(broken)?;
                self.end_line(line, &mut pass)?;
            }
        }
        Ok(())
    }

    /// The body is over.
    ///
    /// # Errors
    /// `IncompleteBody` when the final chunk has not come, `MalformedTrailerError` when an announced trailer has not.
    pub fn finish(mut self) -> Result<(), Refusal> {
        // Some clients leave out the empty line after the last trailer, or that line's end.
        if self.state == State::Trailers {
            let line = std::mem::take(&mut self.line);
            self.end_trailer(line.strip_suffix(b"\r").unwrap_or(&line))?;
        }
        if self.state != State::Trailers && (self.state != State::Ended || !self.line.is_empty()) {
            return Err(broken());
        }
        if !self.missing_trailers.is_empty() {
            let missing = self.missing_trailers.join(", ");
            return Err(malformed_trailer(format!("the trailer {missing} is missing")));
        }
        if let Passes::Data { trailers, end } = self.passes {
            end.set(trailers);
        }
        Ok(())
    }

    /// No line is longer than its place allows, whether it ends or not.
    fn bound_line(&mut self, added: usize) -> Result<(), Refusal> {
        match self.state {
            State::Trailers => {
                self.trailer_bytes += added;
                match self.trailer_bytes <= TRAILER_BYTES_MAX {
                    true => Ok(()),
                    false => Err(malformed_trailer("the trailers are too long".to_owned())),
                }
            }
            _ if self.line.len() <= LINE_BYTES_MAX => Ok(()),
            _ => Err(broken()),
        }
    }

    fn end_line(&mut self, line: &[u8], pass: &mut impl FnMut(Bytes)) -> Result<(), Refusal> {
        match self.state {
            State::Header => self.begin_chunk(line, pass),
            State::DataEnd if line.is_empty() => {
                self.state = State::Header;
                Ok(())
            }
            State::Trailers => self.end_trailer(line),
            State::DataEnd | State::Ended | State::Data { .. } => Err(broken()),
        }
    }

    fn begin_chunk(&mut self, line: &[u8], pass: &mut impl FnMut(Bytes)) -> Result<(), Refusal> {
        let size = chunk_size(line).ok_or_else(broken)?;
        if matches!(self.passes, Passes::Signed) && size > SIGNED_CHUNK_BYTES_MAX {
            return Err(Refusal::new(
                S3ErrorCode::InvalidRequest,
                "a chunk of an upload with signed chunks may have at most 1048576 bytes",
            ));
        }
        self.owed = self.owed.checked_sub(size).ok_or_else(wrong_length)?;
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        if self.owed > 0 {
            return Err(wrong_length());
        }
        self.state = State::Trailers;
        if matches!(self.passes, Passes::Unsigned) {
            pass(Bytes::from_static(b"0\r\n"));
        }
        Ok(())
    }

    fn end_trailer(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.is_empty() {
            self.state = State::Ended;
            return Ok(());
        }
        let unlike = || malformed_trailer("a trailer is a name, a colon and a value".to_owned());
        let (name, value) =
            str::from_utf8(line).ok().and_then(|line| line.split_once(':')).ok_or_else(unlike)?;
        self.missing_trailers.retain(|missing| !missing.eq_ignore_ascii_case(name.trim()));
        if let Passes::Data { trailers, .. } = &mut self.passes {
            let name = HeaderName::try_from(name.trim()).map_err(|_| unlike())?;
            let value = HeaderValue::try_from(value.trim()).map_err(|_| unlike())?;
            trailers.append(name, value);
        }
        Ok(())
    }
}

/// The size in a chunk's header line: hex digits, then nothing or extensions such as the chunk's signature.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?;
    // `from_str_radix` would take a sign.
    digits
        .iter()
        .all(u8::is_ascii_hexdigit)
        .then(|| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())?
}

fn broken() -> Refusal {
    Refusal::new(S3ErrorCode::IncompleteBody, "The request body terminated unexpectedly")
}

fn wrong_length() -> Refusal {
    Refusal::new(
        S3ErrorCode::IncompleteBody,
        "You did not provide the number of bytes specified by the x-amz-decoded-content-length header",
    )
}

fn malformed_trailer(why: String) -> Refusal {
    let mut error = s3s::S3Error::with_message(S3ErrorCode::Custom("MalformedTrailerError".into()), why);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error.into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const SIGNED: Payload = Payload::Chunked { signed: true, trailer: false };
    const SIGNED_TRAILER: Payload = Payload::Chunked { signed: true, trailer: true };
    const UNSIGNED: Payload = Payload::Chunked { signed: false, trailer: true };

    fn framing(payload: Payload, length: u64, trailer: Option<&'static str>) -> Framing {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-decoded-content-length", length.into());
        if let Some(trailer) = trailer {
            headers.insert("x-amz-trailer", HeaderValue::from_static(trailer));
        }
        Framing::of(payload, &headers).unwrap()
    }

    /// What s3s would see of `body`, fed in pieces of `step` bytes.
    fn feed(mut framing: Framing, body: &[u8], step: usize) -> Result<Vec<u8>, Refusal> {
        let mut seen = Vec::new();
        for piece in body.chunks(step) {
            framing.take(Bytes::copy_from_slice(piece), |bytes| seen.extend_from_slice(&bytes))?;
        }
        framing.finish()?;
        Ok(seen)
    }

    fn code(outcome: Result<Vec<u8>, Refusal>) -> String {
        outcome.expect_err("refused").code().as_str().to_owned()
    }

    /// A signed body is not touched, wherever reads cut it.
    #[test]
    fn a_signed_body_passes_unchanged() {
        let body = b"5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd\r\n\r\n";
        for step in 1..=body.len() {
            assert_eq!(feed(framing(SIGNED, 5, None), body, step).unwrap(), body);
        }
    }

    /// An unsigned chunk of any size leaves in pieces no larger than the reads were.
    #[test]
    fn an_unsigned_chunk_is_split() {
        let body = b"a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        let seen = feed(framing(UNSIGNED, 10, Some("x-amz-checksum-crc32")), body, 4).unwrap();
        assert_eq!(
            seen,
            b"1\r\n0\r\n4\r\n1234\r\n4\r\n5678\r\n1\r\n9\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
        );
    }

    /// Where s3s does not decode, the data comes out and the trailers after it, wherever reads cut the body.
    #[test]
    fn a_decoded_body_is_its_data() {
        let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n";
        for step in 1..=body.len() {
            let end = Trailers::default();
            let decoded = framing(UNSIGNED, 11, Some("x-amz-checksum-crc32")).decoded(end.clone());
            assert_eq!(feed(decoded, body, step).unwrap(), b"hello world");
            assert_eq!(end.take().unwrap()["x-amz-checksum-crc32"], "AAAAAA==");
        }
        let end = Trailers::default();
        let decoded = framing(UNSIGNED, 11, None).decoded(end.clone());
        assert_eq!(code(feed(decoded, &body[..body.len() - 40], 7)), "IncompleteBody");
        assert!(end.take().is_none(), "a body that did not end well has no trailers");
    }

    /// 4 GiB announced in one chunk: refused at its header when signed, and no memory when not.
    #[test]
    fn a_huge_chunk_takes_no_memory() {
        let header = Bytes::from_static(b"100000000\r\n");
        let refused = framing(SIGNED, 1 << 32, None).take(header.clone(), |_| ()).unwrap_err();
        assert_eq!(refused.code(), &S3ErrorCode::InvalidRequest);

        let mut unsigned = framing(UNSIGNED, 1 << 32, None);
        unsigned.take(header, |_| ()).unwrap();
        let mut largest = 0;
        unsigned.take(Bytes::from(vec![0; 64 * 1024]), |piece| largest = largest.max(piece.len())).unwrap();
        assert_eq!(largest, 64 * 1024);
        assert!(unsigned.line.is_empty());
    }

    /// The body ends where the final chunk should begin: every byte declared has come, and it is still incomplete.
    #[test]
    fn the_final_chunk_is_required() {
        assert_eq!(code(feed(framing(UNSIGNED, 5, None), b"5\r\nhello\r\n", 64)), "IncompleteBody");
        assert_eq!(
            code(feed(framing(SIGNED, 5, None), b"5;chunk-signature=ab\r\nhel", 64)),
            "IncompleteBody"
        );
    }

    #[test]
    fn the_declared_length_is_required() {
        let body = b"5\r\nhello\r\n0\r\n\r\n";
        assert!(feed(framing(UNSIGNED, 5, None), body, 64).is_ok());
        assert_eq!(code(feed(framing(UNSIGNED, 4, None), body, 64)), "IncompleteBody");
        assert_eq!(code(feed(framing(UNSIGNED, 6, None), body, 64)), "IncompleteBody");
    }

    /// Announced trailers must come, the one that signs them too; others may.
    #[test]
    fn announced_trailers_are_required() {
        let named = Some("x-amz-checksum-crc32c");
        let without = b"0\r\n\r\n";
        let with = b"0\r\nX-Amz-Checksum-Crc32c: AAAAAA==\r\n\r\n";
        let signed = b"0\r\nx-amz-checksum-crc32c:AAAAAA==\r\nx-amz-trailer-signature:ab\r\n\r\n";
        assert_eq!(code(feed(framing(UNSIGNED, 0, named), without, 64)), "MalformedTrailerError");
        assert!(feed(framing(UNSIGNED, 0, named), with, 64).is_ok());
        assert_eq!(code(feed(framing(SIGNED_TRAILER, 0, named), with, 64)), "MalformedTrailerError");
        assert!(feed(framing(SIGNED_TRAILER, 0, named), signed, 64).is_ok());
    }

    /// Some clients stop right after the last trailer.
    #[test]
    fn the_last_empty_line_may_be_missing() {
        let named = Some("x-amz-checksum-crc32c");
        for end in ["", "\r\n", "\r\n\r\n"] {
            let body = format!("0\r\nx-amz-checksum-crc32c:AAAAAA=={end}");
            assert!(feed(framing(UNSIGNED, 0, named), body.as_bytes(), 64).is_ok(), "{end:?}");
        }
    }

    #[test]
    fn what_is_not_framing_is_refused() {
        for body in [
            "+5\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\nmore",
        ] {
            assert_eq!(
                code(feed(framing(UNSIGNED, 5, None), body.as_bytes(), 64)),
                "IncompleteBody",
                "{body:?}"
            );
        }
        let endless = "5".repeat(300);
        assert_eq!(code(feed(framing(UNSIGNED, 5, None), endless.as_bytes(), 64)), "IncompleteBody");
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(4000));
        assert_eq!(code(feed(framing(UNSIGNED, 0, None), trailers.as_bytes(), 64)), "MalformedTrailerError");
    }

    proptest! {
        /// Whatever bytes come, in whatever pieces: no panic, and what a signed body passes is what came.
        #[test]
        fn any_bytes_are_followed(body in proptest::collection::vec(any::<u8>(), 0..200), step in 1_usize..40) {
            let _ = feed(framing(UNSIGNED, 7, Some("a")), &body, step);
            if let Ok(seen) = feed(framing(SIGNED, 7, None), &body, step) {
                prop_assert_eq!(seen, body);
            }
        }

        /// Splitting keeps the data: what s3s decodes is what the client framed.
        #[test]
        fn splitting_keeps_the_data(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6),
            step in 1_usize..40,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let data = chunks.concat();
            let seen = feed(framing(UNSIGNED, data.len() as u64, None), &body, step).unwrap();
            prop_assert_eq!(decode(&seen), data);
        }
    }

    fn decode(mut framed: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let newline = framed.iter().position(|&byte| byte == b'\n').unwrap();
            let size = usize::try_from(chunk_size(&framed[..newline - 1]).unwrap()).unwrap();
            if size == 0 {
                return data;
            }
            data.extend_from_slice(&framed[newline + 1..][..size]);
            framed = &framed[newline + 1 + size + 2..];
        }
    }
}
