//! S3's canned lists: whole lists by one word.

use super::{Acl, Grant, Grantee, Owner, Permission};

/// A canned list (Amazon S3 User Guide, "Canned ACL"). `aws-exec-read` is not among them: it gives to a service of
/// another company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Canned {
    /// `private`
    Private,
    /// `public-read`
    PublicRead,
    /// `public-read-write`
    PublicReadWrite,
    /// `authenticated-read`
    AuthenticatedRead,
    /// `bucket-owner-read`: of an object; on a bucket it is `private`.
    BucketOwnerRead,
    /// `bucket-owner-full-control`: of an object; on a bucket it is `private`.
    BucketOwnerFullControl,
    /// `log-delivery-write`: of a bucket.
    LogDeliveryWrite,
}

impl Canned {
    /// Every canned list, with S3's spelling.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Private, "private"),
        (Self::PublicRead, "public-read"),
        (Self::PublicReadWrite, "public-read-write"),
        (Self::AuthenticatedRead, "authenticated-read"),
        (Self::BucketOwnerRead, "bucket-owner-read"),
        (Self::BucketOwnerFullControl, "bucket-owner-full-control"),
        (Self::LogDeliveryWrite, "log-delivery-write"),
    ];

    /// The canned list that S3 spells so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, spelling)| *spelling == text).map(|(canned, _)| canned)
    }

    /// The list of something of `owner` that is, or lies in, a bucket of `bucket_owner`.
    #[must_use]
    pub fn acl(self, owner: Owner, bucket_owner: &Owner) -> Acl {
        let given: Vec<(Grantee, Permission)> = match self {
            Self::Private => vec![],
            Self::PublicRead => vec![(Grantee::AllUsers, Permission::Read)],
            Self::PublicReadWrite => {
                vec![(Grantee::AllUsers, Permission::Read), (Grantee::AllUsers, Permission::Write)]
            }
            Self::AuthenticatedRead => vec![(Grantee::AuthenticatedUsers, Permission::Read)],
            // Who owns both has full control already.
            Self::BucketOwnerRead | Self::BucketOwnerFullControl if owner.id == bucket_owner.id => vec![],
            Self::BucketOwnerRead => vec![(Grantee::Canonical(bucket_owner.clone()), Permission::Read)],
            Self::BucketOwnerFullControl => {
                vec![(Grantee::Canonical(bucket_owner.clone()), Permission::FullControl)]
            }
            Self::LogDeliveryWrite => {
                vec![(Grantee::LogDelivery, Permission::Write), (Grantee::LogDelivery, Permission::ReadAcp)]
            }
        };
        let mut acl = Acl::private(owner);
        acl.grants.extend(given.into_iter().map(|(grantee, permission)| Grant { grantee, permission }));
        acl
    }
}
