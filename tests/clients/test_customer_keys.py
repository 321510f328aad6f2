"""Objects under keys that their users keep (SSE-C), with the clients that know them, over HTTPS alone."""

import base64
import hashlib
import ssl
import urllib.request

import pytest

from s3_clients import Aws, Boto3, Rclone, refused

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
BODY = b"what only the client may read"


@pytest.fixture
def site(penstock, tmp_path, request):
    """The owner and a reader elsewhere, and a bucket."""
    if penstock.scheme != "https":
        pytest.skip("no key is taken over plain HTTP")
    owner = Boto3(penstock.standard("ord1"), tmp_path).s3
    bucket = request.node.originalname.replace("_", "-")
    owner.create_bucket(Bucket=bucket)
    return owner, Boto3(penstock.accelerated("las1", "ord1"), tmp_path).s3, bucket


def with_key(key):
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


def test_boto3_reads_what_it_wrote_with_the_key(site):
    owner, reader, bucket = site
    stored = owner.put_object(Bucket=bucket, Key="k", Body=BODY, **with_key(KEY))
    assert stored["ETag"] != f'"{hashlib.md5(BODY).hexdigest()}"'
    for client in (owner, reader):
        answer = client.get_object(Bucket=bucket, Key="k", **with_key(KEY))
        assert answer["Body"].read() == BODY
        assert answer["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()
        assert client.head_object(Bucket=bucket, Key="k", **with_key(KEY))["ContentLength"] == len(BODY)
        assert refused(client.get_object, Bucket=bucket, Key="k") == (400, "InvalidRequest")
        assert refused(client.get_object, Bucket=bucket, Key="k", **with_key(OTHER)) == (403, "AccessDenied")


def test_boto3_moves_an_object_to_another_key(site):
    owner, reader, bucket = site
    owner.put_object(Bucket=bucket, Key="k", Body=BODY, **with_key(KEY))
    source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": KEY}
    owner.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k"}, **source, **with_key(OTHER))
    assert reader.get_object(Bucket=bucket, Key="k", **with_key(OTHER))["Body"].read() == BODY
    assert refused(reader.get_object, Bucket=bucket, Key="k", **with_key(KEY)) == (403, "AccessDenied")


def test_presigned_links_want_the_key_beside_them(penstock, site):
    owner, reader, bucket = site
    context = ssl.create_default_context(cafile=penstock.data / "ca.pem")
    names = {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": base64.b64encode(KEY).decode(),
        "x-amz-server-side-encryption-customer-key-MD5": base64.b64encode(hashlib.md5(KEY).digest()).decode(),
    }

    def link(client, operation):
        return client.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": "k", **with_key(KEY)}, ExpiresIn=60)

    put = link(owner, "put_object")
    assert base64.b64encode(KEY).decode() not in put
    urllib.request.urlopen(urllib.request.Request(put, data=BODY, method="PUT", headers=names), context=context).close()
    for client in (owner, reader):
        get = link(client, "get_object")
        with urllib.request.urlopen(urllib.request.Request(get, headers=names), context=context) as answer:
            assert answer.read() == BODY
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(get, context=context)
        assert error.value.code in (400, 403)


def test_transfers_in_parts_round_trip(penstock, site, files, sha256, tmp_path):
    owner, _, bucket = site
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY)
    boto, aws = Boto3(penstock.standard("ord1"), tmp_path), Aws(penstock.standard("ord1"), tmp_path)
    far = Boto3(penstock.accelerated("las1", "ord1"), tmp_path)
    for name, file in files.items():
        boto.s3.upload_file(str(file), bucket, f"boto3/{name}", ExtraArgs=with_key(KEY), Config=boto._transfer)
        aws.run("s3", "cp", "--no-progress", "--sse-c", "AES256", "--sse-c-key", f"fileb://{key_file}", file, f"s3://{bucket}/aws/{name}")
        for folder in ("boto3", "aws"):
            got = tmp_path / f"{folder}-{name}"
            far.s3.download_file(bucket, f"{folder}/{name}", str(got), ExtraArgs=with_key(KEY), Config=far._transfer)
            assert sha256(got) == sha256(file), f"{folder}/{name}"
            back = tmp_path / f"{folder}-{name}-aws"
            aws.run("s3", "cp", "--no-progress", "--sse-c", "AES256", "--sse-c-key", f"fileb://{key_file}", f"s3://{bucket}/{folder}/{name}", back)
            assert sha256(back) == sha256(file), f"{folder}/{name}"
            assert refused(owner.head_object, Bucket=bucket, Key=f"{folder}/{name}")[0] == 400


def test_rclone_round_trips(penstock, site, files, sha256, tmp_path):
    owner, _, bucket = site
    rclone = Rclone(penstock.standard("ord1"), tmp_path)
    rclone._environment |= {
        "RCLONE_CONFIG_STORE_SSE_CUSTOMER_ALGORITHM": "AES256",
        "RCLONE_CONFIG_STORE_SSE_CUSTOMER_KEY": KEY.hex()[:32],
    }
    for name, file in files.items():
        rclone.upload(file, bucket, name)
        got = tmp_path / f"{name}.got"
        rclone.download(bucket, name, got)
        assert sha256(got) == sha256(file), name
        answer = owner.get_object(Bucket=bucket, Key=name, **with_key(KEY.hex()[:32].encode()))
        assert hashlib.sha256(answer["Body"].read()).hexdigest() == sha256(file), name
