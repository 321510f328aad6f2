"""Versions as SDK users keep, read, list and remove them, at the owner and through another region."""

import botocore.exceptions
import pytest


@pytest.fixture
def bucket(owner, bucket):
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def refusal(call, **arguments):
    """Status and headers of a request that is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    said = refused.value.response["ResponseMetadata"]
    return said["HTTPStatusCode"], said["HTTPHeaders"]


def test_versions_are_read_by_id(owner, reader, bucket):
    ids = [owner.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"one", b"two")]
    for client in (owner, reader):
        for version, body in zip(ids, (b"one", b"two")):
            answer = client.get_object(Bucket=bucket, Key="k", VersionId=version)
            assert (answer["Body"].read(), answer["VersionId"]) == (body, version)
        assert client.head_object(Bucket=bucket, Key="k")["VersionId"] == ids[1]


def test_delete_markers_hide_and_are_removed(owner, reader, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=b"one")
    marker = owner.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    for client in (owner, reader):
        status, headers = refusal(client.get_object, Bucket=bucket, Key="k")
        assert (status, headers["x-amz-delete-marker"]) == (404, "true")
        status, headers = refusal(client.head_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"])
        assert (status, headers["x-amz-delete-marker"]) == (405, "true")
    reader.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


def test_a_bucket_is_emptied_page_by_page(owner, bucket):
    for key in ("a", "b", "c"):
        for body in (b"one", b"two"):
            owner.put_object(Bucket=bucket, Key=key, Body=body)
        owner.delete_object(Bucket=bucket, Key=key)
    assert refusal(owner.delete_bucket, Bucket=bucket)[0] == 409
    pages = owner.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    for page in pages:
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]
        assert "Errors" not in owner.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    owner.delete_bucket(Bucket=bucket)


def test_attributes_have_no_quotes(owner, reader, bucket):
    put = owner.put_object(Bucket=bucket, Key="k", Body=b"one")
    for client in (owner, reader):
        said = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag", "ObjectSize"])
        assert f'"{said["ETag"]}"' == put["ETag"]
        assert (said["ObjectSize"], said["VersionId"]) == (3, put["VersionId"])
