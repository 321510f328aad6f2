"""PyTorch's S3 connector, whose client is Mountpoint's: what a training job reads, writes and lists."""

import pytest
from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client, S3Exception

PART_BYTES = 8 << 20


@pytest.fixture(params=["path", "virtual"])
def client(penstock, request, monkeypatch):
    """A client of any endpoint."""
    if penstock.scheme == "https":
        pytest.skip("it trusts the authorities of the system and no others")

    def of(endpoint):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_key)
        is_path_style = request.param == "path"
        return MountpointS3Client(
            region="us-east-1",
            endpoint=endpoint.url,
            force_path_style=is_path_style,
            part_size=PART_BYTES,
            max_attempts=1,
        )

    return of


def test_a_training_job_reads_what_was_written(penstock, owner, client, files, request):
    bucket = f"torch-{request.node.callspec.params['client']}"
    owner.create_bucket(Bucket=bucket)
    writer = client(penstock.standard("ord1"))
    for name, file in files.items():
        stream = writer.put_object(bucket, f"data/{name}")
        stream.write(file.read_bytes())
        stream.close()
    for reader in (writer, client(penstock.accelerated("lga1", "ord1"))):
        # Cold, and from the cache.
        for _ in range(2):
            for name, file in files.items():
                assert b"".join(bytes(piece) for piece in reader.get_object(bucket, f"data/{name}")) == file.read_bytes(), name
                assert reader.head_object(bucket, f"data/{name}").size == file.stat().st_size
        large = b"".join(bytes(piece) for piece in reader.get_object(bucket, "data/large", start=77, end=PART_BYTES + 99))
        assert large == files["large"].read_bytes()[77 : PART_BYTES + 99]
        pages = list(reader.list_objects(bucket, "data/", max_keys=2))
        assert [found.key for page in pages for found in page.object_info] == [f"data/{name}" for name in files]
        with pytest.raises(S3Exception, match="not found"):
            reader.head_object(bucket, "data/none")
    writer.copy_object(bucket, "data/small", bucket, "data/copy")
    writer.delete_object(bucket, "data/small")
    assert b"".join(bytes(piece) for piece in writer.get_object(bucket, "data/copy")) == files["small"].read_bytes()
