//! CopyObject.

use s3s::dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answers::{ChecksumFields, checksum_type, etag, timestamp};
use super::asked::{AskedBucket, AskedObject};
use super::attributes::Attributes;
use super::copy_source::{ATTEMPTS_MAX, FoundSource, Source, SourceConditions, digest, keeps_changing};
use super::rows::Reads;
use super::txn::Txn;
use super::unsupported::{COPIES_OBJECT, refuse_unsupported};
use super::wanted_acl::{WantedAcl, ownership};
use super::write_condition::WriteCondition;
use super::{RegionalStore, tagging};
use crate::checksums::Algorithm;
use crate::head::{Checksums, Facts, Head, StoredHeaders, Versioning};
use crate::instance::Instance;
use crate::tags::Tags;

/// Makes an object of another one's bytes without moving them: the copy has the source's ETag and parts, whatever
/// its size. The source and every condition are read inside the commit. Bytes are read only for a checksum that
/// the client asks for and the source does not have.
///
/// # Errors
/// Those of [`Source`], [`Attributes::parse`], [`WantedAcl`], [`tagging::replaced_in_copy`] and the conditions of the object to be; `NoSuchBucket`,
/// `AccessDenied`; `InvalidRequest` for a copy onto itself that changes nothing; `OperationAborted`.
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
    let source = Source::new(&bucket, input.copy_source, input.expected_source_bucket_owner, conditions)?;
    let attributes = Attributes::parse(&request.headers, input.metadata)?;
    let replaced = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => None,
        Some(MetadataDirective::REPLACE) => Some(attributes.clone()),
        Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
    };
    let replaced_tags = tagging::replaced_in_copy(&request.headers)?;
    let wanted_acl = WantedAcl::of_headers(store, &bucket.caller, &request.headers).await?;
    let copy = Copy {
        is_onto_itself: source.object.bucket.name == bucket.name && source.object.key == input.key,
        target: AskedObject::new(bucket, input.key, None)?,
        condition,
        source,
        replaced,
        replaced_tags,
        wanted_acl,
        website_redirect_location: attributes.headers.website_redirect_location,
    };
    copy.verify_changes_something()?;
    let algorithm = input.checksum_algorithm.map(|name| Algorithm::parse(name.as_str())).transpose()?;
    for _ in 0..ATTEMPTS_MAX {
        let computed = copy.compute(store, algorithm).await?;
        if computed.is_some() {
            // Reading what is copied may have taken long.
            copy.target.bucket.confirm_caller().await?;
        }
        let change = copy.target.change();
        let committing = copy.clone();
        let committed = store.commit(change, move |txn| committing.commit(txn, computed)).await?;
        if let Some((head, source_version_id)) = committed {
            return Ok(S3Response::new(answer(head, source_version_id)));
        }
    }
    Err(keeps_changing())
}

#[derive(Clone)]
struct Copy {
    is_onto_itself: bool,
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
}

/// Checksums computed of an instance.
struct Computed {
    instance: Instance,
    checksums: Checksums,
}

/// What a copy is made of, as one snapshot or transaction has it.
struct Found {
    /// The target's bucket.
    facts: Facts,
    /// What is under the target's key already.
    replaced: Option<Head>,
    source: Head,
    /// What answers call the source's version.
    source_version_id: Option<String>,
    /// The tags that the copy will have.
    tags: Tags,
}

impl Copy {
    fn verify_changes_something(&self) -> S3Result<()> {
        // A version that is named may be an old one, which the copy brings back.
        let is_the_same = self.is_onto_itself && self.source.object.version.is_none();
        if is_the_same && self.replaced.is_none() && self.website_redirect_location.is_none() {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
                 metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        Ok(())
    }

    async fn compute(
        &self,
        store: &RegionalStore,
        algorithm: Option<Algorithm>,
    ) -> S3Result<Option<Computed>> {
        let Some(algorithm) = algorithm else { return Ok(None) };
        let copy = self.clone();
        let head = store.read(move |rows| Ok(copy.find(rows)?.source)).await?;
        let digested = digest(store, head.instance, 0..head.bytes, algorithm).await?;
        Ok(Some(Computed { instance: head.instance, checksums: digested.checksums.of_full_object() }))
    }

    /// What there is, and whether it may be done: that depends on the tags that the copy will have, its source's too.
    fn find(&self, rows: &impl Reads) -> S3Result<Found> {
        self.target.bucket.look_up(rows)?;
        let FoundSource { head: source, version_id: source_version_id } = self.source.find(rows)?;
        let tags = self.replaced_tags.as_ref().unwrap_or(&source.tags).clone();
        let (facts, replaced) = self.target.clone().with_request_tags(&tags).find_place(rows)?;
        Ok(Found { facts, replaced, source, source_version_id, tags })
    }

    /// The copy and what answers call its source's version; `None` when the source is not the one that checksums were
    /// computed of.
    fn commit(
        self,
        txn: &mut Txn<'_>,
        computed: Option<Computed>,
    ) -> S3Result<Option<(Head, Option<String>)>> {
        let Found { facts, replaced, source, source_version_id, tags } = self.find(txn)?;
        if computed.as_ref().is_some_and(|computed| computed.instance != source.instance) {
            return Ok(None);
        }
        self.condition.decide(replaced.as_ref())?;
        let (owner, acl) = ownership(&facts, &self.target.bucket.caller, self.wanted_acl.as_ref())?;
        let (headers, metadata) = match self.replaced {
            Some(Attributes { headers, metadata }) => (headers, metadata),
            None => (source.headers, source.metadata),
        };
        let takes_its_place = self.is_onto_itself && facts.versioning == Versioning::Never;
        let head = Head {
            // The bytes under this key stay the same, and so does their name: caches keep them.
            instance: if takes_its_place { source.instance } else { txn.share(&source.instance)? },
            revision: txn.random_id(),
            modified_millis: txn.now_millis(),
            version_id: None,
            headers: StoredHeaders { website_redirect_location: self.website_redirect_location, ..headers },
            metadata,
            checksums: computed.map_or(source.checksums, |computed| computed.checksums),
            bytes: source.bytes,
            etag: source.etag,
            parts: source.parts,
            owner,
            acl,
            tags,
        };
        let head = txn.put_version(&self.target.bucket.name, &self.target.key, facts.versioning, head)?;
        Ok(Some((head, source_version_id)))
    }
}

fn answer(head: Head, copy_source_version_id: Option<String>) -> CopyObjectOutput {
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
        version_id: head.version_id,
        ..CopyObjectOutput::default()
    }
}
