//! The PUT that a form stands for: the store sees no other, so whatever holds of uploads holds of forms.

use std::fmt;

use http::header::{ORIGIN, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use s3s::dto::Tagging;
use s3s::{S3ErrorCode, xml};

use super::Form;
use crate::elements::Elements;
use crate::refusal::Refusal;
use crate::target::{Operation, Target};

/// Fields that are headers of the PUT under another name.
const RENAMED: [(&str, &str); 1] = [("acl", "x-amz-acl")];

/// Fields that are headers of the PUT.
const HEADERS: [&str; 12] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
    "x-amz-acl",
    "x-amz-expected-bucket-owner",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// Beginnings of fields that are headers of the PUT.
const HEADER_FAMILIES: [&str; 5] =
    ["x-amz-checksum-", "x-amz-grant-", "x-amz-meta-", "x-amz-object-lock-", "x-amz-server-side-encryption"];

/// Fields of the signature, which is proven already.
const PROOFS: [&str; 4] = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];

/// What conditions of bucket policies may ask of the browser's own request.
const KEPT: [HeaderName; 3] = [ORIGIN, REFERER, USER_AGENT];

/// A request to put an object, without its body. Printed without its headers: a key is among them, perhaps.
pub struct Put {
    /// The head that s3s reads. It says nothing of who asks.
    pub request: http::Request<()>,
    /// The same as it is admitted.
    pub target: Target,
}

impl Put {
    /// What `form`, sent to `target` in a request with `headers`, asks for.
    ///
    /// # Errors
    /// `InvalidArgument` for a form without a key and for a value that cannot be a header's, `NotImplemented` for an
    /// `x-amz-…` field that S3 has no use for, `MalformedXML` for tags that are none, and what a PUT with such a key and
    /// such headers is refused with.
    pub fn of(form: &Form, target: &Target, headers: &HeaderMap) -> Result<Self, Refusal> {
        let key = form.needs("key")?;
        if key.is_empty() {
            let message = "User key must have a length greater than 0.";
            return Err(
                Refusal::new(S3ErrorCode::InvalidArgument, message).with_detail("ArgumentName", "key")
            );
        }
        let bucket = target.bucket().unwrap_or_default();
        if form.get("bucket").is_some_and(|field| field != bucket) {
            let message = "The form is for another bucket than its URL.";
            return Err(
                Refusal::new(S3ErrorCode::InvalidArgument, message).with_detail("ArgumentName", "bucket")
            );
        }
        let path = format!("/{bucket}/{}", escaped(key));
        let headers = headers_of(form, headers)?;
        let target = target.put_by_form(path.as_bytes(), &headers)?;
        let mut request = http::Request::new(());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = Uri::try_from(path).map_err(|_| Refusal::from(S3ErrorCode::InvalidURI))?;
        *request.headers_mut() = headers;
        Ok(Self { request, target })
    }
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put").field("target", &self.target).finish_non_exhaustive()
    }
}

fn headers_of(form: &Form, sent: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let kept = KEPT.into_iter().filter_map(|name| Some((name.clone(), sent.get(name)?.clone())));
    let mut headers: HeaderMap = kept.collect();
    for (field, value) in form.iter() {
        let renamed = RENAMED.iter().find(|(name, _)| *name == field).map(|(_, header)| *header);
        let is_header =
            HEADERS.contains(&field) || HEADER_FAMILIES.iter().any(|family| field.starts_with(family));
        let (header, value) = match renamed.or_else(|| is_header.then_some(field)) {
            Some(header) => (header, HeaderValue::from_bytes(value.as_bytes())),
            None if field == "tagging" => ("x-amz-tagging", HeaderValue::try_from(tagging(value)?)),
            None if field.starts_with("x-amz-") && !PROOFS.contains(&field) => {
                let message = "A field that you provided implies functionality that is not implemented.";
                return Err(Refusal::new(S3ErrorCode::NotImplemented, message).with_detail("Field", field));
            }
            None => continue,
        };
        let pair = HeaderName::try_from(header).ok().zip(value.ok());
        let (header, value) = pair.ok_or_else(|| not_a_header(field))?;
        if headers.insert(header, value).is_some() {
            return Err(not_a_header(field));
        }
    }
    Ok(headers)
}

/// The document `Tagging` as the header that says the same.
fn tagging(document: &str) -> Result<String, Refusal> {
    if let Some(elements) = Elements::of(Operation::PutObjectTagging) {
        elements.updated(document.as_bytes())?;
    }
    let mut deserializer = xml::Deserializer::new(document.as_bytes());
    let tagging = <Tagging as xml::Deserialize>::deserialize(&mut deserializer);
    let tagging = tagging.and_then(|tagging| deserializer.expect_eof().map(|()| tagging));
    let tags = tagging.map_err(|_| Refusal::from(S3ErrorCode::MalformedXML))?.tag_set;
    let pairs = tags.into_iter().map(|tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => {
            let query = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            Ok(format!("{}={}", query(&key), query(&value)))
        }
        _ => Err(S3ErrorCode::MalformedXML.into()),
    });
    Ok(pairs.collect::<Result<Vec<_>, Refusal>>()?.join("&"))
}

/// `text` as it stands in a path or a query.
pub(crate) fn escaped(text: &str) -> PercentEncode<'_> {
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    utf8_percent_encode(text, ESCAPED)
}

fn not_a_header(field: &str) -> Refusal {
    Refusal::new(S3ErrorCode::InvalidArgument, "The value of a field is not valid.")
        .with_detail("ArgumentName", field)
}

#[cfg(test)]
mod tests;
