//! What a request names, and whether it is there and the caller's, as one snapshot or transaction sees it.

use http::Extensions;
use s3s::{S3Error, S3Result, s3_error};

use super::rows::{Bucket, Reads, UploadRow};
use crate::caller::Caller;
use crate::head::Facts;

/// A bucket as a request names it, and who asks.
#[derive(Clone, Debug)]
pub(super) struct AskedBucket {
    pub(super) name: String,
    pub(super) caller: Caller,
    expected_owner: Option<String>,
}

/// An unfinished upload as a request names it.
#[derive(Clone, Debug)]
pub(super) struct AskedUpload {
    pub(super) bucket: AskedBucket,
    pub(super) key: String,
    pub(super) upload_id: String,
}

impl AskedBucket {
    /// The bucket `name`, asked for by the request that has these extensions.
    ///
    /// # Errors
    /// `AccessDenied` when nobody has been authenticated.
    pub(super) fn of(
        extensions: &Extensions,
        name: String,
        expected_owner: Option<String>,
    ) -> S3Result<Self> {
        Ok(Self { name, caller: Caller::of(extensions)?.clone(), expected_owner })
    }

    /// Another bucket that the same caller asks for.
    pub(super) fn beside(&self, name: String, expected_owner: Option<String>) -> Self {
        Self { name, caller: self.caller.clone(), expected_owner }
    }

    /// # Errors
    /// `NoSuchBucket`; those of [`AskedBucket::verify`].
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<Bucket> {
        let bucket = rows.bucket(&self.name)?.ok_or_else(no_such_bucket)?;
        self.verify(&bucket.facts)?;
        Ok(bucket)
    }

    /// Asks once more whose bucket it is, where the operation happens: permission was decided on facts read before,
    /// and the bucket may since have gone and come back as somebody else's.
    ///
    /// # Errors
    /// `AccessDenied` when the bucket is another account's, or not the expected one's.
    pub(super) fn verify(&self, facts: &Facts) -> S3Result<()> {
        facts.verify_owner(self.expected_owner.as_deref())?;
        facts.verify_owner(Some(&self.caller.account))
    }
}

impl AskedUpload {
    /// # Errors
    /// `NoSuchUpload`; those of [`AskedBucket::find`].
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<UploadRow> {
        self.bucket.find(rows)?;
        rows.upload(&self.bucket.name, &self.key, &self.upload_id)?.ok_or_else(no_such_upload)
    }
}

pub(super) fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

pub(super) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

pub(super) fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}
