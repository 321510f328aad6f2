//! ListMultipartUploads.

use std::ops::Bound;

use s3s::dto::{ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload};
use s3s::{S3Request, S3Response, S3Result};

use super::RegionalStore;
use super::answers::{checksum_algorithm, checksum_type, timestamp};
use super::asked::AskedBucket;
use super::failure::Failure;
use super::listing::{Encoding, Entry, Page, Scope, page, shown_max};
use super::multipart::{initiator, standard, upload_owner};
use super::rows::{Reads, UploadRow};
use crate::head::Facts;

/// An upload id and its upload.
type Named = (String, UploadRow);

/// Lists unfinished uploads by key, and those of one key by when they were started.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`, `InvalidArgument`.
pub(super) async fn list_multipart_uploads(
    store: &RegionalStore,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let ListMultipartUploadsInput {
        bucket,
        delimiter,
        encoding_type,
        expected_bucket_owner,
        key_marker,
        max_uploads,
        prefix,
        upload_id_marker,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    let encoding = Encoding::parse(encoding_type.as_ref())?;
    let key_marker = key_marker.filter(|marker| !marker.is_empty());
    // S3 passes over an upload id without a key.
    let upload_id_marker = upload_id_marker.filter(|marker| !marker.is_empty() && key_marker.is_some());
    let scope = Scope::parse(prefix, delimiter, key_marker.clone(), ("max-uploads", max_uploads))?;
    let asked = (bucket.clone(), scope.clone(), upload_id_marker.clone());
    let (facts, page) = store
        .read_for(bucket.permit(), move |rows| {
            let (bucket, scope, upload_id_marker) = asked;
            let facts = bucket.find(rows)?.facts;
            Ok((facts, read_page(rows, &bucket.name, &scope, upload_id_marker.as_deref())?))
        })
        .await?;
    let (next_key_marker, next_upload_id_marker) = next_markers(&page);
    let is_truncated = page.is_truncated;
    let (uploads, common_prefixes) = page.split(encoding);
    let encode = |text: String| encoding.apply(text);
    let uploads =
        uploads.into_iter().map(|(key, named)| shown(encode(key), named, &facts)).collect::<S3Result<_>>()?;
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(bucket.name),
        prefix: Some(encode(scope.prefix.clone())),
        delimiter: scope.shown_delimiter(encoding),
        key_marker: Some(encode(key_marker.unwrap_or_default())),
        upload_id_marker: Some(upload_id_marker.unwrap_or_default()),
        next_key_marker: next_key_marker.map(encode),
        next_upload_id_marker,
        max_uploads: Some(shown_max(scope.entries_max)),
        is_truncated: Some(is_truncated),
        uploads: Some(uploads),
        common_prefixes: Some(common_prefixes),
        encoding_type,
        request_charged: None,
    }))
}

/// A page goes on behind the key marker; with an upload id, behind that upload of the key.
pub(super) fn read_page(
    rows: &impl Reads,
    bucket: &str,
    scope: &Scope,
    upload_id_marker: Option<&str>,
) -> Result<Page<Named>, Failure> {
    page(scope, |from| {
        let marked = match from {
            Bound::Excluded(key) => str::from_utf8(key).ok().zip(upload_id_marker),
            Bound::Included(_) | Bound::Unbounded => None,
        };
        let uploads = match marked {
            // A key may have many uploads: those before this one are not gone through again.
            Some((key, upload_id)) => rows.uploads_behind(bucket, key, upload_id)?,
            None => rows.uploads(bucket, from)?,
        };
        Ok(uploads.map(|row| row.map(|(key, upload_id, upload)| (key, (upload_id, upload)))))
    })
}

fn next_markers(page: &Page<Named>) -> (Option<String>, Option<String>) {
    match page.entries.last() {
        Some(Entry::Key(key, (upload_id, _))) if page.is_truncated => {
            (Some(key.clone()), Some(upload_id.clone()))
        }
        Some(Entry::CommonPrefix(prefix)) if page.is_truncated => (Some(prefix.clone()), None),
        _ => (None, None),
    }
}

fn shown(key: String, (upload_id, upload): Named, facts: &Facts) -> S3Result<MultipartUpload> {
    Ok(MultipartUpload {
        checksum_algorithm: upload.algorithm()?.map(checksum_algorithm),
        checksum_type: checksum_type(upload.checksum_kind),
        initiated: Some(timestamp(upload.initiated_millis)),
        initiator: Some(initiator(&upload, facts)),
        key: Some(key),
        owner: Some(upload_owner(&upload, facts)),
        storage_class: standard(),
        upload_id: Some(upload_id),
    })
}
