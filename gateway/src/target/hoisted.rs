//! Headers in the query of a link to upload to. The SDK for JavaScript moves there what it was told of the object, so that
//! whoever follows the link need not know: S3 takes them for the headers that they were. The signature covers them as it
//! covers all of a query.

use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::S3ErrorCode;

use super::{Operation, Query, SignatureForm, dispatch, limits};
use crate::refusal::Refusal;

/// What may be said of the object to be made, besides its metadata. Keys of customers are not among them: a link would give
/// them away.
const NAMES: [&str; 9] = [
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
];

const METADATA: &str = "x-amz-meta-";

/// Whether a query for `operation` may have `name` for a header.
pub(super) fn is_known(operation: Operation, name: &str) -> bool {
    makes_object(operation) && header(name).is_some()
}

/// The headers that `query` has for a request for `operation` with `sent`.
///
/// # Errors
/// `NotImplemented` for one of a request that is no presigned upload; `InvalidArgument` for one whose value a header cannot
/// have, or that was sent as a header too; `MetadataTooLarge`.
pub(super) fn headers(
    operation: Operation,
    signature: &SignatureForm,
    query: &Query,
    sent: &HeaderMap,
) -> Result<HeaderMap, Refusal> {
    let mut hoisted = HeaderMap::new();
    for (name, value) in query.iter() {
        let Some(header) = header(name) else { continue };
        if !makes_object(operation) || !matches!(signature, SignatureForm::Presigned { .. }) {
            return Err(dispatch::unknown(name));
        }
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid(name))?;
        if sent.contains_key(&header) || hoisted.insert(header, value).is_some() {
            return Err(invalid(name));
        }
    }
    limits::check_metadata(sent.iter().chain(&hoisted))?;
    Ok(hoisted)
}

fn makes_object(operation: Operation) -> bool {
    matches!(operation, Operation::PutObject | Operation::CreateMultipartUpload)
}

fn header(name: &str) -> Option<HeaderName> {
    let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
    (NAMES.contains(&header.as_str()) || header.as_str().starts_with(METADATA)).then_some(header)
}

fn invalid(name: &str) -> Refusal {
    Refusal::new(S3ErrorCode::InvalidArgument, "A header in the query is sent as a header too, or is none.")
        .with_detail("ArgumentName", name)
}

#[cfg(test)]
mod tests {
    use super::super::tests::verdict;

    const SIGNATURE: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn signed(line: &str, headers: &[(&str, &str)]) -> String {
        verdict(&format!("{line}&{SIGNATURE}"), headers)
    }

    #[test]
    fn a_link_to_upload_to_has_headers_in_its_query() {
        for said in [
            "x-amz-acl=private",
            "x-amz-meta-colour=red%20%C3%BC",
            "X-Amz-Storage-Class=STANDARD",
            "x-amz-tagging=a%3Db",
        ] {
            let put = format!("PUT /photos/a?{said}");
            assert_eq!(signed(&put, &[("content-length", "1")]), "PutObject photos a", "{said}");
            assert_eq!(
                signed(&format!("POST /photos/a?uploads&{said}"), &[]),
                "CreateMultipartUpload photos a",
                "{said}"
            );
            // Nobody signed them, or signed them for this.
            assert_eq!(verdict(&put, &[("content-length", "1")]), "NotImplemented", "{said}");
            for line in ["GET /photos/a", "DELETE /photos/a", "PUT /photos"] {
                assert_eq!(
                    signed(&format!("{line}?{said}"), &[("content-length", "0")]),
                    "NotImplemented",
                    "{line} {said}"
                );
            }
        }
    }

    #[test]
    fn others_are_no_headers() {
        for said in [
            "x-amz-server-side-encryption-customer-key=k",
            "x-amz-copy-source=%2Fphotos%2Fb",
            "x-amz-metadata=a",
            "x-amz-checksum-crc32=AdEc1A%3D%3D",
            "content-type=text%2Fhtml",
        ] {
            assert_eq!(
                signed(&format!("PUT /photos/a?{said}"), &[("content-length", "1")]),
                "NotImplemented",
                "{said}"
            );
        }
        let length = ("content-length", "1");
        for said in ["x-amz-meta-a=%0A", "x-amz-meta-a=b&X-Amz-Meta-A=b"] {
            assert_eq!(signed(&format!("PUT /photos/a?{said}"), &[length]), "InvalidArgument", "{said}");
        }
        let long = format!("PUT /photos/a?x-amz-meta-a={}", "b".repeat(2047));
        assert_eq!(signed(&long, &[length]), "PutObject photos a");
        assert_eq!(signed(&format!("{long}b"), &[length]), "MetadataTooLarge");
    }
}
