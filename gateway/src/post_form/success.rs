//! How a browser is told that its file is stored: with nothing, with a document, or by being sent elsewhere.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use s3s::dto::PostResponse;
use s3s::xml;

use super::Form;
use super::put::escaped;
use crate::target::Target;

/// The answer to `form`, which was sent to the bucket at `address`; its file was stored as the object of `put`, and
/// `headers` say as what.
#[must_use]
pub fn told(
    form: &Form,
    put: &Target,
    address: &str,
    mut headers: HeaderMap,
) -> (StatusCode, HeaderMap, Bytes) {
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
    let (bucket, key) = (put.bucket().unwrap_or_default(), put.key().unwrap_or_default());
    headers.remove(CONTENT_LENGTH);
    if let Some(elsewhere) = redirect(form, bucket, key, &etag) {
        headers.insert(LOCATION, elsewhere);
        return (StatusCode::SEE_OTHER, headers, Bytes::new());
    }
    let location = format!("{address}/{}", escaped(key));
    if let Ok(location) = HeaderValue::try_from(&location) {
        headers.insert(LOCATION, location);
    }
    match form.get("success_action_status") {
        Some("200") => (StatusCode::OK, headers, Bytes::new()),
        Some("201") => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            (
                StatusCode::CREATED,
                headers,
                document(&PostResponse { location: &location, bucket, key, etag: &etag }),
            )
        }
        // S3 takes any other for none.
        _ => (StatusCode::NO_CONTENT, headers, Bytes::new()),
    }
}

/// Where the form wants its browser to go, told what was stored. What is no URL counts as if it were not there, as S3
/// does.
fn redirect(form: &Form, bucket: &str, key: &str, etag: &str) -> Option<HeaderValue> {
    let url = form.get("success_action_redirect").or_else(|| form.get("redirect"))?;
    let parsed: Uri = url.parse().ok()?;
    let is_web = matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.host().is_some();
    if !is_web || url.contains('#') {
        return None;
    }
    let separator = if parsed.query().is_some() { '&' } else { '?' };
    let told = format!("{url}{separator}bucket={bucket}&key={}&etag={}", escaped(key), escaped(etag));
    HeaderValue::try_from(told).ok()
}

fn document(response: &PostResponse<'_>) -> Bytes {
    let mut document = Vec::new();
    let mut serializer = xml::Serializer::new(&mut document);
    let written = serializer.decl().and_then(|()| xml::Serialize::serialize(response, &mut serializer));
    written.expect("writing to memory does not fail");
    document.into()
}

#[cfg(test)]
mod tests;
