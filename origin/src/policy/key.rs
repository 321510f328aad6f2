//! The condition keys that are understood: what a policy may ask of a request.

use std::borrow::Cow;

use super::action::{Action, AppliesTo};

/// Keys by the name that AWS documents; names are compared without case.
const KEYS: [&str; 25] = [
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:PrincipalType",
    "aws:Referer",
    "aws:SecureTransport",
    "aws:SourceIp",
    "aws:UserAgent",
    "aws:userid",
    "aws:username",
    "s3:RequestObjectTagKeys",
    "s3:VersionId",
    "s3:delimiter",
    "s3:max-keys",
    "s3:prefix",
    "s3:x-amz-acl",
    "s3:x-amz-copy-source",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp",
    "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
];

/// The tags of the object that is there; a tag's key follows.
const EXISTING_OBJECT_TAG: &str = "s3:ExistingObjectTag/";

/// The tags that the request brings; a tag's key follows.
const REQUEST_OBJECT_TAG: &str = "s3:RequestObjectTag/";

/// Longest key of a tag, in characters: S3's own limit.
const TAG_KEY_CHARS_MAX: usize = 128;

/// The name of something that a policy asks of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Cow<'static, str>);

impl Key {
    /// The key that a policy calls `text`; `None` for one that is not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let known = KEYS.into_iter().find(|name| name.eq_ignore_ascii_case(text));
        known.map(|name| Self(Cow::Borrowed(name))).or_else(|| {
            let (family, tag_key) = text.split_at_checked(text.find('/')? + 1)?;
            let family = [EXISTING_OBJECT_TAG, REQUEST_OBJECT_TAG]
                .into_iter()
                .find(|name| name.eq_ignore_ascii_case(family))?;
            let is_tag_key = (1..=TAG_KEY_CHARS_MAX).contains(&tag_key.chars().count());
            is_tag_key.then(|| Self(Cow::Owned(format!("{family}{tag_key}"))))
        })
    }

    /// As AWS documents it; a tag's key as the policy wrote it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request for `action` can have it: the "Actions, resources, and condition keys for Amazon S3" page, and
    /// "Tagging and access control policies" for what tags of an object have no say in. What every request has, or may
    /// have, is of all of them.
    pub(super) fn is_of(&self, action: Action) -> bool {
        use Action as A;
        let gives_list =
            matches!(action, A::CreateBucket | A::PutBucketAcl | A::PutObjectAcl | A::PutObjectVersionAcl);
        // What gets past a lock is asked about whatever then happens to the object.
        let puts = matches!(action, A::PutObject | A::BypassGovernanceRetention | A::ReplicateObject);
        let is_about_object = action.applies_to() == AppliesTo::Object;
        match self.as_str() {
            "s3:prefix" | "s3:delimiter" | "s3:max-keys" => {
                matches!(action, A::ListBucket | A::ListBucketVersions)
            }
            "s3:VersionId" => action.as_str().contains("Version") && is_about_object,
            "s3:x-amz-copy-source"
            | "s3:x-amz-metadata-directive"
            | "s3:x-amz-server-side-encryption"
            | "s3:x-amz-server-side-encryption-aws-kms-key-id" => puts,
            "s3:x-amz-server-side-encryption-customer-algorithm" => is_about_object,
            "s3:RequestObjectTagKeys" => puts || is_about_object && action.as_str().contains("Tag"),
            key if key.starts_with("s3:x-amz-grant-") || key == "s3:x-amz-acl" => gives_list || puts,
            key if key.starts_with(REQUEST_OBJECT_TAG) => {
                puts || is_about_object && action.as_str().contains("Tag")
            }
            key if key.starts_with(EXISTING_OBJECT_TAG) => {
                is_about_object && !matches!(action, A::PutObject | A::DeleteObject | A::DeleteObjectVersion)
            }
            _ => true,
        }
    }

    /// Whether a request may have several values of it: such a key is no variable.
    pub(super) fn is_multivalued(&self) -> bool {
        self.0 == "s3:RequestObjectTagKeys"
    }

    /// Whether it asks about the object that is there, before anything is done to it.
    pub(super) fn is_of_existing_tags(&self) -> bool {
        self.0.starts_with(EXISTING_OBJECT_TAG)
    }
}
