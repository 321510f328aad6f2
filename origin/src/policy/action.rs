//! The actions of S3: a closed set, spelled as policies spell them, and which of them a pattern names.

use std::fmt;

use super::Malformed;
use super::json::Json;
use super::pattern::Glob;
use super::steps::Steps;

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliesTo {
    /// The service as a whole; no bucket's policy is asked about it.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

// A macro, because each variant needs its spelling and its kind in the same row.
macro_rules! actions {
    ($($applies:ident { $($name:ident = $spelling:literal,)* })*) => {
        /// One action of S3 about a bucket or its objects.
        ///
        /// Every name of the "Actions, resources, and condition keys for Amazon S3" page (service authorization
        /// reference) that can stand in a bucket's policy is here, whether an operation of ours asks about it or not;
        /// and three that users of other services write.
        #[expect(missing_docs, reason = "each variant is documented by the S3 reference under its name")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($($name,)*)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$($(Self::$name,)*)*];

            /// As policies spell it, `s3:GetObject`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => concat!("s3:", $spelling),)*)*
                }
            }

            /// What it is done to.
            #[must_use]
            pub const fn applies_to(self) -> AppliesTo {
                match self {
                    $($(Self::$name => AppliesTo::$applies,)*)*
                }
            }
        }
    };
}

actions! {
    Service {
        ListAllMyBuckets = "ListAllMyBuckets",
    }
    Bucket {
        CreateBucket = "CreateBucket",
        CreateBucketMetadataTableConfiguration = "CreateBucketMetadataTableConfiguration",
        DeleteBucket = "DeleteBucket",
        DeleteBucketMetadataTableConfiguration = "DeleteBucketMetadataTableConfiguration",
        DeleteBucketPolicy = "DeleteBucketPolicy",
        DeleteBucketTagging = "DeleteBucketTagging",
        DeleteBucketWebsite = "DeleteBucketWebsite",
        DeleteLifecycleConfiguration = "DeleteLifecycleConfiguration",
        DeleteReplicationConfiguration = "DeleteReplicationConfiguration",
        GetAccelerateConfiguration = "GetAccelerateConfiguration",
        GetAnalyticsConfiguration = "GetAnalyticsConfiguration",
        GetBucketAcl = "GetBucketAcl",
        GetBucketCors = "GetBucketCORS",
        GetBucketLocation = "GetBucketLocation",
        GetBucketLogging = "GetBucketLogging",
        GetBucketMetadataTableConfiguration = "GetBucketMetadataTableConfiguration",
        GetBucketNotification = "GetBucketNotification",
        GetBucketObjectLockConfiguration = "GetBucketObjectLockConfiguration",
        GetBucketOwnershipControls = "GetBucketOwnershipControls",
        GetBucketPolicy = "GetBucketPolicy",
        GetBucketPolicyStatus = "GetBucketPolicyStatus",
        GetBucketPublicAccessBlock = "GetBucketPublicAccessBlock",
        GetBucketRequestPayment = "GetBucketRequestPayment",
        GetBucketTagging = "GetBucketTagging",
        GetBucketVersioning = "GetBucketVersioning",
        GetBucketWebsite = "GetBucketWebsite",
        GetEncryptionConfiguration = "GetEncryptionConfiguration",
        GetIntelligentTieringConfiguration = "GetIntelligentTieringConfiguration",
        GetInventoryConfiguration = "GetInventoryConfiguration",
        GetLifecycleConfiguration = "GetLifecycleConfiguration",
        GetMetricsConfiguration = "GetMetricsConfiguration",
        GetReplicationConfiguration = "GetReplicationConfiguration",
        ListBucket = "ListBucket",
        ListBucketMultipartUploads = "ListBucketMultipartUploads",
        ListBucketVersions = "ListBucketVersions",
        PutAccelerateConfiguration = "PutAccelerateConfiguration",
        PutAnalyticsConfiguration = "PutAnalyticsConfiguration",
        PutBucketAcl = "PutBucketAcl",
        PutBucketCors = "PutBucketCORS",
        PutBucketLogging = "PutBucketLogging",
        PutBucketNotification = "PutBucketNotification",
        PutBucketObjectLockConfiguration = "PutBucketObjectLockConfiguration",
        PutBucketOwnershipControls = "PutBucketOwnershipControls",
        PutBucketPolicy = "PutBucketPolicy",
        PutBucketPublicAccessBlock = "PutBucketPublicAccessBlock",
        PutBucketRequestPayment = "PutBucketRequestPayment",
        PutBucketTagging = "PutBucketTagging",
        PutBucketVersioning = "PutBucketVersioning",
        PutBucketWebsite = "PutBucketWebsite",
        PutEncryptionConfiguration = "PutEncryptionConfiguration",
        PutIntelligentTieringConfiguration = "PutIntelligentTieringConfiguration",
        PutInventoryConfiguration = "PutInventoryConfiguration",
        PutLifecycleConfiguration = "PutLifecycleConfiguration",
        PutMetricsConfiguration = "PutMetricsConfiguration",
        PutReplicationConfiguration = "PutReplicationConfiguration",
    }
    Object {
        AbortMultipartUpload = "AbortMultipartUpload",
        BypassGovernanceRetention = "BypassGovernanceRetention",
        DeleteObject = "DeleteObject",
        DeleteObjectTagging = "DeleteObjectTagging",
        DeleteObjectVersion = "DeleteObjectVersion",
        DeleteObjectVersionTagging = "DeleteObjectVersionTagging",
        GetObject = "GetObject",
        GetObjectAcl = "GetObjectAcl",
        GetObjectAttributes = "GetObjectAttributes",
        GetObjectLegalHold = "GetObjectLegalHold",
        GetObjectRetention = "GetObjectRetention",
        GetObjectTagging = "GetObjectTagging",
        GetObjectTorrent = "GetObjectTorrent",
        GetObjectVersion = "GetObjectVersion",
        GetObjectVersionAcl = "GetObjectVersionAcl",
        GetObjectVersionAttributes = "GetObjectVersionAttributes",
        GetObjectVersionForReplication = "GetObjectVersionForReplication",
        GetObjectVersionTagging = "GetObjectVersionTagging",
        GetObjectVersionTorrent = "GetObjectVersionTorrent",
        InitiateReplication = "InitiateReplication",
        ListMultipartUploadParts = "ListMultipartUploadParts",
        ObjectOwnerOverrideToBucketOwner = "ObjectOwnerOverrideToBucketOwner",
        PutObject = "PutObject",
        PutObjectAcl = "PutObjectAcl",
        PutObjectLegalHold = "PutObjectLegalHold",
        PutObjectRetention = "PutObjectRetention",
        PutObjectTagging = "PutObjectTagging",
        PutObjectVersionAcl = "PutObjectVersionAcl",
        PutObjectVersionTagging = "PutObjectVersionTagging",
        ReplicateDelete = "ReplicateDelete",
        ReplicateObject = "ReplicateObject",
        ReplicateTags = "ReplicateTags",
        RestoreObject = "RestoreObject",
    }
}

impl Action {
    /// The action that `text` spells, `s3:` and all, in any case.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of the actions: one bit each, so that deciding costs the same for a name as for a wildcard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ActionSet(u128);

const _: () = assert!(Action::ALL.len() <= 128, "an action is a bit of a u128");

impl ActionSet {
    /// Those of `Action` or, `is_negated`, of `NotAction`: all but the named.
    ///
    /// # Errors
    /// For a name or wildcard that no action has.
    pub(super) fn parse(value: &Json, is_negated: bool) -> Result<Self, Malformed> {
        let named = Self::named(value)?.iter().fold(Self::default(), |all, one| Self(all.0 | one.0));
        Ok(if is_negated { Self::of(|action| !named.has(action)) } else { named })
    }

    /// What each entry of `Action` or `NotAction` names.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse).
    pub(super) fn named(value: &Json) -> Result<Vec<Self>, Malformed> {
        let invalid = |why| Malformed::new("Policy has invalid action", why);
        let sets = value.each(|value| {
            let text = value.text()?;
            let set = match Action::named(text) {
                Some(action) => Self::of(|other| other == action),
                None => Self::matching(&text.to_ascii_lowercase()),
            };
            match set.is_empty() {
                true => Err(invalid(format!("no action of S3 is called {text:?}"))),
                false => Ok(set),
            }
        })?;
        match sets.is_empty() {
            true => Err(invalid("it names none".to_owned())),
            false => Ok(sets),
        }
    }

    pub(super) fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.has(*action))
    }

    /// Those that a pattern in lower case names: `*`, or `s3:` and a name with wildcards.
    fn matching(pattern: &str) -> Self {
        let is_any = pattern == "*" || pattern == "s3:*";
        if is_any || !pattern.starts_with("s3:") {
            return Self::of(|_| is_any);
        }
        let glob = Glob::with_wildcards(pattern);
        let steps = Steps::unlimited();
        Self::of(|action| glob.matches(&action.as_str().to_ascii_lowercase(), &steps))
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn of(belongs: impl Fn(Action) -> bool) -> Self {
        Self(
            Action::ALL
                .iter()
                .filter(|action| belongs(**action))
                .fold(0, |set, action| set | 1 << *action as u32),
        )
    }
}
