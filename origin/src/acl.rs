//! Access control lists: who owns a bucket or an object, and what its owner has given to whom.
//!
//! Pure: no store, no request. How a request spells a list is read where the operations are; which lists count
//! at all is a matter of the bucket ([`Facts::acl_gives`](crate::head::Facts::acl_gives)).

mod canned;
mod in_force;

use serde::{Deserialize, Serialize};

pub use canned::Canned;

/// S3's limit on the grants of one list (Amazon S3 User Guide, "Access control list (ACL) overview").
pub const GRANTS_MAX: usize = 100;

/// An account, as S3 shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The canonical id: 64 hex digits.
    pub id: String,
    /// What listings show beside it.
    pub display_name: String,
}

/// To whom something is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Grantee {
    /// One account.
    Canonical(Owner),
    /// Everybody, anonymous callers too.
    AllUsers,
    /// Everybody who has signed with a key of any account.
    AuthenticatedUsers,
    /// The service that writes access logs.
    LogDelivery,
}

impl Grantee {
    /// The groups, with the URIs that name them.
    const GROUPS: [(Self, &'static str); 3] = [
        (Self::AllUsers, "http://acs.amazonaws.com/groups/global/AllUsers"),
        (Self::AuthenticatedUsers, "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"),
        (Self::LogDelivery, "http://acs.amazonaws.com/groups/s3/LogDelivery"),
    ];

    /// The group that `uri` names.
    #[must_use]
    pub fn group(uri: &str) -> Option<Self> {
        Self::GROUPS.into_iter().find(|(_, named)| *named == uri).map(|(group, _)| group)
    }

    /// The URI of a group; `None` for an account.
    #[must_use]
    pub fn uri(&self) -> Option<&'static str> {
        Self::GROUPS.iter().find(|(group, _)| group == self).map(|(_, uri)| *uri)
    }

    /// Whether this is a group that strangers belong to: what S3 calls public.
    #[must_use]
    pub fn is_public(&self) -> bool {
        match self {
            Self::AllUsers | Self::AuthenticatedUsers => true,
            Self::Canonical(_) | Self::LogDelivery => false,
        }
    }

    /// Whether the account with the canonical id `asker` is meant; `None` is an anonymous caller.
    fn includes(&self, asker: Option<&str>) -> bool {
        match self {
            Self::Canonical(account) => asker == Some(account.id.as_str()),
            Self::AllUsers => true,
            Self::AuthenticatedUsers => asker.is_some(),
            Self::LogDelivery => false,
        }
    }
}

/// What is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// All of the others.
    FullControl,
    /// To list a bucket, to read an object.
    Read,
    /// To make, overwrite and delete objects of a bucket; nothing on an object.
    Write,
    /// To read the list itself.
    ReadAcp,
    /// To change the list itself.
    WriteAcp,
}

impl Permission {
    /// Every permission, with S3's spelling.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::FullControl, "FULL_CONTROL"),
        (Self::Read, "READ"),
        (Self::Write, "WRITE"),
        (Self::ReadAcp, "READ_ACP"),
        (Self::WriteAcp, "WRITE_ACP"),
    ];

    /// The permission that S3 spells so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, spelling)| *spelling == text).map(|(permission, _)| permission)
    }

    /// S3's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullControl => "FULL_CONTROL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
        }
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub permission: Permission,
}

/// An access control list: at most [`GRANTS_MAX`] grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// Whose bucket or object it is.
    pub owner: Owner,
    /// What is given, in the order it was said.
    pub grants: Vec<Grant>,
}

impl Acl {
    /// Everything to the owner, nothing to anybody else.
    #[must_use]
    pub fn private(owner: Owner) -> Self {
        let all = Grant { grantee: Grantee::Canonical(owner.clone()), permission: Permission::FullControl };
        Self { owner, grants: vec![all] }
    }

    /// Whether the account with the canonical id `asker` (`None`: an anonymous caller) has been given `wanted`. The
    /// owner may read and change the list whatever it says, so that nobody is locked out of their own.
    #[must_use]
    pub fn gives(&self, asker: Option<&str>, wanted: Permission) -> bool {
        self.gives_through(asker, wanted, |_| true)
    }

    /// The same, with the grants to strangers left out.
    #[must_use]
    pub fn gives_privately(&self, asker: Option<&str>, wanted: Permission) -> bool {
        self.gives_through(asker, wanted, |grant| !grant.grantee.is_public())
    }

    /// Whether anything is given to strangers.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    /// About as many bytes as the list takes, in memory or on the way.
    #[must_use]
    pub fn estimated_bytes(&self) -> usize {
        // A grantee's id and name.
        const GRANT: usize = 256;
        (1 + self.grants.len()) * GRANT
    }

    fn gives_through(
        &self,
        asker: Option<&str>,
        wanted: Permission,
        counts: impl Fn(&Grant) -> bool,
    ) -> bool {
        let owns = asker == Some(self.owner.id.as_str());
        let is_about_the_list = matches!(wanted, Permission::ReadAcp | Permission::WriteAcp);
        owns && is_about_the_list
            || self.grants.iter().any(|grant| {
                [wanted, Permission::FullControl].contains(&grant.permission)
                    && grant.grantee.includes(asker)
                    && counts(grant)
            })
    }
}

#[cfg(test)]
mod tests;
