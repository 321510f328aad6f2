//! CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload, ListParts, ListMultipartUploads.

use crate::region::{Region, bytes, md5, user_of};

const PART_BYTES: usize = 5 * 1024 * 1024;

fn multipart_etag(parts: &[&[u8]]) -> String {
    let md5s: Vec<u8> = parts.iter().flat_map(|part| hex::decode(md5(part)).expect("hex")).collect();
    format!("\"{}-{}\"", md5(&md5s), parts.len())
}

#[tokio::test]
async fn parts_become_an_object() {
    let region = Region::start().await;
    let upload =
        region.start_upload("big", &[("x-amz-meta-mood", "sleepy"), ("content-type", "text/plain")]).await;
    let whole = bytes(2 * PART_BYTES + 100);
    let parts =
        [whole.slice(..PART_BYTES), whole.slice(PART_BYTES..2 * PART_BYTES), whole.slice(2 * PART_BYTES..)];
    let mut etags = Vec::new();
    for (number, part) in [2, 5, 9].into_iter().zip(&parts) {
        let put = region.put_part("big", &upload, number, part.clone()).await.ok();
        assert_eq!(put.header("etag"), format!("\"{}\"", md5(part)));
        etags.push((number, put.header("etag").to_owned()));
    }
    assert_eq!(region.get("big").await.status, 404, "unfinished");
    let named: Vec<_> = etags.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
    let completed = region.complete("big", &upload, &named).await.ok();
    let etag = multipart_etag(&parts.each_ref().map(|part| part.as_ref()));
    assert_eq!(completed.element("ETag"), etag);
    assert_eq!((completed.element("Bucket"), completed.element("Key")), ("photos".into(), "big".into()));

    let got = region.get("big").await.ok();
    assert!(got.body == whole);
    assert_eq!(
        (got.header("etag"), got.header("content-type"), got.header("x-amz-meta-mood")),
        (etag.as_str(), "text/plain", "sleepy")
    );
    let across =
        region.get_with("big", &[("range", &format!("bytes={}-{}", PART_BYTES - 10, PART_BYTES + 9))]).await;
    assert_eq!(across.body, whole.slice(PART_BYTES - 10..PART_BYTES + 10));
    let part = region.send("GET", "/photos/big?partNumber=9", &[], "").await;
    assert_eq!((part.status.as_u16(), part.header("x-amz-mp-parts-count")), (206, "3"));
    assert_eq!(part.body, parts[2]);
    assert_eq!(
        region.send("GET", "/photos/big?partNumber=3", &[], "").await.error(),
        (400, "InvalidPart".into())
    );
}

/// Parts that end inside a page: the seams are put together right.
#[tokio::test]
async fn parts_of_odd_sizes_read_as_one() {
    let region = Region::start().await;
    let whole = bytes(3 * PART_BYTES);
    let cuts = [0, PART_BYTES + 1, 2 * PART_BYTES + 70_000, 3 * PART_BYTES];
    let upload = region.start_upload("big", &[]).await;
    let mut etags = Vec::new();
    for (number, cut) in (1..).zip(cuts.windows(2)) {
        etags.push((
            number,
            region
                .put_part("big", &upload, number, whole.slice(cut[0]..cut[1]))
                .await
                .ok()
                .header("etag")
                .to_owned(),
        ));
    }
    let named: Vec<_> = etags.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
    region.complete("big", &upload, &named).await.ok();
    assert!(region.get("big").await.body == whole);
    for start in [PART_BYTES - 65_536, 2 * PART_BYTES, 2 * PART_BYTES + 69_999] {
        let got = region.get_with("big", &[("range", &format!("bytes={start}-{}", start + 200_000))]).await;
        assert!(got.body == whole.slice(start..=start + 200_000), "{start}");
    }
}

/// Where the store is told no URL.
#[tokio::test]
async fn a_completion_tells_an_escaped_path() {
    let region = Region::start().await;
    let upload = region.start_upload("a%20b/%C3%BC", &[]).await;
    let part = region.put_part("a%20b/%C3%BC", &upload, 1, "meow").await.ok().header("etag").to_owned();
    let completed = region.complete("a%20b/%C3%BC", &upload, &[(1, &part)]).await.ok();
    assert_eq!(completed.element("Location"), "/photos/a%20b/%C3%BC");
}

#[tokio::test]
async fn a_part_sent_again_replaces_the_one_before() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    let first = region.put_part("big", &upload, 1, "first").await.ok().header("etag").to_owned();
    let second = region.put_part("big", &upload, 1, "second").await.ok().header("etag").to_owned();
    assert_eq!(region.complete("big", &upload, &[(1, &first)]).await.error(), (400, "InvalidPart".into()));
    region.complete("big", &upload, &[(1, &first), (1, &second)]).await.ok();
    assert_eq!(region.get("big").await.body, "second");
}

#[tokio::test]
async fn wrong_completions_are_refused_and_change_nothing() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    let small =
        region.put_part("big", &upload, 1, bytes(PART_BYTES - 1)).await.ok().header("etag").to_owned();
    let enough = region.put_part("big", &upload, 2, bytes(PART_BYTES)).await.ok().header("etag").to_owned();
    let last = region.put_part("big", &upload, 3, "x").await.ok().header("etag").to_owned();
    for (parts, code) in [
        (&[(1, small.as_str()), (3, last.as_str())][..], "EntityTooSmall"),
        (&[(3, &last), (2, &enough)], "InvalidPartOrder"),
        (&[(2, &enough), (2, &last)], "InvalidPart"),
        (&[(2, &enough), (4, &last)], "InvalidPart"),
        (&[(2, &last)], "InvalidPart"),
        (&[(0, &last)], "InvalidArgument"),
        (&[], "MalformedXML"),
    ] {
        assert_eq!(region.complete("big", &upload, parts).await.error(), (400, code.into()), "{parts:?}");
    }
    assert_eq!(region.complete("big", "none", &[(3, &last)]).await.error(), (404, "NoSuchUpload".into()));
    assert_eq!(region.complete("other", &upload, &[(3, &last)]).await.error(), (404, "NoSuchUpload".into()));
    assert_eq!(region.get("big").await.status, 404);
    region.complete("big", &upload, &[(2, &enough), (3, &last)]).await.ok();
    assert_eq!(region.get("big").await.body.len(), PART_BYTES + 1);
}

#[tokio::test]
async fn a_repeated_completion_is_answered_as_the_first() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    let part = region.put_part("big", &upload, 1, "meow").await.ok().header("etag").to_owned();
    let first = region.complete_with("big", &upload, &[(1, &part)], &[("if-none-match", "*")]).await.ok();
    region.put("big", "overwritten").await;
    let again = region.complete_with("big", &upload, &[(1, &part)], &[("if-none-match", "*")]).await;
    assert_eq!((again.status.as_u16(), again.text()), (200, first.text()));
    assert_eq!(region.get("big").await.body, "overwritten", "the repetition changes nothing");
    let other = region.complete("big", &upload, &[(1, &md5(b"other"))]).await;
    assert_eq!(other.error(), (404, "NoSuchUpload".into()));
}

#[tokio::test]
async fn a_completion_may_be_conditional() {
    let region = Region::start().await;
    region.put("big", "there").await;
    let upload = region.start_upload("big", &[]).await;
    let part = region.put_part("big", &upload, 1, "meow").await.ok().header("etag").to_owned();
    let refused = region.complete_with("big", &upload, &[(1, &part)], &[("if-none-match", "*")]).await;
    assert_eq!(refused.error(), (412, "PreconditionFailed".into()));
    assert_eq!(region.get("big").await.body, "there");
    region.complete("big", &upload, &[(1, &part)]).await.ok();
    assert_eq!(region.get("big").await.body, "meow");
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    let part = region.put_part("big", &upload, 1, "meow").await.ok().header("etag").to_owned();
    let abort = format!("/photos/big?uploadId={upload}");
    assert_eq!(region.send("DELETE", &abort, &[], "").await.status, 204);
    assert_eq!(region.send("DELETE", &abort, &[], "").await.error(), (404, "NoSuchUpload".into()));
    assert_eq!(region.put_part("big", &upload, 1, "meow").await.error(), (404, "NoSuchUpload".into()));
    assert_eq!(region.complete("big", &upload, &[(1, &part)]).await.error(), (404, "NoSuchUpload".into()));
    assert_eq!(region.send("GET", &abort, &[], "").await.error(), (404, "NoSuchUpload".into()));
}

#[tokio::test]
async fn part_numbers_are_1_to_10000() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    for number in [0, 10_001] {
        assert_eq!(
            region.put_part("big", &upload, number, "x").await.error(),
            (400, "InvalidArgument".into()),
            "{number}"
        );
    }
    region.put_part("big", &upload, 10_000, "x").await.ok();
}

#[tokio::test]
async fn parts_are_listed_in_pages() {
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    for number in [1, 3, 20] {
        region.put_part("big", &upload, number, "x".repeat(number as usize)).await.ok();
    }
    let page = |query: &'static str| {
        let target = format!("/photos/big?uploadId={upload}{query}");
        let region = &region;
        async move { region.send("GET", &target, &[], "").await.ok() }
    };
    let all = page("").await;
    assert_eq!(
        (all.elements("PartNumber"), all.elements("Size")),
        (vec!["1".into(), "3".into(), "20".into()], vec!["1".into(), "3".into(), "20".into()])
    );
    assert_eq!(
        (all.element("IsTruncated"), all.element("StorageClass")),
        ("false".into(), "STANDARD".into())
    );
    let first = page("&max-parts=2").await;
    assert_eq!(
        (first.elements("PartNumber"), first.element("IsTruncated")),
        (vec!["1".into(), "3".into()], "true".into())
    );
    assert_eq!(first.element("NextPartNumberMarker"), "3");
    let second = page("&max-parts=2&part-number-marker=3").await;
    assert_eq!(
        (second.elements("PartNumber"), second.element("IsTruncated")),
        (vec!["20".into()], "false".into())
    );
}

#[tokio::test]
async fn uploads_are_listed_by_key_and_age() {
    let region = Region::start().await;
    let mut started = Vec::new();
    for key in ["b", "a", "b", "dir/1", "dir/2", "b"] {
        started.push((key.to_owned(), region.start_upload(key, &[]).await));
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    started.sort_by(|one, other| one.0.cmp(&other.0));
    let listed = region.send("GET", "/photos?uploads", &[], "").await.ok();
    let pairs: Vec<_> = listed.elements("Key").into_iter().zip(listed.elements("UploadId")).collect();
    assert_eq!(pairs, started);
    assert_eq!(listed.element("ID"), "anne-id");

    let grouped = region.send("GET", "/photos?uploads&delimiter=/", &[], "").await.ok();
    assert_eq!(grouped.elements("Key"), ["a", "b", "b", "b"]);
    assert_eq!(grouped.elements("Prefix"), ["dir/", ""], "the last is the prefix that was asked for");
    assert_eq!(region.list("uploads&prefix=dir", "Key").await, ["dir/1", "dir/2"]);

    let (mut key, mut upload_id, mut seen) = (String::new(), String::new(), Vec::new());
    loop {
        let target = format!("/photos?uploads&max-uploads=2&key-marker={key}&upload-id-marker={upload_id}");
        let page = region.send("GET", &target, &[], "").await.ok();
        seen.extend(page.elements("Key").into_iter().zip(page.elements("UploadId")));
        if page.element("IsTruncated") == "false" {
            break;
        }
        (key, upload_id) = (page.element("NextKeyMarker"), page.element("NextUploadIdMarker"));
    }
    assert_eq!(seen, started);
    assert_eq!(region.list("uploads&key-marker=b", "Key").await, ["dir/1", "dir/2"]);
}

#[tokio::test]
async fn checksums_of_parts_make_the_objects() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let region = Region::start().await;
    let whole = bytes(PART_BYTES + 100);
    let (one, two) = (whole.slice(..PART_BYTES), whole.slice(PART_BYTES..));
    let crc = |bytes: &[u8]| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32;
    let composite = crc(&[crc(&one).to_be_bytes(), crc(&two).to_be_bytes()].concat());
    let full = crc(&whole);
    for (kind, expected) in [
        ("COMPOSITE", format!("{}-2", base64.encode(composite.to_be_bytes()))),
        ("FULL_OBJECT", base64.encode(full.to_be_bytes())),
    ] {
        let asked = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", kind)];
        let upload = region.start_upload("big", &asked).await;
        let first = region.put_part("big", &upload, 1, one.clone()).await.ok();
        assert_eq!(first.header("x-amz-checksum-crc32"), base64.encode(crc(&one).to_be_bytes()));
        let second = region.put_part("big", &upload, 2, two.clone()).await.ok();
        let parts = [(1, first.header("etag")), (2, second.header("etag"))];
        let wrong =
            region.complete_with("big", &upload, &parts, &[("x-amz-checksum-crc32", "AAAAAA==")]).await;
        assert_eq!(wrong.error(), (400, "BadDigest".into()));
        let wrong = region.complete_with("big", &upload, &parts, &[("x-amz-mp-object-size", "3")]).await;
        assert_eq!(wrong.error(), (400, "InvalidRequest".into()));
        let completed =
            region.complete_with("big", &upload, &parts, &[("x-amz-checksum-crc32", &expected)]).await.ok();
        assert_eq!(
            (completed.element("ChecksumCRC32"), completed.element("ChecksumType")),
            (expected.clone(), kind.into())
        );
        let head = region.send("HEAD", "/photos/big", &[("x-amz-checksum-mode", "ENABLED")], "").await.ok();
        assert_eq!(
            (head.header("x-amz-checksum-crc32"), head.header("x-amz-checksum-type")),
            (expected.as_str(), kind)
        );
    }
}

#[tokio::test]
async fn an_upload_without_an_algorithm_gets_a_crc64nvme_of_the_whole() {
    use base64::Engine as _;
    let region = Region::start().await;
    let upload = region.start_upload("big", &[]).await;
    let part = region.put_part("big", &upload, 1, "meow").await.ok().header("etag").to_owned();
    region.complete("big", &upload, &[(1, &part)]).await.ok();
    let head = region.send("HEAD", "/photos/big", &[("x-amz-checksum-mode", "ENABLED")], "").await.ok();
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, b"meow");
    let expected = base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes());
    assert_eq!(
        (head.header("x-amz-checksum-crc64nvme"), head.header("x-amz-checksum-type")),
        (expected.as_str(), "FULL_OBJECT")
    );
}

#[tokio::test]
async fn checksums_that_s3_does_not_make_are_refused() {
    let region = Region::start().await;
    for headers in [
        &[("x-amz-checksum-algorithm", "SHA256"), ("x-amz-checksum-type", "FULL_OBJECT")][..],
        &[("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "COMPOSITE")],
        &[("x-amz-checksum-type", "COMPOSITE")],
        &[("x-amz-checksum-algorithm", "MD4")],
        &[("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "HALF")],
    ] {
        let refused = region.send("POST", "/photos/big?uploads", headers, "").await;
        assert_eq!(refused.error(), (400, "InvalidRequest".into()), "{headers:?}");
    }
    let upload = region.start_upload("big", &[("x-amz-checksum-algorithm", "SHA1")]).await;
    let target = format!("/photos/big?partNumber=1&uploadId={upload}");
    let refused = region.send("PUT", &target, &[("x-amz-checksum-crc32", "AAAAAA==")], "").await;
    assert_eq!(refused.error(), (400, "InvalidRequest".into()));
}

/// Whoever may write objects may not therefore touch what somebody else has begun.
#[tokio::test]
async fn an_upload_is_its_initiators_and_the_bucket_owners() {
    let region = Region::start().await;
    let begun = region.send_let(user_of("bob"), "POST", "/photos/big?uploads", &[], "").await.ok();
    let upload = begun.element("UploadId");
    let of_upload = format!("/photos/big?uploadId={upload}");
    let part = |number: u32| format!("{of_upload}&partNumber={number}");
    let denied = (403, "AccessDenied".to_owned());
    let completion = |etag: &str| {
        format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        )
    };
    let own = region.send_let(user_of("bob"), "PUT", &part(1), &[], "meow").await.ok();
    let etag = own.header("etag").to_owned();
    for stranger in [user_of("carl"), origin::Caller::anonymous()] {
        for (method, target, body) in [
            ("PUT", part(1), "woof".to_owned()),
            ("GET", of_upload.clone(), String::new()),
            ("POST", of_upload.clone(), completion(&etag)),
            ("DELETE", of_upload.clone(), String::new()),
        ] {
            let refused = region.send_let(stranger.clone(), method, &target, &[], body).await;
            assert_eq!(refused.error(), denied, "{method} {}", stranger.account);
        }
    }
    // The bucket's owner sees it and adds to it, another user of the initiator's account ends it.
    assert_eq!(region.send("GET", &of_upload, &[], "").await.ok().elements("PartNumber"), ["1"]);
    region.send("PUT", &part(2), &[], "purr").await.ok();
    let colleague = origin::Caller { name: "bella".into(), ..user_of("bob") };
    let first = region.send_let(colleague, "POST", &of_upload, &[], completion(&etag)).await.ok();
    // Asked for again, the answer is for those who could have completed it.
    let again = region.send_let(user_of("bob"), "POST", &of_upload, &[], completion(&etag)).await.ok();
    assert_eq!(again.text(), first.text());
    region.send("POST", &of_upload, &[], completion(&etag)).await.ok();
    for stranger in [user_of("carl"), origin::Caller::anonymous()] {
        let refused = region.send_let(stranger, "POST", &of_upload, &[], completion(&etag)).await;
        assert_eq!(refused.error(), denied);
    }
    assert_eq!(region.get("big").await.body, "meow");
    let begun = region.send_let(user_of("bob"), "POST", "/photos/big?uploads", &[], "").await.ok();
    let abort = format!("/photos/big?uploadId={}", begun.element("UploadId"));
    assert_eq!(region.send("DELETE", &abort, &[], "").await.status, 204);
}

/// What is there when an upload is completed is what permission is asked about, not what was when it was started.
#[tokio::test]
async fn permission_to_complete_is_asked_about_what_is_there() {
    let region = Region::start().await;
    for (tagging, expected) in [("locked=yes", 403), ("open=yes", 200)] {
        let upload = region.start_upload("big", &[]).await;
        let part = region.put_part("big", &upload, 1, "meow").await.ok().header("etag").to_owned();
        region.put_with("big", "there", &[("x-amz-tagging", tagging)]).await.ok();
        let completion = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>"
        );
        let target = format!("/photos/big?uploadId={upload}");
        let completed = region.send_unless_locked("POST", &target, completion).await;
        assert_eq!(completed.status.as_u16(), expected, "{tagging}");
        assert_eq!(region.get("big").await.body, if expected == 200 { "meow" } else { "there" });
    }
}
