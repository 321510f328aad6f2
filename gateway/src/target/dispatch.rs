//! Which operation a method, a level and a query ask for: the closed list.
//!
//! Every parameter of a request must be known to the one operation it asks for. s3s looks for the parameters it knows
//! and ignores the rest, so that `DELETE /bucket?acl` would delete the bucket; here it is `NotImplemented`.

use http::Method;
use s3s::S3ErrorCode;

use super::{Operation, Query, Resource, hoisted};
use crate::refusal::Refusal;

/// Parameters that any request may carry and no operation reads: `x-id` names the operation for the eyes of people;
/// the others are headers that SDKs move into the query of a presigned URL, none of which changes what is done.
const IGNORED: [&str; 5] = [
    "x-id",
    "x-amz-checksum-mode",
    "x-amz-content-sha256",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-user-agent",
];

/// What SDKs put into a presigned URL that is made before there is a body, the one for JavaScript without being asked: the
/// checksum of no bytes. It says nothing of what will be sent; any other would have to be held against it.
const SUMS_OF_NOTHING: [(&str, &str); 5] = [
    ("x-amz-checksum-crc32", "AAAAAA=="),
    ("x-amz-checksum-crc32c", "AAAAAA=="),
    ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ("x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
];

/// The operation that `method` on `resource` with `query` asks for. What depends on headers is not decided here: a PUT
/// with a copy source is still `PutObject`, a POST to a bucket is `PostObject`.
///
/// # Errors
/// `MethodNotAllowed` when nothing of the kind can be done on the level, `NotImplemented` for a parameter that S3 does
/// not have there, `InvalidArgument` for parameters that exclude each other.
pub(super) fn operation(method: &Method, resource: &Resource, query: &Query) -> Result<Operation, Refusal> {
    let level = Level::of(resource);
    let rows = || ROWS.iter().filter(|row| row.level == level && row.method == method.as_str());
    let row = rows()
        .find(|row| row.required.iter().all(|name| query.has(name)))
        .ok_or_else(|| Refusal::from(S3ErrorCode::MethodNotAllowed).with_detail("Method", method.as_str()))?;
    for (name, value) in query.iter() {
        let known = row.required.contains(&name)
            || row.optional.contains(&name)
            || is_ignored(name, value)
            || hoisted::is_known(row.operation, name);
        if !known {
            let elsewhere = rows().any(|row| row.required.contains(&name));
            return Err(if elsewhere { conflicting(name) } else { unknown(name) });
        }
    }
    // Values that stand for another operation, or none.
    if query.get("list-type").is_some_and(|value| value != "2") {
        return Err(unknown("list-type"));
    }
    if query.get("select-type").is_some_and(|value| value != "2") {
        return Err(unknown("select-type"));
    }
    if query.get("x-id") == Some("ListDirectoryBuckets") {
        return Err(unknown("x-id"));
    }
    Ok(row.operation)
}

/// Whether `name` is a parameter of Signature V4 in a query.
pub(super) fn is_signature_parameter(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
    ];
    NAMES.contains(&name)
}

fn is_ignored(name: &str, value: &str) -> bool {
    let is_it = |(sum, of_nothing): &(&str, &str)| sum.eq_ignore_ascii_case(name) && *of_nothing == value;
    is_signature_parameter(name)
        || SUMS_OF_NOTHING.iter().any(is_it)
        || IGNORED.iter().any(|ignored| ignored.eq_ignore_ascii_case(name))
            // A body hash in the query would have to be held against the body; nobody sends one.
            && (!name.eq_ignore_ascii_case("x-amz-content-sha256") || value == "UNSIGNED-PAYLOAD")
}

/// Refuses a parameter that S3 does not have there.
pub(super) fn unknown(name: &str) -> Refusal {
    Refusal::from(S3ErrorCode::NotImplemented).with_detail("Parameter", name)
}

fn conflicting(name: &str) -> Refusal {
    Refusal::new(S3ErrorCode::InvalidArgument, "Conflicting or incomplete query string parameters.")
        .with_detail("ArgumentName", name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Service,
    Bucket,
    Object,
}

impl Level {
    fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Service => Self::Service,
            Resource::Bucket { .. } => Self::Bucket,
            Resource::Object { .. } => Self::Object,
        }
    }
}

/// One line of the list: asked for when all of `required` is there, beside which nothing but `optional` may be.
struct Row {
    method: &'static str,
    level: Level,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    operation: Operation,
}

const fn row(
    method: &'static str,
    level: Level,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    operation: Operation,
) -> Row {
    Row { method, level, required, optional, operation }
}

const VERSION: &[&str] = &["versionId"];
const READ: &[&str] = &[
    "versionId",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// What a listing reads, and what tells a browser that is sent to one what its form has stored. `metadata` is MinIO's, whose
/// clients (`mc mirror -a`) take a listing without it too: S3 gives them that.
const LISTED: &[&str] =
    &["prefix", "delimiter", "marker", "max-keys", "encoding-type", "bucket", "key", "etag", "metadata"];

/// The list. Within a method and level the first row that fits is taken: more required parameters come first, the
/// plain operation last.
const ROWS: &[Row] = &{
    use Level::{Bucket, Object, Service};
    use Operation as Op;
    [
        row(
            "GET",
            Service,
            &[],
            &["prefix", "max-buckets", "continuation-token", "bucket-region"],
            Op::ListBuckets,
        ),
        //
        row("HEAD", Bucket, &[], &[], Op::HeadBucket),
        //
        row("GET", Bucket, &["analytics", "id"], &[], Op::GetBucketAnalyticsConfiguration),
        row("GET", Bucket, &["intelligent-tiering", "id"], &[], Op::GetBucketIntelligentTieringConfiguration),
        row("GET", Bucket, &["inventory", "id"], &[], Op::GetBucketInventoryConfiguration),
        row("GET", Bucket, &["metrics", "id"], &[], Op::GetBucketMetricsConfiguration),
        row("GET", Bucket, &["analytics"], &["continuation-token"], Op::ListBucketAnalyticsConfigurations),
        row(
            "GET",
            Bucket,
            &["intelligent-tiering"],
            &["continuation-token"],
            Op::ListBucketIntelligentTieringConfigurations,
        ),
        row("GET", Bucket, &["inventory"], &["continuation-token"], Op::ListBucketInventoryConfigurations),
        row("GET", Bucket, &["metrics"], &["continuation-token"], Op::ListBucketMetricsConfigurations),
        row("GET", Bucket, &["accelerate"], &[], Op::GetBucketAccelerateConfiguration),
        row("GET", Bucket, &["acl"], &[], Op::GetBucketAcl),
        row("GET", Bucket, &["cors"], &[], Op::GetBucketCors),
        row("GET", Bucket, &["encryption"], &[], Op::GetBucketEncryption),
        row("GET", Bucket, &["lifecycle"], &[], Op::GetBucketLifecycleConfiguration),
        row("GET", Bucket, &["location"], &[], Op::GetBucketLocation),
        row("GET", Bucket, &["logging"], &[], Op::GetBucketLogging),
        row("GET", Bucket, &["metadataTable"], &[], Op::GetBucketMetadataTableConfiguration),
        row("GET", Bucket, &["notification"], &[], Op::GetBucketNotificationConfiguration),
        row("GET", Bucket, &["object-lock"], &[], Op::GetObjectLockConfiguration),
        row("GET", Bucket, &["ownershipControls"], &[], Op::GetBucketOwnershipControls),
        row("GET", Bucket, &["policy"], &[], Op::GetBucketPolicy),
        row("GET", Bucket, &["policyStatus"], &[], Op::GetBucketPolicyStatus),
        row("GET", Bucket, &["publicAccessBlock"], &[], Op::GetPublicAccessBlock),
        row("GET", Bucket, &["replication"], &[], Op::GetBucketReplication),
        row("GET", Bucket, &["requestPayment"], &[], Op::GetBucketRequestPayment),
        row("GET", Bucket, &["session"], &[], Op::CreateSession),
        row("GET", Bucket, &["tagging"], &[], Op::GetBucketTagging),
        row(
            "GET",
            Bucket,
            &["uploads"],
            &["prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"],
            Op::ListMultipartUploads,
        ),
        row("GET", Bucket, &["versioning"], &[], Op::GetBucketVersioning),
        row(
            "GET",
            Bucket,
            &["versions"],
            &[
                "prefix",
                "delimiter",
                "key-marker",
                "version-id-marker",
                "max-keys",
                "encoding-type",
                "metadata",
            ],
            Op::ListObjectVersions,
        ),
        row("GET", Bucket, &["website"], &[], Op::GetBucketWebsite),
        row(
            "GET",
            Bucket,
            &["list-type"],
            &[
                "prefix",
                "delimiter",
                "start-after",
                "continuation-token",
                "max-keys",
                "encoding-type",
                "fetch-owner",
                "metadata",
            ],
            Op::ListObjectsV2,
        ),
        row("GET", Bucket, &[], LISTED, Op::ListObjects),
        //
        row("PUT", Bucket, &["analytics", "id"], &[], Op::PutBucketAnalyticsConfiguration),
        row("PUT", Bucket, &["intelligent-tiering", "id"], &[], Op::PutBucketIntelligentTieringConfiguration),
        row("PUT", Bucket, &["inventory", "id"], &[], Op::PutBucketInventoryConfiguration),
        row("PUT", Bucket, &["metrics", "id"], &[], Op::PutBucketMetricsConfiguration),
        row("PUT", Bucket, &["accelerate"], &[], Op::PutBucketAccelerateConfiguration),
        row("PUT", Bucket, &["acl"], &[], Op::PutBucketAcl),
        row("PUT", Bucket, &["cors"], &[], Op::PutBucketCors),
        row("PUT", Bucket, &["encryption"], &[], Op::PutBucketEncryption),
        row("PUT", Bucket, &["lifecycle"], &[], Op::PutBucketLifecycleConfiguration),
        row("PUT", Bucket, &["logging"], &[], Op::PutBucketLogging),
        row("PUT", Bucket, &["notification"], &[], Op::PutBucketNotificationConfiguration),
        row("PUT", Bucket, &["object-lock"], &[], Op::PutObjectLockConfiguration),
        row("PUT", Bucket, &["ownershipControls"], &[], Op::PutBucketOwnershipControls),
        row("PUT", Bucket, &["policy"], &[], Op::PutBucketPolicy),
        row("PUT", Bucket, &["publicAccessBlock"], &[], Op::PutPublicAccessBlock),
        row("PUT", Bucket, &["replication"], &[], Op::PutBucketReplication),
        row("PUT", Bucket, &["requestPayment"], &[], Op::PutBucketRequestPayment),
        row("PUT", Bucket, &["tagging"], &[], Op::PutBucketTagging),
        row("PUT", Bucket, &["versioning"], &[], Op::PutBucketVersioning),
        row("PUT", Bucket, &["website"], &[], Op::PutBucketWebsite),
        row("PUT", Bucket, &[], &[], Op::CreateBucket),
        //
        row("POST", Bucket, &["delete"], &[], Op::DeleteObjects),
        row("POST", Bucket, &["metadataTable"], &[], Op::CreateBucketMetadataTableConfiguration),
        row("POST", Bucket, &[], &[], Op::PostObject),
        //
        row("DELETE", Bucket, &["analytics", "id"], &[], Op::DeleteBucketAnalyticsConfiguration),
        row(
            "DELETE",
            Bucket,
            &["intelligent-tiering", "id"],
            &[],
            Op::DeleteBucketIntelligentTieringConfiguration,
        ),
        row("DELETE", Bucket, &["inventory", "id"], &[], Op::DeleteBucketInventoryConfiguration),
        row("DELETE", Bucket, &["metrics", "id"], &[], Op::DeleteBucketMetricsConfiguration),
        row("DELETE", Bucket, &["cors"], &[], Op::DeleteBucketCors),
        row("DELETE", Bucket, &["encryption"], &[], Op::DeleteBucketEncryption),
        row("DELETE", Bucket, &["lifecycle"], &[], Op::DeleteBucketLifecycle),
        row("DELETE", Bucket, &["metadataTable"], &[], Op::DeleteBucketMetadataTableConfiguration),
        row("DELETE", Bucket, &["ownershipControls"], &[], Op::DeleteBucketOwnershipControls),
        row("DELETE", Bucket, &["policy"], &[], Op::DeleteBucketPolicy),
        row("DELETE", Bucket, &["publicAccessBlock"], &[], Op::DeletePublicAccessBlock),
        row("DELETE", Bucket, &["replication"], &[], Op::DeleteBucketReplication),
        row("DELETE", Bucket, &["tagging"], &[], Op::DeleteBucketTagging),
        row("DELETE", Bucket, &["website"], &[], Op::DeleteBucketWebsite),
        row("DELETE", Bucket, &[], &[], Op::DeleteBucket),
        //
        row("HEAD", Object, &[], READ, Op::HeadObject),
        //
        row("GET", Object, &["acl"], VERSION, Op::GetObjectAcl),
        row("GET", Object, &["attributes"], VERSION, Op::GetObjectAttributes),
        row("GET", Object, &["legal-hold"], VERSION, Op::GetObjectLegalHold),
        row("GET", Object, &["retention"], VERSION, Op::GetObjectRetention),
        row("GET", Object, &["tagging"], VERSION, Op::GetObjectTagging),
        row("GET", Object, &["torrent"], &[], Op::GetObjectTorrent),
        row("GET", Object, &["uploadId"], &["max-parts", "part-number-marker"], Op::ListParts),
        row("GET", Object, &[], READ, Op::GetObject),
        //
        row("PUT", Object, &["partNumber", "uploadId"], &[], Op::UploadPart),
        row("PUT", Object, &["acl"], VERSION, Op::PutObjectAcl),
        row("PUT", Object, &["legal-hold"], VERSION, Op::PutObjectLegalHold),
        row("PUT", Object, &["renameObject"], &[], Op::RenameObject),
        row("PUT", Object, &["retention"], VERSION, Op::PutObjectRetention),
        row("PUT", Object, &["tagging"], VERSION, Op::PutObjectTagging),
        row("PUT", Object, &[], &[], Op::PutObject),
        //
        row("POST", Object, &["select", "select-type"], &[], Op::SelectObjectContent),
        row("POST", Object, &["restore"], VERSION, Op::RestoreObject),
        row("POST", Object, &["uploads"], &[], Op::CreateMultipartUpload),
        row("POST", Object, &["uploadId"], &[], Op::CompleteMultipartUpload),
        //
        row("DELETE", Object, &["tagging"], VERSION, Op::DeleteObjectTagging),
        row("DELETE", Object, &["uploadId"], &[], Op::AbortMultipartUpload),
        row("DELETE", Object, &[], VERSION, Op::DeleteObject),
    ]
};

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{EMPTY, authorization, verdict};
    use super::*;

    /// The path of a request for `row`, and the names in it as `verdict` shows them.
    fn path(row: &Row) -> (&'static str, &'static str) {
        match row.level {
            Level::Service => ("/", ""),
            Level::Bucket => ("/photos", " photos"),
            Level::Object => ("/photos/a", " photos a"),
        }
    }

    fn headers(row: &Row) -> &'static [(&'static str, &'static str)] {
        match row.operation {
            Operation::PostObject => &[("content-type", "multipart/form-data; boundary=b")],
            _ if row.method == "PUT" => &[("content-length", "0")],
            _ => &[],
        }
    }

    fn query(names: &[&str]) -> String {
        let value = |name: &&str| format!("{name}={}", if name.ends_with("-type") { "2" } else { "" });
        names.iter().map(value).collect::<Vec<_>>().join("&")
    }

    /// For each row the operation, the method, the target and the headers of a request for it.
    pub(crate) fn examples()
    -> impl Iterator<Item = (Operation, &'static str, String, &'static [(&'static str, &'static str)])> {
        ROWS.iter().map(|row| {
            let target = format!("{}?{}", path(row).0, query(row.required));
            (row.operation, row.method, target, headers(row))
        })
    }

    /// Each row, with all of its parameters, is its operation here and (see `verdict`) to s3s; without any one of the
    /// required ones it is not.
    #[test]
    fn every_row_is_its_operation() {
        let authorization = authorization("host;x-amz-content-sha256;x-amz-date");
        // A read says with all of its parameters what its answer's headers shall be: then it is signed.
        let signed = [
            ("authorization", authorization.as_str()),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20260102T030405Z"),
        ];
        for row in ROWS {
            let (path, named) = path(row);
            let all = [row.required, row.optional].concat();
            let line = format!("{} {path}?{}", row.method, query(&all));
            let has_overrides = matches!(row.operation, Operation::GetObject | Operation::HeadObject);
            let headers_of_all = if has_overrides { &signed[..] } else { headers(row) };
            assert_eq!(verdict(&line, headers_of_all), format!("{}{named}", row.operation), "{line}");
            for missing in row.required {
                let rest: Vec<&str> = row.required.iter().copied().filter(|name| name != missing).collect();
                let line = format!("{} {path}?{}", row.method, query(&rest));
                assert_ne!(verdict(&line, headers(row)), format!("{}{named}", row.operation), "{line}");
            }
        }
    }

    /// An operation without a row is one that headers, a method alone, or nothing leads to.
    #[test]
    fn every_operation_has_a_row_or_a_reason() {
        let rows: BTreeSet<Operation> = ROWS.iter().map(|row| row.operation).collect();
        let others: Vec<&str> = Operation::ALL
            .iter()
            .filter(|operation| !rows.contains(operation))
            .map(|op| op.as_str())
            .collect();
        let expected = [
            "CopyObject",
            "ListDirectoryBuckets",
            "PreflightRequest",
            "UploadPartCopy",
            "WriteGetObjectResponse",
        ];
        assert_eq!(others, expected);
    }
}
