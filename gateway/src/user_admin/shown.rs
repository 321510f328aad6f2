//! What is answered about users, as it travels. A secret is in one type that prints as stars.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::client_setup::ClientEndpoint;
use crate::identity::{Access, KeyPair, Level, Listed};
use crate::sigv4::SecretKey;

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// A user, as they are now.
    User(ShownUser),
    /// A user, as they were.
    Deleted(ShownUser),
    /// A user with secrets: made, rotated or revealed.
    UserWithKeys {
        /// Who it is.
        user: ShownUser,
        /// The key pairs, the newest first.
        key_pairs: Vec<ShownKeyPair>,
        /// Where the user's clients connect; `None` when the user's region has no node that says.
        endpoint: Option<ClientEndpoint>,
    },
    /// Users, by account and name.
    Users(Vec<ShownUser>),
    /// Secrets were sealed anew.
    Resealed {
        /// How many.
        secrets_count: usize,
    },
}

impl Done {
    /// As managers read it: the user with the newest key pair at the top, or the list of users, without a name around it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::User(user) | Self::Deleted(user) => json!(user),
            Self::UserWithKeys { user, key_pairs, endpoint } => {
                let mut value = json!(user);
                value["secret_key"] =
                    key_pairs.first().map_or("", |newest| newest.secret_key.expose()).into();
                value["key_pairs"] = json!(key_pairs);
                value["endpoint"] = json!(endpoint);
                value
            }
            Self::Users(users) => json!(users),
            Self::Resealed { secrets_count } => json!({ "resealed_secrets": secrets_count }),
        }
    }

    /// The same, to be told more of.
    pub(super) fn user_mut(&mut self) -> Option<&mut ShownUser> {
        match self {
            Self::User(user) | Self::Deleted(user) | Self::UserWithKeys { user, .. } => Some(user),
            Self::Users(_) | Self::Resealed { .. } => None,
        }
    }

    /// The user that the command was about.
    #[must_use]
    pub fn user(&self) -> Option<&ShownUser> {
        match self {
            Self::User(user) | Self::Deleted(user) | Self::UserWithKeys { user, .. } => Some(user),
            Self::Users(_) | Self::Resealed { .. } => None,
        }
    }
}

/// A user as managers see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownUser {
    /// The user's name.
    pub name: String,
    /// The account's name.
    pub account: String,
    /// The account's id, as S3 shows owners.
    pub canonical_id: String,
    /// The account's display name, as S3 shows owners.
    pub owner_display_name: String,
    /// The user's name for people.
    pub display_name: String,
    /// The user's e-mail address; empty where none was given.
    pub email: String,
    /// What the user may do at most.
    pub level: Level,
    /// The region whose endpoints the user is given; home's without.
    pub region: Option<String>,
    /// The user's keys are refused.
    pub is_disabled: bool,
    /// Buckets beside the account's.
    pub grants: Vec<ShownGrant>,
    /// The public half of the newest key pair.
    pub access_key: String,
    /// All access keys that are good, the newest first.
    pub access_keys: Vec<String>,
    /// Regions whose node may go on for a while with the user as it was before this change, because it was out of reach and
    /// is to serve those it knew (`on_home_loss = "serve-known"`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<String>,
}

/// A grant as managers see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownGrant {
    /// The region that owns the bucket.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What is granted.
    pub access: Access,
}

/// A key pair with its secret in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownKeyPair {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: Secret,
}

/// A secret on its way to or from whoever may see it. Prints as stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(SecretKey);

impl Secret {
    /// The secret `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretKey::new(text))
    }

    /// The secret itself. Every use of this is a place where it can leak.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The secret as what signatures are checked with.
    #[must_use]
    pub fn into_key(self) -> SecretKey {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl From<Listed> for ShownUser {
    fn from(Listed { user, access_keys }: Listed) -> Self {
        let grants = user.grants.into_iter();
        Self {
            name: user.name,
            account: user.account.name,
            canonical_id: user.account.canonical_id,
            owner_display_name: user.account.display_name,
            display_name: user.display_name,
            email: user.email,
            level: user.level,
            region: user.default_region,
            is_disabled: user.is_disabled,
            grants: grants
                .map(|grant| ShownGrant { region: grant.region, bucket: grant.bucket, access: grant.access })
                .collect(),
            access_key: user.access_key,
            access_keys,
            unreached: Vec::new(),
        }
    }
}

impl From<&KeyPair> for ShownKeyPair {
    fn from(pair: &KeyPair) -> Self {
        Self { access_key: pair.access_key().to_owned(), secret_key: Secret(pair.secret().clone()) }
    }
}
