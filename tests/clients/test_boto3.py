"""What SDK users do beyond up and down: links, checksums, copies, conditions, and writes at an accelerated endpoint."""

import hashlib
import ssl
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
