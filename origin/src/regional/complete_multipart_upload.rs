//! CompleteMultipartUpload.

use std::sync::Arc;

use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedMultipartUpload, CompletedPart,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::answers::{ChecksumFields, by_store, checksum_type, etag};
use super::asked::{AskedBucket, AskedUpload, no_such_upload};
use super::listing::Encoding;
use super::multipart::{part_number, verify_key};
use super::rows::{CompletedRow, PartRow, Reads, Snapshot, UploadRow};
use super::seams::Change;
use super::txn::Txn;
use super::unsupported::{READS_KEY, refuse_unsupported};
use super::write_condition::WriteCondition;
use crate::acl::Acl;
use crate::checksums::{Algorithm, PartSum, multipart_checksum, multipart_etag};
use crate::customer_key::CustomerKey;
use crate::encryption::Encryption;
use crate::head::{Checksums, Facts, Head, ObjectOwnership, Part};
use crate::lifecycle::{Day, expiration_header};
use crate::object_url::ObjectUrl;

/// S3's smallest part, the last one excepted.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// S3's limit on an object.
const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;

/// Makes the parts an object without moving a byte. The same completion again, within a day, is answered as the
/// first was, whatever has become of the object.
///
/// # Errors
/// `NoSuchUpload`, `AccessDenied`, also when the upload's list gives to strangers and the bucket has come to block such
/// lists, or uploads under keys of clients; `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`, `EntityTooLarge`;
/// `BadDigest` when the object's checksum is not the announced one; `InvalidRequest` when its size, kind of checksum or
/// key is not, or where the key of an encrypted object with checksums is missing; `MalformedXML`; those of
/// [`CustomerKey::of_target`]; those of the conditions, which are decided inside the commit.
pub(super) async fn complete_multipart_upload(
    store: &RegionalStore,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let mut input = request.input;
    let checksums = input.take_checksums();
    let bucket = AskedBucket::of(&request.extensions, input.bucket.clone(), input.expected_bucket_owner)?;
    let asked = AskedUpload { bucket, key: input.key.clone(), upload_id: input.upload_id };
    refuse_unsupported(&request.headers, READS_KEY)?;
    let condition = WriteCondition::parse(&request.headers)?;
    let announced = Announced {
        checksums,
        kind: input.checksum_type.map(|kind| kind.as_str().to_owned()),
        bytes: input.mpu_object_size,
        key: CustomerKey::of_target(&request.headers)?,
    };
    let key = announced.key.clone();
    let named = named_parts(input.multipart_upload)?;
    let completion = Arc::new(Completion { asked, named, announced, condition });
    let change = Change::Keys { bucket: input.bucket.clone(), keys: vec![input.key.clone()] };
    let day = store.shared.settings.lifecycle_day;
    // Decided before anybody is told: what is refused, or was done before, empties nobody's cache.
    let looking = Arc::clone(&completion);
    let look = move |rows: &Snapshot<'_>| looking.find(rows);
    let completed = match store.read_for(completion.asked.bucket.permit(), look).await? {
        Found::Before(completed) => *completed,
        Found::Now(_) => {
            let permit = completion.asked.bucket.permit();
            store.commit_for(permit, change, move |txn| completion.commit(txn, day)).await?
        }
    };
    let location = match request.extensions.get() {
        Some(ObjectUrl(url)) => url.clone(),
        None => Encoding::Url.apply(format!("/{}/{}", input.bucket, input.key)),
    };
    let encryption = completed.encryption.as_ref();
    // Sums of what is under a client's key are shown to those alone who bring it.
    let is_closed = encryption.is_some_and(Encryption::is_by_client) && key.is_none();
    let server_side_encryption = by_store(encryption);
    let checksums = if is_closed { Checksums::default() } else { completed.checksums };
    let answer = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        location: Some(location),
        e_tag: etag(completed.etag),
        checksum_type: checksum_type(checksums.kind),
        version_id: completed.version_id,
        expiration: completed.expiration,
        server_side_encryption,
        ..CompleteMultipartUploadOutput::default()
    };
    // s3s has no fields for these here.
    let headers = key.iter().flat_map(CustomerKey::answered).collect();
    Ok(S3Response::with_headers(answer.with_checksums(checksums), headers))
}

/// A completion as a request asks for it.
struct Completion {
    asked: AskedUpload,
    named: Vec<NamedPart>,
    announced: Announced,
    condition: WriteCondition,
}

/// What a completion finds, if it may be done.
enum Found {
    /// It was done before, and answered so.
    Before(Box<CompletedRow>),
    /// What is to be joined.
    Now(Box<Joinable>),
}

/// What an object is to be made of.
struct Joinable {
    facts: Facts,
    upload: UploadRow,
    parts: Vec<(u32, PartRow)>,
    joined: Joined,
}

impl Completion {
    fn find(&self, rows: &impl Reads) -> S3Result<Found> {
        let Self { asked, named, announced, condition } = self;
        let (facts, upload) = match asked.find_with_facts(rows) {
            Err(missing) if missing.code() == &S3ErrorCode::NoSuchUpload => {
                let completed = completed_before(rows, asked, named)?;
                announced.verify_key(completed.encryption.as_ref(), false)?;
                return Ok(Found::Before(Box::new(completed)));
            }
            found => found?,
        };
        facts.verify_takes(upload.encryption.as_ref())?;
        let upload = under_ownership(upload, &facts);
        // What the list may say is decided when it comes into force, as of a put.
        if facts.blocks().block_public_acls && upload.acl.as_ref().is_some_and(Acl::is_public) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let parts = stored_parts(rows, &asked.upload_id, named)?;
        announced.verify_key(upload.encryption.as_ref(), has_checksums(&upload, &parts))?;
        let joined = join(&upload, &parts)?;
        announced.verify(&joined)?;
        condition.decide(rows.head(&asked.bucket.name, &asked.key)?.as_ref())?;
        Ok(Found::Now(Box::new(Joinable { facts, upload, parts, joined })))
    }

    fn commit(&self, txn: &mut Txn<'_>, day: Day) -> S3Result<CompletedRow> {
        let Joinable { facts, upload, parts, joined } = match self.find(txn)? {
            Found::Before(completed) => return Ok(*completed),
            Found::Now(joinable) => *joinable,
        };
        let AskedUpload { bucket, key, upload_id } = &self.asked;
        let completed = put_joined(txn, (&bucket.name, key, &facts), day, upload, joined, parts)?;
        txn.delete_upload(&bucket.name, key, upload_id)?;
        txn.put_completed(upload_id, &completed)?;
        Ok(completed)
    }
}

/// A part as the client names it.
struct NamedPart {
    number: u32,
    etag: String,
    checksums: Checksums,
}

/// What the client says of the whole object.
struct Announced {
    checksums: Checksums,
    kind: Option<String>,
    bytes: Option<i64>,
    key: Option<CustomerKey>,
}

impl Announced {
    /// Joining parts takes no key, but S3 asks for it where the client has used checksums.
    fn verify_key(&self, encryption: Option<&Encryption>, has_checksums: bool) -> S3Result<()> {
        match &self.key {
            Some(key) => verify_key(encryption, key).map(drop),
            None if encryption.is_some_and(Encryption::is_by_client) && has_checksums => Err(s3_error!(
                InvalidRequest,
                "The multipart upload has checksums and requested encryption. Completing it must include the appropriate \
                 encryption parameters."
            )),
            None => Ok(()),
        }
    }

    fn verify(&self, joined: &Joined) -> S3Result<()> {
        let kind = joined.checksums.kind.map(|kind| kind.as_str());
        if self.kind.is_some() && self.kind.as_deref() != kind {
            return Err(s3_error!(
                InvalidRequest,
                "Value for x-amz-checksum-type header is not that of the upload."
            ));
        }
        if self.bytes.is_some_and(|bytes| u64::try_from(bytes) != Ok(joined.bytes)) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header does not match what was computed."
            ));
        }
        for algorithm in self.checksums.algorithms() {
            if self.checksums.get(algorithm) != joined.checksums.get(algorithm) {
                return Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.as_str()
                ));
            }
        }
        Ok(())
    }
}

fn named_parts(upload: Option<CompletedMultipartUpload>) -> S3Result<Vec<NamedPart>> {
    let parts = upload.and_then(|upload| upload.parts).unwrap_or_default();
    if parts.is_empty() {
        return Err(malformed());
    }
    let mut named: Vec<NamedPart> = Vec::with_capacity(parts.len());
    for part in parts {
        let part = named_part(part)?;
        match named.last() {
            Some(before) if before.number > part.number => {
                return Err(s3_error!(
                    InvalidPartOrder,
                    "The list of parts was not in ascending order. Parts must be ordered by part number."
                ));
            }
            // Named again after it was sent again: the last one counts.
            Some(before) if before.number == part.number => drop(named.pop()),
            _ => {}
        }
        named.push(part);
    }
    Ok(named)
}

fn named_part(mut part: CompletedPart) -> S3Result<NamedPart> {
    let checksums = part.take_checksums();
    Ok(NamedPart {
        number: part_number(part.part_number.ok_or_else(malformed)?)?,
        etag: part.e_tag.ok_or_else(malformed)?.into_value(),
        checksums,
    })
}

fn stored_parts(rows: &impl Reads, upload_id: &str, named: &[NamedPart]) -> S3Result<Vec<(u32, PartRow)>> {
    let mut parts = Vec::with_capacity(named.len());
    for named in named {
        let part =
            rows.part(upload_id, named.number)?.filter(|part| named.is(part)).ok_or_else(invalid_part)?;
        parts.push((named.number, part));
    }
    let all_but_last = parts.split_last().map_or(&[][..], |(_, before)| before);
    if all_but_last.iter().any(|(_, part)| part.bytes < PART_BYTES_MIN) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    Ok(parts)
}

impl NamedPart {
    fn is(&self, part: &PartRow) -> bool {
        let mut announced = self.checksums.algorithms();
        self.etag == part.etag
            && announced.all(|algorithm| self.checksums.get(algorithm) == part.checksums.get(algorithm))
    }
}

/// Whether the client began the upload with a checksum or sent one with a part, beside those that are always made.
fn has_checksums(upload: &UploadRow, parts: &[(u32, PartRow)]) -> bool {
    let is_sent =
        |part: &PartRow| part.checksums.algorithms().any(|algorithm| algorithm != Algorithm::DEFAULT);
    upload.checksum_algorithm.is_some() || parts.iter().any(|(_, part)| is_sent(part))
}

/// What the parts come to.
struct Joined {
    bytes: u64,
    etag: String,
    checksums: Checksums,
}

fn join(upload: &UploadRow, parts: &[(u32, PartRow)]) -> S3Result<Joined> {
    let bytes = parts.iter().map(|(_, part)| part.bytes).sum();
    if bytes > OBJECT_BYTES_MAX {
        return Err(s3_error!(
            EntityTooLarge,
            "Your proposed upload exceeds the maximum allowed object size."
        ));
    }
    let (algorithm, kind) = upload.checksum()?;
    let md5s = parts.iter().map(|(_, part)| md5(&part.etag)).collect::<Option<Vec<_>>>();
    let sums = parts.iter().map(|(_, part)| {
        Some(PartSum { bytes: part.bytes, checksum: part.checksums.get(algorithm)?.to_owned() })
    });
    // Every part was stored with both, so that a part without them is not one.
    let (Some(md5s), Some(sums)) = (md5s, sums.collect::<Option<Vec<_>>>()) else {
        return Err(invalid_part());
    };
    let checksum = multipart_checksum(algorithm, kind, &sums).ok_or_else(invalid_part)?;
    Ok(Joined { bytes, etag: multipart_etag(&md5s), checksums: Checksums::of(algorithm, checksum, kind) })
}

fn put_joined(
    txn: &mut Txn<'_>,
    (bucket, key, facts): (&str, &str, &Facts),
    day: Day,
    upload: UploadRow,
    joined: Joined,
    parts: Vec<(u32, PartRow)>,
) -> S3Result<CompletedRow> {
    let Joined { bytes, etag, checksums } = joined;
    let instances: Vec<_> = parts.iter().map(|(_, part)| part.instance).collect();
    let encryption = upload.encryption;
    let parts = parts.into_iter().map(|(number, part)| Part {
        number,
        bytes: part.bytes,
        checksums: part.checksums,
        sealed_as: part.is_sealed.then_some(part.instance),
    });
    let initiator = upload.initiator;
    let head = Head {
        instance: txn.join(&instances)?,
        revision: txn.random_id(),
        bytes,
        etag: etag.clone(),
        modified_millis: txn.now_millis(),
        version_id: None,
        headers: upload.headers,
        metadata: upload.metadata,
        checksums: checksums.clone(),
        parts: parts.collect(),
        encryption: encryption.clone(),
        owner: upload.owner,
        acl: upload.acl,
        tags: upload.tags,
    };
    let head = txn.put_version(bucket, key, facts.versioning, head)?;
    let expiration = expiration_header(facts, key, &head, day);
    Ok(CompletedRow {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        etag,
        initiator,
        checksums,
        version_id: head.version_id,
        encryption,
        expiration,
        incarnation: Some(facts.incarnation),
    })
}

/// The upload as the bucket's ownership is by now: where there are no lists, the object is the bucket owner's, whatever
/// was said when the upload began.
fn under_ownership(upload: UploadRow, facts: &Facts) -> UploadRow {
    match facts.object_ownership() {
        ObjectOwnership::BucketOwnerEnforced => UploadRow { owner: None, acl: None, ..upload },
        ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => upload,
    }
}

/// The answer to a completion that has happened, if it was this one: the same parts make the same ETag. It is for whom
/// the first answer was for. A bucket that was made anew since is another one.
fn completed_before(rows: &impl Reads, asked: &AskedUpload, named: &[NamedPart]) -> S3Result<CompletedRow> {
    let md5s =
        named.iter().map(|part| md5(&part.etag)).collect::<Option<Vec<_>>>().ok_or_else(no_such_upload)?;
    let facts = asked.bucket.look_up(rows)?.facts;
    let completed = rows
        .completed(&asked.upload_id)?
        .filter(|completed| (&completed.bucket, &completed.key) == (&asked.bucket.name, &asked.key))
        .filter(|completed| completed.incarnation.is_none_or(|of| of == facts.incarnation))
        .filter(|completed| completed.etag == multipart_etag(&md5s))
        .ok_or_else(no_such_upload)?;
    asked.verify_initiator(&facts, &completed.initiator)?;
    Ok(completed)
}

fn md5(etag: &str) -> Option<[u8; 16]> {
    let mut md5 = [0; 16];
    hex::decode_to_slice(etag, &mut md5).ok()?;
    Some(md5)
}

fn invalid_part() -> S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity \
         tag may not match the part's entity tag."
    )
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}
