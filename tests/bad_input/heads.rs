//! Requests that are wrong in their head.

use tests::sign::Keys;
use tests::{Cluster, Endpoint, raw};

use super::request::Raw;
use super::{Site, TRANSPORTS, Transport};

#[tokio::test]
async fn signatures_that_do_not_hold() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let keys = site.get().own_keys().clone();
        let wrong_secret = Keys { secret_key: "x".repeat(40), ..keys.clone() };
        let unknown = Keys { access_key: "AKIAUNKNOWNUNKNOWN00".into(), ..keys.clone() };
        let v2_query = format!(
            "/photos/kept?AWSAccessKeyId={}&Expires=9999999999&Signature=c2lnbmF0dXJl",
            keys.access_key
        );
        let v2_header = format!("AWS {}:c2lnbmF0dXJl", keys.access_key);
        let cases = [
            ("wrong secret", site.get().keys(wrong_secret.clone()), "403 SignatureDoesNotMatch"),
            (
                "wrong secret, presigned",
                site.get().keys(wrong_secret.clone()).presigned(60),
                "403 SignatureDoesNotMatch",
            ),
            ("wrong secret, a write", site.put("x").keys(wrong_secret), "403 SignatureDoesNotMatch"),
            ("unknown key", site.get().keys(unknown.clone()), "403 InvalidAccessKeyId"),
            (
                "unknown key, presigned write",
                site.put("x").keys(unknown).presigned(60),
                "403 InvalidAccessKeyId",
            ),
            ("no signature", site.get().anonymous(), "403 AccessDenied"),
            ("no signature, a write", site.put("x").anonymous(), "403 AccessDenied"),
            ("a clock 16 minutes behind", site.get().signed_at(-16 * 60), "403 RequestTimeTooSkewed"),
            ("a clock 16 minutes ahead", site.get().signed_at(16 * 60), "403 RequestTimeTooSkewed"),
            ("a write 16 minutes late", site.put("x").signed_at(-16 * 60), "403 RequestTimeTooSkewed"),
            ("expired", site.get().presigned(60).signed_at(-120), "403 AccessDenied"),
            ("an expired write", site.put("x").presigned(60).signed_at(-120), "403 AccessDenied"),
            ("more than a week", site.get().presigned(604_801), "403 AccessDenied"),
            ("no time at all", site.get().presigned(0), "403 AccessDenied"),
            ("V2 in the query", site.get().anonymous().target(v2_query), "400 InvalidRequest"),
            (
                "V2 in a header",
                site.get().anonymous().unsigned_header("authorization", v2_header),
                "400 InvalidRequest",
            ),
            (
                "SigV4A",
                site.get()
                    .anonymous()
                    .unsigned_header("authorization", "AWS4-ECDSA-P256-SHA256 Credential=a"),
                "400 InvalidRequest",
            ),
            (
                "signed twice",
                site.get().presigned(60).unsigned_header("authorization", "AWS4-HMAC-SHA256 a"),
                "400 InvalidArgument",
            ),
        ];
        for (what, request, expected) in cases {
            site.refuses(what, &request, expected).await;
        }
        site.answers("signed in the header", &site.get()).await;
        site.answers("14 minutes late", &site.get().signed_at(-14 * 60)).await;
        site.answers("presigned", &site.get().presigned(604_800)).await;
    }
}

/// A signature that leaves out a header that S3 acts on could be turned into another request.
#[tokio::test]
async fn headers_that_are_not_signed() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let hash = "0".repeat(64);
        let cases = [
            (
                "a presigned PUT turned into a copy",
                site.put("").presigned(60).unsigned_header("x-amz-copy-source", "/photos/kept"),
            ),
            ("a PUT turned into a copy", site.put("").unsigned_header("x-amz-copy-source", "/photos/kept")),
            ("metadata added", site.put("x").unsigned_header("x-amz-meta-colour", "red")),
            ("an ACL added", site.put("x").presigned(60).unsigned_header("x-amz-acl", "public-read")),
            ("a hash added", site.put("x").presigned(60).unsigned_header("x-amz-content-sha256", hash)),
            ("a read changed", site.get().unsigned_header("x-amz-checksum-mode", "ENABLED")),
        ];
        for (what, request) in cases {
            site.refuses(what, &request, "403 AccessDenied").await;
        }
        site.answers("the same header, signed", &site.get().header("x-amz-checksum-mode", "ENABLED")).await;
        site.answers("a header that S3 has no meaning for", &site.get().unsigned_header("x-colour", "red"))
            .await;
    }
}

/// What is not even a request is refused by a document like everything else, with an id to ask about, and logged and counted.
#[tokio::test]
async fn heads_that_cannot_be_parsed() {
    let cluster = Cluster::start().await;
    for (endpoint, name) in [(Endpoint::Standard, "standard"), (Endpoint::Accelerated, "accelerated")] {
        let address = cluster.address("ord1", endpoint);
        for (request, status, code) in [
            ("GET / HTTP/3.7\r\nhost: a\r\n\r\n", 400, "BadRequest"),
            ("GET\r\nhost: a\r\n\r\n", 400, "BadRequest"),
            ("G<T / HTTP/1.1\r\nhost: a\r\n\r\n", 400, "BadRequest"),
            ("GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", 400, "BadRequest"),
            ("GET / HTTP/1.1\r\nhost: a\r\nna me: value\r\n\r\n", 400, "BadRequest"),
            ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 405, "MethodNotAllowed"),
            (
                "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
                400,
                "InvalidRequest",
            ),
        ] {
            let answer = raw::exchange(&address, request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request}: {answer}");
            assert!(answer.contains(&format!("<Code>{code}</Code>")), "{request}: {answer}");
            let (_, id) = answer.split_once("x-amz-request-id: ").expect("an id");
            let id = id.split_once("\r\n").expect("an end").0;
            assert!(answer.contains(&format!("<RequestId>{id}</RequestId>")), "{request}: {answer}");
            let lines = cluster.process("ord1").log_lines(&[id], 1).await;
            for text in ["\"target\":\"access\"", "127.0.0.1", &format!("\"status\":{status}")] {
                assert!(lines[0].contains(text), "{request}: {lines:?}");
            }
        }
        let scrape = cluster.settled("ord1").await;
        let count = |status| scrape.sum("penstock_requests_total", &[("endpoint", name), ("status", status)]);
        assert_eq!([count("400"), count("405")], [6.0, 1.0]);
    }
}

#[tokio::test]
async fn targets_that_name_nothing() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let delete = |target: &str| Raw::new("DELETE", target, site.get().own_keys().clone());
        let cases = [
            (
                "a key too long",
                site.put("x").target(format!("/photos/{}", "a".repeat(1025))),
                "400 KeyTooLongError",
            ),
            (
                "a key too long to read",
                site.get().target(format!("/photos/{}", "a".repeat(1025))),
                "400 KeyTooLongError",
            ),
            ("half an escape", site.get().target("/photos/%4"), "400 InvalidURI"),
            ("no UTF-8", site.get().target("/photos/%ff"), "400 InvalidURI"),
            ("no bucket name", site.get().target("/B_/kept"), "400 InvalidBucketName"),
            ("an unknown sub-resource", site.get().target("/photos/kept?colour"), "501 NotImplemented"),
            ("an ACL to delete is not the bucket", delete("/photos?acl"), "501 NotImplemented"),
            ("nor an object", delete("/photos/kept?acl"), "501 NotImplemented"),
            ("half an UploadPart", site.put("x").target("/photos/new?uploadId=u"), "400 InvalidArgument"),
            ("two sub-resources", site.get().target("/photos?location&uploads"), "400 InvalidArgument"),
            (
                "a parameter twice",
                site.get().target("/photos/kept?versionId=a&versionId=b"),
                "400 InvalidArgument",
            ),
            (
                "a method of no kind",
                Raw::new("PATCH", "/photos/kept", site.get().own_keys().clone()),
                "405 MethodNotAllowed",
            ),
            ("no such key", site.get().target("/photos/none"), "404 NoSuchKey"),
            ("no such bucket", site.get().target("/none/kept"), "404 NoSuchBucket"),
            ("no such upload", delete("/photos/new?uploadId=bm9uZQ"), "404 NoSuchUpload"),
            (
                "a part of no upload",
                site.put("x").target("/photos/new?partNumber=1&uploadId=bm9uZQ"),
                "404 NoSuchUpload",
            ),
            ("past the end", site.get().header("range", "bytes=100000-"), "416 InvalidRange"),
        ];
        for (what, request, expected) in cases {
            site.refuses(what, &request, expected).await;
        }
        site.answers("the last byte", &site.get().header("range", "bytes=99999-")).await;
        site.answers("the longest key", &site.put("x").target(format!("/photos/{}", "a".repeat(1024)))).await;
    }
}

#[tokio::test]
async fn heads_that_are_too_much() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let many = |count: usize| {
            (0..count).fold(site.get(), |get, n| get.unsigned_header(&format!("x-colour-{n}"), "red"))
        };
        let large = |bytes: usize| site.get().unsigned_header("cookie", "a".repeat(bytes));
        site.refuses("9 KiB of headers", &large(9 * 1024), "400 RequestHeaderSectionTooLarge").await;
        site.refuses(
            "metadata past 2 KiB",
            &site.put("x").header("x-amz-meta-a", "a".repeat(2048)),
            "400 MetadataTooLarge",
        )
        .await;
        site.refuses(
            "the same header twice",
            &site.get().unsigned_header("x-amz-date", "20260101T000000Z"),
            "400 InvalidRequest",
        )
        .await;
        site.answers("100 headers", &many(100)).await;
        // HTTP/2 tells by its frames alone: there is no request that a document could answer. Of a head that does not
        // end soon the connection is closed.
        for (what, flood, http2) in
            [("5000 headers", many(5000), Some(431)), ("4 MiB of headers", large(4 << 20), None)]
        {
            for door in &site.doors {
                let reply = door.exchange(&flood).await;
                let place = format!("{what}, {}", door.name);
                match door.is_http2() {
                    true => assert_eq!(reply.status, http2, "{place}: {reply:?}"),
                    false => {
                        assert_eq!(reply.refusal(), "400 RequestHeaderSectionTooLarge", "{place}: {reply:?}");
                    }
                }
                site.is_unchanged(&place).await;
            }
        }
    }
}

/// What is no HTTP/1.1, or could be read as two requests, is turned away before anybody asks what it means.
#[tokio::test]
async fn heads_that_are_not_http() {
    let site = Site::start(Transport::Plain).await;
    let put = || site.put("n").content_length(None);
    let cases = [
        ("a length that is no number", put().unsigned_header("content-length", "1e3")),
        ("a length with a sign", put().unsigned_header("content-length", "+1")),
        ("two lengths", put().unsigned_header("content-length", "1").unsigned_header("content-length", "2")),
        ("a header without a name", site.get().unsigned_header("", "red")),
        ("a header name with a space", site.get().unsigned_header("x-amz-meta-a ", "red")),
        ("a control byte in a value", site.get().unsigned_header("x-colour", "r\0d")),
        ("another coding than chunked", put().unsigned_header("transfer-encoding", "gzip")),
    ];
    for (what, request) in cases {
        site.is_cut_off(what, &request).await;
    }
    let no_host = String::from_utf8_lossy(&site.get().bytes("host")).replace("host: host\r\n", "");
    let address = site.cluster.address("ord1", Endpoint::Standard);
    let answer = raw::exchange(&address, no_host.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn hosts_that_are_not_ours() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        for host in ["example.com", "a.b.object.ord1.penstock.localhost", "object.mars1.penstock.localhost"] {
            for door in &site.doors {
                let reply = door.under(host).exchange(&site.get()).await;
                assert_eq!(reply.refusal(), "400 InvalidHostHeader", "{host}, {}", door.name);
            }
        }
        for door in &site.doors {
            // Case, port and a trailing dot are no difference.
            let odd = door.under("Object.ORD1.penstock.localhost.:80");
            assert!(odd.exchange(&site.get()).await.is_success(), "{}", door.name);
            let bucket = door.under("hosted.object.ord1.penstock.localhost");
            let reply = bucket.exchange(&site.get().target("/kept")).await;
            assert_eq!(reply.refusal(), "404 NoSuchBucket", "{}", door.name);
        }
    }
}
