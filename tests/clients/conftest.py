"""What every client test has: a running Penstock over HTTP or HTTPS, and real files to move."""

import hashlib
import random

import pytest

from penstock import Penstock
from s3_clients import Boto3


@pytest.fixture(scope="session", params=["http", "https"])
def penstock(request, tmp_path_factory):
    """One for all tests of a scheme; each test makes its own bucket in it."""
    running = Penstock(tmp_path_factory.mktemp(request.param), request.param)
    yield running
    running.stop()


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


@pytest.fixture
def owner(penstock, tmp_path):
    """The SDK at ord1's standard endpoint."""
    return Boto3(penstock.standard("ord1"), tmp_path).s3


@pytest.fixture
def reader(penstock, tmp_path):
    """The SDK at another region's cache, asked for what ord1 owns."""
    return Boto3(penstock.accelerated("las1", "ord1"), tmp_path).s3


@pytest.fixture
def bucket(owner, request):
    """A bucket of ord1 with the test's name."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    owner.create_bucket(Bucket=name)
    return name
