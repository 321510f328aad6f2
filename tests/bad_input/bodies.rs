//! Requests whose body is not what their head says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};
use sha2::Sha256;
use tests::Request;
use tests::sign::hmac;

use super::door::{Door, Ending};
use super::request::Raw;
use super::{Site, TRANSPORTS, Transport};

/// Larger than what a store keeps inline, so that a file is staged.
const BODY_BYTES: usize = 100_000;

#[tokio::test]
async fn digests_that_do_not_match() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let body = vec![b'n'; BODY_BYTES];
        let put = || site.put(body.clone());
        let md5 = STANDARD.encode(Md5::digest(b"another body"));
        let http_chunked = site
            .put("")
            .body_as_sent("1\r\nn\r\n0\r\n\r\n")
            .payload_hash("UNSIGNED-PAYLOAD")
            .content_length(None)
            .unsigned_header("transfer-encoding", "chunked");
        let cases = [
            ("Content-MD5 of another body", put().header("content-md5", md5), "400 BadDigest"),
            ("Content-MD5 of no form", put().header("content-md5", "bm9uZQ"), "400 InvalidDigest"),
            (
                "the hash of another body",
                put().payload_hash("ab".repeat(32)),
                "400 XAmzContentSHA256Mismatch",
            ),
            ("a hash of no form", put().payload_hash("ab"), "400 InvalidArgument"),
            ("a CRC32 of another body", put().header("x-amz-checksum-crc32", "AAAAAA=="), "400 BadDigest"),
            ("a CRC32 of no form", put().header("x-amz-checksum-crc32", "AAAA"), "400 BadDigest"),
            ("no length", site.put("").content_length(None), "411 MissingContentLength"),
            (
                "no length, presigned",
                site.put("").presigned(60).content_length(None),
                "411 MissingContentLength",
            ),
            ("chunks of HTTP", http_chunked, "411 MissingContentLength"),
            ("past 5 GiB", put().content_length(5 * 1024 * 1024 * 1024 + 1), "400 EntityTooLarge"),
        ];
        for (what, request, expected) in cases {
            site.refuses(what, &request, expected).await;
        }
        let md5 = STANDARD.encode(Md5::digest(&body));
        site.answers("the right Content-MD5", &put().header("content-md5", md5)).await;
    }
}

/// A client that goes away, or stops sending, in the middle: nothing is stored, and no file stays.
#[tokio::test]
async fn bodies_that_break_off() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let short = site
            .put(vec![b'n'; BODY_BYTES])
            .content_length(BODY_BYTES as u64 + 1)
            .payload_hash("UNSIGNED-PAYLOAD");
        let upload_id = site.own().create_multipart_upload("photos", "new").await;
        let part = short.clone().target(format!("/photos/new?partNumber=1&uploadId={upload_id}"));
        for (what, request) in [("an object", &short), ("a part", &part)] {
            for door in &site.doors {
                for ending in [Ending::SendingSide, Ending::Both] {
                    let reply = door.exchange_and(request, ending).await;
                    // A stream of HTTP/2 that ends early is reset: it is no message (RFC 9113 §8.1.1).
                    let is_answered = matches!(ending, Ending::SendingSide) && !door.is_http2();
                    let expected = if is_answered { "400 IncompleteBody" } else { "" };
                    assert_eq!(reply.refusal(), expected, "{what}, {}: {reply:?}", door.name);
                }
            }
        }
        let parts =
            site.own().send(Request::new("GET", format!("/photos/new?uploadId={upload_id}"))).await.ok();
        assert_eq!(parts.element("ETag"), "", "{}", parts.text());
        let abort = Request::new("DELETE", format!("/photos/new?uploadId={upload_id}"));
        assert_eq!(site.own().send(abort).await.status, 204);
        site.is_unchanged("uploads that broke off").await;
    }
}

/// aws-chunked bodies without a signature of each chunk.
#[tokio::test]
async fn chunks_that_are_not_what_was_announced() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let data = "n".repeat(BODY_BYTES);
        let chunk = format!("{BODY_BYTES:x}\r\n{data}\r\n");
        let crc32 = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, data.as_bytes());
        let crc32 = STANDARD.encode((crc32 as u32).to_be_bytes());
        let put = |body: String| {
            chunked(&site, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", BODY_BYTES).body_as_sent(body)
        };
        let trailer = |value: &str| format!("x-amz-checksum-crc32:{value}\r\n\r\n");
        let cut_chunk = &chunk[..chunk.len() / 2];
        let cases = [
            (
                "a checksum of another body",
                put(format!("{chunk}0\r\n{}", trailer("AAAAAA=="))),
                "400 BadDigest",
            ),
            ("no trailer", put(format!("{chunk}0\r\n\r\n")), "400 MalformedTrailerError"),
            (
                "another trailer than announced",
                put(format!("{chunk}0\r\nx-amz-checksum-sha1:{}\r\n\r\n", "A".repeat(28))),
                "400 MalformedTrailerError",
            ),
            ("no final chunk", put(chunk.clone()), "400 IncompleteBody"),
            ("cut in a chunk", put(cut_chunk.to_owned()), "400 IncompleteBody"),
            ("nothing at all", put(String::new()), "400 IncompleteBody"),
            (
                "more than announced",
                put(format!("{chunk}{chunk}0\r\n{}", trailer(&crc32))),
                "400 IncompleteBody",
            ),
            ("less than announced", put(format!("1\r\nn\r\n0\r\n{}", trailer(&crc32))), "400 IncompleteBody"),
            (
                "a chunk size of no form",
                put(format!("xyz\r\n{data}\r\n0\r\n{}", trailer(&crc32))),
                "400 IncompleteBody",
            ),
        ];
        for (what, request, expected) in cases {
            site.refuses(what, &request, expected).await;
        }
        let right = put(format!("{chunk}0\r\n{}", trailer(&crc32)));
        site.answers("the right checksum", &right).await;
        site.remove_new().await;
        let before_final_chunk = chunk.len();
        for door in &site.doors {
            for end in [before_final_chunk, before_final_chunk + 3, BODY_BYTES / 2] {
                let reply = door.exchange_and(&right.clone().cut_body(end), Ending::SendingSide).await;
                let expected = if door.is_http2() { "" } else { "400 IncompleteBody" };
                assert_eq!(reply.refusal(), expected, "{end}, {}: {reply:?}", door.name);
            }
            site.is_unchanged(&door.name).await;
        }
    }
}

/// The same bodies where nobody signed the request: everybody may write, and what comes must be what was announced.
#[tokio::test]
async fn chunks_that_nobody_signed() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let everybody = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
            "Action":"s3:PutObject","Resource":"arn:aws:s3:::photos/new"}]}"#;
        let _ = site.own().send(Request::new("PUT", "/photos?policy").body(everybody)).await.ok();
        // What nobody puts is the bucket owner's, who may then read it.
        let owned = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>\
                     </OwnershipControls>";
        let _ = site.own().send(Request::new("PUT", "/photos?ownershipControls").body(owned)).await.ok();
        let data = "n".repeat(BODY_BYTES);
        let chunk = format!("{BODY_BYTES:x}\r\n{data}\r\n");
        let crc32 = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, data.as_bytes());
        let crc32 = STANDARD.encode((crc32 as u32).to_be_bytes());
        let whole = |crc32: &str| format!("{chunk}0\r\nx-amz-checksum-crc32:{crc32}\r\n\r\n");
        let put = |body: String| {
            Raw::new("PUT", "/photos/new", site.own().keys().clone())
                .anonymous()
                .unsigned_header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
                .unsigned_header("content-encoding", "aws-chunked")
                .unsigned_header("x-amz-decoded-content-length", BODY_BYTES.to_string())
                .unsigned_header("x-amz-trailer", "x-amz-checksum-crc32")
                .body_as_sent(body)
        };
        for (what, body, expected) in [
            ("a checksum of another body", whole("AAAAAA=="), "400 BadDigest"),
            ("no trailer", format!("{chunk}0\r\n\r\n"), "400 MalformedTrailerError"),
            ("no final chunk", chunk.clone(), "400 IncompleteBody"),
            ("more than announced", format!("{chunk}{}", whole(&crc32)), "400 IncompleteBody"),
            ("no chunks", data.clone(), "400 IncompleteBody"),
        ] {
            site.refuses(what, &put(body), expected).await;
        }
        for door in &site.doors {
            let reply = door.exchange(&put(whole(&crc32))).await;
            assert!(reply.is_success(), "{}: {reply:?}", door.name);
            let stored = Request::new("GET", "/photos/new").header("x-amz-checksum-mode", "ENABLED");
            let stored = site.own().send(stored).await.ok();
            assert!(stored.body == data.as_bytes(), "{}: the framing is not the object's", door.name);
            assert_eq!(stored.header("x-amz-checksum-crc32"), crc32, "{}", door.name);
            assert_eq!(stored.header("content-encoding"), "", "{}", door.name);
            site.remove_new().await;
        }
    }
}

/// aws-chunked bodies with a signature of each chunk.
#[tokio::test]
async fn signed_chunks_that_are_not_signed_right() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        for door in &site.doors {
            let name = &door.name;
            let put = chunked(&site, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", BODY_BYTES);
            let data = vec![b'n'; BODY_BYTES];
            let right = sign_chunks(&put, door.host(), &[&data, b""]);
            let mut wrong_data = right.clone();
            wrong_data[right.len() / 2] = b'm';
            let no_final = sign_chunks(&put, door.host(), &[&data]);
            let cases = [
                ("a byte changed", wrong_data, "403 SignatureDoesNotMatch"),
                ("no final chunk", no_final, "400 IncompleteBody"),
                ("one chunk of 4 GiB", b"100000000;chunk-signature=".to_vec(), "400 InvalidRequest"),
            ];
            for (what, mut body, expected) in cases {
                let sent = if what.contains("4 GiB") {
                    body.extend_from_slice(format!("{}\r\n", "0".repeat(64)).as_bytes());
                    body.extend_from_slice(&data);
                    chunked(&site, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 1 << 32)
                        .body_as_sent(body)
                        .content_length(1 << 33)
                } else {
                    put.clone().body_as_sent(body)
                };
                let reply = door.exchange(&sent).await;
                assert_eq!(reply.refusal(), expected, "{what}, {name}: {reply:?}");
                site.is_unchanged(what).await;
            }
            let reply = door.exchange(&put.body_as_sent(right)).await;
            assert!(reply.is_success(), "{name}: {reply:?}");
            site.remove_new().await;
            site.is_unchanged("a good upload, removed").await;
        }
    }
}

/// The same with a signed trailer after the last chunk.
#[tokio::test]
async fn signed_trailers_that_are_not_signed_right() {
    for transport in TRANSPORTS {
        let site = Site::start(transport).await;
        let data = vec![b'n'; BODY_BYTES];
        let crc32 = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, &data) as u32;
        let crc32 = STANDARD.encode(crc32.to_be_bytes());
        for door in &site.doors {
            let name = &door.name;
            let put = chunked(&site, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", BODY_BYTES);
            let chunks = sign_chunks(&put, door.host(), &[&data, b""]);
            let body = |value: &str, signature: &str| {
                let trailer = format!("x-amz-checksum-crc32:{value}\r\n{signature}\r\n");
                // In place of the empty line that ends a body without a trailer.
                [&chunks[..chunks.len() - 2], trailer.as_bytes()].concat()
            };
            let signed =
                |value: &str| format!("x-amz-trailer-signature:{}\r\n", sign_trailer(&put, &chunks, value));
            let wrong = format!("x-amz-trailer-signature:{}\r\n", "0".repeat(64));
            let cases = [
                ("another signature", body(&crc32, &wrong), "403 SignatureDoesNotMatch"),
                ("no signature", body(&crc32, ""), "400 MalformedTrailerError"),
                ("no trailer", chunks.clone(), "400 MalformedTrailerError"),
                ("a checksum of another body", body("AAAAAA==", &signed("AAAAAA==")), "400 BadDigest"),
            ];
            for (what, body, expected) in cases {
                let reply = door.exchange(&put.clone().body_as_sent(body)).await;
                assert_eq!(reply.refusal(), expected, "{what}, {name}: {reply:?}");
                site.is_unchanged(what).await;
            }
            let reply = door.exchange(&put.clone().body_as_sent(body(&crc32, &signed(&crc32)))).await;
            assert!(reply.is_success(), "{name}: {reply:?}");
            site.remove_new().await;
            site.is_unchanged("a good upload, removed").await;
        }
    }
}

#[tokio::test]
async fn uploads_that_do_not_fit_together() {
    let site = Site::start(Transport::Plain).await;
    for Door { name, client: door, .. } in &site.doors {
        let id = door.create_multipart_upload("photos", "new").await;
        let small = [
            door.upload_part("photos", "new", &id, 1, vec![b'n'; BODY_BYTES].into()).await,
            door.upload_part("photos", "new", &id, 2, vec![b'n'; 10].into()).await,
        ];
        let refused = door.complete_multipart_upload("photos", "new", &id, &small).await;
        assert_eq!(refused.refusal(), (400, "EntityTooSmall".into()), "{name}");
        let [first, second] = small.clone();
        let refused = door.complete_multipart_upload("photos", "new", &id, &[second, first]).await;
        assert_eq!(refused.refusal(), (400, "InvalidPartOrder".into()), "{name}");
        let missing = [(7, small[0].1.clone())];
        let refused = door.complete_multipart_upload("photos", "new", &id, &missing).await;
        assert_eq!(refused.refusal(), (400, "InvalidPart".into()), "{name}");
        let other_etag = [(1, format!("\"{}\"", "0".repeat(32)))];
        let refused = door.complete_multipart_upload("photos", "new", &id, &other_etag).await;
        assert_eq!(refused.refusal(), (400, "InvalidPart".into()), "{name}");
        let xml = Request::new("POST", format!("/photos/new?uploadId={id}"))
            .body("<CompleteMultipartUpload><Part>");
        assert_eq!(door.send(xml).await.refusal(), (400, "MalformedXML".into()), "{name}");
        assert_eq!(
            door.complete_multipart_upload("photos", "new", "bm9uZQ", &small).await.refusal(),
            (404, "NoSuchUpload".into())
        );
        assert_eq!(
            door.send(Request::new("DELETE", format!("/photos/new?uploadId={id}"))).await.status,
            204,
            "{name}"
        );
        site.is_unchanged(name).await;
    }
}

/// A PUT of `photos/new` whose body is aws-chunked and holds `decoded_bytes`.
fn chunked(site: &Site, payload: &str, decoded_bytes: usize) -> Raw {
    let put = site
        .put("")
        .payload_hash(payload)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", decoded_bytes.to_string());
    match payload.ends_with("-TRAILER") {
        true => put.header("x-amz-trailer", "x-amz-checksum-crc32"),
        false => put,
    }
}

/// `chunks` as a body, each signed over the one before.
fn sign_chunks(request: &Raw, host: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let (key, date, scope) = request.chunk_scope();
    let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let mut previous = request.seed_signature(host);
    let mut body = Vec::new();
    for chunk in chunks {
        let to_sign =
            format!("AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{}\n{}", hash(b""), hash(chunk));
        previous = hex::encode(hmac(&key, to_sign.as_bytes()));
        body.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// The signature of a trailer that says `crc32`, over that of the last of `chunks`.
fn sign_trailer(request: &Raw, chunks: &[u8], crc32: &str) -> String {
    let (key, date, scope) = request.chunk_scope();
    let chunks = String::from_utf8_lossy(chunks);
    let (_, previous) = chunks.trim_end().rsplit_once("chunk-signature=").expect("a signed chunk");
    let hash = hex::encode(Sha256::digest(format!("x-amz-checksum-crc32:{crc32}\n")));
    let to_sign = format!("AWS4-HMAC-SHA256-TRAILER\n{date}\n{scope}\n{previous}\n{hash}");
    hex::encode(hmac(&key, to_sign.as_bytes()))
}
