//! Who may do what, walked: every operation by every kind of caller, allowed exactly where the actions that it needs
//! say so; and reads of objects at every door, where no answer is different on a hit.
//!
//! What each operation needs is written down here once more, from the S3 API reference, apart from the product's own
//! table. A request that is let in and then fails for another reason (there is no such upload, the document is empty,
//! the bucket is not empty, it is not implemented) was let in; so most of the walk changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use md5::{Digest as _, Md5};
use tests::cluster::REGIONS;
use tests::sign::{Keys, Signing, UNSIGNED_PAYLOAD};
use tests::{Answer, Client, Cluster, Endpoint, Request, Signed};

/// Requests on their way at one time.
const AT_ONCE: usize = 12;

/// One operation: its request, `B` standing for the bucket and `K` for an object in it, and what it needs.
struct Operation {
    name: &'static str,
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    actions: Vec<&'static str>,
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
    ("RestoreObject", "POST", "/B/K?restore", &[], &["RestoreObject"]),
    ("SelectObjectContent", "POST", "/B/K?select&select-type=2", &[], &["GetObject"]),
    ("DeleteObject", "DELETE", "/B/scratch", &[], &["DeleteObject"]),
    ("DeleteObject of a version", "DELETE", "/B/scratch?versionId=null", &[], &["DeleteObjectVersion"]),
    ("DeleteObjects", "POST", "/B?delete", &[], &["DeleteObject"]),
    ("DeleteObjects of versions", "POST", "/B?delete", &[], &["DeleteObjectVersion"]),
];

fn operations() -> Vec<Operation> {
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

fn content_md5(body: &str) -> String {
    BASE64.encode(Md5::digest(body))
}

impl Operation {
    fn request(&self, bucket: &str, key: &str, caller: &str) -> Request {
        let fill = |text: &str| {
            let text = text.replace("/B", &format!("/{bucket}")).replace("/K", &format!("/{key}"));
            text.replace("NAME", &format!("{bucket}-{caller}"))
        };
        let mut request = Request::new(self.method, fill(&self.target));
        for (name, value) in &self.headers {
            let value = if *name == "x-amz-copy-source" { fill(&format!("/{value}")) } else { value.clone() };
            request = request.header(name, value);
        }
        if self.body.is_empty() {
            return request;
        }
        // A list of keys to delete is not taken without.
        request.header("content-md5", content_md5(&self.body)).body(self.body.clone())
    }

    fn is_about_bucket(&self) -> bool {
        self.target.starts_with("/B")
    }
}

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    /// A user of the bucket's account with this level.
    Owner(Level),
    /// A `full` user of the bucket's account whom the policy denies everything.
    DeniedOwner,
    /// A `full` user of another account, without and with a grant to read and write.
    Other,
    Granted,
    /// A user of another account whom the policy allows to read, list and put objects.
    Invited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Read,
    Write,
    ReadWrite,
    Full,
}

const CALLERS: [(Who, &str, &str); 8] = [
    (Who::Owner(Level::Read), "reader", "read"),
    (Who::Owner(Level::Write), "writer", "write"),
    (Who::Owner(Level::ReadWrite), "both", "readwrite"),
    (Who::Owner(Level::Full), "full", "full"),
    (Who::DeniedOwner, "denied", "full"),
    (Who::Other, "other", "full"),
    (Who::Granted, "granted", "full"),
    (Who::Invited, "invited", "full"),
];

impl Who {
    const fn account(self) -> &'static str {
        match self {
            Self::Owner(_) | Self::DeniedOwner => "owners",
            Self::Anonymous | Self::Other => "others",
            Self::Granted => "granted",
            Self::Invited => "invited",
        }
    }

    /// Whether `action` is allowed, by what each kind of caller was given above. What is made new is its maker's.
    fn may(self, action: &str) -> bool {
        let is_account = matches!(action, "ListAllMyBuckets" | "CreateBucket");
        let is_of_policy = matches!(action, "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy");
        match self {
            Self::Anonymous => false,
            Self::Owner(level) => level.reaches(action),
            Self::DeniedOwner => is_account || is_of_policy,
            Self::Other => is_account,
            Self::Granted => is_account || GRANTED.contains(&action),
            Self::Invited => is_account || INVITED.contains(&action) || action == "PutObjectAcl of new",
        }
    }
}

const INVITED: [&str; 3] = ["GetObject", "ListBucket", "PutObject"];

const GRANTED: [&str; 19] = [
    "ListBucket",
    "ListBucketVersions",
    "ListBucketMultipartUploads",
    "GetBucketLocation",
    "GetObject",
    "GetObjectVersion",
    "GetObjectAttributes",
    "GetObjectTagging",
    "GetObjectVersionTagging",
    "ListMultipartUploadParts",
    "PutObject",
    "PutObjectAcl of new",
    "PutObjectTagging",
    "PutObjectVersionTagging",
    "DeleteObjectTagging",
    "DeleteObjectVersionTagging",
    "DeleteObject",
    "DeleteObjectVersion",
    "AbortMultipartUpload",
];

impl Level {
    fn reaches(self, action: &str) -> bool {
        let reads = action.starts_with("Get") || action.starts_with("List");
        let writes = !reads
            && (action.contains("Object") && !action.contains("Bucket") || action == "AbortMultipartUpload");
        match self {
            Self::Read => reads,
            // Whoever may give an object away must be able to read it.
            Self::Write => writes && !matches!(action, "PutObjectAcl" | "PutObjectVersionAcl"),
            Self::ReadWrite => reads || writes,
            Self::Full => true,
        }
    }
}

/// Three regions, a bucket of the account `owners` in each, and callers of every kind.
struct Site {
    cluster: Cluster,
    keys: Vec<(Who, &'static str, Option<Keys>)>,
}

/// The bucket of each region.
fn bucket_of(region: &str) -> String {
    format!("walk-{region}")
}

fn policy(bucket: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Sid":"Invite","Effect":"Allow","Principal":{{"AWS":"invited"}},
              "Action":["s3:GetObject","s3:ListBucket","s3:PutObject"],
              "Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}},
            {{"Sid":"Shut","Effect":"Deny","Principal":{{"AWS":"arn:aws:iam::owners:user/denied"}},
              "Action":"s3:*","Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}}]}}"#
    )
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let owner = cluster.create_user("founder", &["--account", "owners", "--level", "full"]);
        for region in REGIONS {
            let founder = cluster.standard(region).with_keys(owner.clone());
            founder.create_bucket(&bucket_of(region)).await;
            let _ = founder.put(&bucket_of(region), "k", "the body").await.ok();
        }
        let grants: Vec<String> =
            REGIONS.iter().map(|region| format!("{region}/{}=readwrite", bucket_of(region))).collect();
        let mut keys = vec![(Who::Anonymous, "anonymous", None)];
        for (who, name, level) in CALLERS {
            let mut arguments = vec!["--account", who.account(), "--level", level];
            if who == Who::Granted {
                arguments.extend(grants.iter().flat_map(|grant| ["--grant", grant.as_str()]));
            }
            keys.push((who, name, Some(cluster.create_user(name, &arguments))));
        }
        let site = Self { cluster, keys };
        for region in REGIONS {
            site.put_policy(region).await;
        }
        site
    }

    fn keys_of(&self, wanted: Who) -> &Keys {
        let found = self.keys.iter().find(|(who, ..)| *who == wanted);
        found.and_then(|(.., keys)| keys.as_ref()).expect("a caller with keys")
    }

    fn full(&self, region: &str) -> Client {
        self.cluster.standard(region).with_keys(self.keys_of(Who::Owner(Level::Full)).clone())
    }

    async fn put_policy(&self, region: &str) {
        let bucket = bucket_of(region);
        let request = Request::new("PUT", format!("/{bucket}?policy")).body(policy(&bucket));
        let _ = self.full(region).send(request).await.ok();
    }

    /// Every listener, asked for the data of `region`.
    fn doors(&self, region: &str) -> Vec<(String, Client)> {
        let mut doors = Vec::new();
        for at in REGIONS {
            for endpoint in [Endpoint::Standard, Endpoint::Accelerated] {
                let client = self.cluster.client(at, endpoint).under(endpoint.host(region));
                doors.push((format!("{endpoint:?} of {region} at {at}"), client));
            }
        }
        doors
    }

    async fn send(&self, door: &Client, keys: Option<&Keys>, request: Request) -> Answer {
        match keys {
            Some(keys) => door.with_keys(keys.clone()).send(request).await,
            None => door.send_signed(door.unsigned(request)).await,
        }
    }
}

/// Whether somebody was let in. A list of keys is refused one by one.
fn is_let_in(answer: &Answer) -> bool {
    answer.status != 403 && !answer.text().contains("<Code>AccessDenied</Code>")
}

#[tokio::test]
async fn every_operation_is_allowed_exactly_where_its_actions_are() {
    let site = Site::start().await;
    let operations = operations();
    // The owner's own listener, and another region's other one: what is not an object read is forwarded.
    let doors: Vec<_> =
        site.doors("las1").into_iter().enumerate().filter(|(i, _)| [1, 2].contains(i)).collect();
    let mut cells = Vec::new();
    for operation in &operations {
        for (who, name, keys) in &site.keys {
            cells.extend(doors.iter().map(|(_, door)| (operation, *who, *name, keys.as_ref(), door)));
        }
    }
    let count = cells.len();
    let wrong: Vec<String> = stream::iter(cells)
        .map(|(operation, who, name, keys, (door, client))| {
            let site = &site;
            async move {
                let request = operation.request(&bucket_of("las1"), "k", name);
                let answer = site.send(client, keys, request).await;
                let expected = operation.actions.iter().all(|action| who.may(action));
                let is_asked_twice = !operation.is_about_bucket() && answer.status == 409;
                (is_let_in(&answer) != expected && !is_asked_twice || answer.status == 500).then(|| {
                    let (status, code) = answer.refusal();
                    let Operation { method, name, .. } = operation;
                    format!("{method} {name} by {who:?} through {door}: {status} {code}, allowed: {expected}")
                })
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} of {count} cells:\n{}", wrong.len(), wrong.join("\n"));

    // What takes the policy away, one by one, and puts it back.
    for (who, name, keys) in &site.keys {
        let request = Request::new("DELETE", format!("/{}?policy", bucket_of("las1")));
        let answer = site.send(&doors[0].1.1, keys.as_ref(), request).await;
        assert_eq!(is_let_in(&answer), who.may("DeleteBucketPolicy"), "{who:?} {name}: {}", answer.status);
        site.put_policy("las1").await;
    }
}

/// What a reader is told: status, headers and body, without what may differ from one answer to the next.
fn told(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let own = ["date", "x-amz-request-id", "x-amz-id-2", "connection", "keep-alive", "cache-status"];
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let ids = ["RequestId", "HostId"].map(|id| format!("<{id}>{}</{id}>", answer.element(id)));
    let body = ids.iter().fold(answer.text(), |text, id| text.replace(id, ""));
    (answer.status, headers.filter(|(name, _)| !own.contains(&name.as_str())).collect(), body)
}

/// Reads by every kind of caller through every listener: of a cold object, and of the same one warm. Who may not read
/// is told the very same of an object that is not there.
#[tokio::test]
async fn no_read_is_judged_differently_on_a_hit() {
    let site = Site::start().await;
    let judged = REGIONS.map(async |region| {
        let mut wrong = Vec::new();
        for (who, name, keys) in &site.keys {
            let bucket = bucket_of(region);
            let may = who.may("GetObject");
            let may_list = who.may("ListBucket");
            for (door, client) in site.doors(region) {
                let key = format!("{name}-{}", door.replace(' ', "-"));
                let put = Request::new("PUT", format!("/{bucket}/{key}")).body(key.clone());
                let _ = site.full(region).send(put).await.ok();
                let read = |method, key: &str| {
                    site.send(&client, keys.as_ref(), Request::new(method, format!("/{bucket}/{key}")))
                };
                let cold = read("GET", &key).await;
                let warming = client.with_keys(site.keys_of(Who::Owner(Level::Full)).clone());
                let _ = warming.get(&bucket, &key).await.ok();
                let hot = read("GET", &key).await;
                let (head, missing) = (read("HEAD", &key).await, read("GET", "no-such-key").await);
                let place = format!("{who:?} through {door}");
                if (cold.status == 200) != may || told(&cold) != told(&hot) || head.status != cold.status {
                    let refusals = [cold.refusal(), hot.refusal(), head.refusal()];
                    wrong.push(format!("{place}, allowed: {may}: cold, hot and HEAD are {refusals:?}"));
                }
                if missing.status != if may_list && may { 404 } else { 403 } {
                    wrong.push(format!("{place}: a missing object is {:?}", missing.refusal()));
                }
                for refused in [&cold, &hot, &head, &missing] {
                    if refused.status >= 400 && !refused.header("cache-status").is_empty() {
                        wrong.push(format!("{place}: a refusal says what the cache did"));
                    }
                }
                let without_key = |answer: &Answer, key: &str| {
                    let (status, headers, body) = told(answer);
                    (status, headers.len(), body.replace(key, ""))
                };
                if !may && without_key(&hot, &key) != without_key(&missing, "no-such-key") {
                    wrong.push(format!("{place}: what may not be read differs from what is missing"));
                }
            }
        }
        wrong
    });
    let wrong: Vec<String> = join_all(judged).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The right user, and one thing wrong with the signature: nothing is let in, anywhere, be the object cached or not.
#[tokio::test]
async fn a_signature_that_is_not_whole_opens_nothing() {
    let site = Site::start().await;
    let full = site.keys_of(Who::Owner(Level::Full)).clone();
    let bucket = bucket_of("lga1");
    for (door, client) in site.doors("lga1") {
        let client = client.with_keys(full.clone());
        let _ = client.get(&bucket, "k").await.ok();
        let get = || {
            let request = Request::new("GET", format!("/{bucket}/k?response-content-language=never"));
            client.sign(request.header("x-amz-checksum-mode", "ENABLED"), SystemTime::now())
        };
        let put = || {
            let request = Request::new("PUT", format!("/{bucket}/tampered")).body("a body");
            client.sign(request.header("x-amz-meta-a", "b"), SystemTime::now())
        };
        assert_eq!(client.send_signed(get()).await.status, 200, "{door}");
        assert_eq!(client.send_signed(put()).await.status, 200, "{door}");
        let mut forged: Vec<(&str, Signed)> = vec![
            ("method", Signed { method: "HEAD", ..get() }),
            ("key", Signed { target: get().target.replace("/k?", "/j?"), ..get() }),
            ("value in the query", Signed { target: get().target.replace("never", "neveR"), ..get() }),
            ("name in the query", Signed { target: get().target.replace("-language", "-type"), ..get() }),
            ("more in the query", Signed { target: get().target + "&partNumber=1", ..get() }),
            ("body", Signed { body: "A body".into(), ..put() }),
        ];
        for (header, from, to) in [
            ("x-amz-checksum-mode", "ENABLED", "ENABLEd"),
            ("x-amz-content-sha256", "e3b0", "e3b1"),
            ("authorization", "us-east-1", "us-east-2"),
            ("authorization", "Signature=", "Signature=0"),
            ("authorization", "host;", ""),
            ("authorization", ";x-amz-date", ""),
            ("authorization", &full.access_key, "PKNOBODYNOBODYNOBODY"),
        ] {
            forged.push((header, changed(get(), header, from, to)));
        }
        let date = get().headers.iter().find(|(name, _)| name == "x-amz-date").expect("signed").1.clone();
        let minute = if date.ends_with("0Z") { "1Z" } else { "0Z" };
        forged.push(("x-amz-date", changed(get(), "x-amz-date", &date[date.len() - 2..], minute)));
        forged.push(("x-amz-meta-a", changed(put(), "x-amz-meta-a", "b", "c")));
        forged.push(("last byte of the signature", last_byte_changed(get())));
        let wrong_key = client.with_keys(Keys { secret_key: "x".repeat(40), ..full.clone() });
        let read = || Request::new("GET", format!("/{bucket}/k"));
        forged.push(("secret", wrong_key.sign(read(), SystemTime::now())));
        let long_ago = SystemTime::now() - Duration::from_secs(16 * 60);
        forged.push(("age", client.sign(read(), long_ago)));
        for (part, signed) in forged {
            let answer = client.send_signed(signed).await;
            assert!(matches!(answer.status, 400 | 403), "{part} through {door}: {}", answer.status);
            assert!(
                answer.header("cache-status").is_empty() && !answer.text().contains("the body"),
                "{part}"
            );
        }
        for (expires, age, status) in [(60, 30, 200), (60, 61, 403), (604_800, 604_801, 403)] {
            let at = SystemTime::now() - Duration::from_secs(age);
            let query = presigned(&client, &format!("/{bucket}/k"), at, expires);
            let answer = presigned_get(&client, &format!("/{bucket}/k?{query}")).await;
            assert_eq!(answer.status, status, "{door}: {expires} s, {age} s ago: {}", answer.text());
        }
    }
}

/// `signed` with the first `from` in a header's value replaced, which must be there.
fn changed(mut signed: Signed, header: &str, from: &str, to: &str) -> Signed {
    let (_, value) = signed.headers.iter_mut().find(|(name, _)| name == header).expect("the header is there");
    assert!(value.contains(from), "{header}: {value}");
    *value = value.replacen(from, to, 1);
    signed
}

fn last_byte_changed(mut signed: Signed) -> Signed {
    let (_, value) = signed.headers.iter_mut().find(|(name, _)| name == "authorization").expect("signed");
    let last = value.pop().expect("a signature");
    value.push(if last == '0' { '1' } else { '0' });
    signed
}

fn presigned(client: &Client, path: &str, at: SystemTime, expires: i64) -> String {
    let headers = [("host".to_owned(), client.host().to_owned())];
    let signing = Signing {
        method: "GET",
        path,
        query: "",
        headers: &headers,
        payload_hash: UNSIGNED_PAYLOAD,
        at,
        region: "us-east-1",
    };
    signing.presigned_query(client.keys(), expires)
}

async fn presigned_get(client: &Client, target: &str) -> Answer {
    client.send_signed(client.unsigned(Request::new("GET", target))).await
}
