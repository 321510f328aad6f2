//! Which encryption a request asks for the object that it makes: under a key that its client brings (SSE-C), or under the
//! store's own (SSE-S3). That the headers do not contradict each other is verified before.

use http::HeaderMap;
use s3s::header::X_AMZ_SERVER_SIDE_ENCRYPTION;
use s3s::{S3Error, S3Result, s3_error};

use crate::customer_key::CustomerKey;
use crate::head::Facts;

/// The algorithm of SSE-S3, and how answers name it.
pub(crate) const AES256: &str = "AES256";

/// How an object is to be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WantedEncryption {
    /// With this key of the client's.
    Customer(CustomerKey),
    /// With the store's key.
    Store,
}

impl WantedEncryption {
    /// What the headers of a request that makes an object ask for.
    ///
    /// # Errors
    /// `NotImplemented` for keys of AWS KMS; those of [`CustomerKey::of_target`].
    pub(crate) fn of_headers(headers: &HeaderMap) -> S3Result<Option<Self>> {
        match headers.get(X_AMZ_SERVER_SIDE_ENCRYPTION) {
            None => Ok(CustomerKey::of_target(headers)?.map(Self::Customer)),
            Some(method) if method == AES256 => Ok(Some(Self::Store)),
            Some(_) => Err(s3_error!(NotImplemented, "Keys of AWS KMS are not supported here.")),
        }
    }

    /// What is `wanted`, or else what the bucket of these facts says of objects whose requests say nothing.
    pub(crate) fn or_default(wanted: Option<Self>, facts: &Facts) -> Option<Self> {
        wanted.or_else(|| facts.default_encryption.map(|_| Self::Store))
    }

    /// Refuses a client's key where the bucket of these facts blocks such.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn verify_not_blocked(wanted: Option<&Self>, facts: &Facts) -> S3Result<()> {
        match wanted {
            Some(Self::Customer(_)) => facts.verify_takes_customer_keys(),
            Some(Self::Store) | None => Ok(()),
        }
    }

    /// The key that the client brought.
    pub(crate) fn customer_key(&self) -> Option<&CustomerKey> {
        match self {
            Self::Customer(key) => Some(key),
            Self::Store => None,
        }
    }
}

/// Refuses a choice of encryption in a request that makes no object.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn refuse_choice(headers: &HeaderMap) -> S3Result<()> {
    if headers.contains_key(X_AMZ_SERVER_SIDE_ENCRYPTION) { Err(no_choice()) } else { Ok(()) }
}

/// What such a request is told.
pub(crate) fn no_choice() -> S3Error {
    s3_error!(InvalidArgument, "x-amz-server-side-encryption header is not supported for this operation.")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use s3s::S3ErrorCode;

    use super::*;
    use crate::acl::Owner;
    use crate::head::DefaultEncryption;
    use crate::instance::Instance;

    fn choosing(method: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(X_AMZ_SERVER_SIDE_ENCRYPTION, HeaderValue::from_static(method))])
    }

    #[test]
    fn a_request_chooses_whose_key_it_is() {
        let read = |headers| WantedEncryption::of_headers(&headers);
        assert_eq!(read(HeaderMap::new()).expect("no choice"), None);
        assert_eq!(read(choosing("AES256")).expect("a choice"), Some(WantedEncryption::Store));
        for method in ["aws:kms", "aws:kms:dsse"] {
            let refused = read(choosing(method)).expect_err("nobody has such keys");
            assert_eq!(*refused.code(), S3ErrorCode::NotImplemented, "{method}");
        }
    }

    #[test]
    fn a_request_that_makes_nothing_has_no_choice() {
        assert!(refuse_choice(&HeaderMap::new()).is_ok());
        for method in ["AES256", "aws:kms", ""] {
            let refused = refuse_choice(&choosing(method)).expect_err("refused");
            assert_eq!(*refused.code(), S3ErrorCode::InvalidArgument, "{method}");
        }
    }

    /// The bucket speaks for requests that do not.
    #[test]
    fn a_buckets_default_is_for_who_says_nothing() {
        let id = Instance::from_bytes([7; 16]);
        let owner = Owner { id: "id".to_owned(), display_name: "somebody".to_owned() };
        let plain = Facts::new(id, id, "somebody", owner);
        let encrypting = Facts { default_encryption: Some(DefaultEncryption::default()), ..plain.clone() };
        let customer = || Some(WantedEncryption::Customer(CustomerKey::test(1)));
        for (wanted, facts, expected) in [
            (None, &plain, None),
            (None, &encrypting, Some(WantedEncryption::Store)),
            (customer(), &encrypting, customer()),
            (Some(WantedEncryption::Store), &plain, Some(WantedEncryption::Store)),
        ] {
            assert_eq!(WantedEncryption::or_default(wanted, facts), expected);
        }
    }
}
