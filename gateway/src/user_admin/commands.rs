//! What can be asked about users, as it travels: JSON over the operators' socket and the admin listener.

use serde::{Deserialize, Serialize};

use super::{Secret, WantedBucket, WantedGrant};
use crate::identity::{KeyPair, KeyPairError, Level, OldKeys, UserName};

/// A command about users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum UserCommand {
    /// Make a user.
    Create(Box<WantedUser>),
    /// List all users, or those of one account.
    List {
        /// The account.
        #[serde(default)]
        account: Option<String>,
    },
    /// Show one user.
    Show {
        /// Which.
        user: UserName,
        /// With the secrets.
        reveal: bool,
    },
    /// Give a user a new key pair.
    Rotate {
        /// Which.
        user: UserName,
        /// What becomes of the old pair.
        old_keys: OldKeys,
        /// The new pair, where somebody has one already.
        #[serde(default)]
        own: Option<OwnKeys>,
    },
    /// Drop the old key pair of a rotation.
    FinishRotation {
        /// Which user's.
        user: UserName,
    },
    /// Refuse a user's keys, and keep them.
    Disable {
        /// Which.
        user: UserName,
    },
    /// Take a disabled user's keys again.
    Enable {
        /// Which.
        user: UserName,
    },
    /// Change a user's level and grants.
    SetAccess {
        /// Which.
        user: UserName,
        /// The new level; the old one stays without.
        #[serde(default)]
        level: Option<Level>,
        /// Grants to add, over those of the same buckets.
        #[serde(default)]
        grant: Vec<WantedGrant>,
        /// Buckets whose grants go.
        #[serde(default)]
        revoke: Vec<WantedBucket>,
    },
    /// Remove a user.
    Delete {
        /// Which.
        user: UserName,
    },
    /// Seal all secrets with the newest cluster key.
    Reseal,
}

/// A user to be made, as whoever wants one says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedUser {
    /// The user's name.
    pub name: String,
    /// The account; a tenant's own where it is left out.
    #[serde(default)]
    pub account: Option<String>,
    /// The most the user may do.
    pub level: Level,
    /// A key pair that the user has already.
    #[serde(default)]
    pub keys: Option<OwnKeys>,
    /// The user's name for people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Where ACLs may find the user's account; operators alone say it.
    #[serde(default)]
    pub email: Option<String>,
    /// The region whose endpoints the user is given; home's where it is left out.
    #[serde(default)]
    pub region: Option<String>,
    /// Buckets beside the account's.
    #[serde(default)]
    pub grant: Vec<WantedGrant>,
}

/// A key pair that somebody brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnKeys {
    /// The public half: at least 20 letters and digits.
    pub access_key: String,
    /// The secret half: at least 40 characters.
    pub secret_key: Secret,
}

impl OwnKeys {
    /// The pair, if it is one.
    ///
    /// # Errors
    /// [`KeyPairError`].
    pub fn check(self) -> Result<KeyPair, KeyPairError> {
        KeyPair::own(&self.access_key, self.secret_key.into_key())
    }
}

impl UserCommand {
    /// What the audit line calls this command; nothing for one that shows no secret and changes nothing.
    #[must_use]
    pub fn action(&self) -> Option<&'static str> {
        Some(match self {
            Self::Create(_) => "create",
            Self::List { .. } | Self::Show { reveal: false, .. } => return None,
            Self::Show { reveal: true, .. } => "reveal",
            Self::Rotate { old_keys: OldKeys::Drop, .. } => "rotate",
            Self::Rotate { old_keys: OldKeys::Keep, .. } => "rotate_keep_old",
            Self::FinishRotation { .. } => "finish_rotation",
            Self::Disable { .. } => "disable",
            Self::Enable { .. } => "enable",
            Self::SetAccess { .. } => "set_access",
            Self::Delete { .. } => "delete",
            Self::Reseal => "reseal",
        })
    }

    /// What the audit line says beside the user: the access that is given or taken.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        let listed = |grants: &[WantedGrant]| grants.iter().map(ToString::to_string).collect::<Vec<_>>();
        match self {
            Self::Create(wanted) => Some(format!("{:?} {}", wanted.level, listed(&wanted.grant).join(" "))),
            Self::SetAccess { level, grant, revoke, .. } => {
                let revoked = revoke.iter().map(|bucket| format!("-{bucket}")).collect::<Vec<_>>();
                Some(format!("{level:?} {} {}", listed(grant).join(" "), revoked.join(" ")))
            }
            _ => None,
        }
    }
}
