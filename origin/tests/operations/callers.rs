//! Who asks, looked at once more: when what they change has been announced, and when what they ask about has been read.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue};
use origin::regional::RenameObjectInput;
use s3s::S3ErrorCode;

use crate::region::{Region, caller, md5};

/// The list of the store's operations.
const OPERATIONS: &str = include_str!("../../src/regional/operations.rs");

/// A request.
struct Asking {
    method: &'static str,
    target: String,
    headers: &'static [(&'static str, &'static str)],
    body: String,
}

/// What changes something. `upload` is one of `parts`, with one part.
fn changes(upload: &str) -> Vec<Asking> {
    let of_upload = format!("/photos/parts?uploadId={upload}");
    let part = format!("{of_upload}&partNumber=1");
    let completion = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        md5(b"part")
    );
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let block = "<PublicAccessBlockConfiguration/>";
    let policy = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}}"#;
    let cors = "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>";
    let encryption = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
        <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
    let lifecycle = "<LifecycleConfiguration><Rule><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
    let ownership =
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let website = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>";
    let delete = "<Delete><Object><Key>there</Key></Object></Delete>";
    let from_there = &[("x-amz-copy-source", "/photos/there")];
    let and_summed = &[("x-amz-copy-source", "/photos/there"), ("x-amz-checksum-algorithm", "SHA1")];
    let public = &[("x-amz-acl", "public-read")];
    [
        ("PUT", "/made", &[][..], ""),
        ("DELETE", "/empty", &[], ""),
        ("PUT", "/photos?policy", &[], policy),
        ("DELETE", "/photos?policy", &[], ""),
        ("PUT", "/photos?acl", public, ""),
        ("PUT", "/photos?publicAccessBlock", &[], block),
        ("DELETE", "/photos?publicAccessBlock", &[], ""),
        ("PUT", "/photos?ownershipControls", &[], ownership),
        ("DELETE", "/photos?ownershipControls", &[], ""),
        ("PUT", "/photos?cors", &[], cors),
        ("DELETE", "/photos?cors", &[], ""),
        ("PUT", "/photos?encryption", &[], encryption),
        ("DELETE", "/photos?encryption", &[], ""),
        ("PUT", "/photos?lifecycle", &[], lifecycle),
        ("DELETE", "/photos?lifecycle", &[], ""),
        ("PUT", "/photos?tagging", &[], tags),
        ("DELETE", "/photos?tagging", &[], ""),
        ("PUT", "/photos?versioning", &[], versioning),
        ("PUT", "/photos?website", &[], website),
        ("DELETE", "/photos?website", &[], ""),
        ("PUT", "/photos/there", &[], "after"),
        ("PUT", "/photos/new", &[], "after"),
        ("PUT", "/photos/new", from_there, ""),
        ("PUT", "/photos/new", and_summed, ""),
        ("DELETE", "/photos/there", &[], ""),
        ("POST", "/photos?delete", &[], delete),
        ("PUT", "/photos/there?acl", public, ""),
        ("PUT", "/photos/there?tagging", &[], tags),
        ("DELETE", "/photos/there?tagging", &[], ""),
        ("POST", "/photos/more?uploads", &[], ""),
        ("PUT", &part, &[], "again"),
        ("PUT", &part, from_there, ""),
        ("POST", &of_upload, &[], &completion),
        ("DELETE", &of_upload, &[], ""),
    ]
    .map(|(method, target, headers, body)| {
        let (target, body) = (target.to_owned(), body.to_owned());
        Asking { method, target, headers, body }
    })
    .into()
}

/// What changes nothing.
fn reads(upload: &str) -> Vec<Asking> {
    let of_upload = format!("/photos/parts?uploadId={upload}");
    let attributes = &[("x-amz-object-attributes", "ETag")];
    let suspended = "<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>";
    let payer = "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>";
    [
        ("GET", "/", &[][..], ""),
        ("HEAD", "/photos", &[], ""),
        ("GET", "/photos", &[], ""),
        ("GET", "/photos?list-type=2", &[], ""),
        ("GET", "/photos?versions", &[], ""),
        ("GET", "/photos?uploads", &[], ""),
        ("GET", &of_upload, &[], ""),
        ("GET", "/photos?accelerate", &[], ""),
        ("GET", "/photos?acl", &[], ""),
        ("GET", "/photos?analytics&id=a", &[], ""),
        ("GET", "/photos?analytics", &[], ""),
        ("GET", "/photos?cors", &[], ""),
        ("GET", "/photos?encryption", &[], ""),
        ("GET", "/photos?intelligent-tiering&id=a", &[], ""),
        ("GET", "/photos?intelligent-tiering", &[], ""),
        ("GET", "/photos?inventory&id=a", &[], ""),
        ("GET", "/photos?inventory", &[], ""),
        ("GET", "/photos?lifecycle", &[], ""),
        ("GET", "/photos?location", &[], ""),
        ("GET", "/photos?logging", &[], ""),
        ("GET", "/photos?metrics&id=a", &[], ""),
        ("GET", "/photos?metrics", &[], ""),
        ("GET", "/photos?notification", &[], ""),
        ("GET", "/photos?object-lock", &[], ""),
        ("GET", "/photos?ownershipControls", &[], ""),
        ("GET", "/photos?policy", &[], ""),
        ("GET", "/photos?policyStatus", &[], ""),
        ("GET", "/photos?publicAccessBlock", &[], ""),
        ("GET", "/photos?replication", &[], ""),
        ("GET", "/photos?requestPayment", &[], ""),
        ("GET", "/photos?tagging", &[], ""),
        ("GET", "/photos?versioning", &[], ""),
        ("GET", "/photos?website", &[], ""),
        ("GET", "/photos/there", &[], ""),
        ("HEAD", "/photos/there", &[], ""),
        ("GET", "/photos/there?acl", &[], ""),
        ("GET", "/photos/there?attributes", attributes, ""),
        ("GET", "/photos/there?legal-hold", &[], ""),
        ("GET", "/photos/there?retention", &[], ""),
        ("GET", "/photos/there?tagging", &[], ""),
        ("GET", "/photos/missing", &[], ""),
        ("PUT", "/photos?accelerate", &[], suspended),
        ("PUT", "/photos?logging", &[], "<BucketLoggingStatus/>"),
        ("PUT", "/photos?notification", &[], "<NotificationConfiguration/>"),
        ("PUT", "/photos?requestPayment", &[], payer),
        ("DELETE", "/photos?analytics&id=a", &[], ""),
        ("DELETE", "/photos?intelligent-tiering&id=a", &[], ""),
        ("DELETE", "/photos?inventory&id=a", &[], ""),
        ("DELETE", "/photos?metrics&id=a", &[], ""),
        ("DELETE", "/photos?replication", &[], ""),
    ]
    .map(|(method, target, headers, body)| {
        let (target, body) = (target.to_owned(), body.to_owned());
        Asking { method, target, headers, body }
    })
    .into()
}

/// A region with an object `there`, an upload of `parts` with one part, and an empty bucket; and the upload's id.
async fn start() -> (Region, String) {
    let region = Region::start().await;
    region.send("PUT", "/empty", &[], "").await.ok();
    region.put("there", "before").await;
    let upload = region.start_upload("parts", &[]).await;
    region.put_part("parts", &upload, 1, "part").await.ok();
    (region, upload)
}

/// Whatever the store comes to do is tried below.
#[tokio::test]
async fn every_operation_is_tried() {
    let (region, upload) = start().await;
    let mut tried = BTreeSet::new();
    for Asking { method, target, headers, body } in changes(&upload).into_iter().chain(reads(&upload)) {
        tried.insert(region.operation_of(method, &target, headers, body).await);
    }
    let listed = OPERATIONS.lines().filter_map(|line| line.split_once("Input) -> ")?.0.split_once('('));
    let listed: BTreeSet<_> =
        listed.map(|(_, input)| input.to_owned()).filter(|name| !name.is_empty()).collect();
    assert_eq!(tried, listed);
}

/// Whoever is gone by then, or may no more, changes nothing, whatever they had begun.
#[tokio::test]
async fn a_caller_who_is_gone_or_may_no_more_at_the_commit_changes_nothing() {
    let (region, upload) = start().await;
    for Asking { method, target, headers, body } in changes(&upload) {
        let gone = region.send_and_go(method, &target, headers, body.clone()).await;
        assert_eq!(gone.error(), (403, "InvalidAccessKeyId".into()), "{method} {target}");
        let gone = region.send_and_go_once_announced(method, &target, headers, body.clone()).await;
        assert_eq!(gone.error(), (403, "InvalidAccessKeyId".into()), "{method} {target}, announced");
        assert_eq!(region.announcements.take().len(), 1, "{method} {target}");
        let lowered = region.send_and_lose_rights(method, &target, headers, body).await;
        // Each key of many has its own answer.
        let status = if target == "/photos?delete" { 200 } else { 403 };
        assert_eq!(lowered.error(), (status, "AccessDenied".into()), "{method} {target}");
    }
    assert_eq!(region.get("there").await.ok().body, "before");
    assert_eq!(region.get("there").await.header("x-amz-tagging-count"), "");
    assert_eq!(region.list("uploads", "UploadId").await, std::slice::from_ref(&upload));
    let parts = region.send("GET", &format!("/photos/parts?uploadId={upload}"), &[], "").await.ok();
    assert_eq!(parts.element("ETag").trim_matches('"').replace("&quot;", ""), md5(b"part"));
    for (target, status) in [
        ("/empty", 200),
        ("/made", 404),
        ("/photos/new", 404),
        ("/photos/parts", 404),
        ("/photos?cors", 404),
        ("/photos?lifecycle", 404),
        ("/photos?policy", 404),
        ("/photos?publicAccessBlock", 404),
        ("/photos?tagging", 404),
        ("/photos?website", 404),
    ] {
        assert_eq!(region.send("GET", target, &[], "").await.status, status, "{target}");
    }
    for target in ["/photos?acl", "/photos/there?acl"] {
        let list = region.send("GET", target, &[], "").await.ok();
        assert_eq!(list.elements("Permission"), ["FULL_CONTROL"], "{target}");
    }
    assert_eq!(region.send("GET", "/photos?versioning", &[], "").await.ok().element("Status"), "");
}

/// The one change that s3s does not know.
#[tokio::test]
async fn a_caller_who_is_gone_at_the_commit_renames_nothing() {
    let (region, _) = start().await;
    let source = ("x-amz-rename-source".parse().expect("a name"), HeaderValue::from_static("photos/there"));
    let headers = HeaderMap::from_iter([source]);
    let input = RenameObjectInput::parse("photos", "new", &headers).expect("a rename");
    let refused = region.rename_and_go(input, headers).await.expect_err("whoever asks is gone");
    assert_eq!(refused.code(), &S3ErrorCode::InvalidAccessKeyId);
    assert_eq!(region.announcements.take().len(), 1);
    assert_eq!(region.get("there").await.ok().body, "before");
    assert_eq!(region.get("new").await.status, 404);
}

/// Who and what belong to one instant: what was read may have been written after the caller was deleted, or lost the right to
/// it, and nothing is told of it then, not even that it is not there.
#[tokio::test]
async fn a_caller_who_is_gone_or_may_no_more_at_the_snapshot_reads_nothing() {
    let (region, upload) = start().await;
    for Asking { method, target, headers, body } in reads(&upload) {
        let gone = region.send_and_go(method, &target, headers, body.clone()).await;
        let lowered = region.send_and_lose_rights(method, &target, headers, body.clone()).await;
        assert_eq!(gone.status, 403, "{method} {target}: {gone:?}");
        // Whoever is still a user may list the buckets of their account.
        assert_eq!(lowered.status, if target == "/" { 200 } else { 403 }, "{method} {target}: {lowered:?}");
        if method != "HEAD" {
            assert_eq!(gone.error().1, "InvalidAccessKeyId", "{method} {target}");
        }
        let _ = region.send_and_go_once_announced(method, &target, headers, body).await;
        assert_eq!(region.announcements.take(), [], "{method} {target}");
    }
}

/// What was done before, or cannot be, is answered without a commit. Whoever is gone by then is told neither.
#[tokio::test]
async fn a_caller_who_is_gone_is_not_told_that_it_was_done_or_cannot_be() {
    let (region, upload) = start().await;
    region.complete("parts", &upload, &[(1, &md5(b"part"))]).await.ok();
    let completes =
        |asking: &Asking| asking.body.starts_with("<CompleteMultipartUpload") && asking.method == "POST";
    let completion = changes(&upload).into_iter().find(completes).expect("a completion");
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let none = "<Delete><Object><Key>none</Key></Object></Delete>";
    let block = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
    region.send("PUT", "/photos?publicAccessBlock", &[], block).await.ok();
    for (method, target, headers, body, status) in [
        ("POST", completion.target.as_str(), &[][..], completion.body.as_str(), 200),
        ("PUT", "/photos", &[], "", 200),
        ("POST", "/photos?delete", &[], none, 200),
        ("DELETE", "/photos", &[], "", 409),
        ("PUT", "/photos/none?tagging", &[], tags, 404),
        ("PUT", "/photos?acl", &[("x-amz-acl", "public-read")], "", 403),
    ] {
        region.announcements.take();
        let told = region.send(method, target, headers, body.to_owned()).await;
        assert_eq!(told.status, status, "{method} {target}: {}", told.text());
        let gone = region.send_and_go_once_decided(method, target, headers, body.to_owned()).await;
        assert_eq!(gone.error(), (403, "InvalidAccessKeyId".into()), "{method} {target}");
        assert_eq!(region.announcements.take(), [], "{method} {target}");
    }
    let headers = [("x-amz-rename-source", "photos/there"), ("x-amz-client-token", "once")];
    let headers =
        headers.map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)));
    let headers: HeaderMap = headers.into_iter().collect();
    let input = RenameObjectInput::parse("photos", "new", &headers).expect("a rename");
    for _ in 0..2 {
        region.rename(caller(), input.clone(), headers.clone()).await.expect("renamed, now or before");
    }
    let refused = region.rename_and_go_once_decided(input, headers).await.expect_err("whoever asks is gone");
    assert_eq!(refused.code(), &S3ErrorCode::InvalidAccessKeyId);
}
