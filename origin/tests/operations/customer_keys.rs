//! Objects under keys that their clients keep (SSE-C).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::Digest as _;
use origin::head::BlockedEncryption;
use origin::regional::RegionalStore;

use crate::region::{Answer, Region, bytes, md5};

const PART: usize = 5 * 1024 * 1024;
/// Bytes of an object in a sealed page.
const PAGE: usize = 65_520;

/// The three headers of a key of 32 times `byte`.
pub(crate) struct Key {
    key: String,
    md5: String,
}

impl Key {
    pub(crate) fn new(byte: u8) -> Self {
        let key = [byte; 32];
        Self { key: BASE64.encode(key), md5: BASE64.encode(md5::Md5::digest(key)) }
    }

    pub(crate) fn target(&self) -> [(&str, &str); 3] {
        [
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", &self.key),
            ("x-amz-server-side-encryption-customer-key-md5", &self.md5),
        ]
    }

    pub(crate) fn copy_source(&self) -> [(&str, &str); 3] {
        [
            ("x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-copy-source-server-side-encryption-customer-key", &self.key),
            ("x-amz-copy-source-server-side-encryption-customer-key-md5", &self.md5),
        ]
    }

    /// Whether the answer says that this is the key, and does not say the key.
    fn is_said(&self, answer: &Answer) -> bool {
        answer.header("x-amz-server-side-encryption-customer-algorithm") == "AES256"
            && answer.header("x-amz-server-side-encryption-customer-key-md5") == self.md5
            && !format!("{answer:?}").contains(&self.key)
    }
}

const NO_KEY: (u16, &str) = (400, "InvalidRequest");
const NO_KEY_NEEDED: (u16, &str) = (400, "InvalidRequest");
const WRONG_KEY: (u16, &str) = (403, "AccessDenied");

#[track_caller]
fn refused(answer: &Answer, (status, code): (u16, &str)) {
    assert_eq!(answer.error(), (status, code.to_owned()), "{}", answer.text());
}

#[tokio::test]
async fn an_object_is_read_with_its_key_alone() {
    let mut region = Region::start().await;
    let (key, other) = (Key::new(1), Key::new(2));
    region.put("plain", "plain").await;
    for count in [0, 1, 1000, PAGE, PAGE + 1, 300_000] {
        let put = region.put_with("secret", bytes(count), &key.target()).await.ok();
        assert!(key.is_said(&put));
        assert_eq!(put.header("etag").len(), 34);
        assert_ne!(put.header("etag"), format!("\"{}\"", md5(&bytes(count))), "it would tell of the bytes");
        region.reopen().await;

        let got = region.get_with("secret", &key.target()).await.ok();
        assert_eq!(got.body, bytes(count), "{count}");
        assert_eq!((got.header("etag"), key.is_said(&got)), (put.header("etag"), true));
        refused(&region.get("secret").await, NO_KEY);
        refused(&region.get_with("secret", &other.target()).await, WRONG_KEY);
        let head = region.send("HEAD", "/photos/secret", &key.target(), "").await.ok();
        assert_eq!((head.header("content-length"), key.is_said(&head)), (count.to_string().as_str(), true));
        assert_eq!(region.send("HEAD", "/photos/secret", &[], "").await.status, 400);
        assert_eq!(region.send("HEAD", "/photos/secret", &other.target(), "").await.status, 403);
        // A listing needs no key, and shows the size of the object.
        assert_eq!(region.list("prefix=secret", "Size").await, [count.to_string()]);
    }
    refused(&region.get_with("plain", &key.target()).await, NO_KEY_NEEDED);
    assert!(RegionalStore::check_deep(region.close().await.path()).await.expect("checked").is_sound());
}

/// What a key has to be is tested beside its parser; here, that nothing is made with less.
#[tokio::test]
async fn half_a_key_stores_nothing() {
    let region = Region::start().await;
    let key = Key::new(1);
    let [algorithm, secret, digest] = key.target();
    let wrong_digest = (digest.0, "AAAAAAAAAAAAAAAAAAAAAA==");
    for (headers, expected) in [
        (&[algorithm][..], (400, "InvalidArgument")),
        (&[secret, digest], (400, "InvalidArgument")),
        (&[algorithm, secret], (400, "InvalidArgument")),
        (&[(algorithm.0, "AES128"), secret, digest], (400, "InvalidEncryptionAlgorithmError")),
        (&[algorithm, secret, wrong_digest], (400, "InvalidRequest")),
        (&key.copy_source(), (501, "NotImplemented")),
    ] {
        refused(&region.put_with("half", "meow", headers).await, expected);
        refused(&region.send("POST", "/photos/half?uploads", headers, "").await, expected);
    }
    refused(&region.get("half").await, (404, "NoSuchKey"));
    assert_eq!(region.list("uploads", "Upload").await, [""; 0]);
}

#[tokio::test]
async fn ranges_conditions_and_checksums_are_those_of_the_object() {
    let region = Region::start().await;
    let key = Key::new(1);
    let body = bytes(3 * PAGE + 500);
    let put = [&key.target()[..], &[("x-amz-checksum-algorithm", "CRC32")]].concat();
    let etag = region.put_with("secret", body.clone(), &put).await.ok().header("etag").to_owned();
    for (first, last) in [
        (0, 0),
        (PAGE - 1, PAGE),
        (PAGE, 2 * PAGE - 1),
        (1, 3 * PAGE + 498),
        (2 * PAGE + 7, 3 * PAGE),
        (3 * PAGE + 499, 3 * PAGE + 499),
    ] {
        let range = format!("bytes={first}-{last}");
        let got = region.get_with("secret", &[&key.target()[..], &[("range", &range)]].concat()).await.ok();
        assert_eq!(got.status, 206);
        assert_eq!(got.header("content-range"), format!("bytes {first}-{last}/{}", body.len()));
        assert!(got.body == body[first..=last], "{range}");
        refused(&region.get_with("secret", &[("range", &range)]).await, NO_KEY);
    }
    let with = |header| [&key.target()[..], &[header]].concat();
    assert_eq!(region.get_with("secret", &with(("if-none-match", &etag))).await.status, 304);
    assert_eq!(region.get_with("secret", &with(("if-match", "\"other\""))).await.status, 412);
    let past = format!("bytes={}-", body.len());
    refused(&region.get_with("secret", &with(("range", &past))).await, (416, "InvalidRange"));
    let head =
        region.send("HEAD", "/photos/secret", &with(("x-amz-checksum-mode", "ENABLED")), "").await.ok();
    assert_eq!(head.header("x-amz-checksum-type"), "FULL_OBJECT");
    assert!(!head.header("x-amz-checksum-crc64nvme").is_empty());
    // A body that is not what was announced is refused before it is sealed.
    let wrong = with(("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="));
    refused(&region.put_with("secret", "meow", &wrong).await, (400, "BadDigest"));
    assert_eq!(region.get_with("secret", &key.target()).await.body, body);
}

async fn part(
    region: &Region,
    upload_id: &str,
    number: u32,
    body: Bytes,
    headers: &[(&str, &str)],
) -> Answer {
    let target = format!("/photos/big?partNumber={number}&uploadId={upload_id}");
    region.send("PUT", &target, headers, body).await
}

#[tokio::test]
async fn all_parts_of_an_upload_have_its_key() {
    let region = Region::start().await;
    let (key, other) = (Key::new(1), Key::new(2));
    let started = region.send("POST", "/photos/big?uploads", &key.target(), "").await.ok();
    assert!(key.is_said(&started));
    let id = started.element("UploadId");
    // Their pages end elsewhere than those on disk.
    let parts = [bytes(PART + 1), bytes(PART + 77), bytes(1000)];
    let mut etags = Vec::new();
    for (body, number) in parts.iter().zip(1..) {
        refused(&part(&region, &id, number, body.clone(), &[]).await, (400, "InvalidRequest"));
        refused(&part(&region, &id, number, body.clone(), &other.target()).await, (400, "InvalidRequest"));
        let first = part(&region, &id, number, bytes(10), &key.target()).await.ok();
        let sent = part(&region, &id, number, body.clone(), &key.target()).await.ok();
        assert!(key.is_said(&sent));
        assert_ne!(sent.header("etag"), first.header("etag"));
        assert_ne!(sent.header("etag"), format!("\"{}\"", md5(body)));
        etags.push(sent.header("etag").to_owned());
    }
    let named: Vec<_> = etags.iter().zip(1..).map(|(etag, number)| (number, etag.as_str())).collect();
    refused(&region.complete_with("big", &id, &named, &other.target()).await, (400, "InvalidRequest"));
    let completed = region.complete_with("big", &id, &named, &key.target()).await.ok();
    assert!(key.is_said(&completed));
    assert!(completed.element("ETag").ends_with("-3\""));
    let again = region.complete_with("big", &id, &named, &key.target()).await.ok();
    assert_eq!(again.element("ETag"), completed.element("ETag"));
    refused(&region.complete_with("big", &id, &named, &other.target()).await, (400, "InvalidRequest"));

    let whole = parts.concat();
    let got = region.get_with("big", &key.target()).await.ok();
    assert!(got.body == whole);
    refused(&region.get("big").await, NO_KEY);
    refused(&region.get_with("big", &other.target()).await, WRONG_KEY);
    let second = region.send("GET", "/photos/big?partNumber=2", &key.target(), "").await.ok();
    assert!(second.body == parts[1]);
    for range in
        [PART - 3..PART + 3, PART + 1..2 * PART + 78, 2 * PART + 70..2 * PART + 90, PAGE - 1..PAGE + 1]
    {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let got = region.get_with("big", &[&key.target()[..], &[("range", &header)]].concat()).await.ok();
        assert!(got.body == whole[range.clone()], "{range:?}");
    }
    let attributes = [("x-amz-object-attributes", "ETag,ObjectSize,ObjectParts,Checksum")];
    refused(&region.send("GET", "/photos/big?attributes", &attributes, "").await, NO_KEY);
    let wrong = [&other.target()[..], &attributes].concat();
    refused(&region.send("GET", "/photos/big?attributes", &wrong, "").await, WRONG_KEY);
    let right = [&key.target()[..], &attributes].concat();
    let said = region.send("GET", "/photos/big?attributes", &right, "").await.ok();
    assert_eq!(
        (said.element("ObjectSize"), said.element("PartsCount")),
        (whole.len().to_string(), "3".into())
    );
    assert!(RegionalStore::check_deep(region.close().await.path()).await.expect("checked").is_sound());
}

#[tokio::test]
async fn a_key_belongs_to_an_upload_that_began_with_one() {
    let region = Region::start().await;
    let key = Key::new(1);
    let id = region.start_upload("big", &[]).await;
    refused(&part(&region, &id, 1, bytes(10), &key.target()).await, (400, "InvalidRequest"));
    let etag = part(&region, &id, 1, bytes(10), &[]).await.ok().header("etag").to_owned();
    refused(&region.complete_with("big", &id, &[(1, &etag)], &key.target()).await, (400, "InvalidRequest"));
    region.complete("big", &id, &[(1, &etag)]).await.ok();
    assert_eq!(region.get("big").await.ok().body, bytes(10));
}

/// Joining parts takes no key: S3 asks for it where the client has used checksums.
#[tokio::test]
async fn an_upload_with_checksums_is_completed_and_listed_with_its_key() {
    let region = Region::start().await;
    let key = Key::new(1);
    let (algorithm, sent) = (("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-crc32", "RWzXRg=="));
    for (started, part_of, needs_key) in
        [(&[][..], &[][..], false), (&[algorithm], &[], true), (&[], &[sent], true)]
    {
        let id = region.start_upload("big", &[&key.target()[..], started].concat()).await;
        let sent = part(&region, &id, 1, bytes(10), &[&key.target()[..], part_of].concat()).await.ok();
        let etag = sent.header("etag");
        let list = format!("/photos/big?uploadId={id}");
        let unlocked = region.send("GET", &list, &key.target(), "").await.ok();
        assert!(unlocked.text().contains("<ChecksumCRC"), "{}", unlocked.text());
        assert!(!region.send("GET", &list, &[], "").await.ok().text().contains("<ChecksumCRC"));
        refused(&region.send("GET", &list, &Key::new(2).target(), "").await, (400, "InvalidRequest"));

        let completed = region.complete("big", &id, &[(1, etag)]).await;
        assert_eq!(completed.status.as_u16(), if needs_key { 400 } else { 200 }, "{}", completed.text());
        let done = region.complete_with("big", &id, &[(1, etag)], &key.target()).await.ok();
        assert!(key.is_said(&done));
        assert_eq!(region.get_with("big", &key.target()).await.ok().body, bytes(10));
    }
}

/// A part that is sent again, because its answer was lost, has the entity tag that it had; another one has not.
#[tokio::test]
async fn an_entity_tag_is_of_the_bytes_under_the_key() {
    let region = Region::start().await;
    let key = Key::new(1);
    let id = region.start_upload("big", &key.target()).await;
    let mut etags = Vec::new();
    for (number, count) in [(1, 10), (1, 10), (1, 11), (2, 10)] {
        etags.push(
            part(&region, &id, number, bytes(count), &key.target()).await.ok().header("etag").to_owned(),
        );
    }
    assert_eq!(etags[0], etags[1]);
    assert!(etags[1] != etags[2] && etags[1] != etags[3]);
    let put = async || region.put_with("k", bytes(10), &key.target()).await.ok().header("etag").to_owned();
    assert_ne!(put().await, put().await);
}

pub(crate) async fn copy(region: &Region, from: &str, to: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("x-amz-copy-source", from)], headers].concat();
    region.send("PUT", to, &headers, "").await
}

/// Every way between two keys and none; the source's rules are those of a read.
#[tokio::test]
async fn a_copy_takes_the_key_that_it_is_given() {
    let mut region = Region::start().await;
    let (key, other) = (Key::new(1), Key::new(2));
    for count in [10, 300_000] {
        let body = bytes(count);
        region.put("plain", body.clone()).await;
        region.put_with("secret", body.clone(), &key.target()).await.ok();
        let (with_key, with_other) = (key.target(), other.target());
        let from_key = key.copy_source();
        for (from, source, target) in [
            ("photos/plain", &[][..], &with_key[..]),
            ("photos/secret", &from_key, &[]),
            ("photos/secret", &from_key, &with_key),
            ("photos/secret", &from_key, &with_other),
        ] {
            let copied = copy(&region, from, "/photos/copy", &[source, target].concat()).await.ok();
            region.reopen().await;
            assert!(region.get_with("copy", target).await.ok().body == body, "{from} {target:?}");
            match target {
                [] => assert_eq!(copied.element("ETag"), format!("\"{}\"", md5(&body))),
                _ => {
                    assert_ne!(copied.element("ETag"), format!("\"{}\"", md5(&body)));
                    let said = if target[1].1 == key.key { &key } else { &other };
                    assert!(said.is_said(&copied));
                    refused(&region.get("copy").await, NO_KEY);
                }
            }
        }
        for (from, headers, expected) in [
            ("photos/secret", &[][..], NO_KEY),
            ("photos/secret", &with_key, NO_KEY),
            ("photos/secret", &other.copy_source(), WRONG_KEY),
            ("photos/plain", &from_key, NO_KEY_NEEDED),
        ] {
            refused(&copy(&region, from, "/photos/other", headers).await, expected);
        }
        assert_eq!(region.get("other").await.status, 404);
    }
    assert!(RegionalStore::check_deep(region.close().await.path()).await.expect("checked").is_sound());
}

/// Under one key a copy shares its source's bytes, also of parts; under another it is an object put whole.
#[tokio::test]
async fn bytes_are_shared_under_one_key_alone() {
    let region = Region::start().await;
    let (key, other) = (Key::new(1), Key::new(2));
    let id = region.start_upload("big", &key.target()).await;
    let etag = part(&region, &id, 1, bytes(300_000), &key.target()).await.ok().header("etag").to_owned();
    region.complete_with("big", &id, &[(1, &etag)], &key.target()).await.ok();
    let files = region.files_count();
    let same = [key.copy_source(), key.target()].concat();
    let copied = copy(&region, "photos/big", "/photos/same", &same).await.ok();
    assert_eq!(region.files_count(), files);
    assert!(copied.element("ETag").ends_with("-1\""), "it has its parts");
    assert!(region.get_with("same", &key.target()).await.ok().body == bytes(300_000));
    let checksum = [&same[..], &[("x-amz-checksum-algorithm", "SHA256")]].concat();
    let summed = copy(&region, "photos/big", "/photos/same", &checksum).await.ok();
    assert!(!summed.element("ChecksumSHA256").is_empty());
    assert_eq!(region.files_count(), files);

    let onto_itself = [key.copy_source(), other.target()].concat();
    let rotated = copy(&region, "photos/big", "/photos/big", &onto_itself).await.ok();
    assert!(!rotated.element("ETag").contains('-'));
    assert!(region.get_with("big", &other.target()).await.ok().body == bytes(300_000));
    refused(&region.get_with("big", &key.target()).await, WRONG_KEY);
}

#[tokio::test]
async fn a_part_is_copied_to_the_key_of_its_upload() {
    let region = Region::start().await;
    let (key, other) = (Key::new(1), Key::new(2));
    region.put("plain", bytes(200_000)).await;
    region.put_with("secret", bytes(200_000), &key.target()).await.ok();
    let (with_key, with_other, from_key) = (key.target(), other.target(), key.copy_source());
    for (from, source, target) in [
        ("photos/plain", &[][..], &with_key[..]),
        ("photos/secret", &from_key, &[]),
        ("photos/secret", &from_key, &with_key),
        ("photos/secret", &from_key, &with_other),
    ] {
        let id = region.start_upload("big", target).await;
        let to = format!("/photos/big?partNumber=1&uploadId={id}");
        let range = [("x-amz-copy-source-range", "bytes=65519-130000")];
        let part = copy(&region, from, &to, &[source, target, &range].concat()).await.ok();
        if !target.is_empty() {
            refused(&copy(&region, from, &to, source).await, (400, "InvalidRequest"));
        }
        let etag = part.element("ETag");
        region.complete_with("big", &id, &[(1, &etag)], target).await.ok();
        assert!(region.get_with("big", target).await.ok().body == bytes(200_000)[65_519..=130_000]);
    }
    let id = region.start_upload("big", &[]).await;
    let to = format!("/photos/big?partNumber=1&uploadId={id}");
    refused(&copy(&region, "photos/secret", &to, &[]).await, NO_KEY);
    refused(&copy(&region, "photos/secret", &to, &other.copy_source()).await, WRONG_KEY);
    refused(&copy(&region, "photos/plain", &to, &with_key).await, (400, "InvalidRequest"));
}

/// Tags, lists and deleting are about the object and not its bytes.
#[tokio::test]
async fn what_is_not_about_the_bytes_takes_no_key() {
    let region = Region::start().await;
    region.put_with("secret", "meow", &Key::new(1).target()).await.ok();
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    region.send("PUT", "/photos/secret?tagging", &[], tags).await.ok();
    assert_eq!(region.send("GET", "/photos/secret?tagging", &[], "").await.ok().element("Key"), "a");
    region.send("GET", "/photos/secret?acl", &[], "").await.ok();
    assert_eq!(region.get_with("secret", &Key::new(1).target()).await.ok().body, "meow");
    assert_eq!(region.send("DELETE", "/photos/secret", &[], "").await.status, 204);
}

/// Neither the bytes nor the key are anywhere in the store's folder, whatever becomes of the object.
#[tokio::test]
async fn nothing_on_disk_tells_of_the_bytes_or_the_key() {
    let region = Region::start().await;
    let text = "what only the client may read. ";
    let key = Key { key: BASE64.encode([0x5a; 32]), md5: BASE64.encode(md5::Md5::digest([0x5a; 32])) };
    region.put_with("small", text, &key.target()).await.ok();
    region.put_with("large", text.repeat(10_000), &key.target()).await.ok();
    let id = region.start_upload("big", &key.target()).await;
    let etag = part(&region, &id, 1, text.repeat(10_000).into(), &key.target()).await.ok();
    region.complete_with("big", &id, &[(1, etag.header("etag"))], &key.target()).await.ok();
    copy(&region, "photos/big", "/photos/copy", &[key.copy_source(), key.target()].concat()).await.ok();
    let files = region.files();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let stored = std::fs::read(&path).expect("a file");
        let holds = |wanted: &[u8]| stored.windows(wanted.len()).any(|window| window == wanted);
        assert!(!holds(text.as_bytes()), "the bytes are in {}", path.display());
        assert!(!holds(&[0x5a; 32]) && !holds(key.key.as_bytes()), "the key is in {}", path.display());
    }
}

/// A bit that flips on the disk is an error of whoever reads its page, key or not, and of nobody else.
#[tokio::test]
async fn a_flipped_bit_is_an_error_and_no_noise() {
    let region = Region::start().await;
    let key = Key::new(1);
    region.put_with("secret", bytes(40 * PAGE), &key.target()).await.ok();
    let is_data = |path: &PathBuf| path.metadata().is_ok_and(|found| found.len() == 40 * 65_536);
    let file = region.files().into_iter().find(is_data).expect("the object's data file");
    let mut stored = std::fs::read(&file).expect("a file");
    stored[3 * 65_536 + 77] ^= 4;
    std::fs::write(&file, &stored).expect("written");
    let read = async |first: usize| {
        let range = format!("bytes={first}-{}", first + 9);
        region.get_with("secret", &[&key.target()[..], &[("range", &range)]].concat()).await
    };
    refused(&read(3 * PAGE + 10).await, (500, "InternalError"));
    assert_eq!(read(10 * PAGE).await.ok().body, bytes(40 * PAGE)[10 * PAGE..10 * PAGE + 10]);
}

/// Where a bucket blocks keys of clients nothing new comes under one, in whatever way; what was there is read, and what has
/// no such key is written. An upload that began before is not completed, and can be aborted.
#[tokio::test]
async fn a_bucket_that_blocks_keys_of_clients_takes_nothing_under_one() {
    let mut region = Region::start().await;
    let key = Key::new(1);
    let (with_key, from_key) = (key.target(), key.copy_source());
    let blocked = (403, "AccessDenied");
    region.put("plain", bytes(PAGE)).await;
    region.put_with("secret", bytes(PAGE), &with_key).await.ok();
    let id = region.start_upload("begun", &with_key).await;
    let part = |number: u32| format!("/photos/begun?partNumber={number}&uploadId={id}");
    let etag = region.send("PUT", &part(1), &with_key, bytes(PART)).await.ok().header("etag").to_owned();
    region.block_encryption(BlockedEncryption::CustomerKeys).await;
    region.reopen().await;

    refused(&region.put_with("new", "meow", &with_key).await, blocked);
    refused(&region.put_with("secret", "meow", &with_key).await, blocked);
    refused(&region.send("POST", "/photos/new?uploads", &with_key, "").await, blocked);
    refused(&region.send("PUT", &part(2), &with_key, "meow").await, blocked);
    let of_plain = [("x-amz-copy-source", "photos/plain")];
    refused(&region.send("PUT", &part(2), &[&of_plain[..], &with_key].concat(), "").await, blocked);
    refused(&region.complete_with("begun", &id, &[(1, &etag)], &with_key).await, blocked);
    refused(&region.complete("begun", &id, &[(1, &etag)]).await, blocked);
    refused(&region.send("PUT", "/photos/new", &[&of_plain[..], &with_key].concat(), "").await, blocked);
    refused(&region.get("new").await, (404, "NoSuchKey"));
    refused(&region.get("begun").await, (404, "NoSuchKey"));

    assert_eq!(region.get_with("secret", &with_key).await.ok().body, bytes(PAGE));
    region.put("new", "meow").await;
    region.put_with("by-store", "meow", &[("x-amz-server-side-encryption", "AES256")]).await.ok();
    let of_secret = [&[("x-amz-copy-source", "photos/secret")][..], &from_key].concat();
    region.send("PUT", "/photos/copy", &of_secret, "").await.ok();
    assert_eq!(region.get("copy").await.ok().body, bytes(PAGE));
    assert_eq!(region.send("DELETE", &format!("/photos/begun?uploadId={id}"), &[], "").await.status, 204);

    region.block_encryption(BlockedEncryption::Nothing).await;
    region.put_with("new", "meow", &with_key).await.ok();
    region.block_encryption(BlockedEncryption::CustomerKeys).await;
    // What the bucket says of encryption goes as one.
    assert_eq!(region.send("DELETE", "/photos?encryption", &[], "").await.status, 204);
    region.put_with("new", "meow", &with_key).await.ok();
}
