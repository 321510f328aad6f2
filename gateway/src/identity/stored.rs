//! A user as the home region's store keeps it and as it travels to other nodes: everything but the secret in
//! clear, the secret sealed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ClusterKeys, ClusterKeysError, Credential, Sealed, User};
use crate::sigv4::SecretKey;

/// A user with a sealed secret. Written as MessagePack with field names, so that later fields can have defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    /// Who it is.
    pub user: User,
    /// Rises with each new key pair of the user; the sealed form is bound to it.
    pub key_version: u32,
    /// The secret key.
    pub secret: Sealed,
}

/// Why a stored user cannot be used. For the log: a client sees `InternalError`.
#[derive(Debug, thiserror::Error)]
pub enum StoredUserError {
    /// Not a stored user, or one of a release that this one does not understand.
    #[error("decode user: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// The row of one access key was found under another.
    #[error("the user of another access key")]
    Misplaced,
    /// The secret does not open.
    #[error("open secret: {0}")]
    Secret(#[from] ClusterKeysError),
}

impl StoredUser {
    /// `user` with `secret` sealed by the first of `keys`.
    #[must_use]
    pub fn seal(user: User, key_version: u32, secret: &SecretKey, keys: &ClusterKeys) -> Self {
        let secret = keys.seal(secret.expose(), &context(&user, key_version));
        Self { user, key_version, secret }
    }

    /// The bytes that the store keeps.
    ///
    /// # Panics
    /// Never: a stored user holds nothing that MessagePack cannot write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("strings and integers encode")
    }

    /// The user in `bytes`, which were stored under `access_key`.
    ///
    /// # Errors
    /// `Decode`, or `Misplaced` when they are another key's.
    pub fn from_bytes(access_key: &str, bytes: &[u8]) -> Result<Self, StoredUserError> {
        let mut stored: Self = rmp_serde::from_slice(bytes)?;
        if stored.user.access_key != access_key {
            return Err(StoredUserError::Misplaced);
        }
        // Rows of the first release name the user alone.
        if stored.user.account.display_name.is_empty() {
            stored.user.account.display_name.clone_from(&stored.user.display_name);
        }
        Ok(stored)
    }

    /// The same, its secret sealed by the first of `keys`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reseal(self, keys: &ClusterKeys) -> Result<Self, StoredUserError> {
        let (user, key_version) = (self.user.clone(), self.key_version);
        Ok(Self::seal(user, key_version, &self.open(keys)?.secret, keys))
    }

    /// The user and the opened secret.
    ///
    /// # Errors
    /// `Secret` when the cluster key is missing or the row was altered.
    pub fn open(self, keys: &ClusterKeys) -> Result<Credential, StoredUserError> {
        let secret = keys.open(&self.secret, &context(&self.user, self.key_version))?;
        Ok(Credential { user: Arc::new(self.user), secret: SecretKey::new(secret) })
    }
}

/// What a secret is bound to: whoever can write rows cannot hand one user's secret to another, nor bring back
/// an older one, nor move it to another account. NUL separates, as no name holds one.
fn context(user: &User, key_version: u32) -> Vec<u8> {
    format!("penstock secret key\0{}\0{}\0{}\0{key_version}", user.account.name, user.name, user.access_key)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use origin::instance::Instance;

    use super::*;
    use crate::identity::{Access, BucketGrant, Level};
    use crate::test_user;

    fn alice() -> User {
        User {
            default_region: Some("las1".into()),
            grants: vec![BucketGrant {
                region: "ord1".into(),
                bucket: "photos".into(),
                incarnation: Instance::from_bytes([7; 16]),
                access: Access::Read,
            }],
            revision: Instance::from_bytes([9; 16]),
            ..test_user::alice()
        }
    }

    fn keys() -> ClusterKeys {
        ClusterKeys::parse(&ClusterKeys::generate()).expect("generated")
    }

    #[test]
    fn a_stored_user_comes_back_with_the_secret() {
        let keys = keys();
        let stored = StoredUser::seal(alice(), 1, &SecretKey::new("s3cret"), &keys);
        let bytes = stored.to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"));
        let back = StoredUser::from_bytes("PKALICE", &bytes).expect("decodes").open(&keys).expect("opens");
        assert_eq!((&*back.user, back.secret.expose()), (&alice(), "s3cret"));
    }

    /// As the first release wrote users: no field that came later.
    #[test]
    fn a_row_of_the_first_release_is_read() {
        #[derive(Serialize)]
        struct OldAccount {
            name: &'static str,
            canonical_id: String,
        }
        #[derive(Serialize)]
        struct OldUser {
            name: &'static str,
            account: OldAccount,
            display_name: &'static str,
            email: &'static str,
            level: &'static str,
            access_key: &'static str,
        }
        #[derive(Serialize)]
        struct OldStored {
            user: OldUser,
            key_version: u32,
            secret: Sealed,
        }
        let keys = keys();
        let secret = StoredUser::seal(alice(), 1, &SecretKey::new("s3cret"), &keys).secret;
        let account = OldAccount { name: "research", canonical_id: "ab".repeat(32) };
        let user = OldUser {
            name: "alice",
            account,
            display_name: "Alice",
            email: "",
            level: "full",
            access_key: "PKALICE",
        };
        let bytes =
            rmp_serde::to_vec_named(&OldStored { user, key_version: 1, secret }).expect("strings encode");
        let back = StoredUser::from_bytes("PKALICE", &bytes).expect("decodes").open(&keys).expect("opens");
        assert_eq!(back.secret.expose(), "s3cret");
        assert_eq!(back.user.account.display_name, "Alice");
        assert_eq!((back.user.level, back.user.is_disabled), (Level::Full, false));
        assert!(back.user.grants.is_empty() && back.user.default_region.is_none());
    }

    #[test]
    fn a_row_found_under_another_access_key_is_refused() {
        let bytes = StoredUser::seal(alice(), 1, &SecretKey::new("s3cret"), &keys()).to_bytes();
        assert!(matches!(StoredUser::from_bytes("PKMALLORY", &bytes), Err(StoredUserError::Misplaced)));
    }

    #[test]
    fn a_secret_is_bound_to_name_account_key_and_version() {
        let keys = keys();
        let stored = StoredUser::seal(alice(), 1, &SecretKey::new("s3cret"), &keys);
        let changes: [fn(&mut StoredUser); 4] = [
            |stored| stored.user.name = "mallory".into(),
            |stored| stored.user.account.name = "evil".into(),
            |stored| stored.user.access_key = "PKMALLORY".into(),
            |stored| stored.key_version = 2,
        ];
        for change in changes {
            let mut altered = stored.clone();
            change(&mut altered);
            assert!(matches!(altered.open(&keys), Err(StoredUserError::Secret(ClusterKeysError::Altered))));
        }
    }
}
