"""The SDK of MinIO for Python: its documents write every character that is not ASCII by its number."""

import io

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Filter, Tags
from minio.deleteobjects import DeleteObject
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

KEY = "models/\N{GRINNING FACE} \N{LATIN SMALL LETTER U WITH DIAERESIS} a+b&c%.txt"
BODY = b"what goes in comes out"
PART_BYTES = 5 << 20


@pytest.fixture(params=["path", "virtual"])
def minio(penstock, request):
    """A client of any endpoint."""

    def of(endpoint):
        pool = urllib3.PoolManager(ca_certs=str(endpoint.ca)) if endpoint.ca else None
        client = Minio(
            endpoint.authority,
            access_key=endpoint.access_key,
            secret_key=endpoint.secret_key,
            secure=endpoint.scheme == "https",
            http_client=pool,
        )
        if request.param == "virtual":
            client.enable_virtual_style_endpoint()
        return client

    return of


@pytest.fixture
def store(penstock, minio):
    return minio(penstock.standard("ord1"))


@pytest.fixture
def kept(store, request):
    """A bucket, named as the test and its style are."""
    name = request.node.name.removeprefix("test_").translate(str.maketrans("_[", "--", "]"))
    store.make_bucket(bucket_name=name)
    return name


def put(client, bucket, key, body=BODY):
    return client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(body), length=len(body))


def names(client, bucket, **how):
    return [found.object_name for found in client.list_objects(bucket_name=bucket, recursive=True, **how)]


def test_minio_up_and_down(penstock, minio, store, kept, files):
    reader = minio(penstock.accelerated("las1", "ord1"))
    put(store, kept, KEY)
    for name, file in files.items():
        store.fput_object(bucket_name=kept, object_name=name, file_path=str(file), part_size=PART_BYTES)
    # Of a length that is not known before.
    large = files["large"].read_bytes()
    store.put_object(bucket_name=kept, object_name="stream", data=io.BytesIO(large), length=-1, part_size=PART_BYTES)
    for client in (store, reader, reader):
        for name, expected in [(KEY, BODY), ("stream", large), *((name, file.read_bytes()) for name, file in files.items())]:
            with client.get_object(bucket_name=kept, object_name=name) as answer:
                assert answer.read() == expected, name
            assert client.stat_object(bucket_name=kept, object_name=name).size == len(expected)
        assert names(client, kept) == sorted([KEY, "stream", *files])
    # What it asks of its own server for, S3 passes over.
    for how in ({"include_user_meta": True}, {"include_user_meta": True, "include_version": True}, {"use_api_v1": True}):
        assert names(store, kept, **how) == sorted([KEY, "stream", *files])


def test_minio_copies_and_composes(store, kept, files):
    put(store, kept, KEY)
    store.copy_object(bucket_name=kept, object_name="copy", source=CopySource(bucket_name=kept, object_name=KEY))
    store.fput_object(bucket_name=kept, object_name="large", file_path=str(files["large"]))
    sources = [ComposeSource(bucket_name=kept, object_name=name) for name in ("large", "copy")]
    store.compose_object(bucket_name=kept, object_name="both", sources=sources)
    with store.get_object(bucket_name=kept, object_name="both") as answer:
        assert answer.read() == files["large"].read_bytes() + BODY


def test_minio_writes_characters_by_number(store, kept):
    keys = [KEY, "\N{GRINNING FACE}", "plain", "<&>\"'"]
    for key in keys:
        put(store, kept, key)
    tags = Tags.new_object_tags()
    tags["\N{CJK UNIFIED IDEOGRAPH-20BB7}"] = "\N{LATIN SMALL LETTER U WITH DIAERESIS}"
    store.set_object_tags(bucket_name=kept, object_name=KEY, tags=tags)
    assert store.get_object_tags(bucket_name=kept, object_name=KEY) == tags
    rule = Rule(status=ENABLED, rule_id="old", rule_filter=Filter(prefix="\N{GRINNING FACE}/"), expiration=Expiration(days=3))
    store.set_bucket_lifecycle(bucket_name=kept, config=LifecycleConfig([rule]))
    assert store.get_bucket_lifecycle(bucket_name=kept).rules[0].rule_filter.prefix == "\N{GRINNING FACE}/"
    removed = [DeleteObject(key) for key in keys]
    assert list(store.remove_objects(bucket_name=kept, delete_object_list=removed)) == []
    assert names(store, kept) == []
    store.remove_bucket(bucket_name=kept)
