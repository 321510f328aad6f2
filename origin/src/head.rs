//! What is known of an object and of its bucket without reading a byte of its body.
//!
//! These are the values that `resolve` carries to other nodes and that the store keeps in its rows, so every
//! field that is not essential has a default: rows and peers of an earlier release stay readable.

use std::collections::BTreeMap;

use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::acl::{Acl, Owner};
use crate::cors::Cors;
use crate::encryption::Encryption;
use crate::instance::Instance;
use crate::lifecycle::Lifecycle;
use crate::policy::StoredPolicy;
use crate::tags::Tags;
use crate::version_id::NULL;

/// Bytes in a page: the unit that carries a CRC32C, on disk, on the peer channel and in caches.
pub const PAGE_BYTES: u64 = 64 * 1024;

/// Everything but the bytes of one object version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The name of the exact bytes.
    pub instance: Instance,
    /// Random, new at every change of anything in this head; equal revisions mean equal heads.
    pub revision: Instance,
    /// The object's size in bytes.
    pub bytes: u64,
    /// Without quotes: MD5 in hex, or MD5-of-MD5s and `-N` for a multipart object of N parts. Where the bytes
    /// are under a key that the client keeps, what stands in place of an MD5 tells nothing of them.
    pub etag: String,
    /// Milliseconds since 1970; HTTP shows whole seconds.
    pub modified_millis: u64,
    /// `None` for the null version.
    #[serde(default)]
    pub version_id: Option<String>,
    /// The object's own response headers, as S3 returns them.
    #[serde(default)]
    pub headers: StoredHeaders,
    /// User metadata: names without `x-amz-meta-`, lower case.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Checksums given or computed at upload.
    #[serde(default)]
    pub checksums: Checksums,
    /// The parts of a multipart object in order; empty for an object put whole.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// How the bytes are encrypted, with a key that the client keeps (SSE-C) or the store (SSE-S3); `None`: they are as they
    /// came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The account that wrote it; `None`: the bucket's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// `None`: private of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
    /// The object's tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

impl Head {
    /// An empty object of nothing but its names.
    #[must_use]
    pub fn new(instance: Instance, revision: Instance) -> Self {
        Self {
            instance,
            revision,
            bytes: 0,
            etag: String::new(),
            modified_millis: 0,
            version_id: None,
            headers: StoredHeaders::default(),
            metadata: BTreeMap::new(),
            checksums: Checksums::default(),
            parts: Vec::new(),
            encryption: None,
            owner: None,
            acl: None,
            tags: Tags::new(),
        }
    }

    /// About as many bytes as the head takes, in memory or on the way; what can be large is counted.
    #[must_use]
    pub fn estimated_bytes(&self) -> usize {
        const FIXED: usize = 512;
        const PART: usize = 256;
        let pairs = self.metadata.iter().chain(&self.tags);
        let texts: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
        FIXED + texts + self.parts.len() * PART + self.acl.as_ref().map_or(0, Acl::estimated_bytes)
    }
}

/// A version that says that its object was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMarker {
    /// `None` for the null version.
    #[serde(default)]
    pub version_id: Option<String>,
    /// Milliseconds since 1970.
    pub modified_millis: u64,
    /// The account that deleted; `None`: the bucket's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// The headers that S3 keeps with an object and sends back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredHeaders {
    /// `Cache-Control`. Goes to clients; changes nothing in our own caches.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Type`; S3 answers `binary/octet-stream` where none was given.
    pub content_type: Option<String>,
    /// `Expires`, as it was sent.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    pub website_redirect_location: Option<String>,
    /// `x-amz-storage-class`; `None` is STANDARD, which S3 does not send.
    pub storage_class: Option<String>,
}

/// Base64 checksums of an object or a part, as S3 spells them (composite ones end in `-N`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checksums {
    /// `x-amz-checksum-crc32`.
    pub crc32: Option<String>,
    /// `x-amz-checksum-crc32c`.
    pub crc32c: Option<String>,
    /// `x-amz-checksum-crc64nvme`.
    pub crc64nvme: Option<String>,
    /// `x-amz-checksum-sha1`.
    pub sha1: Option<String>,
    /// `x-amz-checksum-sha256`.
    pub sha256: Option<String>,
    /// Whether the values cover the whole object or are made of the parts' values.
    pub kind: Option<ChecksumKind>,
}

/// `x-amz-checksum-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// `FULL_OBJECT`: of all bytes in order.
    FullObject,
    /// `COMPOSITE`: of the parts' checksums.
    Composite,
}

impl ChecksumKind {
    /// S3's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// One part of a multipart object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// 1 to 10,000, rising; gaps are allowed.
    pub number: u32,
    /// The part's size in bytes.
    pub bytes: u64,
    /// The part's own checksums.
    #[serde(default)]
    pub checksums: Checksums,
    /// Of an encrypted object's part: what its bytes were staged as when they were sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_as: Option<Instance>,
}

/// What deciding about a request needs to know of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Random, new at every creation of a bucket: a bucket made again under an old name is another one.
    pub incarnation: Instance,
    /// Random, new at every change of these facts.
    pub revision: Instance,
    /// The account that made the bucket.
    pub owner: String,
    /// The canonical id of that account.
    #[serde(default)]
    pub owner_id: String,
    /// What listings show of that account.
    #[serde(default)]
    pub owner_display: String,
    /// `None`: private of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
    /// `None`: never set, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<StoredPolicy>,
    /// `None`: never set, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_block: Option<PublicAccessBlock>,
    /// `None`: never set, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ownership: Option<ObjectOwnership>,
    /// Whether the bucket keeps versions.
    #[serde(default)]
    pub versioning: Versioning,
    /// Which pages of other sites may use it; `None`: never set, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What becomes of its objects with time; `None`: never set, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// How objects are encrypted whose requests do not say so; `None`: never set, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_encryption: Option<DefaultEncryption>,
    /// What encryption new objects may not have; `None`: never said, or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_encryption: Option<BlockedEncryption>,
}

/// Encryption under the store's key (SSE-S3), for objects whose requests do not say how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultEncryption {
    /// As it was set, to be shown. S3 as well makes nothing of it where there is no key of KMS.
    pub bucket_key_enabled: bool,
}

/// What a bucket says of encryption that its new objects may not have (S3 API reference, BlockedEncryptionTypes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockedEncryption {
    /// That they may have any. It is shown as it was set.
    Nothing,
    /// Not under keys that clients bring (SSE-C).
    CustomerKeys,
}

/// Whether a bucket keeps versions of its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It never did: every object is its null version, and answers name none.
    #[default]
    Never,
    /// Each write and delete makes a version with an id.
    Enabled,
    /// It did: those versions stay, and each write and delete makes the null version.
    Suspended,
}

/// How far lists and policies may give anything to strangers (Amazon S3 User Guide, "Blocking public access").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublicAccessBlock {
    /// Lists that give to strangers are refused.
    pub block_public_acls: bool,
    /// What lists give to strangers does not count.
    pub ignore_public_acls: bool,
    /// Policies that give to strangers are refused.
    pub block_public_policy: bool,
    /// While the policy gives to strangers, it gives to nobody outside the owner's account.
    pub restrict_public_buckets: bool,
}

/// Whose the objects of a bucket are, and whether lists count in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectOwnership {
    /// All are the bucket owner's; there are no lists.
    BucketOwnerEnforced,
    /// Those written with the list `bucket-owner-full-control` are the bucket owner's.
    BucketOwnerPreferred,
    /// Whoever writes an object owns it.
    ObjectWriter,
}

impl ObjectOwnership {
    /// S3's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// The ownership that S3 spells so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::BucketOwnerEnforced, Self::BucketOwnerPreferred, Self::ObjectWriter];
        all.into_iter().find(|ownership| ownership.as_str() == text)
    }
}

impl Facts {
    /// A bucket that nothing has been said about but whose it is.
    #[must_use]
    pub fn new(incarnation: Instance, revision: Instance, account: impl Into<String>, owner: Owner) -> Self {
        Self {
            incarnation,
            revision,
            owner: account.into(),
            owner_id: owner.id,
            owner_display: owner.display_name,
            acl: None,
            policy: None,
            public_access_block: None,
            ownership: None,
            versioning: Versioning::Never,
            cors: None,
            lifecycle: None,
            default_encryption: None,
            blocked_encryption: None,
        }
    }

    /// What answers call the version of `version_id` (`None`: the null version); nothing where the bucket never kept any.
    #[must_use]
    pub fn shown_version<'v>(&self, version_id: Option<&'v str>) -> Option<&'v str> {
        match self.versioning {
            Versioning::Never => None,
            Versioning::Enabled | Versioning::Suspended => Some(version_id.unwrap_or(NULL)),
        }
    }

    /// About as many bytes as the facts take, in memory or on the way; what can be large is counted.
    #[must_use]
    pub fn estimated_bytes(&self) -> usize {
        const FIXED: usize = 512;
        // Parsed it takes several times its text.
        let policy = self.policy.as_ref().map_or(0, |stored| 5 * stored.text().len());
        let cors = self.cors.as_ref().map_or(0, Cors::estimated_bytes);
        let lifecycle = self.lifecycle.as_ref().map_or(0, Lifecycle::estimated_bytes);
        FIXED + policy + cors + lifecycle + self.acl.as_ref().map_or(0, Acl::estimated_bytes)
    }

    /// The account that made the bucket, as lists and listings show it. In rows of an earlier release that is its name.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let shown = |text: &str| if text.is_empty() { self.owner.clone() } else { text.to_owned() };
        Owner { id: shown(&self.owner_id), display_name: shown(&self.owner_display) }
    }

    /// What is blocked; nothing where nothing was set.
    #[must_use]
    pub fn blocks(&self) -> PublicAccessBlock {
        self.public_access_block.unwrap_or_default()
    }

    /// Refuses a new object, or what will be one, that is encrypted so, where that is blocked.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn verify_takes(&self, encryption: Option<&Encryption>) -> S3Result<()> {
        match encryption {
            Some(encryption) if encryption.is_by_client() => self.verify_takes_customer_keys(),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what is to be under a key that its client brings, where such are blocked.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn verify_takes_customer_keys(&self) -> S3Result<()> {
        match self.blocked_encryption {
            Some(BlockedEncryption::CustomerKeys) => Err(s3_error!(
                AccessDenied,
                "The bucket blocks uploads that are encrypted with keys of customers (SSE-C)."
            )),
            Some(BlockedEncryption::Nothing) | None => Ok(()),
        }
    }

    /// Whether what the policy gives is for the owner's account alone, because it gives to strangers.
    #[must_use]
    pub fn policy_is_restricted(&self) -> bool {
        self.blocks().restrict_public_buckets && self.policy.as_ref().is_some_and(StoredPolicy::is_public)
    }

    /// Whose objects are; their writers' where nothing was set. See ops/decisions on what a new bucket is.
    #[must_use]
    pub fn object_ownership(&self) -> ObjectOwnership {
        self.ownership.unwrap_or(ObjectOwnership::ObjectWriter)
    }

    /// Holds the bucket against `x-amz-expected-bucket-owner`.
    ///
    /// # Errors
    /// `AccessDenied` when the client named another account than the bucket's owner.
    pub fn verify_owner(&self, expected: Option<&str>) -> S3Result<()> {
        match expected {
            Some(account) if account != self.owner => Err(s3_error!(AccessDenied, "Access Denied")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{GRANTS_MAX, Grant, Grantee, Permission};

    /// Batches of answers and caches are bounded by the estimates.
    #[test]
    fn nothing_takes_more_on_the_way_than_was_estimated() {
        let id = Instance::from_bytes([7; 16]);
        let account = Owner { id: "ab".repeat(32), display_name: "somebody".repeat(8) };
        let grantee = Grantee::Canonical(account.clone());
        let grant = Grant { grantee, permission: Permission::FullControl };
        let acl = Some(Acl { owner: account.clone(), grants: vec![grant; GRANTS_MAX] });
        let statement = r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}"#;
        let statements = vec![statement; 200].join(",");
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let policy = Some(StoredPolicy::new(&text, "b").expect("understood"));
        let facts = Facts { acl: acl.clone(), policy, ..Facts::new(id, id, "somebody", account) };
        let tags = (0..10).map(|tag| (format!("{tag:0128}"), "v".repeat(256))).collect();
        let head = Head { acl, tags, ..Head::new(id, id) };
        for (estimated, value) in [
            (facts.estimated_bytes(), rmp_serde::to_vec_named(&facts)),
            (head.estimated_bytes(), rmp_serde::to_vec_named(&head)),
        ] {
            let bytes = value.expect("plain data").len();
            assert!(bytes <= estimated && estimated <= 10 * bytes, "{bytes} {estimated}");
        }
    }
}
