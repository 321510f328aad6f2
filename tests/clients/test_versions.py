"""Versions as SDK users keep, read, list and remove them, at the owner and through another region."""

from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
import pytest

from s3_clients import Boto3, Rclone, S3cmd, refused


@pytest.fixture
def bucket(owner, bucket):
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def refusal(call, **arguments):
    """Status and headers of a request that is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    said = refused.value.response["ResponseMetadata"]
    return said["HTTPStatusCode"], said["HTTPHeaders"]


def test_versions_are_read_by_id(owner, reader, bucket):
    ids = [owner.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"one", b"two")]
    for client in (owner, reader):
        for version, body in zip(ids, (b"one", b"two")):
            answer = client.get_object(Bucket=bucket, Key="k", VersionId=version)
            assert (answer["Body"].read(), answer["VersionId"]) == (body, version)
        assert client.head_object(Bucket=bucket, Key="k")["VersionId"] == ids[1]


def test_delete_markers_hide_and_are_removed(owner, reader, bucket):
    owner.put_object(Bucket=bucket, Key="k", Body=b"one")
    marker = owner.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    for client in (owner, reader):
        status, headers = refusal(client.get_object, Bucket=bucket, Key="k")
        assert (status, headers["x-amz-delete-marker"]) == (404, "true")
        status, headers = refusal(client.head_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"])
        assert (status, headers["x-amz-delete-marker"]) == (405, "true")
    reader.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


def test_a_bucket_is_emptied_page_by_page(owner, bucket):
    for key in ("a", "b", "c"):
        for body in (b"one", b"two"):
            owner.put_object(Bucket=bucket, Key=key, Body=body)
        owner.delete_object(Bucket=bucket, Key=key)
    assert refusal(owner.delete_bucket, Bucket=bucket)[0] == 409
    pages = owner.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    for page in pages:
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]
        assert "Errors" not in owner.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    owner.delete_bucket(Bucket=bucket)


def test_attributes_have_no_quotes(owner, reader, bucket):
    put = owner.put_object(Bucket=bucket, Key="k", Body=b"one")
    for client in (owner, reader):
        said = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag", "ObjectSize"])
        assert f'"{said["ETag"]}"' == put["ETag"]
        assert (said["ObjectSize"], said["VersionId"]) == (3, put["VersionId"])


def versions(client, bucket, **arguments):
    """Key, id and whether it is current, of one page: of objects and of delete markers."""
    page = client.list_object_versions(Bucket=bucket, **arguments)
    kinds = (page.get("Versions", []), page.get("DeleteMarkers", []))
    return page, *([(found["Key"], found["VersionId"], found["IsLatest"]) for found in kind] for kind in kinds)


def test_a_bucket_says_whether_it_keeps_versions(owner, reader, bucket):
    never = f"{bucket}-never"
    owner.create_bucket(Bucket=never)
    for client in (owner, reader):
        assert "Status" not in client.get_bucket_versioning(Bucket=never)
        assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        for wrong, expected in [
            ({"Status": "On"}, (400, "MalformedXML")),
            ({"Status": "Enabled", "MFADelete": "Enabled"}, (501, "NotImplemented")),
        ]:
            assert refused(client.put_bucket_versioning, Bucket=never, VersioningConfiguration=wrong) == expected, wrong
        assert "Status" not in client.get_bucket_versioning(Bucket=never)
    assert "VersionId" not in owner.put_object(Bucket=never, Key="k", Body=b"one")
    reader.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert owner.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_where_versions_are_suspended_one_is_written_over(owner, reader, bucket):
    kept = owner.put_object(Bucket=bucket, Key="k", Body=b"kept")["VersionId"]
    owner.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    for body in (b"null", b"null again"):
        assert "VersionId" not in owner.put_object(Bucket=bucket, Key="k", Body=body)
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"null again"
        assert client.get_object(Bucket=bucket, Key="k", VersionId=kept)["Body"].read() == b"kept"
        assert versions(client, bucket)[1:] == ([("k", "null", True), ("k", kept, False)], [])
    # The marker takes the place of the null version, which is gone.
    assert reader.delete_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    assert versions(owner, bucket)[1:] == ([("k", kept, False)], [("k", "null", True)])
    owner.delete_object(Bucket=bucket, Key="k", VersionId="null")
    for client in (owner, reader):
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


def test_versions_are_listed_from_both_markers_and_in_groups(owner, reader, bucket):
    ids = {}
    for key in ("a", "d/1", "d/2", "e"):
        written = [owner.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"] for body in (b"one", b"two", b"three")]
        ids[key] = written[::-1]
    marker = owner.delete_object(Bucket=bucket, Key="e")["VersionId"]
    for client in (owner, reader):
        page, objects, markers = versions(client, bucket, Delimiter="/")
        assert [key for key, _, _ in objects] == ["a"] * 3 + ["e"] * 3 and markers == [("e", marker, True)]
        assert [group["Prefix"] for group in page["CommonPrefixes"]] == ["d/"]
        assert [key for key, _, is_latest in objects if is_latest] == ["a"]
        of_one = [("d/2", version, number == 0) for number, version in enumerate(ids["d/2"])]
        assert versions(client, bucket, Prefix="d/2")[1] == of_one
        # Behind a key all of the next; behind a version the older ones of its key, too.
        behind = [key for key, _, _ in versions(client, bucket, KeyMarker="d/1")[1]]
        assert behind == ["d/2"] * 3 + ["e"] * 3
        _, objects, _ = versions(client, bucket, KeyMarker="d/1", VersionIdMarker=ids["d/1"][0])
        assert [found for found in objects if found[0] == "d/1"] == [("d/1", version, False) for version in ids["d/1"][1:]]
        assert refused(client.list_object_versions, Bucket=bucket, VersionIdMarker=marker) == (400, "InvalidArgument")
        for size in (1, 2, 3, 5):
            pages = client.get_paginator("list_object_versions").paginate(
                Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}
            )
            found = []
            for page in pages:
                entries = page.get("Versions", []) + page.get("DeleteMarkers", [])
                entries = [(entry["Key"], entry["VersionId"]) for entry in entries]
                entries += [(group["Prefix"], "") for group in page.get("CommonPrefixes", [])]
                assert len(entries) <= size
                found += entries
            everything = [(key, version) for key in ("a", "e") for version in ids[key]] + [("d/", ""), ("e", marker)]
            assert sorted(found) == sorted(everything), size


def test_a_thousand_versions_are_deleted_by_one_request(owner, reader, bucket):
    def put(number):
        key = f"k{number % 400:03}"
        return {"Key": key, "VersionId": owner.put_object(Bucket=bucket, Key=key, Body=b"body")["VersionId"]}

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(put, range(1001)))
    assert refused(reader.delete_objects, Bucket=bucket, Delete={"Objects": made}) == (400, "MalformedXML")
    assert refused(owner.delete_objects, Bucket=bucket, Delete={"Objects": []}) == (400, "MalformedXML")
    answer = reader.delete_objects(Bucket=bucket, Delete={"Objects": made[:1000]})
    assert "Errors" not in answer and len(answer["Deleted"]) == 1000
    assert versions(owner, bucket)[1] == [(made[1000]["Key"], made[1000]["VersionId"], True)]
    # What is gone is deleted already; what is named without a version is hidden; a quiet request tells of refusals alone.
    last = [made[0], {"Key": "missing"}, {"Key": made[1000]["Key"]}]
    answer = owner.delete_objects(Bucket=bucket, Delete={"Objects": last})
    assert [deleted["Key"] for deleted in answer["Deleted"]] == [entry["Key"] for entry in last]
    assert [deleted.get("DeleteMarker", False) for deleted in answer["Deleted"]] == [False, True, True]
    wrong = {"Key": made[1000]["Key"], "VersionId": "no version"}
    answer = owner.delete_objects(Bucket=bucket, Delete={"Objects": [made[1000], wrong], "Quiet": True})
    assert "Deleted" not in answer and [error["Key"] for error in answer["Errors"]] == [wrong["Key"]]
    assert versions(reader, bucket)[1] == []


def test_tags_and_lists_are_of_a_version(owner, reader, bucket):
    ids = []
    for number, body in enumerate((b"one", b"two")):
        ids.append(owner.put_object(Bucket=bucket, Key="k", Body=body, Tagging=f"n={number}")["VersionId"])

    def tags(client, **version):
        answer = client.get_object_tagging(Bucket=bucket, Key="k", **version)
        return answer["VersionId"], [tag["Value"] for tag in answer["TagSet"]]

    reader.put_object_tagging(Bucket=bucket, Key="k", VersionId=ids[0], Tagging={"TagSet": [{"Key": "n", "Value": "old"}]})
    owner.put_object_acl(Bucket=bucket, Key="k", VersionId=ids[0], ACL="public-read")
    for client in (owner, reader):
        assert tags(client) == (ids[1], ["1"]) == tags(client, VersionId=ids[1])
        assert tags(client, VersionId=ids[0]) == (ids[0], ["old"])
        lists = [client.get_object_acl(Bucket=bucket, Key="k", VersionId=version)["Grants"] for version in ids]
        assert [len(grants) for grants in lists] == [2, 1]
    owner.delete_object_tagging(Bucket=bucket, Key="k", VersionId=ids[0])
    assert tags(reader, VersionId=ids[0]) == (ids[0], [])
    assert tags(reader) == (ids[1], ["1"])
    marker = owner.delete_object(Bucket=bucket, Key="k")["VersionId"]
    for call in (reader.get_object_tagging, reader.get_object_acl):
        assert refused(call, Bucket=bucket, Key="k", VersionId=marker) == (405, "MethodNotAllowed")
        assert refused(call, Bucket=bucket, Key="k")[0] == 404
        assert refused(call, Bucket=bucket, Key="k", VersionId=ids[0][::-1]) == (404, "NoSuchVersion")
        assert refused(call, Bucket=bucket, Key="k", VersionId="no version") == (400, "InvalidArgument")


def test_command_lines_keep_versions(penstock, owner, tmp_path):
    bucket = "command-lines-keep-versions"
    s3cmd, rclone = S3cmd(penstock.standard("ord1"), tmp_path), Rclone(penstock.standard("ord1"), tmp_path)
    s3cmd.make_bucket(bucket)
    s3cmd.run("setversioning", f"s3://{bucket}", "enable")
    assert "Versioning:Enabled" in s3cmd.run("info", f"s3://{bucket}").replace(" ", "")
    file = tmp_path / "k.txt"
    for body in ("one", "two"):
        file.write_text(body)
        s3cmd.upload(file, bucket, "k.txt")
    s3cmd.remove(bucket, "k.txt")
    assert rclone.keys(bucket) == []
    listed = rclone.run("lsf", "--s3-versions", f"store:{bucket}").split()
    assert len(listed) == 2 and all(name.startswith("k-v") and name.endswith(".txt") for name in listed), listed
    assert {rclone.run("cat", "--s3-versions", f"store:{bucket}/{name}") for name in listed} == {"one", "two"}
    rclone.run("backend", "cleanup-hidden", f"store:{bucket}")
    assert versions(owner, bucket)[1:] == ([], [])
    s3cmd.remove_bucket(bucket)
