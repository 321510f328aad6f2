//! Sealing secrets with the cluster key, so that a copied data directory gives no one a signing secret, nor the key that a
//! store encrypts objects with.
//!
//! AES-256-GCM with a random nonce. Every sealed form names the key that made it and is bound to its context
//! (whose secret, which version): moved to another user's row it does not open. The key file holds one key a
//! line, `<id> <64 hex digits>`; the first seals, all of them open, which is how a key is rotated.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use origin::regional::{Sealing, Unsealed};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

const KEY_ID_BYTES: usize = 4;
const KEY_BYTES: usize = 32;

/// A secret that only holders of the cluster key can read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which cluster key made it.
    pub key_id: String,
    nonce: [u8; NONCE_LEN],
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(by {})", self.key_id)
    }
}

/// The keys of the cluster: the first seals, every one opens.
pub struct ClusterKeys {
    keys: Vec<(String, LessSafeKey)>,
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

/// Why the cluster key file cannot be used, or why a sealed secret does not open. Names keys, never their bytes.
#[derive(Debug, thiserror::Error)]
pub enum ClusterKeysError {
    /// The file cannot be read.
    #[error("read: {0}")]
    Io(#[from] io::Error),
    /// Others than its owner may read the file.
    #[error("mode is {0:o}: a key file must be readable by its owner alone (chmod 600)")]
    TooOpen(u32),
    /// The line is not `<8 hex digits> <64 hex digits>`.
    #[error("line {0} is not a key id of 8 hex digits and a key of 64")]
    Malformed(usize),
    /// There is no key in the file.
    #[error("no key in it")]
    Empty,
    /// Sealed with a key that is not in the file.
    #[error("sealed with cluster key {0}, which is not in the key file")]
    UnknownKey(String),
    /// The sealed form, or what it is bound to, was changed.
    #[error("what is sealed was altered or belongs to another")]
    Altered,
}

impl ClusterKeys {
    /// The text of a key file with one new random key.
    #[must_use]
    pub fn generate() -> String {
        let bytes = random::<{ KEY_ID_BYTES + KEY_BYTES }>();
        let (id, key) = bytes.split_at(KEY_ID_BYTES);
        format!("{} {}\n", hex::encode(id), hex::encode(key))
    }

    /// The keys in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is readable by others than its owner, or holds anything but keys.
    pub fn read(path: &Path) -> Result<Self, ClusterKeysError> {
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ClusterKeysError::TooOpen(mode));
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// The keys in a file that systemd handed over, whose folder only this service may enter: the file's own mode says
    /// nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or holds anything but keys.
    pub fn read_credential(path: &Path) -> Result<Self, ClusterKeysError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// The keys in the text of a key file; empty lines and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// `Malformed` with the line's number, or `Empty`.
    pub fn parse(text: &str) -> Result<Self, ClusterKeysError> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let keys = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| parse_key(line).ok_or(ClusterKeysError::Malformed(number)))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(ClusterKeysError::Empty);
        }
        Ok(Self { keys })
    }

    /// Whether `key_id` names the key that seals.
    #[must_use]
    pub fn is_newest(&self, key_id: &str) -> bool {
        self.keys[0].0 == key_id
    }

    /// `secret` sealed with the first key, bound to `context`.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    #[must_use]
    pub fn seal(&self, secret: &str, context: &[u8]) -> Sealed {
        self.seal_bytes(secret.as_bytes(), context)
    }

    /// The secret in `sealed`, which must have been sealed with this very `context`.
    ///
    /// # Errors
    /// `UnknownKey` or `Altered`.
    pub fn open(&self, sealed: &Sealed, context: &[u8]) -> Result<String, ClusterKeysError> {
        let secret = self.open_bytes(sealed, context)?;
        String::from_utf8(secret).map_err(|_| ClusterKeysError::Altered)
    }

    fn seal_bytes(&self, secret: &[u8], context: &[u8]) -> Sealed {
        let (key_id, key) = &self.keys[0];
        let nonce = random::<NONCE_LEN>();
        let mut ciphertext = secret.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut ciphertext,
        )
        .expect("AES-GCM seals anything shorter than 64 GiB");
        Sealed { key_id: key_id.clone(), nonce, ciphertext }
    }

    fn open_bytes(&self, sealed: &Sealed, context: &[u8]) -> Result<Vec<u8>, ClusterKeysError> {
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.key_id)
            .ok_or_else(|| ClusterKeysError::UnknownKey(sealed.key_id.clone()))?;
        let mut secret = sealed.ciphertext.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let plain = key
            .open_in_place(nonce, Aad::from(context), &mut secret)
            .map_err(|_| ClusterKeysError::Altered)?;
        let secret_bytes = plain.len();
        secret.truncate(secret_bytes);
        Ok(secret)
    }
}

/// For the key that the store of a region encrypts objects with.
impl Sealing for ClusterKeys {
    fn seal(&self, secret: &[u8], context: &[u8]) -> Vec<u8> {
        rmp_serde::to_vec_named(&self.seal_bytes(secret, context)).expect("strings and bytes encode")
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Unsealed, String> {
        let sealed: Sealed = rmp_serde::from_slice(sealed).map_err(|cause| format!("decode: {cause}"))?;
        let secret = self.open_bytes(&sealed, context).map_err(|cause| cause.to_string())?;
        Ok(Unsealed { secret, is_by_newest: self.is_newest(&sealed.key_id) })
    }
}

/// The id and the key in one line of a key file.
fn parse_key(line: &str) -> Option<(String, LessSafeKey)> {
    let (id, key) = line.split_once(' ')?;
    if id.len() != 2 * KEY_ID_BYTES || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    hex::decode_to_slice(key.trim(), &mut bytes).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
    Some((id.to_owned(), LessSafeKey::new(key)))
}

/// `N` bytes from the operating system's random source.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> ClusterKeys {
        ClusterKeys::parse(&ClusterKeys::generate()).expect("a generated file parses")
    }

    #[test]
    fn a_sealed_secret_opens_with_its_own_context() {
        let keys = keys();
        let sealed = keys.seal("s3cret", b"alice v1");
        assert_eq!(keys.open(&sealed, b"alice v1").expect("opens"), "s3cret");
    }

    #[test]
    fn a_sealed_secret_moved_to_another_user_does_not_open() {
        let keys = keys();
        let sealed = keys.seal("s3cret", b"alice v1");
        assert!(matches!(keys.open(&sealed, b"alice v2"), Err(ClusterKeysError::Altered)));
    }

    #[test]
    fn one_flipped_bit_does_not_open() {
        let keys = keys();
        let mut sealed = keys.seal("s3cret", b"alice v1");
        sealed.ciphertext[0] ^= 1;
        assert!(matches!(keys.open(&sealed, b"alice v1"), Err(ClusterKeysError::Altered)));
    }

    #[test]
    fn after_a_rotation_old_secrets_open_and_new_ones_use_the_new_key() {
        let (old, new) = (ClusterKeys::generate(), ClusterKeys::generate());
        let sealed = ClusterKeys::parse(&old).expect("old").seal("s3cret", b"alice");
        let both = ClusterKeys::parse(&format!("# newest first\n{new}\n{old}")).expect("both");
        assert_eq!(both.open(&sealed, b"alice").expect("opens"), "s3cret");
        assert_eq!(both.seal("s3cret", b"alice").key_id, new[..8]);
        let only_new = ClusterKeys::parse(&new).expect("new");
        assert!(matches!(only_new.open(&sealed, b"alice"), Err(ClusterKeysError::UnknownKey(_))));
    }

    /// What a store is given to seal its key with: bytes of any kind, and whether it is time to seal them anew.
    #[test]
    fn a_stores_key_is_sealed_anew_after_a_rotation() {
        let (old, new) = (ClusterKeys::generate(), ClusterKeys::generate());
        let key = [0xff; 32];
        let before = ClusterKeys::parse(&old).expect("old");
        let sealed = Sealing::seal(&before, &key, b"ord1");
        assert!(!sealed.windows(4).any(|window| window == [0xff; 4]));
        let opened = |keys: &ClusterKeys, context: &[u8]| {
            Sealing::open(keys, &sealed, context).map(|opened| (opened.secret, opened.is_by_newest))
        };
        assert_eq!(opened(&before, b"ord1"), Ok((key.to_vec(), true)));
        assert!(opened(&before, b"las1").is_err(), "another region's");
        let both = ClusterKeys::parse(&format!("{new}{old}")).expect("both");
        assert_eq!(opened(&both, b"ord1"), Ok((key.to_vec(), false)));
        let only_new = ClusterKeys::parse(&new).expect("new");
        let refused = opened(&only_new, b"ord1").expect_err("the old key has gone");
        assert!(refused.contains(&old[..8]), "{refused}");
        assert!(Sealing::open(&only_new, b"nothing", b"ord1").is_err());
    }

    #[test]
    fn the_same_secret_sealed_twice_differs() {
        let keys = keys();
        assert_ne!(keys.seal("s3cret", b"").ciphertext, keys.seal("s3cret", b"").ciphertext);
    }

    #[test]
    fn a_key_file_readable_by_others_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("cluster.key");
        std::fs::write(&path, ClusterKeys::generate()).expect("write key file");
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            assert_eq!(
                matches!(ClusterKeys::read(&path), Err(ClusterKeysError::TooOpen(_))),
                refused,
                "{mode:o}"
            );
        }
    }

    #[test]
    fn a_malformed_key_file_names_the_line() {
        let good = ClusterKeys::generate();
        for (text, line) in
            [("nonsense".to_owned(), 1), (format!("{good}12 34"), 2), (good[1..].to_owned(), 1)]
        {
            assert!(matches!(ClusterKeys::parse(&text), Err(ClusterKeysError::Malformed(n)) if n == line));
        }
        assert!(matches!(ClusterKeys::parse("# nothing\n"), Err(ClusterKeysError::Empty)));
    }
}
