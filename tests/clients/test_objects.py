"""What an object says of itself: headers, metadata, storage class and tags, as far as S3's limits reach and no further."""

import datetime
import hashlib

import pytest

from s3_clients import Aws, S3cmd, refused

BODY = b"hello"
EXPIRES = datetime.datetime(2031, 6, 1, 12, 30, tzinfo=datetime.timezone.utc)
HEADERS = {
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="a.txt"',
    "ContentEncoding": "identity",
    "ContentLanguage": "de",
    "ContentType": "text/plain; charset=utf-8",
}


@pytest.fixture(params=["owner", "reader"])
def client(request):
    """At the owner's standard endpoint, and at another region's accelerated one."""
    return request.getfixturevalue(request.param)


def test_headers_come_back_as_they_were_put(owner, reader, bucket):
    metadata = {"colour": "grey", "a-b_c.d": "1 2", "empty": ""}
    location = {"WebsiteRedirectLocation": "https://example.com/?a=b"}
    owner.put_object(Bucket=bucket, Key="k", Body=BODY, Expires=EXPIRES, Metadata=metadata, **HEADERS, **location)
    for client in (owner, reader):
        for read in (client.get_object, client.head_object):
            said = read(Bucket=bucket, Key="k")
            for name, value in {**HEADERS, **location, "ExpiresString": "Sun, 01 Jun 2031 12:30:00 GMT"}.items():
                assert said[name] == value, name
            assert said["Metadata"] == metadata
            assert (said["ContentLength"], said["AcceptRanges"]) == (len(BODY), "bytes")
            assert said["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
            assert "StorageClass" not in said, "the usual one is not said"
    owner.put_object(Bucket=bucket, Key="k", Body=BODY)
    for client in (owner, reader):
        said = client.get_object(Bucket=bucket, Key="k")
        assert said["Metadata"] == {} and said["ContentType"] == "binary/octet-stream"
        assert said.keys().isdisjoint({*HEADERS, "ExpiresString", "WebsiteRedirectLocation"} - {"ContentType"})


def test_answers_may_be_dressed_up_by_who_signs(owner, reader, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=BODY, **HEADERS)
    dressed = {f"Response{name}": f"x{value}" for name, value in HEADERS.items()}
    for client in (owner, reader):
        said = client.get_object(Bucket=bucket, Key="k", **dressed)
        assert {name: said[name] for name in HEADERS} == {name: f"x{value}" for name, value in HEADERS.items()}
        assert client.get_object(Bucket=bucket, Key="k")["ContentType"] == HEADERS["ContentType"]


def test_metadata_has_2048_bytes(client, bucket):
    def metadata(count):
        # Names count too, without the prefix that they travel with.
        return {"a": "x" * 1000, "bb": "y" * (count - 1003)}

    client.put_object(Bucket=bucket, Key="k", Body=BODY, Metadata=metadata(2048))
    assert client.head_object(Bucket=bucket, Key="k")["Metadata"] == metadata(2048)
    too_much = {"Bucket": bucket, "Key": "more", "Metadata": metadata(2049)}
    assert refused(client.put_object, **too_much, Body=BODY) == (400, "MetadataTooLarge")
    assert refused(client.create_multipart_upload, **too_much) == (400, "MetadataTooLarge")
    source = {"CopySource": f"{bucket}/k", "MetadataDirective": "REPLACE"}
    assert refused(client.copy_object, **too_much, **source) == (400, "MetadataTooLarge")
    assert refused(client.head_object, Bucket=bucket, Key="more")[0] == 404


def test_the_one_storage_class_has_two_names(client, bucket):
    for name in ("STANDARD", "object-standard-ord1"):
        client.put_object(Bucket=bucket, Key=name, Body=BODY, StorageClass=name)
        assert client.get_object(Bucket=bucket, Key=name)["Body"].read() == BODY
    assert {found["StorageClass"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]} == {"STANDARD"}
    for name, expected in [
        ("GLACIER", (501, "NotImplemented")),
        ("REDUCED_REDUNDANCY", (501, "NotImplemented")),
        ("object-standard-las1", (400, "InvalidStorageClass")),
        ("object-standard-", (400, "InvalidStorageClass")),
        ("standard", (400, "InvalidStorageClass")),
    ]:
        arguments = {"Bucket": bucket, "Key": "refused", "StorageClass": name}
        assert refused(client.put_object, **arguments, Body=BODY) == expected, name
        assert refused(client.create_multipart_upload, **arguments) == expected, name
        assert refused(client.copy_object, **arguments, CopySource=f"{bucket}/STANDARD") == expected, name
    assert refused(client.head_object, Bucket=bucket, Key="refused")[0] == 404


def test_a_redirect_leads_to_a_key_or_a_url(client, bucket):
    longest = "/" + "a" * 2047
    for location in ("/k", "http://example.com/", longest):
        client.put_object(Bucket=bucket, Key="k", Body=b"", WebsiteRedirectLocation=location)
        assert client.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == location
    for location in ("k", "ftp://example.com/", longest + "a"):
        arguments = {"Bucket": bucket, "Key": "k", "Body": b"", "WebsiteRedirectLocation": location}
        assert refused(client.put_object, **arguments) == (400, "InvalidRedirectLocation"), location


def test_keys_have_1024_bytes(owner, client, bucket):
    longest = ["k" * 1024, "ü" * 512, "日" * 341 + "k", "/" * 1024]
    for key in longest:
        client.put_object(Bucket=bucket, Key=key, Body=BODY)
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == BODY
        owner.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
        for longer in (key + "k", "k" + key):
            too_long = (400, "KeyTooLongError")
            assert refused(client.put_object, Bucket=bucket, Key=longer, Body=BODY) == too_long
            assert refused(client.create_multipart_upload, Bucket=bucket, Key=longer) == too_long
            assert refused(client.copy_object, Bucket=bucket, Key=longer, CopySource=f"{bucket}/copy") == too_long
    listed = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted([*longest, "copy"], key=str.encode)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [found["Key"] for page in pages for found in page["Contents"]] == listed
    answer = owner.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*longest, "k" * 1025]]})
    assert len(answer["Deleted"]) == 4 and [error["Code"] for error in answer["Errors"]] == ["KeyTooLongError"]


def test_tags_are_ten_of_so_many_characters(owner, client, bucket):
    def tag_set(tags):
        return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def shown():
        return {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]}

    client.put_object(Bucket=bucket, Key="k", Body=BODY, Tagging="a=1%202&b=")
    assert shown() == {"a": "1 2", "b": ""}
    most = {**{f"k{number}": "v" for number in range(8)}, "k" * 128: "v" * 256, "ünï + - = . _ : / @": "ç"}
    client.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(most))
    assert shown() == most
    assert client.head_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "10"
    for what, tags in {
        "eleven": {**most, "k8": "v"},
        "a long key": {"k" * 129: "v"},
        "a long value": {"k": "v" * 257},
        "a character": {"k?": "v"},
        "a reserved key": {"aws:k": "v"},
    }.items():
        assert refused(client.put_object_tagging, Bucket=bucket, Key="k", Tagging=tag_set(tags)) == (400, "InvalidTag"), what
        assert shown() == most, what
    twice = {"TagSet": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}
    assert refused(client.put_object_tagging, Bucket=bucket, Key="k", Tagging=twice) == (400, "InvalidTag")
    eleven = "&".join(f"k{number}=v" for number in range(11))
    for tagging in (eleven, "k=1&k=2", f"{'k' * 129}=v"):
        arguments = {"Bucket": bucket, "Key": "other", "Body": BODY, "Tagging": tagging}
        assert refused(client.put_object, **arguments)[0] == 400, tagging
    client.delete_object_tagging(Bucket=bucket, Key="k")
    assert shown() == {}
    assert refused(client.get_object_tagging, Bucket=bucket, Key="missing") == (404, "NoSuchKey")


def test_command_lines_change_what_an_object_says(penstock, owner, reader, bucket, tmp_path):
    file = tmp_path / "small"
    file.write_bytes(BODY)
    s3cmd, aws = S3cmd(penstock.standard("ord1"), tmp_path), Aws(penstock.standard("ord1"), tmp_path)
    place = f"s3://{bucket}/k"
    headers = ("--mime-type=text/css", "--add-header=x-amz-meta-colour:grey", "--add-header=Cache-Control:no-cache")
    s3cmd.run("put", *headers, file, place)
    s3cmd.run("modify", "--add-header=Cache-Control:max-age=5", "--remove-header=x-amz-meta-colour", place)
    said = reader.head_object(Bucket=bucket, Key="k")
    assert (said["ContentType"], said["CacheControl"]) == ("text/css", "max-age=5")
    assert "colour" not in said["Metadata"]
    s3cmd.run("settagging", place, "team=cats&mood=sleepy")
    tags = [{"Key": "mood", "Value": "sleepy"}, {"Key": "team", "Value": "cats"}]
    assert owner.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    assert "cats" in s3cmd.run("gettagging", place)
    s3cmd.run("deltagging", place)
    assert owner.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    aws.run("s3", "cp", "--no-progress", "--metadata", "colour=red", "--metadata-directive", "REPLACE", place, place)
    assert reader.head_object(Bucket=bucket, Key="k")["Metadata"] == {"colour": "red"}
    aws.run("s3", "mv", "--no-progress", place, f"s3://{bucket}/moved")
    assert refused(reader.head_object, Bucket=bucket, Key="k")[0] == 404
    s3cmd.run("mv", f"s3://{bucket}/moved", f"s3://{bucket}/moved again")
    assert reader.get_object(Bucket=bucket, Key="moved again")["Body"].read() == BODY
