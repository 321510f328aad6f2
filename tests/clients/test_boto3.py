"""What SDK users do beyond up and down: links, checksums, copies, conditions, and writes at an accelerated endpoint."""

import hashlib
import ssl
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

BODY = b"what goes in comes out"


def test_presigned_links_read_and_write(penstock, owner, reader, bucket):
    context = ssl.create_default_context(cafile=penstock.data / "ca.pem") if penstock.scheme == "https" else None
    put = owner.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    urllib.request.urlopen(urllib.request.Request(put, data=BODY, method="PUT"), context=context).close()
    for client in (owner, reader):
        get = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
        with urllib.request.urlopen(get, context=context) as answer:
            assert answer.read() == BODY


def test_links_are_of_any_method_and_live_a_week_at_most(penstock, owner, reader, bucket):
    context = ssl.create_default_context(cafile=penstock.data / "ca.pem") if penstock.scheme == "https" else None

    def follow(client, operation, method, seconds=60, **arguments):
        link = client.generate_presigned_url(operation, Params={"Bucket": bucket, **arguments}, ExpiresIn=seconds)
        request = urllib.request.Request(link, data=BODY if method == "PUT" else None, method=method)
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    for client in (owner, reader):
        assert follow(client, "put_object", "PUT", Key="k") == 200
        for seconds, expected in [(604_800, 200), (604_801, 403)]:
            assert follow(client, "get_object", "GET", seconds, Key="k") == expected, seconds
        assert follow(client, "head_object", "HEAD", Key="k") == 200
        assert follow(client, "list_objects_v2", "GET") == 200
        assert follow(client, "create_multipart_upload", "POST", Key="parts") == 200
        # A link is good for its own method alone.
        for operation, method in [("get_object", "PUT"), ("get_object", "DELETE"), ("delete_object", "GET"), ("put_object", "GET")]:
            assert follow(client, operation, method, Key="k") == 403, (operation, method)
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY
        assert follow(client, "delete_object", "DELETE", Key="k") == 204
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_stored_and_returned(owner, reader, algorithm, request):
    bucket = f"checksums-{algorithm.lower()}"
    owner.create_bucket(Bucket=bucket)
    stored = owner.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm=algorithm)
    for client in (owner, reader):
        answer = client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        # botocore compares the body with the checksum as it reads.
        assert answer["Body"].read() == BODY
        assert answer[f"Checksum{algorithm}"] == stored[f"Checksum{algorithm}"]


def test_renamed_objects_stay_in_caches(owner, reader, bucket):
    owner.put_object(Bucket=bucket, Key="from", Body=BODY * 10_000, Metadata={"kind": "test"})
    reader.get_object(Bucket=bucket, Key="from")["Body"].read()
    with pytest.raises(botocore.exceptions.ClientError, match="404"):
        reader.head_object(Bucket=bucket, Key="a b")
    owner.rename_object(Bucket=bucket, Key="a b", RenameSource=f"/{bucket}/from", ClientToken="t")
    answer = reader.get_object(Bucket=bucket, Key="a b")
    assert (answer["Body"].read(), answer["Metadata"]) == (BODY * 10_000, {"kind": "test"})
    assert "; hit" in answer["ResponseMetadata"]["HTTPHeaders"]["cache-status"]
    for client in (owner, reader):
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(Bucket=bucket, Key="from")
    owner.rename_object(Bucket=bucket, Key="a b", RenameSource=f"{bucket}/from", ClientToken="t")
    with pytest.raises(owner.exceptions.IdempotencyParameterMismatch):
        owner.rename_object(Bucket=bucket, Key="b", RenameSource=f"{bucket}/a%20b", ClientToken="t")
    owner.put_object(Bucket=bucket, Key="b", Body=b"")
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        owner.rename_object(Bucket=bucket, Key="b", RenameSource=f"{bucket}/a%20b", DestinationIfNoneMatch="*")


def test_copies_keep_bytes_and_metadata(owner, reader, bucket):
    owner.put_object(Bucket=bucket, Key="from", Body=BODY, Metadata={"kind": "test"}, ContentType="text/plain")
    owner.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    for client in (owner, reader):
        answer = client.get_object(Bucket=bucket, Key="to")
        assert answer["Body"].read() == BODY
        assert (answer["Metadata"], answer["ContentType"]) == ({"kind": "test"}, "text/plain")


def test_conditions_are_judged(owner, reader, bucket):
    etag = owner.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    assert etag == f'"{hashlib.md5(BODY).hexdigest()}"'
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == BODY
        for condition, status in (({"IfMatch": '"other"'}, 412), ({"IfNoneMatch": etag}, 304)):
            with pytest.raises(botocore.exceptions.ClientError) as refused:
                client.get_object(Bucket=bucket, Key="k", **condition)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_writes_at_an_accelerated_endpoint_reach_the_owner(owner, reader, bucket):
    reader.put_object(Bucket=bucket, Key="k", Body=BODY)
    assert owner.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY
    reader.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
    assert "Contents" not in owner.list_objects_v2(Bucket=bucket)


def test_keys_of_every_kind_survive(owner, reader, bucket):
    keys = ["a b+c", "ünï/çødé", "a//b", "percent%2Fslash", "dot/./dot/../dot", "quote'\"&<>", "~!*()=@:,$;"]
    for key in keys:
        owner.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [found["Key"] for found in owner.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(keys, key=str.encode)
    for client in (owner, reader):
        for key in keys:
            assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
