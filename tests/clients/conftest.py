"""What every client test has: a running Penstock over HTTP or HTTPS, and real files to move."""

import hashlib
import random

import botocore.exceptions
import pytest

from penstock import Penstock
from s3_clients import Boto3


@pytest.fixture(scope="session", params=["http", "https"])
def penstock(request, tmp_path_factory):
    """One for all tests of a scheme; each test makes its own bucket in it."""
    running = Penstock(tmp_path_factory.mktemp(request.param), request.param)
    yield running
    running.stop()


@pytest.fixture
def owner(penstock, tmp_path):
    """An SDK client of ord1."""
    return Boto3(penstock.standard("ord1", is_virtual_hosted=True), tmp_path).s3


@pytest.fixture
def reader(penstock, tmp_path):
    """One that reads what ord1 has through another region."""
    return Boto3(penstock.accelerated("lga1", "ord1", is_virtual_hosted=True), tmp_path).s3


@pytest.fixture
def bucket(owner, request):
    """A bucket of ord1, named as the test is."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    owner.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def refusal():
    """The code that a call of an SDK client is refused with."""

    def code(call, **arguments):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            call(**arguments)
        return refused.value.response["Error"]["Code"]

    return code


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Contents by name: empty, small, and larger than one part of a multipart upload."""
    folder = tmp_path_factory.mktemp("files")
    generator = random.Random(2)
    for name, size in (("empty", 0), ("small", 1234), ("large", (20 << 20) + 77)):
        (folder / name).write_bytes(generator.randbytes(size))
    return {file.name: file for file in sorted(folder.iterdir())}


@pytest.fixture(scope="session")
def sha256():
    """SHA-256 of a file's content."""
    return lambda file: hashlib.sha256(file.read_bytes()).hexdigest()
