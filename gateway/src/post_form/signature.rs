//! Who signed a form: Signature V4 of the policy in its fields, or V2.
//!
//! Both sign the policy's text and nothing else of the request, with a key made of the secret; so what makes V2 weak
//! elsewhere, that it leaves out headers, is not there to be weak here. See `ops/decisions` on signatures of forms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use s3s::S3ErrorCode;

use super::Form;
use crate::refusal::Refusal;
use crate::sigv4::{self, SecretKey};
use crate::target::Signature;

/// What may be signed, and how.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Signature V2 is taken too.
    pub allow_v2: bool,
    /// A form's signature never covers its file. It is taken nevertheless.
    pub allow_uncovered_file: bool,
}

/// A form's statement about who signed its policy: not proven yet.
pub struct Claim<'a> {
    policy: &'a str,
    form: SignedBy<'a>,
}

enum SignedBy<'a> {
    V4(Signature),
    V2 { access_key: &'a str, hmac_sha1: Vec<u8> },
}

impl<'a> Claim<'a> {
    /// The claim that `form` makes; `None` when nobody signed it.
    ///
    /// # Errors
    /// `InvalidArgument` for a form that is signed in part or twice, `InvalidToken` for a session token (none was ever
    /// issued), `InvalidRequest` for another mechanism, `AccessDenied` where a signature must cover the file,
    /// `SignatureDoesNotMatch` when it cannot.
    pub fn of(form: &'a Form, rules: Rules) -> Result<Option<Self>, Refusal> {
        let has_any = |names: &[&str]| names.iter().any(|name| form.get(name).is_some());
        let is_v4 = has_any(&["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]);
        let is_v2 = has_any(&["awsaccesskeyid", "signature"]);
        if form.get("x-amz-security-token").is_some() {
            return Err(S3ErrorCode::InvalidToken.into());
        }
        if !is_v4 && !is_v2 && form.get("policy").is_none() {
            return Ok(None);
        }
        let policy = form.needs("policy")?;
        let form = match (is_v4, is_v2) {
            (true, true) => {
                let message = "Only one auth mechanism allowed: Signature V4 or V2.";
                return Err(Refusal::new(S3ErrorCode::InvalidArgument, message));
            }
            (_, false) => v4(form)?,
            (false, true) => v2(form, rules)?,
        };
        if !rules.allow_uncovered_file {
            let message = "Over plain HTTP a request's signature must cover its body, and a form's does not.";
            return Err(Refusal::new(S3ErrorCode::AccessDenied, message));
        }
        Ok(Some(Self { policy, form }))
    }

    /// The policy that was signed.
    #[must_use]
    pub fn policy(&self) -> &'a str {
        self.policy
    }

    /// The access key id whose secret the policy claims to be signed with.
    #[must_use]
    pub fn access_key(&self) -> &str {
        match &self.form {
            SignedBy::V4(signature) => &signature.access_key,
            SignedBy::V2 { access_key, .. } => access_key,
        }
    }

    /// Whether the policy was signed with `secret`: the claim is proven.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`.
    pub fn verify(&self, secret: &SecretKey) -> Result<(), Refusal> {
        let is_signed = match &self.form {
            SignedBy::V4(signature) => sigv4::has_signed(signature, secret, self.policy),
            SignedBy::V2 { hmac_sha1, .. } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes());
                hmac::verify(&key, self.policy.as_bytes(), hmac_sha1).is_ok()
            }
        };
        match is_signed {
            true => Ok(()),
            false => Err(S3ErrorCode::SignatureDoesNotMatch.into()),
        }
    }
}

fn v4<'a>(form: &'a Form) -> Result<SignedBy<'a>, Refusal> {
    let algorithm = form.needs("X-Amz-Algorithm")?;
    let (credential, date) = (form.needs("X-Amz-Credential")?, form.needs("X-Amz-Date")?);
    Signature::of_form(algorithm, credential, date, form.needs("X-Amz-Signature")?).map(SignedBy::V4)
}

fn v2<'a>(form: &'a Form, rules: Rules) -> Result<SignedBy<'a>, Refusal> {
    let (access_key, signature) = (form.needs("AWSAccessKeyId")?, form.needs("signature")?);
    if !rules.allow_v2 {
        let message =
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
        return Err(Refusal::new(S3ErrorCode::InvalidRequest, message));
    }
    let hmac_sha1 =
        BASE64.decode(signature).map_err(|_| Refusal::from(S3ErrorCode::SignatureDoesNotMatch))?;
    Ok(SignedBy::V2 { access_key, hmac_sha1 })
}

#[cfg(test)]
mod tests;
