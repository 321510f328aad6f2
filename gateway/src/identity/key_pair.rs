//! Key pairs: made here, or an operator's own.

use super::cluster_key::random;
use crate::sigv4::SecretKey;

/// Shortest and longest access key of one's own; IAM's are 20 letters and digits, and its limit is 128.
const ACCESS_KEY_BYTES: std::ops::RangeInclusive<usize> = 20..=128;

/// Shortest and longest secret key of one's own. 40 is what IAM makes.
const SECRET_KEY_BYTES: std::ops::RangeInclusive<usize> = 40..=128;

/// Letters that no tool has to escape. 32 of them: five bits of every random byte choose one evenly.
const ACCESS_KEY_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// 64 letters, six bits of every random byte; `-` and `_` need no escaping in URLs, shells or configuration files.
const SECRET_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a user signs with. Prints without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    access_key: String,
    secret: SecretKey,
}

/// Why a key pair of one's own is not taken. Never holds the secret.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyPairError {
    /// The access key is too short, too long, or not of letters and digits alone.
    #[error("an access key is {} to {} letters and digits", ACCESS_KEY_BYTES.start(), ACCESS_KEY_BYTES.end())]
    AccessKey,
    /// The secret key is too short, too long, or holds what a configuration file cannot.
    #[error(
        "a secret key is {} to {} visible ASCII characters without spaces",
        SECRET_KEY_BYTES.start(),
        SECRET_KEY_BYTES.end()
    )]
    SecretKey,
}

impl KeyPair {
    /// A new random pair: 20 and 40 characters, as IAM's are.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            access_key: format!("PK{}", random_text::<18>(ACCESS_KEY_LETTERS)),
            secret: SecretKey::new(random_text::<40>(SECRET_LETTERS)),
        }
    }

    /// A pair that somebody brought.
    ///
    /// # Errors
    /// [`KeyPairError`] when it is too weak or cannot be written down.
    pub fn own(access_key: &str, secret: SecretKey) -> Result<Self, KeyPairError> {
        if !ACCESS_KEY_BYTES.contains(&access_key.len())
            || !access_key.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err(KeyPairError::AccessKey);
        }
        let text = secret.expose();
        if !SECRET_KEY_BYTES.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(KeyPairError::SecretKey);
        }
        Ok(Self { access_key: access_key.to_owned(), secret })
    }

    /// A pair that is stored, and was checked when it was made.
    pub(super) fn stored(access_key: String, secret: SecretKey) -> Self {
        Self { access_key, secret }
    }

    /// The public half.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret half.
    #[must_use]
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// `N` random letters out of `letters`, whose number is a power of two, so that each is as likely as any other.
fn random_text<const N: usize>(letters: &[u8]) -> String {
    random::<N>().iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str = "AKIDEXAMPLEAKIDEXAMP";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn made_pairs_need_no_escaping_and_differ() {
        let (one, two) = (KeyPair::generate(), KeyPair::generate());
        assert_ne!(one, two);
        let again = KeyPair::own(one.access_key(), one.secret().clone());
        assert_eq!(again, Ok(one), "what is made here would be taken from outside");
    }

    #[test]
    fn own_access_keys_are_20_to_128_letters_and_digits() {
        let own = |access: &str| KeyPair::own(access, SecretKey::new(SECRET)).map(|_| ());
        assert_eq!(own(ACCESS), Ok(()));
        assert_eq!(own(&"a1".repeat(64)), Ok(()));
        for bad in ["", &ACCESS[1..], &"a".repeat(129), "AKIDEXAMPLEAKIDEXAM-", "AKIDEXAMPLEAKIDEXAMé"] {
            assert_eq!(own(bad), Err(KeyPairError::AccessKey), "{bad}");
        }
    }

    #[test]
    fn own_secret_keys_are_40_to_128_visible_characters() {
        let own = |secret: &str| KeyPair::own(ACCESS, SecretKey::new(secret)).map(|_| ());
        assert_eq!(own(SECRET), Ok(()));
        assert_eq!(own(&"+/".repeat(64)), Ok(()));
        for bad in ["", &SECRET[1..], &"x".repeat(129), &format!("{SECRET}\n"), &format!("{} ", &SECRET[1..])]
        {
            assert_eq!(own(bad), Err(KeyPairError::SecretKey), "{bad:?}");
        }
    }

    #[test]
    fn a_pair_prints_without_its_secret() {
        let pair = KeyPair::own(ACCESS, SecretKey::new(SECRET)).expect("good");
        assert!(!format!("{pair:?}").contains("FEMI"));
    }
}
