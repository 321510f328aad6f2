//! What a request says about who signed it: one of four forms, parsed strictly, not yet believed.

use std::time::Duration;

use http::HeaderName;
use time::OffsetDateTime;

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
    /// The signature, when it is in the request's head.
    #[must_use]
    pub fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Header(signature) | Self::Presigned { signature, .. } => Some(signature),
            Self::Anonymous | Self::PostForm => None,
        }
    }
}

/// A Signature V4 with the scope it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The access key id of the signer.
    pub access_key: String,
    /// The region in the credential's scope: any name.
    pub region: String,
    /// When it was signed; the scope's date is this day.
    pub signed_at: AmzDate,
    /// The headers it covers: lower case, ascending, `host` and every `x-amz-*` of the request among them.
    pub signed_headers: Vec<HeaderName>,
    /// 64 lower-case hex digits.
    pub hex: String,
}

/// A moment as Signature V4 writes it, `20260102T030405Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmzDate {
    text: [u8; 16],
    moment: OffsetDateTime,
}
