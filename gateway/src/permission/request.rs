//! What a policy's conditions may ask about a request: the values of condition keys, read from its own parts.
//!
//! The clock, the client's address and the object's tags are handed in; nothing is looked up. Keys come in the spelling
//! of the "Condition keys" reference pages. Who asks is no value here: the evaluator knows the principal.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use origin::permit::On;
use origin::policy::Lookup;
use origin::tags::parse_header;
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::Client;
use crate::target::Query;

/// One request, as conditions see it.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    /// The region that owns what it is about.
    pub region: &'a str,
    /// Its decoded query.
    pub query: &'a Query,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Who sent it, from where.
    pub client: Client,
    /// When it is decided about.
    pub now: OffsetDateTime,
}

/// The request together with what it is about: all that one decision may depend on beside who asks.
pub(super) struct Circumstances<'a> {
    pub(super) request: RequestContext<'a>,
    pub(super) on: &'a On<'a>,
    /// What `s3:prefix` is where the request lists nothing: the key that a caller might look for in a list.
    pub(super) prefix: Option<&'a str>,
}

impl Circumstances<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.request.query.get(name)
    }

    /// The tags that the request gives to what it makes: those in its body, those that its copy will have once that is
    /// known, or those of `x-amz-tagging`. A header that spells none gives none: the operation refuses it.
    fn request_tags(&self) -> Vec<(String, String)> {
        if let Some(tags) = self.on.request_tags {
            return tags.to_vec();
        }
        let tags = self.header("x-amz-tagging").and_then(|header| parse_header(header).ok());
        tags.unwrap_or_default().into_iter().collect()
    }

    /// The tag `key` of the object that is there.
    fn existing_tag(&self, key: &str) -> Option<&str> {
        let tags = &self.on.head?.tags;
        let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        tag(tags, key)
    }
}

impl Lookup for Circumstances<'_> {
    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        if let Some(name) = key.strip_prefix("s3:ExistingObjectTag/") {
            return one(self.existing_tag(name));
        }
        if let Some(name) = key.strip_prefix("s3:RequestObjectTag/") {
            return tag(self.request_tags().into_iter(), name).map(Cow::Owned).into_iter().collect();
        }
        match key {
            "aws:CurrentTime" => vec![Cow::Owned(rfc3339(self.request.now))],
            "aws:EpochTime" => vec![Cow::Owned(self.request.now.unix_timestamp().to_string())],
            "aws:SecureTransport" => one(Some(if self.request.client.is_tls { "true" } else { "false" })),
            "aws:SourceIp" => {
                let address = self.request.client.address;
                address.map(|address| Cow::Owned(address.to_canonical().to_string())).into_iter().collect()
            }
            "aws:Referer" => one(self.header("referer")),
            "aws:UserAgent" => one(self.header("user-agent")),
            "s3:prefix" => one(self.prefix.or_else(|| self.query("prefix"))),
            "s3:delimiter" => one(self.query("delimiter")),
            "s3:max-keys" => one(self.query("max-keys")),
            "s3:VersionId" => one(self.on.version),
            // Parts and completions do not say it: their upload did.
            "s3:x-amz-server-side-encryption" => {
                one(self.header("x-amz-server-side-encryption").or(self.on.upload_encryption))
            }
            "s3:x-amz-copy-source" => copy_source(self.header("x-amz-copy-source")),
            "s3:RequestObjectTagKeys" => {
                self.request_tags().into_iter().map(|(key, _)| Cow::Owned(key)).collect()
            }
            _ => one(header_of(key).and_then(|name| self.header(name.as_str()))),
        }
    }
}

/// The value of the tag `name` among `tags`. S3 compares keys of conditions without case, and a tag that has the very
/// case goes before one that has not.
fn tag<K: AsRef<str>, V>(tags: impl Iterator<Item = (K, V)>, name: &str) -> Option<V> {
    let mut found = None;
    for (key, value) in tags {
        if key.as_ref() == name {
            return Some(value);
        }
        if found.is_none() && key.as_ref().eq_ignore_ascii_case(name) {
            found = Some(value);
        }
    }
    found
}

/// The header whose value the key is: `s3:x-amz-acl` and its like.
fn header_of(key: &str) -> Option<HeaderName> {
    let name = key.strip_prefix("s3:").filter(|name| name.starts_with("x-amz-"))?;
    HeaderName::from_bytes(name.as_bytes()).ok()
}

/// `bucket/key` as S3 compares it: decoded, without the leading slash that some clients send, and without the version,
/// which is a key of its own.
fn copy_source(header: Option<&str>) -> Vec<Cow<'_, str>> {
    let Some(header) = header else { return Vec::new() };
    let path = header.split_once("?versionId=").map_or(header, |(path, _)| path);
    let path = percent_decode_str(path).decode_utf8_lossy();
    vec![Cow::Owned(path.strip_prefix('/').unwrap_or(&path).to_owned())]
}

fn one(value: Option<&str>) -> Vec<Cow<'_, str>> {
    value.map(Cow::Borrowed).into_iter().collect()
}

fn rfc3339(moment: OffsetDateTime) -> String {
    let seconds = moment.replace_nanosecond(0).unwrap_or(moment);
    seconds.format(&Rfc3339).expect("a date of four-digit years")
}

#[cfg(test)]
mod tests;
