"""Uploads in parts: what is listed of them, what completes them and what does not, and what the object says of its parts."""

import base64
import hashlib
import zlib

import pytest

from s3_clients import refused

MIB = 1 << 20
PARTS = [bytes([number]) * (5 * MIB + number) for number in range(2)] + [b"the last one"]
WHOLE = b"".join(PARTS)


def md5(body):
    return hashlib.md5(body).hexdigest()


def start(client, bucket, key, **arguments):
    return client.create_multipart_upload(Bucket=bucket, Key=key, **arguments)["UploadId"]


def send(client, bucket, key, upload, bodies=PARTS, **arguments):
    """Sends the parts; what completes them."""
    parts = []
    for number, body in enumerate(bodies, 1):
        part = {"Bucket": bucket, "Key": key, "UploadId": upload, "PartNumber": number, "Body": body}
        sent = client.upload_part(**part, **arguments)
        checksums = {name: value for name, value in sent.items() if name.startswith("Checksum") and name != "ChecksumType"}
        parts.append({"PartNumber": number, "ETag": sent["ETag"], **checksums})
    return parts


def complete(client, bucket, key, upload, parts, **arguments):
    arguments = {**arguments, "MultipartUpload": {"Parts": parts}}
    return client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, **arguments)


def test_parts_become_an_object_with_the_etag_of_parts(owner, reader, bucket):
    upload = start(owner, bucket, "k", Metadata={"kind": "parts"}, ContentType="text/plain")
    # The second is sent twice: the later one counts.
    owner.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=2, Body=b"not this")
    parts = send(reader, bucket, "k", upload)
    assert [part["ETag"] for part in parts] == [f'"{md5(body)}"' for body in PARTS]
    etag = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in PARTS)).hexdigest()
    assert complete(owner, bucket, "k", upload, parts)["ETag"] == f'"{etag}-3"'
    assert complete(owner, bucket, "k", upload, parts)["ETag"] == f'"{etag}-3"', "asked once more it says the same"
    for client in (owner, reader):
        answer = client.get_object(Bucket=bucket, Key="k")
        assert (answer["Body"].read(), answer["ETag"]) == (WHOLE, f'"{etag}-3"')
        assert (answer["Metadata"], answer["ContentType"]) == ({"kind": "parts"}, "text/plain")
        for number, body in enumerate(PARTS, 1):
            one = client.get_object(Bucket=bucket, Key="k", PartNumber=number)
            assert (one["Body"].read(), one["PartsCount"]) == (body, 3)
        assert refused(client.get_object, Bucket=bucket, Key="k", PartNumber=4) == (400, "InvalidPart")
    # An object put whole has no such tag.
    assert owner.put_object(Bucket=bucket, Key="whole", Body=WHOLE)["ETag"] == f'"{md5(WHOLE)}"'
    assert owner.put_object(Bucket=bucket, Key="empty", Body=b"")["ETag"] == f'"{md5(b"")}"'


def test_what_does_not_fit_completes_nothing(owner, reader, bucket):
    upload = start(owner, bucket, "k")
    first, second, third = send(owner, bucket, "k", upload)
    other = {**first, "ETag": f'"{md5(b"other")}"'}
    for client in (owner, reader):
        for what, parts, expected in [
            ("another tag", [other], (400, "InvalidPart")),
            ("a part that was not sent", [first, {"PartNumber": 4, "ETag": first["ETag"]}], (400, "InvalidPart")),
            ("out of order", [second, first], (400, "InvalidPartOrder")),
            ("none", [], (400, "MalformedXML")),
        ]:
            found = refused(complete, client=client, bucket=bucket, key="k", upload=upload, parts=parts)
            assert found == expected, what
        gone = {"client": client, "bucket": bucket, "key": "k", "upload": "0" * len(upload), "parts": [first]}
        assert refused(complete, **gone) == (404, "NoSuchUpload")
        assert refused(complete, **{**gone, "upload": upload, "key": "other"}) == (404, "NoSuchUpload")
        assert refused(client.head_object, Bucket=bucket, Key="k")[0] == 404
    small = start(owner, bucket, "small")
    parts = send(owner, bucket, "small", small, [b"too small", b"the last"])
    assert refused(complete, client=owner, bucket=bucket, key="small", upload=small, parts=parts) == (400, "EntityTooSmall")
    complete(owner, bucket, "small", small, parts[:1])
    part = {"Bucket": bucket, "Key": "k", "UploadId": upload, "Body": b""}
    for number in (0, 10_001):
        assert refused(owner.upload_part, **part, PartNumber=number) == (400, "InvalidArgument"), number
    # What was refused has changed nothing: some of the parts are an object too.
    complete(owner, bucket, "k", upload, [first, third])
    assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == PARTS[0] + PARTS[2]
    assert "Uploads" not in owner.list_multipart_uploads(Bucket=bucket)


def test_uploads_and_parts_are_listed_page_by_page(owner, reader, bucket):
    uploads = {key: start(owner, bucket, key) for key in ("a", "b/1", "b/2", "c")}
    second = start(owner, bucket, "a")
    for client in (owner, reader):
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
        found = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]
        assert found == [("a", uploads["a"]), ("a", second), *((key, uploads[key]) for key in ("b/1", "b/2", "c"))]
        grouped = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
        assert [upload["Key"] for upload in grouped["Uploads"]] == ["a", "a", "c"]
        assert [group["Prefix"] for group in grouped["CommonPrefixes"]] == ["b/"]
        within = client.list_multipart_uploads(Bucket=bucket, Prefix="b/")
        assert [upload["Key"] for upload in within["Uploads"]] == ["b/1", "b/2"]
        behind = client.list_multipart_uploads(Bucket=bucket, KeyMarker="b/1")
        assert [upload["Key"] for upload in behind["Uploads"]] == ["b/2", "c"]
    of = {"Bucket": bucket, "Key": "c", "UploadId": uploads["c"]}
    for number in range(1, 6):
        owner.upload_part(**of, PartNumber=number, Body=b"x" * number)
    for client in (owner, reader):
        pages = client.get_paginator("list_parts").paginate(**of, PaginationConfig={"PageSize": 2})
        found = [(part["PartNumber"], part["Size"]) for page in pages for part in page["Parts"]]
        assert found == [(number, number) for number in range(1, 6)]
        assert refused(client.list_parts, **{**of, "UploadId": uploads["a"]}) == (404, "NoSuchUpload")
    reader.abort_multipart_upload(**of)
    assert refused(owner.list_parts, **of) == (404, "NoSuchUpload")
    assert refused(owner.upload_part, **of, PartNumber=1, Body=b"late") == (404, "NoSuchUpload")
    assert refused(owner.abort_multipart_upload, **of) == (404, "NoSuchUpload")
    # They are in nobody's way: a bucket of unfinished uploads alone is empty.
    assert "Contents" not in owner.list_objects_v2(Bucket=bucket)
    owner.delete_bucket(Bucket=bucket)


def test_attributes_tell_of_parts_and_checksums(owner, reader, bucket):
    upload = start(owner, bucket, "k", ChecksumAlgorithm="SHA256")
    parts = send(owner, bucket, "k", upload, ChecksumAlgorithm="SHA256")
    sums = [hashlib.sha256(body).digest() for body in PARTS]
    assert [base64.b64decode(part["ChecksumSHA256"]) for part in parts] == sums
    complete(owner, bucket, "k", upload, parts)
    composite = base64.b64encode(hashlib.sha256(b"".join(sums)).digest()).decode() + "-3"
    everything = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    for client in (owner, reader):
        said = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=everything)
        assert (said["ObjectSize"], said["StorageClass"]) == (len(WHOLE), "STANDARD")
        assert said["ETag"].endswith("-3") and '"' not in said["ETag"]
        assert said["Checksum"]["ChecksumSHA256"].removesuffix("-3") == composite.removesuffix("-3")
        assert said["Checksum"]["ChecksumType"] == "COMPOSITE"
        assert said["ObjectParts"]["TotalPartsCount"] == 3
        shown = [(part["PartNumber"], part["Size"], part["ChecksumSHA256"]) for part in said["ObjectParts"]["Parts"]]
        assert shown == [(part["PartNumber"], len(body), part["ChecksumSHA256"]) for part, body in zip(parts, PARTS)]
        # A page of them.
        page = client.get_object_attributes(
            Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], MaxParts=1, PartNumberMarker=1
        )
        assert set(page) - {"ResponseMetadata", "LastModified"} == {"ObjectParts"}, "no more than was asked for"
        shown = page["ObjectParts"]
        assert [part["PartNumber"] for part in shown["Parts"]] == [2]
        assert (shown["IsTruncated"], shown["NextPartNumberMarker"], shown["MaxParts"]) == (True, 2, 1)
        head = client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"] == composite
        missing = {"Bucket": bucket, "Key": "missing", "ObjectAttributes": ["ETag"]}
        assert refused(client.get_object_attributes, **missing) == (404, "NoSuchKey")
        wrong = {"Bucket": bucket, "Key": "k", "ObjectAttributes": ["Colour"]}
        assert refused(client.get_object_attributes, **wrong) == (400, "InvalidArgument")
    owner.put_object(Bucket=bucket, Key="whole", Body=b"whole", ChecksumAlgorithm="CRC32")
    said = reader.get_object_attributes(Bucket=bucket, Key="whole", ObjectAttributes=everything)
    assert "ObjectParts" not in said
    assert (said["Checksum"]["ChecksumType"], said["ETag"]) == ("FULL_OBJECT", md5(b"whole"))
    assert said["Checksum"]["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"whole").to_bytes(4, "big")).decode()


def test_a_checksum_of_the_whole_is_made_of_the_parts(owner, reader, bucket):
    upload = start(owner, bucket, "k", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    parts = send(owner, bucket, "k", upload, ChecksumAlgorithm="CRC32")
    of_whole = base64.b64encode(zlib.crc32(WHOLE).to_bytes(4, "big")).decode()
    wrong = base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
    arguments = {"client": owner, "bucket": bucket, "key": "k", "upload": upload, "parts": parts}
    assert refused(complete, **arguments, ChecksumCRC32=wrong, ChecksumType="FULL_OBJECT") == (400, "BadDigest")
    assert refused(complete, **arguments, MpuObjectSize=len(WHOLE) - 1)[0] == 400
    assert refused(complete, **arguments, ChecksumType="COMPOSITE") == (400, "InvalidRequest")
    done = complete(**arguments, ChecksumCRC32=of_whole, ChecksumType="FULL_OBJECT", MpuObjectSize=len(WHOLE))
    assert done["ChecksumCRC32"] == of_whole
    for client in (owner, reader):
        head = client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert (head["ChecksumCRC32"], head["ChecksumType"]) == (of_whole, "FULL_OBJECT")
    for algorithm in ("SHA1", "SHA256"):
        kind = {"ChecksumAlgorithm": algorithm, "ChecksumType": "FULL_OBJECT"}
        assert refused(owner.create_multipart_upload, Bucket=bucket, Key="k", **kind) == (400, "InvalidRequest")


@pytest.mark.parametrize("name", ["ChecksumSHA512", "ChecksumXXHASH64", "ChecksumMD5"])
def test_a_checksum_that_is_not_checked_is_not_taken(owner, reader, name):
    bucket = f"not-checked-{name.lower()}"
    owner.create_bucket(Bucket=bucket)
    for client in (owner, reader):
        status, _ = refused(client.put_object, Bucket=bucket, Key="k", Body=b"body", **{name: "AAAAAAAAAAA="})
        assert status in (400, 501)
        assert refused(client.head_object, Bucket=bucket, Key="k")[0] == 404
