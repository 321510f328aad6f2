//! Permission, decided again where an operation happens.
//!
//! Whoever lets a request in decides on facts that it read before. Between then and the operation's own snapshot or
//! transaction a bucket may have gone and come back as somebody else's, a policy changed, an object been replaced. So
//! the request carries its decision along, and every operation asks it once more about what it really touches.

use std::sync::Arc;

use async_trait::async_trait;
use http::Extensions;
use s3s::{S3Error, S3Result, s3_error};

use crate::head::{Facts, Head};

/// One request's permission.
///
/// The gateway puts an `Arc<dyn Permit>` among the request's extensions; an operation that finds none answers
/// `AccessDenied`.
#[async_trait]
pub trait Permit: Send + Sync {
    /// Decides whether the request may do to `on` what it does to things in `role`.
    ///
    /// # Errors
    /// `AccessDenied`.
    fn decide(&self, role: Role, on: &On<'_>) -> S3Result<()>;

    /// What the caller is told of an object that is not there: `NoSuchKey` if they may list the bucket, otherwise
    /// `AccessDenied`, so that what may not be read cannot be told from what is missing.
    fn missing(&self, role: Role, on: &On<'_>) -> S3Error;

    /// Whether the caller may also read the tags of the object in `on`, and so be told how many there are.
    fn shows_tags(&self, on: &On<'_>) -> bool;

    /// Looks once more at who asks, and says whether they are who they were when last looked at. What is decided from here
    /// on is decided about the user as they are now.
    ///
    /// Between the announcement of a change and its commit: a body may take hours and an announcement a lease, and whoever was
    /// let in at the first byte may have been deleted since. And after the snapshot that a read stands on was opened: a user and what is there belong to
    /// one instant only if the user was the same before it and after it.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` where the key is good no longer; `ServiceUnavailable` where that cannot be found out.
    async fn confirm_caller(&self) -> S3Result<bool>;
}

/// What a bucket or object is to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What the operation is about.
    Target,
    /// What is copied or renamed.
    Source,
}

/// What is decided about, as one snapshot or transaction has it.
#[derive(Clone, Copy, Debug)]
pub struct On<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The bucket.
    pub facts: &'a Facts,
    /// The object's key, of an operation on one.
    pub key: Option<&'a str>,
    /// The version that the request names.
    pub version: Option<&'a str>,
    /// The object as it is, if it is there.
    pub head: Option<&'a Head>,
    /// The tags that the object would get from the request's body, or as a copy from whichever of its source and its
    /// request they are of; `None` where that says nothing or is not known yet. Those of the header `x-amz-tagging` are
    /// for whoever decides to read.
    pub request_tags: Option<&'a [(String, String)]>,
    /// The canonical id of the account that began the upload that the request names, if there is such an upload and it
    /// was somebody's.
    pub initiator: Option<&'a str>,
    /// The method by which the upload that the request names is encrypted with the store's key, as
    /// `x-amz-server-side-encryption` has it: that was chosen when the upload began, for all of its parts.
    pub upload_encryption: Option<&'static str>,
    /// The request's body compares the object's entity tag with one that it names, and so tells what it is. What its
    /// headers compare is for whoever decides to read.
    pub compares_etag: bool,
}

impl<'a> On<'a> {
    /// The bucket as a whole.
    #[must_use]
    pub const fn bucket(bucket: &'a str, facts: &'a Facts) -> Self {
        Self {
            bucket,
            facts,
            key: None,
            version: None,
            head: None,
            request_tags: None,
            initiator: None,
            upload_encryption: None,
            compares_etag: false,
        }
    }

    /// An object in the bucket; `head` is `None` where there is none.
    #[must_use]
    pub const fn object(self, key: &'a str, version: Option<&'a str>, head: Option<&'a Head>) -> Self {
        Self { key: Some(key), version, head, ..self }
    }
}

/// The permit of the request that has these extensions.
///
/// # Errors
/// `AccessDenied` when nobody has decided about it.
pub fn permit_of(extensions: &Extensions) -> S3Result<Arc<dyn Permit>> {
    let permit = extensions.get::<Arc<dyn Permit>>();
    permit.cloned().ok_or_else(|| s3_error!(AccessDenied, "Access Denied"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_nobody_decided_about_is_refused() {
        let refused = permit_of(&Extensions::new()).err().expect("no permit");
        assert_eq!(refused.code(), &s3s::S3ErrorCode::AccessDenied);
    }
}
