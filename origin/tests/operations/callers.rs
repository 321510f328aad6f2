//! Who asks, looked at once more: when their request has come whole, and when what they ask about has been read.

use crate::region::{Region, md5};

/// Whoever is gone by then changes nothing, whatever they had begun.
#[tokio::test]
async fn a_caller_who_is_gone_at_the_end_of_the_body_changes_nothing() {
    let region = Region::start().await;
    region.put("there", "before").await;
    let upload = region.start_upload("parts", &[]).await;
    region.put_part("parts", &upload, 1, "part").await.ok();
    let completion = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        md5(b"part")
    );
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let block = "<PublicAccessBlockConfiguration/>";
    let policy = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}}"#;
    let (of_upload, part) = (format!("/photos/parts?uploadId={upload}"), "&partNumber=1");
    let from_there = ("x-amz-copy-source", "/photos/there");
    for (method, target, headers, body) in [
        ("PUT", "/photos/there".to_owned(), &[][..], "after"),
        ("PUT", "/photos/new".to_owned(), &[], "after"),
        ("PUT", "/photos/new".to_owned(), &[from_there, ("x-amz-checksum-algorithm", "SHA1")], ""),
        ("PUT", format!("{of_upload}{part}"), &[], "again"),
        ("PUT", format!("{of_upload}{part}"), &[from_there], ""),
        ("POST", of_upload.clone(), &[], completion.as_str()),
        ("POST", "/photos?delete".to_owned(), &[], "<Delete><Object><Key>there</Key></Object></Delete>"),
        ("PUT", "/photos/there?tagging".to_owned(), &[], tags),
        ("PUT", "/photos?tagging".to_owned(), &[], tags),
        ("PUT", "/photos?policy".to_owned(), &[], policy),
        ("PUT", "/photos?publicAccessBlock".to_owned(), &[], block),
        ("PUT", "/photos?acl".to_owned(), &[("x-amz-acl", "public-read")], ""),
        ("PUT", "/made".to_owned(), &[], ""),
        ("DELETE", "/photos".to_owned(), &[], ""),
    ] {
        let refused = region.send_and_go(method, &target, headers, body.to_owned()).await;
        assert_eq!(refused.error(), (403, "InvalidAccessKeyId".into()), "{method} {target}");
    }
    assert_eq!(region.get("there").await.ok().body, "before");
    assert_eq!(region.get("there").await.header("x-amz-tagging-count"), "");
    let parts = region.send("GET", &of_upload, &[], "").await.ok();
    assert_eq!(parts.element("ETag").trim_matches('"').replace("&quot;", ""), md5(b"part"));
    for (target, status) in [
        ("/photos/new", 404),
        ("/photos/parts", 404),
        ("/photos?policy", 404),
        ("/photos?tagging", 404),
        ("/photos?publicAccessBlock", 404),
        ("/made", 404),
    ] {
        assert_eq!(region.send("GET", target, &[], "").await.status, status, "{target}");
    }
    assert_eq!(region.send("GET", "/photos?acl", &[], "").await.elements("Permission"), ["FULL_CONTROL"]);
}

/// Who may make buckets is decided before the request has come whole: whoever has changed by then is to ask again.
#[tokio::test]
async fn a_caller_who_has_changed_makes_no_bucket() {
    let region = Region::start().await;
    let refused = region.send_and_lose_rights("PUT", "/made", &[]).await;
    assert_eq!(refused.error(), (503, "SlowDown".into()));
    assert_eq!(region.send("GET", "/made?acl", &[], "").await.status, 404);
}

/// Who and what belong to one instant: what was read may have been written after the caller was deleted, or lost the right to
/// it, and nothing is told of it then, not even that it is not there.
#[tokio::test]
async fn a_caller_who_is_gone_or_may_no_more_at_the_snapshot_reads_nothing() {
    let region = Region::start().await;
    region.put("there", "before").await;
    let upload = region.start_upload("parts", &[]).await;
    let attributes = &[("x-amz-object-attributes", "ETag")][..];
    let of_upload = format!("/photos/parts?uploadId={upload}");
    for (method, target, headers) in [
        ("GET", "/", &[][..]),
        ("HEAD", "/photos", &[]),
        ("GET", "/photos", &[]),
        ("GET", "/photos?list-type=2", &[]),
        ("GET", "/photos?versions", &[]),
        ("GET", "/photos?uploads", &[]),
        ("GET", &of_upload, &[]),
        ("GET", "/photos?acl", &[]),
        ("GET", "/photos?cors", &[]),
        ("GET", "/photos?encryption", &[]),
        ("GET", "/photos?lifecycle", &[]),
        ("GET", "/photos?location", &[]),
        ("GET", "/photos?logging", &[]),
        ("GET", "/photos?ownershipControls", &[]),
        ("GET", "/photos?policy", &[]),
        ("GET", "/photos?policyStatus", &[]),
        ("GET", "/photos?publicAccessBlock", &[]),
        ("GET", "/photos?tagging", &[]),
        ("GET", "/photos?versioning", &[]),
        ("GET", "/photos?website", &[]),
        ("GET", "/photos/there", &[]),
        ("HEAD", "/photos/there", &[]),
        ("GET", "/photos/there?acl", &[]),
        ("GET", "/photos/there?attributes", attributes),
        ("GET", "/photos/there?legal-hold", &[]),
        ("GET", "/photos/there?tagging", &[]),
        ("GET", "/photos/missing", &[]),
    ] {
        let gone = region.send_and_go(method, target, headers, "").await;
        let lowered = region.send_and_lose_rights(method, target, headers).await;
        assert_eq!(gone.status, 403, "{method} {target}: {gone:?}");
        // Whoever is still a user may list the buckets of their account.
        assert_eq!(lowered.status, if target == "/" { 200 } else { 403 }, "{method} {target}: {lowered:?}");
        if method == "GET" {
            assert_eq!(gone.error().1, "InvalidAccessKeyId", "{target}");
        }
    }
}
