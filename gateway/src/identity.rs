//! Who is asking: users, their accounts and levels, and finding a user by access key.
//!
//! Users are written in the home region and nowhere else; their secrets are sealed at rest and on the way to
//! other nodes, and opened where a signature is checked. A lookup is never answered from memory here: a user
//! that home has deleted is unknown to the very next request everywhere.

mod accounts;
mod cluster_key;
mod key_pair;
mod lookup;
mod stored;
mod users;

pub use accounts::{Accounts, AccountsFromHome};
pub use cluster_key::{ClusterKeys, ClusterKeysError, Sealed};
pub use key_pair::{KeyPair, KeyPairError};
pub use lookup::{AtHome, FromHome};
pub use stored::{StoredUser, StoredUserError};
pub use users::{GRANTS_MAX, Listed, NewUser, OldKeys, UserName, Users, UsersError};

use std::sync::Arc;

use async_trait::async_trait;
use origin::instance::Instance;
use origin::regional::UserRow;
use s3s::S3Result;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::sigv4::SecretKey;

/// The owner of users and buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account's name, which buckets carry as their owner.
    pub name: String,
    /// 64 hex digits, as S3 shows an owner in listings and ACLs.
    pub canonical_id: String,
    /// The name beside it there: the display name of the account's first user.
    #[serde(default)]
    pub display_name: String,
}

/// The most a user may do, whatever a policy grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Reading objects and listing them.
    Read,
    /// Writing and deleting objects.
    Write,
    /// Both.
    ReadWrite,
    /// That, creating and deleting buckets, and their policies and configurations.
    Full,
}

impl Level {
    /// As operators say it, and as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "readwrite",
            Self::Full => "full",
        }
    }
}

/// What a grant gives in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Reading objects and listing them.
    Read,
    /// Writing and deleting objects.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// As operators say it, and as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "readwrite",
        }
    }
}

/// What one user may do in one bucket, beside what policy and ACL say, and never above the user's level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketGrant {
    /// The region that owns the bucket.
    pub region: String,
    /// The bucket's name.
    pub bucket: String,
    /// Which bucket of that name: one that is made later does not inherit the grant.
    pub incarnation: Instance,
    /// What is granted.
    pub access: Access,
}

/// One user: a key pair of an account with a level. The secret is not in here: see [`Credential`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Unique within the account.
    pub name: String,
    /// The account whose buckets this user may reach.
    pub account: Account,
    /// The user's name for people.
    pub display_name: String,
    /// Empty where none was given.
    #[serde(default)]
    pub email: String,
    /// The ceiling on what this user may do.
    pub level: Level,
    /// The public half of the key pair that was used, or is meant: a user has two during a rotation.
    pub access_key: String,
    /// The region whose endpoints the user is given.
    #[serde(default)]
    pub default_region: Option<String>,
    /// Its keys are kept and refused.
    #[serde(default)]
    pub is_disabled: bool,
    /// Buckets that the user may reach beside those of the account.
    #[serde(default)]
    pub grants: Vec<BucketGrant>,
    /// Another one after each change: what was taken and given back is not as if it had never been taken.
    #[serde(default = "never_changed")]
    pub revision: Instance,
}

/// What users of the first release have, until they are changed.
fn never_changed() -> Instance {
    Instance::from_bytes([0; 16])
}

/// A user and the secret that proves a request is theirs.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Who the access key belongs to.
    pub user: Arc<User>,
    /// Checks signatures; never logged, never sent.
    pub secret: SecretKey,
}

/// Finds users by access key, as home knows them at the moment of asking.
#[async_trait]
pub trait Identities: Send + Sync {
    /// The user of `access_key` and their secret, or `None` where home knows no such key or it is refused. It is `client`
    /// who names the key.
    ///
    /// # Errors
    /// `ServiceUnavailable` when home cannot be asked: an identity that cannot be confirmed is not believed.
    /// `InternalError` when the stored user cannot be opened.
    async fn find(&self, access_key: &str, client: Client) -> S3Result<Option<Credential>>;

    /// The user in `row`, which home answered with, and their opened secret; `None` for a disabled user. Asks nobody.
    ///
    /// # Errors
    /// `InternalError` when the row does not open: our fault, never to be taken for an unknown key.
    fn open(&self, row: &UserRow) -> S3Result<Option<Credential>>;
}
