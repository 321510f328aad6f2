//! CopyObject.

use http::Extensions;
use s3s::dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective};
use s3s::header::X_AMZ_STORAGE_CLASS;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answers::{ChecksumFields, by_store, checksum_type, etag, timestamp};
use super::asked::{AskedBucket, AskedObject};
use super::attributes::Attributes;
use super::copy_source::{
    ATTEMPTS_MAX, FoundSource, Source, SourceConditions, digest, keeps_changing, rewrite, verify_moves,
};
use super::object_body::ObjectBody;
use super::rows::{Reads, Snapshot};
use super::txn::Txn;
use super::unsupported::{COPIES_OBJECT, refuse_unsupported};
use super::upload::Staged;
use super::usage::ReadUsage;
use super::wanted_acl::{WantedAcl, ownership};
use super::write_condition::WriteCondition;
use super::{RegionalStore, tagging};
use crate::checksums::Algorithm;
use crate::customer_key::CustomerKey;
use crate::encryption::{Encryption, ObjectKeys};
use crate::head::{Checksums, Facts, Head, Part, StoredHeaders, Versioning};
use crate::instance::Instance;
use crate::place::Place;
use crate::tags::Tags;
use crate::wanted_encryption::WantedEncryption;

/// Makes an object of another one's bytes without moving them: the copy has the source's ETag and parts, whatever
/// its size. The source and every condition are read inside the commit. Bytes are read only for a checksum that
/// the client asks for and the source does not have; they are moved where the copy is to have another key than its
/// source, or one of them none, and it is an object put whole then. Under the store's key are the copies whose requests
/// or buckets want it, and those of a source that is, unless the request brings a key.
///
/// # Errors
/// Those of [`Source`], [`Attributes::parse`], [`WantedAcl`], [`tagging::replaced_in_copy`], [`WantedEncryption::of_headers`] and the conditions of the object to be; `NoSuchBucket`,
/// `AccessDenied`; `InvalidRequest` for a copy onto itself that changes nothing, and for one of more than 5 GiB that must be moved; `OperationAborted`.
pub(super) async fn copy_object(
    store: &RegionalStore,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let input = request.input;
    let bucket = AskedBucket::of(&request.extensions, input.bucket, input.expected_bucket_owner)?;
    refuse_unsupported(&request.headers, COPIES_OBJECT)?;
    let condition = WriteCondition::parse(&request.headers)?;
    let conditions = SourceConditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let expected_owner = input.expected_source_bucket_owner;
    let source =
        Source::new(store, &bucket, &request.headers, input.copy_source, expected_owner, conditions)?;
    let attributes = Attributes::parse(&request.headers, input.metadata, store.region())?;
    let replaced = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => None,
        Some(MetadataDirective::REPLACE) => Some(attributes.clone()),
        Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
    };
    let replaced_tags = tagging::replaced_in_copy(&request.headers)?;
    let wanted_acl = WantedAcl::of_headers(store, &bucket.caller, &request.headers).await?;
    let mut copy = Copy {
        is_onto_itself: source.object.bucket.name == bucket.name && source.object.key == input.key,
        says_storage_class: request.headers.contains_key(X_AMZ_STORAGE_CLASS),
        target: AskedObject::new(bucket, input.key, None)?,
        condition,
        source,
        replaced,
        replaced_tags,
        wanted_acl,
        website_redirect_location: attributes.headers.website_redirect_location,
        wanted: WantedEncryption::of_headers(&request.headers)?,
    };
    let algorithm = input.checksum_algorithm.map(|name| Algorithm::parse(name.as_str())).transpose()?;
    for _ in 0..ATTEMPTS_MAX {
        let (facts, prepared) = copy.prepare(store, algorithm, &request.extensions).await?;
        copy.target = copy.target.kept_to(&facts);
        // Who has to read once more, because the source changed meanwhile, does so without.
        Place::leave(&request.extensions);
        let (permit, change) = (copy.target.bucket.permit(), copy.target.change());
        let committing = copy.clone();
        let committed = store.commit_for(permit, change, move |txn| committing.commit(txn, prepared)).await?;
        if let Some(Copied { facts, head, source_version_id }) = committed {
            let expiration = store.expiration_header(&facts, &copy.target.key, &head);
            return Ok(S3Response::new(answer(head, source_version_id, expiration, copy.customer_key())));
        }
    }
    Err(keeps_changing())
}

#[derive(Clone)]
struct Copy {
    is_onto_itself: bool,
    says_storage_class: bool,
    target: AskedObject,
    condition: WriteCondition,
    source: Source,
    /// Headers and metadata in place of the source's.
    replaced: Option<Attributes>,
    /// Tags in place of the source's.
    replaced_tags: Option<Tags>,
    /// Never copied: private unless the request says otherwise.
    wanted_acl: Option<WantedAcl>,
    /// Never copied; it is what the request says.
    website_redirect_location: Option<String>,
    /// How the copy is to be encrypted, as the request says.
    wanted: Option<WantedEncryption>,
}

/// What was read of an instance before the commit.
struct Prepared {
    instance: Instance,
    checksums: Checksums,
    /// The bytes as the copy will have them, unless they stay where they are.
    moved: Option<Moved>,
}

struct Moved {
    staged: Staged,
    etag: String,
    encryption: Option<Encryption>,
}

/// The bytes of a copy, its source's or its own, and what is known of them.
struct Content {
    instance: Instance,
    bytes: u64,
    etag: String,
    checksums: Checksums,
    parts: Vec<Part>,
    encryption: Option<Encryption>,
}

/// A copy that was made.
struct Copied {
    /// Of its bucket.
    facts: Facts,
    head: Head,
    /// What answers call the source's version.
    source_version_id: Option<String>,
}

/// What a copy is made of, as one snapshot or transaction has it.
struct Found {
    /// The target's bucket.
    facts: Facts,
    /// What is under the target's key already.
    replaced: Option<Head>,
    source: Head,
    source_keys: Option<ObjectKeys>,
    /// What answers call the source's version.
    source_version_id: Option<String>,
    /// The tags that the copy will have.
    tags: Tags,
}

impl Copy {
    /// Whether this is not a copy onto itself that leaves everything in a bucket of these facts as it is.
    fn verify_changes_something(&self, facts: &Facts) -> S3Result<()> {
        // A version that is named may be an old one, which the copy brings back.
        let is_the_same = self.is_onto_itself && self.source.object.version.is_none();
        // Objects that were there before their bucket's rule are brought under it in place.
        let is_encrypted =
            self.wanted.is_some() || self.source.key.is_some() || facts.default_encryption.is_some();
        // S3 takes the class that the object has for a change too; it is how objects are given a checksum in place.
        let says_something =
            self.says_storage_class || self.replaced.is_some() || self.website_redirect_location.is_some();
        if is_the_same && !is_encrypted && !says_something {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
                 metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        Ok(())
    }

    /// The key that the client brought for the copy.
    fn customer_key(&self) -> Option<&CustomerKey> {
        self.wanted.as_ref().and_then(WantedEncryption::customer_key)
    }

    /// How the copy is to be encrypted: as the request says, or the bucket; or else, if the source is under the store's key,
    /// so too, for nobody asked that it be laid open.
    fn encryption(&self, found: &Found) -> Option<WantedEncryption> {
        let wanted = WantedEncryption::or_default(self.wanted.clone(), &found.facts);
        wanted.or_else(|| found.source.is_under_store_key().then_some(WantedEncryption::Store))
    }

    /// Whether the source's bytes are as the copy is to have them.
    fn shares_bytes(&self, found: &Found) -> bool {
        match (self.encryption(found), &found.source.encryption) {
            (None, None) => true,
            (Some(WantedEncryption::Store), Some(encryption)) => encryption.is_by_store(),
            // The source's own has opened it.
            (Some(WantedEncryption::Customer(key)), Some(_)) => self.source.key == Some(key),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Reads the source before the commit where the copy cannot do without its bytes. With the facts of the copy's bucket.
    async fn prepare(
        &self,
        store: &RegionalStore,
        algorithm: Option<Algorithm>,
        extensions: &Extensions,
    ) -> S3Result<(Facts, Option<Prepared>)> {
        let (copy, quota) = (self.clone(), store.shared.settings.account_quota_bytes);
        // Asked before the bytes are read, as of an object put whole.
        let finding = move |rows: &Snapshot<'_>| -> S3Result<Found> {
            let found = copy.find(rows)?;
            copy.condition.decide(found.replaced.as_ref())?;
            rows.verify_room_for_object(&found.facts, quota, found.source.bytes, found.replaced.as_ref())?;
            Ok(found)
        };
        let found = store.read(finding).await?;
        let shares_bytes = self.shares_bytes(&found);
        if shares_bytes && algorithm.is_none() {
            return Ok((found.facts, None));
        }
        Place::enter(extensions).await?;
        let wanted = self.encryption(&found);
        let Found { facts, source, source_keys, .. } = found;
        let (instance, bytes) = (source.instance, source.bytes);
        let algorithm = algorithm.or(source.checksums.algorithms().next()).unwrap_or(Algorithm::DEFAULT);
        if shares_bytes {
            let body = ObjectBody::open(store, &source, None, 0..bytes, source_keys).await?;
            let checksums = digest(body, algorithm).await?.checksums.of_full_object();
            return Ok((facts, Some(Prepared { instance, checksums, moved: None })));
        }
        verify_moves(bytes)?;
        let body = ObjectBody::open(store, &source, None, 0..bytes, source_keys).await?;
        let (encryption, keys) = wanted.as_ref().map(|wanted| store.encrypt(wanted)).transpose()?.unzip();
        let received = rewrite(body, store.stage(Some(bytes), keys.as_ref()), algorithm).await?;
        let etag = received.etag(0, keys.as_ref());
        let checksums = received.digested.checksums.of_full_object();
        let moved = Some(Moved { staged: received.staged, etag, encryption });
        Ok((facts, Some(Prepared { instance, checksums, moved })))
    }

    /// What there is, and whether it may be done: that depends on the tags that the copy will have, its source's too.
    fn find(&self, rows: &impl Reads) -> S3Result<Found> {
        self.verify_changes_something(&self.target.bucket.look_up(rows)?.facts)?;
        let FoundSource { head: source, version_id: source_version_id, keys: source_keys } =
            self.source.find(rows)?;
        let tags = self.replaced_tags.as_ref().unwrap_or(&source.tags).clone();
        let (facts, replaced) = self.target.clone().with_request_tags(&tags).find_place(rows)?;
        WantedEncryption::verify_not_blocked(self.wanted.as_ref(), &facts)?;
        Ok(Found { facts, replaced, source, source_keys, source_version_id, tags })
    }

    /// The copy; `None` when the source is not the one that was read, or bytes are to be moved that were not.
    fn commit(self, txn: &mut Txn<'_>, prepared: Option<Prepared>) -> S3Result<Option<Copied>> {
        let found = self.find(txn)?;
        let is_moved = prepared.as_ref().is_some_and(|prepared| prepared.moved.is_some());
        if prepared.as_ref().is_some_and(|prepared| prepared.instance != found.source.instance)
            || !is_moved && !self.shares_bytes(&found)
        {
            return Ok(None);
        }
        let Found { facts, replaced, mut source, source_version_id, tags, .. } = found;
        self.condition.decide(replaced.as_ref())?;
        let (owner, acl) = ownership(&facts, &self.target.bucket.caller, self.wanted_acl.as_ref())?;
        let (headers, metadata) = match self.replaced {
            Some(Attributes { headers, metadata }) => (headers, metadata),
            None => (std::mem::take(&mut source.headers), std::mem::take(&mut source.metadata)),
        };
        // Where they stay the bytes under this key, their name stays too: caches keep them.
        let takes_its_place = self.is_onto_itself && facts.versioning == Versioning::Never;
        let content = match prepared {
            None => Content::shared(txn, source, takes_its_place)?,
            Some(Prepared { checksums, moved: None, .. }) => {
                let shared = Content::shared(txn, source, takes_its_place)?;
                // Those of the parts made up the one that it had.
                let parts = shared.parts.into_iter();
                let parts = parts.map(|part| Part { checksums: Checksums::default(), ..part }).collect();
                Content { checksums, parts, ..shared }
            }
            Some(Prepared { checksums, moved: Some(Moved { staged, etag, encryption }), .. }) => {
                let bytes = staged.bytes();
                let instance = txn.publish(staged)?;
                Content { instance, bytes, etag, checksums, parts: Vec::new(), encryption }
            }
        };
        let Content { instance, bytes, etag, checksums, parts, encryption } = content;
        let head = Head {
            instance,
            revision: txn.random_id(),
            bytes,
            etag,
            modified_millis: txn.now_millis(),
            version_id: None,
            headers: StoredHeaders { website_redirect_location: self.website_redirect_location, ..headers },
            metadata,
            checksums,
            parts,
            encryption,
            owner,
            acl,
            tags,
        };
        let head = txn.put_version(&self.target.bucket.name, &self.target.key, facts.versioning, head)?;
        Ok(Some(Copied { facts, head, source_version_id }))
    }
}

impl Content {
    fn shared(txn: &mut Txn<'_>, source: Head, takes_its_place: bool) -> S3Result<Self> {
        let Head { instance, bytes, etag, checksums, parts, encryption, .. } = source;
        let instance = if takes_its_place { instance } else { txn.share(&instance)? };
        Ok(Self { instance, bytes, etag, checksums, parts, encryption })
    }
}

fn answer(
    head: Head,
    copy_source_version_id: Option<String>,
    expiration: Option<String>,
    key: Option<&CustomerKey>,
) -> CopyObjectOutput {
    let result = CopyObjectResult {
        e_tag: etag(head.etag),
        last_modified: Some(timestamp(head.modified_millis)),
        checksum_type: checksum_type(head.checksums.kind),
        ..CopyObjectResult::default()
    };
    let result = result.with_checksums(head.checksums);
    CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id,
        expiration,
        version_id: head.version_id,
        server_side_encryption: by_store(head.encryption.as_ref()),
        sse_customer_algorithm: key.map(CustomerKey::algorithm),
        sse_customer_key_md5: key.map(CustomerKey::md5),
        ..CopyObjectOutput::default()
    }
}
