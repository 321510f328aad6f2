"""The policy that every S3 guide begins with: set with s3cmd, and whoever has no credentials reads with curl, until it is
taken away."""

import json
import subprocess

import pytest

from penstock import REGIONS
from s3_clients import S3cmd

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "PublicReadGetObject",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject"],
            "Resource": ["arn:aws:s3:::happybucket/*"],
        }
    ],
}


def curl(endpoint, path, *arguments):
    """The status and the body of an unsigned request."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments]
    if endpoint.ca:
        command += ["--cacert", str(endpoint.ca)]
    done = subprocess.run([*command, f"{endpoint.url}{path}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.fixture
def doors(penstock):
    """The owner's standard endpoint, another region's listener for it, and each region's accelerated listener."""
    accelerated = [penstock.accelerated(at, "ord1") for at in REGIONS]
    return [penstock.standard("ord1"), *accelerated]


def test_a_public_bucket_is_read_by_everybody_until_it_is_not(penstock, doors, tmp_path):
    owner = S3cmd(penstock.standard("ord1"), tmp_path)
    owner.make_bucket("happybucket")
    file = tmp_path / "cat.txt"
    file.write_text("a happy cat")
    owner.upload(file, "happybucket", "cat.txt")
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))

    for door in doors:
        assert curl(door, "/happybucket/cat.txt")[0] == 403
    owner.run("setpolicy", policy, "s3://happybucket")
    for door in [*doors, *doors]:
        assert curl(door, "/happybucket/cat.txt") == (200, "a happy cat")
        # Nothing more was given: no list, and so nothing of what is missing; no other object action, no writing.
        assert curl(door, "/happybucket")[0] == 403
        assert curl(door, "/happybucket/no-such-cat.txt")[0] == 403
        assert curl(door, "/happybucket/cat.txt?acl")[0] == 403
        assert curl(door, "/happybucket/dog.txt", "--upload-file", str(file))[0] == 403
    owner.run("delpolicy", "s3://happybucket")
    for door in doors:
        status, body = curl(door, "/happybucket/cat.txt")
        assert status == 403 and "happy cat" not in body

    owner.remove("happybucket", "cat.txt")
    owner.remove_bucket("happybucket")
