"""A page lets its visitors upload: the SDK signs the form, curl fills it in as a browser does, file and all; and an SDK
without credentials uploads where everybody may."""

import json
import subprocess

import boto3
import botocore
import pytest
from botocore.config import Config

from s3_clients import Boto3

CONDITIONS = [["starts-with", "$key", "inbox/"], ["content-length-range", 1, 30 << 20], ["starts-with", "$Content-Type", ""]]


@pytest.fixture(params=[False, True], ids=["path", "virtual"])
def doors(penstock, request):
    """The owner's standard endpoint, and another region's accelerated listener."""
    return [
        penstock.standard("ord1", is_virtual_hosted=request.param),
        penstock.accelerated("las1", "ord1", is_virtual_hosted=request.param),
    ]


def submit(endpoint, form, file, **fields):
    """The status and the body of `form` filled in by curl."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"]
    if endpoint.ca:
        command += ["--cacert", str(endpoint.ca)]
    for name, value in {**form["fields"], **fields}.items():
        command += ["--form-string", f"{name}={value}"]
    done = subprocess.run([*command, "--form", f"file=@{file}", form["url"]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_visitors_upload_with_a_form_that_the_sdk_signed(penstock, doors, tmp_path, files, sha256):
    for number, endpoint in enumerate(doors):
        client = Boto3(endpoint, tmp_path).s3
        bucket = f"forms-{number}-{'virtual' if endpoint.is_virtual_hosted else 'path'}"
        client.create_bucket(Bucket=bucket)
        form = client.generate_presigned_post(bucket, "inbox/${filename}", Conditions=CONDITIONS, ExpiresIn=600)
        for name in ("small", "large"):
            status, body = submit(endpoint, form, files[name], **{"Content-Type": "image/png"})
            assert status == 204, body
            client.download_file(bucket, f"inbox/{name}", str(tmp_path / "got"))
            assert sha256(tmp_path / "got") == sha256(files[name])
            assert client.head_object(Bucket=bucket, Key=f"inbox/{name}")["ContentType"] == "image/png"
        for wrong, code in (
            ({"key": "outbox/${filename}"}, "AccessDenied"),
            ({"acl": "public-read"}, "AccessDenied"),
            ({"x-amz-signature": "0" * 64}, "SignatureDoesNotMatch"),
        ):
            status, body = submit(endpoint, form, files["small"], **{"Content-Type": "image/png"}, **wrong)
            assert status == 403 and f"<Code>{code}</Code>" in body, body
        status, body = submit(endpoint, form, files["empty"], **{"Content-Type": "image/png"})
        assert status == 400 and "<Code>EntityTooSmall</Code>" in body, body


def test_an_sdk_without_credentials_uploads_where_everybody_may(penstock, doors, tmp_path):
    for number, endpoint in enumerate(doors):
        owner = Boto3(endpoint, tmp_path).s3
        bucket = f"open-{number}-{'virtual' if endpoint.is_virtual_hosted else 'path'}"
        owner.create_bucket(Bucket=bucket)
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:PutObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/*"],
        }
        # What nobody puts is the bucket owner's, who may then read it.
        rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        owner.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
        owner.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        anybody = boto3.client(
            "s3",
            endpoint_url=endpoint.url,
            region_name="us-east-1",
            verify=str(endpoint.ca) if endpoint.ca else None,
            config=Config(signature_version=botocore.UNSIGNED, s3=owner.meta.config.s3),
        )
        # Over HTTPS this body is in chunks with a checksum behind them, though nothing is signed.
        anybody.put_object(Bucket=bucket, Key="k", Body=b"from anybody", ChecksumAlgorithm="CRC32")
        stored = owner.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert stored["Body"].read() == b"from anybody"
        assert stored["ChecksumCRC32"]
