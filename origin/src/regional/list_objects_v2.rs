//! ListObjectsV2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use s3s::dto::{ListObjectsV2Input, ListObjectsV2Output};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::RegionalStore;
use super::asked::AskedBucket;
use super::list_objects::{object, read_page, verify_optional_attributes};
use super::listing::{Encoding, Scope, shown_max};

/// Lists objects in key order, from a continuation token or a key on.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`; `InvalidArgument`, for a token that is none of ours too.
pub(super) async fn list_objects_v2(
    store: &RegionalStore,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let ListObjectsV2Input {
        bucket,
        continuation_token,
        delimiter,
        encoding_type,
        expected_bucket_owner,
        fetch_owner,
        max_keys,
        prefix,
        start_after,
        optional_object_attributes,
        ..
    } = request.input;
    let bucket = AskedBucket::of(&request.extensions, bucket, expected_bucket_owner)?;
    verify_optional_attributes(optional_object_attributes.as_deref())?;
    let encoding = Encoding::parse(encoding_type.as_ref())?;
    let after = after(continuation_token.as_deref(), start_after.as_deref())?;
    let scope = Scope::parse(prefix, delimiter, after, ("max-keys", max_keys))?;
    let (facts, page) = read_page(store, bucket.clone(), scope.clone()).await?;
    let next_continuation_token = page.last().filter(|_| page.is_truncated).map(|last| BASE64.encode(last));
    let (is_truncated, key_count) = (page.is_truncated, page.entries.len());
    let (objects, common_prefixes) = page.split(encoding);
    let encode = |text: String| encoding.apply(text);
    let shown_owner = fetch_owner.unwrap_or(false).then_some(&facts);
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(bucket.name),
        prefix: Some(encode(scope.prefix.clone())),
        max_keys: Some(shown_max(scope.entries_max)),
        key_count: i32::try_from(key_count).ok(),
        continuation_token,
        is_truncated: Some(is_truncated),
        next_continuation_token,
        contents: Some(
            objects.into_iter().map(|(key, head)| object(encode(key), head, shown_owner)).collect(),
        ),
        common_prefixes: Some(common_prefixes),
        delimiter: scope.shown_delimiter(encoding),
        encoding_type,
        start_after: start_after.map(encode),
        request_charged: None,
    }))
}

/// Where the page starts: a token goes before `start-after`. Tokens are the last entry of the page before.
fn after(token: Option<&str>, start_after: Option<&str>) -> S3Result<Option<String>> {
    match (token, start_after) {
        (None | Some(""), start_after) => Ok(start_after.map(str::to_owned)),
        (Some(token), _) => {
            let entry = BASE64.decode(token).ok().and_then(|entry| String::from_utf8(entry).ok());
            entry
                .map(Some)
                .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
        }
    }
}
