"""Lifecycle rules as users set and read them, with the SDK and with s3cmd."""

from s3_clients import Boto3, S3cmd

RULES = [
    {
        "ID": "temporary",
        "Filter": {"And": {"Prefix": "tmp/", "Tags": [{"Key": "keep", "Value": "no"}], "ObjectSizeLessThan": 1000}},
        "Status": "Enabled",
        "Expiration": {"Days": 7},
    },
    {
        "ID": "old versions",
        "Filter": {"Prefix": ""},
        "Status": "Enabled",
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 3},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    },
]


def test_rules_come_back_as_they_were_put(penstock, owner, refusal, tmp_path):
    bucket = "rules-come-back"
    owner.create_bucket(Bucket=bucket)
    owner.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": RULES})
    assert owner.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == RULES
    put = owner.put_object(Bucket=bucket, Key="tmp/a", Body=b"body", Tagging="keep=no")
    assert put["Expiration"].endswith('rule-id="temporary"')
    for endpoint in (penstock.standard("ord1"), penstock.accelerated("lga1", "ord1")):
        reader = Boto3(endpoint, tmp_path).s3
        assert reader.head_object(Bucket=bucket, Key="tmp/a")["Expiration"] == put["Expiration"]
        assert reader.get_object(Bucket=bucket, Key="tmp/a")["Expiration"] == put["Expiration"]
    assert "Expiration" not in owner.put_object(Bucket=bucket, Key="tmp/b", Body=b"body")
    upload = owner.create_multipart_upload(Bucket=bucket, Key="large")
    assert upload["AbortRuleId"] == "old versions"
    parts = owner.list_parts(Bucket=bucket, Key="large", UploadId=upload["UploadId"])
    assert (parts["AbortDate"], parts["AbortRuleId"]) == (upload["AbortDate"], "old versions")
    owner.delete_bucket_lifecycle(Bucket=bucket)
    assert refusal(owner.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"


def test_transitions_are_refused(owner, refusal):
    bucket = "transitions-are-refused"
    owner.create_bucket(Bucket=bucket)
    rule = {"Prefix": "", "Status": "Enabled", "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}
    put = owner.put_bucket_lifecycle_configuration
    assert refusal(put, Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}) == "NotImplemented"
    assert refusal(owner.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"


def test_s3cmd_sets_shows_and_removes_rules(penstock, owner, refusal, tmp_path):
    bucket = "s3cmd-sets-rules"
    s3cmd = S3cmd(penstock.standard("ord1"), tmp_path)
    owner.create_bucket(Bucket=bucket)
    document = tmp_path / "lifecycle.xml"
    document.write_text(
        "<LifecycleConfiguration><Rule><ID>r</ID><Prefix>tmp/</Prefix><Status>Enabled</Status>"
        "<Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>"
    )
    s3cmd.run("setlifecycle", document, f"s3://{bucket}")
    (rule,) = owner.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule == {"ID": "r", "Prefix": "tmp/", "Status": "Enabled", "Expiration": {"Days": 3}}
    assert "<Days>3</Days>" in s3cmd.run("getlifecycle", f"s3://{bucket}")
    s3cmd.run("expire", f"s3://{bucket}", "--expiry-days=5", "--expiry-prefix=logs/")
    (rule,) = owner.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert (rule["Filter"], rule["Expiration"]) == ({"Prefix": "logs/"}, {"Days": 5})
    s3cmd.run("dellifecycle", f"s3://{bucket}")
    assert refusal(owner.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
