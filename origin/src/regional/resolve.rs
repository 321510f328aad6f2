//! What other nodes and caches ask first: an object's head with its bucket's facts, in one snapshot.

use s3s::S3Error;
use serde::{Deserialize, Serialize};

use super::RegionalStore;
use super::pages::{Page, inline_page};
use super::rows::Reads;
use super::versions::{Parts, ReadVersions, Version};
use crate::head::{DeleteMarker, Facts, Head};
use crate::version_id::NamedVersion;

/// What is known of an object and its bucket, from one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `None` if there is no such bucket.
    pub facts: Option<Facts>,
    /// `None` if there is no such object.
    pub head: Option<Head>,
    /// The delete marker that is there instead.
    #[serde(default)]
    pub marker: Option<DeleteMarker>,
    /// The object's bytes if they are few; verified.
    pub inline: Option<Page>,
}

impl RegionalStore {
    /// The head of an object's newest version, or of the one that is named, with its bucket's facts and, if they are few,
    /// its bytes, in one snapshot. There is no version of a name that is none.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn resolve(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Resolved, S3Error> {
        self.resolve_with(Parts::All, bucket, key, version).await
    }

    /// The same with these parts of the object.
    ///
    /// # Errors
    /// As [`RegionalStore::resolve`].
    pub(super) async fn resolve_with(
        &self,
        parts: Parts,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Resolved, S3Error> {
        let version = version.map(NamedVersion::parse);
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read_few(move |rows| {
            let facts = rows.bucket(&bucket)?.map(|bucket| bucket.facts);
            let find = |named: Option<&NamedVersion>| rows.version(&bucket, &key, named, parts);
            let found = match version {
                None => find(None)?,
                Some(Ok(named)) => find(Some(&named))?,
                Some(Err(_)) => None,
            };
            let (head, marker) = Version::split(found);
            let inline = match &head {
                // Nobody but the owner opens what is encrypted.
                Some(head) if head.encryption.is_none() => rows.inline(&head.instance)?.map(inline_page),
                Some(_) | None => None,
            };
            Ok(Resolved { facts, head, marker, inline })
        })
        .await
    }

    /// The facts of a bucket; `None` if there is no such bucket.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn facts(&self, bucket: &str) -> Result<Option<Facts>, S3Error> {
        let bucket = bucket.to_owned();
        self.read_few(move |rows| Ok(rows.bucket(&bucket)?.map(|bucket| bucket.facts))).await
    }
}
