//! What is asked of a website: a page by its path.
//!
//! Visitors have no keys. Their query and whatever of S3's is among their headers means nothing here: what looks like a
//! signature is none, and no parameter asks for anything but the page.

use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method};
use s3s::S3ErrorCode;

use super::{EndpointKind, Operation, Payload, Query, SignatureForm, Target, path, verify_preflight};
use crate::refusal::Refusal;
use crate::topology::RegionName;

/// The page that is asked for, as the read of an object; its resource is a bucket where the path is `/`.
///
/// # Errors
/// `MethodNotAllowed` for what does not read; `NoSuchBucket` where the host names none; those of [`path::resource`]; for a
/// browser's question about a page of another site, `BadRequest`.
pub(super) fn visit(
    region: RegionName,
    bucket: Option<String>,
    method: &Method,
    raw_path: &[u8],
    headers: &HeaderMap,
) -> Result<Target, Refusal> {
    let operation = match *method {
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        Method::OPTIONS => {
            verify_preflight(headers)?;
            Operation::PreflightRequest
        }
        _ => return Err(not_allowed(method)),
    };
    let bucket = bucket.ok_or_else(|| Refusal::from(S3ErrorCode::NoSuchBucket))?;
    Ok(Target {
        region,
        endpoint: EndpointKind::Website,
        resource: path::resource(Some(bucket), raw_path)?,
        operation,
        query: Query::default(),
        signature: SignatureForm::Anonymous,
        payload: Payload::Unstated,
        hoisted: HeaderMap::new(),
        brings_customer_key: false,
    })
}

fn not_allowed(method: &Method) -> Refusal {
    Refusal::new(S3ErrorCode::MethodNotAllowed, "The specified method is not allowed against this resource.")
        .with_detail("Method", method.as_str())
        .with_detail("ResourceType", "OBJECT")
        .with_header(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::verdict;

    #[test]
    fn pages_are_read_by_nobody_in_particular_whatever_the_query_says() {
        let host = ("host", "photos.website.ord1.penstock.localhost");
        let length = ("content-length", "0");
        for (line, expected) in [
            ("GET /", "GetObject photos"),
            ("HEAD /", "HeadObject photos"),
            ("GET /a/b", "GetObject photos a/b"),
            ("GET /a%2Fb/", "GetObject photos a/b/"),
            ("GET //", "GetObject photos /"),
            ("GET /a%", "InvalidURI"),
            ("PUT /a", "MethodNotAllowed"),
            ("POST /", "MethodNotAllowed"),
            ("DELETE /a", "MethodNotAllowed"),
            ("PATCH /a", "MethodNotAllowed"),
            ("OPTIONS /a", "BadRequest"),
        ] {
            assert_eq!(verdict(line, &[host, length]), expected, "{line}");
            for query in ["acl", "versionId=a", "policy&policy", "response-expires=%ff", "Signature=a"] {
                let line = format!("{line}?{query}");
                assert_eq!(verdict(&line, &[host, length]), expected, "{line}");
            }
        }
        let origin = ("origin", "https://example.com");
        assert_eq!(verdict("OPTIONS /a", &[host, origin]), "PreflightRequest photos a");
    }

    #[test]
    fn what_looks_like_a_signature_is_none() {
        let host = ("host", "photos.website.ord1.penstock.localhost");
        for header in [
            ("authorization", "AWS AKIDEXAMPLE:c2lnbmF0dXJl"),
            ("authorization", "Basic YTpi"),
            ("x-amz-content-sha256", "nonsense"),
            ("x-amz-copy-source", "/photos/a"),
            ("content-type", "multipart/form-data; boundary=b"),
        ] {
            assert_eq!(verdict("GET /a", &[host, header]), "GetObject photos a", "{header:?}");
        }
    }

    #[test]
    fn a_website_is_a_buckets() {
        let host = ("host", "website.ord1.penstock.localhost");
        for line in ["GET /", "GET /photos/a", "HEAD /photos"] {
            assert_eq!(verdict(line, &[host]), "NoSuchBucket", "{line}");
        }
        assert_eq!(verdict("POST /photos", &[host]), "MethodNotAllowed");
    }
}
