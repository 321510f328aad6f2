//! What a request promises about its body: `Content-MD5` and a checksum in a header or a trailer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::header::CONTENT_MD5;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::{Algorithm, Digested};

const X_AMZ_TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");
const X_AMZ_SDK_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");

/// `x-amz-checksum-…` headers that are no checksums.
const NOT_A_CHECKSUM: [&str; 3] = ["x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"];

/// The digests that an upload's body has to turn out to have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    content_md5: Option<[u8; 16]>,
    checksum: Option<(Algorithm, Carrier)>,
}

/// Where the checksum is said.
#[derive(Debug, PartialEq, Eq)]
enum Carrier {
    Header(Vec<u8>),
    Trailer,
}

impl Announced {
    /// Reads `Content-MD5`, the checksum headers and the announced trailer.
    ///
    /// # Errors
    /// `InvalidDigest` for a malformed `Content-MD5`; `BadDigest` for a malformed checksum; `InvalidRequest` for a second
    /// one, for an algorithm without a checksum, and for a trailer that is none; `NotImplemented` for other algorithms.
    pub(crate) fn parse(headers: &HeaderMap) -> S3Result<Self> {
        let mut announced = Self { content_md5: content_md5(headers)?, checksum: None };
        for (name, value) in headers {
            if let Some(algorithm) = checksum_header(name)? {
                let value = text(value).and_then(|text| algorithm.decode(text));
                let value =
                    value.ok_or_else(|| s3_error!(BadDigest, "Value for {name} header is invalid."))?;
                announced.add(algorithm, Carrier::Header(value))?;
            }
        }
        for value in headers.get_all(X_AMZ_TRAILER) {
            announced.add(trailer(value)?, Carrier::Trailer)?;
        }
        if let Some(named) = headers.get(X_AMZ_SDK_CHECKSUM_ALGORITHM) {
            announced.verify_named(text(named).unwrap_or_default())?;
        }
        Ok(announced)
    }

    /// The checksum algorithm the client chose, if it chose one.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(|(algorithm, _)| *algorithm)
    }

    /// Holds the body's digests against what was announced, trailers included; `trailers` are those that came
    /// after the body's last chunk.
    ///
    /// # Errors
    /// `BadDigest` when one differs, `MalformedTrailerError` when the trailers are not the announced ones,
    /// `InvalidRequest` when the trailer's value is malformed.
    pub(crate) fn verify(&self, digested: &Digested, trailers: Option<&HeaderMap>) -> S3Result<()> {
        if self.content_md5.is_some_and(|md5| md5 != digested.md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let in_trailer = matches!(self.checksum, Some((_, Carrier::Trailer)));
        if trailers.map_or(0, HeaderMap::len) != usize::from(in_trailer) {
            return Err(malformed_trailer());
        }
        let Some((algorithm, carrier)) = &self.checksum else { return Ok(()) };
        let announced = match carrier {
            Carrier::Header(value) => value.clone(),
            Carrier::Trailer => trailing_checksum(*algorithm, trailers)?,
        };
        let computed = digested.checksums.get(*algorithm).and_then(|value| algorithm.decode(value));
        if computed.as_ref() == Some(&announced) {
            return Ok(());
        }
        Err(s3_error!(
            BadDigest,
            "The {} you specified did not match the calculated checksum.",
            algorithm.as_str()
        ))
    }

    fn add(&mut self, algorithm: Algorithm, carrier: Carrier) -> S3Result<()> {
        match self.checksum.replace((algorithm, carrier)) {
            None => Ok(()),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            )),
        }
    }

    fn verify_named(&self, name: &str) -> S3Result<()> {
        // SDKs name it in either case.
        let named = Algorithm::parse(&name.to_ascii_uppercase())?;
        match self.algorithm() {
            Some(algorithm) if algorithm == named => Ok(()),
            Some(_) => {
                Err(s3_error!(InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."))
            }
            // An MD5 is enough of a checksum for older SDKs that name the algorithm nevertheless.
            None if self.content_md5.is_some() => Ok(()),
            None => Err(s3_error!(
                InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
            )),
        }
    }
}

fn content_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = headers.get(CONTENT_MD5) else { return Ok(None) };
    let md5 = text(value).and_then(|text| BASE64.decode(text).ok()).and_then(|md5| md5.try_into().ok());
    md5.map(Some).ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."))
}

fn checksum_header(name: &HeaderName) -> S3Result<Option<Algorithm>> {
    if !name.as_str().starts_with("x-amz-checksum-") || NOT_A_CHECKSUM.contains(&name.as_str()) {
        return Ok(None);
    }
    let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.header() == name);
    known.map(Some).ok_or_else(|| s3_error!(NotImplemented, "{name} is not supported."))
}

fn trailer(value: &HeaderValue) -> S3Result<Algorithm> {
    let name = text(value).unwrap_or_default();
    Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.header().as_str().eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            s3_error!(InvalidRequest, "The value specified in the x-amz-trailer header is not supported")
        })
}

fn trailing_checksum(algorithm: Algorithm, trailers: Option<&HeaderMap>) -> S3Result<Vec<u8>> {
    let value =
        trailers.and_then(|trailers| trailers.get(algorithm.header())).ok_or_else(malformed_trailer)?;
    text(value).and_then(|text| algorithm.decode(text)).ok_or_else(|| {
        s3_error!(InvalidRequest, "Value for {} trailing header is invalid.", algorithm.header())
    })
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim)
}

fn malformed_trailer() -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("MalformedTrailerError".into()),
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    );
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}
