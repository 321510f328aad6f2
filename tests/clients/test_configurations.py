"""Configurations that no bucket has here: asked for them, a bucket answers as one of S3's to which nobody gave any; to set
one is refused, and what asks for no more than is so anyway is not."""

import pytest

from s3_clients import Aws, S3cmd, refused

# What the SDK makes of a bucket of S3's without them.
UNSET = [
    ("get_bucket_accelerate_configuration", {}),
    ("get_bucket_logging", {}),
    ("get_bucket_notification_configuration", {}),
    ("get_bucket_request_payment", {"Payer": "BucketOwner"}),
    ("list_bucket_analytics_configurations", {"IsTruncated": False}),
    ("list_bucket_intelligent_tiering_configurations", {"IsTruncated": False}),
    ("list_bucket_inventory_configurations", {"IsTruncated": False}),
    ("list_bucket_metrics_configurations", {"IsTruncated": False}),
]

NONE = [
    ("get_bucket_replication", {}, "ReplicationConfigurationNotFoundError"),
    ("get_object_lock_configuration", {}, "ObjectLockConfigurationNotFoundError"),
    ("get_bucket_analytics_configuration", {"Id": "a"}, "NoSuchConfiguration"),
    ("get_bucket_intelligent_tiering_configuration", {"Id": "a"}, "NoSuchConfiguration"),
    ("get_bucket_inventory_configuration", {"Id": "a"}, "NoSuchConfiguration"),
    ("get_bucket_metrics_configuration", {"Id": "a"}, "NoSuchConfiguration"),
]

QUEUE = {"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:1:q", "Events": ["s3:ObjectCreated:*"]}]}
TOPIC = {"TopicConfigurations": [{"TopicArn": "arn:aws:sns:us-east-1:1:t", "Events": ["s3:ObjectRemoved:*"]}]}
REPLICA = {
    "Role": "arn:aws:iam::1:role/r",
    "Rules": [{"Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::elsewhere"}}],
}
DESTINATION = {"S3BucketDestination": {"Format": "CSV", "Bucket": "arn:aws:s3:::elsewhere"}}
INVENTORY = {
    "Id": "a",
    "IsEnabled": True,
    "IncludedObjectVersions": "All",
    "Schedule": {"Frequency": "Daily"},
    "Destination": DESTINATION,
}
ANALYTICS = {"Id": "a", "StorageClassAnalysis": {}}
TIERING = {"Id": "a", "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}
LOCK = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}

# What only a larger system could honour.
REFUSED = [
    ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Enabled"}}),
    (
        "put_bucket_logging",
        {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "p"}}},
    ),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": QUEUE}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": TOPIC}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}),
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ("put_bucket_replication", {"ReplicationConfiguration": REPLICA}),
    ("put_object_lock_configuration", {"ObjectLockConfiguration": LOCK}),
    ("put_bucket_analytics_configuration", {"Id": "a", "AnalyticsConfiguration": ANALYTICS}),
    (
        "put_bucket_intelligent_tiering_configuration",
        {"Id": "a", "IntelligentTieringConfiguration": TIERING},
    ),
    ("put_bucket_inventory_configuration", {"Id": "a", "InventoryConfiguration": INVENTORY}),
    ("put_bucket_metrics_configuration", {"Id": "a", "MetricsConfiguration": {"Id": "a"}}),
]

# What is so anyway.
SAID_AGAIN = [
    ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Suspended"}}),
    ("put_bucket_logging", {"BucketLoggingStatus": {}}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": {}}),
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}}),
    ("delete_bucket_replication", {}),
]


@pytest.fixture(params=["owner", "reader"])
def client(request, owner, reader):
    """At the owner's standard endpoint, and at another region's accelerated one."""
    return {"owner": owner, "reader": reader}[request.param]


def said(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def look(client, bucket):
    """Everything that is said of configurations."""
    for operation, expected in UNSET:
        assert said(getattr(client, operation)(Bucket=bucket)) == expected, operation
    for operation, arguments, code in NONE:
        assert refused(getattr(client, operation), Bucket=bucket, **arguments) == (404, code), operation


def test_a_bucket_is_as_if_nobody_configured_it(client, bucket):
    look(client, bucket)
    for operation, _ in UNSET:
        of_none = refused(getattr(client, operation), Bucket="there-is-no-such-bucket")
        assert of_none == (404, "NoSuchBucket"), operation


def test_what_cannot_be_honoured_is_refused(client, bucket):
    for operation, arguments in REFUSED:
        answer = refused(getattr(client, operation), Bucket=bucket, **arguments)
        assert answer == (501, "NotImplemented"), operation
        look(client, bucket)
    for operation, arguments in SAID_AGAIN:
        getattr(client, operation)(Bucket=bucket, **arguments)
        look(client, bucket)
    nobody = {"Payer": "Nobody"}
    assert refused(client.put_bucket_request_payment, Bucket=bucket, RequestPaymentConfiguration=nobody) == (400, "MalformedXML")


def test_no_object_is_archived_locked_queried_or_in_a_swarm(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"body", StorageClass="STANDARD")
    of_object = {"Bucket": bucket, "Key": "k"}
    query = {
        "Expression": "SELECT * FROM s3object",
        "ExpressionType": "SQL",
        "InputSerialization": {"CSV": {}},
        "OutputSerialization": {"CSV": {}},
    }
    for operation, arguments in [
        ("restore_object", {"RestoreRequest": {"Days": 1}}),
        ("select_object_content", query),
        ("get_object_torrent", {}),
        ("put_object_legal_hold", {"LegalHold": {"Status": "ON"}}),
        ("put_object_retention", {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": "2040-01-01T00:00:00Z"}}),
    ]:
        answer = refused(getattr(client, operation), **of_object, **arguments)
        assert answer == (501, "NotImplemented"), operation
    for operation in ("get_object_legal_hold", "get_object_retention"):
        assert refused(getattr(client, operation), **of_object) == (400, "InvalidRequest"), operation
    head = client.head_object(**of_object)
    assert {"Restore", "ObjectLockMode", "ObjectLockLegalHoldStatus"}.isdisjoint(head)
    assert client.get_object(**of_object)["Body"].read() == b"body"
    for wanted in [
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": "2040-01-01T00:00:00Z"},
        {"ObjectLockLegalHoldStatus": "ON"},
    ]:
        answer = refused(client.put_object, Bucket=bucket, Key="locked", Body=b"body", **wanted)
        assert answer == (501, "NotImplemented"), wanted
    assert refused(client.head_object, Bucket=bucket, Key="locked")[0] == 404


JOURNAL = {"RecordExpiration": {"Expiration": "DISABLED"}}
TABLE = {"TableBucketArn": "arn:aws:s3tables:us-east-1:1:bucket/b", "TableName": "t"}
DISABLED = {"ConfigurationState": "DISABLED"}

# What S3 has got since; none of it may be taken for another operation on the same bucket or object.
NEWER = [
    ("get_bucket_abac", {}),
    ("put_bucket_abac", {"AbacStatus": {"Status": "Enabled"}}),
    ("create_bucket_metadata_configuration", {"MetadataConfiguration": {"JournalTableConfiguration": JOURNAL}}),
    ("get_bucket_metadata_configuration", {}),
    ("delete_bucket_metadata_configuration", {}),
    ("update_bucket_metadata_inventory_table_configuration", {"InventoryTableConfiguration": DISABLED}),
    ("create_bucket_metadata_table_configuration", {"MetadataTableConfiguration": {"S3TablesDestination": TABLE}}),
    ("get_bucket_metadata_table_configuration", {}),
    ("delete_bucket_metadata_table_configuration", {}),
]
NEWER_OF_OBJECTS = [
    ("put_object_annotation", {"AnnotationName": "n", "AnnotationPayload": b"{}"}),
    ("get_object_annotation", {"AnnotationName": "n"}),
    ("list_object_annotations", {}),
    ("delete_object_annotation", {"AnnotationName": "n"}),
    ("update_object_encryption", {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": "arn:aws:kms:us-east-1:1:key/k"}}}),
]


def test_what_s3_has_got_since_is_no_other_operation(client, bucket):
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    before = said(client.head_object(Bucket=bucket, Key="k"))
    for operation, arguments in NEWER:
        assert refused(getattr(client, operation), Bucket=bucket, **arguments) == (501, "NotImplemented"), operation
    for operation, arguments in NEWER_OF_OBJECTS:
        answer = refused(getattr(client, operation), Bucket=bucket, Key="k", **arguments)
        assert answer == (501, "NotImplemented"), operation
    assert said(client.head_object(Bucket=bucket, Key="k")) == before
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
    look(client, bucket)


def test_a_bucket_is_not_made_with_what_it_cannot_have(client):
    name = "made-with-too-much"
    for wanted in [
        {"ObjectLockEnabledForBucket": True},
        {"BucketNamespace": "account-regional"},
        {"CreateBucketConfiguration": {"Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"}}},
    ]:
        assert refused(client.create_bucket, Bucket=name, **wanted) == (501, "NotImplemented"), wanted
    tagged = {"LocationConstraint": "ord1", "Tags": [{"Key": "a", "Value": "b"}]}
    told = refused(client.create_bucket, Bucket=name, CreateBucketConfiguration=tagged)
    assert told == (400, "UnsupportedArgument")
    assert refused(client.head_bucket, Bucket=name)[0] == 404


def test_the_aws_command_line_is_told_the_same(penstock, bucket, tmp_path):
    aws = Aws(penstock.standard("ord1"), tmp_path)
    of = ("--bucket", bucket)
    assert aws.run("s3api", "get-bucket-accelerate-configuration", *of) == ""
    assert aws.run("s3api", "get-bucket-notification-configuration", *of) == ""
    assert aws.run("s3api", "get-bucket-logging", *of) == ""
    assert aws.run("s3api", "get-bucket-request-payment", *of, "--query", "Payer", "--output", "text") == "BucketOwner\n"
    assert "ReplicationConfigurationNotFoundError" in aws.run_refused("s3api", "get-bucket-replication", *of)
    enable = ("--accelerate-configuration", "Status=Enabled")
    assert "NotImplemented" in aws.run_refused("s3api", "put-bucket-accelerate-configuration", *of, *enable)
    restore = ("--key", "k", "--restore-request", "Days=1")
    assert "NotImplemented" in aws.run_refused("s3api", "restore-object", *of, *restore)


def test_s3cmd_is_told_the_same(penstock, bucket, tmp_path):
    s3cmd = S3cmd(penstock.standard("ord1"), tmp_path)
    (tmp_path / "small").write_text("body")
    s3cmd.upload(tmp_path / "small", bucket, "small")
    place = f"s3://{bucket}"
    assert "Logging Enabled: False" in s3cmd.run("accesslog", place)
    said_of_logging = s3cmd.run_refused("accesslog", f"--access-logging-target-prefix=s3://{bucket}/log-", place)
    assert "501" in said_of_logging, said_of_logging
    s3cmd.run("accesslog", "--no-access-logging", place)
    assert "501" in s3cmd.run_refused("payer", "--requester-pays", place)
    s3cmd.run("payer", place)
    topics = tmp_path / "notification.xml"
    topics.write_text(
        "<NotificationConfiguration><TopicConfiguration><Topic>arn:aws:sns:us-east-1:1:t</Topic>"
        "<Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>"
    )
    assert "501" in s3cmd.run_refused("setnotification", topics, place)
    assert "NotificationConfiguration" in s3cmd.run("getnotification", place)
    assert "501" in s3cmd.run_refused("restore", f"{place}/small")
    info = s3cmd.run("info", place)
    assert "Payer:     BucketOwner" in info and "Location:  ord1" in info, info
