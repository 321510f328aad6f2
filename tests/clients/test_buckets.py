"""Buckets: what they may be called and where they may be, what is listed of them, and when they go."""

import pytest

from s3_clients import Aws, Boto3, S3cmd, refused


@pytest.fixture(params=["owner", "reader"])
def client(request, penstock, tmp_path):
    """At the owner's standard endpoint, and at another region's accelerated one.

    Names are in the path: so any may be asked for.
    """
    doors = {"owner": penstock.standard("ord1"), "reader": penstock.accelerated("las1", "ord1")}
    return Boto3(doors[request.param], tmp_path).s3


def test_names_are_one_label(client):
    free = ["abc", "1-2", "a-b", "x" * 63, "a--b", "axn--b"]
    for name in free:
        client.create_bucket(Bucket=name)
        client.head_bucket(Bucket=name)
        client.delete_bucket(Bucket=name)
    for name in ["ab", "x" * 64, "a.b", "a_b", "Abc", "abC", "-abc", "abc-", "xn--abc", "192.168.1.1"]:
        assert refused(client.create_bucket, Bucket=name) == (400, "InvalidBucketName"), name


def test_a_bucket_is_in_the_region_that_was_asked(client):
    name = "in-its-region"
    for location in ("ord1", "default"):
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": location})
        assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == "ord1"
        assert client.head_bucket(Bucket=name)["BucketRegion"] == "ord1"
        client.delete_bucket(Bucket=name)
    for location in ("las1", "eu-west-1", "ORD1", "ord1 "):
        elsewhere = {"LocationConstraint": location}
        answer = refused(client.create_bucket, Bucket=name, CreateBucketConfiguration=elsewhere)
        assert answer == (400, "IllegalLocationConstraintException"), location
    assert refused(client.head_bucket, Bucket=name)[0] == 404


def test_command_lines_name_the_region(penstock, owner, tmp_path):
    s3cmd, aws = S3cmd(penstock.standard("ord1"), tmp_path), Aws(penstock.standard("ord1"), tmp_path)
    s3cmd.run("mb", "--bucket-location=ord1", "s3://by-s3cmd")
    assert "IllegalLocationConstraint" in s3cmd.run_refused("mb", "--bucket-location=las1", "s3://by-s3cmd-elsewhere")
    aws.run("s3", "mb", "--region", "ord1", "s3://by-aws")
    assert "IllegalLocationConstraint" in aws.run_refused("s3", "mb", "--region", "eu-west-1", "s3://by-aws-elsewhere")
    names = {found["Name"] for found in owner.list_buckets()["Buckets"]}
    assert {"by-s3cmd", "by-aws"} <= names and names.isdisjoint({"by-s3cmd-elsewhere", "by-aws-elsewhere"})
    assert "s3://by-s3cmd\n" in s3cmd.run("ls") and " by-aws\n" in aws.run("s3", "ls")


def test_a_name_is_of_its_region_alone(penstock, owner, tmp_path):
    name = "in-two-regions"
    other = Boto3(penstock.standard("las1"), tmp_path).s3
    far = Boto3(penstock.accelerated("lga1", "las1"), tmp_path).s3
    for client, body in ((owner, b"ord1"), (other, b"las1")):
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="k", Body=body)
    assert owner.get_object(Bucket=name, Key="k")["Body"].read() == b"ord1"
    assert far.get_object(Bucket=name, Key="k")["Body"].read() == b"las1"
    owner.delete_object(Bucket=name, Key="k")
    owner.delete_bucket(Bucket=name)
    assert refused(owner.get_object, Bucket=name, Key="k") == (404, "NoSuchBucket")
    assert far.get_object(Bucket=name, Key="k")["Body"].read() == b"las1"


def test_a_bucket_that_is_there_is_made_again_as_it_is(owner, client, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=b"body")
    client.create_bucket(Bucket=bucket)
    assert refused(client.create_bucket, Bucket=bucket, ACL="public-read") == (409, "BucketAlreadyExists")
    assert owner.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
    assert refused(client.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")


def test_buckets_are_listed_page_by_page(owner, client):
    names = [f"listed-{number}" for number in range(5)]
    for name in names:
        owner.create_bucket(Bucket=name)
    pages = client.get_paginator("list_buckets").paginate(Prefix="listed-", PaginationConfig={"PageSize": 2})
    pages = [[found["Name"] for found in page["Buckets"]] for page in pages]
    assert pages == [names[:2], names[2:4], names[4:]]
    assert client.list_buckets(Prefix="listed-5")["Buckets"] == []


def test_objects_are_listed_in_every_way(owner, client, bucket):
    keys = ["a", "a b", "d/1", "d/2", "d/e/3", "e", "ü"]
    for key in keys:
        owner.put_object(Bucket=bucket, Key=key, Body=key.encode())

    def found(answer):
        groups = [group["Prefix"] for group in answer.get("CommonPrefixes", [])]
        return [entry["Key"] for entry in answer.get("Contents", [])], groups

    for listing, after in ((client.list_objects, "Marker"), (client.list_objects_v2, "StartAfter")):
        assert found(listing(Bucket=bucket)) == (keys, [])
        assert found(listing(Bucket=bucket, Delimiter="/")) == (["a", "a b", "e", "ü"], ["d/"])
        assert found(listing(Bucket=bucket, Delimiter="/", Prefix="d/")) == (["d/1", "d/2"], ["d/e/"])
        assert found(listing(Bucket=bucket, Prefix="d")) == (["d/1", "d/2", "d/e/3"], [])
        assert found(listing(Bucket=bucket, Prefix="x")) == ([], [])
        assert found(listing(Bucket=bucket, **{after: "d/1"})) == (["d/2", "d/e/3", "e", "ü"], [])
        assert found(listing(Bucket=bucket, Delimiter=" ")) == (["a", "d/1", "d/2", "d/e/3", "e", "ü"], ["a "])
        assert found(listing(Bucket=bucket, MaxKeys=0)) == ([], [])
        assert refused(listing, Bucket=bucket, MaxKeys=-1) == (400, "InvalidArgument")
    for operation in ("list_objects", "list_objects_v2"):
        for size in (1, 2, 3):
            pages = client.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size})
            pages = [found(page) for page in pages]
            assert sorted(sum((keys + groups for keys, groups in pages), [])) == sorted(["a", "a b", "d/", "e", "ü"])
            assert all(len(keys) + len(groups) <= size for keys, groups in pages)
    assert "Owner" not in client.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert client.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    assert refused(client.list_objects_v2, Bucket=bucket, ContinuationToken="no token") == (400, "InvalidArgument")


def test_a_bucket_has_tags_ownership_and_blocks_of_its_own(penstock, owner, client, bucket, tmp_path):
    tags = {"TagSet": [{"Key": f"k{number:02}", "Value": "v"} for number in range(50)]}
    assert refused(client.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    client.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    assert client.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
    more = {"TagSet": [*tags["TagSet"], {"Key": "k50", "Value": "v"}]}
    assert refused(client.put_bucket_tagging, Bucket=bucket, Tagging=more)[0] == 400
    assert client.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
    client.delete_bucket_tagging(Bucket=bucket)
    assert refused(client.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    s3cmd, place = S3cmd(penstock.standard("ord1"), tmp_path), f"s3://{bucket}"
    s3cmd.run("setownership", place, "BucketOwnerPreferred")
    rules = client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerPreferred"}]
    wrong = {"Rules": [{"ObjectOwnership": "Nobody"}]}
    assert refused(client.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=wrong)[0] == 400
    s3cmd.run("setblockpublicaccess", place, "BlockPublicAcls,RestrictPublicBuckets")
    switches = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert {name for name, is_on in switches.items() if is_on} == {"BlockPublicAcls", "RestrictPublicBuckets"}
    assert refused(client.put_bucket_acl, Bucket=bucket, ACL="public-read") == (403, "AccessDenied")
    client.delete_public_access_block(Bucket=bucket)
    assert refused(client.get_public_access_block, Bucket=bucket) == (404, "NoSuchPublicAccessBlockConfiguration")
    client.delete_bucket_ownership_controls(Bucket=bucket)
    assert refused(client.get_bucket_ownership_controls, Bucket=bucket) == (404, "OwnershipControlsNotFoundError")
