"""Copies: what comes along and what is said anew, on which conditions, of which sources."""

import datetime
import hashlib

import pytest

from s3_clients import Boto3, refused

FAILED = (412, "PreconditionFailed")
BODY = b"what is copied"
MIB = 1 << 20


@pytest.fixture(params=["owner", "reader"])
def client(request):
    """At the owner's standard endpoint, and at another region's accelerated one."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def source(owner, bucket):
    arguments = {"Metadata": {"kind": "source"}, "ContentType": "text/plain", "CacheControl": "no-cache", "Tagging": "a=b"}
    owner.put_object(Bucket=bucket, Key="source", Body=BODY, ACL="public-read", WebsiteRedirectLocation="/x", **arguments)
    return {"Bucket": bucket, "Key": "source"}


def tags(client, bucket, key):
    return {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def test_directives_say_what_comes_along(owner, client, bucket, source):
    def copy(**arguments):
        copied = client.copy_object(Bucket=bucket, Key="copy", CopySource=source, **arguments)
        head = client.head_object(Bucket=bucket, Key="copy")
        assert copied["CopyObjectResult"]["ETag"] == head["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
        assert "WebsiteRedirectLocation" not in head
        grants = owner.get_object_acl(Bucket=bucket, Key="copy")["Grants"]
        assert all(grant["Grantee"]["Type"] != "Group" for grant in grants), "a list is never copied"
        return head["Metadata"], head["ContentType"], head.get("CacheControl"), tags(owner, bucket, "copy")

    along = ({"kind": "source"}, "text/plain", "no-cache")
    anew = {"Metadata": {"kind": "copy"}, "ContentType": "image/png"}
    assert copy() == (*along, {"a": "b"})
    # What is said without the word for it is not heard, as in S3.
    assert copy(**anew, MetadataDirective="COPY") == (*along, {"a": "b"})
    assert copy(**anew, MetadataDirective="REPLACE") == ({"kind": "copy"}, "image/png", None, {"a": "b"})
    assert copy(MetadataDirective="REPLACE")[0] == {}
    assert copy(TaggingDirective="REPLACE", Tagging="c=d") == (*along, {"c": "d"})
    assert copy(TaggingDirective="REPLACE") == (*along, {})
    assert copy(TaggingDirective="COPY") == (*along, {"a": "b"})
    for wrong in ({"MetadataDirective": "MOVE"}, {"TaggingDirective": "MOVE"}):
        assert refused(client.copy_object, Bucket=bucket, Key="copy", CopySource=source, **wrong)[0] == 400, wrong


def test_a_copy_onto_itself_has_to_change_something(owner, client, bucket, source):
    def onto_itself(**arguments):
        return {"Bucket": bucket, "Key": "source", "CopySource": source, **arguments}

    for nothing in ({}, {"MetadataDirective": "COPY", "Metadata": {"kind": "other"}}, {"TaggingDirective": "COPY"}):
        assert refused(client.copy_object, **onto_itself(**nothing)) == (400, "InvalidRequest"), nothing
    assert client.head_object(**source)["Metadata"] == {"kind": "source"}
    client.copy_object(**onto_itself(MetadataDirective="REPLACE", Metadata={"kind": "other"}))
    answer = client.get_object(**source)
    assert (answer["Body"].read(), answer["Metadata"]) == (BODY, {"kind": "other"})
    # Also the class that it has already, with which objects are given a checksum in place.
    copied = client.copy_object(**onto_itself(StorageClass="STANDARD", ChecksumAlgorithm="SHA256"))
    answer = client.get_object(**source, ChecksumMode="ENABLED")
    assert (answer["Body"].read(), answer["Metadata"]) == (BODY, {"kind": "other"})
    assert answer["ChecksumSHA256"] == copied["CopyObjectResult"]["ChecksumSHA256"]


def test_copies_go_by_their_source(client, bucket, source):
    head = client.head_object(**source)
    etag, modified, hour = head["ETag"], head["LastModified"], datetime.timedelta(hours=1)
    other = '"0123456789abcdef0123456789abcdef"'
    right = [
        {"CopySourceIfMatch": etag},
        {"CopySourceIfMatch": etag.strip('"')},
        {"CopySourceIfNoneMatch": other},
        {"CopySourceIfModifiedSince": modified - hour},
        {"CopySourceIfUnmodifiedSince": modified + hour},
        # The tag decides, and the time is not asked.
        {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": modified - hour},
    ]
    wrong = [
        {"CopySourceIfMatch": other},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfModifiedSince": modified},
        {"CopySourceIfUnmodifiedSince": modified - hour},
        {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": modified - hour},
        {"CopySourceIfMatch": other, "CopySourceIfUnmodifiedSince": modified + hour},
    ]
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = {"Bucket": bucket, "Key": "parts", "UploadId": upload, "PartNumber": 1, "CopySource": source}
    for number, condition in enumerate(right):
        client.copy_object(Bucket=bucket, Key=f"right-{number}", CopySource=source, **condition)
        assert client.get_object(Bucket=bucket, Key=f"right-{number}")["Body"].read() == BODY
        client.upload_part_copy(**part, **condition)
    for number, condition in enumerate(wrong):
        arguments = {"Bucket": bucket, "Key": f"wrong-{number}", "CopySource": source, **condition}
        assert refused(client.copy_object, **arguments) == FAILED, condition
        assert refused(client.head_object, Bucket=bucket, Key=f"wrong-{number}")[0] == 404
        assert refused(client.upload_part_copy, **part, **condition) == FAILED, condition
    client.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)


def test_a_source_is_a_version_that_is_there(owner, client, bucket):
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = owner.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    owner.put_object(Bucket=bucket, Key="k", Body=b"new")
    marker = owner.delete_object(Bucket=bucket, Key="k")["VersionId"]

    def copy(**source):
        return {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k", **source}}

    copied = client.copy_object(**copy(VersionId=old))
    assert copied["CopySourceVersionId"] == old
    assert client.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"old"
    assert refused(client.copy_object, **copy()) == (404, "NoSuchKey")
    assert refused(client.copy_object, **copy(VersionId=marker)) == (400, "InvalidRequest")
    missing = old[:-1] + ("0" if old[-1] != "0" else "1")
    assert refused(client.copy_object, **copy(VersionId=missing)) == (404, "NoSuchVersion")
    assert refused(client.copy_object, **copy(VersionId="no version")) == (400, "InvalidArgument")
    # An old version is brought back by a copy over the newest.
    client.copy_object(**{**copy(VersionId=old), "Key": "k"})
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_a_source_that_is_nowhere_here_is_told_at_once(penstock, client, bucket, tmp_path):
    """Also one that another region has: regions are stores of their own."""
    elsewhere = Boto3(penstock.standard("lga1"), tmp_path).s3
    elsewhere.create_bucket(Bucket="only-in-lga1")
    elsewhere.put_object(Bucket="only-in-lga1", Key="k", Body=BODY)
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    for name, key, expected in [
        ("only-in-lga1", "k", (404, "NoSuchBucket")),
        ("there-is-no-such-bucket", "k", (404, "NoSuchBucket")),
        (bucket, "k", (404, "NoSuchKey")),
    ]:
        source = {"Bucket": name, "Key": key}
        assert refused(client.copy_object, Bucket=bucket, Key="copy", CopySource=source) == expected, name
        part = {"Bucket": bucket, "Key": "parts", "UploadId": upload, "PartNumber": 1}
        assert refused(client.upload_part_copy, **part, CopySource=source) == expected, name
    client.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)
    assert elsewhere.get_object(Bucket="only-in-lga1", Key="k")["Body"].read() == BODY


def test_parts_are_copied_in_ranges(owner, client, bucket):
    body = bytes(range(256)) * (6 * MIB // 256)
    owner.put_object(Bucket=bucket, Key="source", Body=body)
    upload = client.create_multipart_upload(Bucket=bucket, Key="copy")["UploadId"]
    part = {"Bucket": bucket, "Key": "copy", "UploadId": upload, "CopySource": f"{bucket}/source"}
    last = len(body) - 1
    parts = []
    for number, (first, end) in enumerate([(100, 100 + 5 * MIB), (last, last + 1)], 1):
        copied = client.upload_part_copy(**part, PartNumber=number, CopySourceRange=f"bytes={first}-{end - 1}")
        assert copied["CopyPartResult"]["ETag"] == f'"{hashlib.md5(body[first:end]).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    beyond = (f"bytes=0-{last + 1}", f"bytes={last + 1}-{last + 2}")
    for wrong in (*beyond, "bytes=1-0", "bytes=-5", "bytes=5-", "bytes=0-1,3-4", "0-4"):
        status, code = refused(client.upload_part_copy, **part, PartNumber=3, CopySourceRange=wrong)
        assert status in (400, 416) and code in ("InvalidArgument", "InvalidRange", "InvalidRequest"), (wrong, code)
    client.complete_multipart_upload(Bucket=bucket, Key="copy", UploadId=upload, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket=bucket, Key="copy")["Body"].read() == body[100 : 100 + 5 * MIB] + body[last:]
