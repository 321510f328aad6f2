"""Bucket policies as users write them: every action by its name, and what is not understood in full is not taken."""

import json
import ssl
import urllib.error
import urllib.request

import pytest

from s3_clients import refused

OF_BUCKETS = """
CreateBucket DeleteBucket DeleteBucketPolicy DeleteBucketTagging DeleteBucketWebsite DeleteLifecycleConfiguration
DeleteReplicationConfiguration GetAccelerateConfiguration GetBucketACL GetBucketCORS GetBucketLocation GetBucketLogging
GetBucketNotification GetBucketPolicy GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite
GetLifecycleConfiguration GetReplicationConfiguration ListAllMyBuckets ListBucket ListBucketMultipartUploads
ListBucketVersions PutAccelerateConfiguration PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification
PutBucketPolicy PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite PutLifecycleConfiguration
PutReplicationConfiguration
""".split()

OF_OBJECTS = """
AbortMultipartUpload DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging GetObject
GetObjectAcl GetObjectAttributes GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl
GetObjectVersionAttributes GetObjectVersionTagging GetObjectVersionTorrent ListMultipartUploadParts PutObject
PutObjectAcl PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging RestoreObject
""".split()

MALFORMED = (400, "MalformedPolicy")


def policy(bucket, **statement):
    """A document of one statement, which lets everybody read objects unless it says otherwise."""
    everything = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    usual = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": everything}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**usual, **statement}]})


def test_every_action_has_its_name(owner, bucket):
    put = owner.put_bucket_policy
    for name in OF_BUCKETS + OF_OBJECTS:
        for effect in ("Allow", "Deny"):
            # Somebody else's: a policy that shuts its owner out is for another test.
            document = policy(bucket, Effect=effect, Action=f"s3:{name}", Principal={"AWS": "somebody"})
            put(Bucket=bucket, Policy=document)
            assert owner.get_bucket_policy(Bucket=bucket)["Policy"] == document
        for wrong in (f"s3:{name}s", f"s3:{name[:-1]}", name, f"ec2:{name}", f"s3:{name}\u0000"):
            if wrong.removeprefix("s3:") in OF_BUCKETS + OF_OBJECTS:
                continue
            answer = refused(put, Bucket=bucket, Policy=policy(bucket, Action=wrong))
            assert answer == MALFORMED, wrong
        assert owner.get_bucket_policy(Bucket=bucket)["Policy"] == document, "what is refused changes nothing"
    whole = policy(bucket, Action=[f"s3:{name}" for name in OF_BUCKETS + OF_OBJECTS])
    put(Bucket=bucket, Policy=whole)
    assert owner.get_bucket_policy(Bucket=bucket)["Policy"] == whole


# One thing is wrong in each.
NOT_UNDERSTOOD = {
    "another version": {"Version": "2012-10-18"},
    "another effect": {"Statement": {"Effect": "Permit"}},
    "another bucket": {"Statement": {"Resource": "arn:aws:s3:::elsewhere/*"}},
    "no resource": {"Statement": {"Resource": []}},
    "both kinds of actions": {"Statement": {"NotAction": "s3:PutObject"}},
    "an operator that there is not": {"Statement": {"Condition": {"StringIs": {"s3:prefix": "a"}}}},
    "a key that there is not": {"Statement": {"Condition": {"StringEquals": {"s3:colour": "red"}}}},
    "a value of another kind": {"Statement": {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}},
    "an element that there is not": {"Statement": {"Comment": "hello"}},
}


def test_what_is_not_understood_is_not_taken(owner, bucket):
    good = json.loads(policy(bucket))
    owner.put_bucket_policy(Bucket=bucket, Policy=json.dumps(good))
    for what, wrong in NOT_UNDERSTOOD.items():
        statement = {**good["Statement"][0], **wrong.get("Statement", {})}
        document = {**good, **wrong, "Statement": [statement]}
        assert refused(owner.put_bucket_policy, Bucket=bucket, Policy=json.dumps(document)) == MALFORMED, what
    for text in ("", "{}", "[]", json.dumps(good)[:-1], json.dumps(good) + "}"):
        assert refused(owner.put_bucket_policy, Bucket=bucket, Policy=text) == MALFORMED, text
    # 20 KiB and not one more.
    fits = json.dumps({**good, "Id": "x" * (20 * 1024 - len(json.dumps({**good, "Id": ""})))})
    assert refused(owner.put_bucket_policy, Bucket=bucket, Policy=fits + " ")[0] == 400
    owner.put_bucket_policy(Bucket=bucket, Policy=fits)
    assert owner.get_bucket_policy(Bucket=bucket)["Policy"] == fits
    assert owner.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
    owner.delete_bucket_policy(Bucket=bucket)
    assert refused(owner.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")


@pytest.fixture
def anybody(penstock):
    """The status of a request as `curl` makes it, at the owner's endpoint and at another region's cache."""
    doors = [penstock.standard("ord1"), penstock.accelerated("las1", "ord1")]
    context = ssl.create_default_context(cafile=doors[0].ca) if doors[0].ca else None

    def ask(path, method="GET"):
        statuses = set()
        for door in doors:
            request = urllib.request.Request(f"{door.url}/{path}", method=method)
            try:
                with urllib.request.urlopen(request, context=context) as answer:
                    statuses.add(answer.status)
            except urllib.error.HTTPError as error:
                statuses.add(error.code)
        (status,) = statuses
        return status

    return ask


def test_a_version_takes_the_action_of_versions(owner, anybody, bucket):
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = owner.put_object(Bucket=bucket, Key="k", Body=b"body", Tagging="a=b")["VersionId"]
    for method, query, of_object, of_version in [
        ("GET", "", "s3:GetObject", "s3:GetObjectVersion"),
        ("GET", "acl", "s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
        ("GET", "tagging", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
        ("DELETE", "tagging", "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
    ]:
        plain = f"{bucket}/k?{query}".rstrip("?")
        versioned = f"{bucket}/k?versionId={version}&{query}".rstrip("&")
        for action, expected in ((of_object, (True, False)), (of_version, (False, True))):
            owner.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Action=action))
            found = tuple(anybody(path, method) < 300 for path in (plain, versioned))
            assert found == expected, action
    owner.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Action="s3:DeleteObject"))
    assert anybody(f"{bucket}/k?versionId={version}", "DELETE") == 403
    assert owner.head_object(Bucket=bucket, Key="k", VersionId=version)["ContentLength"] == 4
    owner.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Action="s3:DeleteObjectVersion"))
    assert anybody(f"{bucket}/k", "DELETE") == 403
    assert anybody(f"{bucket}/k?versionId={version}", "DELETE") == 204
    assert refused(owner.head_object, Bucket=bucket, Key="k", VersionId=version)[0] == 404


def test_a_policy_holds_for_its_owner_too(owner, reader, bucket):
    for key in ("open", "shut"):
        owner.put_object(Bucket=bucket, Key=key, Body=b"body")
    shut = policy(bucket, Effect="Deny", Action="s3:*", Resource=f"arn:aws:s3:::{bucket}/shut")
    owner.put_bucket_policy(Bucket=bucket, Policy=shut)
    for client in (owner, reader):
        for call in (client.get_object, client.delete_object, client.get_object_tagging):
            assert refused(call, Bucket=bucket, Key="shut") == (403, "AccessDenied")
        assert client.get_object(Bucket=bucket, Key="open")["Body"].read() == b"body"
    owner.delete_bucket_policy(Bucket=bucket)
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key="shut")["Body"].read() == b"body"
