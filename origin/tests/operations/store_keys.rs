//! Objects under the key of the store (SSE-S3), and buckets that want it of all.

use std::path::PathBuf;

use md5::Digest as _;
use origin::regional::{OpenError, RegionalStore};

use crate::customer_keys::{Key, copy};
use crate::region::{Answer, Region, bytes, md5};
use crate::renames::rename;

const PART: usize = 5 * 1024 * 1024;
/// Bytes of an object in a sealed page.
const PAGE: usize = 65_520;

/// Wants the store's key, or says that it was used.
const METHOD: &str = "x-amz-server-side-encryption";
const BY_STORE: (&str, &str) = (METHOD, "AES256");

#[track_caller]
fn refused(answer: &Answer, (status, code): (u16, &str)) {
    assert_eq!(answer.error(), (status, code.to_owned()), "{}", answer.text());
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

#[tokio::test]
async fn an_object_is_read_as_if_it_were_plain() {
    let mut region = Region::start().await;
    region.put("plain", "plain").await;
    assert_eq!(region.get("plain").await.header(METHOD), "");
    for count in [0, 1, 1000, PAGE, PAGE + 1, 300_000] {
        let put = region.put_with("secret", bytes(count), &[BY_STORE]).await.ok();
        assert_eq!(put.header(METHOD), "AES256");
        assert_eq!(put.header("etag"), quoted(&md5(&bytes(count))), "S3 promises the MD5");
        region.reopen().await;

        let got = region.get("secret").await.ok();
        assert!(got.body == bytes(count), "{count}");
        assert_eq!((got.header("etag"), got.header(METHOD)), (put.header("etag"), "AES256"));
        let head = region.send("HEAD", "/photos/secret", &[], "").await.ok();
        assert_eq!((head.header("content-length"), head.header(METHOD)), (&*count.to_string(), "AES256"));
        assert_eq!(region.list("prefix=secret", "Size").await, [count.to_string()]);
    }
    for (first, last) in [(0, 0), (PAGE - 1, PAGE), (PAGE, 2 * PAGE - 1), (299_999, 299_999)] {
        let range = format!("bytes={first}-{last}");
        let got = region.get_with("secret", &[("range", &range)]).await.ok();
        assert_eq!((got.status.as_u16(), got.header(METHOD)), (206, "AES256"));
        assert!(got.body == bytes(300_000)[first..=last], "{range}");
    }
    let checked = region.send("HEAD", "/photos/secret", &[("x-amz-checksum-mode", "ENABLED")], "").await.ok();
    assert!(!checked.header("x-amz-checksum-crc64nvme").is_empty());
    assert!(RegionalStore::check_deep(region.close().await.path()).await.expect("checked").is_sound());
}

/// Whoever asks for what is not done must not believe that it was.
#[tokio::test]
async fn what_is_no_choice_here_is_refused() {
    let region = Region::start().await;
    let key = Key::new(9);
    region.put_with("secret", "meow", &[BY_STORE]).await.ok();
    let both = [&key.target()[..], &[BY_STORE]].concat();
    for (headers, expected) in [
        (&[(METHOD, "AES192")][..], (400, "InvalidArgument")),
        (&[(METHOD, "aws:kms")], (501, "NotImplemented")),
        (&[BY_STORE, ("x-amz-server-side-encryption-context", "e30=")], (501, "NotImplemented")),
        (&both, (400, "InvalidArgument")),
    ] {
        let copied = [headers, &[("x-amz-copy-source", "photos/secret")]].concat();
        for answer in [
            region.put_with("other", "meow", headers).await,
            region.send("POST", "/photos/other?uploads", headers, "").await,
            region.send("PUT", "/photos/other", &copied, "").await,
        ] {
            refused(&answer, expected);
        }
    }
    refused(&region.get("other").await, (404, "NoSuchKey"));

    let id = region.start_upload("big", &[BY_STORE]).await;
    let part = format!("/photos/big?partNumber=1&uploadId={id}");
    for answer in [
        region.get_with("secret", &[BY_STORE]).await,
        region.send("PUT", &part, &[BY_STORE], "meow").await,
        region
            .send("GET", "/photos/secret?attributes", &[BY_STORE, ("x-amz-object-attributes", "ETag")], "")
            .await,
    ] {
        refused(&answer, (400, "InvalidArgument"));
    }
    assert_eq!(region.send("HEAD", "/photos/secret", &[BY_STORE], "").await.status, 400);
    // A customer's key is not what it was encrypted with.
    refused(&region.get_with("secret", &key.target()).await, (400, "InvalidRequest"));
    refused(&region.send("PUT", &part, &key.target(), "meow").await, (400, "InvalidRequest"));
    assert_eq!(region.get("secret").await.ok().body, "meow");
}

/// An upload says so once; its parts and its completion follow.
#[tokio::test]
async fn an_upload_in_parts_is_under_the_stores_key() {
    let mut region = Region::start().await;
    let started = region.send("POST", "/photos/big?uploads", &[BY_STORE], "").await.ok();
    assert_eq!(started.header(METHOD), "AES256");
    let id = started.element("UploadId");
    let parts = [bytes(PART + 1), bytes(PART + 77), bytes(1000)];
    for (body, number) in parts.iter().zip(1..) {
        region.put_part("big", &id, number, bytes(10)).await.ok();
        let sent = region.put_part("big", &id, number, body.clone()).await.ok();
        assert_eq!((sent.header("etag"), sent.header(METHOD)), (&*quoted(&md5(body)), "AES256"));
    }
    let listed = region.send("GET", &format!("/photos/big?uploadId={id}"), &[], "").await.ok();
    assert!(listed.text().contains("<ChecksumCRC"), "{}", listed.text());
    region.reopen().await;
    let etags = parts.each_ref().map(|body| quoted(&md5(body)));
    let named: Vec<_> = etags.iter().zip(1..).map(|(etag, number)| (number, etag.as_str())).collect();
    for _ in ["the first time", "again"] {
        let completed = region.complete("big", &id, &named).await.ok();
        assert_eq!(completed.header(METHOD), "AES256");
        let of_md5s = parts.iter().flat_map(md5::Md5::digest).collect::<Vec<_>>();
        assert!(completed.element("ETag").contains(&format!("{}-3", md5(&of_md5s))));
        assert!(!completed.element("ChecksumCRC64NVME").is_empty());
    }
    let whole = parts.concat();
    let got = region.get("big").await.ok();
    assert!(got.body == whole && got.header(METHOD) == "AES256");
    let second = region.send("GET", "/photos/big?partNumber=2", &[], "").await.ok();
    assert!(second.body == parts[1]);
    for range in [PART - 3..PART + 3, PART + 1..2 * PART + 78, 2 * PART + 70..2 * PART + 90] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let got = region.get_with("big", &[("range", &header)]).await.ok();
        assert!(got.body == whole[range.clone()], "{range:?}");
    }
    let attributes = [("x-amz-object-attributes", "ObjectSize,ObjectParts")];
    let said = region.send("GET", "/photos/big?attributes", &attributes, "").await.ok();
    assert_eq!(
        (said.element("ObjectSize"), said.element("PartsCount")),
        (whole.len().to_string(), "3".into())
    );
    assert!(RegionalStore::check_deep(region.close().await.path()).await.expect("checked").is_sound());
}

/// From and to everything that an object can be under; what nobody asked to be laid open stays encrypted.
#[tokio::test]
async fn a_copy_is_under_the_key_that_was_asked_for() {
    let mut region = Region::start().await;
    let key = Key::new(9);
    let (with_key, from_key) = (key.target(), key.copy_source());
    for count in [10, 300_000] {
        let body = bytes(count);
        region.put("plain", body.clone()).await;
        region.put_with("secret", body.clone(), &[BY_STORE]).await.ok();
        region.put_with("customers", body.clone(), &with_key).await.ok();
        for (from, source, target, method) in [
            ("photos/plain", &[][..], &[BY_STORE][..], "AES256"),
            ("photos/secret", &[], &[BY_STORE], "AES256"),
            ("photos/secret", &[], &[], "AES256"),
            ("photos/secret", &[], &with_key, ""),
            ("photos/customers", &from_key, &[BY_STORE], "AES256"),
            ("photos/plain", &[], &[], ""),
        ] {
            let copied = copy(&region, from, "/photos/copy", &[source, target].concat()).await.ok();
            assert_eq!(copied.header(METHOD), method, "{from} {target:?}");
            region.reopen().await;
            let reading = if target == with_key { target } else { &[] };
            let got = region.get_with("copy", reading).await.ok();
            assert!(got.body == body && got.header(METHOD) == method, "{from} {target:?}");
            if reading.is_empty() {
                assert_eq!(got.header("etag"), quoted(&md5(&body)), "{from} {target:?}");
            }
        }
    }
    // An object is encrypted where it is, which is a change.
    copy(&region, "photos/plain", "/photos/plain", &[BY_STORE]).await.ok();
    let got = region.get("plain").await.ok();
    assert!(got.body == bytes(300_000) && got.header(METHOD) == "AES256");
    assert!(RegionalStore::check_deep(region.close().await.path()).await.expect("checked").is_sound());
}

/// A copy under the same key is made without a look at the bytes, whatever they are.
#[tokio::test]
async fn copies_and_renames_share_bytes() {
    let mut region = Region::start().await;
    let id = region.start_upload("big", &[BY_STORE]).await;
    let etag = region.put_part("big", &id, 1, bytes(300_000)).await.ok().header("etag").to_owned();
    region.complete("big", &id, &[(1, &etag)]).await.ok();
    let files = region.files_count();
    for headers in [&[BY_STORE][..], &[], &[BY_STORE, ("x-amz-checksum-algorithm", "SHA256")]] {
        let copied = copy(&region, "photos/big", "/photos/copy", headers).await.ok();
        assert!(copied.element("ETag").contains("-1"), "it has its parts: {}", copied.text());
        assert_eq!(region.files_count(), files);
    }
    region.send("DELETE", "/photos/big", &[], "").await.ok();
    rename(&region, "copy", "renamed", &[]).await.expect("renamed");
    region.reopen().await;
    let got = region.get("renamed").await.ok();
    assert!(got.body == bytes(300_000) && got.header(METHOD) == "AES256");
}

#[tokio::test]
async fn a_part_is_copied_to_the_key_of_its_upload() {
    let region = Region::start().await;
    let key = Key::new(9);
    let (with_key, from_key) = (key.target(), key.copy_source());
    region.put("plain", bytes(200_000)).await;
    region.put_with("secret", bytes(200_000), &[BY_STORE]).await.ok();
    region.put_with("customers", bytes(200_000), &with_key).await.ok();
    for (from, source, started, sent, method) in [
        ("photos/plain", &[][..], &[BY_STORE][..], &[][..], "AES256"),
        ("photos/secret", &[], &[BY_STORE], &[], "AES256"),
        ("photos/secret", &[], &[], &[], ""),
        ("photos/secret", &[], &with_key, &with_key, ""),
        ("photos/customers", &from_key, &[BY_STORE], &[], "AES256"),
    ] {
        let id = region.start_upload("big", started).await;
        let to = format!("/photos/big?partNumber=1&uploadId={id}");
        let range = [("x-amz-copy-source-range", "bytes=65519-130000")];
        let part = copy(&region, from, &to, &[source, sent, &range].concat()).await.ok();
        assert_eq!(part.header(METHOD), method, "{from} {started:?}");
        region.complete_with("big", &id, &[(1, &part.element("ETag"))], sent).await.ok();
        let got = region.get_with("big", sent).await.ok();
        assert!(got.body == bytes(200_000)[65_519..=130_000], "{from} {started:?}");
        assert_eq!(got.header(METHOD), method);
    }
}

fn rule(by_default: &str, more: &str) -> String {
    let by_default =
        format!("<ApplyServerSideEncryptionByDefault>{by_default}</ApplyServerSideEncryptionByDefault>");
    format!(
        "<ServerSideEncryptionConfiguration><Rule>{by_default}{more}</Rule></ServerSideEncryptionConfiguration>"
    )
}

const AES256: &str = "<SSEAlgorithm>AES256</SSEAlgorithm>";

/// What a bucket says holds for requests that say nothing, and for them alone.
#[tokio::test]
async fn a_bucket_encrypts_by_default() {
    let mut region = Region::start().await;
    let key = Key::new(9);
    region.put("before", bytes(1000)).await;
    let upload_before = region.start_upload("begun", &[]).await;
    let none = (404, "ServerSideEncryptionConfigurationNotFoundError");
    refused(&region.send("GET", "/photos?encryption", &[], "").await, none);
    assert_eq!(region.send("DELETE", "/photos?encryption", &[], "").await.status, 204);
    assert_eq!(region.send("PUT", "/photos?encryption", &[], rule(AES256, "")).await.ok().status, 200);
    region.reopen().await;
    let shown = region.send("GET", "/photos?encryption", &[], "").await.ok();
    assert_eq!(
        (shown.element("SSEAlgorithm"), shown.element("BucketKeyEnabled")),
        ("AES256".into(), "false".into())
    );

    assert_eq!(region.put("silent", bytes(1000)).await.header(METHOD), "AES256");
    let got = region.get("silent").await.ok();
    assert!(got.body == bytes(1000) && got.header(METHOD) == "AES256");
    region.put_with("customers", bytes(1000), &key.target()).await.ok();
    assert!(region.get_with("customers", &key.target()).await.ok().body == bytes(1000));
    assert_eq!(copy(&region, "photos/before", "/photos/copied", &[]).await.ok().header(METHOD), "AES256");
    assert!(region.get("copied").await.ok().body == bytes(1000));
    let started = region.send("POST", "/photos/big?uploads", &[], "").await.ok();
    assert_eq!(started.header(METHOD), "AES256");
    // What was there, and what had begun, stays as it was.
    assert_eq!(region.get("before").await.ok().header(METHOD), "");
    let part = region.put_part("begun", &upload_before, 1, bytes(10)).await;
    assert_eq!(part.header(METHOD), "");
    // An object is brought under it in place, and one that is already takes no harm.
    for _ in ["the first time", "again"] {
        assert_eq!(copy(&region, "photos/before", "/photos/before", &[]).await.ok().header(METHOD), "AES256");
        let got = region.get("before").await.ok();
        assert!(got.body == bytes(1000) && got.header(METHOD) == "AES256");
    }

    assert_eq!(region.send("DELETE", "/photos?encryption", &[], "").await.status, 204);
    refused(&copy(&region, "photos/before", "/photos/before", &[]).await, (400, "InvalidRequest"));
    refused(&region.send("GET", "/photos?encryption", &[], "").await, none);
    assert_eq!(region.put("silent", bytes(1000)).await.header(METHOD), "");
}

#[tokio::test]
async fn a_default_that_cannot_be_honoured_is_refused() {
    let region = Region::start().await;
    let key = "<KMSMasterKeyID>key</KMSMasterKeyID>";
    let two = rule(AES256, "</Rule><Rule><BucketKeyEnabled>true</BucketKeyEnabled>");
    for (body, expected) in [
        (rule("<SSEAlgorithm>aws:kms</SSEAlgorithm>", ""), (501, "NotImplemented")),
        (rule(&format!("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>{key}"), ""), (501, "NotImplemented")),
        (rule(&format!("{AES256}{key}"), ""), (400, "InvalidArgument")),
        (rule("<SSEAlgorithm>AES192</SSEAlgorithm>", ""), (400, "MalformedXML")),
        (rule("", ""), (400, "MalformedXML")),
        (two, (400, "MalformedXML")),
        ("<ServerSideEncryptionConfiguration/>".to_owned(), (400, "MalformedXML")),
    ] {
        refused(&region.send("PUT", "/photos?encryption", &[], body).await, expected);
    }
    let none = (404, "ServerSideEncryptionConfigurationNotFoundError");
    refused(&region.send("GET", "/photos?encryption", &[], "").await, none);
    // It changes nothing where the store has the key, neither here nor in S3, and is shown as it was set.
    let body = rule(AES256, "<BucketKeyEnabled>true</BucketKeyEnabled>");
    region.send("PUT", "/photos?encryption", &[], body).await.ok();
    let shown = region.send("GET", "/photos?encryption", &[], "").await.ok();
    assert_eq!(shown.element("BucketKeyEnabled"), "true");
}

/// Neither the bytes nor a key are anywhere in the store's folder, whatever becomes of the object.
#[tokio::test]
async fn nothing_on_disk_tells_of_the_bytes() {
    let region = Region::start().await;
    let text = "what only the store may read. ";
    region.put_with("small", text, &[BY_STORE]).await.ok();
    region.put_with("large", text.repeat(10_000), &[BY_STORE]).await.ok();
    let id = region.start_upload("big", &[BY_STORE]).await;
    let etag = region.put_part("big", &id, 1, text.repeat(10_000)).await.ok().header("etag").to_owned();
    region.complete("big", &id, &[(1, &etag)]).await.ok();
    copy(&region, "photos/big", "/photos/copy", &[BY_STORE]).await.ok();
    let files = region.files();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let stored = std::fs::read(&path).expect("a file");
        assert!(!stored.windows(text.len()).any(|window| window == text.as_bytes()), "{}", path.display());
    }
}

/// A bit that flips on the disk is an error of whoever reads its page, and of nobody else.
#[tokio::test]
async fn a_flipped_bit_is_an_error_and_no_noise() {
    let region = Region::start().await;
    region.put_with("secret", bytes(40 * PAGE), &[BY_STORE]).await.ok();
    let is_data = |path: &PathBuf| path.metadata().is_ok_and(|found| found.len() == 40 * 65_536);
    let file = region.files().into_iter().find(is_data).expect("the object's data file");
    let mut stored = std::fs::read(&file).expect("a file");
    stored[3 * 65_536 + 77] ^= 4;
    std::fs::write(&file, &stored).expect("written");
    let read = async |first: usize| {
        region.get_with("secret", &[("range", &format!("bytes={first}-{}", first + 9))]).await
    };
    refused(&read(3 * PAGE + 10).await, (500, "InternalError"));
    assert_eq!(read(10 * PAGE).await.ok().body, bytes(40 * PAGE)[10 * PAGE..10 * PAGE + 10]);
}

/// Each start seals the store's key with the newest key that it is given: then the one before can go.
#[tokio::test]
async fn what_seals_the_stores_key_is_changed_by_two_starts() {
    let mut region = Region::start().await;
    region.put_with("secret", bytes(1000), &[BY_STORE]).await.ok();
    region.sealing.0 = vec![2];
    let refused = region.try_reopen().await.expect_err("the key of before has gone");
    assert!(matches!(&refused, OpenError::Key { cause, .. } if cause == "sealed with key 1"), "{refused}");
    for keys in [vec![2, 1], vec![2], vec![3, 2], vec![3]] {
        region.sealing.0 = keys;
        region.reopen().await;
        assert!(region.get("secret").await.ok().body == bytes(1000));
        region.put_with("secret", bytes(1000), &[BY_STORE]).await.ok();
    }
}
