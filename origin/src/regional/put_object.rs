//! PutObject.

use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::answers::{ChecksumFields, by_store, checksum_type, etag};
use super::asked::{AskedBucket, AskedObject};
use super::attributes::Attributes;
use super::receive::Incoming;
use super::unsupported::{MAKES_OBJECT, refuse_unsupported};
use super::usage::ReadUsage;
use super::wanted_acl::{WantedAcl, ownership};
use super::write_condition::WriteCondition;
use super::{RegionalStore, tagging};
use crate::checksums::Algorithm;
use crate::customer_key::CustomerKey;
use crate::head::Head;
use crate::place::Place;
use crate::wanted_encryption::WantedEncryption;

/// Stores an object whole. `If-Match` and `If-None-Match` are decided inside the commit.
///
/// # Errors
/// What the body turns out to lack ([`Incoming::receive`]), what the attributes have too much of
/// ([`Attributes::parse`]), what is wrong with its list ([`WantedAcl`]), its tags ([`tagging::of_headers`]) or its
/// encryption ([`WantedEncryption::of_headers`]), `NoSuchBucket`, `AccessDenied`, and those of the conditions.
pub(super) async fn put_object(
    store: &RegionalStore,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let PutObjectInput { bucket, key, body, content_length, metadata, expected_bucket_owner, .. } =
        request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let object = AskedObject::new(bucket, key, None)?;
    refuse_unsupported(&request.headers, MAKES_OBJECT)?;
    let tags = tagging::of_headers(&request.headers)?;
    let condition = WriteCondition::parse(&request.headers)?;
    let attributes = Attributes::parse(&request.headers, metadata, store.region())?;
    let wanted = WantedEncryption::of_headers(&request.headers)?;
    let (headers, extensions) = (&request.headers, &request.extensions);
    let incoming = Incoming::new(headers, extensions, body, content_length, request.trailing_headers)?;

    let wanted_acl = WantedAcl::of_headers(store, &object.bucket.caller, &request.headers).await?;

    // Asked before the body is taken, so that nobody uploads gigabytes to be told that there is no such bucket.
    let asked = (object.clone(), condition.clone(), wanted_acl.clone());
    // The commit counts what comes. A form's file has no length before, but needs some room.
    let (quota, bytes) = (store.shared.settings.account_quota_bytes, incoming.bytes().unwrap_or(1));
    let (facts, wanted) = store
        .read_few(move |rows| {
            let (object, condition, wanted_acl) = asked;
            let (facts, replaced) = object.find_place(rows)?;
            condition.decide(replaced.as_ref())?;
            rows.verify_room_for_object(&facts, quota, bytes, replaced.as_ref())?;
            ownership(&facts, &object.bucket.caller, wanted_acl.as_ref())?;
            WantedEncryption::verify_not_blocked(wanted.as_ref(), &facts)?;
            let wanted = WantedEncryption::or_default(wanted, &facts);
            Ok((facts, wanted))
        })
        .await?;
    let object = object.kept_to(&facts);
    let algorithm = incoming.algorithm().unwrap_or(Algorithm::DEFAULT);
    let (encryption, keys) = wanted.as_ref().map(|wanted| store.encrypt(wanted)).transpose()?.unzip();
    let upload = store.stage(incoming.bytes(), keys.as_ref());
    let received = incoming.receive(upload, algorithm).await?;
    Place::leave(extensions);

    let name = object.key.clone();
    let (facts, head) = store
        .commit_for(object.bucket.permit(), object.change(), move |txn| {
            let (facts, replaced) = object.find_place(txn)?;
            condition.decide(replaced.as_ref())?;
            let (owner, acl) = ownership(&facts, &object.bucket.caller, wanted_acl.as_ref())?;
            facts.verify_takes(encryption.as_ref())?;
            let head = Head {
                bytes: received.staged.bytes(),
                etag: received.etag(0, keys.as_ref()),
                instance: txn.publish(received.staged)?,
                revision: txn.random_id(),
                modified_millis: txn.now_millis(),
                version_id: None,
                headers: attributes.headers,
                metadata: attributes.metadata,
                checksums: received.digested.checksums.of_full_object(),
                parts: Vec::new(),
                encryption,
                owner,
                acl,
                tags,
            };
            let head = txn.put_version(&object.bucket.name, &object.key, facts.versioning, head)?;
            Ok((facts, head))
        })
        .await?;
    let key = wanted.as_ref().and_then(WantedEncryption::customer_key);
    let answer = PutObjectOutput {
        expiration: store.expiration_header(&facts, &name, &head),
        e_tag: etag(head.etag),
        checksum_type: checksum_type(head.checksums.kind),
        version_id: head.version_id,
        server_side_encryption: by_store(head.encryption.as_ref()),
        sse_customer_algorithm: key.map(CustomerKey::algorithm),
        sse_customer_key_md5: key.map(CustomerKey::md5),
        ..PutObjectOutput::default()
    };
    Ok(S3Response::new(answer.with_checksums(head.checksums)))
}
