//! PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use s3s::dto::StreamingBlob;

use crate::region::{Region, bytes, md5};
use crate::test_until::until;

#[tokio::test]
async fn what_was_put_is_got() {
    let region = Region::start().await;
    for count in [0, 1, 16 * 1024, 16 * 1024 + 1, 65_536, 65_537, 3_000_000] {
        let body = bytes(count);
        let put = region.put("cat.jpg", body.clone()).await;
        assert_eq!(put.header("etag"), format!("\"{}\"", md5(&body)), "{count}");
        let got = region.get("cat.jpg").await.ok();
        assert_eq!(got.body, body, "{count}");
        assert_eq!(got.header("content-length"), count.to_string());
        assert_eq!(got.header("etag"), put.header("etag"));
        let head = region.send("HEAD", "/photos/cat.jpg", &[], "").await.ok();
        assert_eq!(head.headers, got.headers, "{count}");
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn every_form_of_range_is_served() {
    let region = Region::start().await;
    let body = bytes(200_000);
    region.put("big", body.clone()).await;
    region.put("small", body.slice(..1000)).await;
    for (key, whole) in [("big", body.clone()), ("small", body.slice(..1000))] {
        let end = whole.len();
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=10-".to_owned(), 10, end),
            ("bytes=-10".to_owned(), end - 10, end),
            ("bytes=3-99999999".to_owned(), 3, end),
            (format!("bytes={}-{}", end / 2 - 1, end / 2 + 300), end / 2 - 1, end / 2 + 301),
        ] {
            let got = region.get_with(key, &[("range", &range)]).await;
            assert_eq!(got.status, 206, "{range}");
            assert_eq!(got.body, whole.slice(from..to), "{range}");
            assert_eq!(got.header("content-range"), format!("bytes {from}-{}/{end}", to - 1));
        }
        let past = region.get_with(key, &[("range", &format!("bytes={end}-"))]).await;
        assert_eq!(past.error(), (416, "InvalidRange".into()));
        assert_eq!(past.header("content-type"), "application/xml");
    }
}

#[tokio::test]
async fn conditions_of_reads_are_answered() {
    let region = Region::start().await;
    let etag = region.put("cat.jpg", "meow").await.header("etag").to_owned();
    assert_eq!(region.get_with("cat.jpg", &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(
        region.get_with("cat.jpg", &[("if-match", "\"other\"")]).await.error(),
        (412, "PreconditionFailed".into())
    );
    assert_eq!(region.get_with("cat.jpg", &[("if-match", &format!("\"other\", {etag}"))]).await.status, 200);
    let ranged = [("range", "bytes=0-1"), ("if-range", "\"other\"")];
    assert_eq!(region.get_with("cat.jpg", &ranged).await.body, "meow");
}

#[tokio::test]
async fn headers_and_metadata_come_back() {
    let region = Region::start().await;
    let headers = [
        ("content-type", "image/jpeg"),
        ("cache-control", "max-age=60"),
        ("content-disposition", "attachment"),
        ("content-encoding", "gzip,aws-chunked"),
        ("content-language", "de"),
        ("expires", "Sun, 22 Nov 2026 15:00:00 GMT"),
        ("x-amz-website-redirect-location", "/other"),
        ("x-amz-meta-Mood", "sleepy"),
        ("x-amz-meta-name", "Mäusefänger"),
    ];
    region.put_with("cat.jpg", "meow", &headers).await.ok();
    let got = region.get("cat.jpg").await.ok();
    for (name, value) in &headers[..7] {
        assert_eq!(got.header(name), value.replace(",aws-chunked", ""), "{name}");
    }
    let encoded = "=?UTF-8?B?TcOkdXNlZsOkbmdlcg==?=";
    assert_eq!(
        got.metadata(),
        BTreeMap::from([("mood".into(), "sleepy".into()), ("name".into(), encoded.into())])
    );
    let override_query = "/photos/cat.jpg?response-content-type=text/plain&response-cache-control=no-store";
    for method in ["GET", "HEAD"] {
        let overridden = region.send(method, override_query, &[], "").await.ok();
        assert_eq!(
            (overridden.header("content-type"), overridden.header("cache-control")),
            ("text/plain", "no-store"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn an_overwrite_replaces_everything() {
    let region = Region::start().await;
    region
        .put_with("cat.jpg", "meow", &[("x-amz-meta-mood", "sleepy"), ("content-type", "text/plain")])
        .await
        .ok();
    region.put("cat.jpg", "purr").await;
    let got = region.get("cat.jpg").await.ok();
    assert_eq!((got.body.as_ref(), got.metadata().len()), (&b"purr"[..], 0));
    assert_eq!(got.header("content-type"), "binary/octet-stream");
}

#[tokio::test]
async fn writes_are_conditional_inside_the_commit() {
    let region = Region::start().await;
    let any = ("if-none-match", "*");
    assert_eq!(
        region.put_with("cat.jpg", "meow", &[("if-match", "*")]).await.error(),
        (404, "NoSuchKey".into())
    );
    let etag = region.put_with("cat.jpg", "meow", &[any]).await.ok().header("etag").to_owned();
    assert_eq!(region.put_with("cat.jpg", "purr", &[any]).await.error(), (412, "PreconditionFailed".into()));
    assert_eq!(
        region.put_with("cat.jpg", "purr", &[("if-match", "\"x\"")]).await.error(),
        (412, "PreconditionFailed".into())
    );
    assert_eq!(region.get("cat.jpg").await.body, "meow");
    region.put_with("cat.jpg", "purr", &[("if-match", &etag)]).await.ok();
    assert_eq!(region.get("cat.jpg").await.body, "purr");
}

/// Of many writers that each want to be the first, one is.
#[tokio::test]
async fn one_of_many_first_writers_wins() {
    let region = Region::start().await;
    let writers =
        (0..16).map(|writer| region.put_with("lock", format!("{writer}"), &[("if-none-match", "*")]));
    let answers = futures::future::join_all(writers).await;
    let winners: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(format!("\"{}\"", md5(&region.get("lock").await.body)), winners[0].header("etag"));
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_leaves_nothing() {
    let region = Region::start().await;
    for (headers, code) in [
        (&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")][..], "BadDigest"),
        (&[("content-md5", "AAAA")], "InvalidDigest"),
        (&[("x-amz-checksum-crc32", "AAAAAA==")], "BadDigest"),
        (&[("x-amz-checksum-sha256", "AAAAAA==")], "BadDigest"),
        (&[("x-amz-trailer", "x-amz-checksum-crc32")], "MalformedTrailerError"),
    ] {
        let refused = region.put_with("cat.jpg", bytes(100_000), headers).await;
        assert_eq!(refused.error(), (400, code.into()), "{headers:?}");
    }
    assert_eq!(region.get("cat.jpg").await.error(), (404, "NoSuchKey".into()));
}

#[tokio::test]
async fn what_would_be_ignored_is_refused() {
    let region = Region::start().await;
    for (name, value, code) in [
        ("x-amz-server-side-encryption-aws-kms-key-id", "key", "NotImplemented"),
        ("x-amz-server-side-encryption", "aws:kms", "NotImplemented"),
        ("x-amz-server-side-encryption", "AES192", "InvalidArgument"),
        ("x-amz-tagging-directive", "REPLACE", "NotImplemented"),
        ("x-amz-object-ownership", "ObjectWriter", "NotImplemented"),
        ("x-amz-object-lock-mode", "GOVERNANCE", "NotImplemented"),
        ("x-amz-storage-class", "GLACIER", "NotImplemented"),
        ("x-amz-storage-class", "COLDISH", "InvalidStorageClass"),
        ("x-amz-checksum-md5", "AAAAAAAAAAAAAAAAAAAAAA==", "NotImplemented"),
    ] {
        assert_eq!(
            region.put_with("cat.jpg", "meow", &[(name, value)]).await.error().1,
            code,
            "{name}: {value}"
        );
    }
    region
        .put_with("cat.jpg", "meow", &[("x-amz-acl", "private"), ("x-amz-storage-class", "STANDARD")])
        .await
        .ok();
    for query in ["versionId=3", "versionId="] {
        for method in ["GET", "DELETE"] {
            let refused = region.send(method, &format!("/photos/cat.jpg?{query}"), &[], "").await;
            assert_eq!(refused.error(), (400, "InvalidArgument".into()), "{method} {query}");
        }
    }
    assert_eq!(region.send("GET", "/photos/cat.jpg?versionId=null", &[], "").await.body, "meow");
}

#[tokio::test]
async fn limits_are_s3s() {
    let region = Region::start().await;
    let (longest, longer) = ("k".repeat(1024), "k".repeat(1025));
    region.put(&longest, "meow").await;
    assert_eq!(region.put_with(&longer, "meow", &[]).await.error(), (400, "KeyTooLongError".into()));
    let large = "x".repeat(2049);
    assert_eq!(
        region.put_with("cat.jpg", "meow", &[("x-amz-meta-a", &large)]).await.error(),
        (400, "MetadataTooLarge".into())
    );
    let mut headers = http::HeaderMap::new();
    headers.insert("content-length", http::HeaderValue::from(5 * 1024 * 1024 * 1024_u64 + 1));
    let refused = region
        .send_body(Some(crate::region::caller()), "PUT", "/photos/big", headers, s3s::Body::empty())
        .await;
    assert_eq!(refused.error(), (400, "EntityTooLarge".into()));
}

#[tokio::test]
async fn a_body_shorter_or_longer_than_announced_is_incomplete() {
    let region = Region::start().await;
    for announced in [3_u64, 5] {
        let headers =
            http::HeaderMap::from_iter([(http::header::CONTENT_LENGTH, http::HeaderValue::from(announced))]);
        let body = s3s::Body::from(bytes::Bytes::from_static(b"meow"));
        let refused =
            region.send_body(Some(crate::region::caller()), "PUT", "/photos/cat.jpg", headers, body).await;
        assert_eq!(refused.error(), (400, "IncompleteBody".into()), "{announced}");
    }
    assert_eq!(region.get("cat.jpg").await.status, 404);
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_can_be_deleted_again() {
    let region = Region::start().await;
    region.put("cat.jpg", "meow").await;
    for _ in 0..2 {
        assert_eq!(region.send("DELETE", "/photos/cat.jpg", &[], "").await.status, 204);
        assert_eq!(region.get("cat.jpg").await.error(), (404, "NoSuchKey".into()));
    }
    // Whatever was expected of it.
    for condition in [("if-match", "*"), ("if-match", "\"x\""), ("x-amz-if-match-size", "7")] {
        assert_eq!(
            region.send("DELETE", "/photos/cat.jpg", &[condition], "").await.status,
            204,
            "{condition:?}"
        );
    }
}

#[tokio::test]
async fn a_delete_may_be_conditional() {
    let region = Region::start().await;
    let etag = region.put("cat.jpg", "meow").await.header("etag").to_owned();
    let modified = region.get("cat.jpg").await.header("last-modified").to_owned();
    let (size, time) = ("x-amz-if-match-size", "x-amz-if-match-last-modified-time");
    for condition in [("if-match", "\"x\""), (size, "5"), (time, "Thu, 01 Jan 2015 00:00:00 GMT")] {
        let failed = region.send("DELETE", "/photos/cat.jpg", &[condition], "").await;
        assert_eq!(failed.error(), (412, "PreconditionFailed".into()), "{condition:?}");
    }
    let all = [("if-match", etag.as_str()), (size, "4"), (time, &modified)];
    assert_eq!(region.send("DELETE", "/photos/cat.jpg", &all, "").await.status, 204);
    region.put("cat.jpg", "meow").await;
    let key = |condition: &str| format!("<Delete><Object><Key>cat.jpg</Key>{condition}</Object></Delete>");
    for (condition, deleted) in [("<Size>5</Size>", 0), ("<ETag>x</ETag>", 0), ("<Size>4</Size>", 1)] {
        let answer = region.send("POST", "/photos?delete", &[], key(condition)).await.ok();
        assert_eq!(
            (answer.elements("Deleted").len(), answer.elements("Error").len()),
            (deleted, 1 - deleted)
        );
    }
}

#[tokio::test]
async fn many_objects_are_deleted_at_once() {
    let region = Region::start().await;
    for key in ["a", "b", "c"] {
        region.put(key, key).await;
    }
    let body = "<Delete><Object><Key>a</Key></Object><Object><Key>none</Key></Object>\
                <Object><Key>b</Key><ETag>\"x\"</ETag></Object><Object><Key>c</Key><VersionId>3</VersionId></Object></Delete>";
    let answer = region.send("POST", "/photos?delete", &[], body).await.ok();
    assert_eq!(answer.elements("Key"), ["a", "none", "b", "c"]);
    assert_eq!(answer.elements("Code"), ["PreconditionFailed", "InvalidArgument"]);
    assert_eq!(region.list("", "Key").await, ["b", "c"]);
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>";
    assert!(region.send("POST", "/photos?delete", &[], quiet).await.ok().elements("Key").is_empty());
    assert_eq!(region.list("", "Key").await, ["c"]);
}

#[tokio::test]
async fn at_most_a_thousand_objects_are_deleted_at_once() {
    let region = Region::start().await;
    let body = |count: usize| {
        let objects: String = (0..count).map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
        format!("<Delete>{objects}</Delete>")
    };
    assert_eq!(region.send("POST", "/photos?delete", &[], body(1000)).await.ok().elements("Key").len(), 1000);
    for count in [0, 1001] {
        let refused = region.send("POST", "/photos?delete", &[], body(count)).await;
        assert_eq!(refused.error(), (400, "MalformedXML".into()), "{count}");
    }
}

/// A body that breaks off, or whose client goes away, leaves neither an object nor a file.
#[tokio::test]
async fn an_aborted_upload_leaves_no_file() {
    let region = Region::start().await;
    let files_before = region.files_count();
    for ending in [Ending::Breaks, Ending::Stalls] {
        let headers =
            http::HeaderMap::from_iter([(http::header::CONTENT_LENGTH, http::HeaderValue::from(10_000_000))]);
        let sending =
            region.send_body(Some(crate::region::caller()), "PUT", "/photos/cat.jpg", headers, ending.body());
        match ending {
            Ending::Breaks => assert_eq!(sending.await.error(), (400, "IncompleteBody".into())),
            // Dropped in the middle, as when the client's connection is gone.
            Ending::Stalls => {
                assert!(tokio::time::timeout(Duration::from_millis(300), sending).await.is_err());
            }
        }
        until("what was staged is gone", async || region.files_count() == files_before).await;
        assert_eq!(region.get("cat.jpg").await.status, 404);
    }
}

enum Ending {
    Breaks,
    Stalls,
}

impl Ending {
    /// Three megabytes, then nothing more.
    fn body(&self) -> s3s::Body {
        let pieces = stream::repeat_with(|| Ok(bytes(100_000))).take(30);
        let blob = match self {
            Self::Breaks => StreamingBlob::wrap(pieces.chain(stream::iter([Err(io::Error::other("reset"))]))),
            Self::Stalls => StreamingBlob::wrap(pieces.chain(stream::pending::<io::Result<bytes::Bytes>>())),
        };
        s3s::Body::from(blob)
    }
}
