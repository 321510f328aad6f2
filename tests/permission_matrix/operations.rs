//! Every operation, and what it needs by the S3 API reference.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use tests::Request;

/// One operation: its request, `B` standing for the bucket and `K` for an object in it, and what it needs.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    pub(super) actions: Vec<&'static str>,
}

/// Operations of one sub-resource of a bucket that is a configuration: read, put and removed.
const CONFIGURATIONS: &[(&str, &str, Option<&str>, Option<&str>)] = &[
    ("accelerate", "GetAccelerateConfiguration", Some("PutAccelerateConfiguration"), None),
    ("acl", "GetBucketAcl", Some("PutBucketAcl"), None),
    (
        "analytics&id=a",
        "GetAnalyticsConfiguration",
        Some("PutAnalyticsConfiguration"),
        Some("PutAnalyticsConfiguration"),
    ),
    ("analytics", "GetAnalyticsConfiguration", None, None),
    ("cors", "GetBucketCORS", Some("PutBucketCORS"), Some("PutBucketCORS")),
    (
        "encryption",
        "GetEncryptionConfiguration",
        Some("PutEncryptionConfiguration"),
        Some("PutEncryptionConfiguration"),
    ),
    (
        "intelligent-tiering&id=a",
        "GetIntelligentTieringConfiguration",
        Some("PutIntelligentTieringConfiguration"),
        Some("PutIntelligentTieringConfiguration"),
    ),
    ("intelligent-tiering", "GetIntelligentTieringConfiguration", None, None),
    (
        "inventory&id=a",
        "GetInventoryConfiguration",
        Some("PutInventoryConfiguration"),
        Some("PutInventoryConfiguration"),
    ),
    ("inventory", "GetInventoryConfiguration", None, None),
    (
        "lifecycle",
        "GetLifecycleConfiguration",
        Some("PutLifecycleConfiguration"),
        Some("PutLifecycleConfiguration"),
    ),
    ("location", "GetBucketLocation", None, None),
    ("logging", "GetBucketLogging", Some("PutBucketLogging"), None),
    (
        "metadataTable",
        "GetBucketMetadataTableConfiguration",
        None,
        Some("DeleteBucketMetadataTableConfiguration"),
    ),
    (
        "metrics&id=a",
        "GetMetricsConfiguration",
        Some("PutMetricsConfiguration"),
        Some("PutMetricsConfiguration"),
    ),
    ("metrics", "GetMetricsConfiguration", None, None),
    ("notification", "GetBucketNotification", Some("PutBucketNotification"), None),
    ("object-lock", "GetBucketObjectLockConfiguration", Some("PutBucketObjectLockConfiguration"), None),
    (
        "ownershipControls",
        "GetBucketOwnershipControls",
        Some("PutBucketOwnershipControls"),
        Some("PutBucketOwnershipControls"),
    ),
    // Removing it is walked by itself: it takes the walk's own policy away.
    ("policy", "GetBucketPolicy", Some("PutBucketPolicy"), None),
    ("policyStatus", "GetBucketPolicyStatus", None, None),
    (
        "publicAccessBlock",
        "GetBucketPublicAccessBlock",
        Some("PutBucketPublicAccessBlock"),
        Some("PutBucketPublicAccessBlock"),
    ),
    (
        "replication",
        "GetReplicationConfiguration",
        Some("PutReplicationConfiguration"),
        Some("PutReplicationConfiguration"),
    ),
    ("requestPayment", "GetBucketRequestPayment", Some("PutBucketRequestPayment"), None),
    ("tagging", "GetBucketTagging", Some("PutBucketTagging"), Some("PutBucketTagging")),
    ("versioning", "GetBucketVersioning", Some("PutBucketVersioning"), None),
    ("website", "GetBucketWebsite", Some("PutBucketWebsite"), Some("DeleteBucketWebsite")),
];

/// The other operations: name, method, target, headers, actions.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);
const OTHERS: &[Row] = &[
    ("ListBuckets", "GET", "/", &[], &["ListAllMyBuckets"]),
    ("CreateBucket", "PUT", "/made-NAME", &[], &["CreateBucket"]),
    ("CreateBucket with a list", "PUT", "/listed-NAME", &[("x-amz-acl", "private")], &["CreateBucket"]),
    ("HeadBucket", "HEAD", "/B", &[], &["ListBucket"]),
    ("DeleteBucket", "DELETE", "/B", &[], &["DeleteBucket"]),
    ("ListObjects", "GET", "/B", &[], &["ListBucket"]),
    ("ListObjectsV2", "GET", "/B?list-type=2", &[], &["ListBucket"]),
    ("ListObjectVersions", "GET", "/B?versions", &[], &["ListBucketVersions"]),
    ("ListMultipartUploads", "GET", "/B?uploads", &[], &["ListBucketMultipartUploads"]),
    (
        "CreateBucketMetadataTableConfiguration",
        "POST",
        "/B?metadataTable",
        &[],
        &["CreateBucketMetadataTableConfiguration"],
    ),
    ("GetObject", "GET", "/B/K", &[], &["GetObject"]),
    ("GetObject of a version", "GET", "/B/K?versionId=null", &[], &["GetObjectVersion"]),
    ("HeadObject", "HEAD", "/B/K", &[], &["GetObject"]),
    ("HeadObject of a version", "HEAD", "/B/K?versionId=null", &[], &["GetObjectVersion"]),
    ("GetObjectAcl", "GET", "/B/K?acl", &[], &["GetObjectAcl"]),
    ("GetObjectAcl of a version", "GET", "/B/K?acl&versionId=null", &[], &["GetObjectVersionAcl"]),
    (
        "GetObjectAttributes",
        "GET",
        "/B/K?attributes",
        &[("x-amz-object-attributes", "ETag")],
        &["GetObject", "GetObjectAttributes"],
    ),
    ("GetObjectLegalHold", "GET", "/B/K?legal-hold", &[], &["GetObjectLegalHold"]),
    ("GetObjectRetention", "GET", "/B/K?retention", &[], &["GetObjectRetention"]),
    ("GetObjectTagging", "GET", "/B/K?tagging", &[], &["GetObjectTagging"]),
    (
        "GetObjectTagging of a version",
        "GET",
        "/B/K?tagging&versionId=null",
        &[],
        &["GetObjectVersionTagging"],
    ),
    ("GetObjectTorrent", "GET", "/B/K?torrent", &[], &["GetObjectTorrent"]),
    ("ListParts", "GET", "/B/K?uploadId=none", &[], &["ListMultipartUploadParts"]),
    ("PutObject", "PUT", "/B/scratch", &[], &["PutObject"]),
    (
        "PutObject with a list",
        "PUT",
        "/B/scratch",
        &[("x-amz-acl", "private")],
        &["PutObject", "PutObjectAcl of new"],
    ),
    (
        "PutObject with tags",
        "PUT",
        "/B/scratch",
        &[("x-amz-tagging", "a=b")],
        &["PutObject", "PutObjectTagging"],
    ),
    ("PutObject where there is none", "PUT", "/B/scratch", &[("if-none-match", "*")], &["PutObject"]),
    (
        "PutObject by an entity tag",
        "PUT",
        "/B/scratch",
        &[("if-match", "\"abc\"")],
        &["PutObject", "GetObject"],
    ),
    (
        "DeleteObject by an entity tag",
        "DELETE",
        "/B/scratch",
        &[("if-match", "\"abc\"")],
        &["DeleteObject", "GetObject"],
    ),
    ("CopyObject", "PUT", "/B/scratch", &[("x-amz-copy-source", "B/K")], &["PutObject", "GetObject"]),
    (
        "CopyObject of a version",
        "PUT",
        "/B/scratch",
        &[("x-amz-copy-source", "B/K?versionId=null")],
        &["PutObject", "GetObjectVersion"],
    ),
    ("PutObjectAcl", "PUT", "/B/K?acl", &[("x-amz-acl", "private")], &["PutObjectAcl"]),
    (
        "PutObjectAcl of a version",
        "PUT",
        "/B/K?acl&versionId=null",
        &[("x-amz-acl", "private")],
        &["PutObjectVersionAcl"],
    ),
    ("PutObjectLegalHold", "PUT", "/B/K?legal-hold", &[], &["PutObjectLegalHold"]),
    ("PutObjectRetention", "PUT", "/B/K?retention", &[], &["PutObjectRetention"]),
    ("PutObjectTagging", "PUT", "/B/K?tagging", &[], &["PutObjectTagging"]),
    (
        "PutObjectTagging of a version",
        "PUT",
        "/B/K?tagging&versionId=null",
        &[],
        &["PutObjectVersionTagging"],
    ),
    ("DeleteObjectTagging", "DELETE", "/B/K?tagging", &[], &["DeleteObjectTagging"]),
    (
        "DeleteObjectTagging of a version",
        "DELETE",
        "/B/K?tagging&versionId=null",
        &[],
        &["DeleteObjectVersionTagging"],
    ),
    ("CreateMultipartUpload", "POST", "/B/parts?uploads", &[], &["PutObject"]),
    ("UploadPart", "PUT", "/B/parts?partNumber=1&uploadId=none", &[], &["PutObject"]),
    (
        "UploadPartCopy",
        "PUT",
        "/B/parts?partNumber=1&uploadId=none",
        &[("x-amz-copy-source", "B/K")],
        &["PutObject", "GetObject"],
    ),
    ("CompleteMultipartUpload", "POST", "/B/parts?uploadId=none", &[], &["PutObject"]),
    ("AbortMultipartUpload", "DELETE", "/B/parts?uploadId=none", &[], &["AbortMultipartUpload"]),
    // On a condition that fails: what is renamed would be gone for the next.
    (
        "RenameObject",
        "PUT",
        "/B/scratch?renameObject",
        &[("x-amz-rename-source", "B/K"), ("x-amz-rename-source-if-match", "\"abc\"")],
        &["PutObject", "GetObject", "DeleteObject"],
    ),
    ("RestoreObject", "POST", "/B/K?restore", &[], &["RestoreObject"]),
    ("SelectObjectContent", "POST", "/B/K?select&select-type=2", &[], &["GetObject"]),
    ("DeleteObject", "DELETE", "/B/scratch", &[], &["DeleteObject"]),
    ("DeleteObject of a version", "DELETE", "/B/scratch?versionId=null", &[], &["DeleteObjectVersion"]),
    ("DeleteObjects", "POST", "/B?delete", &[], &["DeleteObject"]),
    ("DeleteObjects of versions", "POST", "/B?delete", &[], &["DeleteObjectVersion"]),
];

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (sub_resource, get, put, delete) in CONFIGURATIONS {
        let rows = [("GET", Some(*get)), ("PUT", *put), ("DELETE", *delete)];
        for (method, action) in rows.into_iter().filter_map(|(method, action)| Some((method, action?))) {
            // A list in a header, so that it is a whole request and changes nothing.
            let list =
                (*sub_resource == "acl" && method == "PUT").then(|| ("x-amz-acl", "private".to_owned()));
            all.push(Operation {
                name: sub_resource,
                method,
                target: format!("/B?{sub_resource}"),
                headers: list.into_iter().collect(),
                body: String::new(),
                actions: vec![action],
            });
        }
    }
    for (name, method, target, headers, actions) in OTHERS {
        let body = match *name {
            "DeleteObjects" => "<Delete><Object><Key>scratch</Key></Object></Delete>",
            "DeleteObjects of versions" => {
                "<Delete><Object><Key>scratch</Key><VersionId>null</VersionId></Object></Delete>"
            }
            "PutObjectTagging" | "PutObjectTagging of a version" => {
                "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
            }
            _ => "",
        };
        all.push(Operation {
            name,
            method,
            target: (*target).to_owned(),
            headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            body: body.to_owned(),
            actions: actions.to_vec(),
        });
    }
    all
}

/// A body's MD5, as its header has it.
pub(super) fn content_md5(body: &str) -> String {
    BASE64.encode(Md5::digest(body))
}

impl Operation {
    pub(super) fn request(&self, bucket: &str, key: &str, caller: &str) -> Request {
        let fill = |text: &str| {
            let text = text.replace("/B", &format!("/{bucket}")).replace("/K", &format!("/{key}"));
            text.replace("NAME", &format!("{bucket}-{caller}"))
        };
        let mut request = Request::new(self.method, fill(&self.target));
        for (name, value) in &self.headers {
            let value = match *name {
                "x-amz-copy-source" | "x-amz-rename-source" => fill(&format!("/{value}")),
                _ => value.clone(),
            };
            request = request.header(name, value);
        }
        if self.body.is_empty() {
            return request;
        }
        // A list of keys to delete is not taken without.
        request.header("content-md5", content_md5(&self.body)).body(self.body.clone())
    }

    pub(super) fn is_about_bucket(&self) -> bool {
        self.target.starts_with("/B")
    }
}
