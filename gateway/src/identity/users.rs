//! Making and listing users, at home.

use std::sync::Arc;

use origin::regional::{RegionalStore, UserRow};
use ring::digest::{SHA256, digest};
use s3s::S3Error;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::cluster_key::random;
use super::{Account, ClusterKeys, Level, StoredUser, StoredUserError, User};
use crate::sigv4::SecretKey;

/// Longest name of a user or an account: IAM's own limit on user names.
const NAME_BYTES_MAX: usize = 64;

/// Letters that no tool has to escape. 32 of them: five bits of every random byte choose one evenly.
const ACCESS_KEY_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// 64 letters, six bits of every random byte; `-` and `_` need no escaping in URLs, shells or configuration files.
const SECRET_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Who is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Unique within the account: 1 to 64 of the characters that IAM allows.
    pub name: String,
    /// The account, which exists by having users.
    pub account: String,
}

/// Why a user was not made, or users cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A name that IAM would refuse too.
    #[error("{0:?} is not a name: 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 + = , . @ _ -")]
    Name(String),
    /// The account has a user of this name.
    #[error("account {account} has a user {name} already")]
    Exists {
        /// The account.
        account: String,
        /// The user.
        name: String,
    },
    /// The store could not read or write.
    #[error("store: {}", .0.message().unwrap_or(.0.code().as_str()))]
    Store(S3Error),
    /// A stored user cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredUserError),
}

/// The table of users, in the home region's store.
#[derive(Clone)]
pub struct Users {
    store: RegionalStore,
    keys: Arc<ClusterKeys>,
    /// One at a time, so that two of one name cannot both find it free.
    making: Arc<Mutex<()>>,
}

impl Users {
    /// The users in `store`, the home region's, with secrets sealed by `keys`.
    #[must_use]
    pub fn new(store: RegionalStore, keys: Arc<ClusterKeys>) -> Self {
        Self { store, keys, making: Arc::default() }
    }

    /// Makes a `full` user with a new key pair. The secret is shown here and never again.
    ///
    /// # Errors
    /// [`UsersError`].
    pub async fn create(&self, new: NewUser) -> Result<(User, SecretKey), UsersError> {
        for name in [&new.name, &new.account] {
            if !is_name(name) {
                return Err(UsersError::Name(name.clone()));
            }
        }
        let _one_at_a_time = self.making.lock().await;
        let users = self.list().await?;
        if users.iter().any(|user| user.name == new.name && user.account.name == new.account) {
            return Err(UsersError::Exists { account: new.account, name: new.name });
        }
        let account = Account {
            canonical_id: canonical_id(&new.account),
            display_name: new.name.clone(),
            name: new.account,
        };
        let user = User {
            display_name: new.name.clone(),
            name: new.name,
            account,
            email: String::new(),
            level: Level::Full,
            access_key: format!("PK{}", random_text::<18>(ACCESS_KEY_LETTERS)),
            default_region: None,
            is_disabled: false,
            grants: Vec::new(),
        };
        let secret = SecretKey::new(random_text::<40>(SECRET_LETTERS));
        let stored = StoredUser::seal(user.clone(), 1, &secret, &self.keys);
        let row = UserRow { access_key: user.access_key.clone(), value: stored.to_bytes() };
        self.store.put_user(row).await.map_err(UsersError::Store)?;
        Ok((user, secret))
    }

    /// Every user, by account and name.
    ///
    /// # Errors
    /// `Store` or `Stored`.
    pub async fn list(&self) -> Result<Vec<User>, UsersError> {
        let rows = self.store.users().await.map_err(UsersError::Store)?;
        let mut users = rows
            .iter()
            .map(|row| StoredUser::from_bytes(&row.access_key, &row.value).map(|stored| stored.user))
            .collect::<Result<Vec<_>, _>>()?;
        users.sort_by(|a, b| (&a.account.name, &a.name).cmp(&(&b.account.name, &b.name)));
        Ok(users)
    }
}

/// The characters that IAM allows in a user's name (IAM API reference, CreateUser).
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
}

/// The same account always has the same id, on every node and after a restore: 64 hex digits, as S3's are.
fn canonical_id(account: &str) -> String {
    hex::encode(digest(&SHA256, format!("penstock account\0{account}").as_bytes()))
}

/// `N` random letters out of `letters`, whose number is a power of two, so that each is as likely as any other.
fn random_text<const N: usize>(letters: &[u8]) -> String {
    random::<N>().iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_iam_allows() {
        for good in ["a", "Alice.B+c=d,e@f_g-h", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "a\0", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn canonical_ids_are_stable_and_differ_by_account() {
        let research = canonical_id("research");
        assert_eq!(research, canonical_id("research"));
        assert_ne!(research, canonical_id("Research"));
        assert!(research.len() == 64 && research.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn key_pairs_need_no_escaping() {
        let key = random_text::<18>(ACCESS_KEY_LETTERS);
        assert!(key.len() == 18 && key.bytes().all(|b| ACCESS_KEY_LETTERS.contains(&b)));
        assert_ne!(random_text::<40>(SECRET_LETTERS), random_text::<40>(SECRET_LETTERS));
    }
}
