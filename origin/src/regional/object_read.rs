//! The object that GetObject and HeadObject are about, and the query of their requests.

use http::Uri;
use percent_encoding::percent_decode_str;
use s3s::S3Result;

use super::RegionalStore;
use super::asked::AskedObject;
use super::pages::Page;
use crate::head::Head;
use crate::read_request::ReadRequest;

/// The head of an object that the caller may read, and its bytes if they came along.
///
/// # Errors
/// Those of [`AskedObject::find`].
pub(super) async fn find(store: &RegionalStore, object: &AskedObject) -> S3Result<(Head, Option<Page>)> {
    let resolved = store.resolve(&object.bucket.name, &object.key, None).await?;
    let head = object.found(resolved.facts.as_ref(), resolved.head)?;
    Ok((head, resolved.inline))
}

/// What the request asks for. Read from its headers and query and not from s3s's input, which has lost
/// `If-Range` and lists of entity tags; and so that caches, which have no such input, read the very same.
///
/// # Errors
/// Those of [`ReadRequest::parse`].
pub(super) fn asked(headers: &http::HeaderMap, uri: &Uri) -> S3Result<ReadRequest> {
    let pairs =
        uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query: Vec<_> = pairs.map(|(name, value)| (decode(name), decode(value))).collect();
    ReadRequest::parse(headers, query.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
