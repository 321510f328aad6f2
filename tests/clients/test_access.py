"""Who may read what, said with the clients that people say it with, and tried by somebody without a key."""

import json
import ssl
import urllib.error
import urllib.request

import pytest

from s3_clients import Aws, Boto3, S3cmd

BODY = b"for everybody"
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def endpoints(penstock):
    """Both doors to what ord1 owns: its own, and another region's cache."""
    return penstock.standard("ord1"), penstock.accelerated("las1", "ord1")


@pytest.fixture
def stranger(endpoints):
    """Status and body of a request as `curl` makes it, at each endpoint."""

    def ask(path, method="GET"):
        return [anonymous(endpoint, path, method) for endpoint in endpoints]

    return ask


def anonymous(endpoint, path, method):
    context = ssl.create_default_context(cafile=endpoint.ca) if endpoint.ca else None
    data = b"mine now" if method == "PUT" else None
    request = urllib.request.Request(f"{endpoint.url}/{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, b""


def both(status, body=b""):
    return [(status, body)] * 2


def test_the_policy_of_every_guide_opens_until_deleted(endpoints, owner, bucket, stranger, tmp_path):
    owner.put_object(Bucket=bucket, Key="hello.txt", Body=BODY)
    assert stranger(f"{bucket}/hello.txt") == both(403)
    policy = tmp_path / "policy.json"
    statement = {"Sid": "PublicRead", "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"]}
    statement["Resource"] = [f"arn:aws:s3:::{bucket}/*"]
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3cmd = S3cmd(endpoints[0], tmp_path)
    s3cmd.run("setpolicy", policy, f"s3://{bucket}")
    assert policy.read_text() in s3cmd.run("info", f"s3://{bucket}")
    for _ in range(2):
        assert stranger(f"{bucket}/hello.txt") == both(200, BODY)
    # Reading is all that it gives; what is missing and may not be listed is not told from what may not be read.
    assert stranger(bucket) == both(403)
    assert stranger(f"{bucket}/hello.txt", "PUT") == both(403)
    assert stranger(f"{bucket}/hello.txt", "DELETE") == both(403)
    assert stranger(f"{bucket}/missing.txt") == both(403)
    s3cmd.run("delpolicy", f"s3://{bucket}")
    assert stranger(f"{bucket}/hello.txt") == both(403)
    assert owner.get_object(Bucket=bucket, Key="hello.txt")["Body"].read() == BODY


def test_a_list_opens_one_object_and_closes_it(endpoints, owner, bucket, stranger, tmp_path):
    for key in ("open.txt", "closed.txt"):
        owner.put_object(Bucket=bucket, Key=key, Body=BODY)
    s3cmd = S3cmd(endpoints[0], tmp_path)
    s3cmd.run("setacl", "--acl-public", f"s3://{bucket}/open.txt")
    assert "*anon*: READ" in s3cmd.run("info", f"s3://{bucket}/open.txt")
    assert "*anon*: READ" not in s3cmd.run("info", f"s3://{bucket}/closed.txt")
    assert stranger(f"{bucket}/open.txt") == both(200, BODY)
    assert stranger(f"{bucket}/closed.txt") == both(403)
    s3cmd.run("setacl", "--acl-private", f"s3://{bucket}/open.txt")
    assert stranger(f"{bucket}/open.txt") == both(403)


def test_grants_come_back_as_they_were_set(owner, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=BODY, ACL="public-read")
    shown = owner.get_object_acl(Bucket=bucket, Key="k")
    everybody = {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"}
    assert everybody in shown["Grants"]
    grants = [grant for grant in shown["Grants"] if grant != everybody]
    owner.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy={"Grants": grants, "Owner": shown["Owner"]})
    after = owner.get_object_acl(Bucket=bucket, Key="k")
    assert (after["Grants"], after["Owner"]) == (grants, shown["Owner"])
    assert owner.list_objects(Bucket=bucket)["Contents"][0]["Owner"] == shown["Owner"]


def test_a_block_closes_what_lists_and_policies_have_opened(owner, bucket, stranger):
    owner.put_object(Bucket=bucket, Key="k", Body=BODY, ACL="public-read")
    assert stranger(f"{bucket}/k") == both(200, BODY)
    switches = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    owner.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=switches)
    assert stranger(f"{bucket}/k") == both(403)
    assert owner.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == switches
    owner.delete_public_access_block(Bucket=bucket)
    assert stranger(f"{bucket}/k") == both(200, BODY)


def test_tags_are_counted_on_reads_and_kept_by_copies(endpoints, owner, bucket, files, tmp_path):
    aws = Aws(endpoints[0], tmp_path)
    owner.put_object(Bucket=bucket, Key="small", Body=BODY, Tagging="team=cats&mood=sleepy")
    owner.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "small"})
    tags = [{"Key": "mood", "Value": "sleepy"}, {"Key": "team", "Value": "cats"}]
    for key in ("small", "copied"):
        assert json.loads(aws.run("s3api", "get-object-tagging", "--bucket", bucket, "--key", key))["TagSet"] == tags
        for endpoint in endpoints:
            s3 = Boto3(endpoint, tmp_path).s3
            for read in (s3.head_object, s3.get_object):
                assert read(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    owner.delete_object_tagging(Bucket=bucket, Key="small")
    for endpoint in endpoints:
        headers = Boto3(endpoint, tmp_path).s3.head_object(Bucket=bucket, Key="small")["ResponseMetadata"]["HTTPHeaders"]
        assert "x-amz-tagging-count" not in headers
    # Larger than one part: the command line copies it in parts.
    aws.upload(files["large"], bucket, "large")
    aws.run("s3", "cp", "--no-progress", f"s3://{bucket}/large", f"s3://{bucket}/large-copied")
    assert owner.head_object(Bucket=bucket, Key="large-copied")["ContentLength"] == files["large"].stat().st_size
