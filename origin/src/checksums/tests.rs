//! Digests against published values, and against what requests announce.

use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use s3s::S3ErrorCode;

use super::*;

/// The check values of the CRC catalogue and of FIPS 180, for `123456789`.
const CHECK: [(Algorithm, &str); 5] = [
    (Algorithm::Crc32, "cbf43926"),
    (Algorithm::Crc32c, "e3069283"),
    (Algorithm::Crc64Nvme, "ae8b14860a799888"),
    (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
];

async fn digest(algorithms: &[Algorithm], pieces: &[&[u8]]) -> Digested {
    let mut digests = Digests::new(algorithms);
    for piece in pieces {
        digests.update(Bytes::copy_from_slice(piece)).await.expect("hashed");
    }
    digests.finish().await.expect("hashed")
}

fn headers(headers: &[(&str, &str)]) -> HeaderMap {
    let parse = |text: &str| text.parse().expect("a header");
    headers.iter().map(|(name, value)| (HeaderName::try_from(*name).expect("a name"), parse(value))).collect()
}

fn code(result: S3Result<()>) -> Option<String> {
    result.err().map(|error| error.code().as_str().to_owned())
}

#[tokio::test]
async fn digests_have_the_published_check_values() {
    let digested = digest(&Algorithm::ALL, &[b"1234", b"", b"56789"]).await;
    assert_eq!(digested.bytes, 9);
    assert_eq!(hex::encode(digested.md5), "25f9e794323b453885f5181f1b624d0b");
    for (algorithm, expected) in CHECK {
        let value = digested.checksums.get(algorithm).expect("asked for");
        assert_eq!(hex::encode(algorithm.decode(value).expect("of its length")), expected, "{algorithm:?}");
    }
}

/// Batches of many sizes, some several batches long: the order of bytes survives the hand-over to other threads.
#[tokio::test]
async fn pieces_of_any_size_give_the_digest_of_the_whole() {
    let body: Vec<u8> = (0..2_000_003_u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    let whole = digest(&Algorithm::ALL, &[&body]).await;
    for piece_bytes in [4096, 65_537, 262_144, 700_001] {
        let pieces: Vec<_> = body.chunks(piece_bytes).collect();
        assert_eq!(digest(&Algorithm::ALL, &pieces).await, whole, "{piece_bytes}");
    }
}

#[tokio::test]
async fn a_checksum_header_is_verified() {
    let digested = digest(&[Algorithm::Crc32], &[b"123456789"]).await;
    let announced =
        |value| Announced::parse(&headers(&[("x-amz-checksum-crc32", value)])).expect("well-formed");
    assert_eq!(code(announced("y/Q5Jg==").verify(&digested, None)), None);
    assert_eq!(code(announced("y/Q5Jw==").verify(&digested, None)).as_deref(), Some("BadDigest"));
}

#[tokio::test]
async fn content_md5_is_verified() {
    let digested = digest(&[], &[b"123456789"]).await;
    let announced = |value| Announced::parse(&headers(&[("content-md5", value)])).expect("well-formed");
    assert_eq!(code(announced("JfnnlDI7RTiF9RgfG2JNCw==").verify(&digested, None)), None);
    assert_eq!(
        code(announced("JfnnlDI7RTiF9RgfG2JNDA==").verify(&digested, None)).as_deref(),
        Some("BadDigest")
    );
}

#[tokio::test]
async fn a_trailing_checksum_is_verified_and_must_be_there() {
    let digested = digest(&[Algorithm::Crc32], &[b"123456789"]).await;
    let announced =
        Announced::parse(&headers(&[("x-amz-trailer", "x-amz-checksum-crc32")])).expect("well-formed");
    assert_eq!(announced.algorithm(), Some(Algorithm::Crc32));
    let verify =
        |trailers: Option<&[(&str, &str)]>| code(announced.verify(&digested, trailers.map(headers).as_ref()));
    assert_eq!(verify(Some(&[("x-amz-checksum-crc32", "y/Q5Jg==")])), None);
    assert_eq!(verify(Some(&[("x-amz-checksum-crc32", "y/Q5Jw==")])).as_deref(), Some("BadDigest"));
    assert_eq!(verify(Some(&[("x-amz-checksum-crc32", "y/Q5")])).as_deref(), Some("InvalidRequest"));
    for wrong in [
        None,
        Some(&[][..]),
        Some(&[("x-amz-checksum-crc32c", "y/Q5Jg==")][..]),
        Some(&[("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-meta-late", "1")][..]),
    ] {
        assert_eq!(verify(wrong).as_deref(), Some("MalformedTrailerError"), "{wrong:?}");
    }
    let nothing = Announced::default();
    assert_eq!(
        code(nothing.verify(&digested, Some(&headers(&[("x-amz-checksum-crc32", "y/Q5Jg==")])))).as_deref(),
        Some("MalformedTrailerError"),
        "a trailer that nobody announced"
    );
}

#[test]
fn malformed_announcements_are_refused() {
    for (given, code) in [
        (&[("content-md5", "JfnnlDI7RTiF9RgfG2JN")][..], S3ErrorCode::InvalidDigest),
        (&[("content-md5", "not base64")], S3ErrorCode::InvalidDigest),
        (&[("x-amz-checksum-crc32", "y/Q5")], S3ErrorCode::BadDigest),
        (&[("x-amz-checksum-crc32c", "y/Q5Jg==AAAA")], S3ErrorCode::BadDigest),
        (&[("x-amz-checksum-sha256", "y/Q5Jg==")], S3ErrorCode::BadDigest),
        (&[("x-amz-checksum-md5", "JfnnlDI7RTiF9RgfG2JNCw==")], S3ErrorCode::NotImplemented),
        (
            &[("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-checksum-crc32c", "y/Q5Jg==")],
            S3ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-trailer", "x-amz-checksum-crc32")],
            S3ErrorCode::InvalidRequest,
        ),
        (&[("x-amz-trailer", "x-amz-meta-late")], S3ErrorCode::InvalidRequest),
        (&[("x-amz-sdk-checksum-algorithm", "CRC32")], S3ErrorCode::InvalidRequest),
        (
            &[("x-amz-sdk-checksum-algorithm", "CRC31"), ("x-amz-checksum-crc32", "y/Q5Jg==")],
            S3ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-sdk-checksum-algorithm", "SHA1"), ("x-amz-checksum-crc32", "y/Q5Jg==")],
            S3ErrorCode::InvalidRequest,
        ),
    ] {
        let refused = Announced::parse(&headers(given)).expect_err("malformed");
        assert_eq!(refused.code(), &code, "{given:?}");
    }
}

#[test]
fn an_algorithm_named_beside_its_checksum_is_fine() {
    let given = headers(&[("x-amz-sdk-checksum-algorithm", "crc32"), ("x-amz-checksum-crc32", "y/Q5Jg==")]);
    assert_eq!(Announced::parse(&given).expect("well-formed").algorithm(), Some(Algorithm::Crc32));
    let modes = headers(&[("x-amz-checksum-mode", "ENABLED"), ("x-amz-checksum-type", "FULL_OBJECT")]);
    assert_eq!(Announced::parse(&modes).expect("well-formed"), Announced::default());
}

/// What Amazon S3 answers for two parts `12345` and `6789`, worked out by hand from the parts' own sums.
#[test]
fn composite_checksums_are_checksums_of_checksums() {
    for (algorithm, _) in
        CHECK.into_iter().filter(|(algorithm, _)| algorithm.supports(ChecksumKind::Composite))
    {
        let sums = [&b"12345"[..], b"6789"].map(|part| algorithm.checksum(part));
        let parts = sums.clone().map(|sum| PartSum { bytes: 0, checksum: BASE64.encode(sum) });
        let expected = format!("{}-2", BASE64.encode(algorithm.checksum(&sums.concat())));
        assert_eq!(multipart_checksum(algorithm, ChecksumKind::Composite, &parts), Some(expected));
    }
}

#[test]
fn sha_has_no_full_object_kind() {
    let part = PartSum { bytes: 9, checksum: BASE64.encode(Algorithm::Sha1.checksum(b"123456789")) };
    assert_eq!(multipart_checksum(Algorithm::Sha1, ChecksumKind::FullObject, &[part]), None);
}

#[test]
fn the_etag_of_parts_is_the_md5_of_their_md5s() {
    use md5::{Digest as _, Md5};
    let md5s: [[u8; 16]; 2] = [b"12345".as_slice(), b"6789"].map(|part| Md5::digest(part).into());
    assert_eq!(multipart_etag(&md5s), format!("{}-2", hex::encode(Md5::digest(md5s.concat()))));
    assert_ne!(multipart_etag(&md5s[..1]), hex::encode(md5s[0]), "one part is still a multipart object");
}

proptest! {
    /// A full-object checksum made of the parts' is the checksum of the whole, wherever it is cut.
    #[test]
    fn combined_crcs_are_those_of_the_whole(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..6),
        algorithm in prop::sample::select(&[Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme][..]).no_shrink(),
    ) {
        let sums: Vec<_> = parts
            .iter()
            .map(|part| PartSum { bytes: part.len() as u64, checksum: BASE64.encode(algorithm.checksum(part)) })
            .collect();
        let whole = BASE64.encode(algorithm.checksum(&parts.concat()));
        prop_assert_eq!(multipart_checksum(algorithm, ChecksumKind::FullObject, &sums), Some(whole));
    }
}
