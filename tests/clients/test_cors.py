"""Pages of other sites: rules set with the SDK and s3cmd, asked about as a browser does."""

import subprocess

import pytest

from penstock import REGIONS
from s3_clients import S3cmd, refused

RULES = [
    {
        "ID": "app",
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["x-amz-*", "content-type"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
]


@pytest.fixture
def doors(penstock):
    """Every listener, asked for what ord1 owns."""
    return [penstock.standard("ord1"), *(penstock.accelerated(at, "ord1") for at in REGIONS)]


def preflight(door, path, origin, method, headers=""):
    """The status and the headers that a browser's question is answered with."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--output", "/dev/null", "--dump-header", "-"]
    command += ["--request", "OPTIONS", "--header", f"Origin: {origin}", "--header", f"Access-Control-Request-Method: {method}"]
    if headers:
        command += ["--header", f"Access-Control-Request-Headers: {headers}"]
    if door.ca:
        command += ["--cacert", str(door.ca)]
    done = subprocess.run([*command, f"{door.url}/{path}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    status, *lines = done.stdout.strip().splitlines()
    said = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), {name: value for name, value in said.items() if name.startswith("access-control-")}


def test_browsers_are_told_what_the_rules_say(doors, owner, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=b"body")
    path, page = f"{bucket}/k", "https://app.example.com"
    assert refused(owner.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    for door in doors:
        assert preflight(door, path, page, "GET") == (403, {})
    owner.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    assert owner.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    for door in doors:
        status, said = preflight(door, path, page, "PUT", "X-Amz-Date, content-type")
        assert status == 200 and said == {
            "access-control-allow-origin": page,
            "access-control-allow-methods": "get, put",
            "access-control-allow-headers": "x-amz-date, content-type",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "etag",
            "access-control-max-age": "600",
        }
        status, said = preflight(door, path, "https://other.org", "HEAD")
        assert status == 200 and said["access-control-allow-origin"] == "*"
        for origin, method, headers in [
            ("https://example.com", "GET", ""),
            ("http://app.example.com", "GET", ""),
            ("https://app.example.com.evil.org", "GET", ""),
            (page, "DELETE", ""),
            (page, "GET", "authorization"),
            ("https://other.org", "HEAD", "x-amz-date"),
        ]:
            assert preflight(door, path, origin, method, headers) == (403, {}), (origin, method, headers)
    owner.delete_bucket_cors(Bucket=bucket)
    for door in doors:
        assert preflight(door, path, page, "GET") == (403, {})
    assert refused(owner.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")


def test_rules_that_are_none_change_nothing(owner, bucket):
    owner.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}
    for rules in (
        [],
        [{**rule, "AllowedMethods": ["PATCH"]}],
        [{**rule, "AllowedMethods": ["get"]}],
        [{**rule, "AllowedOrigins": ["https://*.*.example.com"]}],
        [{**rule, "AllowedHeaders": ["*-*"]}],
        [rule] * 101,
    ):
        assert refused(owner.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": rules})[0] == 400, rules[:1]
    assert owner.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    owner.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule] * 100})


def test_s3cmd_sets_shows_and_removes_rules(penstock, owner, bucket, tmp_path):
    s3cmd, document = S3cmd(penstock.standard("ord1"), tmp_path), tmp_path / "cors.xml"
    rule = "<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    document.write_text(f"<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>")
    s3cmd.run("setcors", document, f"s3://{bucket}")
    assert owner.get_bucket_cors(Bucket=bucket)["CORSRules"] == [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]
    assert "<AllowedMethod>GET</AllowedMethod>" in s3cmd.run("info", f"s3://{bucket}")
    s3cmd.run("delcors", f"s3://{bucket}")
    assert refused(owner.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
