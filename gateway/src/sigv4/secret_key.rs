//! A user's secret access key, which nobody prints by mistake.

use std::fmt;

use subtle::ConstantTimeEq;

/// A secret access key: shown as `***`, wiped from memory when dropped, compared in constant time.
#[derive(Clone)]
pub struct SecretKey(s3s::auth::SecretKey);

impl SecretKey {
    /// The secret key `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The secret itself. Every use of this is a place where it can leak.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The same secret as the type that s3s's `S3Auth` answers with.
    #[must_use]
    pub fn to_s3s(&self) -> s3s::auth::SecretKey {
        self.0.clone()
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_prints_as_stars() {
        let secret = SecretKey::new("wJalrXUtnFEMI");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "wJalrXUtnFEMI");
    }

    #[test]
    fn secret_keys_are_equal_only_when_every_byte_is() {
        assert_eq!(SecretKey::new("abc"), SecretKey::new("abc"));
        assert_ne!(SecretKey::new("abc"), SecretKey::new("abd"));
        assert_ne!(SecretKey::new("abc"), SecretKey::new("abcd"));
    }
}
