//! Kinds of callers, and what each was given.

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Anonymous,
    /// A user of the bucket's account with this level.
    Owner(Level),
    /// A `full` user of the bucket's account whom the policy denies everything.
    DeniedOwner,
    /// A `full` user of another account, without and with a grant to read and write.
    Other,
    Granted,
    /// A user of another account whom the policy allows to read, list and put objects.
    Invited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Read,
    Write,
    ReadWrite,
    Full,
}

pub(super) const CALLERS: [(Who, &str, &str); 8] = [
    (Who::Owner(Level::Read), "reader", "read"),
    (Who::Owner(Level::Write), "writer", "write"),
    (Who::Owner(Level::ReadWrite), "both", "readwrite"),
    (Who::Owner(Level::Full), "full", "full"),
    (Who::DeniedOwner, "denied", "full"),
    (Who::Other, "other", "full"),
    (Who::Granted, "granted", "full"),
    (Who::Invited, "invited", "full"),
];

impl Who {
    pub(super) const fn account(self) -> &'static str {
        match self {
            Self::Owner(_) | Self::DeniedOwner => "owners",
            Self::Anonymous | Self::Other => "others",
            Self::Granted => "granted",
            Self::Invited => "invited",
        }
    }

    /// Whether `action` is allowed, by what each kind of caller was given above. What is made new is its maker's.
    pub(super) fn may(self, action: &str) -> bool {
        let is_account = matches!(action, "ListAllMyBuckets" | "CreateBucket");
        let is_of_policy = matches!(action, "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy");
        match self {
            Self::Anonymous => false,
            Self::Owner(level) => level.reaches(action),
            Self::DeniedOwner => is_account || is_of_policy,
            Self::Other => is_account,
            Self::Granted => is_account || GRANTED.contains(&action),
            Self::Invited => is_account || INVITED.contains(&action) || action == "PutObjectAcl of new",
        }
    }
}

const INVITED: [&str; 3] = ["GetObject", "ListBucket", "PutObject"];

const GRANTED: [&str; 19] = [
    "ListBucket",
    "ListBucketVersions",
    "ListBucketMultipartUploads",
    "GetBucketLocation",
    "GetObject",
    "GetObjectVersion",
    "GetObjectAttributes",
    "GetObjectTagging",
    "GetObjectVersionTagging",
    "ListMultipartUploadParts",
    "PutObject",
    "PutObjectAcl of new",
    "PutObjectTagging",
    "PutObjectVersionTagging",
    "DeleteObjectTagging",
    "DeleteObjectVersionTagging",
    "DeleteObject",
    "DeleteObjectVersion",
    "AbortMultipartUpload",
];

impl Level {
    fn reaches(self, action: &str) -> bool {
        let reads = action.starts_with("Get") || action.starts_with("List");
        let writes = !reads
            && (action.contains("Object") && !action.contains("Bucket") || action == "AbortMultipartUpload");
        match self {
            Self::Read => reads,
            // Whoever may give an object away must be able to read it.
            Self::Write => writes && !matches!(action, "PutObjectAcl" | "PutObjectVersionAcl"),
            Self::ReadWrite => reads || writes,
            Self::Full => true,
        }
    }
}
