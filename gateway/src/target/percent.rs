//! Percent-decoding of request targets: once, strictly, to UTF-8.

use s3s::S3ErrorCode;

use crate::refusal::Refusal;

/// `raw` with each `%XX` replaced by its byte. A `+` stays a plus sign: in a path it is nothing else.
///
/// # Errors
/// `InvalidURI` when a `%` is not followed by two hex digits, or when the result is not UTF-8.
pub(super) fn decode(raw: &[u8]) -> Result<String, Refusal> {
    decode_with(raw, b'+')
}

/// `raw` decoded as in a query, where a `+` is a space.
///
/// # Errors
/// As for [`decode`].
pub(super) fn decode_form(raw: &[u8]) -> Result<String, Refusal> {
    decode_with(raw, b' ')
}

fn decode_with(raw: &[u8], plus: u8) -> Result<String, Refusal> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = after.split_first_chunk::<2>().ok_or_else(malformed)?;
                rest = after;
                hex_digit(digits[0])? << 4 | hex_digit(digits[1])?
            }
            b'+' => plus,
            _ => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| malformed())
}

fn hex_digit(digit: u8) -> Result<u8, Refusal> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(malformed()),
    }
}

fn malformed() -> Refusal {
    Refusal::from(S3ErrorCode::InvalidURI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        let cases =
            [("a%2Fb", "a/b"), ("%252F", "%2F"), ("%c3%A9", "é"), ("é", "é"), ("a+b", "a+b"), ("%00", "\0")];
        for (raw, decoded) in cases {
            assert_eq!(decode(raw.as_bytes()).ok().as_deref(), Some(decoded), "{raw}");
        }
        assert_eq!(decode_form(b"a+b%2B").ok().as_deref(), Some("a b+"));
    }

    #[test]
    fn half_escapes_and_broken_utf8_are_refused() {
        for raw in [&b"%"[..], b"%2", b"a%zz", b"%+1", b"%%41", b"%ff", b"\xff", b"%c3", b"%ed%a0%80"] {
            assert_eq!(decode(raw).expect_err("refused").code(), &S3ErrorCode::InvalidURI);
        }
    }
}
