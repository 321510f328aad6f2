//! What other nodes and caches ask first: an object's head with its bucket's facts, in one snapshot.

use s3s::{S3Error, s3_error};
use serde::{Deserialize, Serialize};

use super::RegionalStore;
use super::pages::{Page, inline_page};
use super::rows::Reads;
use crate::head::{Facts, Head};

/// What is known of an object and its bucket, from one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `None` if there is no such bucket.
    pub facts: Option<Facts>,
    /// `None` if there is no such object.
    pub head: Option<Head>,
    /// The object's bytes if they are few; verified.
    pub inline: Option<Page>,
}

impl RegionalStore {
    /// An object's head with its bucket's facts and, if they are few, its bytes, in one snapshot.
    ///
    /// # Errors
    /// `NotImplemented` for a version other than the null one; `InternalError` when the disk fails.
    pub async fn resolve(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Resolved, S3Error> {
        if version.is_some_and(|version| version != "null") {
            return Err(s3_error!(NotImplemented, "Versions are not kept."));
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |rows| {
            let facts = rows.bucket(&bucket)?.map(|bucket| bucket.facts);
            let head = rows.head(&bucket, &key)?;
            let inline = match &head {
                Some(head) => rows.inline(&head.instance)?.map(inline_page),
                None => None,
            };
            Ok(Resolved { facts, head, inline })
        })
        .await
    }

    /// The facts of a bucket; `None` if there is no such bucket.
    ///
    /// # Errors
    /// `InternalError` when the disk fails.
    pub async fn facts(&self, bucket: &str) -> Result<Option<Facts>, S3Error> {
        let bucket = bucket.to_owned();
        self.read(move |rows| Ok(rows.bucket(&bucket)?.map(|bucket| bucket.facts))).await
    }
}
