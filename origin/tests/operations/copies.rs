//! CopyObject and UploadPartCopy.

use crate::region::{Region, bytes, md5, user_of};

async fn copy(region: &Region, from: &str, to: &str, headers: &[(&str, &str)]) -> crate::region::Answer {
    let mut all = vec![("x-amz-copy-source", from)];
    all.extend_from_slice(headers);
    region.send("PUT", to, &all, "").await
}

#[tokio::test]
async fn a_copy_has_the_sources_bytes_and_attributes() {
    let region = Region::start().await;
    region.send("PUT", "/videos", &[], "").await.ok();
    for count in [0, 10, 300_000] {
        let body = bytes(count);
        region
            .put_with(
                "cat%20a.jpg",
                body.clone(),
                &[
                    ("content-type", "image/jpeg"),
                    ("x-amz-meta-mood", "sleepy"),
                    ("x-amz-website-redirect-location", "/x"),
                ],
            )
            .await
            .ok();
        let copied = copy(&region, "/photos/cat%20a.jpg", "/videos/cat", &[]).await.ok();
        assert_eq!(copied.element("ETag"), format!("\"{}\"", md5(&body)));
        let got = region.send("GET", "/videos/cat", &[], "").await.ok();
        assert_eq!(got.body, body);
        assert_eq!((got.header("content-type"), got.header("x-amz-meta-mood")), ("image/jpeg", "sleepy"));
        assert_eq!(got.header("x-amz-website-redirect-location"), "", "never copied");
        // The copy stands on its own.
        region.send("DELETE", "/photos/cat%20a.jpg", &[], "").await.ok();
        assert_eq!(region.send("GET", "/videos/cat", &[], "").await.body, body);
    }
}

#[tokio::test]
async fn attributes_may_be_replaced() {
    let region = Region::start().await;
    region
        .put_with("cat", "meow", &[("content-type", "image/jpeg"), ("x-amz-meta-mood", "sleepy")])
        .await
        .ok();
    let replace = [("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-age", "3")];
    copy(&region, "photos/cat", "/photos/cat2", &replace).await.ok();
    let got = region.get("cat2").await.ok();
    assert_eq!(
        (got.header("content-type"), got.header("x-amz-meta-mood"), got.header("x-amz-meta-age")),
        ("binary/octet-stream", "", "3")
    );
    let unknown = copy(&region, "photos/cat", "/photos/cat2", &[("x-amz-metadata-directive", "KEEP")]).await;
    assert_eq!(unknown.error(), (400, "InvalidArgument".into()));
}

/// Copied onto itself an object keeps its instance: caches that hold its bytes go on holding them.
#[tokio::test]
async fn a_copy_onto_itself_has_to_change_something() {
    let region = Region::start().await;
    region.put("cat", bytes(100_000)).await;
    let before = region.store.resolve("photos", "cat", None).await.expect("read").head.expect("there");
    let refused = copy(&region, "photos/cat", "/photos/cat", &[]).await;
    assert_eq!(refused.error(), (400, "InvalidRequest".into()));
    copy(
        &region,
        "photos/cat",
        "/photos/cat",
        &[("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-age", "3")],
    )
    .await
    .ok();
    let after = region.store.resolve("photos", "cat", None).await.expect("read").head.expect("there");
    assert_eq!(before.instance, after.instance);
    assert_ne!(before.revision, after.revision);
    let got = region.get("cat").await.ok();
    assert_eq!((got.body, got.headers["x-amz-meta-age"].to_str().ok()), (bytes(100_000), Some("3")));
}

/// As S3 has it, and as its users give old objects a checksum.
#[tokio::test]
async fn the_storage_class_that_an_object_has_is_something_to_change_in_place() {
    let region = Region::start().await;
    region.put("cat", bytes(100_000)).await;
    let headers = [("x-amz-storage-class", "STANDARD"), ("x-amz-checksum-algorithm", "SHA256")];
    let copied = copy(&region, "photos/cat", "/photos/cat", &headers).await.ok();
    let digest = copied.element("ChecksumSHA256");
    let got = region.send("GET", "/photos/cat", &[("x-amz-checksum-mode", "ENABLED")], "").await.ok();
    assert_eq!(got.header("x-amz-checksum-sha256"), digest);
    assert_eq!(got.body, bytes(100_000));
}

#[tokio::test]
async fn sources_that_cannot_be_copied_are_refused() {
    let region = Region::start().await;
    region.put("cat", "meow").await;
    region.send_as(Some(user_of("bob")), "PUT", "/models", &[], "").await.ok();
    region.send_as(Some(user_of("bob")), "PUT", "/models/secret", &[], "weights").await.ok();
    for (source, error) in [
        ("photos/none", (404, "NoSuchKey")),
        ("nowhere/cat", (404, "NoSuchBucket")),
        ("models/secret", (403, "AccessDenied")),
        ("photos/cat?versionId=3", (400, "InvalidArgument")),
        ("photos", (400, "InvalidArgument")),
    ] {
        assert_eq!(
            copy(&region, source, "/photos/copy", &[]).await.error(),
            (error.0, error.1.to_owned()),
            "{source}"
        );
    }
    let owner =
        copy(&region, "photos/cat", "/photos/copy", &[("x-amz-source-expected-bucket-owner", "bob")]).await;
    assert_eq!(owner.error(), (403, "AccessDenied".into()));
    assert_eq!(region.get("copy").await.status, 404);
    copy(&region, "photos/cat?versionId=null", "/photos/copy", &[]).await.ok();
}

#[tokio::test]
async fn copies_are_conditional_on_both_ends() {
    let region = Region::start().await;
    let etag = region.put("cat", "meow").await.header("etag").to_owned();
    let (past, future) = ("Sun, 22 Nov 1998 15:00:00 GMT", "Sun, 22 Nov 2099 15:00:00 GMT");
    for (headers, status) in [
        (&[("x-amz-copy-source-if-match", etag.as_str())][..], 200),
        (&[("x-amz-copy-source-if-match", "\"x\"")], 412),
        (&[("x-amz-copy-source-if-none-match", &etag)], 412),
        (&[("x-amz-copy-source-if-none-match", "\"x\"")], 200),
        (&[("x-amz-copy-source-if-modified-since", past)], 200),
        (&[("x-amz-copy-source-if-modified-since", future)], 412),
        (&[("x-amz-copy-source-if-unmodified-since", past)], 412),
        (&[("x-amz-copy-source-if-match", &etag), ("x-amz-copy-source-if-unmodified-since", past)], 200),
        (&[("if-none-match", "*")], 412),
        (&[("if-match", &etag)], 200),
        (&[("if-match", "\"x\"")], 412),
    ] {
        assert_eq!(copy(&region, "photos/cat", "/photos/copy", headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_copy_may_ask_for_another_checksum() {
    let region = Region::start().await;
    region.put("cat", bytes(200_000)).await;
    let copied =
        copy(&region, "photos/cat", "/photos/copy", &[("x-amz-checksum-algorithm", "CRC32C")]).await.ok();
    let put = region
        .put_with("again", bytes(200_000), &[("x-amz-checksum-crc32c", &copied.element("ChecksumCRC32C"))])
        .await;
    assert_eq!(put.status, 200, "the checksum is that of the bytes");
    let plain = copy(&region, "photos/cat", "/photos/copy2", &[]).await.ok();
    assert_ne!(plain.element("ChecksumCRC64NVME"), "", "a plain copy keeps the source's");
}

/// Sums of the parts by another algorithm, which made up another checksum of the whole, would be taken for the copy's.
#[tokio::test]
async fn a_copy_with_another_checksum_has_none_of_its_sources_parts() {
    let region = Region::start().await;
    let asked = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "COMPOSITE")];
    let upload = region.start_upload("big", &asked).await;
    let part = region.put_part("big", &upload, 1, bytes(1000)).await.ok().header("etag").to_owned();
    region.complete("big", &upload, &[(1, &part)]).await.ok();
    let attributes = [("x-amz-object-attributes", "Checksum,ObjectParts")];
    let source = region.send("GET", "/photos/big?attributes", &attributes, "").await.ok();
    assert_eq!(source.elements("ChecksumCRC32").len(), 2, "the whole object's and the part's");
    let replaced = ("x-amz-metadata-directive", "REPLACE");
    for target in ["/photos/copy", "/photos/big"] {
        copy(&region, "photos/big", target, &[("x-amz-checksum-algorithm", "SHA256"), replaced]).await.ok();
        let copied = region.send("GET", &format!("{target}?attributes"), &attributes, "").await.ok();
        assert_eq!(copied.elements("ChecksumSHA256").len(), 1, "{target}: {}", copied.text());
        assert_eq!(copied.element("ChecksumType"), "FULL_OBJECT", "{target}");
        assert_eq!(copied.elements("ChecksumCRC32"), [""; 0], "{target}");
        assert_eq!(copied.elements("PartNumber"), ["1"], "{target}");
    }
}

#[tokio::test]
async fn parts_may_be_copied_from_objects() {
    let region = Region::start().await;
    const PART_BYTES: usize = 5 * 1024 * 1024;
    let (large, small) = (bytes(PART_BYTES + 1000), bytes(500));
    region.put("large", large.clone()).await;
    region.put("small", small.clone()).await;
    let upload = region.start_upload("joined", &[]).await;
    let target = |number: u32| format!("/photos/joined?partNumber={number}&uploadId={upload}");
    let one = copy(
        &region,
        "photos/large",
        &target(1),
        &[("x-amz-copy-source-range", &format!("bytes=7-{}", PART_BYTES + 6))],
    )
    .await
    .ok();
    assert_eq!(one.element("ETag"), format!("\"{}\"", md5(&large[7..PART_BYTES + 7])));
    let two = copy(&region, "photos/large", &target(2), &[]).await.ok();
    // Kept in a row, where no part can lie.
    let three =
        copy(&region, "photos/small", &target(3), &[("x-amz-copy-source-range", "bytes=100-199")]).await.ok();
    let etags = [one, two, three].map(|answer| answer.element("ETag"));
    let named = [(1, etags[0].as_str()), (2, etags[1].as_str()), (3, etags[2].as_str())];
    region.send("DELETE", "/photos/large", &[], "").await.ok();
    region.complete("joined", &upload, &named).await.ok();
    let expected = [&large[7..PART_BYTES + 7], &large, &small[100..200]].concat();
    assert!(region.get("joined").await.body == expected);
}

#[tokio::test]
async fn ranges_of_copied_parts_lie_in_the_source() {
    let region = Region::start().await;
    region.put("cat", bytes(100)).await;
    let upload = region.start_upload("joined", &[]).await;
    let target = format!("/photos/joined?partNumber=1&uploadId={upload}");
    for range in ["bytes=0-100", "bytes=100-100"] {
        let refused = copy(&region, "photos/cat", &target, &[("x-amz-copy-source-range", range)]).await;
        assert_eq!(refused.error(), (416, "InvalidRange".into()), "{range}");
    }
    for range in ["bytes=0", "bytes=0-", "0-2", "bytes=hello-world", "bytes=0-2,3-5", "bytes=-5", "bytes=5-2"]
    {
        let refused = copy(&region, "photos/cat", &target, &[("x-amz-copy-source-range", range)]).await;
        assert_eq!(refused.error(), (400, "InvalidArgument".into()), "{range}");
    }
    copy(&region, "photos/cat", &target, &[("x-amz-copy-source-range", "bytes=99-99")]).await.ok();
    let unknown = copy(&region, "photos/cat", "/photos/joined?partNumber=1&uploadId=none", &[]).await;
    assert_eq!(unknown.error(), (404, "NoSuchUpload".into()));
}
