//! What a request says about who signed it: one of four forms, parsed strictly, not yet believed.
//!
//! Only Signature V4 is known. V2 and the asymmetric V4 ("SigV4A") are refused wherever they show, and so is a request
//! that is signed in two places, or whose signature leaves out a header that S3 acts on: s3s takes all of these.

use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName};
use s3s::{S3Error, S3ErrorCode};
use time::{Date, Month, OffsetDateTime, Time};

use super::{Query, dispatch};
use crate::refusal::Refusal;

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Longest life of a presigned URL: seven days, S3's own limit.
const LIFETIME_SECONDS_MAX: u64 = 604_800;

/// Longest access key id, as IAM limits it.
const ACCESS_KEY_BYTES_MAX: usize = 128;

/// How a request is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// Not at all.
    Anonymous,
    /// Signature V4 in the `Authorization` header.
    Header(Signature),
    /// Signature V4 in the query, good for `lifetime` (1 s to 7 days) from the moment of signing.
    Presigned {
        /// The signature.
        signature: Signature,
        /// How long it is good for.
        lifetime: Duration,
    },
    /// A browser's POST form: the signature is a field of the body, over the policy that is another field.
    PostForm,
}

impl SignatureForm {
    /// The form of a request with `query` and `headers`.
    ///
    /// # Errors
    /// `InvalidRequest` for any mechanism but Signature V4, `InvalidArgument` for two at once,
    /// `AuthorizationHeaderMalformed` or `AuthorizationQueryParametersError` for what cannot be parsed, `InvalidToken`
    /// for a session token (none was ever issued), `AccessDenied` for headers that must be signed and are not,
    /// `SignatureDoesNotMatch` when it cannot.
    pub(super) fn parse(query: &Query, headers: &HeaderMap) -> Result<Self, Refusal> {
        let in_query = query.iter().any(|(name, _)| dispatch::is_signature_parameter(name));
        if query.has("Signature") || query.has("AWSAccessKeyId") {
            return Err(unsupported_mechanism());
        }
        if query.has("X-Amz-Security-Token") || headers.contains_key("x-amz-security-token") {
            return Err(S3ErrorCode::InvalidToken.into());
        }
        let form = match headers.get(AUTHORIZATION) {
            None if in_query => presigned(query)?,
            None => return Ok(Self::Anonymous),
            Some(_) if in_query => return Err(two_mechanisms()),
            Some(value) => {
                let value = value.to_str().map_err(|_| malformed_header("it is not text"))?;
                Self::Header(authorization(value, headers)?)
            }
        };
        form.signature().map_or(Ok(()), |signature| check_coverage(signature, headers))?;
        Ok(form)
    }

    /// The form of a POST form's request, whose head may hold no signature at all.
    ///
    /// # Errors
    /// `InvalidArgument` when it does.
    pub(super) fn of_post_form(query: &Query, headers: &HeaderMap) -> Result<Self, Refusal> {
        match Self::parse(query, headers)? {
            Self::Anonymous => Ok(Self::PostForm),
            _ => Err(two_mechanisms()),
        }
    }

    /// The signature, when it is in the request's head.
    #[must_use]
    pub fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Header(signature) | Self::Presigned { signature, .. } => Some(signature),
            Self::Anonymous | Self::PostForm => None,
        }
    }
}

/// A Signature V4 with the scope it claims. Printed without the digits, which open whatever they were made for.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    /// The access key id of the signer.
    pub access_key: String,
    /// The region in the credential's scope: any name.
    pub region: String,
    /// When it was signed; the scope's date is this day.
    pub signed_at: AmzDate,
    /// The headers it covers: lower case, ascending, each in the request, `host` and every `x-amz-*` among them.
    pub signed_headers: Vec<HeaderName>,
    /// 64 lower-case hex digits.
    pub hex: String,
}

impl Signature {
    /// The signature in the fields of a browser's form, which covers the form's policy and no headers.
    ///
    /// # Errors
    /// `InvalidRequest` for another algorithm, `InvalidArgument` for what cannot be parsed, `SignatureDoesNotMatch` when
    /// it cannot.
    pub(crate) fn of_form(algorithm: &str, credential: &str, date: &str, hex: &str) -> Result<Self, Refusal> {
        if algorithm != ALGORITHM {
            return Err(unsupported_mechanism());
        }
        let (scope, hex) = (scope(credential, date, &malformed_field)?, hex_digits(hex)?);
        let Scope { access_key, region, signed_at } = scope;
        Ok(Self { access_key, region, signed_at, signed_headers: Vec::new(), hex })
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("access_key", &self.access_key)
            .field("region", &self.region)
            .field("signed_at", &self.signed_at.as_str())
            .field("signed_headers", &self.signed_headers)
            .finish_non_exhaustive()
    }
}

/// A moment as Signature V4 writes it, `20260102T030405Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmzDate {
    text: [u8; 16],
    moment: OffsetDateTime,
}

impl AmzDate {
    /// The moment that `text` writes; `None` for any other form, and for days and times that do not exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 16] = text.as_bytes().try_into().ok()?;
        let number = |range: std::ops::Range<usize>| {
            digits[range].iter().try_fold(0u16, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
            })
        };
        if digits[8] != b'T' || digits[15] != b'Z' {
            return None;
        }
        let month = Month::try_from(u8::try_from(number(4..6)?).ok()?).ok()?;
        let small = |range| number(range).and_then(|number| u8::try_from(number).ok());
        let date = Date::from_calendar_date(number(0..4)?.into(), month, small(6..8)?).ok()?;
        let time = Time::from_hms(small(9..11)?, small(11..13)?, small(13..15)?).ok()?;
        Some(Self { text: digits, moment: date.with_time(time).assume_utc() })
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).expect("digits, T and Z")
    }

    /// The day, `20260102`.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.as_str()[..8]
    }

    /// The moment, UTC.
    #[must_use]
    pub fn moment(&self) -> OffsetDateTime {
        self.moment
    }
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, in this order as s3s wants it.
fn authorization(value: &str, headers: &HeaderMap) -> Result<Signature, Refusal> {
    let (algorithm, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    match algorithm {
        ALGORITHM => {}
        _ if algorithm == "AWS" || algorithm.starts_with("AWS4-") => return Err(unsupported_mechanism()),
        _ => return Err(Refusal::new(S3ErrorCode::InvalidArgument, "Unsupported Authorization Type")),
    }
    let mut parts = rest.splitn(3, ',').map(|part| part.trim_matches([' ', '\t']));
    let mut part = |name: &'static str| {
        parts.next().and_then(|part| part.strip_prefix(name)).ok_or_else(|| {
            malformed_header("it needs Credential, SignedHeaders and Signature, in this order")
        })
    };
    let (credential, signed_headers, hex) =
        (part("Credential=")?, part("SignedHeaders=")?, part("Signature=")?);
    let date = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).ok_or_else(|| {
        Refusal::new(S3ErrorCode::AccessDenied, "AWS authentication requires a valid x-amz-date header")
    })?;
    signature(&Claimed { credential, date, signed_headers, hex }, &malformed_header)
}

/// `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=…&X-Amz-Date=…&X-Amz-Expires=…&X-Amz-SignedHeaders=…&X-Amz-Signature=…`.
fn presigned(query: &Query) -> Result<SignatureForm, Refusal> {
    let parameter = |name: &str| {
        query.get(name).ok_or_else(|| {
            malformed_query(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                 X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            )
        })
    };
    match parameter("X-Amz-Algorithm")? {
        ALGORITHM => {}
        algorithm if algorithm.starts_with("AWS4-") => return Err(unsupported_mechanism()),
        _ => return Err(malformed_query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")),
    }
    let claimed = Claimed {
        credential: parameter("X-Amz-Credential")?,
        date: parameter("X-Amz-Date")?,
        signed_headers: parameter("X-Amz-SignedHeaders")?,
        hex: parameter("X-Amz-Signature")?,
    };
    let lifetime = lifetime(parameter("X-Amz-Expires")?)?;
    Ok(SignatureForm::Presigned { signature: signature(&claimed, &malformed_query)?, lifetime })
}

/// A number of seconds that no link may live for is a link that has expired, not one that cannot be read.
fn lifetime(text: &str) -> Result<Duration, Refusal> {
    const ALLOWED: &str = "X-Amz-Expires must be from 1 second to a week (604800 seconds)";
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed_query(ALLOWED));
    }
    match decimal(text) {
        Some(seconds @ 1..=LIFETIME_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(Refusal::new(S3ErrorCode::AccessDenied, ALLOWED)),
    }
}

/// What a client that signs for no region name is told to sign for. s3cmd signs for `US` until an answer says better, as
/// S3's does.
const REGION_TO_SIGN_FOR: &str = "us-east-1";

/// The texts of a signature, from a header or a query.
struct Claimed<'a> {
    credential: &'a str,
    date: &'a str,
    signed_headers: &'a str,
    hex: &'a str,
}

fn signature(
    claimed: &Claimed<'_>,
    malformed: &dyn Fn(&'static str) -> Refusal,
) -> Result<Signature, Refusal> {
    let Scope { access_key, region, signed_at } = scope(claimed.credential, claimed.date, malformed)?;
    let hex = hex_digits(claimed.hex)?;
    let signed_headers = signed_headers(claimed.signed_headers)
        .ok_or_else(|| malformed("SignedHeaders must be lower-case header names in ascending order"))?;
    Ok(Signature { access_key, region, signed_at, signed_headers, hex })
}

/// What a signature is good for, and whose it claims to be.
struct Scope {
    access_key: String,
    region: String,
    signed_at: AmzDate,
}

fn scope(
    credential: &str,
    date: &str,
    malformed: &dyn Fn(&'static str) -> Refusal,
) -> Result<Scope, Refusal> {
    let mut scope = credential.split('/');
    let (access_key, day, region, service, end) =
        match (scope.next(), scope.next(), scope.next(), scope.next(), scope.next(), scope.next()) {
            (Some(access_key), Some(day), Some(region), Some(service), Some(end), None) => {
                (access_key, day, region, service, end)
            }
            _ => return Err(malformed("the credential must be <key id>/YYYYMMDD/<region>/s3/aws4_request")),
        };
    let is_key = |key: &str| {
        !key.is_empty() && key.len() <= ACCESS_KEY_BYTES_MAX && key.bytes().all(|b| b.is_ascii_graphic())
    };
    if !is_key(access_key) {
        return Err(malformed("the access key id is not one"));
    }
    if service != "s3" || end != "aws4_request" {
        return Err(malformed("the credential's scope must end in s3/aws4_request"));
    }
    let region = s3s::region::Region::new(region.into()).map_err(|_| {
        malformed("the region is wrong; expecting 'us-east-1'").with_detail("Region", REGION_TO_SIGN_FOR)
    })?;
    let signed_at = AmzDate::parse(date).ok_or_else(|| malformed("the date is not YYYYMMDDTHHMMSSZ"))?;
    if day != signed_at.day() {
        return Err(malformed("the credential's date is not the day of the request's date"));
    }
    Ok(Scope { access_key: access_key.to_owned(), region: region.as_str().to_owned(), signed_at })
}

/// 64 lower-case hex digits: nothing else can be the right signature.
fn hex_digits(text: &str) -> Result<String, Refusal> {
    let is_hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| text.to_owned()).ok_or_else(|| S3ErrorCode::SignatureDoesNotMatch.into())
}

/// `a;b;c` as names; `None` unless they are lower case and ascend, each once. s3s sorts them in one form and not in the
/// other; sorted, both mean the same.
fn signed_headers(text: &str) -> Option<Vec<HeaderName>> {
    let is_lower = |name: &str| !name.bytes().any(|b| b.is_ascii_uppercase());
    let names =
        text.split(';').map(|name| HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| is_lower(name)));
    let names: Vec<HeaderName> = names.collect::<Option<_>>()?;
    let ascend = names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str());
    (ascend && !names.contains(&AUTHORIZATION)).then_some(names)
}

/// Whether the signature covers `host` and every `x-amz-*` header, and no header that is not there or not text (s3s
/// leaves those out of what it checks, so that anybody could add names).
fn check_coverage(signature: &Signature, headers: &HeaderMap) -> Result<(), Refusal> {
    let signed = |name: &HeaderName| {
        signature.signed_headers.binary_search_by(|signed| signed.as_str().cmp(name.as_str())).is_ok()
    };
    let must_be_signed = |name: &&HeaderName| **name == HOST || name.as_str().starts_with("x-amz-");
    let unsigned: Vec<&str> =
        headers.keys().filter(must_be_signed).filter(|name| !signed(name)).map(HeaderName::as_str).collect();
    if !unsigned.is_empty() {
        let message = "There were headers present in the request which were not signed";
        return Err(Refusal::new(S3ErrorCode::AccessDenied, message)
            .with_detail("HeadersNotSigned", unsigned.join(", ")));
    }
    let is_text = |name: &HeaderName| {
        headers.contains_key(name)
            && headers.get_all(name).iter().all(|value| str::from_utf8(value.as_bytes()).is_ok())
    };
    match signature.signed_headers.iter().all(is_text) {
        true => Ok(()),
        false => Err(S3ErrorCode::SignatureDoesNotMatch.into()),
    }
}

/// A number in decimal digits and nothing else.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

fn unsupported_mechanism() -> Refusal {
    let message =
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    Refusal::new(S3ErrorCode::InvalidRequest, message)
}

fn two_mechanisms() -> Refusal {
    let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                   parameter or the Authorization header should be specified";
    Refusal::new(S3ErrorCode::InvalidArgument, message)
}

fn malformed_header(what: &'static str) -> Refusal {
    let message = format!("The authorization header is malformed; {what}.");
    S3Error::with_message(S3ErrorCode::AuthorizationHeaderMalformed, message).into()
}

fn malformed_query(what: &'static str) -> Refusal {
    Refusal::new(S3ErrorCode::AuthorizationQueryParametersError, what)
}

fn malformed_field(what: &'static str) -> Refusal {
    Refusal::new(S3ErrorCode::InvalidArgument, format!("The form's signature is malformed; {what}."))
}
