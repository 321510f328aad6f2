//! Signature V4, checked by ourselves on the paths that s3s has no part in.
//!
//! Order of events: [`Claim::of`] takes the signature that [`target`](crate::target) parsed and judges its time, before
//! anybody is looked up; the caller finds the secret of [`Claim::access_key`]; [`Claim::verify`] signs the request
//! again and compares in constant time. Signing keys are kept in [`Keys`], which makes a check about a microsecond.
//! Verdicts and codes are s3s's: a test feeds both the same requests. What is stricter here than in s3s is refused by
//! `target` already, on every path. Bodies are not looked at: an object read has none, and s3s reads all others.

mod canonical;
mod keys;
mod secret_key;

use std::time::Duration;

use http::{HeaderMap, Method};
use s3s::S3ErrorCode;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::refusal::Refusal;
use crate::target::{Query, Signature, SignatureForm};
use canonical::{PathForm, canonical_request, string_to_sign};

pub use keys::Keys;
pub use secret_key::SecretKey;

/// How far a client's clock may be off, either way: S3's own limit.
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// A request's statement about who signed it: its time is good, the signature itself is not proven yet.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    query: &'a Query,
    form: &'a SignatureForm,
    signature: &'a Signature,
}

impl<'a> Claim<'a> {
    /// The claim that a request with `query` and the signature `form` makes; `None` when there is no signature in its head.
    ///
    /// # Errors
    /// `RequestTimeTooSkewed` when it was signed more than 15 minutes from `now` (presigned: after `now`),
    /// `AccessDenied` when a presigned URL has expired.
    pub fn of(
        query: &'a Query,
        form: &'a SignatureForm,
        now: OffsetDateTime,
    ) -> Result<Option<Self>, Refusal> {
        let signature = match form {
            SignatureForm::Anonymous | SignatureForm::PostForm => return Ok(None),
            SignatureForm::Header(signature) => {
                let age = now - signature.signed_at.moment();
                if age.unsigned_abs() > SKEW_MAX {
                    return Err(skewed(signature, now));
                }
                signature
            }
            SignatureForm::Presigned { signature, lifetime } => {
                let age = now - signature.signed_at.moment();
                if age + SKEW_MAX < time::Duration::ZERO {
                    return Err(skewed(signature, now));
                }
                if age > *lifetime {
                    return Err(expired(signature, *lifetime, now));
                }
                signature
            }
        };
        Ok(Some(Self { query, form, signature }))
    }

    /// The access key id whose secret the request claims to be signed with.
    #[must_use]
    pub fn access_key(&self) -> &'a str {
        &self.signature.access_key
    }

    /// Whether the request was signed with `secret`: the claim is proven.
    ///
    /// `method`, `raw_target` and `headers` are those that query and signature were parsed from.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`.
    pub fn verify(
        &self,
        keys: &Keys,
        secret: &SecretKey,
        method: &Method,
        raw_target: &[u8],
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let key = keys.signing_key(self.signature, secret);
        let is_signed_as = |path_form| {
            let request = canonical_request(self.query, self.form, path_form, method, raw_target, headers);
            let hex = key.sign(&string_to_sign(self.signature, &request));
            bool::from(hex.ct_eq(self.signature.hex.as_bytes()))
        };
        // Some clients sign a path with `(`, `=` and the like as they send it, unescaped; s3s takes both.
        let is_signed = is_signed_as(PathForm::Escaped)
            || (canonical::has_unescaped_reserved(raw_target) && is_signed_as(PathForm::AsSent));
        if !is_signed {
            return Err(S3ErrorCode::SignatureDoesNotMatch.into());
        }
        // Only now: or else anybody could fill the cache with scopes of regions that do not exist.
        keys.keep(key, secret);
        Ok(())
    }
}

/// Whether `signature` is that of `secret` over `text`: how the policy of a browser's form is signed.
#[must_use]
pub fn has_signed(signature: &Signature, secret: &SecretKey, text: &str) -> bool {
    let hex = keys::SigningKey::derive(signature, secret).sign(text);
    hex.ct_eq(signature.hex.as_bytes()).into()
}

fn skewed(signature: &Signature, now: OffsetDateTime) -> Refusal {
    Refusal::from(S3ErrorCode::RequestTimeTooSkewed)
        .with_detail("RequestTime", signature.signed_at.as_str())
        .with_detail("ServerTime", rfc3339(now))
        .with_detail("MaxAllowedSkewMilliseconds", SKEW_MAX.as_millis().to_string())
}

fn expired(signature: &Signature, lifetime: Duration, now: OffsetDateTime) -> Refusal {
    Refusal::new(S3ErrorCode::AccessDenied, "Request has expired")
        .with_detail("X-Amz-Expires", lifetime.as_secs().to_string())
        .with_detail("Expires", rfc3339(signature.signed_at.moment() + lifetime))
        .with_detail("ServerTime", rfc3339(now))
}

fn rfc3339(moment: OffsetDateTime) -> String {
    let seconds = moment.replace_nanosecond(0).unwrap_or(moment);
    seconds.format(&Rfc3339).expect("a date of four-digit years")
}

#[cfg(test)]
pub(crate) mod tests;
