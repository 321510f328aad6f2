//! The object that GetObject and HeadObject are about, and the query of their requests.

use http::Uri;
use percent_encoding::percent_decode_str;
use s3s::S3Result;

use super::asked::{AskedObject, at_one_instant, no_such_bucket};
use super::pages::Page;
use super::versions::Parts;
use super::{RegionalStore, Resolved};
use crate::head::{Facts, Head};
use crate::read_request::ReadRequest;
use crate::version_id::NamedVersion;

/// An object that the caller may read.
pub(super) struct Found {
    pub(super) facts: Facts,
    pub(super) head: Head,
    /// Its bytes if they came along.
    pub(super) inline: Option<Page>,
    /// When a rule takes it away: `x-amz-expiration`. Known of the newest version, which alone is read without its name.
    pub(super) expiration: Option<String>,
}

/// The object, if the caller may read it, with the parts that the request needs.
///
/// # Errors
/// Those of [`AskedObject::find`].
pub(super) async fn find(
    store: &RegionalStore,
    object: &AskedObject,
    asked: &ReadRequest,
) -> S3Result<Found> {
    let version = object.version.as_ref().map(NamedVersion::as_str);
    let parts = if asked.names_part() { Parts::All } else { Parts::OfEncrypted };
    let reading = || store.resolve_with(parts, &object.bucket.name, &object.key, version);
    let Resolved { facts, head, marker, inline } = at_one_instant(&*object.bucket.permit(), reading).await?;
    let expiration = match (&object.version, &facts, &head) {
        (None, Some(facts), Some(head)) => store.expiration_header(facts, &object.key, head),
        _ => None,
    };
    let head = object.found(facts.as_ref(), head, marker.as_ref())?;
    Ok(Found { facts: facts.ok_or_else(no_such_bucket)?, head, inline, expiration })
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
