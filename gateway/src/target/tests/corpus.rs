//! Requests with their verdicts: `Operation bucket key`, or the code of the refusal. Each refused one stands beside
//! its nearest neighbour that is served.

use http::Method;

use super::{EMPTY, HEX, authorization, parse_request, verdict};
use crate::refusal::Subject;

type Headers<'a> = &'a [(&'a str, &'a str)];

#[test]
fn unsigned_requests() {
    let cases: Headers = &[
        ("GET /", "ListBuckets"),
        ("GET /?max-buckets=10&continuation-token=a&prefix=p&bucket-region=ord1", "ListBuckets"),
        ("GET /?x-id=ListDirectoryBuckets", "NotImplemented"),
        ("GET /?acl", "NotImplemented"),
        ("HEAD /", "MethodNotAllowed"),
        ("PUT /", "MethodNotAllowed"),
        ("DELETE /", "MethodNotAllowed"),
        ("POST /", "MethodNotAllowed"),
        // A bucket.
        ("GET /photos", "ListObjects photos"),
        ("GET /photos/", "ListObjects photos"),
        ("GET /photos?", "ListObjects photos"),
        ("GET /photos?&&", "ListObjects photos"),
        ("GET /photos?prefix=a&delimiter=/&marker=b&max-keys=2&encoding-type=url", "ListObjects photos"),
        ("GET /photos?list-type=2", "ListObjectsV2 photos"),
        (
            "GET /photos?list-type=2&start-after=a&continuation-token=b&fetch-owner=true",
            "ListObjectsV2 photos",
        ),
        ("GET /photos?list-type=1", "NotImplemented"),
        ("GET /photos?list-type=2&marker=a", "NotImplemented"),
        ("GET /photos?start-after=a", "NotImplemented"),
        ("GET /photos?list-type=2&list-type=2", "InvalidArgument"),
        ("GET /photos?location", "GetBucketLocation photos"),
        ("GET /photos?location=", "GetBucketLocation photos"),
        ("GET /photos?%6Cocation", "GetBucketLocation photos"),
        ("GET /photos?Location", "NotImplemented"),
        ("GET /photos?location&acl", "InvalidArgument"),
        ("GET /photos?uploads&prefix=a&upload-id-marker=b", "ListMultipartUploads photos"),
        ("GET /photos?versions&version-id-marker=a", "ListObjectVersions photos"),
        ("GET /photos?analytics&id=a", "GetBucketAnalyticsConfiguration photos"),
        ("GET /photos?analytics", "ListBucketAnalyticsConfigurations photos"),
        ("GET /photos?id=a", "InvalidArgument"),
        ("GET /photos?events=s3:ObjectCreated:*", "NotImplemented"),
        ("GET /photos?versionId=a", "NotImplemented"),
        ("HEAD /photos", "HeadBucket photos"),
        ("HEAD /photos?acl", "NotImplemented"),
        ("PUT /photos", "CreateBucket photos"),
        ("PUT /photos?acl", "PutBucketAcl photos"),
        ("PUT /photos?abac", "NotImplemented"),
        ("PUT /photos?metadataInventoryTable", "NotImplemented"),
        ("PUT /photos?object-lock", "PutObjectLockConfiguration photos"),
        ("DELETE /photos", "DeleteBucket photos"),
        ("DELETE /photos?acl", "NotImplemented"),
        ("DELETE /photos?versioning", "NotImplemented"),
        ("DELETE /photos?policy", "DeleteBucketPolicy photos"),
        ("DELETE /photos?policy&tagging", "InvalidArgument"),
        ("POST /photos?delete", "DeleteObjects photos"),
        ("POST /photos?restore", "NotImplemented"),
        ("POST /photos", "PreconditionFailed"),
        // An object.
        ("GET /photos/a", "GetObject photos a"),
        ("GET /photos/a?versionId=v&partNumber=1", "GetObject photos a"),
        ("GET /photos/a?versionId=v&partNumber=1&response-content-type=text/plain", "InvalidRequest"),
        ("GET /photos/a?response-cache-control", "InvalidRequest"),
        ("GET /photos/a?response-nothing=1", "NotImplemented"),
        ("HEAD /photos/a?response-expires=x", "InvalidRequest"),
        ("GET /photos/a?x-id=GetObject", "GetObject photos a"),
        (
            "GET /photos/a?x-amz-checksum-mode=ENABLED&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD",
            "GetObject photos a",
        ),
        ("GET /photos/a?x-amz-content-sha256=0", "NotImplemented"),
        (
            "PUT /photos/a?x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject",
            "MissingContentLength",
        ),
        ("PUT /photos/a?X-Amz-Checksum-Sha1=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "MissingContentLength"),
        ("PUT /photos/a?x-amz-checksum-crc32=AdEc1A%3D%3D", "NotImplemented"),
        ("PUT /photos/a?x-amz-checksum-sha1=AAAAAA%3D%3D", "NotImplemented"),
        ("GET /photos/a?x-amz-acl=public-read", "NotImplemented"),
        ("GET /photos/a?response-expires=x&foo=bar", "NotImplemented"),
        ("GET /photos/a?acl&versionId=v", "GetObjectAcl photos a"),
        ("GET /photos/a?torrent", "GetObjectTorrent photos a"),
        ("GET /photos/a?uploadId=u&max-parts=3&part-number-marker=2", "ListParts photos a"),
        ("GET /photos/a?uploads", "NotImplemented"),
        ("GET /photos/a?policy", "NotImplemented"),
        ("GET /photos/a?attributes", "GetObjectAttributes photos a"),
        ("GET /photos/a?attributes&tagging", "InvalidArgument"),
        ("HEAD /photos/a?partNumber=3", "HeadObject photos a"),
        ("HEAD /photos/a?tagging", "NotImplemented"),
        ("DELETE /photos/a", "DeleteObject photos a"),
        ("DELETE /photos/a?versionId=v", "DeleteObject photos a"),
        ("DELETE /photos/a?acl", "NotImplemented"),
        ("DELETE /photos/a?uploadId=u", "AbortMultipartUpload photos a"),
        ("DELETE /photos/a?uploadId=u&partNumber=1", "NotImplemented"),
        ("POST /photos/a?uploads", "CreateMultipartUpload photos a"),
        ("POST /photos/a?uploadId=u", "CompleteMultipartUpload photos a"),
        ("POST /photos/a?uploads&uploadId=u", "InvalidArgument"),
        ("POST /photos/a?select&select-type=2", "SelectObjectContent photos a"),
        ("POST /photos/a?select&select-type=1", "NotImplemented"),
        ("POST /photos/a?select", "MethodNotAllowed"),
        ("POST /photos/a", "MethodNotAllowed"),
        ("PATCH /photos/a", "MethodNotAllowed"),
        ("get /photos/a", "MethodNotAllowed"),
        ("OPTIONS /photos/a?acl&foo=bar&X-Amz-Signature=x", "BadRequest"),
        ("OPTIONS *", "InvalidURI"),
        // Paths and queries.
        ("GET /photos/a%2Fb//..%2f./+", "GetObject photos a/b//.././+"),
        ("GET /photos/?prefix=a", "ListObjects photos"),
        ("GET //photos/a", "InvalidBucketName"),
        ("GET /photos%2Fa", "InvalidBucketName"),
        ("GET /PHOTOS/a", "InvalidBucketName"),
        ("GET /photos/%zz", "InvalidURI"),
        ("GET /photos/%C3", "InvalidURI"),
        ("GET /photos?prefix=%ff", "InvalidURI"),
        ("GET /photos?prefix=%", "InvalidURI"),
        ("GET /photos/a?x#y", "InvalidURI"),
        ("GET http://127.0.0.1/photos/a", "InvalidURI"),
        ("GET photos/a", "InvalidURI"),
        // Signature V2, and pieces of V4 in the query.
        ("GET /photos/a?AWSAccessKeyId=A&Expires=1&Signature=s", "InvalidRequest"),
        ("GET /photos/a?Signature=s", "InvalidRequest"),
        ("GET /photos/a?AWSAccessKeyId=A", "InvalidRequest"),
        ("GET /photos/a?Expires=1", "NotImplemented"),
        ("GET /photos/a?X-Amz-Signature=s", "AuthorizationQueryParametersError"),
        ("GET /photos/a?X-Amz-Expires=1", "AuthorizationQueryParametersError"),
        ("GET /photos/a?x-amz-signature=s", "NotImplemented"),
        ("GET /photos/a?X-Amz-Security-Token=t", "InvalidToken"),
    ];
    for (line, expected) in cases {
        assert_eq!(verdict(line, &[]), *expected, "{line}");
    }
    let from = [("origin", "https://example.com")];
    // Without the signature that the read itself will have.
    assert_eq!(verdict("OPTIONS /photos/a?response-expires=x", &from), "PreflightRequest photos a");
    let asked = verdict("OPTIONS /photos/a?acl&foo=bar&X-Amz-Signature=x", &from);
    assert_eq!(asked, "PreflightRequest photos a");
}

#[test]
fn unsigned_requests_with_headers() {
    let key_1025 = format!("PUT /photos/{}", "a".repeat(1025));
    let header_9k = "a".repeat(9 * 1024);
    let form = "multipart/form-data; boundary=b";
    let five_gib = "5368709120";
    let cases: &[(&str, Headers<'_>, &str)] = &[
        ("GET /", &[("host", "example.com")], "InvalidHostHeader"),
        ("GET /", &[("host", "127.0.0.1"), ("host", "127.0.0.1")], "InvalidRequest"),
        ("GET /a", &[("host", "photos.object.ord1.penstock.localhost")], "GetObject photos a"),
        ("GET /", &[("host", "Photos.Object.ord1.penstock.localhost.:80")], "ListObjects photos"),
        ("GET /a", &[("host", "my.photos.object.ord1.penstock.localhost")], "InvalidHostHeader"),
        ("GET /my.photos/a", &[("host", "object.ord1.penstock.localhost")], "GetObject my.photos a"),
        ("GET /a", &[("host", "a_b.object.ord1.penstock.localhost")], "InvalidBucketName"),
        // Bodies.
        ("PUT /photos/a", &[("content-length", "3")], "PutObject photos a"),
        ("PUT /photos/a", &[], "MissingContentLength"),
        ("PUT /photos/a", &[("transfer-encoding", "chunked")], "MissingContentLength"),
        ("PUT /photos/a", &[("transfer-encoding", "gzip, chunked")], "InvalidRequest"),
        ("PUT /photos/a", &[("transfer-encoding", "chunked"), ("content-length", "3")], "InvalidRequest"),
        ("PUT /photos/a", &[("content-length", "+3")], "InvalidRequest"),
        ("PUT /photos/a", &[("content-length", "3, 3")], "InvalidRequest"),
        ("PUT /photos/a", &[("content-length", "99999999999999999999")], "InvalidRequest"),
        ("PUT /photos/a", &[("content-length", five_gib)], "PutObject photos a"),
        ("PUT /photos/a", &[("content-length", "5368709121")], "EntityTooLarge"),
        ("PUT /photos/a?partNumber=1&uploadId=u", &[("content-length", "3")], "UploadPart photos a"),
        ("PUT /photos/a?partNumber=1&uploadId=u", &[], "MissingContentLength"),
        ("PUT /photos/a?uploadId=u", &[("content-length", "3")], "InvalidArgument"),
        ("PUT /photos/a?partNumber=1", &[("content-length", "3")], "InvalidArgument"),
        ("PUT /photos/a?renameObject", &[("content-length", "0")], "RenameObject photos a"),
        ("PUT /photos?renameObject", &[("content-length", "0")], "NotImplemented"),
        ("PUT /photos/a?renameObject&acl", &[("content-length", "0")], "InvalidArgument"),
        ("PUT /photos/a?acl", &[], "PutObjectAcl photos a"),
        ("PUT /photos/a", &[("x-amz-copy-source", "/photos/b")], "CopyObject photos a"),
        ("PUT /photos/a?partNumber=1&uploadId=u", &[("x-amz-copy-source", "b/c")], "UploadPartCopy photos a"),
        ("GET /photos/a", &[("content-length", "0")], "GetObject photos a"),
        ("GET /photos/a", &[("content-length", "1")], "InvalidRequest"),
        ("HEAD /photos/a", &[("transfer-encoding", "chunked")], "InvalidRequest"),
        ("PUT /photos/a", &[("content-length", "0"), ("x-amz-content-sha256", EMPTY)], "PutObject photos a"),
        (
            "PUT /photos/a",
            &[("content-length", "0"), ("x-amz-content-sha256", HEX)],
            "XAmzContentSHA256Mismatch",
        ),
        ("PUT /photos/a", &[("content-length", "1"), ("x-amz-content-sha256", "abc")], "InvalidArgument"),
        (
            "PUT /photos/a",
            &[("content-length", "9"), ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")],
            "InvalidRequest",
        ),
        (
            "PUT /photos/a",
            &[
                ("content-length", "9"),
                ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ],
            "MissingContentLength",
        ),
        (
            "PUT /photos/a",
            &[("content-length", "9"), ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")],
            "NotImplemented",
        ),
        (&key_1025, &[("content-length", "0")], "KeyTooLongError"),
        ("GET /", &[("cookie", &header_9k)], "RequestHeaderSectionTooLarge"),
        ("GET /photos/a", &[("range", "bytes=0-1"), ("range", "bytes=2-3")], "InvalidRequest"),
        ("GET /photos/a", &[("if-match", "a"), ("if-match", "b")], "InvalidRequest"),
        ("PUT /photos", &[("x-amz-acl", "private"), ("x-amz-acl", "public-read")], "InvalidRequest"),
        // Forms.
        ("POST /photos", &[("content-type", form)], "PostObject photos"),
        ("POST /photos", &[("content-type", "Multipart/Form-Data")], "PostObject photos"),
        ("POST /photos", &[("content-type", "text/plain")], "PreconditionFailed"),
        ("POST /photos?delete", &[("content-type", form)], "InvalidRequest"),
        ("POST /photos?policy", &[("content-type", form)], "NotImplemented"),
        ("POST /photos/a", &[("content-type", form)], "MethodNotAllowed"),
        ("POST /photos/a?uploads", &[("content-type", form)], "InvalidRequest"),
        ("POST /", &[("content-type", form)], "MethodNotAllowed"),
        ("PUT /photos/a", &[("content-type", form), ("content-length", "1")], "PutObject photos a"),
        // Other mechanisms.
        ("GET /photos/a", &[("authorization", "AWS AKID:c2ln")], "InvalidRequest"),
        ("GET /photos/a", &[("authorization", "AWS4-ECDSA-P256-SHA256 Credential=a")], "InvalidRequest"),
        ("GET /photos/a", &[("authorization", "Basic dXNlcjpwYXNz")], "InvalidArgument"),
        ("GET /photos/a", &[("authorization", "")], "InvalidArgument"),
        ("GET /photos/a", &[("authorization", "AWS4-HMAC-SHA256")], "AuthorizationHeaderMalformed"),
        ("GET /photos/a", &[("x-amz-security-token", "t")], "InvalidToken"),
    ];
    for (line, headers, expected) in cases {
        assert_eq!(verdict(line, headers), *expected, "{line} {headers:?}");
    }
}

/// s3cmd signs for `US` until it is told better, and reads from the element where that is.
#[test]
fn a_client_that_signs_for_no_region_name_is_told_one() {
    let refused = |region: &str| {
        let authorization =
            authorization("host;x-amz-content-sha256;x-amz-date").replace("us-east-1", region);
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20260102T030405Z"),
        ];
        let refusal = parse_request("GET /photos/a", &headers).err()?;
        let subject =
            Subject { method: &Method::GET, resource: "/photos/a", request_id: "1", host_id: "ord1" };
        String::from_utf8(refusal.document(subject).body.to_vec()).ok()
    };
    for region in ["US", "EU", "us_east_1", ""] {
        let document = refused(region).expect("no region's name");
        for part in ["<Code>AuthorizationHeaderMalformed</Code>", "<Region>us-east-1</Region>"] {
            assert!(document.contains(part), "{region}: {document}");
        }
    }
    for region in ["default", "us", "ord1", "eu-west-3"] {
        assert_eq!(refused(region), None, "{region}");
    }
}

#[test]
fn header_signatures() {
    let plain = authorization("host;x-amz-content-sha256;x-amz-date");
    let changed = |from: &str, to: &str| plain.replace(from, to);
    let cases: &[(String, Headers<'_>, &str)] = &[
        (plain.clone(), &[], "GetObject photos a"),
        (plain.replace(", ", ","), &[], "GetObject photos a"),
        (plain.replace("host;", "host;range;"), &[("range", "bytes=0-1")], "GetObject photos a"),
        (plain.clone(), &[("range", "bytes=0-1"), ("user-agent", "curl")], "GetObject photos a"),
        (plain.replace("host;", "host;range;"), &[], "SignatureDoesNotMatch"),
        (plain.clone(), &[("x-amz-acl", "private")], "AccessDenied"),
        (plain.clone(), &[("x-amz-copy-source", "a/b")], "AccessDenied"),
        (changed("host;", ""), &[], "AccessDenied"),
        (changed(";x-amz-date", ""), &[], "AccessDenied"),
        (changed("x-amz-content-sha256;", ""), &[], "AccessDenied"),
        (
            changed("host;x-amz-content-sha256", "x-amz-content-sha256;host"),
            &[],
            "AuthorizationHeaderMalformed",
        ),
        (changed("host;", "host;host;"), &[], "AuthorizationHeaderMalformed"),
        (changed("host;", "Host;"), &[], "AuthorizationHeaderMalformed"),
        (changed("host;", "host;;"), &[], "AuthorizationHeaderMalformed"),
        (changed("host;", "authorization;host;"), &[], "AuthorizationHeaderMalformed"),
        (changed("/s3/", "/sts/"), &[], "AuthorizationHeaderMalformed"),
        (changed("aws4_request", "aws4_requests"), &[], "AuthorizationHeaderMalformed"),
        (changed("AKIDEXAMPLE", ""), &[], "AuthorizationHeaderMalformed"),
        (changed("AKIDEXAMPLE", "AKID/EXAMPLE"), &[], "AuthorizationHeaderMalformed"),
        (changed("us-east-1", "default"), &[], "GetObject photos a"),
        (changed("us-east-1", ""), &[], "AuthorizationHeaderMalformed"),
        (changed("us-east-1", "US EAST"), &[], "AuthorizationHeaderMalformed"),
        (changed("20260102", "20260103"), &[], "AuthorizationHeaderMalformed"),
        (changed("Credential=", "credential="), &[], "AuthorizationHeaderMalformed"),
        (changed(HEX, &HEX.to_uppercase()), &[], "SignatureDoesNotMatch"),
        (changed(HEX, &HEX[1..]), &[], "SignatureDoesNotMatch"),
        (changed(HEX, &format!("{HEX}, Extra=1")), &[], "SignatureDoesNotMatch"),
        (changed("HMAC-SHA256 ", "HMAC-SHA256-PAYLOAD "), &[], "InvalidRequest"),
    ];
    for (authorization, headers, expected) in cases {
        let mut all = vec![
            ("authorization", authorization.as_str()),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20260102T030405Z"),
        ];
        all.extend_from_slice(headers);
        assert_eq!(verdict("GET /photos/a", &all), *expected, "{authorization} {headers:?}");
    }
}

#[test]
fn header_signatures_and_payloads() {
    let plain = authorization("host;x-amz-content-sha256;x-amz-date");
    let chunked = authorization("host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length");
    let trailed =
        authorization("host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-trailer");
    let unsigned_trailer = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let signed_chunks = ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    let asymmetric = ("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD");
    let date = ("x-amz-date", "20260102T030405Z");
    let decoded = ("x-amz-decoded-content-length", "9");
    let length = ("content-length", "99");
    let te = ("transfer-encoding", "chunked");
    let crc32 = ("x-amz-trailer", "x-amz-checksum-crc32");
    let with_token = authorization("host;x-amz-content-sha256;x-amz-date;x-amz-security-token");
    let put = "PUT /photos/a";
    let cases: &[(&str, &str, Headers<'_>, &str)] = &[
        (put, &chunked, &[date, signed_chunks, decoded, length], "PutObject photos a"),
        (put, &chunked, &[date, signed_chunks, decoded, te], "PutObject photos a"),
        (put, &plain, &[date, signed_chunks, length], "MissingContentLength"),
        (put, &chunked, &[date, signed_chunks, decoded], "MissingContentLength"),
        (put, &trailed, &[date, unsigned_trailer, decoded, length, crc32], "PutObject photos a"),
        (put, &chunked, &[date, unsigned_trailer, decoded, length], "InvalidRequest"),
        (put, &trailed, &[date, signed_chunks, decoded, length, crc32], "InvalidRequest"),
        (
            put,
            &trailed,
            &[date, unsigned_trailer, decoded, length, ("x-amz-trailer", "x-amz-acl")],
            "InvalidRequest",
        ),
        (put, &chunked, &[date, asymmetric, decoded, length], "InvalidArgument"),
        (put, &plain, &[date, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), te], "MissingContentLength"),
        (put, &plain, &[date, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), length], "PutObject photos a"),
        (put, &plain, &[date, ("x-amz-content-sha256", HEX), length], "PutObject photos a"),
        (put, &authorization("host;x-amz-date"), &[date, length], "InvalidRequest"),
        ("GET /photos/a", &authorization("host;x-amz-date"), &[date], "InvalidRequest"),
        ("GET /photos/a", &plain, &[date, ("x-amz-content-sha256", HEX)], "XAmzContentSHA256Mismatch"),
        ("GET /photos/a", &plain, &[date, signed_chunks], "NotImplemented"),
        (
            "GET /photos/a?response-expires=x",
            &plain,
            &[date, ("x-amz-content-sha256", EMPTY)],
            "GetObject photos a",
        ),
        ("POST /photos?delete", &chunked, &[date, signed_chunks, decoded, length], "NotImplemented"),
        ("GET /photos/a", &authorization("host"), &[], "AccessDenied"),
        (
            "GET /photos/a",
            &plain,
            &[("x-amz-date", "yesterday"), unsigned_trailer],
            "AuthorizationHeaderMalformed",
        ),
        (
            "GET /photos/a",
            &with_token,
            &[date, ("x-amz-content-sha256", EMPTY), ("x-amz-security-token", "t")],
            "InvalidToken",
        ),
        (
            "GET /photos/a?X-Amz-Expires=1",
            &plain,
            &[date, ("x-amz-content-sha256", EMPTY)],
            "InvalidArgument",
        ),
        ("GET /photos/a?Signature=s", &plain, &[date, ("x-amz-content-sha256", EMPTY)], "InvalidRequest"),
        (
            "POST /photos",
            &plain,
            &[date, ("x-amz-content-sha256", EMPTY), ("content-type", "multipart/form-data; boundary=b")],
            "InvalidArgument",
        ),
    ];
    for (line, authorization, headers, expected) in cases {
        let mut all = vec![("authorization", *authorization)];
        all.extend_from_slice(headers);
        assert_eq!(verdict(line, &all), *expected, "{line} {all:?}");
    }
}

#[test]
fn presigned_urls() {
    let good = format!(
        "GET /photos/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260102%2Ford1%2Fs3%2Faws4_request\
         &X-Amz-Date=20260102T030405Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature={HEX}"
    );
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let malformed = "AuthorizationQueryParametersError";
    let cases: &[(String, Headers<'_>, &str)] = &[
        (good.clone(), &[], "GetObject photos a"),
        (changed("?", "?versionId=v&x-id=GetObject&"), &[], "GetObject photos a"),
        (changed("?", "?response-content-type=text/plain&"), &[], "GetObject photos a"),
        (changed("?", "?acl&"), &[], "GetObjectAcl photos a"),
        (changed("?", "?policy&"), &[], "NotImplemented"),
        (changed("GET", "PUT"), &[("content-length", "1")], "PutObject photos a"),
        (changed("GET", "PUT"), &[("content-length", "1"), ("x-amz-copy-source", "a/b")], "AccessDenied"),
        (changed("GET", "PUT"), &[("content-length", "1"), ("x-amz-meta-a", "b")], "AccessDenied"),
        (changed("GET", "PUT"), &[("content-length", "1"), ("x-amz-content-sha256", HEX)], "AccessDenied"),
        (
            changed("GET", "PUT").replace("=host", "=host%3Bx-amz-meta-a"),
            &[("content-length", "1"), ("x-amz-meta-a", "b")],
            "PutObject photos a",
        ),
        (
            changed("GET", "PUT").replace("=host", "=host;x-amz-meta-a"),
            &[("content-length", "1")],
            "SignatureDoesNotMatch",
        ),
        (
            changed("GET", "PUT").replace("=host", "=host;x-amz-content-sha256"),
            &[("content-length", "9"), ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")],
            "NotImplemented",
        ),
        (changed("=3600", "=1"), &[], "GetObject photos a"),
        (changed("=3600", "=604800"), &[], "GetObject photos a"),
        (changed("=3600", "=604801"), &[], "AccessDenied"),
        (changed("=3600", "=0"), &[], "AccessDenied"),
        (changed("=3600", "=-1"), &[], "AccessDenied"),
        (changed("=3600", "=-"), &[], malformed),
        (changed("=3600", "=--1"), &[], malformed),
        (changed("=3600", "=+1"), &[], malformed),
        (changed("=3600", "=1.5"), &[], malformed),
        (changed("=3600", "="), &[], malformed),
        (changed("=3600", "=99999999999999999999"), &[], "AccessDenied"),
        (changed("&X-Amz-Expires=3600", ""), &[], malformed),
        (changed("&X-Amz-SignedHeaders=host", ""), &[], malformed),
        (changed("=host", "="), &[], malformed),
        (changed("=host", "=range"), &[("range", "bytes=0-1")], "AccessDenied"),
        (changed("=AWS4-HMAC-SHA256", "=AWS4-ECDSA-P256-SHA256"), &[], "InvalidRequest"),
        (changed("=AWS4-HMAC-SHA256", "=MD5"), &[], malformed),
        (changed("%2Fs3%2F", "%2Fec2%2F"), &[], malformed),
        (changed("AKID%2F20260102", "AKID%2F20260103"), &[], malformed),
        (changed("=20260102T030405Z", "=20260102"), &[], malformed),
        (changed(HEX, "s"), &[], "SignatureDoesNotMatch"),
        (changed("X-Amz-Date", "x-amz-date"), &[], malformed),
        (format!("{good}&X-Amz-Signature={HEX}"), &[], "InvalidArgument"),
        (format!("{good}&X-Amz-Security-Token=t"), &[], "InvalidToken"),
        (good.clone(), &[("authorization", &authorization("host"))], "InvalidArgument"),
        (good.clone(), &[("authorization", "AWS AKID:c2ln")], "InvalidArgument"),
    ];
    for (line, headers, expected) in cases {
        assert_eq!(verdict(line, headers), *expected, "{line} {headers:?}");
    }
}
