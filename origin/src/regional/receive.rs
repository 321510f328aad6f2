//! A request's body on its way into the store: received, hashed and staged side by side, then held against what the
//! request announced.

use futures::{StreamExt, try_join};
use http::{Extensions, HeaderMap, StatusCode};
use s3s::dto::StreamingBlob;
use s3s::stream::ByteStream;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders, s3_error};

use super::upload::{Staged, UPLOAD_BYTES_MAX, Upload};
use crate::Trailers;
use crate::checksums::{Algorithm, Announced, Digested, Digests};
use crate::encryption::ObjectKeys;

/// A body that is not received yet, and what its request said of it.
pub(super) struct Incoming {
    body: Option<StreamingBlob>,
    /// How long it is, where its request says so: the file of a browser's form ends where the form says.
    bytes: Option<u64>,
    announced: Announced,
    /// Those that s3s has read behind the body.
    trailers: Option<TrailingHeaders>,
    /// Those that were read before s3s was given the body.
    decoded: Option<Trailers>,
}

/// A body that is staged durably and is what was announced.
pub(super) struct Received {
    pub(super) staged: Staged,
    pub(super) digested: Digested,
}

impl Received {
    /// The entity tag of a part, or of an object put whole, which is no part's number: the MD5, or where the bytes are
    /// encrypted with `keys` what [these](ObjectKeys::etag) make of it.
    pub(super) fn etag(&self, number: u32, keys: Option<&ObjectKeys>) -> String {
        hex::encode(keys.map_or(self.digested.md5, |keys| keys.etag(number, &self.digested.md5)))
    }
}

impl Incoming {
    /// Reads what the request says of its body; nothing of the body itself.
    ///
    /// # Errors
    /// `EntityTooLarge` above 5 GiB; those of [`Announced::parse`].
    pub(super) fn new(
        headers: &HeaderMap,
        extensions: &Extensions,
        body: Option<StreamingBlob>,
        content_length: Option<i64>,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Self> {
        let bytes = match (content_length, &body) {
            (Some(length), _) => Some(
                u64::try_from(length).map_err(|e| s3_error!(e, InvalidArgument, "invalid Content-Length"))?,
            ),
            (None, Some(body)) => body.remaining_length().exact().map(|length| length as u64),
            (None, None) => Some(0),
        };
        if bytes.is_some_and(|bytes| bytes > UPLOAD_BYTES_MAX) {
            return Err(too_large());
        }
        let decoded = extensions.get::<Trailers>().cloned();
        Ok(Self { body, bytes, announced: Announced::parse(headers)?, trailers, decoded })
    }

    /// The body's length, where it was announced.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// The checksum algorithm that the client chose.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.announced.algorithm()
    }

    /// Takes the whole body into `upload`; computes `wanted` besides what was announced. Dropped or failed at any
    /// point, it leaves nothing.
    ///
    /// # Errors
    /// `IncompleteBody` when it is shorter or longer than announced or breaks off; `EntityTooLarge` when it turns out to
    /// have more than 5 GiB; `SignatureDoesNotMatch` and
    /// `XAmzContentSHA256Mismatch` when it is not the signed one; those of [`Announced::verify`]; `InternalError`.
    pub(super) async fn receive(self, mut upload: Upload, wanted: Algorithm) -> S3Result<Received> {
        let mut algorithms = vec![wanted];
        algorithms.extend(self.announced.algorithm().filter(|announced| *announced != wanted));
        let mut digests = Digests::new(&algorithms);
        let mut received = 0;
        let bytes_max = self.bytes.unwrap_or(UPLOAD_BYTES_MAX);
        if let Some(mut body) = self.body {
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(broken_body)?;
                received += piece.len() as u64;
                if received > bytes_max {
                    break;
                }
                digests.update(piece.clone()).await?;
                upload.write(piece).await?;
                if upload.is_short_of_memory() {
                    digests.let_go().await?;
                }
            }
        }
        match self.bytes {
            Some(announced) if received != announced => return Err(incomplete()),
            None if received > UPLOAD_BYTES_MAX => return Err(too_large()),
            Some(_) | None => {}
        }
        let (digested, staged) = try_join!(digests.finish(), upload.finish())?;
        let decoded = self.decoded.and_then(|trailers| trailers.take());
        let trailers = self.trailers.and_then(|trailers| trailers.take()).or(decoded);
        self.announced.verify(&digested, trailers.as_ref())?;
        Ok(Received { staged, digested })
    }
}

fn too_large() -> S3Error {
    s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed object size.")
}

/// s3s does not export the errors of its body streams, but each begins with its own name.
fn broken_body(cause: StdError) -> S3Error {
    let text = cause.to_string();
    let mut error = if text.starts_with("AwsChunkedStreamError: SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        )
    } else if text.starts_with("UploadStreamError: Sha256Mismatch") {
        content_sha256_mismatch()
    } else if text.starts_with("AwsChunkedStreamError: TrailersTooLarge")
        || text.starts_with("AwsChunkedStreamError: TooManyTrailerHeaders")
    {
        s3_error!(InvalidRequest, "The request's trailing headers are too large.")
    } else {
        incomplete()
    };
    error.set_source(cause);
    error
}

fn incomplete() -> S3Error {
    s3_error!(
        IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )
}

fn content_sha256_mismatch() -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}
