"""Writes and deletes that go by what is there, decided where they happen: whoever expects something else changes nothing."""

import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_clients import refused

FAILED = (412, "PreconditionFailed")
NO_KEY = (404, "NoSuchKey")
CREATORS = 8


def part_of(client, bucket, key, body):
    """An upload of one part, as it is completed."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    return {"Bucket": bucket, "Key": key, "UploadId": upload, "MultipartUpload": parts}


def creators(owner, reader, bucket):
    """Ways to make an object `key` of `body`, each of which may ask for a condition."""
    clients = (owner, reader)

    def put(number, key, body):
        client = clients[number % 2]
        return lambda **condition: client.put_object(Bucket=bucket, Key=key, Body=body, **condition)

    def complete(number, key, body):
        client = clients[number % 2]
        arguments = part_of(client, bucket, key, body)
        return lambda **condition: client.complete_multipart_upload(**arguments, **condition)

    def copy(number, key, body):
        client, source = clients[number % 2], f"source-{number}"
        client.put_object(Bucket=bucket, Key=source, Body=body)
        return lambda **condition: client.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/{source}", **condition)

    def rename(number, key, body):
        client, source = clients[number % 2], f"source-{number}"
        client.put_object(Bucket=bucket, Key=source, Body=body)

        def call(**condition):
            condition = {f"Destination{name}": value for name, value in condition.items()}
            return client.rename_object(Bucket=bucket, Key=key, RenameSource=f"{bucket}/{source}", **condition)

        return call

    return {"put": put, "complete": complete, "copy": copy, "rename": rename}


WAYS = ["put", "complete", "copy", "rename"]


@pytest.mark.parametrize("way", WAYS)
def test_one_of_many_creators_wins(owner, reader, bucket, way):
    make = creators(owner, reader, bucket)[way]
    for turn in range(4):
        key = f"{way}-{turn}"
        bodies = [f"{way} {turn} by {number}".encode() for number in range(CREATORS)]
        calls = [make(number, key, body) for number, body in enumerate(bodies)]

        def attempt(call):
            try:
                call(IfNoneMatch="*")
            except owner.exceptions.ClientError as error:
                return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
            return None

        with ThreadPoolExecutor(CREATORS) as pool:
            outcomes = list(pool.map(attempt, calls))
        (winner,) = [number for number, outcome in enumerate(outcomes) if outcome is None]
        losers = {outcome for outcome in outcomes if outcome is not None}
        assert losers <= {FAILED, (409, "ConditionalRequestConflict")}, losers
        for client in (owner, reader):
            assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == bodies[winner]


@pytest.mark.parametrize("way", WAYS)
def test_a_write_goes_by_what_it_replaces(owner, reader, bucket, way):
    make = creators(owner, reader, bucket)[way]
    key = f"{way}-key"
    for client in (owner, reader):
        assert refused(make(1, key, b"new"), IfMatch='"0123456789abcdef0123456789abcdef"') == NO_KEY
        assert refused(client.get_object, Bucket=bucket, Key=key) == NO_KEY
    old = owner.put_object(Bucket=bucket, Key=key, Body=b"old")["ETag"]
    other = owner.put_object(Bucket=bucket, Key=key, Body=b"other")["ETag"]
    for condition in ({"IfMatch": old}, {"IfNoneMatch": "*"}):
        for number in (0, 1):
            assert refused(make(number, key, b"new"), **condition) == FAILED, condition
        for client in (owner, reader):
            assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"other"
    make(0, key, b"newer")(IfMatch=other)
    newer = reader.head_object(Bucket=bucket, Key=key)["ETag"]
    # Without its quotes it is the same one.
    make(1, key, b"newest")(IfMatch=newer.strip('"'))
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"newest"
    assert refused(make(0, key, b"late"), IfMatch=newer) == FAILED


def test_an_upload_that_was_refused_can_be_completed_after_all(owner, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=b"there")
    arguments = part_of(owner, bucket, "k", b"new")
    assert refused(owner.complete_multipart_upload, **arguments, IfNoneMatch="*") == FAILED
    (upload,) = owner.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert upload["UploadId"] == arguments["UploadId"]
    owner.delete_object(Bucket=bucket, Key="k")
    owner.complete_multipart_upload(**arguments, IfNoneMatch="*")
    assert owner.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"


def test_a_delete_goes_by_etag_size_and_time(owner, reader, bucket):
    second = datetime.timedelta(seconds=1)
    for number, client in enumerate((owner, reader)):
        key = f"k-{number}"
        etag = owner.put_object(Bucket=bucket, Key=key, Body=b"body")["ETag"]
        modified = owner.head_object(Bucket=bucket, Key=key)["LastModified"]
        right = {"IfMatch": etag, "IfMatchSize": 4, "IfMatchLastModifiedTime": modified}
        wrong = {
            "IfMatch": ['"0123456789abcdef0123456789abcdef"', etag[:-2] + '0"' if etag[-2] != "0" else etag[:-2] + '1"'],
            "IfMatchSize": [3, 5, 0],
            "IfMatchLastModifiedTime": [modified - second, modified + second],
        }
        for name, values in wrong.items():
            for value in values:
                for condition in ({name: value}, {**right, name: value}):
                    assert refused(client.delete_object, Bucket=bucket, Key=key, **condition) == FAILED, condition
        assert owner.get_object(Bucket=bucket, Key=key)["Body"].read() == b"body"
        # Each right one by itself, and all of them.
        for condition in [{name: value} for name, value in right.items()] + [right, {"IfMatch": "*"}]:
            owner.put_object(Bucket=bucket, Key=key, Body=b"body")
            if "IfMatchLastModifiedTime" in condition:
                now = owner.head_object(Bucket=bucket, Key=key)["LastModified"]
                condition = {**condition, "IfMatchLastModifiedTime": now}
            client.delete_object(Bucket=bucket, Key=key, **condition)
            assert refused(owner.head_object, Bucket=bucket, Key=key)[0] == 404, condition
        # What is not there is deleted already.
        client.delete_object(Bucket=bucket, Key=key, **right)


def test_keys_of_many_have_conditions_of_their_own(owner, reader, bucket):
    etags = {key: owner.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"] for key in "abcdef"}
    modified = {found["Key"]: found["LastModified"] for found in owner.list_objects_v2(Bucket=bucket)["Contents"]}
    hour = datetime.timedelta(hours=1)
    objects = [
        {"Key": "a", "ETag": etags["a"]},
        {"Key": "b", "ETag": etags["a"]},
        {"Key": "c", "Size": 1},
        {"Key": "d", "Size": 2},
        {"Key": "e", "LastModifiedTime": modified["e"].replace(microsecond=0)},
        {"Key": "f", "LastModifiedTime": modified["f"] + hour},
    ]
    answer = reader.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [deleted["Key"] for deleted in answer["Deleted"]] == ["a", "c", "e"]
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [
        (key, "PreconditionFailed") for key in ("b", "d", "f")
    ]
    assert [found["Key"] for found in owner.list_objects_v2(Bucket=bucket)["Contents"]] == ["b", "d", "f"]


def test_conditions_are_about_the_current_version(owner, reader, bucket):
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = owner.put_object(Bucket=bucket, Key="k", Body=b"old")
    new = reader.put_object(Bucket=bucket, Key="k", Body=b"new", IfMatch=old["ETag"])
    assert refused(owner.put_object, Bucket=bucket, Key="k", Body=b"x", IfMatch=old["ETag"]) == FAILED
    assert refused(owner.delete_object, Bucket=bucket, Key="k", IfMatch=old["ETag"]) == FAILED
    # Of a version that is named the condition is about that one.
    wrong = {"VersionId": old["VersionId"], "IfMatch": new["ETag"]}
    assert refused(owner.delete_object, Bucket=bucket, Key="k", **wrong) == FAILED
    marker = owner.delete_object(Bucket=bucket, Key="k", IfMatch=new["ETag"])
    assert marker["DeleteMarker"]
    # Under a marker there is no object: one may be created.
    assert refused(owner.put_object, Bucket=bucket, Key="k", Body=b"x", IfMatch=new["ETag"]) == NO_KEY
    reader.put_object(Bucket=bucket, Key="k", Body=b"again", IfNoneMatch="*")
    assert refused(owner.put_object, Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*") == FAILED
    versions = owner.list_object_versions(Bucket=bucket, Prefix="k")
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (3, 1)
    owner.delete_object(Bucket=bucket, Key="k", VersionId=old["VersionId"], IfMatch=old["ETag"])
    assert refused(owner.head_object, Bucket=bucket, Key="k", VersionId=old["VersionId"])[0] == 404


def test_a_rename_goes_by_both_ends_and_its_token(owner, reader, bucket):
    def put(key, body):
        return owner.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]

    def rename(client, **arguments):
        return lambda **more: client.rename_object(Bucket=bucket, Key="to", RenameSource=f"{bucket}/from", **arguments, **more)

    old, hour = put("from", b"from"), datetime.timedelta(hours=1)
    now = owner.head_object(Bucket=bucket, Key="from")["LastModified"]
    there = put("to", b"to")
    for client in (owner, reader):
        for condition in (
            {"SourceIfMatch": there},
            {"SourceIfNoneMatch": old},
            {"SourceIfModifiedSince": now + hour},
            {"SourceIfUnmodifiedSince": now - hour},
            {"DestinationIfMatch": old},
            {"DestinationIfNoneMatch": "*"},
            {"DestinationIfNoneMatch": there},
            {"DestinationIfModifiedSince": now + hour},
            {"DestinationIfUnmodifiedSince": now - hour},
        ):
            assert refused(rename(client), **condition, ClientToken="of-both-ends") == FAILED, condition
            assert owner.get_object(Bucket=bucket, Key="from")["Body"].read() == b"from", condition
    for condition in (
        {"SourceIfMatch": old},
        {"SourceIfNoneMatch": there},
        {"SourceIfModifiedSince": now - hour},
        {"SourceIfUnmodifiedSince": now + hour},
        {"DestinationIfMatch": there},
        {"DestinationIfNoneMatch": old},
        {"DestinationIfModifiedSince": now - hour},
        {"DestinationIfUnmodifiedSince": now + hour},
    ):
        put("from", b"from")
        put("to", b"to")
        rename(owner)(**condition)
        assert reader.get_object(Bucket=bucket, Key="to")["Body"].read() == b"from", condition
        assert refused(reader.head_object, Bucket=bucket, Key="from")[0] == 404, condition
    # A token that failed is free; the same rename again is done once; another one under it is none.
    put("from", b"once")
    rename(owner, ClientToken="of-both-ends")()
    put("from", b"not this one")
    rename(reader, ClientToken="of-both-ends")()
    assert owner.get_object(Bucket=bucket, Key="to")["Body"].read() == b"once"
    assert owner.get_object(Bucket=bucket, Key="from")["Body"].read() == b"not this one"
    mismatch = (400, "IdempotencyParameterMismatch")
    assert refused(rename(reader, ClientToken="of-both-ends"), DestinationIfMatch="*") == mismatch
    assert refused(rename(owner, ClientToken="t" * 65))[0] == 400
    rename(owner, ClientToken="t" * 64)()
    assert owner.get_object(Bucket=bucket, Key="to")["Body"].read() == b"not this one"


def test_a_rename_stays_within_a_bucket_that_keeps_no_versions(owner, bucket):
    owner.put_object(Bucket=bucket, Key="from", Body=b"body")
    elsewhere = f"{bucket}-elsewhere"
    owner.create_bucket(Bucket=elsewhere)

    def rename(source, to=bucket, key="to"):
        return refused(owner.rename_object, Bucket=to, Key=key, RenameSource=source)

    assert rename(f"{bucket}/from", to=elsewhere) == (400, "InvalidRequest")
    assert rename(f"{bucket}/from", key="from") == (400, "InvalidRequest")
    assert rename(f"{bucket}/missing") == NO_KEY
    assert rename("from") == (400, "InvalidArgument")
    for status in ("Enabled", "Suspended"):
        owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert rename(f"{bucket}/from") == (409, "InvalidBucketState"), status
    assert owner.get_object(Bucket=bucket, Key="from")["Body"].read() == b"body"
