//! What a request's head says about its body: how it is hashed, how it is framed, how long it is.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method};
use s3s::S3ErrorCode;

use super::{Operation, SignatureForm};
use crate::refusal::Refusal;

/// The largest body of one PUT, an object or a part: 5 GiB, S3's own limit.
const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// SHA-256 of no bytes.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The trailers that S3 takes.
const TRAILERS: [&str; 5] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

/// What `x-amz-content-sha256` says of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the header is not there.
    Unstated,
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// The SHA-256 of the whole body, in hex.
    Hashed,
    /// A `STREAMING-…` form: the body is aws-chunked.
    Chunked {
        /// Whether each chunk carries a signature.
        signed: bool,
        /// Whether trailers follow the last chunk; `x-amz-trailer` names them.
        trailer: bool,
    },
}

impl Payload {
    /// Whether the request's signature covers the body, so that nobody on the way can exchange it.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        match self {
            Self::Hashed | Self::Chunked { signed: true, .. } => true,
            Self::Unstated | Self::Unsigned | Self::Chunked { signed: false, .. } => false,
        }
    }

    fn parse(value: &str) -> Result<Self, Refusal> {
        Ok(match value {
            "UNSIGNED-PAYLOAD" => Self::Unsigned,
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::Chunked { signed: false, trailer: true },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::Chunked { signed: true, trailer: false },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::Chunked { signed: true, trailer: true },
            hash if hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Self::Hashed
            }
            _ => {
                let message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                               STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a \
                               valid sha256 value.";
                return Err(Refusal::new(S3ErrorCode::InvalidArgument, message)
                    .with_detail("ArgumentName", "x-amz-content-sha256"));
            }
        })
    }
}

/// Whether `headers` announce a browser's POST form, which s3s takes for one whatever the path and query say.
pub(super) fn is_post_form(method: &Method, headers: &HeaderMap) -> bool {
    let media_type =
        text(headers, CONTENT_TYPE.as_str()).unwrap_or_default().trim_start().to_ascii_lowercase();
    method == Method::POST && media_type.starts_with("multipart/form-data")
}

/// The payload of a request for `operation`, which must be framed as the operation and the signature allow.
///
/// # Errors
/// `MissingContentLength` when bytes to store come without their count, `EntityTooLarge` past 5 GiB, `InvalidRequest`
/// for framing that makes no sense, `InvalidArgument` for an unknown `x-amz-content-sha256`,
/// `XAmzContentSHA256Mismatch` when there is no body and its hash says otherwise.
pub(super) fn check(
    operation: Operation,
    signature: &SignatureForm,
    headers: &HeaderMap,
) -> Result<Payload, Refusal> {
    let stated = text(headers, "x-amz-content-sha256");
    let payload = stated.map_or(Ok(Payload::Unstated), Payload::parse)?;
    let framing = Framing::of(headers)?;
    if payload == Payload::Unstated && matches!(signature, SignatureForm::Header(_)) {
        return Err(invalid("Missing required header for this request: x-amz-content-sha256"));
    }
    if payload == Payload::Hashed && framing.is_empty() && stated != Some(EMPTY_SHA256) {
        return Err(Refusal::content_sha256_mismatch(EMPTY_SHA256));
    }
    let is_upload = matches!(operation, Operation::PutObject | Operation::UploadPart);
    if operation.is_object_read() && !framing.is_empty() {
        return Err(invalid("A request to read an object has no body."));
    }
    match payload {
        Payload::Chunked { signed, trailer } => {
            // In other forms of a request s3s does not decode the chunks, and their framing would become the object;
            // in one that nobody signed the bridge does.
            let is_decoded = match signature {
                SignatureForm::Header(_) => true,
                SignatureForm::Anonymous => !signed,
                SignatureForm::Presigned { .. } | SignatureForm::PostForm => false,
            };
            check_chunked(is_upload && is_decoded, trailer, headers)?;
        }
        Payload::Unstated | Payload::Unsigned | Payload::Hashed => {
            if headers.contains_key("x-amz-trailer") {
                return Err(invalid("x-amz-trailer needs a STREAMING-…-TRAILER payload."));
            }
        }
    }
    if is_upload {
        check_upload_length(payload, framing, headers)?;
    }
    Ok(payload)
}

/// How the body is delimited.
#[derive(Clone, Copy)]
enum Framing {
    None,
    Length(u64),
    Chunked,
}

impl Framing {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let length = text(headers, CONTENT_LENGTH.as_str());
        let encoding = text(headers, TRANSFER_ENCODING.as_str());
        match (length, encoding) {
            (None, None) => Ok(Self::None),
            (Some(length), None) => super::signature::decimal(length)
                .map(Self::Length)
                .ok_or_else(|| invalid("Content-Length is not a number of bytes.")),
            (None, Some(encoding)) if encoding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked),
            _ => Err(invalid("The body must have a Content-Length or Transfer-Encoding: chunked.")),
        }
    }

    fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

fn check_chunked(is_decoded_upload: bool, trailer: bool, headers: &HeaderMap) -> Result<(), Refusal> {
    if !is_decoded_upload {
        let message = "A STREAMING-… payload is for PutObject and UploadPart with an Authorization header, or, where \
                       the chunks are not signed, with no signature at all.";
        return Err(Refusal::new(S3ErrorCode::NotImplemented, message));
    }
    let named = text(headers, "x-amz-trailer");
    match (trailer, named) {
        (true, Some(names)) if names.split(',').all(|name| is_trailer(name.trim())) => Ok(()),
        (true, Some(_)) => Err(invalid("The value specified in the x-amz-trailer header is not supported")),
        (true, None) => Err(invalid("A STREAMING-…-TRAILER payload needs the header x-amz-trailer.")),
        (false, Some(_)) => Err(invalid("x-amz-trailer needs a STREAMING-…-TRAILER payload.")),
        (false, None) => Ok(()),
    }
}

fn is_trailer(name: &str) -> bool {
    TRAILERS.iter().any(|trailer| trailer.eq_ignore_ascii_case(name))
}

/// The number of bytes to store is known from the start, and S3 would take that many.
fn check_upload_length(payload: Payload, framing: Framing, headers: &HeaderMap) -> Result<(), Refusal> {
    let decoded = text(headers, "x-amz-decoded-content-length")
        .map(|length| {
            super::signature::decimal(length)
                .ok_or_else(|| invalid("x-amz-decoded-content-length is not a number."))
        })
        .transpose()?;
    let bytes = match (payload, framing) {
        (Payload::Chunked { .. }, Framing::Length(_) | Framing::Chunked) => decoded,
        (_, Framing::Length(bytes)) => Some(bytes),
        (_, Framing::None | Framing::Chunked) => None,
    };
    match bytes {
        None => Err(S3ErrorCode::MissingContentLength.into()),
        Some(bytes) if bytes > PUT_BYTES_MAX => Err(Refusal::from(S3ErrorCode::EntityTooLarge)
            .with_detail("ProposedSize", bytes.to_string())
            .with_detail("MaxSizeAllowed", PUT_BYTES_MAX.to_string())),
        Some(_) => Ok(()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| str::from_utf8(value.as_bytes()).ok())
}

fn invalid(message: &'static str) -> Refusal {
    Refusal::new(S3ErrorCode::InvalidRequest, message)
}
