//! The one table: which actions each operation needs, what each is about, and how far a user's level must reach.
//!
//! Actions and what they stand for are those of the "Actions, resources, and condition keys for Amazon S3" reference
//! page and of each operation's own page. Levels are coarser, on purpose, and follow one rule: what tells what a
//! bucket holds or how it is set up is a read; what changes what it holds is a write; what lets others read what is
//! there takes both; what makes, removes or sets up a bucket takes `full`. Some actions are needed only when the request asks for more: see [`When`].

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use origin::head::Head;
use origin::permit::{On, Role};
use origin::policy::Action;

use super::decide;
use crate::identity::{Access, Level};
use crate::target::Operation;

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everybody: a browser's question about CORS, which never carries credentials and reveals only CORS rules.
    Open,
    /// Whoever may do all of this, as far as the request asks for it.
    Needs(&'static [Needed]),
    /// Nobody: it is of another service than S3's buckets and objects, and no policy here can speak of it.
    Closed,
}

/// One action that an operation needs, about one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// What the request wants to do.
    pub action: Action,
    /// The resource that the action is about, and so whose word counts.
    pub about: About,
    /// What the caller's level must allow.
    pub reach: Reach,
    /// Which requests for the operation need it.
    when: When,
}

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The caller's own account: the list of its buckets, a bucket that is not there yet.
    Service,
    /// The bucket that the request names.
    Bucket,
    /// The object that the request names.
    Object,
    /// The object that is copied or renamed.
    Source,
}

/// How far a level must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It tells what is there.
    Read,
    /// It changes objects.
    Write,
    /// It says who may read an object that is there. A user who only writes could read everything, would it take no more
    /// than writing: they would publish an object and then fetch it without their key.
    ReadWrite,
    /// It makes, removes or sets up a bucket.
    Full,
}

/// Which requests for an operation need an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Every one.
    Always,
    /// Those that name no version.
    NoVersion,
    /// Those that name a version, `null` too.
    Version,
    /// Those that give the new object or bucket an ACL: `x-amz-acl`, `x-amz-grant-…`.
    Acl,
    /// Those that give the new object tags: `x-amz-tagging`.
    Tagging,
    /// Those that give a copy tags: its own, or once they are known its source's. What a request that takes the source's
    /// says in `x-amz-tagging` is ignored, as S3 does.
    CopyTagging,
    /// Those that lock the new object for a time.
    Retention,
    /// Those that lock the new object until further notice.
    LegalHold,
    /// Those that want to get past a lock.
    BypassGovernance,
    /// Those that make a bucket with object lock.
    BucketObjectLock,
    /// Those that make a bucket with other ownership than the usual.
    Ownership,
    /// Those that take tags along from an object that has some.
    CopiedTags,
    /// The same from a version that they name.
    CopiedVersionTags,
    /// Those that go by the entity tag of what is there: whether they succeed tells what it is.
    ComparesETag,
    /// Deletes that go by that, or by its size or time.
    ComparesToDelete,
    /// Renames that go by that, or by the time of what they replace.
    ComparesToRename,
}

impl Reach {
    /// Whether a user of `level` may do such a thing anywhere at all.
    #[must_use]
    pub const fn is_within(self, level: Level) -> bool {
        match level {
            Level::Read => matches!(self, Self::Read),
            Level::Write => matches!(self, Self::Write),
            Level::ReadWrite => matches!(self, Self::Read | Self::Write | Self::ReadWrite),
            Level::Full => true,
        }
    }

    /// Whether a grant of `access` in a bucket covers such a thing there.
    #[must_use]
    pub const fn is_granted_by(self, access: Access) -> bool {
        match access {
            Access::Read => matches!(self, Self::Read),
            Access::Write => matches!(self, Self::Write),
            Access::ReadWrite => matches!(self, Self::Read | Self::Write | Self::ReadWrite),
        }
    }
}

impl When {
    const fn compares(self) -> bool {
        matches!(self, Self::ComparesETag | Self::ComparesToDelete | Self::ComparesToRename)
    }

    fn holds(self, headers: &HeaderMap, version: Option<&str>, head: Option<&Head>) -> bool {
        let replaces_tags =
            || headers.get("x-amz-tagging-directive").is_some_and(|directive| directive == "REPLACE");
        let copies_tags = || head.is_some_and(|head| !head.tags.is_empty()) && !replaces_tags();
        match self {
            Self::Always => true,
            Self::NoVersion => version.is_none(),
            Self::Version => version.is_some(),
            Self::Acl => has_any(headers, ACL_HEADERS),
            Self::Tagging => headers.contains_key("x-amz-tagging"),
            Self::CopyTagging => headers.contains_key("x-amz-tagging") && replaces_tags(),
            Self::Retention => {
                headers.contains_key("x-amz-object-lock-mode")
                    || headers.contains_key("x-amz-object-lock-retain-until-date")
            }
            Self::LegalHold => headers.contains_key("x-amz-object-lock-legal-hold"),
            Self::BypassGovernance => headers.contains_key("x-amz-bypass-governance-retention"),
            Self::BucketObjectLock => headers.contains_key("x-amz-bucket-object-lock-enabled"),
            Self::Ownership => headers.contains_key("x-amz-object-ownership"),
            Self::CopiedTags => version.is_none() && copies_tags(),
            Self::CopiedVersionTags => version.is_some() && copies_tags(),
            Self::ComparesETag => compares_etag(headers),
            Self::ComparesToDelete => compares_etag(headers) || has_any(headers, OF_DELETES),
            Self::ComparesToRename => compares_etag(headers) || has_any(headers, OF_RENAMES),
        }
    }
}

/// The headers that give what is made an ACL.
const ACL_HEADERS: [&str; 6] = [
    "x-amz-acl",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
];

/// What a delete may expect of an object beside its entity tag.
const OF_DELETES: [&str; 2] = ["x-amz-if-match-size", "x-amz-if-match-last-modified-time"];

/// What a rename may expect of the object that it replaces. Of other writes S3 ignores both.
const OF_RENAMES: [&str; 2] = ["if-modified-since", "if-unmodified-since"];

fn has_any<const COUNT: usize>(headers: &HeaderMap, names: [&str; COUNT]) -> bool {
    names.iter().any(|name| headers.contains_key(*name))
}

/// Whether the request holds the object against an entity tag, which only its readers know; `*` asks no more than whether
/// there is anything.
fn compares_etag(headers: &HeaderMap) -> bool {
    let conditions = [IF_MATCH, IF_NONE_MATCH];
    let mut values = conditions.iter().flat_map(|name| headers.get_all(name));
    values.any(|value| !matches!(value.as_bytes().trim_ascii(), b"" | b"*"))
}

impl Rule {
    /// The rule of `operation`.
    #[must_use]
    pub fn of(operation: Operation) -> Self {
        TABLE[operation as usize].1
    }

    /// Everything that any request of this kind may need.
    #[must_use]
    pub const fn all(self) -> &'static [Needed] {
        match self {
            Self::Needs(all) => all,
            Self::Open | Self::Closed => &[],
        }
    }

    /// Whether what a request with `headers` has in `role` may be given by the object itself: by its own list, or by a
    /// policy that asks for its tags.
    #[must_use]
    pub fn reads_object(self, role: Role, headers: &HeaderMap) -> bool {
        let is_asked = |needed: &Needed| !needed.when.compares() || needed.when.holds(headers, None, None);
        let mut needed = self.all().iter().filter(|needed| needed.is_in(role) && is_asked(needed));
        needed.any(|needed| decide::is_about_what_is_there(needed.action))
    }
}

impl Needed {
    /// What doing `action` takes, by itself, to what is there; `None` for an action that no operation needs.
    #[must_use]
    pub fn of(action: Action) -> Option<Self> {
        let rows = || TABLE.iter().flat_map(|(_, rule)| rule.all()).filter(|needed| needed.action == action);
        // What a bucket that is to be made needs comes after what is needed of one that is there.
        let of_what_is_there =
            rows().find(|needed| needed.about != About::Service && !needed.is_of_new_object());
        of_what_is_there.or_else(|| rows().next()).map(|needed| needed.when(When::Always))
    }

    /// Whether a request with `headers` needs it that names `version` of what this is about; `head` is what is there,
    /// as far as it is known.
    #[must_use]
    pub fn is_needed(&self, headers: &HeaderMap, version: Option<&str>, head: Option<&Head>) -> bool {
        self.when.holds(headers, version, head)
    }

    /// The same of what a request with `headers` does to `on`.
    #[must_use]
    pub fn is_needed_on(&self, headers: &HeaderMap, on: &On<'_>) -> bool {
        match (self.when, on.request_tags) {
            (When::CopyTagging, Some(tags)) => !tags.is_empty(),
            (When::ComparesToDelete, _) if on.compares_etag => true,
            _ => self.is_needed(headers, on.version, on.head),
        }
    }

    /// Whether it is about what the request has in `role`.
    #[must_use]
    pub const fn is_in(&self, role: Role) -> bool {
        match (self.about, role) {
            (About::Source, Role::Source)
            | (About::Service | About::Bucket | About::Object, Role::Target) => true,
            (About::Source, Role::Target)
            | (About::Service | About::Bucket | About::Object, Role::Source) => false,
        }
    }

    /// Whether it is about a property that a new object is given as it is made.
    #[must_use]
    pub const fn is_of_new_object(&self) -> bool {
        matches!(self.when, When::Acl | When::Tagging | When::CopyTagging | When::Retention | When::LegalHold)
    }

    const fn when(self, when: When) -> Self {
        Self { when, ..self }
    }
}

/// Listing a bucket: whoever may is told that an object is not there.
pub(super) const LIST_BUCKET: Needed = bucket(Action::ListBucket, Reach::Read);

const fn service(action: Action, reach: Reach) -> Needed {
    Needed { action, about: About::Service, reach, when: When::Always }
}

const fn bucket(action: Action, reach: Reach) -> Needed {
    Needed { action, about: About::Bucket, reach, when: When::Always }
}

const fn object(action: Action, reach: Reach) -> Needed {
    Needed { action, about: About::Object, reach, when: When::Always }
}

const fn source(action: Action, reach: Reach, when: When) -> Needed {
    Needed { action, about: About::Source, reach, when }
}

/// What every object that is made needs beside `s3:PutObject`. To give it a list is no more than a write: whoever makes
/// an object has its bytes already, and a copy's source takes reading by itself.
const ACL: Needed = object(Action::PutObjectAcl, Reach::Write).when(When::Acl);
const TAGS: Needed = object(Action::PutObjectTagging, Reach::Write).when(When::Tagging);
const RETENTION: Needed = object(Action::PutObjectRetention, Reach::Write).when(When::Retention);
const LEGAL_HOLD: Needed = object(Action::PutObjectLegalHold, Reach::Write).when(When::LegalHold);
const BYPASS: Needed = object(Action::BypassGovernanceRetention, Reach::Write).when(When::BypassGovernance);

/// Amazon S3 User Guide, "Enforce conditional writes" and "Enforce conditional deletes": to write or delete by an entity
/// tag takes reading the object as well.
const COMPARED: Needed = object(Action::GetObject, Reach::Read).when(When::ComparesETag);

const PUT_OBJECT: Needed = object(Action::PutObject, Reach::Write);
/// Of a PUT, and of the form that stands for one.
const PUTS_OBJECT: &[Needed] = &[PUT_OBJECT, ACL, TAGS, RETENTION, LEGAL_HOLD, COMPARED];
const GET_OBJECT: Needed = object(Action::GetObject, Reach::Read).when(When::NoVersion);
const GET_OBJECT_VERSION: Needed = object(Action::GetObjectVersion, Reach::Read).when(When::Version);
const GET_SOURCE: Needed = source(Action::GetObject, Reach::Read, When::NoVersion);
const GET_SOURCE_VERSION: Needed = source(Action::GetObjectVersion, Reach::Read, When::Version);

type Row = (Operation, Rule);

/// In the order of [`Operation::ALL`], each operation once: see the assertion below it.
const TABLE: [Row; Operation::ALL.len()] = {
    use Action as A;
    use Operation as Op;
    use Reach::{Full, Read, ReadWrite, Write};
    [
        (Op::AbortMultipartUpload, Rule::Needs(&[object(A::AbortMultipartUpload, Write)])),
        (Op::CompleteMultipartUpload, Rule::Needs(&[PUT_OBJECT, COMPARED])),
        (
            Op::CopyObject,
            Rule::Needs(&[
                PUT_OBJECT,
                ACL,
                TAGS.when(When::CopyTagging),
                RETENTION,
                LEGAL_HOLD,
                COMPARED,
                GET_SOURCE,
                GET_SOURCE_VERSION,
                source(A::GetObjectTagging, Read, When::CopiedTags),
                source(A::GetObjectVersionTagging, Read, When::CopiedVersionTags),
            ]),
        ),
        (
            Op::CreateBucket,
            Rule::Needs(&[
                service(A::CreateBucket, Full),
                service(A::PutBucketAcl, Full).when(When::Acl),
                service(A::PutBucketObjectLockConfiguration, Full).when(When::BucketObjectLock),
                service(A::PutBucketVersioning, Full).when(When::BucketObjectLock),
                service(A::PutBucketOwnershipControls, Full).when(When::Ownership),
            ]),
        ),
        (
            Op::CreateBucketMetadataTableConfiguration,
            Rule::Needs(&[bucket(A::CreateBucketMetadataTableConfiguration, Full)]),
        ),
        (Op::CreateMultipartUpload, Rule::Needs(&[PUT_OBJECT, ACL, TAGS, RETENTION, LEGAL_HOLD])),
        (Op::CreateSession, Rule::Closed),
        (Op::DeleteBucket, Rule::Needs(&[bucket(A::DeleteBucket, Full)])),
        (Op::DeleteBucketAnalyticsConfiguration, Rule::Needs(&[bucket(A::PutAnalyticsConfiguration, Full)])),
        (Op::DeleteBucketCors, Rule::Needs(&[bucket(A::PutBucketCors, Full)])),
        (Op::DeleteBucketEncryption, Rule::Needs(&[bucket(A::PutEncryptionConfiguration, Full)])),
        (
            Op::DeleteBucketIntelligentTieringConfiguration,
            Rule::Needs(&[bucket(A::PutIntelligentTieringConfiguration, Full)]),
        ),
        (Op::DeleteBucketInventoryConfiguration, Rule::Needs(&[bucket(A::PutInventoryConfiguration, Full)])),
        (Op::DeleteBucketLifecycle, Rule::Needs(&[bucket(A::PutLifecycleConfiguration, Full)])),
        (
            Op::DeleteBucketMetadataTableConfiguration,
            Rule::Needs(&[bucket(A::DeleteBucketMetadataTableConfiguration, Full)]),
        ),
        (Op::DeleteBucketMetricsConfiguration, Rule::Needs(&[bucket(A::PutMetricsConfiguration, Full)])),
        (Op::DeleteBucketOwnershipControls, Rule::Needs(&[bucket(A::PutBucketOwnershipControls, Full)])),
        (Op::DeleteBucketPolicy, Rule::Needs(&[bucket(A::DeleteBucketPolicy, Full)])),
        (Op::DeleteBucketReplication, Rule::Needs(&[bucket(A::PutReplicationConfiguration, Full)])),
        (Op::DeleteBucketTagging, Rule::Needs(&[bucket(A::PutBucketTagging, Full)])),
        (Op::DeleteBucketWebsite, Rule::Needs(&[bucket(A::DeleteBucketWebsite, Full)])),
        (
            Op::DeleteObject,
            Rule::Needs(&[
                object(A::DeleteObject, Write).when(When::NoVersion),
                object(A::DeleteObjectVersion, Write).when(When::Version),
                BYPASS,
                COMPARED.when(When::ComparesToDelete),
            ]),
        ),
        (
            Op::DeleteObjectTagging,
            Rule::Needs(&[
                object(A::DeleteObjectTagging, Write).when(When::NoVersion),
                object(A::DeleteObjectVersionTagging, Write).when(When::Version),
            ]),
        ),
        // Of each key in the request's body, one by one.
        (
            Op::DeleteObjects,
            Rule::Needs(&[
                object(A::DeleteObject, Write).when(When::NoVersion),
                object(A::DeleteObjectVersion, Write).when(When::Version),
                BYPASS,
                COMPARED.when(When::ComparesToDelete),
            ]),
        ),
        (Op::DeletePublicAccessBlock, Rule::Needs(&[bucket(A::PutBucketPublicAccessBlock, Full)])),
        (Op::GetBucketAccelerateConfiguration, Rule::Needs(&[bucket(A::GetAccelerateConfiguration, Read)])),
        (Op::GetBucketAcl, Rule::Needs(&[bucket(A::GetBucketAcl, Read)])),
        (Op::GetBucketAnalyticsConfiguration, Rule::Needs(&[bucket(A::GetAnalyticsConfiguration, Read)])),
        (Op::GetBucketCors, Rule::Needs(&[bucket(A::GetBucketCors, Read)])),
        (Op::GetBucketEncryption, Rule::Needs(&[bucket(A::GetEncryptionConfiguration, Read)])),
        (
            Op::GetBucketIntelligentTieringConfiguration,
            Rule::Needs(&[bucket(A::GetIntelligentTieringConfiguration, Read)]),
        ),
        (Op::GetBucketInventoryConfiguration, Rule::Needs(&[bucket(A::GetInventoryConfiguration, Read)])),
        (Op::GetBucketLifecycleConfiguration, Rule::Needs(&[bucket(A::GetLifecycleConfiguration, Read)])),
        (Op::GetBucketLocation, Rule::Needs(&[bucket(A::GetBucketLocation, Read)])),
        (Op::GetBucketLogging, Rule::Needs(&[bucket(A::GetBucketLogging, Read)])),
        (
            Op::GetBucketMetadataTableConfiguration,
            Rule::Needs(&[bucket(A::GetBucketMetadataTableConfiguration, Read)]),
        ),
        (Op::GetBucketMetricsConfiguration, Rule::Needs(&[bucket(A::GetMetricsConfiguration, Read)])),
        (Op::GetBucketNotificationConfiguration, Rule::Needs(&[bucket(A::GetBucketNotification, Read)])),
        (Op::GetBucketOwnershipControls, Rule::Needs(&[bucket(A::GetBucketOwnershipControls, Read)])),
        (Op::GetBucketPolicy, Rule::Needs(&[bucket(A::GetBucketPolicy, Read)])),
        (Op::GetBucketPolicyStatus, Rule::Needs(&[bucket(A::GetBucketPolicyStatus, Read)])),
        (Op::GetBucketReplication, Rule::Needs(&[bucket(A::GetReplicationConfiguration, Read)])),
        (Op::GetBucketRequestPayment, Rule::Needs(&[bucket(A::GetBucketRequestPayment, Read)])),
        (Op::GetBucketTagging, Rule::Needs(&[bucket(A::GetBucketTagging, Read)])),
        (Op::GetBucketVersioning, Rule::Needs(&[bucket(A::GetBucketVersioning, Read)])),
        (Op::GetBucketWebsite, Rule::Needs(&[bucket(A::GetBucketWebsite, Read)])),
        (Op::GetObject, Rule::Needs(&[GET_OBJECT, GET_OBJECT_VERSION])),
        (
            Op::GetObjectAcl,
            Rule::Needs(&[
                object(A::GetObjectAcl, Read).when(When::NoVersion),
                object(A::GetObjectVersionAcl, Read).when(When::Version),
            ]),
        ),
        (
            Op::GetObjectAttributes,
            Rule::Needs(&[
                GET_OBJECT,
                object(A::GetObjectAttributes, Read).when(When::NoVersion),
                GET_OBJECT_VERSION,
                object(A::GetObjectVersionAttributes, Read).when(When::Version),
            ]),
        ),
        (Op::GetObjectLegalHold, Rule::Needs(&[object(A::GetObjectLegalHold, Read)])),
        (Op::GetObjectLockConfiguration, Rule::Needs(&[bucket(A::GetBucketObjectLockConfiguration, Read)])),
        (Op::GetObjectRetention, Rule::Needs(&[object(A::GetObjectRetention, Read)])),
        (
            Op::GetObjectTagging,
            Rule::Needs(&[
                object(A::GetObjectTagging, Read).when(When::NoVersion),
                object(A::GetObjectVersionTagging, Read).when(When::Version),
            ]),
        ),
        (Op::GetObjectTorrent, Rule::Needs(&[object(A::GetObjectTorrent, Read)])),
        (Op::GetPublicAccessBlock, Rule::Needs(&[bucket(A::GetBucketPublicAccessBlock, Read)])),
        (Op::HeadBucket, Rule::Needs(&[LIST_BUCKET])),
        (Op::HeadObject, Rule::Needs(&[GET_OBJECT, GET_OBJECT_VERSION])),
        (Op::ListBucketAnalyticsConfigurations, Rule::Needs(&[bucket(A::GetAnalyticsConfiguration, Read)])),
        (
            Op::ListBucketIntelligentTieringConfigurations,
            Rule::Needs(&[bucket(A::GetIntelligentTieringConfiguration, Read)]),
        ),
        (Op::ListBucketInventoryConfigurations, Rule::Needs(&[bucket(A::GetInventoryConfiguration, Read)])),
        (Op::ListBucketMetricsConfigurations, Rule::Needs(&[bucket(A::GetMetricsConfiguration, Read)])),
        (Op::ListBuckets, Rule::Needs(&[service(A::ListAllMyBuckets, Read)])),
        (Op::ListDirectoryBuckets, Rule::Closed),
        (Op::ListMultipartUploads, Rule::Needs(&[bucket(Action::ListBucketMultipartUploads, Read)])),
        (Op::ListObjectVersions, Rule::Needs(&[bucket(Action::ListBucketVersions, Read)])),
        (Op::ListObjects, Rule::Needs(&[LIST_BUCKET])),
        (Op::ListObjectsV2, Rule::Needs(&[LIST_BUCKET])),
        (Op::ListParts, Rule::Needs(&[object(A::ListMultipartUploadParts, Read)])),
        (Op::PostObject, Rule::Needs(PUTS_OBJECT)),
        (Op::PreflightRequest, Rule::Open),
        (Op::PutBucketAccelerateConfiguration, Rule::Needs(&[bucket(A::PutAccelerateConfiguration, Full)])),
        (Op::PutBucketAcl, Rule::Needs(&[bucket(A::PutBucketAcl, Full)])),
        (Op::PutBucketAnalyticsConfiguration, Rule::Needs(&[bucket(A::PutAnalyticsConfiguration, Full)])),
        (Op::PutBucketCors, Rule::Needs(&[bucket(A::PutBucketCors, Full)])),
        (Op::PutBucketEncryption, Rule::Needs(&[bucket(A::PutEncryptionConfiguration, Full)])),
        (
            Op::PutBucketIntelligentTieringConfiguration,
            Rule::Needs(&[bucket(A::PutIntelligentTieringConfiguration, Full)]),
        ),
        (Op::PutBucketInventoryConfiguration, Rule::Needs(&[bucket(A::PutInventoryConfiguration, Full)])),
        (Op::PutBucketLifecycleConfiguration, Rule::Needs(&[bucket(A::PutLifecycleConfiguration, Full)])),
        (Op::PutBucketLogging, Rule::Needs(&[bucket(A::PutBucketLogging, Full)])),
        (Op::PutBucketMetricsConfiguration, Rule::Needs(&[bucket(A::PutMetricsConfiguration, Full)])),
        (Op::PutBucketNotificationConfiguration, Rule::Needs(&[bucket(A::PutBucketNotification, Full)])),
        (Op::PutBucketOwnershipControls, Rule::Needs(&[bucket(A::PutBucketOwnershipControls, Full)])),
        (Op::PutBucketPolicy, Rule::Needs(&[bucket(A::PutBucketPolicy, Full)])),
        (Op::PutBucketReplication, Rule::Needs(&[bucket(A::PutReplicationConfiguration, Full)])),
        (Op::PutBucketRequestPayment, Rule::Needs(&[bucket(A::PutBucketRequestPayment, Full)])),
        (Op::PutBucketTagging, Rule::Needs(&[bucket(A::PutBucketTagging, Full)])),
        (Op::PutBucketVersioning, Rule::Needs(&[bucket(A::PutBucketVersioning, Full)])),
        (Op::PutBucketWebsite, Rule::Needs(&[bucket(A::PutBucketWebsite, Full)])),
        (Op::PutObject, Rule::Needs(PUTS_OBJECT)),
        (
            Op::PutObjectAcl,
            Rule::Needs(&[
                object(A::PutObjectAcl, ReadWrite).when(When::NoVersion),
                object(A::PutObjectVersionAcl, ReadWrite).when(When::Version),
            ]),
        ),
        (Op::PutObjectLegalHold, Rule::Needs(&[object(A::PutObjectLegalHold, Write)])),
        (Op::PutObjectLockConfiguration, Rule::Needs(&[bucket(A::PutBucketObjectLockConfiguration, Full)])),
        (Op::PutObjectRetention, Rule::Needs(&[object(A::PutObjectRetention, Write), BYPASS])),
        (
            Op::PutObjectTagging,
            Rule::Needs(&[
                object(A::PutObjectTagging, Write).when(When::NoVersion),
                object(A::PutObjectVersionTagging, Write).when(When::Version),
            ]),
        ),
        (Op::PutPublicAccessBlock, Rule::Needs(&[bucket(A::PutBucketPublicAccessBlock, Full)])),
        // What is renamed is read, so that nobody moves it to where they may read it, and is gone from where it was.
        (
            Op::RenameObject,
            Rule::Needs(&[
                PUT_OBJECT,
                TAGS.when(When::CopyTagging),
                COMPARED.when(When::ComparesToRename),
                source(A::GetObject, Read, When::Always),
                source(A::DeleteObject, Write, When::Always),
                source(A::GetObjectTagging, Read, When::CopiedTags),
            ]),
        ),
        (Op::RestoreObject, Rule::Needs(&[object(A::RestoreObject, Write)])),
        (Op::SelectObjectContent, Rule::Needs(&[object(A::GetObject, Read)])),
        (Op::UploadPart, Rule::Needs(&[PUT_OBJECT])),
        (Op::UploadPartCopy, Rule::Needs(&[PUT_OBJECT, GET_SOURCE, GET_SOURCE_VERSION])),
        (Op::WriteGetObjectResponse, Rule::Closed),
    ]
};

const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].0 as usize == index, "the table is in the order of the operations");
        index += 1;
    }
};

#[cfg(test)]
mod tests;
