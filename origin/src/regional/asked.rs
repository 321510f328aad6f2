//! What a request names, and whether it is there and permitted, as one snapshot or transaction sees it.
//!
//! Permission was decided before the operation began, on facts read before; here the request's permit decides it once
//! more about what is really touched.

use std::sync::Arc;

use http::Extensions;
use s3s::dto::ServerSideEncryption;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::rows::{Bucket, Reads, UploadRow};
use super::seams::Change;
use super::versions::{Parts, ReadVersions, Version};
use crate::caller::Caller;
use crate::encryption::Encryption;
use crate::head::{DeleteMarker, Facts, Head};
use crate::instance::Instance;
use crate::permit::{On, Permit, Role, permit_of};
use crate::read_request::absent;
use crate::tags::Tags;
use crate::version_id::NamedVersion;

/// How often what a request asks for is read, while whoever asks changes each time.
const READS_MAX: usize = 4;

/// A bucket as a request names it, and who asks.
#[derive(Clone)]
pub(super) struct AskedBucket {
    pub(super) name: String,
    pub(super) caller: Caller,
    permit: Arc<dyn Permit>,
    role: Role,
    expected_owner: Option<String>,
    /// Of the bucket that the request began in, once that has been looked at.
    incarnation: Option<Instance>,
}

/// An object as a request names it.
#[derive(Clone)]
pub(super) struct AskedObject {
    pub(super) bucket: AskedBucket,
    pub(super) key: String,
    /// `None`: the newest.
    pub(super) version: Option<NamedVersion>,
    request_tags: Option<Vec<(String, String)>>,
    compares_etag: bool,
}

/// An unfinished upload as a request names it.
#[derive(Clone)]
pub(super) struct AskedUpload {
    pub(super) bucket: AskedBucket,
    pub(super) key: String,
    pub(super) upload_id: String,
}

impl AskedBucket {
    /// The bucket `name`, asked for by the request that has these extensions.
    ///
    /// # Errors
    /// `AccessDenied` when nobody has been let in.
    pub(super) fn of(
        extensions: &Extensions,
        name: String,
        expected_owner: Option<String>,
    ) -> S3Result<Self> {
        let (caller, permit) = (Caller::of(extensions)?.clone(), permit_of(extensions)?);
        Ok(Self { name, caller, permit, role: Role::Target, expected_owner, incarnation: None })
    }

    /// The bucket that the same request copies from.
    pub(super) fn copy_source(&self, name: String, expected_owner: Option<String>) -> Self {
        Self { name, role: Role::Source, expected_owner, incarnation: None, ..self.clone() }
    }

    /// The same bucket and no other: one that is made anew under its name, after these facts were read, is not there.
    pub(super) fn kept_to(self, facts: &Facts) -> Self {
        Self { incarnation: Some(facts.incarnation), ..self }
    }

    /// The bucket, for what is done to it as a whole.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`.
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<Bucket> {
        let bucket = self.look_up(rows)?;
        self.permit.decide(self.role, &On::bucket(&self.name, &bucket.facts))?;
        Ok(bucket)
    }

    /// What decides about the request.
    pub(super) fn permit(&self) -> Arc<dyn Permit> {
        Arc::clone(&self.permit)
    }

    /// The bucket, before anything is decided about what is in it.
    ///
    /// # Errors
    /// `NoSuchBucket`; `AccessDenied` when it is not the expected account's.
    pub(super) fn look_up(&self, rows: &impl Reads) -> S3Result<Bucket> {
        let found = rows.bucket(&self.name)?;
        let is_asked = |found: &Bucket| self.incarnation.is_none_or(|began| began == found.facts.incarnation);
        let bucket = found.filter(is_asked).ok_or_else(no_such_bucket)?;
        bucket.facts.verify_owner(self.expected_owner.as_deref())?;
        Ok(bucket)
    }
}

impl AskedObject {
    /// The object `key` of `bucket`.
    ///
    /// # Errors
    /// `InvalidArgument` for a version that cannot be.
    pub(super) fn new(bucket: AskedBucket, key: String, version_id: Option<String>) -> S3Result<Self> {
        let version = version_id.as_deref().map(NamedVersion::parse).transpose()?;
        Ok(Self { bucket, key, version, request_tags: None, compares_etag: false })
    }

    /// The same object, of the bucket that these facts were read of and no other.
    pub(super) fn kept_to(self, facts: &Facts) -> Self {
        Self { bucket: self.bucket.kept_to(facts), ..self }
    }

    /// The object, to be given these tags by the request's body: permission may depend on them.
    pub(super) fn with_request_tags(self, tags: &Tags) -> Self {
        let request_tags = tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { request_tags: Some(request_tags), ..self }
    }

    /// The object, held against an entity tag in the request's body: that takes permission to read it.
    pub(super) fn comparing_etag(self) -> Self {
        Self { compares_etag: true, ..self }
    }

    /// The object and its bucket's facts, for what needs an object to be there.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`; for a missing object what [`Permit::missing`] says, and [`absent`] to who may know.
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<(Facts, Head)> {
        self.find_in(rows, self.version_with(rows, Parts::All)?)
    }

    /// The same with the parts of an encrypted object alone, which cannot be opened without them.
    ///
    /// # Errors
    /// As [`AskedObject::find`].
    pub(super) fn find_to_open(&self, rows: &impl Reads) -> S3Result<(Facts, Head)> {
        self.find_in(rows, self.version_with(rows, Parts::OfEncrypted)?)
    }

    /// The same without parts.
    ///
    /// # Errors
    /// As [`AskedObject::find`].
    pub(super) fn find_without_parts(&self, rows: &impl Reads) -> S3Result<(Facts, Head)> {
        self.find_in(rows, self.version(rows)?)
    }

    /// The version that the request names, or else the newest, without its parts; before anything is decided about it.
    pub(super) fn version(&self, rows: &impl Reads) -> S3Result<Option<Version>> {
        self.version_with(rows, Parts::None)
    }

    fn version_with(&self, rows: &impl Reads, parts: Parts) -> S3Result<Option<Version>> {
        Ok(rows.version(&self.bucket.name, &self.key, self.version.as_ref(), parts)?)
    }

    /// What is to be made or replaced: the current object if it is there, without its parts, and its bucket's facts.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`.
    pub(super) fn find_place(&self, rows: &impl Reads) -> S3Result<(Facts, Option<Head>)> {
        let facts = self.bucket.look_up(rows)?.facts;
        let head = rows.head(&self.bucket.name, &self.key)?;
        self.decide(&facts, head.as_ref())?;
        Ok((facts, head))
    }

    /// The object out of what was read of it and its bucket in one snapshot: without tags for whoever may not read those.
    ///
    /// # Errors
    /// As [`AskedObject::find`].
    pub(super) fn found(
        &self,
        facts: Option<&Facts>,
        head: Option<Head>,
        marker: Option<&DeleteMarker>,
    ) -> S3Result<Head> {
        let facts = facts.ok_or_else(no_such_bucket)?;
        facts.verify_owner(self.bucket.expected_owner.as_deref())?;
        let mut head = self.permitted(facts, head, marker)?;
        if !head.tags.is_empty() && !self.bucket.permit.shows_tags(&self.on(facts, Some(&head))) {
            head.tags.clear();
        }
        Ok(head)
    }

    /// A change of this object.
    pub(super) fn change(&self) -> Change {
        Change::Keys { bucket: self.bucket.name.clone(), keys: vec![self.key.clone()] }
    }

    /// Whether this may be done to the object as it is.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(super) fn decide(&self, facts: &Facts, head: Option<&Head>) -> S3Result<()> {
        self.bucket.permit.decide(self.bucket.role, &self.on(facts, head))
    }

    fn find_in(&self, rows: &impl Reads, found: Option<Version>) -> S3Result<(Facts, Head)> {
        let facts = self.bucket.look_up(rows)?.facts;
        let (head, marker) = Version::split(found);
        let head = self.permitted(&facts, head, marker.as_ref())?;
        Ok((facts, head))
    }

    fn permitted(&self, facts: &Facts, head: Option<Head>, marker: Option<&DeleteMarker>) -> S3Result<Head> {
        let Some(head) = head else {
            let refused = self.bucket.permit.missing(self.bucket.role, &self.on(facts, None));
            // Who may know that it is not there may know why.
            let may_know = refused.code() == &S3ErrorCode::NoSuchKey;
            return Err(if may_know { self.absent(marker) } else { refused });
        };
        self.decide(facts, Some(&head))?;
        Ok(head)
    }

    fn absent(&self, marker: Option<&DeleteMarker>) -> S3Error {
        match (self.bucket.role, &self.version, marker) {
            (Role::Source, Some(_), Some(_)) => s3_error!(
                InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by version id."
            ),
            (Role::Source | Role::Target, version, marker) => {
                absent(version.as_ref().map(NamedVersion::as_str), marker)
            }
        }
    }

    fn on<'a>(&'a self, facts: &'a Facts, head: Option<&'a Head>) -> On<'a> {
        let request_tags = self.request_tags.as_deref();
        let compares_etag = self.compares_etag;
        let bucket = On { request_tags, compares_etag, ..On::bucket(&self.bucket.name, facts) };
        bucket.object(&self.key, self.version.as_ref().map(NamedVersion::as_str), head)
    }
}

impl AskedUpload {
    /// The upload, for its initiator's account or the bucket owner's: others are not let near it even where they may
    /// write objects.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NoSuchBucket`, `AccessDenied`.
    pub(super) fn find(&self, rows: &impl Reads) -> S3Result<UploadRow> {
        Ok(self.find_with_facts(rows)?.1)
    }

    /// The upload and its bucket's facts.
    ///
    /// # Errors
    /// As [`AskedUpload::find`].
    pub(super) fn find_with_facts(&self, rows: &impl Reads) -> S3Result<(Facts, UploadRow)> {
        let facts = self.bucket.look_up(rows)?.facts;
        let head = rows.head(&self.bucket.name, &self.key)?;
        let upload = rows.upload(&self.bucket.name, &self.key, &self.upload_id)?;
        let bucket = On::bucket(&self.bucket.name, &facts);
        let initiator = upload.as_ref().map(|upload| upload.initiator.as_str());
        let upload_encryption = match &upload {
            Some(upload) => method(upload.encryption.as_ref()),
            // A completion may be asked for once more.
            None => rows.completed(&self.upload_id)?.and_then(|done| method(done.encryption.as_ref())),
        };
        let on = On { initiator, upload_encryption, ..bucket.object(&self.key, None, head.as_ref()) };
        self.bucket.permit.decide(self.bucket.role, &on)?;
        let upload = upload.ok_or_else(no_such_upload)?;
        self.verify_initiator(&facts, &upload.initiator)?;
        Ok((facts, upload))
    }

    /// Holds the caller against `initiator`, whose upload it is or was.
    ///
    /// # Errors
    /// `AccessDenied` unless the caller is of that account or of the bucket's owner's.
    pub(super) fn verify_initiator(&self, facts: &Facts, initiator: &str) -> S3Result<()> {
        let caller = &self.bucket.caller;
        let is_bucket_owner = !caller.is_anonymous() && caller.account == facts.owner;
        if is_bucket_owner || caller.canonical_id == initiator {
            return Ok(());
        }
        Err(s3_error!(AccessDenied, "Access Denied"))
    }
}

/// What `read` finds on a snapshot of its own, and whoever asks with `permit` was the same before that was opened and after
/// it: what is decided about them and about what was found is so at one instant. Otherwise it is read again.
///
/// # Errors
/// Those of `read` and of [`Permit::confirm_caller`]; `SlowDown` when the user changes again and again.
pub(super) async fn at_one_instant<T, F>(permit: &dyn Permit, read: impl Fn() -> F) -> S3Result<T>
where
    F: Future<Output = S3Result<T>>,
{
    for _ in 0..READS_MAX {
        let found = read().await;
        if permit.confirm_caller().await? {
            return found;
        }
    }
    Err(s3_error!(SlowDown))
}

/// How the store encrypts what is under its key.
fn method(encryption: Option<&Encryption>) -> Option<&'static str> {
    encryption.filter(|encryption| encryption.is_by_store()).map(|_| ServerSideEncryption::AES256)
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
