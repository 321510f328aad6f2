"""A page lets its visitors upload: the SDK signs the form, curl fills it in as a browser does, file and all; and an SDK
without credentials uploads where everybody may."""

import json
import subprocess

import boto3
import botocore
import pytest
from botocore.config import Config

from s3_clients import Boto3, refused

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
    status, _, body = told(endpoint, form, file, **fields)
    return status, body


def told(endpoint, form, file, **fields):
    """The same, with `Location` between them."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code} %header{location}"]
    if endpoint.ca:
        command += ["--cacert", str(endpoint.ca)]
    for name, value in {**form["fields"], **fields}.items():
        command += ["--form-string", f"{name}={value}"]
    done = subprocess.run([*command, "--form", f"file=@{file}", form["url"]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition("\n")
    status, _, location = last.partition(" ")
    return int(status), location, body


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


def test_a_form_says_what_its_visitor_is_told(doors, tmp_path, files):
    for number, endpoint in enumerate(doors):
        client = Boto3(endpoint, tmp_path).s3
        bucket = f"told-{number}-{'virtual' if endpoint.is_virtual_hosted else 'path'}"
        client.create_bucket(Bucket=bucket)
        for name, value, expected in [
            ("success_action_status", "200", 200),
            ("success_action_status", "201", 201),
            ("success_action_status", "204", 204),
            ("success_action_status", "299", 204),
            ("success_action_redirect", "http://localhost:1/done", 303),
            ("redirect", "http://localhost:1/done", 303),
            ("success_action_redirect", "not a place", 204),
        ]:
            key = f"{name} {value}"
            form = client.generate_presigned_post(bucket, key, Fields={name: value}, Conditions=[{name: value}])
            status, location, body = told(endpoint, form, files["small"])
            assert status == expected, (key, body)
            etag = client.head_object(Bucket=bucket, Key=key)["ETag"]
            if expected == 201:
                assert f"<Bucket>{bucket}</Bucket><Key>{key}</Key>" in body and etag.strip('"') in body, body
            elif expected == 303:
                assert location.startswith(f"http://localhost:1/done?bucket={bucket}&key="), location
            else:
                assert body == "", body
            # The word is a field like any other: one that nobody signed for is none.
            plain = client.generate_presigned_post(bucket, f"{key} unsigned")
            status, _, body = told(endpoint, plain, files["small"], **{name: value})
            assert status == 403 and "<Code>AccessDenied</Code>" in body, body
            assert refused(client.head_object, Bucket=bucket, Key=f"{key} unsigned")[0] == 404


def test_each_kind_of_condition_holds(doors, tmp_path, files):
    size = files["small"].stat().st_size
    for number, endpoint in enumerate(doors):
        client = Boto3(endpoint, tmp_path).s3
        bucket = f"conditions-{number}-{'virtual' if endpoint.is_virtual_hosted else 'path'}"
        client.create_bucket(Bucket=bucket)
        meta = "x-amz-meta-colour"
        for condition, right, wrong, code in [
            ({meta: "grey"}, {meta: "grey"}, [{meta: "Grey"}, {meta: "gre"}, {}], "AccessDenied"),
            (["eq", f"${meta}", "grey"], {meta: "grey"}, [{meta: "greyer"}, {meta: ""}], "AccessDenied"),
            (["starts-with", f"${meta}", "gr"], {meta: "green"}, [{meta: "Green"}, {meta: "g"}], "AccessDenied"),
            (["starts-with", f"${meta}", ""], {meta: "anything"}, [{meta: "a", "x-amz-meta-size": "b"}], "AccessDenied"),
            (
                ["starts-with", "$Content-Type", "image/"],
                {"Content-Type": "image/png,image/gif"},
                [{"Content-Type": "image/png,text/html"}],
                "AccessDenied",
            ),
            (["content-length-range", size, size], {}, [], None),
            (["content-length-range", 0, size - 1], None, [{}], "EntityTooLarge"),
            (["content-length-range", size + 1, size + 9], None, [{}], "EntityTooSmall"),
        ]:
            form = client.generate_presigned_post(bucket, "k", Conditions=[condition])
            if right is not None:
                status, body = submit(endpoint, form, files["small"], **right)
                assert status == 204, (condition, body)
                client.delete_object(Bucket=bucket, Key="k")
            for fields in wrong:
                status, body = submit(endpoint, form, files["small"], **fields)
                assert status in (400, 403) and f"<Code>{code}</Code>" in body, (condition, fields, body)
                assert refused(client.head_object, Bucket=bucket, Key="k")[0] == 404, (condition, fields)
        late = client.generate_presigned_post(bucket, "k", ExpiresIn=-1)
        status, body = submit(endpoint, late, files["small"])
        assert status == 403 and "<Code>AccessDenied</Code>" in body, body


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
