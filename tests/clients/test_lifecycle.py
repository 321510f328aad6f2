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


RULE = {"ID": "r", "Filter": {"Prefix": "a/"}, "Status": "Enabled", "Expiration": {"Days": 1}}


def rule(**other):
    """[`RULE`] with this different; what is `None` is left out."""
    return {name: value for name, value in {**RULE, **other}.items() if value is not None}


WRONG = {
    "no days": rule(Expiration={"Days": 0}),
    "days and a date": rule(Expiration={"Days": 1, "Date": "2040-01-01T00:00:00Z"}),
    "a date that is no midnight": rule(Expiration={"Date": "2040-01-01T01:00:00Z"}),
    "days and lone markers": rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True}),
    "nothing that is done": rule(Expiration=None),
    "neither filter nor prefix": rule(Filter=None),
    "filter and prefix": rule(Prefix="a/"),
    "another status": rule(Status="enabled"),
    "a long name": rule(ID="r" * 256),
    "an And of one": rule(Filter={"And": {"Prefix": "a/"}}),
    "sizes that leave none": rule(Filter={"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}),
    "a tag twice": rule(Filter={"And": {"Tags": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}}),
    "an abort of what has tags": rule(
        Filter={"Tag": {"Key": "k", "Value": "v"}},
        Expiration=None,
        AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1},
    ),
    "no days of versions": rule(Expiration=None, NoncurrentVersionExpiration={"NoncurrentDays": 0}),
    "too many newer ones": rule(
        Expiration=None, NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}
    ),
    "no days of uploads": rule(Expiration=None, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0}),
}

RIGHT = {
    "a day": rule(),
    "a midnight": rule(Expiration={"Date": "2040-01-01T00:00:00Z"}),
    "a name": rule(ID="r" * 255),
    "everything": rule(Filter={"Prefix": ""}),
    "disabled": rule(Status="Disabled"),
    "sizes that leave one": rule(Filter={"And": {"ObjectSizeGreaterThan": 4, "ObjectSizeLessThan": 6}}),
    "all newer ones": rule(
        Expiration=None, NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 100}
    ),
}


def test_rules_that_are_none_change_nothing(owner, refusal):
    bucket = "rules-that-are-none"
    owner.create_bucket(Bucket=bucket)
    put, get = owner.put_bucket_lifecycle_configuration, owner.get_bucket_lifecycle_configuration
    put(Bucket=bucket, LifecycleConfiguration={"Rules": RULES})
    for what, wrong in WRONG.items():
        code = refusal(put, Bucket=bucket, LifecycleConfiguration={"Rules": [wrong]})
        assert code in ("InvalidArgument", "InvalidRequest", "InvalidTag", "MalformedXML"), what
        assert get(Bucket=bucket)["Rules"] == RULES, what
    for rules in ([RULE, RULE], [rule(ID=f"r{number}") for number in range(1001)], []):
        code = refusal(put, Bucket=bucket, LifecycleConfiguration={"Rules": rules})
        assert code in ("InvalidArgument", "InvalidRequest", "MalformedXML"), len(rules)
    for what, right in RIGHT.items():
        put(Bucket=bucket, LifecycleConfiguration={"Rules": [right]})
        (shown,) = get(Bucket=bucket)["Rules"]
        assert (shown["ID"], shown["Status"], shown["Filter"]) == (right["ID"], right["Status"], right["Filter"]), what
    put(Bucket=bucket, LifecycleConfiguration={"Rules": [rule(ID=f"r{number}") for number in range(1000)]})
    assert len(get(Bucket=bucket)["Rules"]) == 1000
