//! A key that clients bring with each request and we never keep (SSE-C): read from its three headers, or refused.
//!
//! S3's rules are those of the Amazon S3 User Guide, "Using server-side encryption with customer-provided keys (SSE-C)".
//! That such a key comes over an encrypted connection alone is for whoever knows the connection to see to.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest as _, Md5};
use s3s::header::{
    X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_ALGORITHM,
    X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY,
    X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY_MD5,
    X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_ALGORITHM, X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY,
    X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY_MD5,
};
use s3s::{S3Result, s3_error};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The one algorithm of S3.
const ALGORITHM: &str = "AES256";

/// Algorithm, key and the key's MD5, of the object that a request is about.
static OF_TARGET: [HeaderName; 3] = [
    X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_ALGORITHM,
    X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY,
    X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY_MD5,
];
/// The same of the object that it copies from.
static OF_COPY_SOURCE: [HeaderName; 3] = [
    X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_ALGORITHM,
    X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY,
    X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY_MD5,
];

/// 256 bits that only the client keeps: shown as `***`, compared in constant time, wiped from memory when dropped.
#[derive(Clone)]
pub struct CustomerKey(Zeroizing<[u8; 32]>);

impl CustomerKey {
    /// The key in the headers of a request, for the object that it is about; `None` where it brings none.
    ///
    /// # Errors
    /// `InvalidArgument` when one of the three headers is missing or the key does not have 256 bits;
    /// `InvalidEncryptionAlgorithmError` for another algorithm than AES256; `InvalidRequest` when the key does not have
    /// the digest that came with it.
    pub fn of_target(headers: &HeaderMap) -> S3Result<Option<Self>> {
        Self::parse(headers, &OF_TARGET)
    }

    /// The same, for the object that a copy is made of.
    ///
    /// # Errors
    /// As [`CustomerKey::of_target`].
    pub fn of_copy_source(headers: &HeaderMap) -> S3Result<Option<Self>> {
        Self::parse(headers, &OF_COPY_SOURCE)
    }

    fn parse(headers: &HeaderMap, names: &[HeaderName; 3]) -> S3Result<Option<Self>> {
        if !has_one_of(headers, names) {
            return Ok(None);
        }
        let [algorithm, key, digest] =
            names.each_ref().map(|name| headers.get(name).filter(|value| !value.is_empty()));
        if algorithm.or(key).or(digest).is_none() {
            return Ok(None);
        }
        let algorithm = algorithm.ok_or_else(|| missing("a valid encryption algorithm"))?;
        if algorithm != ALGORITHM {
            return Err(s3_error!(
                InvalidEncryptionAlgorithmError,
                "The encryption request you specified is not valid. The valid value is AES256."
            ));
        }
        let key = key.ok_or_else(|| missing("an appropriate secret key"))?;
        let digest = digest.ok_or_else(|| missing("the client calculated MD5 of the secret key"))?;
        let key = Self::decode(key).ok_or_else(|| {
            s3_error!(InvalidArgument, "The secret key was invalid for the specified algorithm.")
        })?;
        // Neither is a secret: the digest came in the clear beside the key.
        if key.md5() != *digest {
            return Err(s3_error!(
                InvalidRequest,
                "The calculated MD5 hash of the key did not match the hash that was provided."
            ));
        }
        Ok(Some(key))
    }

    fn decode(base64: &HeaderValue) -> Option<Self> {
        let key = Zeroizing::new(BASE64.decode(base64).ok()?);
        let key: &[u8; 32] = key.as_slice().try_into().ok()?;
        Some(Self(Zeroizing::new(*key)))
    }

    /// What answers call the algorithm.
    #[must_use]
    pub(crate) fn algorithm(&self) -> String {
        ALGORITHM.to_owned()
    }

    /// What answers say of the key: its MD5 in base64, which the client sent.
    #[must_use]
    pub(crate) fn md5(&self) -> String {
        BASE64.encode(Md5::digest(self.expose()))
    }

    /// The two headers of an answer about an object that is encrypted with this key.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let [algorithm, _, digest] = OF_TARGET.clone();
        let md5 = HeaderValue::try_from(self.md5()).expect("base64 makes a header");
        [(algorithm, HeaderValue::from_static(ALGORITHM)), (digest, md5)].into_iter()
    }

    /// The key itself. Every use of this is a place where it can leak.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether a request brings any part of a key, for what it is about or for what it copies.
#[must_use]
pub fn brings_key(headers: &HeaderMap) -> bool {
    has_one_of(headers, &OF_TARGET) || has_one_of(headers, &OF_COPY_SOURCE)
}

/// Names as long as these are dear to look up, and hardly any request has one: a walk tells by their lengths.
fn has_one_of(headers: &HeaderMap, names: &[HeaderName; 3]) -> bool {
    headers.keys().any(|name| names.contains(name))
}

impl PartialEq for CustomerKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.expose()).into()
    }
}

impl Eq for CustomerKey {}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn missing(what: &str) -> s3s::S3Error {
    s3_error!(
        InvalidArgument,
        "Requests specifying Server Side Encryption with Customer provided keys must provide {what}."
    )
}

#[cfg(test)]
impl CustomerKey {
    /// A key for tests.
    pub(crate) fn test(byte: u8) -> Self {
        Self(Zeroizing::new([byte; 32]))
    }
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;

    const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";
    const MD5: &str = "DWygnHRtgiJ77HCm+1rvHw==";

    /// What the headers of the target and those of the copy source are read as, which is the same.
    fn read(algorithm: &str, key: &str, md5: &str) -> S3Result<Option<CustomerKey>> {
        let of = |names: &[HeaderName; 3]| -> HeaderMap {
            let values = [algorithm, key, md5].map(|value| HeaderValue::from_str(value).expect("a header"));
            names.iter().cloned().zip(values).filter(|(_, value)| !value.is_empty()).collect()
        };
        let (target, source) = (of(&OF_TARGET), of(&OF_COPY_SOURCE));
        let found = CustomerKey::of_target(&target);
        match (&found, CustomerKey::of_copy_source(&source)) {
            (Ok(one), Ok(other)) => assert_eq!(*one, other),
            (Err(one), Err(other)) => assert_eq!(one.code(), other.code()),
            (one, other) => panic!("{one:?} {other:?}"),
        }
        if !target.is_empty() {
            assert!(CustomerKey::of_target(&source).expect("nothing of the target").is_none());
            assert!(brings_key(&target) && brings_key(&source));
        }
        found
    }

    #[test]
    fn a_key_comes_in_three_headers() {
        let key = read(ALGORITHM, KEY, MD5).expect("valid").expect("a key");
        assert_eq!(BASE64.encode(key.expose()), KEY);
        let answered: HeaderMap = key.answered().collect();
        assert_eq!(answered["x-amz-server-side-encryption-customer-algorithm"], "AES256");
        assert_eq!(answered["x-amz-server-side-encryption-customer-key-md5"], MD5);
        assert_eq!(answered.len(), 2);
        assert_eq!(read("", "", "").expect("no key"), None);
        assert!(!brings_key(&HeaderMap::new()));
    }

    #[test]
    fn what_is_not_a_key_of_256_bits_with_its_digest_is_refused() {
        use S3ErrorCode::{InvalidArgument, InvalidEncryptionAlgorithmError, InvalidRequest};
        let of_bytes = |count: usize| {
            let key = vec![b'k'; count];
            (BASE64.encode(&key), BASE64.encode(Md5::digest(&key)))
        };
        let (short, short_md5) = of_bytes(31);
        let (long, long_md5) = of_bytes(33);
        let unpadded = KEY.trim_end_matches('=');
        for (algorithm, key, md5, code) in [
            ("", KEY, MD5, InvalidArgument),
            (ALGORITHM, "", MD5, InvalidArgument),
            (ALGORITHM, KEY, "", InvalidArgument),
            (ALGORITHM, "", "", InvalidArgument),
            ("", "", MD5, InvalidArgument),
            ("AES128", KEY, MD5, InvalidEncryptionAlgorithmError),
            ("aes256", KEY, MD5, InvalidEncryptionAlgorithmError),
            ("aws:kms", KEY, MD5, InvalidEncryptionAlgorithmError),
            (ALGORITHM, &short, &short_md5, InvalidArgument),
            (ALGORITHM, &long, &long_md5, InvalidArgument),
            (ALGORITHM, unpadded, MD5, InvalidArgument),
            (ALGORITHM, "not base64", MD5, InvalidArgument),
            (ALGORITHM, KEY, "AAAAAAAAAAAAAAAAAAAAAA==", InvalidRequest),
            (ALGORITHM, KEY, MD5.trim_end_matches('='), InvalidRequest),
        ] {
            let refused = read(algorithm, key, md5).expect_err(key);
            assert_eq!(*refused.code(), code, "{algorithm} {key} {md5}");
            assert!(!format!("{refused:?}").contains(KEY), "the key is in its refusal");
        }
    }

    #[test]
    fn a_key_prints_as_stars_and_is_equal_only_when_every_bit_is() {
        assert_eq!(format!("{:?}", Some(CustomerKey::test(7))), "Some(***)");
        assert_eq!(CustomerKey::test(7), CustomerKey::test(7));
        assert_ne!(CustomerKey::test(7), CustomerKey::test(6));
    }
}
