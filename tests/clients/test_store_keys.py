"""Objects under the key of their store (SSE-S3), asked for with the SDK and the AWS command line, or by their bucket."""

import json

import pytest

from s3_clients import Aws, Boto3

BY_STORE = {"ServerSideEncryption": "AES256"}
RULE = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


@pytest.fixture
def site(penstock, tmp_path, request):
    """The owner and a reader elsewhere, and a bucket."""
    owner = Boto3(penstock.standard("ord1"), tmp_path)
    bucket = request.node.originalname.replace("_", "-")
    owner.s3.create_bucket(Bucket=bucket)
    return owner, Boto3(penstock.accelerated("las1", "ord1"), tmp_path), bucket


def test_transfers_under_the_stores_key(penstock, site, files, sha256, tmp_path):
    owner, far, bucket = site
    aws = Aws(penstock.standard("ord1"), tmp_path)
    for name, file in files.items():
        owner.s3.upload_file(str(file), bucket, f"boto3/{name}", ExtraArgs=BY_STORE, Config=owner._transfer)
        aws.run("s3", "cp", "--no-progress", "--sse", "AES256", file, f"s3://{bucket}/aws/{name}")
        aws.run("s3", "cp", "--no-progress", "--sse", "AES256", f"s3://{bucket}/boto3/{name}", f"s3://{bucket}/copy/{name}")
        for folder in ("boto3", "aws", "copy"):
            for client in (owner, far):
                got = tmp_path / f"{folder}-{name}"
                client.download(bucket, f"{folder}/{name}", got)
                assert sha256(got) == sha256(file), f"{folder}/{name}"
                assert client.s3.head_object(Bucket=bucket, Key=f"{folder}/{name}")["ServerSideEncryption"] == "AES256"


def test_a_bucket_wants_it_of_all(site, refusal):
    owner, far, bucket = site
    missing = "ServerSideEncryptionConfigurationNotFoundError"
    assert refusal(owner.s3.get_bucket_encryption, Bucket=bucket) == missing
    owner.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [RULE]})
    found = owner.s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert found == [{**RULE, "BucketKeyEnabled": False}]
    assert owner.s3.put_object(Bucket=bucket, Key="k", Body=b"meow")["ServerSideEncryption"] == "AES256"
    got = far.s3.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["ServerSideEncryption"]) == (b"meow", "AES256")
    owner.s3.delete_bucket_encryption(Bucket=bucket)
    assert refusal(owner.s3.get_bucket_encryption, Bucket=bucket) == missing
    assert "ServerSideEncryption" not in owner.s3.put_object(Bucket=bucket, Key="k", Body=b"meow")


def test_a_bucket_key_is_for_keys_of_kms_alone(site, refusal):
    owner, _, bucket = site
    for wanted in (True, False):
        with_key = {"Bucket": bucket, "Key": "k", "BucketKeyEnabled": wanted}
        assert owner.s3.put_object(**with_key, **BY_STORE, Body=b"meow")["ServerSideEncryption"] == "AES256"
        assert "BucketKeyEnabled" not in owner.s3.put_object(**with_key, Body=b"meow")
        owner.s3.copy_object(**{**with_key, "Key": "copy"}, CopySource=f"{bucket}/k")
        upload = owner.s3.create_multipart_upload(**with_key)
        owner.s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload["UploadId"])
        assert refusal(owner.s3.put_object, **with_key, ServerSideEncryption="aws:kms", Body=b"meow") == "NotImplemented"


def test_a_policy_that_demands_it_is_met(site, refusal):
    owner, _, bucket = site
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}},
    }
    owner.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert refusal(owner.s3.put_object, Bucket=bucket, Key="k", Body=b"meow") == "AccessDenied"
    assert owner.s3.put_object(Bucket=bucket, Key="k", Body=b"meow", **BY_STORE)["ServerSideEncryption"] == "AES256"
