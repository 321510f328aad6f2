//! The text that a signature covers: the canonical request and the string to sign.
//!
//! "Signature Calculations for the Authorization Header" in the S3 API reference, with S3's own rules: a path is
//! escaped once and not normalised, so `//` and `..` stay.

use http::{HeaderMap, HeaderName, Method};
use sha2::{Digest, Sha256};

use super::keys::hex_digits;
use crate::target::{Query, Signature, SignatureForm};

/// How the path is written into the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathForm {
    /// Decoded and escaped again, as the standard says.
    Escaped,
    /// Byte for byte as the client sent it.
    AsSent,
}

/// The canonical request of a request whose head was parsed to `query` and `form`.
pub(super) fn canonical_request(
    query: &Query,
    form: &SignatureForm,
    path_form: PathForm,
    method: &Method,
    raw_target: &[u8],
    headers: &HeaderMap,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(method.as_str().as_bytes());
    text.push(b'\n');
    match path_form {
        PathForm::Escaped => push_path(&mut text, raw_path(raw_target)),
        PathForm::AsSent => text.extend_from_slice(raw_path(raw_target)),
    }
    text.push(b'\n');
    push_query(&mut text, query);
    text.push(b'\n');
    let signed_headers = form.signature().map_or(&[][..], |signature| &signature.signed_headers);
    for name in signed_headers {
        push_header(&mut text, name, headers);
    }
    text.push(b'\n');
    for (index, name) in signed_headers.iter().enumerate() {
        if index > 0 {
            text.push(b';');
        }
        text.extend_from_slice(name.as_str().as_bytes());
    }
    text.push(b'\n');
    text.extend_from_slice(payload(form, headers));
    text
}

/// The string to sign over `canonical_request`, in the signature's own scope.
pub(super) fn string_to_sign(signature: &Signature, canonical_request: &[u8]) -> String {
    let Signature { signed_at, region, .. } = signature;
    let hash = hex_digits(Sha256::digest(canonical_request).into());
    let hash = str::from_utf8(&hash).expect("hex digits");
    let (moment, day) = (signed_at.as_str(), signed_at.day());
    ["AWS4-HMAC-SHA256\n", moment, "\n", day, "/", region, "/s3/aws4_request\n", hash].concat()
}

/// Whether the path holds a byte, sent as it is, that the canonical form would escape.
pub(super) fn has_unescaped_reserved(raw_target: &[u8]) -> bool {
    raw_path(raw_target).iter().any(|&byte| !is_unreserved(byte) && byte != b'/' && byte != b'%')
}

fn raw_path(raw_target: &[u8]) -> &[u8] {
    raw_target.split(|&byte| byte == b'?').next().unwrap_or_default()
}

/// The path with each byte escaped once: escapes are decoded first, and a slash is a slash however it was sent.
fn push_path(text: &mut Vec<u8>, raw: &[u8]) {
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        rest = after;
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                match (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) {
                    (Some(high), Some(low)) => {
                        rest = after;
                        u8::try_from(high << 4 | low).expect("two hex digits")
                    }
                    _ => b'%',
                }
            }
            (&byte, _) => byte,
        };
        match byte {
            b'/' => text.push(byte),
            _ => push_escaped(text, byte),
        }
    }
}

/// Escaped `name=value` pairs in the order of their escaped names, without the signature itself.
fn push_query(text: &mut Vec<u8>, query: &Query) {
    let escaped = |part: &str| {
        let mut bytes = Vec::with_capacity(part.len());
        part.bytes().for_each(|byte| push_escaped(&mut bytes, byte));
        bytes
    };
    let is_signed = |name: &str| name != "X-Amz-Signature";
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .iter()
        .filter(|(name, _)| is_signed(name))
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
    }
}

/// `name:value`, with runs of white space made one space, and a repeated header's values joined by commas.
fn push_header(text: &mut Vec<u8>, name: &HeaderName, headers: &HeaderMap) {
    text.extend_from_slice(name.as_str().as_bytes());
    text.push(b':');
    for (index, value) in headers.get_all(name).iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let value = str::from_utf8(value.as_bytes()).expect("signed headers are text, or admission refuses");
        for (index, word) in value.split_whitespace().enumerate() {
            if index > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(word.as_bytes());
        }
    }
    text.push(b'\n');
}

/// What stands for the body: what the header says of it; a presigned URL never says anything.
fn payload<'a>(form: &SignatureForm, headers: &'a HeaderMap) -> &'a [u8] {
    match form {
        SignatureForm::Header(_) => {
            headers.get("x-amz-content-sha256").map_or(&[][..], |value| value.as_bytes())
        }
        SignatureForm::Presigned { .. } | SignatureForm::Anonymous | SignatureForm::PostForm => {
            b"UNSIGNED-PAYLOAD"
        }
    }
}

fn push_escaped(text: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_unreserved(byte) {
        text.push(byte);
    } else {
        text.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
