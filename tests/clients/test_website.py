"""Buckets as websites: configured with the SDK, the AWS command line and s3cmd, visited with curl."""

import json
import re
import subprocess

from penstock import DOMAIN, REGIONS
from s3_clients import Aws, S3cmd, run

SITE = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "error.html"},
    "RoutingRules": [
        {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}},
        {
            "Condition": {"KeyPrefixEquals": "app/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"Protocol": "https", "HostName": "example.com", "ReplaceKeyWith": "", "HttpRedirectCode": "302"},
        },
    ],
}


def visit(penstock, bucket, path, at="ord1"):
    """Status, `Location` and body of what a visitor sees through the node `at`, under the website's own name."""
    door = penstock.standard(at)
    host = f"{bucket}.website.ord1.{DOMAIN}"
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code} %{redirect_url}"]
    command += ["--resolve", f"{host}:{door.port}:127.0.0.1"]
    if door.ca:
        # The certificate has the website's name, or curl fails.
        command += ["--cacert", str(door.ca)]
    done = subprocess.run([*command, f"{door.scheme}://{host}:{door.port}{path}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition("\n")
    status, _, location = last.partition(" ")
    return int(status), location, body


def make_public(owner, bucket):
    statement = {"Effect": "Allow", "Principal": "*"}
    statements = [
        {**statement, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
        {**statement, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"},
    ]
    owner.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def test_a_site_comes_back_as_it_was_put_and_is_shown(penstock, owner, refusal):
    bucket = "sdk-site"
    owner.create_bucket(Bucket=bucket)
    assert refusal(owner.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    owner.put_bucket_website(Bucket=bucket, WebsiteConfiguration=SITE)
    shown = owner.get_bucket_website(Bucket=bucket)
    assert {key: shown[key] for key in shown if key != "ResponseMetadata"} == SITE
    make_public(owner, bucket)
    for key in ("index.html", "error.html"):
        owner.put_object(Bucket=bucket, Key=key, Body=key.encode(), ContentType="text/html")
    owner.put_object(Bucket=bucket, Key="moved", WebsiteRedirectLocation="/index.html")
    assert owner.head_object(Bucket=bucket, Key="moved")["WebsiteRedirectLocation"] == "/index.html"
    here = f"{penstock.scheme}://{bucket}.website.ord1.{DOMAIN}:{{}}"
    for at in REGIONS:
        assert visit(penstock, bucket, "/", at) == (200, "", "index.html")
        assert visit(penstock, bucket, "/missing", at) == (404, "", "error.html")
        port = here.format(penstock.standard(at).port)
        assert visit(penstock, bucket, "/docs/a", at) == (301, f"{port}/documents/a", "")
        assert visit(penstock, bucket, "/app/a", at) == (302, "https://example.com/", "")
        assert visit(penstock, bucket, "/moved", at) == (301, f"{port}/index.html", "")
    owner.delete_bucket_website(Bucket=bucket)
    assert refusal(owner.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    status, _, page = visit(penstock, bucket, "/")
    assert status == 404 and "<li>Code: NoSuchWebsiteConfiguration</li>" in page


NO_SITES = [
    ({}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "a/index.html"}}, "InvalidArgument"),
    ({"RedirectAllRequestsTo": {"HostName": "example.com", "Protocol": "ftp"}}, "InvalidRequest"),
    ({**SITE, "RedirectAllRequestsTo": {"HostName": "example.com"}}, "InvalidArgument"),
    ({**SITE, "RoutingRules": []}, "MalformedXML"),
    ({**SITE, "RoutingRules": SITE["RoutingRules"] * 26}, "InvalidRequest"),
    ({**SITE, "RoutingRules": [{"Condition": {}, "Redirect": {"HostName": "a"}}]}, "InvalidRequest"),
    ({**SITE, "RoutingRules": [{"Redirect": {"HttpRedirectCode": "300"}}]}, "InvalidRequest"),
]


def test_a_site_that_is_none_is_refused(owner, refusal):
    bucket = "no-site"
    owner.create_bucket(Bucket=bucket)
    for site, code in NO_SITES:
        assert refusal(owner.put_bucket_website, Bucket=bucket, WebsiteConfiguration=site) == code, site
    assert refusal(owner.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    moved = {"Key": "moved", "Body": b"", "WebsiteRedirectLocation": "moved.html"}
    assert refusal(owner.put_object, Bucket=bucket, **moved) == "InvalidRedirectLocation"


def test_the_aws_command_line_makes_a_site(penstock, owner, tmp_path):
    bucket = "aws-site"
    aws = Aws(penstock.standard("ord1"), tmp_path)
    aws.make_bucket(bucket)
    aws.run("s3", "website", f"s3://{bucket}", "--index-document", "index.html", "--error-document", "error.html")
    page = tmp_path / "index.html"
    page.write_text("<h1>hello</h1>")
    aws.upload(page, bucket, "index.html")
    assert visit(penstock, bucket, "/")[0] == 403
    make_public(owner, bucket)
    assert visit(penstock, bucket, "/") == (200, "", "<h1>hello</h1>")
    shown = json.loads(aws.run("s3api", "get-bucket-website", "--bucket", bucket))
    assert shown == {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}}
    aws.run("s3api", "delete-bucket-website", "--bucket", bucket)
    assert visit(penstock, bucket, "/")[0] == 404


def test_s3cmd_makes_shows_and_removes_a_site(penstock, owner, tmp_path):
    bucket = "s3cmd-site"
    # The configuration that `penstock dev` wrote, which says where websites are.
    s3cmd = ["s3cmd", "-c", penstock.data / "ord1.s3cfg"]
    s3cmd[0] = S3cmd(penstock.standard("ord1"), tmp_path)._command[0]
    run([*s3cmd, "mb", f"s3://{bucket}"])
    run([*s3cmd, "ws-create", "--ws-index=start.html", "--ws-error=error.html", f"s3://{bucket}"])
    owner.put_object(Bucket=bucket, Key="start.html", Body=b"hello")
    make_public(owner, bucket)
    assert visit(penstock, bucket, "/") == (200, "", "hello")
    info = run([*s3cmd, "ws-info", f"s3://{bucket}"])
    port = penstock.standard("ord1").port
    assert re.search(rf"Website endpoint: {penstock.scheme}://{bucket}\.website\.ord1\.{DOMAIN}:{port}/\s", info), info
    assert re.search(r"Index document:\s+start\.html", info) and re.search(r"Error document:\s+error\.html", info), info
    run([*s3cmd, "ws-delete", f"s3://{bucket}"])
    assert visit(penstock, bucket, "/")[0] == 404
